"""One person on the page: scale, timeline, frames with boxes, and what the network reacted to."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..detect.box import Box
from ..detect.verdict import Crop, Track
from ..notes import clock, in_words
from .attribution import LayerGradientXActivation
from .highlights import Collector, Highlight
from .phrases import INFLUENCE, counted, escaped, percent
from .timeline import Marks, scale, timeline

_CROP_QUALITY = 85
#: Height of a frame on the page in rem, for clips that stand upright.
_HIGHEST = 26
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Rows and columns of a heat map that are drawn.
_MOST_CELLS = 32
#: Shares of the largest attribution at which the tint grows stronger, and from which on there is a
#: sign.
_LEVELS = (0.1, 0.25, 0.5, 0.75)
_SIGN_FROM = 0.4

Attributions = npt.NDArray[np.float64]

_LEGEND = (
    '<p class="fine legend"><span class="key fake">+</span> pushed the network{whose} towards '
    f'fake, <span class="key real">&minus;</span> towards real. {INFLUENCE}</p>'
)


class Person(NamedTuple):
    """A person as HTML, the large part apart so that it can be left away."""

    head: str
    pictures: str


def person(
    track: Track,
    seen: Collector,
    thresholds: Mapping[str, float],
    attribution: LayerGradientXActivation | None,
    whose: str,
    anchor: str,
    count: int,
) -> Person:
    """The section of one person.

    Args:
        track: what was found.
        seen: what was kept of the file.
        thresholds: of the model.
        attribution: for the heat maps, if the model allows them.
        whose: of a pair, the network that they are of, in words.
        anchor: unique name of this section.
        count: how many of the most and of the least suspicious frames are shown.
    """
    is_picture = seen.frames <= 1
    highlights = seen.highlights.get(track.id)
    judged = {moment.t: moment.p_fake for moment in track.frames}
    most, least = highlights.pick(count, judged) if highlights else ([], [])
    named = list(zip(_LETTERS, most + least, strict=False))
    marks = [
        (letter, highlight.t, place < len(most)) for place, (letter, highlight) in enumerate(named)
    ]
    title = f'<h3 id="{anchor}">{called(track)}</h3>'
    head = title + drawn(track, seen, thresholds, None if is_picture else seen.end, marks)
    attributions = _attributions([highlight for _, highlight in named], attribution)
    figures = [
        _figure(letter, highlight, of_crop, track.id, is_picture)
        for (letter, highlight), of_crop in zip(named, attributions, strict=True)
    ]
    legend = ""
    if attribution is not None and figures:
        legend = _LEGEND.replace("{whose}", f" ({escaped(whose)})" if whose else "")
    return Person(head, _rows(figures, len(most), is_picture) + legend)


def called(track: Track) -> str:
    """Number, word and ``p_fake`` of a person, as HTML."""
    return (
        f'Person {track.id}: <span class="word {track.verdict}">{in_words(track.verdict)}</span> '
        f"<small>p_fake {percent(track.p_fake)}</small>"
    )


def drawn(
    track: Track,
    seen: Collector,
    thresholds: Mapping[str, float],
    end: float | None,
    marks: Marks = (),
) -> str:
    """Scale and, of a clip that ends so many seconds after its start, timeline of a person."""
    parts = [
        scale(track.p_fake, track.interval, thresholds),
        f'<p class="fine">95 % interval {percent(track.interval[0])} to '
        f"{percent(track.interval[1])}, from {_frames(track)}.</p>",
    ]
    if track.frames and end is not None:
        left_out, who = seen.left_out.get(track.id, ()), f"person {track.id}"
        parts.append(
            timeline(
                track.frames, track.p_fake, track.interval, thresholds, end, left_out, marks, who,
                track.segments,
            )
        )  # fmt: skip
    return "".join(parts)


def _frames(track: Track) -> str:
    """What a person's p_fake comes from."""
    judged = counted(len(track.frames), "judged frame")
    looked = sum(moment.thorough for moment in track.frames)
    if looked in (0, len(track.frames)):
        return judged
    return f"{counted(looked, 'frame')} that both networks looked at, of {judged}"


def _rows(figures: Sequence[str], most: int, is_picture: bool) -> str:
    """The figures, of which the first ``most`` are suspicious: the first of these and the first of
    the others, which say most, beside each other."""
    if is_picture or not figures:
        return "".join(f'<div class="highlights one">{figure}</div>' for figure in figures)
    first, rest = figures[:most], figures[most:]
    if not rest:
        return _row("Most suspicious", first)
    letters = _LETTERS[0], _LETTERS[most]
    pair = f"Side by side: most suspicious ({letters[0]}) and least suspicious ({letters[1]})"
    return (
        _row(pair, [first[0], rest[0]], " pair")
        + _row("Also suspicious", first[1:])
        + _row("Also among the least suspicious", rest[1:])
    )


def _row(title: str, figures: Sequence[str], kind: str = "") -> str:
    if not figures:
        return ""
    return f'<h4>{title}</h4><div class="highlights{kind}">{"".join(figures)}</div>'


def _attributions(
    highlights: Sequence[Highlight], attribution: LayerGradientXActivation | None
) -> list[Attributions | None]:
    """(h, w) of each crop, as shares of the largest in any of these frames, -1 to 1."""
    if attribution is None or not highlights:
        return [None] * len(highlights)
    found = attribution.attribute(np.stack([one.crop for one in highlights]))
    found = _pooled(found)
    largest = np.abs(found).max()
    usable = np.isfinite(largest) and largest > 0
    return list(found / largest) if usable else [np.zeros_like(one) for one in found]


