"""Tensors and steps of a plan: what the C program is made of, still with names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .layer import Layer
from .memory import Buffer

MapShape = tuple[int, int, int]


@dataclass
class Tensor:
    """Channels [channel, channel + channels) of a buffer."""

    name: str
    buffer: Buffer
    channel: int
    shape: tuple[int, ...]
    #: Channels of a line, where the map lies plane by plane (``planes.py``); else 0.
    line_channels: int = 0

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


@dataclass
class Step:
    """One step of the program: an ``MM_OP_*`` name, its tensors by number, and its fields."""

    op: str
    output: int = -1
    input: int = -1
    second: int = -1
    fields: dict[str, Any] = field(default_factory=dict)
    layer: Layer | None = None

    @property
    def operands(self) -> list[int]:
        """Numbers of the tensors that it reads and writes."""
        return [index for index in (self.input, self.second, self.output) if index >= 0]


@dataclass
class Stage:
    """Steps [first, first + count), in bands of ``band`` lines of the last one."""

    first: int
    count: int = 1
    band: int = 1
