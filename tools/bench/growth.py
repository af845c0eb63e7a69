"""How our time and memory grow, for `tools.bench --growth`.

With the batch, with the picture, with the threads of a session and with sessions side by side, on
the bundled model. The variants of a measurement take turns, and the medians of their turns are
compared with that of the first; where nothing should grow, the ratio should stay near 1.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso import Graph, Session
from minimeso.cli.output import table
from minimeso.engine import find_model
from tools.bench import machine, workers
from tools.bench.report import plural

MODEL = "default"
BATCHES = (1, 4, 16, 64, 256, 1024)
SIDES = (256, 512, 1024, 2048)
PIXELS = 64 * 256**2  # of a turn, at least
WINDOW = 0.3  # seconds in which sessions side by side count what they did
USE_MEMORY = f"""
import sys
import numpy
import minimeso
x = numpy.zeros((int(sys.argv[1]), 256, 256, 3), numpy.uint8)  # only read: takes no memory
minimeso.Session({MODEL!r}, threads=2).run(x)
"""

#: What a measurement found: its title, the unit of `value`, and a row for each variant.
Part = dict[str, Any]


def measure(threads: Sequence[int], isa: str, rounds: int) -> list[Part]:
    """Everything; `rounds` turns for each variant, `threads` as many as are to be compared."""
    most = max(threads)
    return [
        *(with_the_batch(count, isa, rounds) for count in threads),
        *(with_the_picture(count, isa, rounds) for count in threads),
        *(with_the_threads(threads, batch, isa, rounds) for batch in (1, 32)),
        *(with_the_sessions(most, batch, isa, rounds) for batch in (1, 32)),
        memory_with_the_batch(),
    ]


def tables(parts: Iterable[Part]) -> Iterator[str]:
    """A small table for each part."""
    for part in parts:
        rows = [["", part["unit"], ""]]
        for row in part["rows"]:
            rows.append([str(row["variant"]), f"{row['value']:.2f}", f"{row['ratio']:.2f}x"])
        yield ""
        yield part["title"]
        yield from table(rows, right=[0, 1, 2])


def with_the_batch(threads: int, isa: str, rounds: int) -> Part:
    """Time of an image: the same in any batch."""
    session = Session(MODEL, threads=threads, isa=isa)
    pictures = _pictures(BATCHES[-1], 256)
    turns = {batch: _turn(session, pictures[:batch]) for batch in BATCHES}
    title = f"time of an image, {plural(threads, 'thread')}, by images at once"
    return _part(title, "ms", _medians(turns, rounds), lambda seconds: 1e3 * 256**2 * seconds)


def with_the_picture(threads: int, isa: str, rounds: int) -> Part:
    """Time of a pixel in the layers before the dense ones: the same in a picture of any size."""
    model = find_model(MODEL)
    graph = convolutions(model.graph)
    weights = {name: model.weights[name] for name in graph.parameters()}
    session = Session(graph, weights, threads=threads, isa=isa)
    turns = {side: _turn(session, _pictures(1, side)) for side in SIDES}
    title = f"time of a pixel, {plural(threads, 'thread')}, by side of the picture"
    return _part(title, "ns", _medians(turns, rounds), lambda seconds: 1e9 * seconds)


def with_the_threads(threads: Iterable[int], batch: int, isa: str, rounds: int) -> Part:
    """Images a second of one session: grows with its threads."""
    pictures = _pictures(batch, 256)
    turns = {n: _turn(Session(MODEL, threads=n, isa=isa), pictures) for n in threads}
    title = f"images a second, {plural(batch, 'image')} at once, by threads of a session"
    return _part(title, "/s", _medians(turns, rounds), lambda seconds: 1 / (256**2 * seconds))


def with_the_sessions(most: int, batch: int, isa: str, rounds: int) -> Part:
    """Images a second of sessions with one thread each, each called by its own Python thread."""
    pictures = _pictures(batch, 256)
    sessions = [Session(MODEL, threads=1, isa=isa) for _ in range(most)]
    turns = {
        count: lambda count=count: 1 / _side_by_side(sessions[:count], pictures)
        for count in range(1, most + 1)
    }
    title = f"images a second, {plural(batch, 'image')} at once, by sessions side by side"
    return _part(title, "/s", _medians(turns, rounds), lambda value: 1 / value)


def memory_with_the_batch() -> Part:
    """Most memory of a process that runs one batch, without the pictures: the same for any."""
    values = {}
    for batch in (BATCHES[0], BATCHES[-1]):
        command = [sys.executable, "-c", USE_MEMORY + machine.REPORT_MEMORY, str(batch)]
        done = subprocess.run(
            command, cwd=machine.PACKAGE.parent, check=True, capture_output=True, text=True
        )
        values[batch] = float(done.stdout)
    title = "peak memory of a process, 2 threads, by images at once"
    return _part(title, "MB", values, lambda value: value / 1e6)


def convolutions(graph: Graph) -> Graph:
    """The layers before the first `flatten`, for pictures of any size."""
    data = graph.to_json()
    end = next(i for i, node in enumerate(data["nodes"]) if node["op"] == "flatten")
    for entry in data["inputs"]:
        entry["shape"][1:] = None, None
    outputs = data["nodes"][end]["inputs"]
    return Graph.from_json(data | {"nodes": data["nodes"][:end], "outputs": outputs}, graph.name)


# --- turns -----------------------------------------------------------------------------------


def _pictures(batch: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)


def _turn(session: Session, x: NDArray[np.uint8]) -> Callable[[], float]:
    """Runs the session a few times; returns seconds for a pixel."""
    pixels = x[..., 0].size
    calls = max(1, PIXELS // pixels)

    def turn() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            session.run(x)
        return (time.perf_counter() - start) / (calls * pixels)

    return turn


def _side_by_side(sessions: Sequence[Session], x: NDArray[np.uint8]) -> float:
    """Images a second of all sessions together, each in a Python thread."""
    barrier = threading.Barrier(len(sessions))
    rates = [0.0] * len(sessions)

    def work(number: int) -> None:
        images = 0
        barrier.wait()
        start = time.perf_counter()
        while (seconds := time.perf_counter() - start) < WINDOW:
            sessions[number].run(x)
            images += len(x)
        rates[number] = images / seconds

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _medians(turns: Mapping[int, Callable[[], float]], rounds: int) -> dict[int, float]:
    """What the turns of each variant return; the first round, which plans and warms up, aside."""
    values: dict[int, list[float]] = {variant: [] for variant in turns}
    named = {
        str(variant): lambda variant=variant: values[variant].append(turns[variant]())
        for variant in turns
    }
    for _ in workers.take_turns(named, rounds + 1):
        pass
    return {variant: statistics.median(found[1:]) for variant, found in values.items()}


def _part(
    title: str, unit: str, values: Mapping[int, float], scale: Callable[[float], float]
) -> Part:
    scaled = {variant: scale(value) for variant, value in values.items()}
    first = next(iter(scaled.values()))
    rows = [{"variant": v, "value": x, "ratio": x / first} for v, x in scaled.items()]
    return {"title": title, "unit": unit, "rows": rows}
