"""The engines that `tools.bench` compares: ours, and what a user could pick instead.

An engine is a function from a `Case` to one that runs the network on images and returns p_fake.
Conversion, packing and the layout of the input are not timed. A peer runs a batch in the faster of
two ways: at once (OpenVINO: as streams of images), or image by image, which most of them are
better at. All peers get the network from one export to ONNX, except PyTorch itself and LiteRT,
whose file we write (tflite.py). NOTES.md says what each of them needs.

Nothing here may send anything anywhere: see `openvino` and `mnn`.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bench.cases import Array, Case, graph_of, torch_network

if TYPE_CHECKING:
    from minimeso.engine.profile import Profile

Run = Callable[[Any], Any]  # images as the engine wants them, to p_fake


class UnavailableError(Exception):
    """An engine cannot do what was asked; the message is one line that says why."""


# --- the engines -----------------------------------------------------------------------------


def minimeso(case: Case, isa: str) -> Run:
    """Ours."""
    from minimeso import Session

    graph = graph_of(case.architecture, case.activation)
    return Session(graph, case.weights(), threads=case.threads, isa=isa).run


def profile(case: Case, isa: str, runs: int) -> Profile:
    """Where our time goes."""
    from minimeso import Session

    graph = graph_of(case.architecture, case.activation)
    session = Session(graph, case.weights(), threads=case.threads, isa=isa)
    return session.profile(case.images(), runs)


def torch_eager(case: Case) -> Run:
    """PyTorch as it comes."""
    return _inference(torch_network(case))


def torch_channels_last(case: Case) -> Run:
    """PyTorch with weights and images channels last."""
    import torch

    # torch's stubs know `memory_format` for tensors only
    network = torch_network(case).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _inference(network)


def torch_compile(case: Case) -> Run:
    """Compiled by Inductor for this shape, the weights frozen."""
    import torch
    import torch._inductor.config as inductor

    inductor.freezing = True
    return _inference(torch.compile(torch_network(case), dynamic=False))


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
    # `import openvino` reports the import to its makers unless this package is missing, which None
    # says to Python (mypy wants a module there).
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
        extractor.input(source, library.Mat(x[0]).clone())  # a first layer may work in place
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

    from tools.bench import tflite

    path = case.folder / f"{case.batch}.tflite"
    if not path.exists():
        graph = graph_of(case.architecture, case.activation)
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
