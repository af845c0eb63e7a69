"""Animations that FFmpeg does not read as they are, by Pillow: WebP files, which its decoder
refuses, and GIF files without times, of which it takes many pictures for one packet and decodes the
first of them.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from ..notes import Note
from .clip import MAX_ANIMATED_PIXELS, Clip, Convert
from .containers import INSTEAD, NO_TIME, ends_early
from .formats import SIGNATURE_BYTES
from .joined import others
from .opening import NamelessFile, check_size, open_container, text_of
from .pictures import Unreadable, identify, pillow_silence, reason_of, remedy_of
from .pixels import rgb_of_image

if TYPE_CHECKING:
    from PIL import Image


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


def animation_of(
    kind: str | None, name: str, file: IO[bytes], fps: float | None, start: bytes
) -> Animation | None:
    """The clip of an animated picture, of the kind that ``format_of`` says, that Pillow must read.

    Raises:
        Unreadable: it is damaged, or its canvas too large.
    """
    check_canvas(kind, start)
    if kind == "WEBP":
        return Animation(name, file, fps)
    if kind != "GIF":
        return None
    count = _pictures_in_fewer_packets(file, start)
    return Animation(name, file, fps, count) if count else None


def _pictures_in_fewer_packets(file: IO[bytes], start: bytes) -> int:
    """How many pictures a GIF has of which FFmpeg would not show all; else 0."""
    with open_container(NamelessFile(file), start) as container:
        pictures = max((stream.frames for stream in container.streams.video), default=0)
        try:
            packets = sum(1 for packet in container.demux() if packet.size)
        except Exception:  # damaged, which who reads it has words for
            packets = pictures
    file.seek(0)
    return pictures if packets < pictures else 0


class Animation(Clip):
    """An animated WebP or GIF, by Pillow.

    Args:
        count: of its pictures; by default asked of Pillow, which walks through all of a GIF.
    """

    _image: Image.Image | None = None

    def __init__(
        self, name: str, file: IO[bytes], fps: float | None, count: int | None = None
    ) -> None:
        super().__init__(fps)
        self.path = name
        self._file = file
        try:
            is_joined = bool(others(file, file.read(SIGNATURE_BYTES)).starts)
            file.seek(0)
            with pillow_silence:
                self._image = identify(file)
            self._count = int(getattr(self._image, "n_frames", 1)) if count is None else count
        except Unreadable:
            raise
        except Exception as error:  # Pillow's alarm for bombs, and whatever a plugin raises
            raise Unreadable(f"{reason_of(error)}: {remedy_of(error)}") from None
        self._t = 0.0
        self.size = self._image.size
        if self._image.format == "GIF":
            self.doubt = Note("palette")
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
        seconds = float(self._image.info.get("duration", 0)) / 1000
        self._t += seconds if seconds > NO_TIME else INSTEAD
        return t, number

    def _conversion_of(self, frame: int) -> Convert:
        assert self._image is not None
        pixels = rgb_of_image(self._image)  # here, as the next frame replaces this one
        self.size = pixels.shape[1], pixels.shape[0]  # EXIF may turn it
        return lambda: pixels

    def _sum_up(self) -> None:
        is_gif = self._image is not None and self._image.format == "GIF"
        if is_gif and not self.faults and ends_early(self._file):
            self.faults = (Note("cut_short", {"seconds": self._t, "whole": None}),)

    def _release(self) -> None:
        with self._lock:
            image, self._image = self._image, None
            if image is not None:
                image.close()
                self._file.close()
