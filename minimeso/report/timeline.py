"""Drawings of probabilities: a scale for one, a timeline for many.

Lines are SVG, stretched to whatever width there is (strokes keep their thickness); all words are
HTML beside them, because words inside a stretched SVG would shrink with it on a phone.  A clip of
any length gives a drawing of bounded size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..detect.verdict import Interval, Moment, Segment
from ..notes import clock
from .highlights import LeftOut
from .phrases import counted, escaped, percent, reason

#: Columns of a timeline: more moments than that are drawn as mean, least and most of a column, so
#: that no clip makes a drawing of more than 16 KB.
_COLUMNS = 240
#: Segments that are shaded: so many are enough to see that there are many.
_MOST_SHADED = 24
#: A face that was not judged for this many usual steps was away.
_GAP_STEPS = 2.5
_SHORTEST_GAP = 0.2
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 5
#: From this per cent of the width on a tick's words would stick out.
_LAST_TICK = 92
#: Width of a letter on a phone, in per cent of the drawing.
_LETTER = 8.0
#: Width of the SVG's own units; the height is 100, one for each per cent.
_WIDTH = 1000

Marks = Sequence[tuple[str, float, bool]]


def scale(p_fake: float, interval: Interval, thresholds: Mapping[str, float]) -> str:
    """A bar from 0 to 100 % with the three zones, ``p_fake`` and, beneath, its interval."""
    real, fake = 100 * thresholds["real"], 100 * thresholds["fake"]
    low, high = _clip(interval[0]), _clip(interval[1])
    spoken = (
        f"p_fake {percent(p_fake)} on a scale from 0 % to 100 %, 95 % interval {percent(low)} to "
        f"{percent(high)}"
    )
    whisker = (
        f'<i class="whisker" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i>'
    )
    zones = (("real", 0.0, real), ("uncertain", real, fake), ("fake", fake, 100.0))
    parts = [
        f'<i class="zone {word}" style="width:{end - start:.2f}%">'
        f"<b>{_ZONES.get(word, word) if end - start >= _ROOM_FOR_A_WORD else ''}</b></i>"
        for word, start, end in zones
    ]
    return (
        f'<div class="scale" role="img" aria-label="{escaped(spoken)}"><div class="zones">'
        f"{''.join(parts)}</div>{whisker}"
        f'<i class="needle" style="left:{100 * _clip(p_fake):.1f}%"></i></div>'
    )


#: What a zone is called where there is little room.
_ZONES = {"real": "no trace"}
#: Per cent of the bar that a word needs on a narrow screen.
_ROOM_FOR_A_WORD = 14


def timeline(
    moments: Sequence[Moment],
    p_fake: float,
    interval: Interval,
    thresholds: Mapping[str, float],
    end: float,
    left_out: Sequence[LeftOut],
    marks: Marks,
    who: str,
    segments: Sequence[Segment] = (),
) -> str:
    """The ``p_fake`` of one person over the time of the clip.

    Args:
        moments: of the person, in time; at least one.
        p_fake: of all of them together.
        interval: of that.
        thresholds: ``real`` and ``fake``.
        end: of the clip in seconds.
        left_out: when the face was seen but not judged.
        marks: letter, time, and whether it stands at the top, of frames that are shown below.
        who: the person, for titles.
        segments: from when to when the evidence is fake: shaded.
    """
    end = max(end, moments[-1].t, 1e-3)
    runs = _runs(moments)
    crowded = len(moments) > _COLUMNS
    strokes = _columns(runs, end) if crowded else _points(runs)
    dots = [stroke for stroke in strokes if len(stroke) == 1] if crowded else strokes
    low, high = _clip(interval[0]), _clip(interval[1])
    first, last = runs[0][0].t, runs[-1][-1].t
    title = f"p_fake of {who} over time: {_told(moments)}{_spoken(segments)}"
    x = _WIDTH / end
    band = (
        f'<rect class="band" x="{first * x:.1f}" y="{100 - 100 * high:.1f}" '
        f'width="{max((last - first) * x, 4):.1f}" height="{100 * max(high - low, 0.004):.1f}"/>'
        f'<path class="level" d="M{first * x:.1f} {100 - 100 * p_fake:.1f}'
        f'h{max((last - first) * x, 4):.1f}"/>'
    )
    lines = "".join(
        f'<path class="limit" d="M0 {100 - 100 * thresholds[word]:.1f}H{_WIDTH}"/>'
        for word in ("fake", "real")
    )
    spread = f'<path class="spread" d="{_spread(strokes, x)}"/>' if crowded else ""
    curve = "".join(_curve(stroke, x) for stroke in strokes)
    dotted = f'<path class="dots" d="{_dots(dots, x)}"/>' if dots else ""
    return (
        f'<div class="timeline">{_limit_labels(thresholds)}<div class="plot">'
        f'<svg viewBox="0 0 {_WIDTH} 100" preserveAspectRatio="none" role="img">'
        f"<title>{escaped(title)}</title>"
        f"{_shaded(segments, x)}{lines}{band}{spread}"
        f'<path class="curve" d="{curve}"/>{dotted}</svg>'
        '</div><div class="values" aria-hidden="true"><span>100 %</span><span>50 %</span>'
        f"<span>0 %</span></div>{_marks(marks, end, True)}{_marks(marks, end, False)}"
        f"{_presence(runs, left_out, end)}{_ticks(end)}{_legend(left_out, segments)}</div>"
    )


def _shaded(segments: Sequence[Segment], x: float) -> str:
    """The segments, over the whole height; short ones can still be seen."""
    return "".join(
        f'<rect class="segment" x="{part.start * x:.1f}" y="0" '
        f'width="{max((part.end - part.start) * x, 4):.1f}" height="100"/>'
        for part in segments[:_MOST_SHADED]
    )


def _told(moments: Sequence[Moment]) -> str:
    """How many, when, and between which values, for who cannot see the curve."""
    values = [moment.p_fake for moment in moments]
    return (
        f"{counted(len(moments), 'frame')} judged between {clock(moments[0].t)} and "
        f"{clock(moments[-1].t)}, from {percent(min(values))} to {percent(max(values))}"
    )


def _spoken(segments: Sequence[Segment]) -> str:
    """When it looks fake, for who cannot see the shades."""
    times = [f"from {clock(part.start)} to {clock(part.end)}" for part in segments[:_MOST_SHADED]]
    return f"; looks fake {', '.join(times)}" if times else ""


def _clip(p_fake: float) -> float:
    return min(max(p_fake, 0.0), 1.0)


def _runs(moments: Sequence[Moment]) -> list[list[Moment]]:
    """The moments, parted where the face was not judged for a while."""
    steps = [b.t - a.t for a, b in itertools.pairwise(moments)]
    gap = max(_GAP_STEPS * float(np.median(steps)), _SHORTEST_GAP) if steps else math.inf
    runs = [[moments[0]]]
    for step, moment in zip(steps, moments[1:], strict=True):
        if step > gap:
            runs.append([])
        runs[-1].append(moment)
    return runs


Point = tuple[float, float, float, float]  # time; mean, least, most
Stroke = list[Point]


def _points(runs: Sequence[Sequence[Moment]]) -> list[Stroke]:
    """Every moment as a point, every run as a stroke."""
    return [[(m.t, m.p_fake, m.p_fake, m.p_fake) for m in run] for run in runs]


def _columns(runs: Sequence[Sequence[Moment]], end: float) -> list[Stroke]:
    """A point for each column of the drawing with moments in it.

    A stroke ends where the face was away from one column to the next; a shorter gap would not be
    seen.
    """
    columns: dict[int, list[Moment]] = {}
    strokes: list[list[int]] = []
    for run in runs:
        for moment in run:
            column = int(moment.t / end * (_COLUMNS - 1))
            if column not in columns:
                columns[column] = []
                if moment is run[0]:
                    strokes.append([])
                strokes[-1].append(column)
            columns[column].append(moment)
    return [[_summary(columns[column]) for column in stroke] for stroke in strokes]


def _summary(moments: Sequence[Moment]) -> Point:
    values = [moment.p_fake for moment in moments]
    middle = (moments[0].t + moments[-1].t) / 2
    return middle, sum(values) / len(values), min(values), max(values)


def _y(p_fake: float) -> str:
    return f"{100 - 100 * _clip(p_fake):.1f}"


def _curve(stroke: Stroke, x: float) -> str:
    return "M" + "L".join(f"{t * x:.1f} {_y(mean)}" for t, mean, _, _ in stroke)


def _spread(strokes: Iterable[Stroke], x: float) -> str:
    """Areas between least and most; that of a single point is a column wide."""
    paths = []
    for stroke in strokes:
        edges = [(t * x, least, most) for t, _, least, most in stroke]
        if len(edges) == 1:
            at, least, most = edges[0]
            half = _WIDTH / _COLUMNS / 2
            edges = [(at - half, least, most), (at + half, least, most)]
        top = [f"{at:.1f} {_y(most)}" for at, _, most in edges]
        bottom = [f"{at:.1f} {_y(least)}" for at, least, _ in reversed(edges)]
        paths.append(f"M{'L'.join(top + bottom)}z")
    return "".join(paths)


def _dots(strokes: Iterable[Stroke], x: float) -> str:
    return "".join(f"M{t * x:.1f} {_y(mean)}h0" for stroke in strokes for t, mean, _, _ in stroke)


def _limit_labels(thresholds: Mapping[str, float]) -> str:
    """What the two lines mean, beside the drawing, where no curve runs: above the one for fake and
    below the one for real."""
    fake, real = 100 - 100 * thresholds["fake"], 100 - 100 * thresholds["real"]
    places = (
        (" above", fake, f"fake from {percent(thresholds['fake'])}"),
        ("", real, f"{_ZONES['real']} up to {percent(thresholds['real'])}"),
    )
    labels = "".join(
        f'<span class="limit-label{place}" style="top:{y:.1f}%">{text}</span>'
        for place, y, text in places
    )
    return f'<div class="limits" aria-hidden="true">{labels}</div>'


def _legend(left_out: Sequence[LeftOut], segments: Sequence[Segment]) -> str:
    """What the lane under the drawing, and the shades in it, mean in this one."""
    parts = ['<span class="key judged"></span> judged']
    reasons = dict.fromkeys(reason(span.reason).short for span in left_out)
    if reasons:
        parts.append(
            f'<span class="key out"></span> seen, but left out ({escaped(", ".join(reasons))})'
        )
    if segments:
        parts.append('<span class="key segment"></span> looks fake for a while')
    return f'<div class="lanes">{"".join(f"<span>{part}</span>" for part in parts)}</div>'


def _marks(marks: Marks, end: float, top: bool) -> str:
    """Letters of frames in a row above the plot, or below it, each tied to its time.

    They are moved apart so far that they do not cover each other on a phone.
    """
    chosen = sorted((100 * t / end, t, letter) for letter, t, above in marks if above == top)
    places: list[float] = []
    for x, _, _ in chosen:
        places.append(max(x, places[-1] + _LETTER if places else _LETTER / 2))
    limit = 100 - _LETTER / 2
    for number in range(len(places) - 1, -1, -1):
        places[number] = min(places[number], limit)
        limit = places[number] - _LETTER
    letters = "".join(
        f'<span style="left:{place:.1f}%" title="frame {letter}, {clock(t)}">{letter}</span>'
        for place, (_, t, letter) in zip(places, chosen, strict=True)
    )
    ties = "".join(
        f"M{10 * place:.0f} {0 if top else 100}L{10 * x:.0f} {100 if top else 0}"
        for place, (x, _, _) in zip(places, chosen, strict=True)
    )
    return (
        f'<div class="marks{" top" if top else ""}" aria-hidden="true"><svg viewBox="0 0 {_WIDTH} '
        f'100" preserveAspectRatio="none"><path d="{ties}"/></svg>{letters}</div>'
    )


def _presence(runs: Sequence[Sequence[Moment]], left_out: Sequence[LeftOut], end: float) -> str:
    """Where the face was judged, and where it was seen but left out."""
    cells = ["" for _ in range(_COLUMNS)]
    reasons: dict[int, str] = {}
    for segment in left_out:
        for cell in _cells(segment.start, segment.end, end):
            cells[cell], reasons[cell] = "out", segment.reason
    for run in runs:
        for cell in _cells(run[0].t, run[-1].t, end):
            cells[cell] = "judged"
            reasons.pop(cell, None)
    parts, start = [], 0
    for cell in range(1, _COLUMNS + 1):
        same = cell < _COLUMNS and (cells[cell], reasons.get(cell)) == (
            cells[start],
            reasons.get(start),
        )
        if same:
            continue
        if cells[start]:
            title = "judged" if cells[start] == "judged" else f"left out: {reasons[start]}"
            parts.append(
                f'<i class="{cells[start]}" title="{escaped(title.replace("_", " "))}" style="left:'
                f'{100 * start / _COLUMNS:.2f}%;width:{100 * (cell - start) / _COLUMNS:.2f}%"></i>'
            )
        start = cell
    return f'<div class="presence" aria-hidden="true">{"".join(parts)}</div>'


def _cells(start: float, stop: float, end: float) -> range:
    first = min(int(start / end * _COLUMNS), _COLUMNS - 1)
    return range(first, min(int(stop / end * _COLUMNS), _COLUMNS - 1) + 1)


def _ticks(end: float) -> str:
    fitting = (step for step in _TICKS if end / step <= _MOST_TICKS)
    step = next(fitting, end / _MOST_TICKS)
    count = int(end / step + 1e-9)
    ticks = ""
    for number in range(count + 1):
        x = 100 * number * step / end
        last = ' class="last"' if x > _LAST_TICK else ""
        ticks += f'<span{last} style="left:{x:.1f}%">{clock(number * step, step < 1)}</span>'
    return f'<div class="ticks" aria-hidden="true">{ticks}</div>'
