"""A network for inputs of one size as a C file of its own, with its header and an example."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine import Model, Session, find_model
from ..engine.bindings import ACTIVATION_NUMBERS, OP_NUMBERS, ffi, lib
from ..engine.files import write_file
from ..engine.native import Program
from ..engine.plan import Plan
from ..errors import GraphError, InputError
from . import literals
from .amalgamation import Needs, amalgamate
from .interface import Array, Interface, functions, header, heading
from .plan_file import COUNTS, plan_file
from .texts import example, readme

_C_WORDS = """
    arena auto break case char const continue default do double else enum extern float for goto if
    inline int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while
"""

#: What else no parameter may be called: words of C++, for the header, and what `run` calls its own.
_TAKEN = """
    alignas alignof and and_eq asm bitand bitor bool catch char16_t char32_t char8_t class co_await
    co_return co_yield compl concept const_cast consteval constexpr constinit decltype delete
    dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public reinterpret_cast requires static_assert static_cast
    template this thread_local throw true try typeid typename typeof using virtual wchar_t xor
    xor_eq errno linux unix
    inputs outputs program state mm_run state_t uint8_t uintptr_t
"""

#: No prefix: what the engine in the file and the library for C call theirs, and headers of C, which
#: one of the same name would hide.
_NO_PREFIX = """
    mm minimeso minimeso_c_api minimeso_crop
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
    wctype
"""
_MAX_PREFIX = 61
_MAX_PLAN_ARRAYS = 256  # of plan_file.c


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        name: prefix of its functions, and name of its files.
        files: content by file name.
        weight_bytes: of the weights, as they lie in the program.
        public: what its header offers.
    """

    name: str
    files: dict[str, bytes]
    weight_bytes: int
    public: Interface


def export(
    model: Model | str | os.PathLike[str],
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    name: str | None = None,
    as_bytes: bool | None = None,
    as_plan: bool = False,
) -> Export:
    """A network as C, or as a plan file.

    Args:
        model: the network, or its name or file, as for a ``Session``.
        shapes: (C, H, W) or (F,) of each input; by default those that the network declares.
        name: prefix of its functions; by default made of the model's.
        as_bytes: whether the input is a picture of bytes (H, W, 3) or floats (C, H, W); by default
            bytes, where the network has one input of three channels.
        as_plan: a plan file, for ``minimeso_c_api.h``, in place of C.

    Raises:
        InputError: it is no network; it takes any size, and none was given, or no such shapes; it
            has no output, or more than a plan can hold; or the name is none in C.
        ModelError: there is no such model, or its file cannot be trusted.
    """
    if isinstance(model, (str, os.PathLike)):
        model = find_model(model)
    if not isinstance(model, Model):
        raise InputError(f"a {type(model).__name__} is no Model, nor the name or file of one")
    prefix = _prefix(model.name) if name is None else str(name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix) or not _is_free(prefix):
        raise InputError(
            f"{prefix!r} is no prefix for C: letters a to z, digits and _, {_MAX_PREFIX} at most, "
            "not mm_ nor the name of a header"
        )
    try:
        sizes = model.graph.sizes(shapes)
    except GraphError as error:
        raise InputError(str(error)) from None
    channels = [size[:-2] for size in sizes.values()]
    picture = channels == [(3,)]
    if as_bytes and not picture:
        raise InputError("bytes are for a network with one input, a picture of three channels")
    as_bytes = picture if as_bytes is None else as_bytes
    if not model.graph.outputs:
        raise InputError(f"{model.name}: a network without an output")
    if as_plan and max(len(sizes), len(model.graph.outputs)) > _MAX_PLAN_ARRAYS:
        raise InputError(f"{model.name}: a plan has at most {_MAX_PLAN_ARRAYS} inputs and outputs")
    with Session(model, threads=1) as session:
        plan, program = session.program(sizes, as_bytes)
    # with pointers of 8 bytes, as here; shorter ones need no more
    workspace = int(lib.mm_workspace_bytes(program.struct, 1, 1))
    public = Interface(prefix, model, *_arrays(plan, model, sizes, as_bytes), workspace)
    if as_plan:
        files = {f"{prefix}.plan": plan_file(program, public)}
    else:
        files = {name: text.encode() for name, text in _texts(program, public).items()}
    return Export(prefix, files, program.parameters.nbytes, public)


