"""Networks trained side by side, as one network, are what they would be alone."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from tools.train import networks  # noqa: E402
from tools.train.side_by_side import SideBySide  # noqa: E402


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_side_by_side_is_as_alone(architecture: str) -> None:
    """Logits, gradients and statistics, in float64, two steps; dropout is the same for all."""
    torch.manual_seed(0)
    order = ("original", "swish", "relu", "relu", "mish", "pish", "leaky_relu")
    beside = [networks.build(architecture, name).double() for name in order]
    alone = copy.deepcopy(beside)
    together = SideBySide(beside)
    x = torch.rand(3, 3, 256, 256, dtype=torch.double)
    for step in range(2):
        torch.manual_seed(step)
        logits = together(x)
        assert logits.shape == (3, len(order))
        for network in beside:
            network.zero_grad()
        logits.pow(2).sum().backward()
        for number, (network, same) in enumerate(zip(beside, alone, strict=True)):
            torch.manual_seed(step)
            logit = same.train()(x)[:, 0]
            same.zero_grad()
            logit.pow(2).sum().backward()
            torch.testing.assert_close(logits[:, number], logit)
            for (name, value), other in zip(
                network.named_parameters(), same.parameters(), strict=True
            ):
                torch.testing.assert_close(value.grad, other.grad, msg=lambda m, n=name: f"{n} {m}")
            for (name, value), other in zip(network.named_buffers(), same.buffers(), strict=True):
                torch.testing.assert_close(value, other, msg=lambda m, n=name: f"{n} {m}")
