"""Every activation on every float32, against float64: `python -m tools.bench.sweep`.

All 2^32 inputs, NaNs included, go through the engine as it is built, on each instruction set. An
error may be 5e-7 or 8 ulp of the true value, whichever is larger; NaN gives NaN, zero and the
infinities give exactly their limits, and the result of an input may not depend on the other inputs
beside it. The worst errors are printed with where they occur; the exit status is 1 if one is too
large. `--stride 1009` looks at every 1009th input only, which takes seconds.

The true values are each operator's own definition in float64; sweep.c compares, and needs a C
compiler.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from minimeso.cli.output import table
from minimeso.engine import _cffi
from minimeso.engine.cores import available_cores
from minimeso.engine.native import available_isas
from minimeso.engine.operators import OPERATORS, functions, kernel_of
from minimeso.engine.operators.activations import EXACT
from tools.arguments import name_list, number, output_file
from tools.compiler import c_compiler

SOURCE = Path(__file__).resolve().with_suffix(".c")
CSRC = SOURCE.parents[2] / "csrc"
#: Vectorised compares take half the time of plain ones; nothing here depends on traps.
FLAGS = ("-std=c11", "-O3", "-march=native", "-ffp-contract=off", "-fno-trapping-math",
         "-fno-math-errno", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")  # fmt: skip
INPUTS = 1 << 32
CHUNK = 1 << 20  # inputs between two looks at the clock: 50 MB a thread
INTERRUPTED = 130

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class Tested(NamedTuple):
    """A kernel with its parameter, and what it should compute."""

    kernel: str
    slope: float
    error: float  # absolute; where 8 ulp are more, those
    truth: Callable[[Doubles], Doubles]


def _exp(x: Doubles) -> Doubles:
    """Inside softmax only; the kernel promises infinity from 88 on."""
    return np.asarray(np.where(x > 88, math.inf, np.exp(x)))


def _tested() -> dict[str, Tested]:
    """By the names of ``functions``, and what is no operator."""
    tested = {"exp": Tested("exp", 0.0, EXACT, _exp)}
    for name, function in functions().items():
        entry, attributes = OPERATORS[function.op], function.attributes
        assert entry.activation is not None
        error = entry.activation.error(attributes)
        truth = partial(_truth, entry.reference, attributes)
        tested[name] = Tested(*kernel_of(function), error, truth)
    return tested


def _truth(reference: Callable[..., Doubles], attributes: Mapping[str, Any], x: Doubles) -> Doubles:
    return reference([x], attributes, {})


TESTED = _tested()

Activate = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_float,
    ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_float), ctypes.c_size_t,
)  # fmt: skip


class _Place(ctypes.Structure):
    _fields_ = (
        ("error", ctypes.c_double),
        ("wanted", ctypes.c_double),
        ("got", ctypes.c_float),
        ("bits", ctypes.c_uint32),
    )


class _Report(ctypes.Structure):
    _fields_ = (
        ("small", _Place),
        ("large", _Place),
        ("failure", _Place),
        ("stranger", _Place),
        ("inputs", ctypes.c_int64),
        ("failures", ctypes.c_int64),
        ("strangers", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Place:
    """An input, what it should give and gave, and the error: absolute, in ulp or in bounds."""

    bits: str
    x: float
    wanted: float
    got: float
    error: float

    def __str__(self) -> str:
        return f"x = {self.x:.9g} ({self.bits}): wanted {self.wanted:.9g}, got {self.got:.9g}"


@dataclass
class Result:
    """What became of an activation on an instruction set.

    Attributes:
        small: the worst absolute error where the true value is below 1 in size.
        large: the worst error in ulp where it is not.
        problems: what is wrong; empty if all is well.
    """

    activation: str
    isa: str
    inputs: int
    small: Place
    large: Place
    problems: list[str]


def engine_function() -> Any:
    """`mm_activate` of the engine as it is built."""
    pointer = _cffi.ffi.addressof(_cffi.lib, "mm_activate")
    return Activate(int(_cffi.ffi.cast("intptr_t", pointer)))


def newer_source() -> Path | None:
    """A source that was changed after the engine was built."""
    built = Path(_cffi.__file__).stat().st_mtime
    sources = (path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".inc"))
    return next((path for path in sources if path.stat().st_mtime > built), None)


class Sweep:
    """The compiled comparison."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "sweep.so"
            files = [f"-I{CSRC}", str(SOURCE), "-o", str(library), "-lm"]
            subprocess.run([*c_compiler(), *FLAGS, *files], check=True)
            self._library = ctypes.CDLL(str(library))

    def run(
        self,
        activation: str,
        isas: Sequence[str],
        stride: int = 1,
        threads: int | None = None,
        say: Callable[[float], None] = lambda share: None,
        function: Any = None,
    ) -> list[Result]:
        """Look at every `stride`-th input.

        Args:
            say: is told now and then which share is done.
            function: what to test in place of the engine's own.
        """
        function = function or engine_function()
        total = -(-INPUTS // stride)
        chunks = [(start, min(CHUNK, total - start)) for start in range(0, total, CHUNK)]
        # around 1 first: what is no worse than what was seen there takes no closer look
        chunks.sort(key=lambda chunk: abs((chunk[0] * stride & 0x7FFFFFFF) - 0x3F800000))
        reports = [[_Report() for _ in isas] for _ in range(threads or available_cores())]
        free, lock = list(reports), threading.Lock()
        stop = threading.Event()

        def work(chunk: tuple[int, int]) -> int:
            start, count = chunk
            if stop.is_set():
                return 0
            with lock:
                mine = free.pop()
            self._look(function, activation, isas, start * stride, stride, count, mine)
            with lock:
                free.append(mine)
            return count

        done = 0
        with ThreadPoolExecutor(len(reports)) as pool:
            try:
                for future in as_completed([pool.submit(work, chunk) for chunk in chunks]):
                    done += future.result()
                    say(done / total)
            finally:
                stop.set()
        results = []
        for place, isa in enumerate(isas):
            found = [of_thread[place] for of_thread in reports]
            problems = [*_wrong_limits(function, activation, isa), *_problems(found)]
            small, large = (
                _place(max((getattr(r, kind) for r in found), key=lambda place: place.error))
                for kind in ("small", "large")
            )
            inputs = sum(r.inputs for r in found)
            results.append(Result(activation, isa, inputs, small, large, problems))
        return results

    def _look(
        self, function: Any, activation: str, isas: Sequence[str], first: int, stride: int,
        count: int, reports: list[_Report],
    ) -> None:  # fmt: skip
        array = (_Report * len(isas))(*reports)
        numbers = (ctypes.c_int * len(isas))(*map(_isa_number, isas))
        tested = TESTED[activation]
        bits = np.arange(first, first + count * stride, stride, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            wanted = np.ascontiguousarray(tested.truth(x.astype(np.float64)))
        code = self._library.sweep(
            function, _number(tested.kernel), ctypes.c_float(tested.slope),
            ctypes.c_double(tested.error), numbers, len(isas),
            ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(wanted.ctypes.data),
            ctypes.c_int64(count), array,
        )  # fmt: skip
        if code:
            raise RuntimeError(f"{activation}: the engine's status is {code}")
        for own, new in zip(reports, array, strict=True):
            ctypes.pointer(own)[0] = new


def _number(kernel: str) -> int:
    number: int = getattr(_cffi.lib, f"MM_{kernel.upper()}")
    return number


def _isa_number(isa: str) -> int:
    number: int = getattr(_cffi.lib, f"MM_{isa.upper()}")
    return number


def _place(place: _Place) -> Place:
    (x,) = struct.unpack("<f", struct.pack("<I", place.bits))
    return Place(f"0x{place.bits:08x}", x, place.wanted, place.got, place.error)


def _wrong_limits(function: Any, activation: str, isa: str) -> Iterator[str]:
    """Zero, infinities and NaN, alone and as part of a row."""
    tested = TESTED[activation]
    ends = np.array([0.0, -0.0, -math.inf, math.inf, math.nan])
    with np.errstate(all="ignore"):
        limits = tested.truth(ends).astype(np.float32)
    cases = list(zip(ends.tolist(), limits.tolist(), strict=True))
    for count in (1, 16, 31, 256):
        for x, wanted in cases:
            source, target = (ctypes.c_float * count)(*[x] * count), (ctypes.c_float * count)()
            isa_number = _isa_number(isa)
            function(isa_number, _number(tested.kernel), tested.slope, source, target, count)
            for got in target:
                near = tested.error > EXACT and abs(got - wanted) <= tested.error
                if got != wanted and not near and not (math.isnan(wanted) and math.isnan(got)):
                    yield f"f({x}) = {got:.9g}, not {wanted}, in a row of {count}"
                    return


def _problems(reports: Sequence[_Report]) -> Iterator[str]:
    failures = sum(r.failures for r in reports)
    if failures:
        place = _place(max((r.failure for r in reports), key=lambda place: place.error))
        times = "" if math.isinf(place.error) else f", {place.error:.3g} times the bound"
        yield f"{failures:,} inputs beyond the bound, worst at {place}{times}"
    strangers = sum(r.strangers for r in reports)
    if strangers:
        place = next(_place(r.stranger) for r in reports if r.strangers)
        yield f"{strangers:,} inputs feel their neighbours, among them {place}"


# --- the command -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep and print; returns the exit status."""
    options = _options(arguments)
    if path := newer_source():
        print(f"sweep: {path.name} is newer than the engine: build it first", file=sys.stderr)
        return 2
    sweep = Sweep()
    results: list[Result] = []
    status = 0
    try:
        for activation in options.activation:
            with tqdm(desc=activation, total=100, unit="%", disable=None, leave=False) as bar:
                found = sweep.run(
                    activation, options.isa, options.stride, options.threads, _shower(bar)
                )
            for result in found:
                results.append(result)
                for problem in result.problems:
                    print(f"{activation}, {result.isa}: {problem}", flush=True)
    except KeyboardInterrupt:
        print("\nStopped; this is what there is.", file=sys.stderr)
        status = INTERRUPTED
    for line in rows(results):
        print(line)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return status or int(any(result.problems for result in results))


def _shower(bar: tqdm[Any]) -> Callable[[float], None]:
    def show(share: float) -> None:
        bar.update(100 * share - bar.n)

    return show


def rows(results: Sequence[Result]) -> list[str]:
    """A line for each activation and instruction set."""
    head = ["", "", "inputs", "|f| < 1: worst", "at x =", "|f| >= 1: worst", "at x =", ""]
    lines = [head]
    for r in results:
        small, large = r.small, r.large
        lines.append(
            [
                r.activation, r.isa, f"{r.inputs:,}",
                f"{small.error:.3g}", f"{small.x:.9g}" if small.error else "",
                f"{large.error:.2f} ulp", f"{large.x:.9g}" if large.error else "",
                "WRONG" if r.problems else "good",
            ]
        )  # fmt: skip
    return table(lines, right=[2, 3, 4, 5, 6])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.sweep",
        description="Every activation on every float32; see the top of the file.",
    )
    add = parser.add_argument
    isas = available_isas()
    add("--isa", type=name_list(isas), default=isas, metavar="NAME,...", help=", ".join(isas))
    add("--activation", type=name_list(TESTED), default=list(TESTED), metavar="NAME,...",
        help=", ".join(TESTED))  # fmt: skip
    add("--stride", type=number(1 << 24), default=1, metavar="N", help="only every N-th input")
    add("--threads", type=number(1024), metavar="N", help="default: one per core")
    add("--json", type=output_file, metavar="FILE", help="write everything as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
