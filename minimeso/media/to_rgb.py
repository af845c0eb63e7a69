"""Colours: a decoded frame becomes RGB as a person sees it, upright.

The matrix and range are those that the file names; where it names none BT.601, which is what FFmpeg
writes when it makes a clip of pictures and names none.  Chroma of half size is repeated, as OpenCV
does it, through which nearly everybody's training data came (0.3 ms for a 1280 x 720 frame, where
interpolation costs 2 to 4 ms and changes a pixel by 0.7 levels on average).  Transparency lies on
white, as in pictures.  Where pixels are not square, as on DVDs, the side that lacks some is scaled
up, by FFmpeg on the way: a face that is too narrow is another face.  HDR is mapped first
(``hdr``).
"""

from __future__ import annotations

import functools
import struct
import threading
from typing import TYPE_CHECKING

import numpy as np

from .clip import MAX_PIXELS
from .hdr import ToneMapper, is_mapped
from .pixels import Pixels
from .planes import lines_of
from .side_data import display_matrix

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: What AVFrame.colorspace and color_range say if they say nothing.
_NO_COLOURS = 2, 0
#: Flags of FFmpeg's scaler.
_BILINEAR = 2
#: What is converted in parts: planes of bytes, and of those the ones with a quarter of the chroma;
#: BT.709, unknown, BT.601.
_HALVED = ("yuv420p", "yuvj420p")
_PLAIN = (*_HALVED, "yuv444p", "yuvj444p")
_COLORSPACES = (1, 2, 5, 6)
_COLOURS = ("colorspace", "color_range", "color_trc", "color_primaries")
#: Ratios of width to height of a pixel that are believed; the widest in use is 3 (of SVCDs).
_RATIOS = 0.25, 4.0
#: Containers that say nothing of it: what their frames say counts, and changes, as where a
#: broadcast goes from 4:3 to 16:9.
_TELL_NO_RATIO = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "flv")
_LINES_MIXED = 16
#: Its rewritten half, called unstable because its interface may change.  Only for 4:4:4, which the
#: older half converts in 3.4 ms a 1280 x 720 frame and this one in 0.7; only in the versions with
#: which it was tried; and only for whole blocks of pixels: up to 16 pixels wide it crashes, and so
#: it does where YUV is said to be RGB.
_NEW_SCALER = 1 << 20
_NEW_SCALER_VERSIONS = (9, 5), (10,)
_NEW_SCALER_BLOCK = 64


class Converter:
    """Turns frames to RGB; keeps FFmpeg's scaler between them.  For any number of threads, one at a
    time: whoever is told of a frame may convert it while faces are looked for in the next one.

    Args:
        pixel: width of a pixel over its height, as the file says; 0 if it says nothing.
        size: width and height of the frames of which it says so.
    """

    def __init__(self, pixel: float = 0.0, size: tuple[int, int] = (0, 0)) -> None:
        from av.video.reformatter import VideoReformatter

        self._pixel = pixel if _RATIOS[0] <= pixel <= _RATIOS[1] else 1.0
        self._promised = size

        self._reformatter = VideoReformatter()
        self._parts = VideoReformatter()  # of other sizes
        self._tone_mapper = ToneMapper()
        self._has_alpha = functools.cache(_has_alpha)
        self._turned: tuple[float | None, bytes] = None, b""
        self._lock = threading.Lock()  # PyAV lets other threads run while FFmpeg's scaler does

    def rgb(self, frame: VideoFrame) -> Pixels:
        """(H, W, 3) uint8, upright; whatever PyAV raises if that cannot be."""
        with self._lock:
            return self._rgb(frame)

    def _rgb(self, frame: VideoFrame) -> Pixels:
        has_alpha = self._has_alpha(frame.format.name)
        kind = "rgba" if has_alpha else "rgb24"
        matrix = self._matrix(frame)
        frame = self._tone_mapper.mapped(frame, kind)
        may_be_new = self._pixel == 1 and _suits_new_scaler(frame)
        flags = _BILINEAR | (_NEW_SCALER if may_be_new else 0)
        try:
            converted = self._convert(frame, kind, flags)
        except Exception:  # colour tags that are reserved: as if there were none
            frame.colorspace, frame.color_range = _NO_COLOURS
            converted = self._convert(frame, kind, flags)
        pixels = _array_of(converted, 4 if has_alpha else 3)
        return _upright(_over_white(pixels) if has_alpha else pixels, matrix)

    def has_parts(self, frame: VideoFrame) -> bool:
        """Whether ``part`` gives the bits that are in ``rgb``: an upright frame of square pixels,
        planes and colours that everybody knows."""
        return (
            self._pixel == 1
            and frame.format.name in _PLAIN
            and frame.colorspace in _COLORSPACES
            and frame.width % 2 == frame.height % 2 == 0
            and not is_mapped(frame)
            and not self._matrix(frame)
        )

    def part(self, frame: VideoFrame, lines: slice, pixels: slice) -> Pixels:
        """Some lines and pixels of a frame that ``has_parts``, from even ones on."""
        with self._lock:
            return self._part(frame, lines, pixels)

    def _part(self, frame: VideoFrame, lines: slice, pixels: slice) -> Pixels:
        from av.video.frame import VideoFrame

        height, width = lines.stop - lines.start, pixels.stop - pixels.start
        cut = VideoFrame(width, height, frame.format.name)
        for number in range(3):
            half = 2 if number and frame.format.name in _HALVED else 1
            target = self.plane(cut, number)
            target[:] = self.plane(frame, number)[
                lines.start // half : lines.stop // half, pixels.start // half : pixels.stop // half
            ]
        for name in _COLOURS:
            if hasattr(frame, name):
                setattr(cut, name, getattr(frame, name))
        flags = _BILINEAR | (_NEW_SCALER if _suits_new_scaler(frame) else 0)
        converted = self._parts.reformat(
            cut, width, height, format="rgb24", interpolation=flags, threads=1
        )
        return _array_of(converted, 3)

    @staticmethod
    def plane(frame: VideoFrame, number: int) -> Pixels:
        """A plane of bytes as an array, without a copy."""
        plane = frame.planes[number]
        return lines_of(plane)[: plane.height, : plane.width]

    def _matrix(self, frame: VideoFrame) -> bytes:
        """The display matrix, looked up anew only where the rotation changes."""
        rotation = getattr(frame, "rotation", 0)  # older PyAV has none: as in the first frame
        turned = self._turned  # once: another thread may be at a frame that is turned otherwise
        if rotation != turned[0]:
            turned = self._turned = rotation, display_matrix(frame)
        return turned[1]

    def _convert(self, frame: VideoFrame, kind: str, flags: int) -> VideoFrame:
        width, height = frame.width, frame.height
        is_sane = max(self._pixel, 1 / self._pixel) * width * height <= MAX_PIXELS
        if is_sane and (width, height) == self._promised:
            width = round(width * max(self._pixel, 1.0))
            height = round(height / min(self._pixel, 1.0))
        # one thread, as the cores have other work
        return self._reformatter.reformat(
            frame, width, height, format=kind, interpolation=flags, threads=1
        )


