"""The session: shapes, outputs, determinism, errors, threads, fork."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conftest import random_weights
from support.memory import peak_of

import minimeso
from minimeso import EngineError, Graph, GraphError, InputError, Model, Session, save_model
from minimeso.engine import native
from minimeso.engine import session as session_module
from minimeso.engine.native import available_isas
from minimeso.engine.operators import OPERATORS, Operator
from minimeso.engine.operators.operator import lower_as
from minimeso.engine.plan import CHOICES
from minimeso.engine.reference import evaluate
from minimeso.engine.rewrites import REWRITES
from minimeso.networks import mesoinception4

RNG = np.random.default_rng(5)
REWRITE_NAMES = (*REWRITES, *CHOICES)


def small_network() -> Graph:
    """All rewrites find something to do here, at any picture size."""
    graph = Graph("small")
    x = graph.input("image", (3, None, None))
    a = graph.node("conv2d", x, out_channels=5, kernel_size=3, padding=1, name="conv1")
    a = graph.node("batch_norm", a, name="folded")
    b = graph.node("conv2d", x, out_channels=4, kernel_size=5, padding=2, name="conv2")
    b = graph.node("mish", b, name="mish")
    y = graph.node("concat", a, b, name="concat")
    y = graph.node("relu", y, name="relu")
    y = graph.node("batch_norm", y, name="bn")
    y = graph.node("max_pool2d", y, kernel_size=2, ceil_mode=True, name="pool")
    y = graph.node("conv2d", y, out_channels=3, kernel_size=1, name="conv3")
    y = graph.node("add", y, graph.node("global_avg_pool2d", y), name="sum")
    graph.output(graph.node("pish", y, name="out"))
    return graph


SMALL = small_network()
SMALL_WEIGHTS = random_weights(SMALL, RNG)


def test_every_layer_equals_the_definition(isa: str) -> None:
    x = RNG.normal(0, 1, (2, 3, 21, 18)).astype(np.float32)
    wanted = evaluate(SMALL, SMALL_WEIGHTS, {"image": x})
    session = Session(SMALL, SMALL_WEIGHTS, isa=isa)
    together = session.run(x, outputs=list(wanted))
    for name, value in wanted.items():
        alone = session.run(x, outputs=[name])[name]
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(alone, value, rtol=0, atol=2e-6 * scale, err_msg=name)
        np.testing.assert_allclose(together[name], value, rtol=0, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("without", [*[(n,) for n in REWRITE_NAMES], REWRITE_NAMES])
def test_rewrites_change_nothing(without: tuple[str, ...]) -> None:
    x = RNG.normal(0, 1, (1, 3, 33, 17)).astype(np.float32)
    wanted = evaluate(SMALL, SMALL_WEIGHTS, {"image": x})["out"]
    result = Session(SMALL, SMALL_WEIGHTS, without=without).run(x)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "chain",
    [
        ("batch_norm", "swish"),
        ("swish", "batch_norm"),
        ("relu", "batch_norm", "mish", "batch_norm"),
        ("pish", "swish"),
        ("batch_norm", "leaky_relu", "batch_norm", "sigmoid"),
    ],
)
@pytest.mark.parametrize("padding", [0, 1])
def test_what_moves_behind_a_pool(chain: tuple[str, ...], padding: int, isa: str) -> None:
    graph = Graph()
    x = graph.input("x", (9, 21, 34))
    for number, op in enumerate(chain):
        x = graph.node(op, x, name=f"{op}-{number}")
    graph.output(graph.node("max_pool2d", x, kernel_size=3, stride=2, padding=padding, name="out"))
    weights = random_weights(graph, RNG)
    data = RNG.normal(0, 2, (1, 9, 21, 34)).astype(np.float32)
    wanted = evaluate(graph, weights, {"x": data})["out"]
    result = Session(graph, weights, isa=isa).run(data)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("without", [("fuse_epilog",), "row_bands", ("row_bands", "")])
def test_a_misspelt_rewrite_is_refused(without: Collection[str]) -> None:
    with pytest.raises(InputError, match=r"fuse_epilogue.*row_bands"):
        Session(SMALL, SMALL_WEIGHTS, without=without)


def test_an_operator_says_how_it_runs() -> None:
    relu = OPERATORS["relu"]
    with pytest.raises(TypeError, match="lower"):
        Operator("twice x", relu.infer, relu.reference)  # type: ignore[call-arg]


def test_an_operator_whose_step_the_engine_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    relu = OPERATORS["relu"]
    new = Operator("twice x", relu.infer, relu.reference, lower_as("TWICE"))
    monkeypatch.setitem(OPERATORS, "twice", new)
    graph = Graph()
    graph.output(graph.node("twice", graph.input("x", (1, 2, 3))))
    with pytest.raises(EngineError, match="TWICE"):
        Session(graph, {}).run(np.ones((1, 1, 2, 3), np.float32))


def test_rewrites_shorten_the_network() -> None:
    graph = mesoinception4("leaky_relu")
    weights = random_weights(graph, RNG)
    plan = Session(graph, weights).plan()
    plain = Session(graph, weights, without=REWRITE_NAMES).plan()
    assert len(plan.steps) < len(plain.steps)
    assert "COPY" not in [step.op for step in plan.steps]
    assert plan.arena_floats < plan.unshared_floats


def test_small_tensors_lie_apart_for_several_threads() -> None:
    """Else cores would write where the other one's cache still has something."""
    one, two = (Session("mesoinception4-mish", threads=n).plan() for n in (1, 2))
    lasting = {id(t.buffer): t.buffer for t in two.tensors if t.buffer.ring < 0}
    places = sorted((b.base, b.base + b.floats) for b in lasting.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(places))
    assert one.arena_floats < two.arena_floats < 1.3 * one.arena_floats
    finder = Session("yunet-s", threads=2)
    large = finder.plan({"image": (3, 640, 640)})
    assert large.arena_floats < large.unshared_floats / 2  # these take turns


