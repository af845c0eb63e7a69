"""Compression: how coarsely a file was quantised, as far as its reader can tell.

What a swap leaves behind is fine; a coarse quantiser takes it away, and then a network sees a real
face; the few colours of a palette, and their dither, look like traces of one (``detect/NOTES.md``,
"Compression").  A file that was saved once more, finely, does not show what it went through before.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..notes import Note

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL import Image

#: Below this quality of a JPEG, and from this quantiser of H.264 on (a mean over the frames that
#: were taken; 0 to 51), fakes look real.
COARSE_JPEG, COARSE_H264 = 25, 40.0
#: The finest steps of the example table for luminance in the JPEG standard (ITU-T T.81, table
#: K.1), which nearly all programs scale by their quality; the coarsest ones end at 255.
_FINEST, _K1 = 8, 10 + 11 + 12 + 12 + 13 + 14 + 14 + 14
#: What FFmpeg is asked for to tell the quantisers of a frame, and its number of H.264 there.
EXPORT_QUANTISERS = {"export_side_data": "venc_params"}
_H264 = 1
#: ``AVVideoEncParams`` (libavutil/video_enc_params.h): number of blocks, where they start, size of
#: one, type of codec, quantiser of the frame.  A block: x, y, width, height, what it adds.
_PARAMETERS = struct.Struct("@INNii")
_BLOCK_INTS, _ADDS = 5, 4
#: Where a PNG file says how its colours are stored, and what it says of a palette (IHDR, which
#: comes first).
_PNG_COLOURS, _PNG_PALETTE = 25, b"\3"


def doubt_about(image: Image.Image) -> Note | None:
    """A note if a JPEG was saved so coarsely that nothing could be seen in it, or if the colours of
    a picture, which was loaded but not converted, are those of a palette."""
    if image.mode in ("P", "PA"):
        return Note("palette")
    tables: dict[int, Any] = getattr(image, "quantization", None) or {}
    if len(tables.get(0, ())) != 64:
        return None
    quality = _quality(tables[0])
    return Note("compressed", {"jpeg_quality": quality}) if quality < COARSE_JPEG else None


def _quality(table: Sequence[int]) -> int:
    """The quality from 1 to 100 by which libjpeg makes such a table."""
    scale = max(100 * sum(sorted(table)[:_FINEST]) / _K1, 1e-3)
    return round(min(max(5000 / scale if scale > 100 else 100 - scale / 2, 1), 100))


def is_palette(codec: str, pixel_format: str, start: bytes) -> bool:
    """Whether a stream has a palette, by FFmpeg's names and how its file starts: the decoders of
    GIF and APNG give BGRA and RGBA."""
    is_png = codec == "apng" and start[_PNG_COLOURS : _PNG_COLOURS + 1] == _PNG_PALETTE
    return is_png or codec == "gif" or pixel_format == "pal8"


class Quantisers:
    """The mean quantiser of the frames of an H.264 stream."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, frame: VideoFrame) -> None:
        """Another frame; one of another codec, or that tells nothing, does not count."""
        from .side_data import side_data_of  # of clips alone

        found = _quantiser(side_data_of(frame, "VIDEO_ENC_PARAMS"))
        if found is not None:
            self._sum, self._count = self._sum + found, self._count + 1

    def coarse(self) -> Note | None:
        """A note if they were so coarse that nothing could be seen."""
        mean = self._sum / max(self._count, 1)
        return Note("compressed", {"h264_quantiser": round(mean)}) if mean >= COARSE_H264 else None


def _quantiser(data: bytes) -> float | None:
    """The mean over the blocks of a frame."""
    if len(data) < _PARAMETERS.size:
        return None
    count, start, size, kind, base = _PARAMETERS.unpack_from(data)
    if kind != _H264 or not count or size < 4 * _BLOCK_INTS or start + count * size > len(data):
        return None
    blocks = np.frombuffer(data, np.uint8, count * size, start).reshape(count, size)
    adds = np.ascontiguousarray(blocks[:, : 4 * _BLOCK_INTS]).view(np.int32)[:, _ADDS]
    return float(base + adds.mean())
