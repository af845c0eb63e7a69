"""The activations alone, in elements per nanosecond, for `tools.bench --elements`.

One thread, x evenly spread over [-4, 4], from one array into another: short ones that stay in the
L1 cache and longer ones that stay in L2. We write into an array that is there, PyTorch's functions
make theirs. A call costs both of us something that says nothing about the function, so what counts
is the time of a call on the whole array less that of a call on one element. For PyTorch's fastest
functions on the short array that is a small difference of large numbers: trust the long one there.
Everybody takes turns; medians.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minimeso.cli.output import table
from minimeso.engine.native import activator
from minimeso.engine.operators import functions, kernel_of
from tools.bench import workers
from tools.bench.peers import UnavailableError

SIZES = {"L1": 2048, "L2": 24_576}  # floats; x and y together 16 KiB and 192 KiB
TURN_SECONDS = 0.001
FUNCTIONS = tuple(functions())
PEER = "torch"

Call = Callable[[], object]


def measure(isas: Sequence[str], functions: Sequence[str], rounds: int) -> dict[str, Any]:
    """Elements per nanosecond of each function, by size and engine (runs in a worker)."""
    gc.disable()
    makers: dict[str, Callable[[str, int], Call]] = {isa: _ours(isa) for isa in isas}
    about: dict[str, Any] = {"sizes": SIZES, "rounds": rounds}
    try:
        makers[PEER] = _torch()
        about[PEER] = _prepare_torch()
    except UnavailableError as error:
        about[PEER] = str(error)
    rows = []
    for function in functions:
        for size, count in SIZES.items():
            calls = {
                name: (make(function, count), make(function, 1)) for name, make in makers.items()
            }
            rows.append({"function": function, "size": size, **_rates(calls, count, rounds)})
    return about | {"rows": rows}


def _rates(calls: dict[str, tuple[Call, Call]], count: int, rounds: int) -> dict[str, Any]:
    """Elements per nanosecond, and nanoseconds of the call itself."""
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in calls}
    times = {name: [_repeats(call) for call in pair] for name, pair in calls.items()}

    def turn(name: str) -> Callable[[], None]:
        def take() -> None:
            for call, repeats, found in zip(calls[name], times[name], seconds[name], strict=True):
                found.append(_seconds(call, repeats))

        return take

    for _ in workers.take_turns({name: turn(name) for name in calls}, rounds):
        pass
    rates, overheads = {}, {}
    for name, (whole, single) in seconds.items():
        overheads[name] = 1e9 * statistics.median(single)
        rates[name] = count / (1e9 * statistics.median(whole) - overheads[name])
    return {"per_ns": rates, "call_ns": overheads}


def _repeats(call: Call) -> int:
    """How many calls make a turn."""
    call()
    return max(1, round(TURN_SECONDS / max(_seconds(call, 3), 1e-8)))


def _seconds(call: Call, repeats: int) -> float:
    """Of one call."""
    loop = itertools.repeat(None, repeats)
    start = time.perf_counter()
    for _ in loop:
        call()
    return (time.perf_counter() - start) / repeats


def inputs(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Evenly over [-4, 4], in an order without pattern."""
    x = np.linspace(-4, 4, count, dtype=np.float32) if count > 1 else np.ones(1, np.float32)
    return np.random.default_rng(0).permutation(x)


def _ours(isa: str) -> Callable[[str, int], Call]:
    return lambda name, count: activator(inputs(count), *kernel_of(functions()[name]), isa)[0]


def _torch() -> Callable[[str, int], Call]:
    try:
        import torch
    except ImportError:
        raise UnavailableError("torch is not installed") from None
    from tools import activations

    def make(name: str, count: int) -> Call:
        function = functions()[name]
        x, f = (
            torch.from_numpy(inputs(count)),
            activations.module(function.op, **function.attributes),
        )
        return lambda: f(x)

    return make


def _prepare_torch() -> str:
    """One thread, no gradients; returns its version and instruction set."""
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"


def tables(found: dict[str, Any]) -> Iterator[str]:
    """A table for each size."""
    for size, count in found["sizes"].items():
        rows = [row for row in found["rows"] if row["size"] == size]
        names = list(rows[0]["per_ns"])
        ours = [name for name in names if name != PEER]
        yield f"elements per ns, {count} floats ({size}), one thread; PyTorch: {found[PEER]}"
        heads = [*names, *(f"{name} / {PEER}" for name in ours if PEER in names)]
        lines = [["", *heads]]
        for row in rows:
            rates = row["per_ns"]
            ratios = [f"{rates[name] / rates[PEER]:.2f}x" for name in ours if PEER in names]
            lines.append([row["function"], *(f"{rates[n]:.3f}" for n in names), *ratios])
        overheads = (statistics.median(row["call_ns"][name] for row in rows) for name in names)
        calls = [f"{overhead:.0f} ns" for overhead in overheads]
        lines.append(["a call", *calls, *[""] * (len(heads) - len(names))])
        yield from table(lines, right=list(range(1, len(heads) + 1)))
        yield ""