def test_same_bits_for_threads_and_batches(isa: str) -> None:
    graph = mesoinception4("pish")
    weights = random_weights(graph, RNG)
    x = RNG.random((5, 3, 256, 256), dtype=np.float32)
    wanted = Session(graph, weights, threads=1, isa=isa).run(x, outputs=["fc2", "inception1"])
    for threads in (2, 3, 7):
        session = Session(graph, weights, threads=threads, isa=isa)
        result = session.run(x, outputs=["fc2", "inception1"])
        for name in wanted:
            assert (result[name] == wanted[name]).all()
        single = session.run(x[3:4], outputs=["fc2"])["fc2"]
        assert (single == wanted["fc2"][3:4]).all()


@pytest.mark.parametrize("classmates", [("scalar", "sse2"), ("avx2", "avx512")])
def test_same_bits_within_a_class_of_isas(classmates: tuple[str, ...]) -> None:
    if not set(classmates) <= set(available_isas()):
        pytest.skip(f"not both of {classmates} are available here")
    x = RNG.random((1, 3, 40, 50), dtype=np.float32)
    first, second = (Session(SMALL, SMALL_WEIGHTS, isa=isa).run(x) for isa in classmates)
    assert (first == second).all()


def test_bytes_are_divided_by_255(isa: str) -> None:
    pixels = RNG.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    session = Session(SMALL, SMALL_WEIGHTS, isa=isa)
    floats = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) / np.float32(255)
    assert (session.run(pixels, outputs=["image"])["image"] == floats).all()
    assert (session.run(pixels) == session.run(floats)).all()


def test_any_size_batch_and_stride_of_memory() -> None:
    session = Session(SMALL, SMALL_WEIGHTS)
    for height, width in ((1, 1), (2, 3), (67, 45), (16, 300)):
        assert session.run(np.zeros((1, 3, height, width), np.float32)).shape == (
            1,
            3,
            (height + 1) // 2,
            (width + 1) // 2,
        )
    assert session.run(np.zeros((0, 3, 8, 8), np.float32)).shape == (0, 3, 4, 4)
    x = RNG.random((200, 3, 8, 8), dtype=np.float32)
    assert (session.run(x)[::2] == session.run(x[::2])).all()  # not contiguous


def test_nan_comes_out_as_nan() -> None:
    x = RNG.random((1, 3, 16, 16), dtype=np.float32)
    x[0, 1, 5, 5] = np.nan
    assert np.isnan(Session(SMALL, SMALL_WEIGHTS).run(x)).any()


