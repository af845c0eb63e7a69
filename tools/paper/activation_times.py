"""What an activation costs in other networks, on minimeso's engine: one image, one thread.

Each network takes turns of a few images with itself under another activation, exact and
approximated, with one instruction set after the other, in one process on one core. What is compared
is a turn's median with that of the network's own ReLU in the same round, as in `table4`; another
one is first in every round. Rounds stand in `times.csv`.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import minimeso
from minimeso import Model, Session, load_model, save_model
from minimeso.engine.graph import Graph
from minimeso.engine.native import available_isas
from minimeso.engine.operators import OPERATORS
from tools.convert import efficientnet
from tools.paper import results, table4
from tools.paper.results import Options, ResultsError, Runs

FILE = "times.csv"
ROUNDS = {"smoke": 2, "cpu": 60, "days": 60, "gpu": 60, "full": 60}
THOROUGH = efficientnet.ARCHITECTURE
#: By network, images of a turn.
TURNS = {"resnet20": 8, "mobilenetv2_0.5": 8, THOROUGH: 1}
ACTIVATIONS = ("relu", "swish", "mish", "pish")
BASE = "relu"
#: Here the exact formulas are the faster ones, and stand for the approximations, too.
EXACT = ("scalar", "sse2")
SEED = 2021


def names(isa: str) -> list[str]:
    """What takes turns: activations, and those whose approximation is another computation."""
    rough = [] if isa in EXACT else [f"{name}_approximated" for name in ACTIVATIONS[1:]]
    return [*ACTIVATIONS, *rough]


def noise(graph: Graph, seed: int, count: int) -> NDArray[np.float32]:
    """(count, 1, C, H, W) in [0, 1): random images, one at a time."""
    (shape,) = graph.inputs.values()
    channels, height, width = (extent or 0 for extent in shape)
    return np.random.default_rng(seed).random((count, 1, channels, height, width), np.float32)


# --- what runs in the engine's process -------------------------------------------------------


@lru_cache(None)
def _sessions(folder: Path, network: str, isa: str) -> dict[str, Session]:
    """All that take turns, loaded."""
    models: dict[str, Model] = {}
    for name in ACTIVATIONS:
        models[name] = load_model(folder / f"{network}-{name}.npz")
        models[f"{name}_approximated"] = models[name].approximated()
    return {name: Session(models[name], threads=1, isa=isa) for name in names(isa)}


def take_turns(folder: Path, network: str, isa: str, number: int) -> dict[str, float]:
    """Milliseconds of an image, the median of a turn of each, after an image that does not
    count."""
    sessions = _sessions(folder, network, isa)
    images = noise(sessions[BASE].graph, number, TURNS[network])
    order = list(sessions)
    first = number % len(order)
    found = {}
    for name in order[first:] + order[:first]:
        session, ms = sessions[name], []
        session.run(images[0])
        for image in images:
            start = time.perf_counter()
            session.run(image)
            ms.append(1e3 * (time.perf_counter() - start))
        found[name] = statistics.median(ms)
    return {name: found[name] for name in order}


# --- this side -------------------------------------------------------------------------------


def measure(options: Options, folder: Path) -> None:
    """Measures the rounds that are missing in the `times.csv` of a folder."""
    from tools.bench import machine, peers, workers

    rounds = ROUNDS[options.budget]
    settings = {"cpu": machine.cpu_model(), "rounds": rounds}
    runs = Runs(folder, settings, ("round",), FILE)
    there = [isa for isa in table4.ENGINES if isa in available_isas()]
    with ExitStack() as stack:
        worker: workers.Worker | None = None
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            for (round_,) in runs.left([{"round": number} for number in range(rounds)]):
                if worker is None:
                    write_models(models)
                    worker = workers.Worker(1, models / "log")
                    stack.callback(worker.close)
                start = time.perf_counter()
                figures: dict[str, float] = {}
                for network, isa in itertools.product(TURNS, there):
                    found = worker.ask(take_turns, models, network, isa, round_["round"])
                    figures |= {f"{network}_{isa}_{k}_median_ms": ms for k, ms in found.items()}
                runs.add(round_, {**figures, "seconds": time.perf_counter() - start})
        except peers.UnavailableError as error:
            raise ResultsError(f"cannot be measured: {error}") from None


def write_models(folder: Path) -> None:
    """The model file of each network with each activation, all with the same weights: random ones,
    or those that the package has."""
    for network in TURNS:
        base = thorough() if network == THOROUGH else classifier(network)
        for activation in ACTIVATIONS:
            graph = with_activation(base.graph, activation)
            model = with_statistics(replace(base, graph=graph))
            save_model(model, folder / f"{network}-{activation}.npz")


def classifier(network: str) -> Model:
    """A network for CIFAR-10 with ReLU and He's random weights."""
    from tools.convert import source

    graph = source.graph_of(network, BASE, source.TORCH_EPS)
    random, weights = np.random.default_rng(SEED), {}
    for name, shape in graph.parameters().items():
        if len(shape) > 1:
            weights[name] = random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        else:
            weights[name] = np.full(shape, float(name.endswith((".weight", ".running_var"))))
    return Model(network, graph, {k: v.astype(np.float32) for k, v in weights.items()})


