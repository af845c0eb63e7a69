"""The kernels of EfficientNet-Lite's training steps give what PyTorch gives in float64."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
from support.compilers import need_vectors, run_sanitized  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tools.train import depthwise  # noqa: E402

#: Of a tensor's largest value: rounding of what is given and of sums.
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    need_vectors()
    assert depthwise.kernels() is not None


def _close(found: Tensor, wanted: Tensor, dtype: Any) -> None:
    assert found.shape == wanted.shape
    error = (found.double() - wanted.double()).abs().max()
    assert error <= BOUNDS[dtype] * wanted.abs().max(), (error, wanted.abs().max())


def _planes(dtype: Any, *shape: int) -> Tensor:
    """Values that both types have."""
    x = torch.randn(*shape).bfloat16().to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def _convolution(channels: int, kernel: int, stride: int, padding: tuple[int, ...]) -> Any:
    module = nn.Conv2d(channels, channels, kernel, stride, groups=channels, bias=False)
    module.weight.data = module.weight.data.bfloat16().float()
    module.static_padding = nn.ZeroPad2d(padding) if padding else nn.Identity()
    return module


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(
    "stride, padding",
    [(1, (1, 1, 1, 1)), (1, (2, 2, 2, 2)), (1, ()), (2, (0, 1, 0, 1)), (2, (1, 2, 1, 2)), (2, ())],
)
@pytest.mark.parametrize("size", [(8, 8), (5, 31), (16, 17)])
def test_a_convolution(
    dtype: Any, kernel: int, stride: int, padding: tuple[int, ...], size: tuple[int, int]
) -> None:
    torch.manual_seed(kernel + stride)
    module = _convolution(48, kernel, stride, padding)
    x = _planes(dtype, 3, 48, *size).requires_grad_()
    exact = x.detach().double().requires_grad_()
    weight = module.weight.detach().double().requires_grad_()
    padded = functional.pad(exact, padding or (0, 0, 0, 0))
    wanted = functional.conv2d(padded, weight, None, stride, 0, 1, 48)
    found = depthwise.convolution(module, x)
    assert found.grad_fn.name() == "_DepthwiseBackward" and found.dtype == dtype
    gradient = _planes(dtype, *wanted.shape)
    found.backward(gradient)
    wanted.backward(gradient.double())
    for ours, its in ((found, wanted), (x.grad, exact.grad), (module.weight.grad, weight.grad)):
        assert ours is not None and its is not None
        _close(ours.detach(), its.detach(), dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("relu6", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(4, 16, 3, 5), (2, 144, 9, 8), (3, 240, 16, 16)])
def test_batch_norm(dtype: Any, relu6: bool, training: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = nn.BatchNorm2d(shape[1], momentum=0.01, eps=1e-3).train(training)
    for values in (module.weight, module.bias, module.running_mean):
        nn.init.normal_(values, std=2)
    nn.init.uniform_(module.running_var, 0.5, 2)
    twin = nn.BatchNorm2d(shape[1], momentum=0.01, eps=1e-3).double().train(training)
    twin.load_state_dict(module.state_dict())
    x = _planes(dtype, *shape).requires_grad_()
    exact = x.detach().double().requires_grad_()
    wanted = twin(exact)
    wanted = functional.relu6(wanted) if relu6 else wanted
    found = depthwise.norm(module, x, relu6)
    assert found.grad_fn.name() == "_NormBackward"
    gradient = _planes(dtype, *shape)
    # none where rounding decides whether ReLU6 lets it through
    clear = (exact.detach() * 0 + wanted.detach()).sub(3).abs().sub(3).abs() > 1e-4
    gradient = gradient * (clear | (not relu6))
    found.backward(gradient)
    wanted.backward(gradient.double())
    _close(found.detach(), wanted.detach(), dtype)
    _close(x.grad, exact.grad, dtype)
    for name, values in twin.named_parameters():
        _close(dict(module.named_parameters())[name].grad, values.grad, torch.float32)
    for name, values in twin.named_buffers():
        _close(dict(module.named_buffers())[name], values, torch.float32)


def test_the_same_bits_with_any_number_of_threads() -> None:
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.manual_seed(0)
        torch.set_num_threads(threads)
        try:
            module, norm = _convolution(32, 5, 2, (1, 2, 1, 2)), nn.BatchNorm2d(32)
            x = _planes(torch.float32, 5, 32, 16, 16).requires_grad_()
            y = depthwise.norm(norm, depthwise.convolution(module, x), relu6=True)
            y.square().sum().backward()
        finally:
            torch.set_num_threads(before)
        found.append([y, x.grad, module.weight.grad, norm.weight.grad, norm.running_var])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("channels, dtype", [(24, torch.float32), (32, torch.float64)])
def test_other_planes_by_pytorch(channels: int, dtype: Any) -> None:
    module, norm = _convolution(channels, 3, 1, (1, 1, 1, 1)), nn.BatchNorm2d(channels)
    x = torch.randn(2, channels, 8, 8, dtype=dtype)
    y = depthwise.norm(norm.to(dtype), depthwise.convolution(module.to(dtype), x), relu6=True)
    assert y.dtype == dtype and "Depthwise" not in y.grad_fn.name()


def test_a_step_of_the_network_as_without_kernels() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra 'teacher' is missing")
    from tools.train import teacher

    losses, gradients = [], []
    for kernels in (True, False):
        torch.manual_seed(0)
        network = teacher.Teacher("efficientnet_lite0").train()
        network.freeze(2)
        x = torch.rand(4, 3, 64, 64)
        fits = SimpleNamespace(yes=depthwise.fits, no=lambda _: False)
        with mock.patch.object(depthwise, "fits", fits.yes if kernels else fits.no):
            torch.manual_seed(1)  # of dropout and stochastic depth
            loss = network(x).square().mean()
        loss.backward()
        losses.append(loss.detach())
        gradients.append(network.body._blocks[5]._depthwise_conv.weight.grad)
        assert network.body._blocks[1]._depthwise_conv.weight.grad is None
    torch.testing.assert_close(*losses, rtol=1e-4, atol=0)
    ours, its = gradients
    assert (ours - its).norm() <= 0.02 * its.norm()  # PyTorch's own are off by as much


def test_nothing_is_touched_beside_the_arrays(tmp_path: Path) -> None:
    source = Path(__file__).with_name("depthwise_planes.c")
    run_sanitized(source, depthwise.SOURCE.parent, tmp_path / "program")
