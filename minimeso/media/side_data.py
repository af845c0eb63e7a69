"""Side data: what FFmpeg tells beside the pixels of a frame.

PyAV's ``frame.side_data`` and its frame refer to each other, so a frame whose side data was looked
at stays in memory until the collector comes by: hundreds of megabytes later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def side_data_of(frame: VideoFrame) -> Iterable[Any]:
    """PyAV's side data of a frame, which do not keep it."""
    found: Iterable[Any]
    try:
        from av.sidedata.sidedata import SideDataContainer

        found = SideDataContainer(frame)
    except ImportError:  # a PyAV that has it elsewhere
        found = frame.side_data
    return found
