"""Bundled networks as files for ``run_networks.c``, and the bits that must come out of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from minimeso.engine import Session, bundled_models, exact
from minimeso.engine.bindings import ffi
from minimeso.engine.native import available_isas

#: Enough for the quick check: a network of one path, and one of many with several outputs.
QUICK = ("meso4-leaky_relu", "yunet-s")
_BATCH = 2
_ANY_SIZE = 96, 128
_NAME_BYTES = 63
#: Instruction sets that fuse multiplication and addition give other bits than those that do not.
FUSED = ("avx2", "avx512", "neon")
_STRUCTS = {"TENSOR": "mm_tensor", "STEP": "mm_step", "STAGE": "mm_stage"}

#: (instruction set or "exact", network, number of the output) -> checksum.
Bits = dict[tuple[str, str, int], str]


def struct_fields() -> str:
    """The header that tells ``run_networks.c`` which fields there are."""
    integers = [name for name, cname, _ in _fields("mm_program") if "*" not in cname]
    lines = [f"#define PROGRAM_FIELDS(I) {_calls('I', integers)}"]
    for macro, struct in _STRUCTS.items():
        calls = " ".join(
            _calls("R" if cname == "float" else "I", _places(name, length))
            for name, cname, length in _fields(struct)
        )
        lines.append(f"#define {macro}_FIELDS(I, R) {calls}")
    return "\n".join(lines) + "\n"


def _calls(macro: str, names: Sequence[str]) -> str:
    return " ".join(f"{macro}({name})" for name in names)


def _fields(struct: str) -> Iterator[tuple[str, str, int | None]]:
    """Name, type of an element and, of an array, the length of every field."""
    for name, field in ffi.typeof(struct).fields:
        kind = field.type
        is_array = kind.kind == "array"
        yield name, (kind.item if is_array else kind).cname, kind.length if is_array else None


def _places(name: str, length: int | None) -> list[str]:
    return [name] if length is None else [f"{name}[{i}]" for i in range(length)]


def write_networks(path: Path, models: Sequence[str]) -> Bits:
    """Write networks to a file; returns what must come out, for each class of instruction sets.

    Of every model there are two programs: one that gives what every layer gives, and the one that
    is run usually, in which layers are merged.
    """
    wanted: Bits = {}
    fused = next((isa for isa in FUSED if isa in available_isas()), None)
    with path.open("wb") as file:
        _integers(file, 2 * len(models))
        for model in models:
            session = Session(model, threads=1, isa="scalar")
            other = Session(model, threads=1, isa=fused) if fused else None
            layers = [node.name for node in session.graph.nodes]
            for names, end in ((layers, ":layers"), (list(session.graph.outputs), "")):
                x = _picture(session, uint8=not end)
                label = model + end
                file.write(label.encode().ljust(_NAME_BYTES, b"\0"))
                results = session.run(x, outputs=names)
                _write_program(file, session, x, results)
                for isas, found in (
                    (("scalar", "sse2"), results),
                    (FUSED, other.run(x, outputs=names) if other else {}),
                ):
                    for number, array in enumerate(found.values()):
                        sum_of = _checksum(array)
                        wanted.update({(isa, label, number): sum_of for isa in isas})
        wanted.update(_write_exact(file))
    return wanted


def _picture(session: Session, uint8: bool) -> npt.NDArray[Any]:
    """A batch of noise of the size that a network wants."""
    (shape,) = session.graph.inputs.values()
    height, width = (side or usual for side, usual in zip(shape[1:], _ANY_SIZE, strict=True))
    noise = np.random.default_rng(7).integers(0, 256, (_BATCH, height, width, shape[0] or 3))
    if uint8:
        return noise.astype(np.uint8)
    return np.ascontiguousarray(noise.transpose(0, 3, 1, 2) / np.float32(255), np.float32)


def _write_program(
    file: BinaryIO, session: Session, x: npt.NDArray[Any], results: dict[str, Any]
) -> None:
    """The program that these results come from: what the session planned last."""
    _, program = next(reversed(session._plans.values()))
    struct = program.struct
    counts = [name for name, cname, _ in _fields("mm_program") if "*" not in cname]
    _integers(file, *(getattr(struct, name) for name in counts))
    for c_name, items, count in (
        ("mm_tensor", struct.tensors, struct.tensor_count),
        ("mm_step", struct.steps, struct.step_count),
        ("mm_stage", struct.stages, struct.stage_count),
    ):
        fields = list(_fields(c_name))
        for i in range(count):
            for name, kind, length in fields:
                value = getattr(items[i], name)
                values = [value] if length is None else list(value)
                if kind == "float":
                    file.write(np.array(values, "<f4").tobytes())
                else:
                    _integers(file, *values)
    for array, count, dtype in (
        (struct.tables, struct.table_count, "<i4"),
        (struct.constants, struct.constant_count, "<f4"),
        (struct.parameters, struct.parameter_count, "<f4"),
        (struct.quantized, struct.quantized_count, "<u1"),
    ):
        numbers = np.frombuffer(ffi.buffer(array, int(dtype[2]) * count), dtype[1:])
        file.write(numbers.astype(dtype).tobytes())
    _integers(file, len(x), x.itemsize, x.size)
    file.write(x.astype(x.dtype.newbyteorder("<")).tobytes())
    _integers(file, *(array.size for array in results.values()))


def _write_exact(file: BinaryIO) -> Bits:
    """Numbers for the functions of ``exact.c``, and what they must give."""
    x = np.random.default_rng(8).uniform(1e-3, 60, 4000)
    _integers(file, len(x))
    file.write(x.astype("<f8").tobytes())
    functions: list[Callable[[float], float]] = [exact.exp, exact.log, exact.expm1, exact.log1p]
    wanted: Bits = {}
    for number, function in enumerate(functions):
        y = np.array([function(v) for v in x.tolist()])
        wanted["exact", "functions", number] = _checksum(np.array([exact.dot(x, y), *y]))
    return wanted


def _integers(file: BinaryIO, *values: int) -> None:
    file.write(np.array(values, "<i8").tobytes())


def _checksum(array: npt.NDArray[Any]) -> str:
    return f"{zlib.crc32(array.astype(array.dtype.newbyteorder('<')).tobytes()):08x}"


def read_bits(output: str) -> Bits:
    """What ``run_networks.c`` printed."""
    found: Bits = {}
    for line in output.splitlines():
        isa, label, number, checksum = line.split()
        found[isa, label, int(number)] = checksum
    return found


def all_models() -> list[str]:
    return list(bundled_models())
