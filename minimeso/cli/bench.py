"""``minimeso bench``: what each activation costs in MesoInception-4 on this computer, and where
the time of a model goes.

Table 4 of Kawa & Syga 2021: one random image at a time, every activation relative to ReLU.  The
images go round robin through the networks, and the first network of a round changes, so that
whatever else the machine does falls on all of them alike; medians are compared.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ..errors import MinimesoError
from .arguments import add_engine_arguments, add_json_argument, whole_number
from .output import INTERRUPTED, json_line, line, printable, table
from .progress import Progress

if TYPE_CHECKING:
    from ..engine import Model, Session
    from ..engine.profile import Profile

HELP = "measure what each activation costs here (Table 4 of the paper), or a model's steps"
DETAILS = (
    "MesoInception-4 with random weights, one random image at a time, the same images for every "
    "activation, in turns; median time and percent over ReLU, beside the paper's. Ctrl-C stops "
    "early and prints what there is. With --profile: the time of each step by which the engine "
    "runs a model on one picture, of all threads together, and the GFLOP/s of each thread if it "
    "convolved directly."
)
EXAMPLES = """\
  minimeso bench
  minimeso bench --images 2000 --threads 2 --isa avx2 --json
  minimeso bench default --profile"""

#: Percent over ReLU in Table 4 (Kawa & Syga 2021), where ReLU took 31.757 ms an image.
PAPER = {"relu": 0.0, "leaky_relu": 0.929, "mish": 1.074, "swish": 2.217, "pish": 3.174}
_BASE = "relu"
_SEED = 2021
_WARM_UP = 3
_MOST_IMAGES = 1_000_000

#: Seconds of each image, by activation.
Times = dict[str, list[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="with --profile: bundled model or pair, or a file"
    )
    parser.add_argument("--profile", action="store_true", help="where the time of a model goes")
    parser.add_argument(
        "--images", type=whole_number(_MOST_IMAGES), default=200, metavar="N",
        help="images (default: 200; paper: 2000)",
    )  # fmt: skip
    add_engine_arguments(parser, "threads for one image (default: 1)")
    add_json_argument(parser, "one object on one line; with --profile one for each network")


def run(options: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    if options.profile:
        return _profile(options)
    if options.model is not None:
        raise MinimesoError(
            "MODEL goes with --profile: the activations have a network of their own"
        )
    threads = options.threads or 1
    sessions = {name: _session(name, threads, options.isa) for name in PAPER}
    times: Times = {name: [] for name in PAPER}
    status = 0
    try:
        _measure(sessions, options.images, times)
    except KeyboardInterrupt:
        status = INTERRUPTED
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
        _print_table(report)
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
    import statistics  # `minimeso --help` need not wait for it

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


def _print_table(report: dict[str, Any]) -> None:
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


# --- where the time of a model goes ----------------------------------------------------------


def _profile(options: argparse.Namespace) -> int:
    from ..detect.pair import ENDING, detector_path, load_pair
    from ..engine import find_model

    name = options.model or "default"
    path = detector_path(name)
    if path.endswith(ENDING):
        pair = load_pair(path)
        models = [pair.fast, pair.thorough]
    else:
        models = [find_model(name)]
    for model in models:
        _profile_model(model, options)
    return 0


def _profile_model(model: Model, options: argparse.Namespace) -> None:
    import numpy as np

    from ..engine import Session
    from .info import ANY_SIZE

    session = Session(model, threads=options.threads or 1, isa=options.isa)
    generator = np.random.default_rng(_SEED)
    inputs: dict[str, Any] = {}
    for name, declared in session.graph.inputs.items():
        shape = tuple(ANY_SIZE if size is None else size for size in declared)
        if len(shape) == 3:  # a picture of bytes
            inputs[name] = generator.integers(0, 256, (1, *shape[1:], shape[0]), np.uint8)
        else:
            inputs[name] = generator.random((1, *shape), np.float32)
    profile = session.profile(inputs, options.images)
    if options.json:
        json_line({"model": model.name, **profile.to_json()})
        return
    threads = "1 thread" if profile.threads == 1 else f"{profile.threads} threads"
    line(
        f"{printable(model.name)}, one picture, {threads}, {profile.isa}: "
        f"{profile.run_ms:.3f} ms, with timers {profile.timed_ms:.3f} ms (medians of "
        f"{profile.runs} runs)"
    )
    for text in profile_table(profile):
        line(printable(text))


def profile_table(profile: Profile, peak: float | None = None) -> list[str]:
    """A line for each step; with the peak of a core, in multiply-adds a second, the part of it."""
    total = profile.steps_ms
    rows = [["step", "nodes", "output", "ms", "share", "GFLOP/s", "of peak"]]
    for step in profile.steps:
        share = None if peak is None else step.share_of_peak(peak)
        rows.append(
            [
                step.op,
                " + ".join(step.nodes) or step.output,
                "x".join(map(str, step.shape)),
                f"{step.milliseconds:.3f}",
                f"{step.milliseconds / total:.1%}",
                "" if step.gflops is None else f"{step.gflops:.1f}",
                "" if share is None else f"{share:.0%}",
            ]
        )
    rate = 2e-6 * sum(step.multiply_adds for step in profile.steps) / total
    whole = f"{5e8 * rate / peak:.0%}" if peak else ""
    rows.append(["", "all steps", "", f"{total:.3f}", f"{1:.1%}", f"{rate:.1f}", whole])
    rows.append(["", "between them", "", f"{profile.other_ms:.3f}", "", "", ""])
    return table(rows if peak else [row[:-1] for row in rows], right=[3, 4, 5, 6])
