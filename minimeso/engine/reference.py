"""What a network computes by definition: every operator's own, in float64 with NumPy and SciPy.

Slow and plain on purpose: the kernels, the rewrites and the planner are tested against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .graph import Graph
from .operators import OPERATORS

Array = npt.NDArray[np.float64]


def evaluate(
    graph: Graph,
    weights: Mapping[str, npt.NDArray[Any]],
    inputs: Mapping[str, npt.NDArray[Any]],
    until: str | None = None,
) -> dict[str, Array]:
    """Value of every input and node.

    Args:
        graph: the network.
        weights: its arrays by ``node.parameter``.
        inputs: (N, C, H, W) or (N, F) arrays by input name.
        until: the last node that is wanted; by default the last there is.

    Returns:
        float64 arrays with a batch axis, by name.
    """
    values: dict[str, Array] = {n: np.asarray(inputs[n], np.float64) for n in graph.inputs}
    for node in graph.nodes:
        entry = OPERATORS[node.op]
        sources = [values[name] for name in node.inputs]
        shapes = [tuple(int(d) for d in s.shape[1:]) for s in sources]
        arrays = {
            name: np.asarray(weights[f"{node.name}.{name}"], np.float64)
            for name in entry.parameters(shapes, node.attributes)
        }
        values[node.name] = entry.reference(sources, node.attributes, arrays)
        if node.name == until:
            break
    return values
