"""The kernels of activations in training steps give what PyTorch gives in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
from support.compilers import need_vectors, run_sanitized  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from tools.train import elementwise, fused, networks  # noqa: E402

#: Of a value; of a gradient, of what came in, as slopes have zeros.
BOUNDS = {torch.float32: 3e-6, torch.bfloat16: 4.1e-3}  # half a step of bfloat16 is 2^-8


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    need_vectors()
    assert elementwise.kernels() is not None


def _pass(of: Any, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_()
    y = of(x)
    y.backward(gradient)
    assert x.grad is not None
    return y.detach(), x.grad


def _module(activation: str) -> nn.Module:
    return networks.activation_module(activation)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1,), (7,), (5, 13), (2, 5, 3, 7), (3, 16, 9, 8)])
def test_values_and_gradients(activation: str, dtype: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(len(shape))
    module = _module(activation)
    x, gradient = (4 * torch.randn(*shape).bfloat16().to(dtype) for _ in range(2))
    if len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)  # and the gradient is not
    found = _pass(lambda x: elementwise.activation(module, x), x, gradient)
    wanted = _pass(module, x.double(), gradient.double())
    for one, exact, least in zip(found, wanted, (x * 0, gradient), strict=True):
        assert one.dtype == dtype and one.shape == x.shape
        error = (one.double() - exact).abs() / (exact.abs() + least.double().abs() + 1e-2)
        assert error.max() <= BOUNDS[dtype]


@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
def test_memory_in_any_order(activation: str) -> None:
    torch.manual_seed(0)
    module, x = _module(activation), torch.randn(4, 6, 5, 8)
    wanted = _pass(lambda x: elementwise.activation(module, x), x, x)
    cuts: list[Any] = [lambda x: x.transpose(0, 3), lambda x: x[:, ::2], lambda x: x.mT]
    for cut in cuts:
        found = _pass(lambda x, cut=cut: elementwise.activation(module, cut(x)), x, cut(x))
        assert torch.equal(found[0], cut(wanted[0]))
        gradient = torch.zeros_like(x)
        cut(gradient)[:] = cut(wanted[1])
        assert torch.equal(found[1], gradient)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
def test_what_is_no_number_or_none_in_size(activation: str, dtype: Any) -> None:
    x = torch.tensor([torch.nan, -100.0, 100.0, 1e38, 0.0], dtype=dtype)
    y = elementwise.activation(_module(activation), x)
    wanted = _module(activation)(x.double())
    assert y[0].isnan() and torch.allclose(y[1:].double(), wanted[1:], 1e-2, 1e-30)
    assert elementwise.activation(_module(activation), x[:0]).shape == (0,)


def test_threads_change_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(3 * elementwise._AT_ONCE + 5)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(_pass(lambda x: elementwise.activation(nn.Mish(), x), x, x))
    torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


def test_without_a_compiler_and_in_other_types() -> None:
    x = torch.randn(9).bfloat16()
    with mock.patch.object(elementwise, "kernels", lambda: None):
        found = elementwise.activation(nn.Mish(), x)
    assert found.dtype == torch.float32 and torch.equal(found, nn.Mish()(x.float()))


def test_memory_is_never_left(tmp_path: Path) -> None:
    """Under AddressSanitizer and UndefinedBehaviorSanitizer."""
    source = Path(__file__).with_name("elementwise_counts.c")
    run_sanitized(source, elementwise.SOURCE.parent, tmp_path / "program")