def write(files: Mapping[str, bytes], folder: str | os.PathLike[str]) -> None:
    """Files by their names into a folder, which is made if it is missing.

    Raises:
        OSError: the folder cannot be made or written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_file(place / name, data)


def _texts(program: Program, public: Interface) -> dict[str, str]:
    name = public.prefix
    body = f"{_data(program)}\n{functions(public)}"
    files = {
        f"{name}.c": heading(public) + amalgamate(_needs(program), body),
        f"{name}.h": header(public),
        f"{name}.md": readme(public),
    }
    if public.has_example:
        files[f"{name}_example.c"] = example(public)
    return files


def identifier(name: str) -> str:
    """A name as one of C: ``mesoinception4-mish`` is ``mesoinception4_mish``."""
    words = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII)
    if words in _C_WORDS.split():
        return f"{words}_"
    return words if words[:1].isalpha() else f"n{words}"


def _is_free(prefix: str) -> bool:
    return (
        len(prefix) <= _MAX_PREFIX
        and not prefix.startswith("mm_")
        and prefix not in _NO_PREFIX.split()
    )


def _prefix(name: str) -> str:
    """One for functions, made of a network's name."""
    prefix = identifier(name)[:_MAX_PREFIX]
    return prefix if _is_free(prefix) else f"n_{prefix}"[:_MAX_PREFIX]


def _parameter(name: str) -> str:
    """A name as one of a parameter."""
    word = identifier(name)
    return f"{word}_" if word in _TAKEN.split() else word


def _arrays(
    plan: Plan, model: Model, shapes: Mapping[str, tuple[int, ...]], as_bytes: bool
) -> tuple[list[Array], list[Array]]:
    """What the caller passes, in the order of the plan's arrays."""
    inputs = [
        Array(name, _parameter(name), "uint8_t", (*shape[1:], shape[0]))
        if as_bytes
        else Array(name, _parameter(name), "float", shape)
        for name, shape in shapes.items()
    ]
    outputs = [Array(n, _parameter(n), "float", plan.shape(n)) for n in model.graph.outputs]
    if len({array.name for array in (*inputs, *outputs)}) < len(inputs) + len(outputs):
        inputs = [array._replace(name=f"input{i}") for i, array in enumerate(inputs)]
        outputs = [array._replace(name=f"output{i}") for i, array in enumerate(outputs)]
    return inputs, outputs


def _steps(program: Program) -> list[Any]:
    return list(ffi.unpack(program.struct.steps, program.struct.step_count))


def _needs(program: Program) -> Needs:
    steps = _steps(program)
    operators = {number: name for name, number in OP_NUMBERS.items()}
    ops = {operators[step.op] for step in steps}
    numbers = {n for step in steps for n in (step.activation, step.pre_activation)}
    activations = {name.upper() for name, n in ACTIVATION_NUMBERS.items() if n in numbers}
    strides = {
        1 if step.column_phases else step.stride_w
        for step in steps
        if step.op == OP_NUMBERS["CONV"]
    }
    if ops & {"WINOGRAD", "POINTWISE"}:
        strides.add(1)
    without = {f"conv_stride{stride}" for stride in (1, 2) if stride not in strides}
    if strides <= {1, 2}:
        without.add("conv_any_stride")
    if all(step.quantized < 0 for step in steps):
        without.add("dequantize")
    if any(step.slopes >= 0 for step in steps):
        activations.add("LEAKY_RELU")
    else:
        without |= {"prelu", "leaky_relu"}
    return Needs(ops, activations, without)


def _data(program: Program) -> str:
    """The program as constants, ``program``."""
    struct = program.struct
    names = {f"op {number}": f"MM_OP_{name}" for name, number in OP_NUMBERS.items()}
    for name, number in ACTIVATION_NUMBERS.items():
        names[f"activation {number}"] = names[f"pre_activation {number}"] = f"MM_{name.upper()}"
    tensors = ffi.unpack(struct.tensors, struct.tensor_count)
    stages = ffi.unpack(struct.stages, struct.stage_count)
    fields = [
        ".tensors = tensors", ".steps = steps", ".stages = stages",
        ".parameters = parameters.values", ".constants = constants.values", ".tables = tables",
        ".quantized = quantized",
        *(f".{name} = {getattr(struct, name)}" for name in COUNTS),
    ]  # fmt: skip
    return "\n".join(
        (
            "/* --- the program --- */",
            literals.structs(tensors, "mm_tensor", "tensors", {}),
            literals.structs(_steps(program), "mm_step", "steps", names),
            literals.structs(stages, "mm_stage", "stages", {}),
            "/* by their bits, which any compiler reads alike */",
            literals.floats(program.constants, "constants"),
            literals.integers(program.tables.tolist(), "tables"),
            literals.floats(program.parameters.block, "parameters"),
            literals.integers(program.parameters.quantized.tolist(), "quantized", "uint8_t"),
            "static const mm_program program = {\n"
            + "".join(f"    {field},\n" for field in fields)
            + "};\n",
        )
    )
