"""The kernels of training steps in bfloat16 give what PyTorch's own operations give."""

import os
import shutil

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from tools import activations  # noqa: E402
from tools.train import compiled, networks  # noqa: E402

UNIT = 2.0**-8  # half a unit in the last place of bfloat16, relative to the value
MODULES = {
    "mish": (compiled.Mish, nn.Mish),
    "pish": (compiled.Pish, activations.Pish),
}


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    if not shutil.which(os.environ.get("CXX", "g++")):  # as torch.compile looks for one
        pytest.skip("no C++ compiler on the path")
    assert compiled.can_compile()


def _planes(*shape: int) -> Tensor:
    return torch.randn(*shape).bfloat16().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("scale", [0.3, 3.0, 40.0])
def test_activations_as_in_float64(name: str, scale: float) -> None:
    torch.manual_seed(0)
    x = scale * _planes(16, 11, 16, 16)
    gradient = torch.randn_like(x)
    ours, own = (module() for module in MODULES[name])
    cheap, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    y = ours(cheap)
    y.backward(gradient)
    truth = own(exact)
    truth.backward(gradient.double())
    assert cheap.grad is not None and exact.grad is not None
    assert y.dtype == cheap.grad.dtype == torch.bfloat16
    # Pish's polynomials are relative to a logarithm or an arctangent that nears 0: 5e-4 each.
    bound = (1 if name == "mish" else 1.5) * UNIT
    assert ((y.double() - truth).abs() <= bound * truth.abs() + 1e-30).all()
    error = (cheap.grad.double() - exact.grad).abs()
    assert (error <= bound * (exact.grad.abs() + 0.05 * gradient.double().abs())).all()


@pytest.mark.parametrize("name", MODULES)
def test_rows_as_planes(name: str) -> None:
    x = torch.randn(16, 16).bfloat16()
    module = MODULES[name][0]()
    planes = x[:, :, None, None].contiguous(memory_format=torch.channels_last)
    assert torch.equal(module(x), module(planes)[:, :, 0, 0])


@pytest.mark.parametrize("name", MODULES)
def test_else_activations_are_pytorchs_own(name: str) -> None:
    x = torch.randn(100)
    ours, own = (module() for module in MODULES[name])
    assert torch.equal(ours.eval()(x.bfloat16()), own(x.bfloat16()))
    assert torch.equal(ours.train()(x), own(x))  # float32
    few = x[: compiled.WORTH_IT - 1].bfloat16()
    assert torch.equal(ours(few), own(few))


@pytest.mark.parametrize(("channels", "size"), [(11, 2), (16, 4)])
def test_norm_and_pool_as_in_float64(channels: int, size: int) -> None:
    torch.manual_seed(0)
    x = (2 * _planes(3, channels, 16, 24) + 1).requires_grad_()
    gradient = torch.randn(3, channels, 16 // size, 24 // size).bfloat16()
    norm, exact = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels).double()
    nn.init.normal_(norm.weight)  # of either sign: the largest may have been the smallest
    nn.init.normal_(norm.bias)
    exact.load_state_dict(norm.state_dict())
    y = compiled.norm_and_pool(x, norm, size)
    y.backward(gradient)
    of_x = x.detach().double().requires_grad_()
    truth = nn.functional.max_pool2d(exact(of_x), size)
    truth.backward(gradient.double())
    assert x.grad is not None and of_x.grad is not None
    torch.testing.assert_close(y.double(), truth, rtol=1.01 * UNIT, atol=1e-6)
    # The largest must be the same one: else a gradient is somewhere else.
    torch.testing.assert_close(x.grad.double(), of_x.grad, rtol=1.01 * UNIT, atol=1e-5)
    for mine, its in zip(norm.parameters(), exact.parameters(), strict=True):
        assert mine.grad is not None and its.grad is not None
        torch.testing.assert_close(mine.grad.double(), its.grad, rtol=1e-5, atol=1e-4)
    for name, buffer in exact.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name).to(buffer), buffer, rtol=1e-5, atol=1e-6)


def test_of_equal_values_the_first_gets_the_gradient() -> None:
    x = torch.ones(1, 11, 4, 4).bfloat16().contiguous(memory_format=torch.channels_last)
    x[0, :, 3, 3] = 2  # else there is no deviation
    x.requires_grad_()
    norm = nn.BatchNorm2d(11)
    compiled.norm_and_pool(x, norm, 2)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    others = x.grad[:, :, 0, 1]
    assert (x.grad[:, :, 0, 0] > others).all()
    assert torch.equal(x.grad[:, :, 1, 0], others)


@pytest.mark.parametrize("activation", ["leaky_relu", "pish"])
def test_a_network_steps_as_with_pytorchs_operations(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gradients are no further from those in float32: bfloat16 is coarse either way."""
    torch.manual_seed(0)
    network = networks.build("mesoinception4", activation, dropout=0.0).train()
    x = torch.rand(16, 3, 256, 256).bfloat16().contiguous(memory_format=torch.channels_last)

    def gradients(precision: torch.dtype) -> Tensor:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logit = network(x.to(precision))
        torch.sigmoid(logit.float()).square().mean().backward()
        grads = [p.grad for p in network.parameters() if p.ndim > 1 and p.grad is not None]
        return torch.cat([grad.flatten() for grad in grads])

    exact, ours = gradients(torch.float32), gradients(torch.bfloat16)
    monkeypatch.setattr(compiled, "applies", lambda *_: False)
    own = gradients(torch.bfloat16)
    assert not torch.equal(ours, own)  # else nothing was tried
    assert (ours - exact).norm() <= 1.2 * (own - exact).norm()


def test_without_a_compiler_pytorchs_operations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nand much more")

    compiled.can_compile.cache_clear()
    monkeypatch.setattr(compiled, "compiled", refuse)
    try:
        assert not compiled.applies(nn.Identity().train(), torch.zeros(16).bfloat16())
        assert not compiled.can_compile()
    finally:
        compiled.can_compile.cache_clear()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no C++ compiler" in error  # told once
