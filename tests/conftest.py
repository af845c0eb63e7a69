"""What all tests share: sizes of the hypothesis search, random weights."""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import pytest

from minimeso.engine.graph import Graph, Weights
from minimeso.engine.native import available_isas

#: A busy machine is no fault of what is tested.
PATIENT = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("quick", max_examples=40, derandomize=True, **PATIENT)
hypothesis.settings.register_profile("long", max_examples=2000, **PATIENT)
hypothesis.settings.load_profile(os.environ.get("MINIMESO_HYPOTHESIS", "quick"))


@pytest.fixture(params=("scalar", "sse2", "avx2", "avx512", "neon"))
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set; those that this machine lacks are shown as skipped."""
    name: str = request.param
    if name not in available_isas():
        pytest.skip(f"{name} is not available here")
    return name


def random_weights(graph: Graph, rng: np.random.Generator) -> Weights:
    """Weights that keep values near 1, negative batch-norm scales and tiny variances among them."""
    weights: Weights = {}
    for name, shape in graph.parameters().items():
        parameter = name.rpartition(".")[2]
        if parameter == "running_var":
            values = np.exp(rng.uniform(-6, 1, shape))
        elif parameter == "weight" and len(shape) > 1:
            fan_in = int(np.prod(shape[1:]))
            values = rng.normal(0, (2 / fan_in) ** 0.5, shape)
        elif parameter == "weight":  # batch norm and PReLU
            values = rng.choice([1, 1, 1, -1], shape) * rng.uniform(0.1, 1.5, shape)
        else:
            values = rng.normal(0, 0.2, shape)
        weights[name] = values.astype(np.float32)
    return weights
