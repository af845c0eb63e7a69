"""Two threads on one image, alone and beside whoever spins: `python -m tools.bench.spinning`.

A session of one thread takes turns with one of two, a few calls each.  Alone; with calls of ONNX
Runtime and PyTorch in this process before each turn, whose own two threads then wait for work
spinning (each only where it is installed); and beside a process that spins all the time.  A helper
whose core is taken away makes its caller wait: two threads may be as slow as one there, not slower.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso import Session
from minimeso.cli.output import table
from tools.arguments import number
from tools.errors import exit_status

MODELS = ("meso4-leaky_relu", "mesoinception4-relu")
#: Calls of a turn.
CALLS = 5
_SPIN = "while True: pass"

Image = NDArray[np.float32]


def ratios(rounds: int, before: Sequence[Callable[[], Any]] = ()) -> dict[str, tuple[float, float]]:
    """How many times as fast two threads are as one, by medians and by means, of each model.

    Args:
        rounds: turns of each.
        before: what is called before each turn.
    """
    image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    sessions = {(m, n): Session(m, threads=n) for m in MODELS for n in (1, 2)}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in sessions}
    for number_ in range(rounds + 1):
        for key, session in sessions.items():
            for call in before:
                call()
            for _ in range(CALLS):
                start = time.perf_counter()
                session.run(image)
                if number_:  # the first round plans
                    seconds[key].append(time.perf_counter() - start)
    for session in sessions.values():
        session.close()

    def ratio(kind: Callable[[list[float]], float], model: str) -> float:
        return kind(seconds[model, 1]) / kind(seconds[model, 2])

    return {m: (ratio(statistics.median, m), ratio(statistics.fmean, m)) for m in MODELS}


def engines() -> dict[str, Callable[[], Any]]:
    """A call of each other engine that is installed, with two threads of its own."""
    image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    weight = np.random.default_rng(1).random((16, 3, 5, 5), np.float32)
    found: dict[str, Callable[[], Any]] = {}
    with contextlib.suppress(ImportError):
        found["ONNX Runtime"] = _onnx_runtime(image, weight)
    with contextlib.suppress(ImportError):
        found["PyTorch"] = _torch(image, weight)
    return found


def _onnx_runtime(image: Image, weight: Image) -> Callable[[], Any]:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, 16, 252, 252]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "one convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(image.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": image})


def _torch(image: Image, weight: Image) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(2)
    x, w = torch.from_numpy(image), torch.from_numpy(weight)

    def call() -> Any:
        with torch.inference_mode():
            return torch.conv2d(x, w)

    return call


@contextlib.contextmanager
def spinner() -> Iterator[None]:
    """A process that spins meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", _SPIN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(rounds: int) -> dict[str, dict[str, tuple[float, float]]]:
    """``ratios`` alone and beside others."""
    found = {"alone": ratios(rounds)}
    others = engines()
    if others:
        found[f"beside {' and '.join(others)}"] = ratios(rounds, list(others.values()))
    with spinner():
        found["beside a process that spins"] = ratios(rounds)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.spinning", description=__doc__)
    parser.add_argument("--rounds", type=number(100_000), default=100, help="default: %(default)s")
    options = parser.parse_args(arguments)

    def run() -> None:
        rows = [["two threads over one, medians (means)", *MODELS]]
        for name, found in measure(options.rounds).items():
            rows.append([name, *(f"{m:.2f} ({mean:.2f})" for m, mean in found.values())])
        for line in table(rows, right=range(1, 1 + len(MODELS))):
            print(line)

    return exit_status("spinning", run)


if __name__ == "__main__":
    sys.exit(main())
