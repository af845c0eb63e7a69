"""Losses: frames of a clip that are not shown, as they are damaged or build on others that are not
in the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..notes import Note

if TYPE_CHECKING:
    from av import Packet
    from av.video.frame import VideoFrame

#: Seconds after a damaged frame in which those that refer to it are damaged, too, unless a key
#: frame comes before: encoders send one at least so often, unless they are told otherwise.
_DRIFTS = 10.0
#: Decoders that draw on grey what builds on a frame that was never there, and say nothing of it;
#: the others wait for a key frame.
_DRAW_ON_GREY = frozenset(
    {
        "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "flv", "h263",
        "h263i", "h263p", "rv10", "rv20",
    }
)  # fmt: skip
#: FFmpeg's numbers of the kinds of frames that build on no other one: I and BI.
_ON_THEIR_OWN = (1, 7)
#: Stamps that lie this many times as far apart as frames would are of a clock that was set anew.
_LEAPS = 10


class Losses:
    """Counts them, packet by packet and frame by frame.

    Args:
        codec: FFmpeg's name of the decoder.
        unit: seconds of a time stamp, ``None`` if unknown.
        step: seconds from frame to frame, about.
        from_start: whether the first packet is that of the clip, and no key frame in it.

    Attributes:
        packets: of which no frame came, though the key frame before them is there.
        frames: that are damaged.
        before_key: packets before the first key frame, of which nothing is shown.
        late: seconds of these.
        note: what is said of them; ``None`` if there are none.
    """

    def __init__(self, codec: str, unit: float | None, step: float, from_start: bool) -> None:
        self.packets = self.frames = self.before_key = 0
        self.late = 0.0
        self.note: Note | None = None
        self._waits_for_key = codec in _DRAW_ON_GREY and from_start
        self._unit, self._step = unit, step
        self._has_begun = self._has_key = not from_start
        self._early: list[int | None] = []  # stamps of packets before the first key frame
        self._refused = self._drawn = 0  # of these, by the decoder; and what it drew of them
        self._drifts_from: float | None = None  # since when frames are damaged

    def count(self, packet: Packet) -> None:
        """A packet goes to the decoder."""
        self._has_key = self._has_key or packet.is_keyframe
        if not (self._has_key or self._has_begun or packet.is_discard):
            self._early.append(_stamp(packet))

    def shown(self, frames: Sequence[VideoFrame]) -> Sequence[VideoFrame]:
        """Those of the decoder's frames that are more than a drawing on grey."""
        if self._has_begun:
            return frames
        for number, frame in enumerate(frames):
            if not self._waits_for_key or int(frame.pict_type) in _ON_THEIR_OWN:
                self._begin(frame)
                return frames[number:]
            self._drawn += 1
            if self._drawn > len(self._early):  # the container called a packet a key frame
                self._early.append(_stamp(frame))
        return ()

    def end(self) -> None:
        """There are no more frames."""
        if not self._has_begun:
            self._begin(None)

    def _begin(self, first: VideoFrame | None) -> None:
        self._has_begun = True
        stamp = None if first is None else _stamp(first)
        known = [early for early in self._early if early is not None]
        if stamp is not None and len(known) == len(self._early):
            known = [early for early in known if early < stamp]
            self.before_key = len(known)
        elif first is None or first.key_frame:
            self.before_key = len(self._early)
        if self.before_key:
            self.late = self._seconds(known, stamp)
            values = {"frames": self.before_key, "seconds": self.late}
            self.note = Note("before_key_frame", values)
        self._early.clear()

    def _seconds(self, stamps: list[int], first: int | None) -> float:
        seconds = self.before_key * self._step
        if first is None or not stamps or self._unit is None:
            return seconds
        told = (first - min(stamps)) * self._unit
        return told if told < _LEAPS * seconds else seconds

    def lose(self, t: float, for_want_of_memory: bool) -> None:
        """A packet gave no frame; those after it may refer to that."""
        if not self._has_begun and self._refused < len(self._early) and not for_want_of_memory:
            self._refused += 1
            return
        self.packets += 1
        self._drifts_from = t

    def is_damaged(self, frame: VideoFrame, t: float) -> bool:
        """Patched up by the decoder, or drawn after one that was: a face would look fake without
        being so."""
        if frame.is_corrupt:
            self._drifts_from = t
        elif self._drifts_from is not None and (
            frame.key_frame or t >= self._drifts_from + _DRIFTS
        ):
            self._drifts_from = None
        if self._drifts_from is None:
            return False
        self.frames += 1
        return True


def _stamp(source: Packet | VideoFrame) -> int | None:
    stamp: int | None = source.pts if source.pts is not None else source.dts
    return stamp
