"""Attribution: which parts of a crop moved the network towards fake, which towards real.

The networks end in a small map (16 channels of 8 x 8 cells) and a few dense layers behind it; the
mean over the cells may lie between the two.  Those dense layers are simple enough to differentiate
by hand, so no framework is needed: the engine computes the map, and the attribution of a cell is
the sum over its channels of feature times d logit / d feature (gradient x activation; Shrikumar et
al. 2016).  If the activation between the dense layers is piecewise linear, the attributions and
those of the biases add up to the logit.

It shows influence and proves nothing: a cell sees more than its own square of the crop, "no
feature" (0) is no picture that exists, and a network is as sure of its errors as of the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.operators import OPERATORS

if TYPE_CHECKING:
    from ..engine import Graph, Model, Node, Session

Array = npt.NDArray[np.float64]

#: Distance of the central differences, relative to max(1, |x|): for float64 the errors of
#: truncation and of rounding are then both near 1e-10.
_STEP = 1e-5


class LayerGradientXActivation:
    """Gradient x activation at the last map of a network, by its own session (named as in Captum).

    Args:
        session: of a model for which ``find_head`` finds the dense layers.

    Attributes:
        layer: name of the layer whose cells are looked at.

    Raises:
        ValueError: ``find_head`` finds none.
    """

    def __init__(self, session: Session) -> None:
        head = find_head(session.graph)
        if head is None:
            raise ValueError("no map followed by dense layers: ask find_head first")
        self._session = session
        self.layer, self._nodes, self._averaged = head

    def attribute(self, crops: npt.NDArray[np.float32]) -> Array:
        """How much each cell pushed the logit.

        Args:
            crops: (N, 3, H, W) float32 from 0 to 1, as the network judged them.

        Returns:
            (N, h, w), in units of the logit: positive speaks for fake, negative for real.
        """
        found = self._session.run(crops, outputs=[self.layer])[self.layer]
        features: Array = found.astype(np.float64)
        if self._averaged:
            gradient = self._gradient(features.mean((2, 3)))[:, :, None, None]
            gradient = gradient / (features.shape[2] * features.shape[3])
        else:
            gradient = self._gradient(features.reshape(len(features), -1)).reshape(features.shape)
        return np.asarray((features * gradient).sum(axis=1))

    def _gradient(self, flat: Array) -> Array:
        """d logit / d feature: (N, F) at the features (N, F)."""
        model, values = self._session.model, [flat]
        for node in self._nodes:
            values.append(_evaluate(model, node, values[-1]))
        gradient = np.ones_like(values[-1])
        for node, x in zip(reversed(self._nodes), reversed(values[:-1]), strict=True):
            if node.op == "linear":
                gradient = gradient @ model.weights[f"{node.name}.weight"].astype(np.float64)
            else:
                gradient = gradient * _derivative(model, node, x)
        return gradient


class Head(NamedTuple):
    """How a network ends.

    Attributes:
        layer: name of the map.
        nodes: the dense layers and activations behind it in the order in which they run, without
            flatten and without the last sigmoid.
        averaged: whether the mean over the cells of the map lies between.
    """

    layer: str
    nodes: list[Node]
    averaged: bool


def find_head(graph: Graph) -> Head | None:
    """The map that a network ends in, and the dense layers between it and the logit.

    Walks back from the only output: sigmoid, then dense layers and activations, then flatten, then
    a mean over the map, if there is one; ``None`` if the network does not end so.
    """
    nodes = {node.name: node for node in graph.nodes}
    chain: list[Node] = []
    name = graph.outputs[0]
    while (node := nodes.get(name)) is not None and node.op != "flatten":
        if node.op != "linear" and not _is_function(node):
            return None
        chain.append(node)
        name = node.inputs[0]
    ends_well = len(graph.outputs) == 1 and chain and chain[0].op == "sigmoid"
    if node is None or not ends_well or len(graph.shapes()[node.inputs[0]]) != 3:
        return None
    mean = nodes.get(node.inputs[0])
    if mean is not None and mean.op == "global_avg_pool2d":
        return Head(mean.inputs[0], chain[:0:-1], True)
    return Head(node.inputs[0], chain[:0:-1], False)


def _is_function(node: Node) -> bool:
    """Whether a node is a function of one number, without weights."""
    activation = OPERATORS[node.op].activation
    return activation is not None and not activation.slopes


def _evaluate(model: Model, node: Node, x: Array) -> Array:
    """The output of a node for (N, F) float64, by the definition of its operator."""
    arrays = {
        name: model.weights[f"{node.name}.{name}"].astype(np.float64)
        for name in ("weight", "bias")
        if f"{node.name}.{name}" in model.weights
    }
    return OPERATORS[node.op].reference([x], node.attributes, arrays)


def _derivative(model: Model, node: Node, x: Array) -> Array:
    """Derivative of an activation at x, by central differences."""
    step = _STEP * np.maximum(1.0, np.abs(x))
    rise = _evaluate(model, node, x + step) - _evaluate(model, node, x - step)
    return np.asarray(rise / ((x + step) - (x - step)))
