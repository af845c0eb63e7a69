"""HDR: frames of a high dynamic range or a wide gamut become what a usual screen shows.

A phone's HLG or PQ clip shown as if it were BT.709 is pale and flat, which no network has learned.
FFmpeg's ``scale`` filter (of 8.0 and newer) undoes the transfer function (ITU-R BT.2100), takes the
primaries of BT.2020 or P3 to BT.709, and applies BT.709 for a screen of gamma 2.4 (BT.1886): the
reference white of 203 cd/m2 (BT.2408) becomes white, what is lighter is compressed or cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .filters import chain
from .opening import usual_time_base

if TYPE_CHECKING:
    from av.filter.graph import Graph
    from av.video.frame import VideoFrame

#: ``AVCOL_TRC_SMPTE2084`` (PQ) and ``AVCOL_TRC_ARIB_STD_B67`` (HLG).
_TRANSFERS = (16, 18)
#: ``AVCOL_PRI_BT2020``, ``_SMPTE431`` and ``_SMPTE432`` (both P3).
_PRIMARIES = (9, 11, 12)
_TO_BT709 = "out_transfer=bt709:out_primaries=bt709"


def is_hdr(frame: VideoFrame) -> bool:
    """Whether its levels stand for a range that a usual screen has not."""
    return getattr(frame, "color_trc", 2) in _TRANSFERS


def is_mapped(frame: VideoFrame) -> bool:
    """Whether ``ToneMapper`` changes it: HDR, or a wide gamut."""
    return is_hdr(frame) or getattr(frame, "color_primaries", 2) in _PRIMARIES


class ToneMapper:
    """Frames in, frames out, those of a usual range as they came."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def mapped(self, frame: VideoFrame, kind: str) -> VideoFrame:
        """The frame as a usual screen shows it, packed as ``kind`` (rgb24, rgba).

        Raises:
            av.FFmpegError: FFmpeg cannot do it.
        """
        if not is_mapped(frame):
            return frame
        shape = (frame.width, frame.height, frame.format.name, kind)
        colours = (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries)
        if (*shape, *colours) != self._kind:
            self._graph, self._kind = _graph(frame, kind), (*shape, *colours)
        assert self._graph is not None
        self._graph.push(frame)
        return self._graph.vpull()


def _graph(frame: VideoFrame, kind: str) -> Graph:
    time_base = frame.time_base or usual_time_base()
    return chain(frame, time_base, ("scale", _TO_BT709), ("format", f"pix_fmts={kind}"))
