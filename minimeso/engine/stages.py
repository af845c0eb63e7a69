"""Stages: steps that run together in bands of lines, so that what passes between stays in cache.

A stage is a run of steps that need only some lines of their inputs for a line of their output.
What is written and read inside one stage only becomes a ring of a few lines.  ``csrc/program.c``
runs the bands, and works out at run time what ``_needs`` works out here to size the rings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .memory import Buffer
from .steps import Step, Tensor

#: Most steps of a stage (``MM_MAX_STAGE``), and most floats of its rings: 2 MiB, beyond L2 in wide
#: pictures, but whole planes would be beyond every cache.
_MAX_STEPS = 64
_MAX_RING_FLOATS = 1 << 19
#: Lines of the last step that are made in one go, before its stride.
_BAND_LINES = 4
#: Most bands that are looked at to size the rings; a dozen is usual, but tiles of many dilations
#: without a common divisor meet no band twice in a high picture, and a file may ask for those.
_MAX_DIFFERENT_BANDS = 256
_LINE_BY_LINE = (
    "INPUT_F32", "INPUT_U8", "ZERO", "COPY", "CONV", "WINOGRAD", "DEPTHWISE", "MAX_POOL",
    "AVG_POOL", "SOFTMAX", "ADD", "MUL",
)  # fmt: skip


@dataclass
class Stage:
    """Steps [first, first + count), in bands of ``band`` lines of the last one."""

    first: int
    count: int = 1
    band: int = 1


Range = tuple[int, int]


def make_stages(steps: Sequence[Step], tensors: Sequence[Tensor], banded: bool) -> list[Stage]:
    """Split the steps into stages, and turn the buffers inside a stage into rings."""
    stages: list[Stage] = []
    first = 0
    while first < len(steps):
        stage = (
            _longest(first, steps, tensors) if banded else Stage(first, 1, steps[first].tile_lines)
        )
        _make_rings(stage, steps, tensors)
        stages.append(stage)
        first += stage.count
    return stages


def _longest(first: int, steps: Sequence[Step], tensors: Sequence[Tensor]) -> Stage:
    """The longest stage from a step on, up to the first that leaves fewer lines than it reads."""
    best = Stage(first, 1, _band(steps[first]))
    for count in range(1, min(_MAX_STEPS, len(steps) - first) + 1):
        last = steps[first + count - 1]
        if not _is_line_by_line(last, tensors):
            break
        stage = Stage(first, count, _band(last))
        if count > 1 and _is_closed(stage, steps, tensors):
            if _different_bands(stage, steps, tensors) > _MAX_DIFFERENT_BANDS:
                break
            if _ring_floats(stage, steps, tensors) > _MAX_RING_FLOATS:
                break
            best = stage
            if last.fields.get("stride_h", 1) > 1 and not _is_continued(stage, steps, tensors):
                break
    return best


def _is_continued(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> bool:
    """Whether later steps write into the buffer that the last one writes."""
    end = stage.first + stage.count
    final = tensors[steps[end - 1].output].buffer
    return any(s.output >= 0 and tensors[s.output].buffer is final for s in steps[end:])


def _band(last: Step) -> int:
    lines = max(1, _BAND_LINES // int(last.fields.get("stride_h", 1)))
    return -(-lines // last.tile_lines) * last.tile_lines


def _is_line_by_line(step: Step, tensors: Sequence[Tensor]) -> bool:
    if step.op not in _LINE_BY_LINE or len(tensors[step.output].shape) == 1:
        return False
    if step.second >= 0:  # a factor per channel needs its whole input first
        same = tensors[step.second].shape[1:] == tensors[step.output].shape[1:]
        return same or is_doubled(step, tensors)
    return True


def is_doubled(step: Step, tensors: Sequence[Tensor]) -> bool:
    """Whether a sum doubles height and width of its second input on the way; one pixel is a factor
    per channel instead (``mm_is_doubled`` says the same)."""
    if step.second < 0 or step.op != "ADD":
        return False
    channels, height, width = tensors[step.second].map_shape
    doubled = channels, 2 * height, 2 * width
    return (height, width) != (1, 1) and doubled == tensors[step.output].map_shape


def _inner_buffers(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> list[Buffer]:
    """Buffers that the steps of the stage write, each once, but for the one of the last step."""
    end = stage.first + stage.count - 1
    final = _output(steps[end], tensors)
    inner: list[Buffer] = []
    for step in steps[stage.first : end]:
        buffer = tensors[step.output].buffer
        if buffer is not final and not any(buffer is b for b in inner):
            inner.append(buffer)
    return inner


def _output(step: Step, tensors: Sequence[Tensor]) -> Buffer | None:
    return tensors[step.output].buffer if step.output >= 0 else None


def _is_closed(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> bool:
    """Nobody outside the stage touches what passes between its steps, nobody inside reads what it
    makes, and whole tiles of that are made in each band."""
    end = stage.first + stage.count - 1
    own = steps[stage.first : end + 1]
    final = _output(steps[end], tensors)
    for step in own:
        if _output(step, tensors) is final and stage.band % step.tile_lines:
            return False
        for index in (step.input, step.second):
            if index >= 0 and len(own) > 1 and tensors[index].buffer is final:
                return False
    return all(
        b.first >= stage.first and b.last <= end for b in _inner_buffers(stage, steps, tensors)
    )


def _needs(
    stage: Stage, band: Range, steps: Sequence[Step], tensors: Sequence[Tensor]
) -> dict[int, Range]:
    """Lines of each inner buffer (by id) that a band needs, in a picture without edges."""
    needs: dict[int, Range] = {}
    inner = {id(b) for b in _inner_buffers(stage, steps, tensors)}
    for number in range(stage.first + stage.count - 1, stage.first - 1, -1):
        step = steps[number]
        key = id(_output(step, tensors))
        own = needs.get(key) if key in inner else band
        if own is None:
            continue
        first, last = own[0] // step.tile_lines, -(-own[1] // step.tile_lines)
        own = first * step.tile_lines, last * step.tile_lines
        if key in inner:
            needs[key] = own
        for index in (step.input, step.second):
            if index >= 0 and id(tensors[index].buffer) in inner:
                key, (start, end) = id(tensors[index].buffer), input_lines(step, own)
                if index == step.second and is_doubled(step, tensors):
                    start, end = start // 2, (end + 1) // 2
                known = needs.get(key, (start, end))
                needs[key] = min(known[0], start), max(known[1], end)
    return needs


def input_lines(step: Step, lines: Range) -> Range:
    """Input lines that output lines [start, end) of a step need, edges left out of account."""
    start, end = lines
    f = step.fields
    if step.op in ("CONV", "WINOGRAD", "DEPTHWISE", "MAX_POOL", "AVG_POOL"):
        start = int(start * f["stride_h"] - f["pad_top"])
        end = int((end - 1) * f["stride_h"] - f["pad_top"] + (f["kernel_h"] - 1) * f["dilation_h"])
        end += 1
    return start, end


def _different_bands(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> int:
    """How many bands from the top until tiles and doublings meet bands as before, or none is left.

    A band that starts at a multiple of all tiles needs tiles cut as the first one does; but behind
    a sum that doubles, the lines of a map count half as much, so behind d of them that multiple
    must be one of 2 ** d tiles.
    """
    own = steps[stage.first : stage.first + stage.count]
    doublings: dict[int, int] = {}  # by buffer: the most on a way from it to the last step
    for step in reversed(own):
        behind = doublings.get(id(_output(step, tensors)), 0)
        for index in (step.input, step.second):
            if index >= 0:
                doubled = index == step.second and is_doubled(step, tensors)
                key = id(tensors[index].buffer)
                doublings[key] = max(doublings.get(key, 0), behind + doubled)
    tiles = math.lcm(*(s.tile_lines for s in own)) << max(doublings.values(), default=0)
    last = own[-1]
    height = tensors[last.output if last.output >= 0 else last.input].map_shape[1]
    return min(math.lcm(tiles, stage.band) // stage.band, -(-height // stage.band))


def _ring_lines(
    stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]
) -> list[tuple[Buffer, int]]:
    """Each inner buffer with the power of two of lines that it must keep."""
    lines: dict[int, int] = {}
    for band in range(_different_bands(stage, steps, tensors)):
        start = band * stage.band
        needs = _needs(stage, (start, start + stage.band), steps, tensors)
        for key, (low, high) in needs.items():
            lines[key] = max(lines.get(key, 1), high - low)
    return [
        (buffer, 1 << (lines.get(id(buffer), 1) - 1).bit_length())
        for buffer in _inner_buffers(stage, steps, tensors)
    ]


def _ring_floats(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> int:
    return sum(
        min(lines, buffer.height) * buffer.line_stride
        for buffer, lines in _ring_lines(stage, steps, tensors)
    )


def _make_rings(stage: Stage, steps: Sequence[Step], tensors: Sequence[Tensor]) -> None:
    """Also: whatever a stage touches lives from its first step to its last."""
    for number, (buffer, lines) in enumerate(_ring_lines(stage, steps, tensors)):
        buffer.ring, buffer.lines = number, lines
    end = stage.first + stage.count - 1
    for step in steps[stage.first : end + 1]:
        for index in (step.input, step.second, step.output):
            if index >= 0:
                tensors[index].buffer.used_at(stage.first)
                tensors[index].buffer.used_at(end)
