"""Profiles: where the time of a run goes, and how much of it the machine could do without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .graph import Graph
from .operators import OPERATORS, Shape
from .plan import Plan


@dataclass(frozen=True)
class StepTime:
    """One step of a plan.

    Attributes:
        op: what the engine calls it.
        nodes: the graph nodes that it covers.
        output: the tensor that it writes (or the caller's output), of shape ``shape``.
        lines: height of the output, 1 for a vector.
        milliseconds: of one image, of all threads together; the mean of the middle half of
            the runs, so that steps add up.
        multiply_adds: what direct convolution of its nodes takes for one image.  A node that
            several steps cover counts at the slowest of them.
    """

    op: str
    nodes: tuple[str, ...]
    output: str
    shape: tuple[int, ...]
    lines: int
    milliseconds: float
    multiply_adds: int

    @property
    def gflops(self) -> float | None:
        """1e9 additions and multiplications a second and thread; None where there are none."""
        if not self.multiply_adds or not self.milliseconds:
            return None
        return 2e-6 * self.multiply_adds / self.milliseconds

    def share_of_peak(self, rate: float) -> float | None:
        """The part of a core's peak, in multiply-adds a second; fast algorithms may exceed 1."""
        gflops = self.gflops
        return None if gflops is None else 0.5e9 * gflops / rate


@dataclass(frozen=True)
class Profile:
    """Where the time of a run goes.

    Attributes:
        steps: in the order of the plan.
        run_ms: wall time of one image without timers; ``timed_ms`` with them.  Medians of
            ``runs`` runs each, in turns.
    """

    isa: str
    threads: int
    batch: int
    runs: int
    run_ms: float
    timed_ms: float
    steps: tuple[StepTime, ...]

    @property
    def steps_ms(self) -> float:
        """Time of one image in all steps, of all threads together."""
        return math.fsum(step.milliseconds for step in self.steps)

    @property
    def other_ms(self) -> float:
        """What the threads do between the steps: wait for each other, and for Python."""
        return self.threads * self.timed_ms - self.steps_ms

    def to_json(self) -> dict[str, Any]:
        """As a dict of plain values."""
        total = self.steps_ms
        steps = [
            {**asdict(step), "share": step.milliseconds / total, "gflops": step.gflops}
            for step in self.steps
        ]
        return {**asdict(self), "steps_ms": total, "other_ms": self.other_ms, "steps": steps}


def make_profile(
    graph: Graph,
    shapes: Mapping[str, Shape],
    plan: Plan,
    isa: str,
    batch: int,
    nanoseconds: npt.NDArray[np.int64],
    seconds: npt.NDArray[np.float64],
) -> Profile:
    """A profile of measurements.

    Args:
        shapes: of all tensors of the graph, at the size that was run.
        nanoseconds: of each (run, thread, step).
        seconds: of each run without timers and with them, (run, 2).
    """
    by_step = nanoseconds.sum(axis=1)
    ranked = by_step[np.argsort(by_step.sum(axis=1))]  # the slowest run last
    skipped = len(ranked) // 4
    milliseconds = 1e-6 / batch * ranked[skipped : len(ranked) - skipped].mean(axis=0)
    counts = _multiply_adds_of_steps(multiply_adds(graph, shapes), plan, milliseconds)
    steps = []
    for step, ms, count in zip(plan.steps, milliseconds.tolist(), counts, strict=True):
        tensor = plan.tensors[step.output if step.output >= 0 else step.input]
        nodes = step.layer.covers if step.layer else ()
        lines = tensor.map_shape[1]
        steps.append(StepTime(step.op, nodes, tensor.name, tensor.shape, lines, ms, count))
    run_ms, timed_ms = (1e3 / batch * np.median(seconds, axis=0)).tolist()
    runs, threads, _ = nanoseconds.shape
    return Profile(isa, threads, batch, runs, run_ms, timed_ms, tuple(steps))


def multiply_adds(graph: Graph, shapes: Mapping[str, Shape] | None = None) -> dict[str, int]:
    """Of one image in every convolution and linear layer, by direct convolution.

    Args:
        shapes: of all tensors, by default the declared ones.
    """
    shapes = graph.shapes() if shapes is None else shapes
    counts = {}
    for node in graph.nodes:
        sources = [shapes[name] for name in node.inputs]
        count = OPERATORS[node.op].multiply_adds(sources, node.attributes, shapes[node.name])
        if count:
            counts[node.name] = count
    return counts


def _multiply_adds_of_steps(
    counts_of_nodes: Mapping[str, int], plan: Plan, milliseconds: npt.NDArray[np.float64]
) -> list[int]:
    covering: dict[str, list[int]] = {}
    for number, step in enumerate(plan.steps):
        for name in step.layer.covers if step.layer else ():
            covering.setdefault(name, []).append(number)
    counts = [0] * len(plan.steps)
    for name, count in counts_of_nodes.items():
        if name in covering:  # what nobody asked for is not computed
            counts[max(covering[name], key=lambda number: milliseconds[number])] += count
    return counts