def _pooled(attributions: Attributions) -> Attributions:
    """(N, h, w) of ``_MOST_CELLS`` rows and columns at most; attributions of neighbours add up."""
    for axis in (1, 2):
        length = attributions.shape[axis]
        if length > _MOST_CELLS:
            starts = np.arange(_MOST_CELLS) * length // _MOST_CELLS
            attributions = np.add.reduceat(attributions, starts, axis=axis)
    return attributions


def _figure(
    letter: str,
    highlight: Highlight,
    attributions: Attributions | None,
    number: int,
    is_picture: bool,
) -> str:
    boxes = [*((other, box, "other") for other, box in highlight.others)]
    boxes.append((number, highlight.box, "this"))
    alt = _alt_of_frame(highlight, number, is_picture)
    frame = with_boxes(highlight.jpeg, highlight.size, alt, boxes)
    crop = _jpeg_uri(_jpeg(highlight.crop))
    rows, columns = highlight.crop.shape[1:]
    crops = (
        f'<div class="crop"><img src="{crop}" alt="The face of person {number} as the network '
        f'saw it" style="aspect-ratio:{columns}/{rows}"><span>as the network saw it</span></div>'
    )
    if attributions is not None:
        crops += (
            f'<div class="crop"><img src="{crop}" alt="{_alt_of_attributions(attributions)}" '
            f'style="aspect-ratio:{columns}/{rows}">{_overlay(attributions)}'
            "<span>what it reacted to</span></div>"
        )
    caption = (
        ""
        if is_picture
        else f"<figcaption><b>{letter}</b> <time>{clock(highlight.t)}</time> · p_fake "
        f"{percent(highlight.p_fake)}</figcaption>"
    )
    return f'<figure>{caption}{frame}<div class="crops">{crops}</div></figure>'


def _alt_of_frame(highlight: Highlight, number: int, is_picture: bool) -> str:
    x, y, width, height = highlight.box
    place = _place((x + width / 2) / highlight.size[0], (y + height / 2) / highlight.size[1])
    others = f", {counted(len(highlight.others), 'other face')} in view" if highlight.others else ""
    what = "Picture" if is_picture else f"Frame at {clock(highlight.t)}"
    return f"{what}: person {number} {place}{others}"


def _place(x: float, y: float) -> str:
    """In words, of a point in a unit square."""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "middle"
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    return f"at the {down} {across}".replace("  ", " ")


def _alt_of_attributions(attributions: Attributions) -> str:
    rows, columns = attributions.shape
    parts = []
    for sign, word in ((1, "fake"), (-1, "real")):
        if (sign * attributions).max() > _LEVELS[0]:
            row, column = np.unravel_index(int((sign * attributions).argmax()), attributions.shape)
            place = _place((column + 0.5) / columns, (row + 0.5) / rows)
            parts.append(f"most towards {word} {place}")
    return f"Heat map on the face: {', '.join(parts) or 'no influence to speak of'}"


def with_boxes(
    jpeg: bytes, size: tuple[int, int], alt: str, boxes: Sequence[tuple[int, Box, str]]
) -> str:
    """A frame of width and height ``size``, and on it of each face number, box and whether it is
    ``this`` one or, thinner, an ``other``."""
    width, height = size
    drawn = "".join(_box(box, number, max(size) / 100, kind) for number, box, kind in boxes)
    return (
        f'<div class="frame" style="max-width:{_HIGHEST * width / height:.1f}rem">'
        f'<img src="{_jpeg_uri(jpeg)}" alt="{escaped(alt)}" style="aspect-ratio:{width}/{height}">'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{drawn}</svg></div>'
    )


def _box(box: Box, number: int, unit: float, kind: str) -> str:
    x, y, width, height = box
    size = 5 * unit
    label = str(number or "-")  # nobody who could be judged so far
    tag = size * (0.5 + 0.6 * len(label))
    top = y - size * 1.15 if y > size * 1.15 else y
    return (
        f'<g class="{kind}"><path class="halo" d="{_rectangle(x, y, width, height)}"/>'
        f'<path class="edge" d="{_rectangle(x, y, width, height)}"/>'
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{tag:.1f}" height="{size * 1.15:.1f}"/>'
        f'<text x="{x + tag / 2:.1f}" y="{top + size * 0.95:.1f}" font-size="{size:.1f}">{label}'
        f"</text></g>"
    )


def _rectangle(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z"


def _overlay(attributions: Attributions) -> str:
    """Tinted cells; + and - in the strong ones, so that nobody needs to tell the colours apart."""
    rows, columns = attributions.shape
    parts = []
    for sign, word in ((1, "fake"), (-1, "real")):
        strength = np.digitize(sign * attributions, _LEVELS)
        for level in range(1, len(_LEVELS) + 1):
            cells = np.argwhere(strength == level)
            path = "".join(f"M{column} {row}h1v1h-1z" for row, column in cells)
            if path:
                parts.append(f'<path class="{word} l{level}" d="{path}"/>')
        strong = np.argwhere(sign * attributions >= _SIGN_FROM)
        cross = "".join(
            f"M{column + 0.3:.1f} {row + 0.5}h.4"
            + (f"M{column + 0.5} {row + 0.3:.1f}v.4" if sign > 0 else "")
            for row, column in strong
        )
        if cross:
            parts.append(f'<path class="sign under" d="{cross}"/><path class="sign" d="{cross}"/>')
    return (
        f'<svg class="attribution" viewBox="0 0 {columns} {rows}" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def _jpeg(crop: Crop) -> bytes:
    """What the network judged, (3, H, W) from 0 to 1, for people, in whole bytes."""
    from PIL import Image

    pixels = np.rint(255 * crop).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=_CROP_QUALITY)
    return buffer.getvalue()


def _jpeg_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
