"""Writers of frames: a picture by Pillow, a clip by PyAV with each frame at its own time."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..media.pixels import Pixels
from .sound import Sound

if TYPE_CHECKING:
    from PIL import Image

#: x264: fast, no visible loss, frames in order, few of them held back.
_X264 = {"preset": "veryfast", "crf": "20", "bf": "0", "rc-lookahead": "10"}
_VPX = {"deadline": "realtime", "cpu-used": "6", "crf": "24", "b": "0", "lag-in-frames": "0"}
#: Bits a pixel for MPEG-4 part 2, which has no such constant quality.
_BITS_A_PIXEL = 0.25
#: Times are counted in this unit; MPEG-4 part 2 allows no finer one than 1/65535.
_TICK = Fraction(1, 60000)
_USUAL_RATE = Fraction(25)
#: For AVI if the rate is not known: times are then right to 4 ms.
_FINE_RATE = Fraction(120)
#: A clip at least this wide and high: encoders refuse smaller ones.
_SMALLEST = 16


class Writer(Protocol):
    """Writes frames one by one into a file.

    Attributes:
        errors: what it may raise where the file cannot be written.
    """

    errors: tuple[type[Exception], ...]

    def write(self, t: float, picture: Image.Image) -> None:
        """Write the frame at ``t`` seconds."""

    def finish(self) -> None:
        """Write what is left, and close the file."""

    def abort(self) -> None:
        """Close the file as it is."""


class PictureWriter:
    """One picture, by Pillow; a later one takes its place."""

    def __init__(self, path: str, name: str, options: dict[str, Any]) -> None:
        self._path, self._name, self._options = path, name, options
        self.errors: tuple[type[Exception], ...] = (OSError, ValueError)

    def write(self, t: float, picture: Image.Image) -> None:
        picture.save(self._path, self._name, **self._options)

    def finish(self) -> None:
        """Everything is written."""

    def abort(self) -> None:
        """Nothing is open."""


class ClipWriter:
    """A clip by PyAV, each frame at its own time."""

    def __init__(
        self,
        path: str,
        codecs: tuple[str, ...],
        rate: float | Fraction | None,
        sound: Sound | None = None,
    ) -> None:
        import av

        self._sound = sound

        known = _fraction(rate)
        self.errors: tuple[type[Exception], ...] = (av.FFmpegError, OSError, ValueError)
        self._path, self._codecs, self._rate = path, codecs, known or _USUAL_RATE
        # AVI has frames at a fixed rate only: those in between are empty
        self._tick = 1 / (known or _FINE_RATE) if path.lower().endswith(".avi") else _TICK
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1
        self._held: Any = None  # the packet whose duration is known when the next one comes
        # of the last two before it, of which the last may have stood for minutes
        self._durations: deque[int] = deque(maxlen=2)

    def write(self, t: float, picture: Image.Image) -> None:
        import av

        if self._stream is None:
            self._open(picture.size)
        frame = av.VideoFrame.from_ndarray(self._letterboxed(picture), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts = max(round(Fraction(max(t, 0.0)) / self._tick), self._last + 1)
        frame.time_base = self._tick
        self._last = frame.pts
        for packet in self._stream.encode(frame):
            self._mux(packet)

    def _open(self, size: tuple[int, int]) -> None:
        import av

        codec = next((name for name in self._codecs if name in av.codecs_available), None)
        if codec is None:
            raise ValueError(f"this PyAV has none of the encoders {', '.join(self._codecs)}")
        self._container = av.open(self._path, "w")
        self._stream = self._container.add_stream(codec, rate=self._rate)
        # colours are halved in both directions, so both must be even
        width, height = (max(n + n % 2, _SMALLEST) for n in size)
        self._size = width, height
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._tick
        if codec == "libx264":
            self._stream.options = _X264
        elif codec.startswith("libvpx"):
            self._stream.options = _VPX
        else:
            self._stream.bit_rate = int(
                _BITS_A_PIXEL * width * height * min(float(self._rate), 60.0)
            )
        self._stream.codec_context.color_range = 1
        self._stream.codec_context.colorspace = 1  # BT.709, as converted above
        if self._sound is not None:
            self._sound.open(self._container)

    def _letterboxed(self, picture: Image.Image) -> Pixels:
        """(H, W, 3): the size of the first frame; others are scaled into it, black around them."""
        from PIL import Image

        width, height = self._size
        is_same = width - picture.width in (0, 1) and height - picture.height in (0, 1)
        if is_same:
            pixels = np.asarray(picture)
            more = ((0, height - picture.height), (0, width - picture.width), (0, 0))
            return pixels if picture.size == self._size else np.pad(pixels, more, "edge")
        scale = min(width / picture.width, height / picture.height)
        size = [max(1, round(n * scale)) for n in picture.size]
        inside = picture.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        whole = Image.new("RGB", self._size)
        whole.paste(inside, ((width - size[0]) // 2, (height - size[1]) // 2))
        return np.asarray(whole)

    def _mux(self, packet: Any) -> None:
        if self._held is not None:
            self._held.duration = max(packet.pts - self._held.pts, 1)
            self._durations.append(self._held.duration)
            self._put(self._held)
        self._held = packet

    def _put(self, packet: Any) -> None:
        if self._sound is not None:
            t = float(packet.pts * packet.time_base)
            self._container.mux(list(self._sound.until(t)))
        self._container.mux(packet)

    def finish(self) -> None:
        for packet in self._stream.encode(None):
            self._mux(packet)
        if self._held is not None:
            usual = max(round(1 / self._rate / self._tick), 1)
            self._held.duration = min(self._durations, default=usual)
            end = float((self._held.pts + self._held.duration) * self._held.time_base)
            self._put(self._held)
            if self._sound is not None:
                self._container.mux(list(self._sound.rest(end)))
        self._container.close()
        self._container = None
        self._close_sound()

    def abort(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(*self.errors):
                container.close()
        self._close_sound()

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()


def _fraction(rate: float | Fraction | None) -> Fraction | None:
    """Frames a second; ``None`` for what cannot be (a damaged header)."""
    if rate is None or not math.isfinite(rate) or not 1 / 100 <= rate <= 1000:
        return None
    return Fraction(rate).limit_denominator(1001)
