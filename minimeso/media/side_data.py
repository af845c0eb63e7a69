"""Side data: what FFmpeg tells beside the pixels of a frame.

PyAV's ``frame.side_data`` and its frame refer to each other, so a frame whose side data was looked
at stays in memory until the collector comes by: hundreds of megabytes later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def side_data_of(frame: VideoFrame, kind: str) -> bytes:
    """Side data of a frame of one kind, by FFmpeg's name: ``"DISPLAYMATRIX"``; else nothing.

    By name, as what PyAV 18 iterates over are data, and what PyAV 19 does are kinds.
    """
    found: Mapping[Any, Any]
    try:
        from av.sidedata.sidedata import SideDataContainer

        found = SideDataContainer(frame)  # anew: it does not keep the frame
    except ImportError:  # a PyAV that has it elsewhere
        found = frame.side_data
    data = found.get(kind)
    return b"" if data is None else bytes(data)
