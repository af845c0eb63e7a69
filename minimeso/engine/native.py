"""Runs the C engine: programs, pools, workspaces, instruction sets."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EngineError, InputError
from .bindings import ACTIVATION_NUMBERS, LANES, ffi, lib, names
from .memory import for_engine
from .pack import Parameters
from .plan import Plan

#: Read once: a program may change its environment while threads run.
_WANTED_ISA = os.environ.get("MINIMESO_ISA") or None
_ISA_NAMES = [ffi.string(lib.mm_isa_name(i)).decode() for i in range(lib.MM_ISA_COUNT)]


def _check(code: int, where: str) -> None:
    if code != lib.MM_OK:
        raise EngineError(f"{where}: {ffi.string(lib.mm_strerror(code)).decode()}", code)


def available_isas() -> list[str]:
    """Instruction sets that this build, CPU and operating system have, slowest first."""
    return list(_available_isas())


@functools.cache  # in a virtual machine the question takes microseconds
def _available_isas() -> tuple[str, ...]:
    return tuple(name for i, name in enumerate(_ISA_NAMES) if lib.mm_isa_supported(i))


def choose_isa(name: str | None = None) -> str:
    """``name``, else the environment's ``MINIMESO_ISA`` at the start, else the fastest available.

    Raises:
        EngineError: the name is unknown, or this machine lacks the instruction set.
    """
    source = "isa"
    if name is None:
        name, source = _WANTED_ISA, "MINIMESO_ISA"
    available = _available_isas()
    if name is None:
        return available[-1]
    if name not in available:
        reason = "is not available here" if name in _ISA_NAMES else "is not an instruction set"
        raise EngineError(
            f"{source}={name!r} {reason} (available: {', '.join(available)})", lib.MM_E_ISA
        )
    return name


def kernel_names() -> list[str]:
    """Names of the kernels that exist once per instruction set."""
    return list(names(lib.mm_kernel_name))


def activate(
    x: npt.NDArray[np.float32], activation: str, slope: float = 0.1, isa: str | None = None
) -> npt.NDArray[np.float32]:
    """An activation alone, element by element.

    Args:
        x: float32 of any shape.
        activation: a name of ``ACTIVATION_NUMBERS``.
        slope: of Leaky ReLU.
        isa: instruction set, as in ``choose_isa``.
    """
    call, y = activator(x, activation, slope, isa)
    _check(call(), activation)
    return y


def activator(
    x: npt.NDArray[np.float32], activation: str, slope: float = 0.1, isa: str | None = None
) -> tuple[Callable[[], int], npt.NDArray[np.float32]]:
    """What ``activate`` does, to be done again and again: the engine's call, and its result."""
    number = ACTIVATION_NUMBERS.get(activation)
    if number is None:
        raise EngineError(f"unknown activation {activation!r}", lib.MM_E_PROGRAM)
    x = for_engine(x, np.float32)
    y = np.empty_like(x)
    source, target = ffi.from_buffer("float[]", x), ffi.from_buffer("float[]", y)
    isa_number = _ISA_NAMES.index(choose_isa(isa))
    return partial(lib.mm_activate, isa_number, number, slope, source, target, x.size), y


class Pool:
    """A pool of threads, the caller's among them; belongs to the process that made it."""

    def __init__(self, threads: int) -> None:
        pointer = ffi.new("mm_pool **")
        _check(lib.mm_pool_new(threads, pointer), f"a pool of {threads} threads")
        self.handle = pointer[0]
        self.threads = threads
        self.process = os.getpid()
        self._finalizer = weakref.finalize(self, _free_pool, self.handle, self.process)
        # Daemon threads may run on it when the process ends, which takes its threads along.
        self._finalizer.atexit = False

    def usable(self, threads: int) -> bool:
        """Whether it has so many threads and they are of this process (none survive a fork)."""
        return self.threads == threads and self.process == os.getpid()

    def close(self) -> None:
        """End the threads now; nobody may run on them."""
        self._finalizer()


