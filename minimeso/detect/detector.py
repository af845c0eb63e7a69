"""The detector: a picture or a clip in, a verdict out."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..checks import is_flag, is_number
from ..closing import Closing
from ..engine import Model, Session
from ..engine.float_errors import usual_float_errors, with_usual_float_errors
from ..errors import InputError, PictureError
from ..hints import later
from ..locks import Lock
from ..media.binary import binary_of
from ..media.clip import NAMELESS, Clip, checked_fps, checked_rate
from ..media.kinds import is_clip
from ..media.pictures import Picture, picture_in_memory, read_picture
from ..notes import Note
from .analyzer import Analyzer
from .covered import Covers
from .finder import FaceFinder
from .findings import Findings
from .measured import measured_elsewhere
from .pair import Networks, Pair, find_detector, open_networks
from .prior import EVEN, checked_prior
from .rule import Rule, spread_of
from .source import Frame, Source, check_frames, name_of, with_seek
from .verdict import Face, LiveFace, OnFrame, Verdict, unreadable

if TYPE_CHECKING:
    from ..media.key_frames import Span
    from ..media.streams import Stream
    from .pieces import Piece
else:
    Span = later("minimeso.media.key_frames", "Span")
    Piece = later("minimeso.detect.pieces", "Piece")


class Detector(Closing):
    """Judges pictures and clips: was a face in it swapped?

    Args:
        model: name of a bundled model or pair, path of a model file or of the manifest of a pair, a
            ``Model`` or a ``Pair``.
        fast: of a pair, leave the thorough network out: the fast one judges as it does alone.
        finder: name or path of a face finder, or a ``FaceFinder``.
        min_face: side in pixels of the smallest face that is searched for, see ``FaceFinder``.
        crops: every picture is a face already, cut as in the training of the model: nothing is
            searched for.
        prior: how likely it is, before a file is looked at, that somebody in it was swapped; above
            0 and below 1, see ``prior``.
        max_pixels: of a picture file; a larger JPEG is decoded at a part of its size, see
            ``minimeso.media.pictures.read_picture``.
        threads: how many threads work; by default one per available core.
        isa: instruction set, as for ``Session``.

    Attributes:
        model: the ``Model`` or ``Pair`` that judges.
        networks: its sessions.
        finder: what finds the faces; ``None`` with ``crops``.

    A detector may be used from several threads, one at a time runs the networks.  It is pickled,
    copied and closed as a ``Session`` is.

    Raises:
        ModelError: a model is missing, damaged, no detector or no face finder.
        GraphError: the weights of a ``Model`` do not fit its graph.
        InputError: ``fast``, ``crops``, ``prior``, ``min_face`` or ``max_pixels`` makes no sense.
        EngineError: the instruction set is not available.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model | Pair = "default",
        *,
        fast: bool = False,
        finder: str | os.PathLike[str] | Model | FaceFinder = "yunet-s",
        min_face: float | None = None,
        crops: bool = False,
        prior: float = EVEN,
        max_pixels: int | None = None,
        threads: int | None = None,
        isa: str | None = None,
    ) -> None:
        for name, value in (("fast", fast), ("crops", crops)):
            if not is_flag(value):
                raise InputError(f"{name} {value!r}: give True or False")
        self.model: Model | Pair = find_detector(model, fast)
        self.networks = open_networks(self.model, threads, isa)
        spread = spread_of(self.model.calibration, self.model.name)
        self._rule = Rule(self.model.thresholds or {}, spread, checked_prior(prior))
        if min_face is not None and (crops or isinstance(finder, FaceFinder)):
            raise InputError("min_face says how to find faces: not with crops or a FaceFinder")
        self.finder: FaceFinder | None = None
        if not crops:
            self.finder = (
                finder
                if isinstance(finder, FaceFinder)
                else FaceFinder(finder, min_face=min_face, threads=threads, isa=isa)
            )
            if self.finder is not finder:
                self.finder.session.share_workspace(self.session)
        if self.thorough is not None:
            self.thorough.share_workspace(self.session)
        self._max_pixels = max_pixels
        if max_pixels is not None and not (is_number(max_pixels) and max_pixels >= 1):
            raise InputError(f"max_pixels must be a number, 1 or more, not {max_pixels!r}")
        self._for_clips: tuple[Networks, FaceFinder | None, Covers | None] | None = None
        self._covers = Covers(self.finder.session) if self.finder is not None else None
        self._own_finder = self.finder is not None and self.finder is not finder
        self._given: dict[str, Any] = {"threads": threads, "isa": isa}
        self._closed = False
        self._opening = Lock()  # what is for clips is opened once, whoever comes first

    def __reduce__(self) -> tuple[Any, ...]:
        finder: dict[str, Any] = {"crops": True} if self.finder is None else {"finder": self.finder}
        if self.finder is not None and self._own_finder:  # it is to share memory there, too
            finder = {"finder": self.finder.session.model, "min_face": self.finder.min_face}
        settings: dict[str, Any] = {
            "prior": self.prior,
            "max_pixels": self._max_pixels,
            **self._given,
        }
        return partial(type(self), self.model, **finder, **settings), ()

    def close(self) -> None:
        """Give threads and memory back, but for a ``FaceFinder`` that came from outside; nothing is
        judged any more."""
        with self._opening:
            self._closed = True
        rooms = [(self.networks, self.finder if self._own_finder else None, self._covers)]
        if self._for_clips is not None:
            rooms.append(self._for_clips)
        for networks, finder, covers in rooms:
            if finder is not None:
                FaceFinder.close(finder)  # a copy shares what its class closes with the one outside
            for part in (*networks[1:], covers):
                if part is not None:
                    part.close()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the detector is closed: make another one")

    @property
    def session(self) -> Session:
        """The network that looks at every face."""
        return self.networks.fast

    @property
    def thorough(self) -> Session | None:
        """Of a pair, the network that looks at some faces; ``None`` where there is no pair."""
        return self.networks.thorough

    @property
    def measured(self) -> tuple[Note, ...]:
        """How good the model was on sources that its training never saw, as far as is known."""
        return measured_elsewhere(self.model.meta)

    @property
    def prior(self) -> float:
        """How likely it is that somebody in a file is swapped, before it is looked at."""
        return self._rule.prior

    @with_usual_float_errors
    def check(
        self,
        source: Source,
        *,
        fps: float | None = None,
        every_frame: bool = False,
        on_frame: OnFrame | None = None,
    ) -> Verdict:
        """Judge one picture or clip.

        Args:
            source: path of a picture or of a clip (which needs the extra ``video``), a ``Clip``,
                the bytes of a picture or clip, an open binary file with one (anything that has
                ``read``: an upload, a member of an archive, a pipe), a Pillow image, or an array:
                uint8 or float in [0, 1], of shape (H, W, 3) RGB, (H, W, 4) with alpha, or (H, W).
            fps: frames of a clip that are looked at in a second; by default 4.
            every_frame: look at all of them.
            on_frame: called with every frame that was judged and the share of the clip that is
                done (``None`` if unknown); where it returns ``True``, the clip is left there: no
                further frame is told of, and what was seen so far is judged (also the frames that
                were looked at together with this one).

        Returns:
            A verdict.  A file that cannot be read is no exception but has the status
            ``unreadable`` and the reason in ``notes``.

        Raises:
            PictureError: a Pillow image cannot be decoded.
            InputError: ``source`` is none of the above, an array of another kind, ``fps`` makes no
                sense, a ``Clip`` was read or closed already, or the detector is closed.
            ModelError: the network's result is not a number, because its weights overflow, or not
                in [0, 1]; the picture is not to blame, so it gets no verdict.
        """
        self._check_open()
        checked_fps(fps, every_frame)
        source = binary_of(source)
        path = name_of(source)
        try:
            if isinstance(source, Clip):
                if source.is_over:
                    raise InputError(f"{path or 'the clip'}: read or closed already: open it again")
                return self._judge_clip(source, path, on_frame)
            source = with_seek(source)
            if isinstance(source, (str, os.PathLike, io.BufferedIOBase)) and is_clip(source):
                from ..media.video import open_clip  # whose import takes longer than a face

                with open_clip(cast("str | Stream", source), fps, every_frame) as clip:
                    return self._judge_clip(clip, path, on_frame)
            picture = read_picture(source, self._max_pixels)
        except PictureError as error:
            if path is None and not isinstance(source, Clip):
                raise
            reason = str(error).removeprefix(f"{path or NAMELESS}: ")
            return unreadable(path, reason, self.model.name, self.prior)
        return self._judge_picture(picture, path, on_frame)

    @with_usual_float_errors
    def check_piece(
        self,
        source: str | os.PathLike[str] | BinaryIO | io.IOBase,
        span: Span,
        *,
        fps: float | None = None,
        every_frame: bool = False,
        on_frame: OnFrame | None = None,
    ) -> Piece:
        """Judge a piece of a long clip, for ``join``; see ``pieces``.

        Args:
            source: path of the clip, or an open binary file.
            span: from ``minimeso.media.key_frames.spans``.
            fps, every_frame, on_frame: as for ``check``.

        Raises:
            PictureError: the file cannot be read, or is no clip.
            InputError, ModelError: as from ``check``.
        """
        from ..media.video import open_clip

        self._check_open()
        opened = with_seek(binary_of(source))
        if not isinstance(opened, (str, os.PathLike, io.BufferedIOBase)):
            raise InputError(f"{type(source).__name__} is no clip: give a path or an open file")
        with open_clip(cast("str | Stream", opened), fps, every_frame, span) as clip:
            analyzer = self._clip_analyzer(clip.starts_at)
            try:
                faults = self._judge_frames(analyzer, clip, name_of(opened), on_frame)
            except PictureError:  # not one whole frame
                faults = (Note("cut_short", {"seconds": clip.starts_at, "whole": clip.duration}),)
                analyzer.findings.frames_read = 0
        return analyzer.piece(span, faults, clip.remarks)

    @with_usual_float_errors
    def join(self, pieces: Sequence[Piece], path: str | None = None) -> Verdict:
        """The verdict about a clip of this path, all of whose pieces were judged, by this detector
        or by equal ones; in time.

        Raises:
            InputError: there is no piece, or the detector is closed.
        """
        from .pieces import joined

        self._check_open()
        if not pieces:
            raise InputError("join needs the pieces of a clip: give all of them, in time")
        findings, faults, remarks = joined(pieces)
        return self._verdict(findings, path, faults, remarks)

    def stream(self, frames: Iterable[Frame], rate: float = 25.0) -> Iterator[LiveFace]:
        """Judge frames as they come, for live use: no frame waits for the next one.

        Args:
            frames: arrays or Pillow images as for ``check``, of any size, one after the other.
            rate: frames in a second.

        Yields:
            Every face of every frame, with what is known of its person so far.

        Raises:
            InputError: a frame is no picture, ``rate`` makes no sense, or the detector is closed.
            PictureError, ModelError: as from ``check``.
        """
        self._check_open()
        check_frames(frames)
        rate = checked_rate(rate)
        analyzer = Analyzer(self.networks, self._rule, self.finder, self._covers)
        for number, frame in enumerate(frames):
            self._check_open()
            with usual_float_errors():
                cropped = analyzer.crop_faces(number / rate, picture_in_memory(frame).pixels)
                faces = list(analyzer.live(analyzer.judge([cropped])[0]))
            yield from faces

    def _judge_picture(
        self, picture: Picture, path: str | None, on_frame: OnFrame | None
    ) -> Verdict:
        analyzer = Analyzer(self.networks, self._rule, self.finder, self._covers, True)
        findings = analyzer.findings
        findings.doubt = picture.doubt
        seen = analyzer.judge_picture(picture.pixels)
        analyzer.finish()
        persons = {track.id: track for track in findings.tracks(self._rule)[0]}
        if on_frame is not None:
            on_frame(seen.of_persons(persons), 1.0)
        faces = tuple(
            Face(moment.box, track.p_fake, track.verdict, track.interval)
            for track in persons.values()
            for moment in track.frames
        )
        return findings.verdict(
            self._rule, self.model.name, path, picture.complete, picture.notes, faces
        )

    def _judge_clip(self, clip: Clip, path: str | None, on_frame: OnFrame | None) -> Verdict:
        analyzer = self._clip_analyzer()
        faults = self._judge_frames(analyzer, clip, path, on_frame)
        return self._verdict(analyzer.findings, path, faults, clip.remarks)

    def _verdict(
        self,
        findings: Findings,
        path: str | None,
        faults: tuple[Note, ...] = (),
        remarks: tuple[Note, ...] = (),
    ) -> Verdict:
        """About a clip that was read to its end."""
        return findings.verdict(self._rule, self.model.name, path, not faults, (*faults, *remarks))

    def _clip_analyzer(self, piece_from: float | None = None) -> Analyzer:
        networks, finder, covers = self._with_fewer_threads()
        return Analyzer(networks, self._rule, finder, covers, piece_from=piece_from)

    def _judge_frames(
        self, analyzer: Analyzer, clip: Clip, path: str | None, on_frame: OnFrame | None
    ) -> tuple[Note, ...]:
        """All frames of a clip are judged; what of it was not read."""
        from .reading import judge_frames

        def so_far() -> Verdict:
            found = analyzer.findings
            found.frames_read, found.doubt = clip.frames_read, clip.doubt
            return found.verdict(self._rule, self.model.name, path, True, (), so_far=True)

        return judge_frames(analyzer, clip, on_frame, so_far)

    def _with_fewer_threads(self) -> tuple[Networks, FaceFinder | None, Covers | None]:
        """Networks and finders for clips, whose decoder and finder have threads of their own: more
        than the cores can run would only wait for each other."""
        with self._opening:
            self._check_open()
            if self._for_clips is None:
                threads = max(1, self.session.threads // 2)
                networks = open_networks(self.model, threads, self.session.isa)
                finder = self.finder.with_threads(1) if self.finder is not None else None
                covers = Covers(finder.session) if finder is not None else None
                self._for_clips = networks, finder, covers
            return self._for_clips