def test_several_inputs_and_outputs() -> None:
    graph = Graph()
    x, f = graph.input("x", (2, None, None)), graph.input("f", (2, 1, 1))
    graph.output(graph.node("mul", x, f, name="product"), x)
    inputs = {
        "x": RNG.random((3, 2, 4, 5), dtype=np.float32),
        "f": RNG.random((3, 2, 1, 1), dtype=np.float32),
    }
    result = Session(graph, {}).run(inputs)
    assert (result["product"] == inputs["x"] * inputs["f"]).all()
    assert (result["x"] == inputs["x"]).all()
    with pytest.raises(InputError, match="several inputs"):
        Session(graph, {}).run(inputs["x"])
    with pytest.raises(InputError, match="batch sizes"):
        Session(graph, {}).run({**inputs, "f": inputs["f"][:1]})


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 8, 8), np.float32), "x\\[None\\]"),
        (np.zeros((1, 4, 8, 8), np.float32), "the network wants"),
        (np.zeros((1, 3, 0, 8), np.float32), "the network wants"),
        (np.zeros((1, 3, 8, 8)), "astype"),
        (np.zeros((1, 8, 8, 3), np.int64), r"int64, .*: pictures are uint8 \(N, H, W, C\), or"),
        (np.zeros((1, 3, 8, 8), np.complex64), "complex64"),
        (np.zeros((1, 8, 8, 4), np.uint8), r"of bytes, the network wants \('N', 'any', 'any', 3\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), r"of bytes, the network wants"),
        (np.zeros((8, 8, 3), np.uint8), r"of bytes, no batch axis"),
        (np.zeros((1, 3, 8), np.float32), r"\(1, 3, 8\), the network wants"),
        (np.array(["picture"]), "float32"),
        (np.array([None]), "float32"),
        ([[1, 2], [3]], "list: no array"),
    ],
)
def test_wrong_inputs_are_refused(x: npt.ArrayLike, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Session(SMALL, SMALL_WEIGHTS).run(x)


def test_wrong_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for threads in (0, True, 1.5, "2", 10**12):
        with pytest.raises(InputError, match="threads"):
            Session(SMALL, SMALL_WEIGHTS, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="available") as caught:
        Session(SMALL, SMALL_WEIGHTS, isa="avx1024")
    assert caught.value.code < 0
    with pytest.raises(GraphError, match=r"conv1\.weight"):
        Session(SMALL, {})
    with pytest.raises(GraphError, match="brings its own"):
        Session("default", SMALL_WEIGHTS)
    with pytest.raises(InputError, match="no layer 'nothing'"):
        Session(SMALL, SMALL_WEIGHTS).run(np.zeros((1, 3, 8, 8), np.float32), outputs=["nothing"])
    with pytest.raises(InputError, match="say which"):
        Session(SMALL, SMALL_WEIGHTS).plan()
    monkeypatch.setattr(native, "_WANTED_ISA", "scalar")
    assert Session(SMALL, SMALL_WEIGHTS).isa == "scalar"
    monkeypatch.setattr(native, "_WANTED_ISA", "nonsense")
    with pytest.raises(EngineError, match="MINIMESO_ISA"):
        Session(SMALL, SMALL_WEIGHTS)


NO_SHAPES: tuple[Any, ...] = (
    [3, 8, 8], {"image": 5}, {"image": None}, {"image": (3, 8)}, {"image": ("3", 8, 8)},
    {"image": (3, 8.0, 8)}, {"image": (3, True, 8)}, {"image": "388"}, {"image": (3, 0, 8)},
    {"image": (3, None, 8)}, {"picture": (3, 8, 8)}, {1: (3, 8, 8)},
    {1: 2, "image": 3}, {}, {"image": np.zeros((3, 2, 2))}, {"image": (3, np.zeros(2), 8)},
)  # fmt: skip


@pytest.mark.parametrize("shapes", NO_SHAPES, ids=str)
def test_shapes_that_are_none_are_refused(shapes: Any) -> None:
    with pytest.raises(GraphError, match="input"):
        SMALL.shapes(shapes)
    with pytest.raises(InputError, match="input"):
        Session(SMALL, SMALL_WEIGHTS).plan(shapes)


def test_shapes_may_be_any_sequence_of_whole_numbers() -> None:
    wanted = {"image": (3, 8, 16)}
    for shape in ([3, 8, 16], np.array([3, 8, 16]), (np.int64(3), 8, 16)):
        given: Any = {"image": shape}
        assert SMALL.shapes(given) == SMALL.shapes(wanted)
        session = Session(SMALL, SMALL_WEIGHTS)
        assert session.plan(given) is session.plan(wanted)


def test_arguments_of_a_run_that_make_no_sense_are_refused() -> None:
    session, x = Session(SMALL, SMALL_WEIGHTS), np.zeros((1, 3, 8, 8), np.float32)
    outputs: Any
    for outputs in ("conv1", ["nothing"], [["conv1"]], [None]):
        with pytest.raises(InputError, match="layer"):
            session.run(x, outputs=outputs)
    given: Any
    for given in ({5: x}, {5: x, "image": x}, {}):
        with pytest.raises(InputError, match="inputs are"):
            session.run(given)
    runs: Any
    for runs in ("a", 2.5, 0, True):
        with pytest.raises(InputError, match="run"):
            session.profile(x, runs)


def test_a_network_without_outputs_or_inputs_is_refused() -> None:
    graph = Graph("no outputs")
    graph.input("x", (3,))
    session = Session(graph, {})
    for ask in (session.run, session.profile):
        with pytest.raises(InputError, match="has no output"):
            ask(np.zeros((1, 3), np.float32))
    with pytest.raises(InputError, match="has no output"):
        session.plan()
    with pytest.raises(InputError, match="has no input"):
        Session(Graph("nothing"), {}).run({})


class NoMemory:
    """As an array that lies on a disk and does not fit."""

    def __array__(self, *arguments: Any, **named: Any) -> npt.NDArray[Any]:
        raise MemoryError("Unable to allocate")


def test_want_of_memory_is_not_blamed_on_an_array() -> None:
    x: Any = NoMemory()
    with pytest.raises(MemoryError, match="Unable"):
        Session(SMALL, SMALL_WEIGHTS).run(x)
    with pytest.raises(MemoryError, match="Unable"):
        SMALL.check_arrays({**SMALL_WEIGHTS, "conv1.weight": x})


def test_a_picture_too_large_for_memory_is_refused() -> None:
    graph = Graph()
    x = graph.input("x", (1, None, None))
    for _ in range(3):
        x = graph.node("conv2d", x, out_channels=64, kernel_size=1)
    graph.output(x)
    session = Session(graph, random_weights(graph, RNG))
    with pytest.raises(InputError, match=r"smaller one|more than"):
        session.run(np.broadcast_to(np.float32(0), (1, 1, 3000, 3000)))


def test_sessions_in_threads_share_weights() -> None:
    model = minimeso.Model("small", SMALL, SMALL_WEIGHTS)
    x = RNG.random((1, 3, 40, 40), dtype=np.float32)
    wanted = Session(model).run(x)
    shared = Session(model, threads=2)
    results: list[bool] = []

    def work(session: Session) -> None:
        results.extend(bool((session.run(x) == wanted).all()) for _ in range(50))

    workers = [threading.Thread(target=work, args=(Session(model, threads=2),)) for _ in range(3)]
    workers += [threading.Thread(target=work, args=(shared,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 250
    assert all(results)
    assert len(model.prepared) == 1


def test_a_training_that_goes_on_changes_no_session() -> None:
    """Weights are packed when a run wants them: those of two moments were mixed."""
    weights = {name: array.copy() for name, array in SMALL_WEIGHTS.items()}
    x = RNG.random((1, 3, 20, 20), np.float32)
    expected = Session(SMALL, SMALL_WEIGHTS).run(x, outputs=["conv1", "out"])
    session = Session(SMALL, weights)
    session.run(x)
    for array in weights.values():
        array += 1
    found = session.run(x, outputs=["conv1", "out"])
    for name, wanted in expected.items():
        np.testing.assert_array_equal(found[name], wanted)


def test_a_network_that_is_built_on_changes_no_session() -> None:
    """It missed arrays of nodes that came later, in the words of a dict, or gave more outputs."""
    graph = Graph("grows")
    x = graph.node("linear", graph.input("x", (3,)), out_features=2, name="first")
    graph.output(x)
    weights = random_weights(graph, RNG)
    sessions = [Session(graph, weights), Session(Model("grows", graph, weights))]
    batch = RNG.random((2, 3), np.float32)
    wanted = sessions[0].run(batch)
    graph.output(graph.node("linear", x, out_features=4, name="second"))
    graph.input("y", (3,))
    for session in sessions:
        assert (session.run(batch) == wanted).all()
        with pytest.raises(InputError, match="no layer 'second'"):
            session.run(batch, ["second"])


def test_asking_layer_by_layer_keeps_few_packed_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every layer of a large network that is asked for keeps the weights before it."""
    graph = Graph("dense")
    x = graph.input("x", (64,))
    for _ in range(12):
        x = graph.node("linear", x, out_features=64)
    graph.output(x)
    weights = random_weights(graph, RNG)
    model = minimeso.Model("dense", graph, weights)
    vectors = RNG.random((1, 64), dtype=np.float32)
    wanted = evaluate(graph, weights, {"x": vectors})
    whole = sum(array.nbytes for array in weights.values())
    monkeypatch.setattr(session_module, "_MAX_PACKED_BYTES", 2 * whole)
    session = Session(model, threads=1)
    for node in graph.nodes:
        result = session.run(vectors, outputs=[node.name])[node.name]
        np.testing.assert_allclose(result, wanted[node.name], rtol=1e-4, atol=1e-4)
        blocks = {id(p.block): p.block for _, p in model.prepared.values()}
        blocks |= {id(p.parameters.block): p.parameters.block for _, p in session._plans.values()}
        assert sum(block.nbytes for block in blocks.values()) < 5.5 * whole
    session.run(vectors)


def _in_child(session: Session, x: np.ndarray, queue: multiprocessing.Queue[np.ndarray]) -> None:
    queue.put(session.run(x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_survives_fork() -> None:
    session = Session(SMALL, SMALL_WEIGHTS, threads=2)
    x = RNG.random((3, 3, 20, 20), dtype=np.float32)
    wanted = session.run(x)
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[np.ndarray] = context.Queue()
    child = context.Process(target=_in_child, args=(session, x, queue))
    child.start()
    assert (queue.get(timeout=60) == wanted).all()
    child.join(60)
    assert child.exitcode == 0
    assert (session.run(x) == wanted).all()


def test_memory_does_not_grow() -> None:
    resource = pytest.importorskip("resource")
    session = Session(SMALL, SMALL_WEIGHTS)
    x = RNG.random((2, 3, 64, 64), dtype=np.float32)
    for size in range(8, 60):  # more plans than are kept
        session.run(x[:, :, :size, :size])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(4):
        for size in range(8, 60):
            session.run(x[:, :, :size, :size])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8192


def test_import_is_light() -> None:
    code = (
        "import sys, minimeso; "
        "print([m for m in ('scipy', 'PIL', 'torch', 'argparse') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_large_network_lies_in_memory_once(tmp_path: Path) -> None:
    features, count = 512, 12
    graph, x = Graph("wide"), "x"
    graph.input(x, (features,))
    for number in range(count):
        x = graph.node("linear", x, name=f"fc{number}", out_features=features)
        x = graph.node("batch_norm", x, name=f"norm{number}")
    graph.output(x)
    rng = np.random.default_rng(0)
    weights = {
        name: np.abs(rng.standard_normal(shape, np.float32))
        for name, shape in graph.parameters().items()
    }
    save_model(Model("wide", graph, weights), tmp_path / "wide.npz", dtype="int8")
    layer = 4 * features**2

    def planned() -> Session:
        session = Session(tmp_path / "wide.npz", threads=1)
        session.plan()
        return session

    _, peak = peak_of(planned)
    in_file = count * layer // 4
    # The packed weights, those of the file, and of the layer at work few copies.
    assert peak < count * layer + 2 * in_file + 4 * layer


def test_what_lies_askew_is_read_as_it_is() -> None:
    """Floats at odd addresses, as in a part of a file: C may not read them there."""
    graph = Graph("askew")
    x = graph.node("conv2d", graph.input("x", (2, 5, 8)), out_channels=2, kernel_size=3, stride=2)
    graph.output(graph.node("mish", x))
    values = RNG.normal(size=(3, 2, 5, 8)).astype(np.float32)
    askew = np.frombuffer(b"\0" + values.tobytes(), np.float32, offset=1).reshape(values.shape)
    assert not askew.flags.aligned and askew.flags.c_contiguous
    with Session(graph, random_weights(graph, RNG)) as session:
        wanted = session.run(values)
        np.testing.assert_array_equal(session.run(askew), wanted)
    read = session_module._read_input("x", askew, (2, 5, 8))
    assert read.flags.aligned and read.flags.c_contiguous
    np.testing.assert_array_equal(native.activate(askew, "mish"), native.activate(values, "mish"))
    call, _ = native.activator(askew, "mish")
    assert call() == 0
