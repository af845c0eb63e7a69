"""Attributions against PyTorch's gradients, its sum against the logit, and networks without one."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_weights
from support.detectors import constant_detector, random_detector

from minimeso import Graph, Session
from minimeso.engine.operators import ACTIVATIONS
from minimeso.engine.reference import evaluate
from minimeso.networks import ACTIVATION_SETTINGS, NETWORKS, mesoinception4
from minimeso.report.attribution import LayerGradientXActivation, find_head

CROPS = np.random.default_rng(3).random((2, 3, 256, 256), np.float32)
#: The features are the engine's, float32; the gradient is float64.
TOLERANCE = 1e-4


def session_of(graph: Graph) -> Session:
    return Session(graph, random_weights(graph, np.random.default_rng(5)), threads=1)


@pytest.mark.parametrize("activation", ACTIVATION_SETTINGS)
@pytest.mark.parametrize("architecture", NETWORKS)
def test_it_is_pytorchs_gradient_times_activation(architecture: str, activation: str) -> None:
    torch = pytest.importorskip("torch")
    from tools.train.networks import build

    session = session_of(NETWORKS[architecture](activation, 1e-5, False))
    network = build(architecture, activation).double().eval()
    state = {name: torch.from_numpy(array) for name, array in session.model.weights.items()}
    network.load_state_dict(state, strict=False)
    kept: list[torch.Tensor] = []
    network.pool4.register_forward_hook(lambda *call: kept.append(call[2]))
    logit = network(torch.from_numpy(CROPS).double())
    (gradient,) = torch.autograd.grad(logit.sum(), kept)
    expected = (kept[0] * gradient).sum(1).detach().numpy()

    attributions = LayerGradientXActivation(session).attribute(CROPS)
    assert attributions.shape == (2, 8, 8) and attributions.dtype == np.float64
    assert np.abs(attributions - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("calibration", [0.7, -0.7])
def test_attributions_and_biases_add_up_to_the_logit(calibration: float) -> None:
    """Complete where the head is piecewise linear: each unit's bias passes the same slopes."""
    graph = mesoinception4("leaky_relu", calibrated=True)
    weights = random_weights(graph, np.random.default_rng(6))
    weights["calibration.weight"][:] = calibration
    session = Session(graph, weights, threads=1)
    found = evaluate(graph, weights, {"image": CROPS})
    slopes = np.where(found["fc1"] > 0, 1.0, 0.1)
    biases = (
        weights["calibration.bias"]
        + calibration * weights["fc2.bias"]
        + calibration * (slopes * weights["fc2.weight"] * weights["fc1.bias"]).sum(1)
    )
    total = LayerGradientXActivation(session).attribute(CROPS).sum(axis=(1, 2)) + biases
    assert np.allclose(total, found["calibration"][:, 0], rtol=1e-4, atol=1e-4)


def test_a_larger_attribution_raises_the_logit() -> None:
    """The sign: adding a little of the gradient's feature moves p_fake as the map says."""
    session = Session(random_detector(), threads=1)
    attribution = LayerGradientXActivation(session)
    assert attribution.layer == "pool4"
    found = session.run(CROPS, outputs=["pool4", "fc2"])
    gradient = attribution._gradient(found["pool4"].reshape(2, -1).astype(np.float64))
    moved = found["pool4"].reshape(2, -1) + 1e-3 * gradient
    logit = moved
    for node in attribution._nodes:
        logit = evaluate_one(session, node.name, logit)
    assert (logit > found["fc2"]).all()


def evaluate_one(session: Session, name: str, x: np.ndarray) -> np.ndarray:
    from minimeso.report.attribution import _evaluate

    node = next(node for node in session.graph.nodes if node.name == name)
    return _evaluate(session.model, node, x)


def head(*ops: str) -> Graph:
    graph = Graph("head")
    x = graph.node("conv2d", graph.input("image", (3, 6, 8)), out_channels=4, kernel_size=3)
    for op in ops:
        attributes = {"out_features": 1} if op == "linear" else {}
        x = graph.node(op, x, **attributes)
    graph.output(x)
    return graph


def test_the_nodes_are_found_by_what_they_do() -> None:
    found = find_head(head("relu", "flatten", "linear", "swish", "linear", "linear", "sigmoid"))
    assert found is not None
    assert (found.layer, found.averaged) == ("relu1", False)
    assert [node.op for node in found.nodes] == ["linear", "swish", "linear", "linear"]
    found = find_head(head("relu", "global_avg_pool2d", "flatten", "linear", "linear", "sigmoid"))
    assert found is not None and (found.layer, found.averaged) == ("relu1", True)
    assert [node.op for node in found.nodes] == ["linear", "linear"]


def test_behind_a_mean_attributions_and_bias_add_up_to_the_logit() -> None:
    graph = head("relu", "global_avg_pool2d", "flatten", "linear", "sigmoid")
    session = session_of(graph)
    crops = CROPS[:, :, :6, :8]
    attributions = LayerGradientXActivation(session).attribute(crops)
    assert attributions.shape == (2, 4, 6)
    found = session.run(crops, outputs=["relu1", "linear1"])
    weight = session.model.weights["linear1.weight"][0]
    expected = np.einsum("nchw,c->nhw", found["relu1"], weight) / 24
    assert np.allclose(attributions, expected, rtol=1e-5, atol=1e-7)
    total = attributions.sum((1, 2)) + session.model.weights["linear1.bias"]
    assert np.allclose(total, found["linear1"][:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "ops",
    [
        ("flatten", "linear"),  # no probability at the end
        ("flatten", "linear", "softmax", "sigmoid"),
        ("global_avg_pool2d", "sigmoid"),
        ("flatten", "linear", "prelu", "linear", "sigmoid"),
    ],
)
def test_a_network_without_such_a_head_has_no_map(ops: tuple[str, ...]) -> None:
    assert find_head(head(*ops)) is None
    with pytest.raises(ValueError, match="find_head"):
        LayerGradientXActivation(session_of(head(*ops)))


def test_a_network_of_dense_layers_only_looks_at_its_pixels() -> None:
    session = Session(constant_detector(0.3), threads=1)
    attribution = LayerGradientXActivation(session)
    assert attribution.layer == "image"
    assert not attribution.attribute(np.ones((1, 3, 6, 8), np.float32)).any()


def test_a_network_of_vectors_has_no_map() -> None:
    graph = Graph("vector")
    x = graph.node("linear", graph.input("x", (5,)), out_features=1)
    graph.output(graph.node("sigmoid", x))
    assert find_head(graph) is None


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "prelu"])
def test_every_activation_may_stand_between_the_dense_layers(name: str) -> None:
    """The map of a network with it is the slope of its logit along the features."""
    graph = head("relu", "flatten", "linear", name, "linear", "sigmoid")
    session = session_of(graph)
    attribution = LayerGradientXActivation(session)
    features = np.random.default_rng(1).random((1, 4 * 4 * 6))
    gradient = attribution._gradient(features)

    def logit(x: np.ndarray) -> float:
        for node in attribution._nodes:
            x = evaluate_one(session, node.name, x)
        return float(x.sum())

    step = 1e-5 * np.random.default_rng(2).normal(size=features.shape)
    change = logit(features + step) - logit(features - step)
    assert change == pytest.approx(2 * float((gradient * step).sum()), rel=1e-3, abs=1e-12)
