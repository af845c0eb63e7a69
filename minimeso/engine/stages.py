"""Stages: steps that run together in bands of lines, so that what passes between stays in cache.

A stage is a run of steps that need only some lines of their inputs for a line of their output.
What is written and read inside one stage only becomes a ring of a few lines.  How many lines those
are says ``csrc/bands.c``, which runs the bands, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from .bindings import lib
from .memory import Buffer
from .steps import Stage, Step, Tensor
from .structs import Structs

#: Most floats of the rings of a stage: 2 MiB, beyond L2 in wide pictures, but whole planes would be
#: beyond every cache.
_MAX_RING_FLOATS = 1 << 19
#: Lines of the last step that are made in one go, before its stride.
_BAND_LINES = 4
#: The same where a map lies plane by plane: for the first cache, and for threads to share evenly.
_BAND_FLOATS = 1 << 11


def make_stages(
    steps: Sequence[Step], tensors: Sequence[Tensor], structs: Structs, banded: bool
) -> list[Stage]:
    """Split the steps into stages, and turn the buffers inside a stage into rings."""
    search = _Search(steps, tensors, structs)
    stages: list[Stage] = []
    first = 0
    while first < len(steps):
        stage = search.longest(first) if banded else Stage(first, 1, search.tile_lines(first))
        search.make_rings(stage)
        stages.append(stage)
        first += stage.count
    return stages


class _Search:
    """Looks for stages, and asks the engine what their bands need."""

    def __init__(self, steps: Sequence[Step], tensors: Sequence[Tensor], structs: Structs) -> None:
        self.steps, self.tensors, self.structs = steps, tensors, structs
        #: The buffer that each step writes.
        self.written = [tensors[s.output].buffer if s.output >= 0 else None for s in steps]

    def longest(self, first: int) -> Stage:
        """The longest stage from a step on, up to the first that leaves fewer lines than it reads
        and no more than rings may be: the beginning of a network would leave every cache."""
        best = Stage(first, 1, self.band(first))
        for count in range(1, min(lib.MM_MAX_STAGE, len(self.steps) - first) + 1):
            last = first + count - 1
            banded = self.structs.needs[last].is_banded
            if not banded or (banded == lib.MM_FIRST_OF_STAGE and count > 1):
                break
            stage = Stage(first, count, self.band(last))
            if count > 1 and self.is_closed(stage):
                rings = self.rings(stage)
                if rings is None:
                    break
                floats = sum(min(n, buffer.height) * buffer.line_stride for buffer, n in rings)
                if floats > _MAX_RING_FLOATS:
                    break
                best = stage
                final = self.written[last]
                is_large = final is not None and final.floats > _MAX_RING_FLOATS
                if self.stride(last) > 1 and not is_large and not self.is_continued(stage):
                    break
        return best

    def tile_lines(self, step: int) -> int:
        return int(self.structs.needs[step].tile_lines)

    def stride(self, step: int) -> int:
        return int(self.structs.needs[step].stride)

    def band(self, last: int) -> int:
        """Lines of a band of a stage that ends with a step: about ``_BAND_LINES``, whole tiles."""
        lines, tile = max(1, _BAND_LINES // self.stride(last)), self.tile_lines(last)
        output = self.steps[last].output
        if output >= 0 and self.tensors[output].line_channels:
            channels, _, width = self.tensors[output].laid_out
            lines = max(1, _BAND_FLOATS // (channels * width))
        return -(-lines // tile) * tile

    def inner_buffers(self, stage: Stage) -> list[Buffer]:
        """Buffers that steps of the stage write, each once, but for the one of the last step."""
        end = stage.first + stage.count - 1
        final = self.written[end]
        buffers = self.written[stage.first : end]
        return list({id(b): b for b in buffers if b is not None and b is not final}.values())

    def is_continued(self, stage: Stage) -> bool:
        """Whether later steps write into the buffer that the last one writes."""
        end = stage.first + stage.count
        final = self.written[end - 1]
        return any(buffer is final for buffer in self.written[end:])

    def is_closed(self, stage: Stage) -> bool:
        """Nobody outside the stage touches what passes between its steps, nobody inside reads what
        it makes, and whole tiles of that are made in each band."""
        end = stage.first + stage.count - 1
        final = self.written[end]
        for number in range(stage.first, end + 1):
            step = self.steps[number]
            if self.written[number] is final and stage.band % self.tile_lines(number):
                return False
            for index in (step.input, step.second):
                if index >= 0 and stage.count > 1 and self.tensors[index].buffer is final:
                    return False
        return all(b.first >= stage.first and b.last <= end for b in self.inner_buffers(stage))

    def rings(self, stage: Stage) -> list[tuple[Buffer, int]] | None:
        """Each inner buffer with the power of two of lines that it must keep; None: nobody knows
        how many."""
        buffers = self.inner_buffers(stage)
        lines = self.structs.ring_lines(stage, buffers)
        if lines is None:
            return None
        return [
            (b, 1 << (min(max(n, 1), b.height) - 1).bit_length())
            for b, n in zip(buffers, lines, strict=True)
        ]

    def make_rings(self, stage: Stage) -> None:
        """Also: whatever a stage touches lives from its first step to its last."""
        for number, (buffer, lines) in enumerate(self.rings(stage) or ()):
            buffer.ring, buffer.lines = number, lines
        end = stage.first + stage.count - 1
        for step in self.steps[stage.first : end + 1]:
            for index in step.operands:
                self.tensors[index].buffer.used_at(stage.first)
                self.tensors[index].buffer.used_at(end)
