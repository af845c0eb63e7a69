"""The judge: one file, wherever it is, becomes its rows.  Runs in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import platform
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .. import __version__
from ..errors import InputError, MinimesoError, ModelError, OutputError, PictureError
from ..media.key_frames import Span, spans
from ..media.kinds import is_clip
from ..media.pictures import Unreadable, open_regular
from .addresses import filesystem, is_address, is_local, reason_of
from .copies import Copy
from .pieces import Cut, JudgedPiece, Work
from .schema import Outcome, outcome_of
from .settings import Settings
from .source import GONE, Entry, remote_stamp, stamp_of

_CHUNK_BYTES = 1 << 20

#: Told again and again that the work goes on.
Alive = Callable[[], None]


class Job(NamedTuple):
    """A file to judge, and what is known of it.

    Attributes:
        entry: of the source.
        sha256: of the content that was judged with the same settings before, if it was.
        stamp: of the file then.
        copy: a local copy of what only the sender can read.
        work: of a clip that was cut, what is to be done for it.
        share: of the work for the file.
    """

    entry: Entry
    sha256: str | None = None
    stamp: str | None = None
    copy: str | None = None
    work: Work | None = None
    share: float = 1.0


#: What came of a job.
Answer = Outcome | Cut | JudgedPiece


class Judge:
    """Judges files with a detector.

    Args:
        settings: how.
        scratch: folder for copies of what is not on this machine.

    Raises:
        MinimesoError: as from ``Detector``.
    """

    def __init__(self, settings: Settings, scratch: str | None = None) -> None:
        self._settings, self._scratch = settings, scratch
        self._detector = settings.detector()

    def __call__(self, job: Job, alive: Alive) -> Answer:
        """Judge a file, or a piece of one; of what cannot be read, the verdict says so.

        Args:
            job: the file.
            alive: called whenever something was read or judged.

        Raises:
            OutputError: there is no room for a copy of it.
        """
        path = job.entry.path
        if job.entry.fault is not None:
            return self._unreadable(path, job.entry, job.entry.fault)
        try:
            if job.work is not None:
                return self._worked(job, job.work, alive)
            with self._fetched(job, alive) as (local, size, stamp):
                if job.stamp and stamp == job.stamp:
                    return Outcome(path, None, [], stamp, size)
                sha256 = _sha256(local, alive)
                if sha256 is not None and sha256 == job.sha256:
                    return Outcome(path, None, [], stamp, size)
                return self._judged(job, local, size, stamp, sha256, alive)
        except OutputError:  # no room for a copy: no fault of the file
            raise
        except (OSError, InputError, PictureError) as error:
            return self._unreadable(path, job.entry, str(error) or type(error).__name__)

    def _judged(
        self, job: Job, local: str, size: int, stamp: str, sha256: str | None, alive: Alive
    ) -> Outcome | Cut:
        spans = self._spans(local)
        if len(spans) > 1:
            return Cut(job.entry.path, sha256, size, stamp, tuple(spans))
        verdict = self._detector.check(
            local,
            fps=self._settings.fps,
            every_frame=self._settings.every_frame,
            on_frame=lambda *_: alive(),
        )
        path = job.entry.path
        if local != path:
            verdict = dataclasses.replace(verdict, path=path)
        if _is_here(path) and _stamp_now(path) != stamp:
            stamp, sha256 = "", None  # it changed meanwhile: nobody knows what was judged
        return outcome_of(verdict, path, sha256, size, stamp, self._settings.key)

    def _spans(self, local: str) -> list[Span]:
        """The pieces in which a clip is judged."""
        seconds = self._settings.piece
        if not seconds or self._settings.crops or not is_clip(local):
            return []
        return spans(local, seconds, 2 * seconds)

    def _worked(self, job: Job, work: Work, alive: Alive) -> Outcome | JudgedPiece:
        """A piece is judged, or all are joined."""
        cut = work.cut
        if work.pieces:
            verdict = self._detector.join([pickle.loads(data) for data in work.pieces], cut.path)
            stamp, sha256 = cut.stamp, cut.sha256
            if job.copy is None and _stamp_now(cut.path) != stamp:
                stamp, sha256 = "", None  # as above
            return outcome_of(verdict, cut.path, sha256, cut.bytes, stamp, self._settings.key)
        with self._opened(job) as source:
            piece = self._detector.check_piece(
                source,
                cut.spans[work.number],
                fps=self._settings.fps,
                every_frame=self._settings.every_frame,
                on_frame=lambda *_: alive(),
            )
        return JudgedPiece(cut.path, work.number, pickle.dumps(piece, pickle.HIGHEST_PROTOCOL))

    @contextlib.contextmanager
    def _opened(self, job: Job) -> Iterator[Any]:
        """A path, or an open file of which only what is needed is fetched."""
        path = job.copy or job.entry.path
        if not is_address(path):
            yield path
            return
        fs, place = filesystem(path)
        with _asking():
            file = fs.open(place, "rb")
        with file:
            watched = _Watched(file)
            try:
                yield watched
            except (OSError, PictureError):
                if watched.fault is None:
                    raise
        if watched.fault is not None:  # else what was read until then would be taken for the clip
            raise PictureError(f"{watched.fault}: try again with --retry")

    @contextlib.contextmanager
    def _fetched(self, job: Job, alive: Alive) -> Iterator[tuple[str, int, str]]:
        """A local path of the file, its size and its stamp."""
        path = job.entry.path
        if job.copy is not None:
            yield job.copy, job.entry.bytes, job.entry.stamp
        elif not is_address(path):
            yield path, *_stamped(path)
        else:
            fs, place = filesystem(path)
            with _asking():
                info = fs.info(place)
            stamp = remote_stamp(info)
            if job.stamp and stamp == job.stamp:
                yield path, -1, stamp
                return
            if is_local(fs):  # a copy of a device would have no end
                yield place, info["size"], stamp
                return
            with Copy(path, self._scratch) as copy:
                with _asking(), fs.open(place, "rb") as file:
                    size = copy.take(file, alive)
                yield copy.name, size, stamp

    def _unreadable(self, path: str, entry: Entry, reason: str) -> Outcome:
        from ..detect.verdict import unreadable

        said, detector = reason.partition("\n")[0][:300], self._detector
        verdict = unreadable(path, said, detector.model.name, detector.prior)
        return outcome_of(verdict, path, None, entry.bytes, entry.stamp, self._settings.key)


class _Watched(io.BufferedIOBase):
    """A file behind an address.

    Attributes:
        fault: what went wrong with its server first; who reads it sees where the file ends then.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self.fault: str | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            data: bytes = self._file.read(-1 if size is None else size)
        except MemoryError:
            raise
        except Exception as error:  # whatever its package raises
            self.fault = self.fault or reason_of(error)
            raise OSError(self.fault) from None
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """What goes wrong with a server is an error of the file, whatever its package raises."""
    try:
        yield
    except (OSError, MinimesoError, MemoryError):
        raise
    except Exception as error:
        raise PictureError(f"{reason_of(error)}: try again with --retry") from None


