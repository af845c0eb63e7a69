"""The engines that `tools/bench.py` compares: ours, and what a user could pick instead.

Every engine runs in a process of its own, which is what makes the comparison fair: it sees only
as many cores as it may use threads (so one thread is one thread, whatever a library thinks of its
options), its idle threads have time to fall asleep before another engine's turn, OpenMP runtimes
do not meet, and a peer that crashes is a line in the table, not the end of the run.

An engine is a function from a `Case` to one that runs the network on images and returns p_fake.
Conversion, packing and the layout of the input are not timed. A peer runs a batch in the faster of
two ways: at once (OpenVINO: as streams of images), or image by image, which most of them are
better at. All peers get the network from one export to ONNX, except PyTorch itself and LiteRT,
whose file we write (tools/tflite.py). tools/NOTES.md says what each of them needs.

Nothing here may send anything anywhere: see `openvino` and `mnn`.
"""

from __future__ import annotations

import gc
import importlib.metadata
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from torch import nn

Array = NDArray[np.float32]
Run = Callable[[Any], Any]  # images as the engine wants them, to p_fake
Call = Callable[[], Array]

SEED = 2021
EPS = 1e-3
PATIENCE = 900.0  # seconds that loading may take; torch.compile is the slow one
GRACE = 5.0
OPSET = 17
WEIGHTS = "weights.npz"
TRIALS = 2  # calls to find the faster way to run a batch


