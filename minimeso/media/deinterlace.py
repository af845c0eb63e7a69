"""Deinterlacing: of frames whose lines are of two moments, frames of one; by FFmpeg's bwdif.

A face whose odd lines are of another moment has combs at its edges, which a network has never seen.
bwdif ("Bob Weaver Deinterlacing Filter") looks at the frames before and behind, so all frames go
through it, in order; those that are not interlaced leave it as they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .filters import chain
from .opening import usual_time_base

if TYPE_CHECKING:
    from fractions import Fraction

    from av.filter.graph import Graph
    from av.video.frame import VideoFrame

#: One frame out for each one in, fields in the order that the frame tells.
_BWDIF = "mode=send_frame:parity=auto:deint="


def can_deinterlace() -> bool:
    """Whether this FFmpeg has the filter."""
    from av.filter import filters_available

    return "bwdif" in filters_available


class Deinterlacer:
    """Frames in, frames out, one later; told to ``drain`` it gives the last one.

    Args:
        all_frames: also those that do not say that they are interlaced, which else stay.
    """

    def __init__(self, all_frames: bool = False) -> None:
        self._what = "all" if all_frames else "interlaced"
        self._graph: Graph | None = None
        self._kind: tuple[int, int, str] | None = None
        self._unit: Fraction | None = None

    def pass_on(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """The next frame goes in; what comes out. Where frames change their size, those before come
        out first.

        Raises:
            av.FFmpegError: FFmpeg cannot do it.
        """
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            yield from self.drain()
            self._unit = frame.time_base or usual_time_base()
            bwdif = "bwdif", _BWDIF + self._what
            self._graph, self._kind = chain(frame, self._unit, bwdif), kind
        assert self._graph is not None
        self._graph.push(frame)
        yield from self._pulled(self._graph)

    def drain(self) -> Iterator[VideoFrame]:
        """What is still in it, as no more frames of this kind come."""
        graph, self._graph, self._kind = self._graph, None, None
        if graph is not None:
            graph.push(None)
            yield from self._pulled(graph)

    def _pulled(self, graph: Graph) -> Iterator[VideoFrame]:
        import av

        while True:
            try:
                frame = graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            if frame.pts is not None and frame.time_base:  # bwdif counts in half units
                frame.pts = round(frame.pts * frame.time_base / self._unit)
                frame.time_base = self._unit
            yield frame
