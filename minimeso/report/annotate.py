"""The picture or clip once more, with a box, a number and a score at every face.

Frames are written as a person sees them and at the times at which they were seen; ``whole_clip``
gives those that nobody looked at, too, with the sound of their source.  PyAV (extra ``video``)
writes clips, Pillow pictures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from ..detect.verdict import SeenFrame
from ..errors import OutputError
from ..media.atomic_file import AtomicFile
from .drawing import draw_faces
from .sound import Sound
from .writers import ClipWriter, PictureWriter, Writer

#: Ending of a picture, Pillow's name of the format, how it is saved.
_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 92, "subsampling": 0}),
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"quality": 92}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}
#: Ending of a clip, and the codecs to try in this order.
_CLIPS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".mkv"), ("libx264", "mpeg4")),
    ".avi": ("mpeg4",),  # H.264 in AVI has no times
    ".webm": ("libvpx-vp9", "libvpx"),
}


class Annotation:
    """Writes an annotated picture or clip; use it in a ``with`` statement.

    ::

        with Annotation("seen.mp4", clip=True, source="clip.mp4", rate=25) as annotation:
            for frame in frames:
                annotation.add(frame)

    The file appears at the end, whole.  If the statement is left by an exception (or Ctrl-C), or if
    no frame came, there is none.

    Args:
        path: what to write; the ending chooses the format.
        clip: whether frames of a clip will come, or one picture.
        source: the file that is judged, which must not be written over.
        rate: frames a second of the source (its own, not of the sampling), if known: AVI counts
            time in frames, and a single frame is shown so long.
        thresholds: of the model, to colour boxes by the score.
        sound: of a clip, copied beside the frames.

    Raises:
        OutputError: the ending is of no format, or of a picture for a clip; PyAV is missing; or
            the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clip: bool,
        source: str | os.PathLike[str] | None = None,
        rate: float | Fraction | None = None,
        thresholds: Mapping[str, float] | None = None,
        sound: Sound | None = None,
    ) -> None:
        where = os.fsdecode(path)
        ending = Path(where).suffix.lower()
        known, others = (_CLIPS, _PICTURES) if clip else (_PICTURES, _CLIPS)
        if ending not in known:
            kind, other = ("clip", "picture") if clip else ("picture", "clip")
            why = f"the ending of a {other}" if ending in others else "no ending that is known"
            raise OutputError(
                f"{where}: {ending or 'nothing'} is {why}, and a {kind} is to be written: "
                f"name it {', '.join(known)}"
            )
        if clip:
            _import_av(where)
        self._thresholds = thresholds
        self._file = AtomicFile(path, () if source is None else (source,))
        self._writer: Writer
        if clip:
            self._writer = ClipWriter(self._file.temporary, _CLIPS[ending], rate, sound)
        else:
            self._writer = PictureWriter(self._file.temporary, *_PICTURES[ending])
        self._frames = 0

    def add(self, frame: SeenFrame) -> None:
        """Draw on a frame and write it.

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        picture = draw_faces(frame, self._thresholds)
        self._guarded(lambda: self._writer.write(frame.t, picture))
        self._frames += 1

    def close(self) -> bool:
        """Finish; whether there is a file now (there is none if no frame came).

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        if not self._frames:
            self.discard()
            return False
        self._guarded(self._writer.finish)
        self._file.keep()
        return True

    def discard(self) -> None:
        """Give up; nothing is left behind."""
        self._frames = 0  # closed after all, it makes none
        self._writer.abort()
        self._file.discard()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except self._writer.errors as error:
            self.discard()
            raise self._file.failed(error) from None

    def __enter__(self) -> Annotation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _import_av(path: str) -> None:
    try:
        import av  # noqa: F401
    except ImportError:
        raise OutputError(
            f"{path}: a clip is written by PyAV: pip install 'minimeso[video]'"
        ) from None
