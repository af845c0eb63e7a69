"""Animations: WebP files that move, by Pillow; FFmpeg's decoder refuses them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from ..notes import Note
from .clip import MAX_ANIMATED_PIXELS, Clip, Convert
from .formats import SIGNATURE_BYTES
from .joined import others
from .opening import check_size, text_of
from .pictures import Unreadable, identify, pillow_silence, reason_of, remedy_of
from .pixels import rgb_of_image

if TYPE_CHECKING:
    from PIL import Image

#: Milliseconds that browsers take for no time at all, and how long they show such a frame.
_SHORTEST, _INSTEAD = 10.0, 100.0


def is_animated_webp(start: bytes) -> bool:
    return len(start) >= 30 and start[12:16] == b"VP8X" and bool(start[20] & 2)


def check_canvas(kind: str | None, start: bytes) -> None:
    """``Unreadable`` for an animated picture, of the kind that ``format_of`` says, whose canvas is
    too large; it would be filled before anybody says its size."""
    if kind == "WEBP" and is_animated_webp(start):
        width, height = (1 + int.from_bytes(start[at : at + 3], "little") for at in (24, 27))
    elif kind == "GIF":
        width, height = (int.from_bytes(start[at : at + 2], "little") for at in (6, 8))
    elif kind == "PNG":
        width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
    else:
        return
    check_size(width, height, MAX_ANIMATED_PIXELS)


class Animation(Clip):
    """An animated WebP, by Pillow."""

    _image: Image.Image | None = None

    def __init__(self, name: str, file: IO[bytes], fps: float | None) -> None:
        super().__init__(fps)
        self.path = name
        self._file = file
        try:
            is_joined = bool(others(file, file.read(SIGNATURE_BYTES)).starts)
            file.seek(0)
            with pillow_silence:
                self._image = identify(file)
            self._count = int(getattr(self._image, "n_frames", 1))
        except Unreadable:
            raise
        except Exception as error:  # Pillow's alarm for bombs, and whatever a plugin raises
            raise Unreadable(f"{reason_of(error)}: {remedy_of(error)}") from None
        self._t = 0.0
        self.size = self._image.size
        if is_joined:
            self.remarks = (Note("first_clip_only"),)

    def _read(self) -> tuple[float, int] | None:
        if self._image is None or self.frames_read >= self._count:
            return None
        t, number = self._t, self.frames_read
        try:
            with pillow_silence:
                self._image.seek(number)
                self._image.load()
        except Exception as error:
            counts = {"frames": number, "whole": self._count}
            self.faults = (Note("damaged_after", {**counts, "reason": text_of(error)}),)
            return None
        self.frames_read += 1
        milliseconds = float(self._image.info.get("duration", 0))
        self._t += (milliseconds if milliseconds > _SHORTEST else _INSTEAD) / 1000
        return t, number

    def _conversion_of(self, frame: int) -> Convert:
        assert self._image is not None
        pixels = rgb_of_image(self._image)  # here, as the next frame replaces this one
        self.size = pixels.shape[1], pixels.shape[0]  # EXIF may turn it
        return lambda: pixels

    def _release(self) -> None:
        with self._lock:
            image, self._image = self._image, None
            if image is not None:
                image.close()
                self._file.close()
