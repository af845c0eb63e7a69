"""``minimeso bench``: what each activation costs in MesoInception-4 on this computer.

Table 4 of Kawa & Syga 2021: one random image at a time, every activation relative to ReLU.  The
images go round robin through the networks, and the first network of a round changes, so that
whatever else the machine does falls on all of them alike; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

from .output import Progress, add_engine_arguments, add_json_argument, json_line, line, table

if TYPE_CHECKING:
    from ..engine import Session

HELP = "measure what each activation costs here (Table 4 of the paper)"
DETAILS = (
    "MesoInception-4 with random weights, one random image at a time, the same images for every "
    "activation, in turns; median time and percent over ReLU, beside the paper's. Ctrl-C stops "
    "early and prints what there is."
)
EXAMPLES = """\
  minimeso bench
  minimeso bench --images 2000 --threads 2
  minimeso bench --isa avx2 --json"""

#: Percent over ReLU in Table 4 (Kawa & Syga 2021), where ReLU took 31.757 ms an image.
PAPER = {"relu": 0.0, "leaky_relu": 0.929, "mish": 1.074, "swish": 2.217, "pish": 3.174}
_BASE = "relu"
_SEED = 2021
_WARM_UP = 3
_INTERRUPTED = 130

#: Seconds of each image, by activation.
Times = dict[str, list[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--images", type=_count, default=200, metavar="N", help="images (default: 200; paper: 2000)"
    )
    add_engine_arguments(parser, "threads for one image (default: 1)")
    add_json_argument(parser, "one object on one line")


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return count


def run(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    threads = options.threads or 1
    sessions = {name: _session(name, threads, options.isa) for name in PAPER}
    times: Times = {name: [] for name in PAPER}
    status = 0
    try:
        _measure(sessions, options.images, times)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    if not all(times.values()):  # stopped within the first round
        return status
    report = {
        "network": "mesoinception4",
        "isa": sessions[_BASE].isa,
        "threads": threads,
        "images": min(map(len, times.values())),
        "results": _results(times),
    }
    if options.json:
        json_line(report)
    else:
        _print(report)
    return status


def _session(activation: str, threads: int, isa: str | None) -> Session:
    """MesoInception-4 with weights that keep every layer's values near 1."""
    import numpy as np

    from ..engine import Session
    from ..networks import mesoinception4

    graph = mesoinception4(activation)
    generator = np.random.default_rng(_SEED)  # the same weights whatever the activation
    weights = {}
    for name, shape in graph.parameters().items():
        if name.endswith("running_var"):
            values = generator.uniform(0.5, 2, shape)
        else:
            deviation = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 1
            values = generator.normal(0, deviation, shape)
        weights[name] = values.astype(np.float32)
    return Session(graph, weights, threads=threads, isa=isa)


def _measure(sessions: dict[str, Session], images: int, times: Times) -> None:
    """Append the time of every image to ``times``."""
    import numpy as np

    generator = np.random.default_rng(_SEED)
    names = list(sessions)
    progress = Progress(images)
    try:
        for number in range(-_WARM_UP, images):
            image = generator.random((1, 3, 256, 256), np.float32)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                start = time.perf_counter()
                sessions[name].run(image)
                if number >= 0:
                    times[name].append(time.perf_counter() - start)
            progress.show(max(number + 1, 0), "images")
    finally:
        progress.clear()


def _results(times: Times) -> list[dict[str, Any]]:
    medians = {name: statistics.median(values) for name, values in times.items()}
    return [
        {
            "activation": name,
            "median_ms": 1e3 * medians[name],
            "percent": 100 * (medians[name] / medians[_BASE] - 1),
            "paper_percent": PAPER[name],
        }
        for name in times
    ]


def _print(report: dict[str, Any]) -> None:
    line(
        f"MesoInception-4, {report['images']} random images one at a time, "
        f"{report['threads']} {'thread' if report['threads'] == 1 else 'threads'}, {report['isa']}"
    )
    rows = [["activation", "median ms", "over ReLU", "in the paper"]]
    for result in report["results"]:
        rows.append(
            [
                result["activation"],
                f"{result['median_ms']:.3f}",
                f"{result['percent']:+.3f} %",
                f"{result['paper_percent']:+.3f} %",
            ]
        )
    for text in table(rows, right=[1, 2, 3]):
        line(text)