@dataclass(frozen=True)
class Case:
    """A network, how many images it gets at once, and on how many threads.

    `folder` holds the network in the forms that `export` wrote, and what peers make of them.
    """

    folder: Path
    architecture: str
    activation: str
    batch: int
    threads: int

    def images(self) -> Array:
        """(batch, 3, 256, 256) in [0, 1], the same for every engine."""
        shape = (self.batch, 3, 256, 256)
        return np.random.default_rng(SEED).random(shape, np.float32)

    def weights(self) -> dict[str, Array]:
        with np.load(self.folder / WEIGHTS, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def onnx(self, batch: int) -> Path:
        return self.folder / f"{batch}.onnx"


class UnavailableError(Exception):
    """An engine cannot do what was asked; the message is one line that says why."""


# --- the network, written once ---------------------------------------------------------------


def write_weights(folder: Path, architecture: str, activation: str) -> None:
    """Random ones, as NumPy arrays."""
    from tools import reference

    weights = reference.random_arrays(architecture, activation, EPS, SEED)
    np.savez(folder / WEIGHTS, allow_pickle=False, **weights)


def write_onnx(folder: Path, architecture: str, activation: str, batches: Sequence[int]) -> None:
    """The network with these weights as ONNX, once for one image and once for each batch.

    Shapes are fixed, because every peer optimises better when it knows them.
    """
    import torch

    case = Case(folder, architecture, activation, 1, 1)
    network = _torch_network(case)
    for batch in {1, *batches}:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # the old exporter is deprecated; it needs no onnxscript
            torch.onnx.export(
                network,
                (torch.zeros(batch, 3, 256, 256),),
                case.onnx(batch),
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["p_fake"],
            )


def _torch_network(case: Case) -> nn.Module:
    import torch
    from torch import nn

    from tools import networks

    torch.set_num_threads(case.threads)
    network = networks.build(case.architecture, case.activation, EPS)
    state = {name: torch.from_numpy(array) for name, array in case.weights().items()}
    network.load_state_dict(state, strict=False)  # num_batches_tracked is not stored
    return nn.Sequential(network, nn.Sigmoid()).eval()


# --- the engines -----------------------------------------------------------------------------


def minimeso(case: Case, isa: str) -> Run:
    """Ours."""
    from minimeso import Session
    from minimeso.networks import NETWORKS

    graph = NETWORKS[case.architecture](case.activation, EPS, False)
    return Session(graph, case.weights(), threads=case.threads, isa=isa).run


def torch_eager(case: Case) -> Run:
    """PyTorch as it comes."""
    return _inference(_torch_network(case))


def torch_channels_last(case: Case) -> Run:
    """PyTorch with weights and images channels last."""
    import torch

    network = _torch_network(case).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _inference(network)


def torch_compile(case: Case) -> Run:
    """Compiled by Inductor for this shape, the weights frozen."""
    import torch
    import torch._inductor.config as inductor

    inductor.freezing = True
    return _inference(torch.compile(_torch_network(case), dynamic=False))


def _inference(network: Any) -> Run:
    import torch

    def run(x: torch.Tensor) -> Any:
        with torch.inference_mode():
            return network(x).numpy()

    return run


def onnxruntime(case: Case) -> Run:
    """Its CPU provider, every optimisation on."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = case.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    path = case.onnx(case.batch)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"image": x})[0]


def openvino(case: Case) -> Run:
    """Forced to float32; one image: all threads on it; a batch: one stream of images per core."""
    # `import openvino` reports the import to its makers unless this package is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino as ov

    single = case.batch == 1
    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY" if single else "THROUGHPUT",
        "INFERENCE_NUM_THREADS": case.threads,
        "NUM_STREAMS": 1 if single else case.threads,
    }
    network = core.compile_model(core.read_model(case.onnx(1)), "CPU", settings)
    if single:
        request = network.create_infer_request()
        return lambda x: request.infer({0: x}, share_inputs=True)[0]
    results = np.empty(case.batch, np.float32)

    def keep(request: Any, place: int) -> None:
        results[place] = request.get_output_tensor().data[0, 0]

    queue = ov.AsyncInferQueue(network, case.threads)
    queue.set_callback(keep)

    def run(x: Array) -> Array:
        for place in range(case.batch):
            queue.start_async({0: x[place : place + 1]}, place, share_inputs=True)
        queue.wait_all()
        return results

    return run


def ncnn(case: Case) -> Run:
    """Converted by pnnx; it knows no batches."""
    import ncnn as library

    param, weights = case.folder / "ncnn.param", case.folder / "ncnn.bin"
    if not param.exists():
        _convert_by_pnnx(case.onnx(1), param, weights)
    network = library.Net()
    network.opt.num_threads = case.threads
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(network.opt, option, False)
    if network.load_param(str(param)) or network.load_model(str(weights)):
        raise UnavailableError("ncnn cannot load what pnnx made")
    source, target = network.input_names()[0], network.output_names()[0]

    def run(x: Array) -> Array:
        extractor = network.create_extractor()
        extractor.input(source, library.Mat(x[0]))
        return np.array(extractor.extract(target)[1])

    return run


def _convert_by_pnnx(onnx: Path, param: Path, weights: Path) -> None:
    import pnnx

    program = Path(pnnx.__file__).with_name("pnnx.exe" if os.name == "nt" else "pnnx")
    names = {"ncnnparam": param, "ncnnbin": weights}
    others = ("pnnxparam", "pnnxbin", "pnnxpy", "pnnxonnx", "ncnnpy")
    names |= {name: param.with_name(f"{name}.unused") for name in others}
    done = subprocess.run(
        [program, onnx, "fp16=0", *(f"{name}={path}" for name, path in names.items())],
        capture_output=True,
        check=False,
    )
    if done.returncode or not param.exists():
        raise UnavailableError(f"pnnx failed (status {done.returncode})")


def mnn(case: Case) -> Run:
    """Converted by MNN's own converter.

    Only by its C++ binding `_tools`: importing `MNN.tools`, as its command does, installs a
    package with pip and reports the conversion to its makers.
    """
    import _tools
    import MNN as library  # noqa: N811

    path = case.folder / f"{case.batch}.mnn"
    if not path.exists():
        arguments = ["", "-f", "ONNX", "--modelFile", str(case.onnx(case.batch)), "--MNNModel"]
        _tools.mnnconvert([*arguments, str(path), "--bizCode", "none"])
    network = library.Interpreter(str(path))
    settings = {"numThread": case.threads, "backend": "CPU", "precision": "high"}
    session = network.createSession(settings)
    source, target = network.getSessionInput(session), network.getSessionOutput(session)
    layout = library.Tensor_DimensionType_Caffe

    def run(x: Array) -> Array:
        source.copyFrom(library.Tensor(x.shape, library.Halide_Type_Float, x, layout))
        network.runSession(session)
        return np.array(target.getData(), np.float32)

    return run


def litert(case: Case) -> Run:
    """LiteRT (TensorFlow Lite) with its default delegate, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    from minimeso.networks import NETWORKS
    from tools import tflite

    path = case.folder / f"{case.batch}.tflite"
    if not path.exists():
        graph = NETWORKS[case.architecture](case.activation, EPS, False)
        path.write_bytes(tflite.convert(graph, case.weights(), case.batch))
    network = Interpreter(str(path), num_threads=case.threads)
    network.allocate_tensors()
    source = network.get_input_details()[0]["index"]
    target = network.get_output_details()[0]["index"]

    def run(x: Array) -> Any:
        network.set_tensor(source, x)
        network.invoke()
        return network.get_tensor(target)

    return run


def _to_tensor(x: Array) -> Any:
    import torch

    return torch.from_numpy(x)


def _to_channels_last_tensor(x: Array) -> Any:
    import torch

    return torch.from_numpy(x).to(memory_format=torch.channels_last)


def _to_channels_last(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


@dataclass(frozen=True)
class Engine:
    """How an engine loads a case.

    `packages` are the distributions that it needs and whose versions matter, `layout` makes its
    input of (N, 3, 256, 256), `ways` are those in which it can run a batch, and `onnx` says whether
    it reads the network from ONNX.
    """

    load: Callable[[Case], Run]
    packages: tuple[str, ...] = ()
    layout: Callable[[Array], Any] = field(default=lambda x: x)
    ways: tuple[str, ...] = ("at once", "one by one")
    onnx: bool = False


PEERS = {
    "torch": Engine(torch_eager, ("torch",), _to_tensor),
    "torch-channels-last": Engine(torch_channels_last, ("torch",), _to_channels_last_tensor),
    "torch-compile": Engine(torch_compile, ("torch",), _to_tensor),
    "onnxruntime": Engine(onnxruntime, ("onnxruntime",), onnx=True),
    "openvino": Engine(openvino, ("openvino",), onnx=True),
    "ncnn": Engine(ncnn, ("ncnn", "pnnx"), ways=("one by one",), onnx=True),
    "mnn": Engine(mnn, ("MNN",), onnx=True),
    "litert": Engine(litert, ("ai-edge-litert", "flatbuffers"), _to_channels_last),
}


def engine(name: str) -> Engine:
    """The peer of that name, or for `minimeso-ISA` ours."""
    ours, dash, isa = name.partition("-")
    if ours == "minimeso" and dash:
        return Engine(lambda case: minimeso(case, isa), ways=("at once",))
    return PEERS[name]


def versions(name: str) -> dict[str, str]:
    """Of the engine's packages; raises `UnavailableError` for one that is not installed."""
    found = {}
    for package in engine(name).packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise UnavailableError(f"{package} is not installed") from None
    return found


# --- what runs in the engine's process -------------------------------------------------------

_call: Call | None = None


@dataclass(frozen=True)
class Loaded:
    """p_fake of every image, and the way in which the engine runs a batch."""

    p_fake: Array
    way: str


@dataclass(frozen=True)
class Turn:
    """Wall seconds of every call, and how many cores were busy meanwhile."""

    seconds: list[float]
    cores: float


def load(name: str, case: Case) -> Loaded:
    """Load a case in place of the one before, to run in the fastest way of the engine."""
    global _call
    _call = None
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()  # or it stops compiling after a few networks
    gc.collect()
    chosen = engine(name)
    images = case.images()
    calls: dict[str, Call] = {}
    if "at once" in chosen.ways or case.batch == 1:
        calls["at once"] = _calling(chosen.load(case), [chosen.layout(images)])
    if "one by one" in chosen.ways and case.batch > 1:
        singles = [chosen.layout(images[i : i + 1]) for i in range(case.batch)]
        calls["one by one"] = _calling(chosen.load(replace(case, batch=1)), singles)
    seconds = {}
    for way, _call in calls.items():
        seconds[way] = min(take_turn(TRIALS).seconds) if len(calls) > 1 else 0.0
    way = min(seconds, key=lambda way: seconds[way])
    _call = calls[way]
    return Loaded(_call(), way)


def _calling(run: Run, inputs: list[Any]) -> Call:
    if len(inputs) == 1:
        return lambda: np.array(run(inputs[0]), np.float32).reshape(-1)
    return lambda: np.array([run(x) for x in inputs], np.float32).reshape(-1)


def take_turn(calls: int) -> Turn:
    """One call to wake up, then `calls` that count."""
    assert _call is not None
    _call()
    seconds = []
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        before = time.perf_counter()
        _call()
        seconds.append(time.perf_counter() - before)
    cores = (time.process_time() - cpu) / (time.perf_counter() - start)
    return Turn(seconds, cores)


def _serve(connection: Connection, cores: Sequence[int], threads: int, log: Path) -> None:
    """Answer requests (function, arguments) until the other end closes."""
    if cores:
        os.sched_setaffinity(0, cores)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no helpers that stay behind
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    gc.disable()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:  # whatever a peer raises is its reason
            lines = str(error).strip().splitlines() or [""]
            kind = "" if isinstance(error, UnavailableError) else f"{type(error).__name__}: "
            answer = False, (kind + lines[0])[:200].rstrip(": ")
        connection.send(answer)


class Worker:
    """A process that loads and runs one engine on its own cores."""

    def __init__(self, threads: int, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = log
        self._connection, theirs = context.Pipe()
        arguments = (theirs, cores(threads), threads, log)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for us
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, handler)
        theirs.close()

    def ask(self, function: Callable[..., Any], *arguments: Any, patience: float = PATIENCE) -> Any:
        """What `function(*arguments)` returns over there; raises `UnavailableError` if it fails."""
        try:
            self._connection.send((function, arguments))
            if not self._connection.poll(patience):
                self.close()
                raise UnavailableError(f"no answer after {patience:.0f} s")
            fine, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(GRACE)
            code = self._process.exitcode
            self.close()
            raise UnavailableError(
                f"its process died (status {code}): {self._last_words()}"
            ) from None
        if not fine:
            raise UnavailableError(answer)
        return answer

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            return lines[-1][:160] if lines else "it said nothing"
        return "it said nothing"

    def close(self) -> None:
        """End the process, gently if it listens."""
        self._connection.close()
        self._process.join(GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def cores(threads: int) -> list[int]:
    """The cores for so many threads: the last ones, as interrupts prefer the first."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]


def logit(p: NDArray[Any]) -> NDArray[np.float64]:
    """log(p / (1 - p)), kept finite."""
    tiny = math.ulp(0.5)
    p = np.clip(np.asarray(p, np.float64), tiny, 1 - tiny)
    return np.asarray(np.log(p / (1 - p)))
