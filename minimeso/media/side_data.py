"""Side data: what FFmpeg tells beside the pixels of a frame.

PyAV's ``frame.side_data`` and its frame refer to each other, so a frame whose side data was looked
at stays in memory until the collector comes by: hundreds of megabytes later.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .filters import chain

if TYPE_CHECKING:
    from av import Packet
    from av.video.frame import VideoFrame


#: ``AVEncryptionInfo`` as side data (libavutil/encryption_info.c): scheme, blocks that are
#: encrypted and not, bytes of the key's name and of the first block, number of pairs (plain bytes,
#: encrypted ones).
_ENCRYPTION_BYTES = 24
#: So many kinds of side data are looked for of which FFmpeg knows and PyAV does not.
_NEWER = 16


def side_data_of(frame: VideoFrame, kind: str) -> bytes:
    """Side data of a frame of one kind, by FFmpeg's name: ``"VIDEO_ENC_PARAMS"``; else nothing."""
    try:
        return _listed(frame, kind)
    except ValueError:  # one more of it is newer than PyAV, as Exif is: then it tells of none
        return b""


def display_matrix(frame: VideoFrame) -> bytes:
    """How a frame is turned and mirrored, as FFmpeg has it, 36 bytes; else nothing."""
    kind = "DISPLAYMATRIX"
    try:
        try:
            found = _listed(frame, kind)
        except ValueError:  # as above
            found = _listed(_without_newer(frame), kind)
    except Exception:  # FFmpeg's, many kinds: no filter takes such frames
        return b""
    return found if len(found) >= 36 else b""


def is_encrypted(packet: Packet) -> bool:
    """Whether bytes of a packet are encrypted (ISO/IEC 23001-7), told by their numbers; where there
    are none, FFmpeg calls encrypted what may lie in the open."""
    if not packet.has_sidedata("encryption_info"):
        return False
    data = bytes(packet.get_sidedata("encryption_info"))
    head = struct.unpack_from(">6I", data) if len(data) >= _ENCRYPTION_BYTES else (0,) * 6
    start = _ENCRYPTION_BYTES + head[3] + head[4]  # behind the key's name and the first block
    pairs = data[start : start + 8 * head[5]]
    return any(pairs[at + 4 : at + 8].strip(b"\0") for at in range(0, len(pairs), 8))


def _listed(frame: VideoFrame, kind: str) -> bytes:
    """By name, as what PyAV 18 iterates over are data, and what PyAV 19 does are kinds."""
    found: Mapping[Any, Any]
    try:
        from av.sidedata.sidedata import SideDataContainer

        found = SideDataContainer(frame)  # anew: it does not keep the frame
    except ImportError:  # a PyAV that has it elsewhere
        found = frame.side_data
    data = found.get(kind)
    return b"" if data is None else bytes(data)


def _without_newer(frame: VideoFrame) -> VideoFrame:
    """The frame with such side data only as PyAV has names for."""
    from fractions import Fraction

    from av.sidedata.sidedata import Type

    first = max(int(kind.value) for kind in Type) + 1
    newer = range(first, first + _NEWER)
    # of one frame: the unit of its time does not matter
    deletions = (("sidedata", f"mode=delete:type={number}") for number in newer)
    graph = chain(frame, Fraction(1), *deletions)
    graph.push(frame)
    return graph.vpull()
