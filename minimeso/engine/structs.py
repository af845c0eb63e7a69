"""Tensors and steps of a plan as the C engine reads them, and what it says that they need.

No size is worked out here: the engine measures, by the functions with which it checks programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import EngineError
from .bindings import ACTIVATION_NUMBERS, OP_NUMBERS, ffi, lib
from .memory import Buffer
from .steps import Stage, Step, Tensor

#: Fields of ``mm_step`` that say -1 where there is nothing: offsets.
_OFFSETS = [name for name, field in ffi.typeof("mm_step").fields if field.type.cname == "int64_t"]


class Structs:
    """The C structs of a plan.

    Attributes:
        tensors, steps: arrays of ``mm_tensor`` and ``mm_step``, in the order of the plan.  Places
            in memory are in them once ``place`` has been called.
        needs: of each step, ``mm_needs``.
    """

    def __init__(self, tensors: Sequence[Tensor], steps: Sequence[Step]) -> None:
        self._plan_tensors, self._plan_steps = tensors, steps
        self.tensors: Any = ffi.new("mm_tensor[]", len(tensors))
        self.steps: Any = ffi.new("mm_step[]", len(steps))
        for struct, tensor in zip(self.tensors, tensors, strict=True):
            struct.channels, struct.height, struct.width = tensor.laid_out
            struct.is_vector = len(tensor.shape) == 1
            struct.ring = struct.line_mask = -1
        for struct, step in zip(self.steps, steps, strict=True):
            _fill_step(struct, step)
        self._program = ffi.new("mm_program *")
        self._program.tensors, self._program.tensor_count = self.tensors, len(tensors)
        self._program.steps, self._program.step_count = self.steps, len(steps)
        self.needs: Any = ffi.new("mm_needs[]", len(steps))
        for number in range(len(steps)):
            if lib.mm_measure(self._program, number, self.needs + number):
                raise EngineError(f"a plan without sense, at {steps[number].op}", lib.MM_E_PROGRAM)
        self._lines = ffi.new("int64_t[]", lib.MM_MAX_STAGE)

    def ring_lines(self, stage: Stage, rings: Sequence[Buffer]) -> list[int] | None:
        """How many lines of each of these buffers a band of a stage may need at once.

        Returns:
            None where the bands of the stage differ so much that nobody knows.
        """
        numbers = {id(buffer): number for number, buffer in enumerate(rings)}
        for step in self._plan_steps[stage.first : stage.first + stage.count]:
            for index in step.operands:
                self.tensors[index].ring = numbers.get(id(self._plan_tensors[index].buffer), -1)
        bands = ffi.new("mm_stage *", (stage.first, stage.count, stage.band))
        if lib.mm_measure_stage(self._program, bands, self._lines):
            return None
        return ffi.unpack(self._lines, len(rings)) if rings else []

    def place(self) -> None:
        """Write down where the buffers of the tensors lie by now."""
        for struct, tensor in zip(self.tensors, self._plan_tensors, strict=True):
            buffer = tensor.buffer
            struct.offset = buffer.offset(tensor.channel)
            struct.row_stride, struct.line_stride = buffer.row_stride, buffer.line_stride
            struct.ring = buffer.ring
            struct.line_mask = -1 if buffer.ring < 0 else buffer.lines - 1


def _fill_step(struct: Any, step: Step) -> None:
    struct.op = _number(OP_NUMBERS, step.op)
    struct.input, struct.second, struct.output = step.input, step.second, step.output
    struct.activation = struct.pre_activation = lib.MM_NO_ACTIVATION
    for absent in _OFFSETS:
        setattr(struct, absent, -1)
    for name, value in step.fields.items():
        setattr(
            struct, name, _number(ACTIVATION_NUMBERS, value) if isinstance(value, str) else value
        )


def _number(numbers: dict[str, int], name: str) -> int:
    if name not in numbers:
        raise EngineError(f"the engine has no {name!r}", lib.MM_E_PROGRAM)
    return numbers[name]