def thorough() -> Model:
    """The thorough network of the package, EfficientNet-Lite0 with ReLU6."""
    return load_model(Path(minimeso.__file__).parent / "models" / "efficientnet-lite0.npz")


def with_activation(graph: Graph, activation: str) -> Graph:
    """The graph with another activation wherever it has ReLU, or ReLU6 as a `clamp`; for "relu" as
    it is."""
    if activation == BASE:
        return graph
    swapped = Graph(graph.name)
    for name, shape in graph.inputs.items():
        swapped.input(name, shape)
    for node in graph.nodes:
        if node.op in (BASE, "clamp"):
            swapped.node(activation, *node.inputs, name=node.name)
        else:
            swapped.node(node.op, *node.inputs, name=node.name, **node.attributes)
    swapped.output(*graph.outputs)
    return swapped


def with_statistics(model: Model) -> Model:
    """The model with batch norms that have seen a random image, as training leaves them: with the
    statistics of another activation, values grow from layer to layer until exponentials are
    denormal numbers, which CPUs are slow with."""
    weights = dict(model.weights)
    (name,) = model.graph.inputs
    values: dict[str, NDArray[np.float64]] = {
        name: noise(model.graph, SEED, 1)[0].astype(np.float64)
    }
    for node in model.graph.nodes:
        operator = OPERATORS[node.op]
        sources = [values[source] for source in node.inputs]
        if node.op == "batch_norm" and f"{node.name}.weight" not in efficientnet.SCALING:
            for part, found in (("mean", sources[0].mean), ("var", sources[0].var)):
                weights[f"{node.name}.running_{part}"] = found((0, 2, 3)).astype(np.float32)
        shapes = [tuple(source.shape[1:]) for source in sources]
        arrays = {
            part: np.asarray(weights[f"{node.name}.{part}"], np.float64)
            for part in operator.parameters(shapes, node.attributes)
        }
        values[node.name] = operator.reference(sources, node.attributes, arrays)
    return replace(model, weights=weights)


# --- what the rounds say ---------------------------------------------------------------------


def isas(rows: pd.DataFrame) -> list[str]:
    """Those that were measured, the fastest first."""
    return [isa for isa in table4.ENGINES if f"{THOROUGH}_{isa}_{BASE}_median_ms" in rows]


def summarise(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row for every network and activation: of each instruction set the median in milliseconds,
    and how much longer that is than with ReLU, exact and approximated: 0.1 is 10 %; medians over
    rounds, with their 95 % intervals."""
    for network, activation in itertools.product(TURNS, ACTIVATIONS):
        row: dict[str, Any] = {"network": network, "activation": activation}
        for isa in isas(rows):
            engine = f"{network}_{isa}"
            ms = results.values(rows, f"{engine}_{activation}_median_ms")
            row[f"{isa}_ms"] = statistics.median(ms)
            kinds = {"over": activation, "approximated_over": f"{activation}_approximated"}
            for kind, name in kinds.items():
                if name != BASE and name in names(isa):
                    mean, low, high = table4.median(table4.over(rows, engine, name))
                    figure = f"{isa}_{kind}"
                    row |= {figure: mean, f"{figure}_low": low, f"{figure}_high": high}
        yield row
