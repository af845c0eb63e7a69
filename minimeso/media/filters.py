"""Filters of FFmpeg, one behind the other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction  # slow: it would take every start 7 ms

    from av.filter.graph import Graph
    from av.video.frame import VideoFrame


def chain(frame: VideoFrame, time_base: Fraction, *filters: tuple[str, str]) -> Graph:
    """Filters, each a name and its options, for frames of the size and format of this one."""
    from av.filter.graph import Graph

    graph = Graph()
    parts = (
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=time_base,
        ),
        *(graph.add(name, options) for name, options in filters),
        graph.add("buffersink"),
    )
    for part, following in itertools.pairwise(parts):
        part.link_to(following)
    graph.configure()
    return graph
