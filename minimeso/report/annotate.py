"""The picture or clip once more, with a box, a number and a score at every face.

Frames are written as a person sees them and at the times at which they were seen: between sampled
frames nothing is invented, so a clip that was looked at five times a second has five frames a
second and lasts as long as its source.  Sound is not copied.  PyAV (extra ``video``) writes clips,
Pillow pictures.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..detect.verdict import SeenFace, SeenFrame, judge
from ..errors import OutputError
from ..media.atomic_file import Replacement
from ..media.pixels import Pixels
from .phrases import reason

if TYPE_CHECKING:
    from PIL import Image, ImageFont

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
#: Edge of a box by the word for its score; the score stands beside it, so colour is not alone.
_EDGES = {"fake": (255, 140, 60), "real": (90, 180, 255), "uncertain": (255, 255, 255)}
_LEFT_OUT = (170, 170, 170)
#: A label that is longer than so many boxes would lie over the neighbours: a shorter one is taken.
_LABEL = 1.6


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
        self._file = Replacement(path, () if source is None else (source,))
        self._writer: _Writer
        if clip:
            self._writer = _ClipWriter(self._file.temporary, _CLIPS[ending], _fraction(rate))
        else:
            self._writer = _PictureWriter(self._file.temporary, *_PICTURES[ending])
        self._frames = 0

    def add(self, frame: SeenFrame) -> None:
        """Draw on a frame and write it.

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        self._guarded(lambda: self._writer.write(frame.t, drawn(frame, self._thresholds)))
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
        self._writer.abandon()
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


# --- drawing -----------------------------------------------------------------------------


def drawn(frame: SeenFrame, thresholds: Mapping[str, float] | None = None) -> Image.Image:
    """A frame with its faces: box, number of the person, ``p_fake`` or why there is none."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(np.ascontiguousarray(frame.pixels))
    if not frame.faces:
        return picture
    short = min(picture.size)
    font = ImageFont.load_default(max(11, short / 30))
    draw = ImageDraw.Draw(picture)
    width = max(1, round(short / 240))
    for seen in frame.faces:  # labels come last, no box crosses them
        _draw_box(draw, seen, _edge(seen, thresholds), width)
    for seen in frame.faces:
        _draw_label(draw, picture.size, seen, _edge(seen, thresholds), font)
    return picture


def _edge(seen: SeenFace, thresholds: Mapping[str, float] | None) -> tuple[int, int, int]:
    if seen.p_fake is None:
        return _LEFT_OUT
    return _EDGES["uncertain" if thresholds is None else judge(seen.p_fake, thresholds)]


def _draw_box(draw: Any, seen: SeenFace, colour: tuple[int, int, int], width: int) -> None:
    """An edge with a black one around it: one of them stands out on any background."""
    x, y, w, h = seen.face.box
    box = x, y, x + max(w, 1), y + max(h, 1)
    halo = box[0] - width, box[1] - width, box[2] + width, box[3] + width
    thin = max(1, width // 2) if seen.p_fake is None else width
    draw.rectangle(halo, outline=(0, 0, 0), width=thin + 2 * width)
    draw.rectangle(box, outline=colour, width=thin)


def _draw_label(
    draw: Any,
    size: tuple[int, int],
    seen: SeenFace,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """White on black above the box, or where there is room; a narrow frame gets the number only."""
    if seen.p_fake is None:
        number = f"{seen.track}: " if seen.track else ""
        texts = [number + reason(seen.reason or "left out").short, f"{seen.track or '?'}"]
    else:
        score = f"{100 * seen.p_fake:.0f} %"
        texts = [f"{seen.track}: p_fake {score}", f"{seen.track}: {score}", f"{seen.track}"]
    for text in texts:
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        pad = max(2, round((bottom - top) / 4))
        width, height = math.ceil(right - left) + 2 * pad, math.ceil(bottom - top) + 2 * pad
        roomy = text != texts[0] or width <= _LABEL * seen.face.box[2]
        if roomy and width <= size[0] and height <= size[1]:
            break
    else:
        return
    x, y = seen.face.box[0], seen.face.box[1] - height - 1
    x = min(max(x, 0), size[0] - width)
    y = min(max(y if y >= 0 else seen.face.box[1], 0), size[1] - height)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=(0, 0, 0), outline=colour)
    draw.text((x + pad - left, y + pad - top), text, fill=(255, 255, 255), font=font)


# --- writing -----------------------------------------------------------------------------


class _Writer(Protocol):
    #: What it may raise where a file cannot be written.
    errors: tuple[type[Exception], ...]

    def write(self, t: float, picture: Image.Image) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class _PictureWriter:
    """One picture, by Pillow; a later one takes its place."""

    def __init__(self, path: str, name: str, options: dict[str, Any]) -> None:
        self._path, self._name, self._options = path, name, options
        self.errors: tuple[type[Exception], ...] = (OSError, ValueError)

    def write(self, t: float, picture: Image.Image) -> None:
        picture.save(self._path, self._name, **self._options)

    def finish(self) -> None:
        """Everything is written."""

    def abandon(self) -> None:
        """Nothing is open."""


class _ClipWriter:
    """A clip by PyAV, each frame at its own time."""

    def __init__(self, path: str, codecs: tuple[str, ...], rate: Fraction | None) -> None:
        import av

        self.errors: tuple[type[Exception], ...] = (av.FFmpegError, OSError, ValueError)
        self._path, self._codecs, self._rate = path, codecs, rate or _USUAL_RATE
        # AVI has frames at a fixed rate only: those in between are empty
        self._tick = 1 / (rate or _FINE_RATE) if path.lower().endswith(".avi") else _TICK
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1
        self._held: Any = None  # the packet whose duration is known when the next one comes
        self._duration = max(round(1 / self._rate / self._tick), 1)

    def write(self, t: float, picture: Image.Image) -> None:
        import av

        if self._stream is None:
            self._open(picture.size)
        frame = av.VideoFrame.from_ndarray(self._fitted(picture), format="rgb24")
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

    def _fitted(self, picture: Image.Image) -> Pixels:
        """(H, W, 3): the size of the first frame; others are scaled into it, black around them."""
        from PIL import Image

        width, height = self._size
        odd = width - picture.width in (0, 1) and height - picture.height in (0, 1)
        if odd:
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
            self._duration = max(packet.pts - self._held.pts, 1)
            self._held.duration = self._duration
            self._container.mux(self._held)
        self._held = packet

    def finish(self) -> None:
        for packet in self._stream.encode(None):
            self._mux(packet)
        if self._held is not None:
            self._held.duration = self._duration
            self._container.mux(self._held)
        self._container.close()
        self._container = None

    def abandon(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(*self.errors):
                container.close()


def _import_av(path: str) -> None:
    try:
        import av  # noqa: F401
    except ImportError:
        raise OutputError(
            f"{path}: a clip is written by PyAV: pip install 'minimeso[video]'"
        ) from None


def _fraction(rate: float | Fraction | None) -> Fraction | None:
    """Frames a second; ``None`` for what cannot be (a damaged header)."""
    if rate is None or not math.isfinite(rate) or not 1 / 100 <= rate <= 1000:
        return None
    return Fraction(rate).limit_denominator(1001)