def _stamped(path: str) -> tuple[int, str]:
    try:
        return stamp_of(path)
    except (OSError, ValueError):
        return -1, GONE


def _sha256(path: str, alive: Alive) -> str | None:
    """Of the content; ``None`` of what is no file that can be read."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                alive()
    except (Unreadable, OSError):
        return None
    return digest.hexdigest()


def _is_here(path: str) -> bool:
    return not is_address(path) or is_local(filesystem(path)[0])


def _stamp_now(path: str) -> str:
    if not is_address(path):
        return _stamped(path)[1]
    try:
        fs, place = filesystem(path)
        return remote_stamp(fs.info(place))
    except Exception:  # it cannot be told: packages of file systems raise whatever they like
        return ""


class OpenJudge(NamedTuple):
    """Makes the judge, in the process where it works.

    Raises:
        ModelError: it would not be the one that was asked for.
    """

    settings: Settings

    @property
    def key(self) -> str:
        return self.settings.key

    def blamed(self) -> dict[str, Any]:
        """What the row of a file has that was given up: no detector is needed to say it."""
        told = self.settings
        return {"settings": self.key, "prior": told.prior, "model": told.model_name}

    def __call__(self, scratch: str | None) -> Judge:
        if dataclasses.replace(self.settings).key != self.key:  # which came from elsewhere
            raise ModelError(
                f"minimeso {__version__} on {platform.node()}, or its model {self.settings.model}, "
                "is not that of who started the scan: install the same on every worker"
            )
        return Judge(self.settings, scratch)
