"""Tensors and steps of a plan: what the C program is made of, still with names."""

from __future__ import annotations

from typing import Any

from .layer import Layer
from .memory import Buffer

MapShape = tuple[int, int, int]


class Tensor:
    """Channels [channel, channel + channels) of a buffer.

    ``line_channels``: of a line, where the map lies plane by plane (``planes.py``); else 0.
    """

    __slots__ = ("buffer", "channel", "line_channels", "name", "shape")

    def __init__(
        self, name: str, buffer: Buffer, channel: int, shape: tuple[int, ...], line_channels: int
    ) -> None:
        self.name, self.buffer, self.channel = name, buffer, channel
        self.shape, self.line_channels = shape, line_channels

    @property
    def laid_out(self) -> MapShape:
        """Channels, lines and width as the engine counts them."""
        channels, height, width = self.map_shape
        if not self.line_channels:
            return channels, height, width
        return self.line_channels, channels // self.line_channels, height * width

    @property
    def map_shape(self) -> MapShape:
        """(C, H, W); a vector of F features is (1, 1, F)."""
        if len(self.shape) == 1:
            return 1, 1, self.shape[0]
        channels, height, width = self.shape
        return channels, height, width


class Step:
    """One step of the program: an ``MM_OP_*`` name, its tensors by number, and its fields."""

    __slots__ = ("fields", "input", "layer", "op", "output", "second")

    def __init__(
        self,
        op: str,
        output: int = -1,
        input: int = -1,
        second: int = -1,
        fields: dict[str, Any] | None = None,
        layer: Layer | None = None,
    ) -> None:
        self.op, self.output, self.input, self.second = op, output, input, second
        self.fields: dict[str, Any] = {} if fields is None else fields
        self.layer = layer

    @property
    def operands(self) -> list[int]:
        """Numbers of the tensors that it reads and writes."""
        return [index for index in (self.input, self.second, self.output) if index >= 0]


class Stage:
    """Steps [first, first + count), in bands of ``band`` lines of the last one."""

    __slots__ = ("band", "count", "first")

    def __init__(self, first: int, count: int, band: int) -> None:
        self.first, self.count, self.band = first, count, band