def _free_pool(handle: Any, process: int) -> None:
    if os.getpid() == process:
        lib.mm_pool_free(handle)


class Workspace:
    """Scratch memory that grows to what a program needs; for one run at a time.

    Once, where the next program of those that share it needs less than half, the rest goes back to
    the system: who judges a single picture needs that of the finder only once, and who judges many
    does not wait for fresh pages again and again.
    """

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self._pointer = ffi.NULL
        self._gave_back = False

    def pointer(self, size: int) -> Any:
        """64-byte aligned memory of ``size`` bytes, contents arbitrary."""
        if not self._pointer or self._bytes.size < size + 64:
            self._bytes = np.empty(0, np.uint8)  # the old one goes before the new one comes
            self._bytes = np.empty(size + 64, np.uint8)
            address = self._bytes.ctypes.data  # microseconds
            self._pointer = ffi.cast("char *", address + -address % 64)
        elif not self._gave_back and self._bytes.size > 2 * (size + 64):
            self._gave_back = True
            lib.mm_give_back(self._pointer + size, self._bytes.size - 64 - size)
        return self._pointer


class _Scratch(threading.local):
    """A workspace for each thread, kept from call to call: fresh pages cost more than a resize."""

    def __init__(self) -> None:
        self.workspace = Workspace()


_scratch = _Scratch()


def resize(
    picture: npt.NDArray[np.uint8],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    resample: str,
    isa: str | None = None,
    out: npt.NDArray[np.float32] | None = None,
    rounded: bool = False,
) -> npt.NDArray[np.float32]:
    """A box of a picture, scaled as Pillow's ``Image.resize`` does it, but not rounded between.

    Args:
        picture: (H, W, 3) uint8; a part of a larger picture is not copied.
        box: left, top, right and bottom edge in pixels.
        size: height and width of the result.
        resample: ``bilinear``, which looks at pixels around the box, too; ``nearest``; or
            ``bicubic_2x``, as bilinear of a picture that is made twice as large by Pillow's bicubic
            first, along each axis that grows.
        isa: instruction set, as in ``choose_isa``.
        out: where the result goes, also a part of a larger array whose rows are contiguous; fresh
            memory may cost as much time as the resize.
        rounded: to bytes, in the end.

    Returns:
        (3, height, width) from 0 to 1.

    Raises:
        InputError: the box is empty, not a number or not inside the picture, there are no or too
            many pixels, or ``out`` does not fit.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"a picture is (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    if picture.strides[1:] != (3, 1):
        picture = np.ascontiguousarray(picture)
    crop = _crop(picture, box, size, resample, rounded)
    workspace = _scratch.workspace  # held: at the end of a process those of its threads go
    needed = lib.mm_resize_bytes(crop)
    if not needed:
        height, width = picture.shape[:2]
        raise InputError(f"no box {box} of a picture {width} x {height} as {size[1]} x {size[0]}")
    if out is None:
        out = np.empty((3, *size), np.float32)
    elif not _takes_rows(out, (3, *size)):
        raise InputError(f"out is no float32 array of shape {(3, *size)} with contiguous rows")
    plane, line = out.strides[0] // 4, out.strides[1] // 4
    code = lib.mm_resize(
        _ISA_NAMES.index(choose_isa(isa)),
        crop,
        ffi.cast("float *", out.__array_interface__["data"][0]),
        plane,
        line,
        workspace.pointer(needed),
    )
    _check(code, "resize")
    return out


def _crop(
    picture: npt.NDArray[np.uint8],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    resample: str,
    rounded: bool,
) -> Any:
    """The same as the engine's struct, of a picture that the caller keeps."""
    address, _ = picture.__array_interface__["data"]
    crop = ffi.new("mm_crop *")
    crop.pixels = ffi.cast("uint8_t *", address)
    crop.height, crop.width = picture.shape[:2]
    crop.line_bytes = picture.strides[0]
    crop.left, crop.top, crop.right, crop.bottom = box
    crop.out_height, crop.out_width = size
    crop.rounded = rounded
    crop.filter = getattr(lib, f"MM_FILTER_{resample.upper()}")
    return crop


