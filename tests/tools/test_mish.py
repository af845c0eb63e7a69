"""Mish of training steps in bfloat16 is that of PyTorch, forward and backward."""

import pytest
import torch
from torch import nn

from tools.train.mish import Mish

# Half a unit of bfloat16 for each of s, 2 - s and u, doubled where u nears 1 (t = u / (2 - u)), and
# for 2 - u, the quotient and the product.
BOUND = (2 * 3 + 3) * 2.0**-9


@pytest.mark.parametrize("scale", [0.3, 3.0, 40.0])
def test_values_and_gradients_as_in_float64(scale: float) -> None:
    torch.manual_seed(0)
    x = (
        (scale * torch.randn(4, 11, 32, 32))
        .bfloat16()
        .contiguous(memory_format=torch.channels_last)
    )
    gradient = torch.randn_like(x)
    cheap, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    y = Mish()(cheap)
    y.backward(gradient)
    truth = nn.Mish()(exact)
    truth.backward(gradient.double())
    assert cheap.grad is not None and exact.grad is not None
    assert y.dtype == cheap.grad.dtype == torch.bfloat16
    assert ((y.double() - truth).abs() <= BOUND * truth.abs() + 1e-30).all()
    error = (cheap.grad.double() - exact.grad).abs()
    assert (error <= 2 * BOUND * gradient.double().abs()).all()  # two terms, each at most about 1


def test_else_it_is_pytorchs_own() -> None:
    x = torch.randn(100)
    assert torch.equal(Mish().eval()(x.bfloat16()), nn.Mish()(x.bfloat16()))
    assert torch.equal(Mish()(x), nn.Mish()(x))  # float32