class Converters:
    """The converter of each frame of a track: another one from where its pixels have another shape.

    Args:
        stream: the track.
        kind: FFmpeg's name of the container.
    """

    def __init__(self, stream: VideoStream, kind: str) -> None:
        self._codec = stream.codec_context
        self._may_change = kind in _TELL_NO_RATIO
        self._size = self._codec.width, self._codec.height
        self._ratio = stream.sample_aspect_ratio
        self._last = Converter(float(self._ratio or 0), self._size)

    def of(self, frame: VideoFrame) -> Converter:
        """That of a frame which the decoder has just given."""
        if self._may_change:
            size, ratio = (frame.width, frame.height), self._codec.sample_aspect_ratio
            if (size, ratio) != (self._size, self._ratio):
                self._size, self._ratio = size, ratio
                self._last = Converter(float(ratio or 0), size)
        return self._last


def _has_alpha(name: str) -> bool:
    from av.video.format import VideoFormat

    return any(component.is_alpha for component in VideoFormat(name).components)


def _suits_new_scaler(frame: VideoFrame) -> bool:
    return (
        frame.format.name in ("yuv444p", "yuvj444p")
        and frame.colorspace in _COLORSPACES
        and frame.width % _NEW_SCALER_BLOCK == 0
        and _is_new_scaler_right()
    )


@functools.cache
def _is_new_scaler_right() -> bool:
    """Tried on a few colours once, so that an FFmpeg that lacks it or errs is found out."""
    import av

    oldest, newest = _NEW_SCALER_VERSIONS
    if not oldest <= av.library_versions["libswscale"] < newest:
        return False
    return _try_new_scaler()


def _try_new_scaler() -> bool:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter

    generator = np.random.default_rng(0)
    planes = generator.integers(16, 236, (3, 16, _NEW_SCALER_BLOCK), dtype=np.uint8)
    frame = VideoFrame.from_ndarray(planes, "yuv444p")
    found = []
    try:
        for flags in (_BILINEAR, _BILINEAR | _NEW_SCALER):
            converted = VideoReformatter().reformat(
                frame, format="rgb24", interpolation=flags, threads=1
            )
            found.append(_array_of(converted, 3).astype(np.int16))
    except Exception:  # then there is the older half
        return False
    return bool(np.abs(found[0] - found[1]).max() <= 2)


def _array_of(frame: VideoFrame, channels: int) -> Pixels:
    """The pixels of a packed frame, without a copy if its rows have no gaps."""
    lines = lines_of(frame.planes[0])[: frame.height, : frame.width * channels]
    return np.ascontiguousarray(lines).reshape(frame.height, frame.width, channels)


def _over_white(pixels: Pixels) -> Pixels:
    """(H, W, 4) with alpha on white, as pictures are."""
    alpha = pixels[:, :, 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(pixels[:, :, :3])
    found = np.empty((*pixels.shape[:2], 3), np.uint8)
    for y in range(0, len(pixels), _LINES_MIXED):  # numbers of 16 bits of a whole frame are many
        lines = slice(y, y + _LINES_MIXED)
        weight = alpha[lines].astype(np.uint16)
        mixed = pixels[lines, :, :3] * weight + (255 - weight) * np.uint16(255)
        found[lines] = (mixed + 127) // 255
    return found


def _upright(pixels: Pixels, matrix: bytes) -> Pixels:
    """Turned and mirrored as the display matrix says, to the nearest quarter.

    The matrix sends the point (x, y) to (a x + c y, b x + d y).
    """
    if not matrix:
        return pixels
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.transpose(1, 0, 2)
        a, d = c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
