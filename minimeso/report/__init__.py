"""The report: one self-contained HTML page to look at instead of numbers to read.

``highlights`` keeps a few frames while a clip runs past, ``attribution`` says what the network
reacted to, ``timeline`` and ``persons`` draw, ``page`` puts everything together, ``growing`` what
is known before the end, ``card`` reads the limits of the model, ``phrases`` has the texts,
``caveats`` and ``sentence`` what is said of one file in a few lines and in one.
``annotate`` stands apart: the picture or clip once more.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..detect.verdict import Moment, SeenFrame, Verdict
from ..media.atomic_file import AtomicFile
from ..notes import Note, in_words
from .attribution import LayerGradientXActivation, find_head
from .card import limits
from .caveats import caveats
from .growing import growing
from .highlights import Collector
from .page import MOST_PICTURES, MOST_ROWS, MOST_SECTIONS, Context, Entry, document, style
from .persons import person
from .phrases import RULE, looks_like_picture, percent

if TYPE_CHECKING:
    from ..detect.pair import Networks, Pair
    from ..engine import Model
    from ..media.origin import Origin

__all__ = ["Report"]

#: Persons of one file with a timeline, and with a few words.
_MOST_PERSONS = 24
_MOST_NAMED = 200
#: Of the most suspicious frames of a person, and of the least: the first persons, the others.
_HIGHLIGHTS, _FEWER_HIGHLIGHTS = 3, 2
_FULL_PERSONS = 3


class Report:
    """Collects what a page shows, file by file, frame by frame, and writes it.

    ::

        report = Report(detector.networks, "default", {"frames": "4 a second"})
        for frame in frames:                    # of one file, in order
            report.add(frame)
        report.end(verdict)                     # of that file
        report.write("report.html")

    Memory and page are bounded, however long a clip and however many files.

    Args:
        networks: of the detector; used for heat maps by ``end``, so not from another thread then.
        model: as given to the detector: name of a bundled model or pair, path, ``Model`` or
            ``Pair``; its card lies beside it.
        options: what else a reader should know about how the page was made, for example how
            often a frame was looked at.
        rule: how a verdict comes about, in a sentence or two.
        measured: how good the model was on sources that its training never saw, of the detector.
        first: number of the first file, for who shows several pages as one.
    """

    def __init__(
        self,
        networks: Networks,
        model: str | os.PathLike[str] | Model | Pair = "default",
        options: Mapping[str, str] | None = None,
        rule: str = RULE,
        measured: Sequence[Note] = (),
        first: int = 1,
    ) -> None:
        self._networks = networks
        self._heat = _heat_maps(networks)
        self._limits = limits(model)
        self._options = dict(options or {})
        self._rule = rule
        self._measured = tuple(measured)
        self._first = first
        self._thresholds = networks.model.thresholds or {"real": 0.0, "fake": 1.0}
        self._entries: list[Entry] = []
        self._listed: list[bool] = []
        self._unlisted = 0
        self._seen = Collector()

    def add(self, frame: SeenFrame) -> None:
        """Look at a frame of the current file; its pixels are free to be used again."""
        self._seen.add(frame)

    def end(self, verdict: Verdict, origin: Origin | None = None) -> None:
        """The current file is over, and this was found.

        Args:
            verdict: on it.
            origin: which file it is, and what it says of itself.
        """
        seen, self._seen = self._seen, Collector()
        tracks = verdict.tracks
        if len(self._entries) >= MOST_ROWS:
            self._unlisted += 1
            return
        number = len(self._entries) + self._first
        verdict, peak = _numbered(verdict), _peak(verdict)
        seen.renumber({track.id: place for place, track in enumerate(tracks, start=1)})
        heat = self._heat[0 if seen.frames <= 1 else -1]
        persons = tuple(
            person(
                track,
                seen,
                self._thresholds,
                *heat,
                f"file-{number}-person-{track.id}",
                _HIGHLIGHTS if place < _FULL_PERSONS else _FEWER_HIGHLIGHTS,
            )
            for place, track in enumerate(verdict.tracks[:_MOST_PERSONS])
        )
        others = tuple(
            f"person {track.id} {in_words(track.verdict)}, {percent(track.p_fake)}"
            for track in verdict.tracks[_MOST_PERSONS:_MOST_NAMED]
        )
        if len(verdict.tracks) > _MOST_NAMED:
            others += (f"{len(verdict.tracks) - _MOST_NAMED:,} more",)
        bare = dataclasses.replace(
            verdict, tracks=tuple(dataclasses.replace(t, frames=()) for t in verdict.tracks)
        )
        is_picture = looks_like_picture(verdict)
        lines = tuple(caveats(verdict, is_picture, seen.frames, origin))
        self._entries.append(
            Entry(bare, is_picture, seen.frames, persons, others, peak, origin, lines)
        )
        self._listed.append(True)
        self._limit_size()

    def _limit_size(self) -> None:
        """The least suspicious files lose their pictures, or their sections."""
        shown = [number for number, listed in enumerate(self._listed) if listed]
        shown.sort(key=lambda number: self._entries[number].suspicion)
        if len(shown) > MOST_SECTIONS:
            least = shown.pop(0)
            self._listed[least] = False
            self._entries[least] = self._entries[least]._replace(persons=(), others=())
        size = sum(self._entries[number].size for number in shown)
        for number in shown:
            if size <= MOST_PICTURES:
                break
            size -= self._entries[number].size
            self._entries[number] = self._entries[number].without_pictures()

    def write(self, path: str | os.PathLike[str], verdict: Verdict | None = None) -> None:
        """Write the page, whole or not at all.

        Args:
            path: the HTML file; what was there before is replaced, unless it was judged.
            verdict: of the only file, in place of ``end``.

        Raises:
            OutputError: the file cannot be written; the message says why and what to do.
        """
        if verdict is not None:
            self.end(verdict)
        parts = self.parts()
        judged = (entry.verdict.path for entry in self._entries)
        file = AtomicFile(path, tuple(source for source in judged if source is not None))
        try:
            with open(file.temporary, "w", encoding="utf-8", newline="\n") as page:  # noqa: PTH123
                for part in parts:
                    page.write(part)
        except BaseException as error:
            file.discard()
            if isinstance(error, OSError):
                raise file.failed(error) from None
            raise
        file.keep()

    def parts(self) -> Iterator[str]:
        """The page about all files so far, part by part."""
        context = Context(
            self._thresholds,
            self._rule,
            self._limits,
            any(attribution is not None for attribution, _ in self._heat),
            self._measured,
            self._provenance(),
            style(),
        )
        return document(self._entries, self._listed, self._unlisted, context, self._first)

    def growing(self, frame: SeenFrame, done: float | None) -> str:
        """What is known of the current file up to this frame, as HTML without a page around it.

        Args:
            frame: of a clip, as ``on_frame`` got it, and after ``add``.
            done: share of the clip that is done, if known.
        """
        return growing(frame, done, self._seen, self._thresholds)

    def _provenance(self) -> list[tuple[str, str]]:
        from .. import __version__  # the package is complete only now

        return [
            ("Program", f"minimeso {__version__}"),
            *_models(self._networks),
            *self._options.items(),
        ]


def _numbered(verdict: Verdict) -> Verdict:
    """With persons that are numbered as they stand on the page, from 1."""
    tracks = (dataclasses.replace(t, id=n) for n, t in enumerate(verdict.tracks, start=1))
    return dataclasses.replace(verdict, tracks=tuple(tracks))


def _peak(verdict: Verdict) -> Moment | None:
    """The most suspicious moment of all persons of a clip."""
    moments = [moment for track in verdict.tracks for moment in track.frames]
    return max(moments, key=lambda moment: moment.p_fake, default=None)


#: Attribution, if the network allows it, and of a pair whose it is, in words.
HeatMaps = tuple[LayerGradientXActivation | None, str]


def _heat_maps(networks: Networks) -> list[HeatMaps]:
    """For a picture and for a clip, of which too many faces are shown for the thorough network."""
    fast, thorough = (
        LayerGradientXActivation(session) if session and find_head(session.graph) else None
        for session in (networks.fast, networks.thorough)
    )
    if networks.thorough is None:
        return [(fast, "")]
    names = networks.fast.model.name, networks.thorough.model.name
    of_fast = fast, f"{names[0]}, the fast one of the pair"
    return [
        (thorough, f"{names[1]}, the thorough one of the pair") if thorough else of_fast,
        of_fast,
    ]


def _models(networks: Networks) -> list[tuple[str, str]]:
    """What judged, and how it is called on the page."""
    if networks.thorough is None:
        return [("Model", _about(networks.fast.model))]
    return [
        ("Model", f"{networks.model.name}, a pair of networks"),
        ("Looks at every face", _about(networks.fast.model)),
        ("Looks at every face of a picture, at some of a clip", _about(networks.thorough.model)),
    ]


def _about(model: Model) -> str:
    parts = [model.meta.get("architecture"), model.meta.get("activation")]
    about = ", ".join(str(part) for part in parts if part)
    return f"{model.name} ({about})" if about else model.name