def _takes_rows(out: npt.NDArray[Any], shape: tuple[int, int, int]) -> bool:
    """Whether an array is of this shape, and its rows lie one behind the other without overlap."""
    if out.shape != shape or out.dtype != np.float32 or not out.flags.behaved:
        return False
    plane, line, element = out.strides
    return element == 4 and line >= 4 * shape[2] and plane >= (shape[1] - 1) * line + 4 * shape[2]


class Program:
    """A plan as C structs, checked by the engine; immutable, usable by many threads."""

    def __init__(self, plan: Plan, parameters: Parameters) -> None:
        self.steps = len(plan.steps)
        self.parameters = parameters
        self.constants = _joined(plan.constants, np.float32)
        self.tables = _joined(plan.tables, np.int32)
        self._structs = plan.structs
        self._stages = ffi.new("mm_stage[]", [(s.first, s.count, s.band) for s in plan.stages])
        ops = [step.op for step in plan.steps]
        self.struct = ffi.new(
            "mm_program *",
            {
                "tensors": plan.structs.tensors,
                "steps": plan.structs.steps,
                "stages": self._stages,
                "parameters": ffi.from_buffer("float[]", parameters.block),
                "constants": ffi.from_buffer("float[]", self.constants),
                "tables": ffi.from_buffer("int32_t[]", self.tables),
                "quantized": ffi.from_buffer("uint8_t[]", parameters.quantized),
                "tensor_count": len(plan.tensors),
                "step_count": len(plan.steps),
                "stage_count": len(plan.stages),
                "parameter_count": parameters.block.size,
                "constant_count": self.constants.size,
                "table_count": self.tables.size,
                "quantized_count": parameters.quantized.size,
                "arena_floats": plan.arena_floats,
                "ring_floats": plan.ring_floats,
                "scratch_floats": plan.scratch_floats,
                "max_list": plan.max_list,
                "input_count": sum(op.startswith("INPUT") for op in ops),
                "output_count": ops.count("OUTPUT"),
            },
        )
        fault = ffi.new("int64_t *")
        code = lib.mm_check(self.struct, fault)
        if code:
            layer = plan.steps[fault[0]].layer if fault[0] >= 0 else None
            where = layer.name if layer else "its tensors"
            _check(code, f"plan, at {where!r}")

    def run(
        self,
        isa: str,
        pool: Pool,
        workspace: Workspace,
        inputs: Sequence[npt.NDArray[Any]],
        outputs: Sequence[npt.NDArray[np.float32]],
        nanoseconds: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Run on a batch; arrays are contiguous and of the shapes that the plan was made for.

        To ``nanoseconds``, (threads, steps), is added what each thread spends in each step.
        """
        if nanoseconds is not None and nanoseconds.shape != (pool.threads, self.steps):
            raise ValueError(f"nanoseconds of shape {nanoseconds.shape}")
        batch = len(inputs[0])
        images_at_once = pool.threads if batch >= pool.threads else 1
        size = lib.mm_workspace_bytes(self.struct, pool.threads, images_at_once)
        if not size:
            raise EngineError("the picture is too large for this machine", lib.MM_E_NOMEM)
        sources = [ffi.from_buffer(array) for array in inputs]
        targets = [ffi.from_buffer("float[]", a, require_writable=True) for a in outputs]
        code = lib.mm_run(
            self.struct,
            _ISA_NAMES.index(isa),
            pool.handle,
            ffi.new("void *[]", sources),
            ffi.new("float *[]", targets),
            batch,
            workspace.pointer(size),
            images_at_once,
            ffi.NULL
            if nanoseconds is None
            else ffi.from_buffer("int64_t[]", nanoseconds, require_writable=True),
        )
        _check(code, "run")


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    # never empty: from_buffer of nothing has no address
    return np.concatenate([*arrays, np.zeros(LANES, dtype)])
