"""Programs of PyTorch that say more than they seem to: computed so, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.cli import main
from minimeso.convert import convert_file, convert_module
from minimeso.errors import ConvertError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812


def converted(function: Callable[..., Any], example: Any) -> tuple[Any, Any]:
    """The model, and the module that it was."""

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("counts", torch.tensor([1, 2, 3, 4]))
            self.register_buffer("bytes", torch.tensor([3, 5, 7, 250]).byte())
            self.register_buffer("square", torch.randn(4, 4))

        def forward(self, x: Any) -> Any:
            return function(self, x)

    module = Module().eval()
    return convert_module(module, (example,)), module


def check(function: Callable[..., Any], example: Any) -> None:
    """What PyTorch computes."""
    model, module = converted(function, example)
    given = example.numpy()
    if given.dtype == np.uint8:
        given = given.transpose(0, 2, 3, 1)
    found = Session(model, threads=1).run(np.ascontiguousarray(given))
    wanted = module(example.clone()).numpy()
    np.testing.assert_allclose(found.reshape(-1), wanted.reshape(-1), rtol=1e-5, atol=1e-6)


# --- types and axes -------------------------------------------------------------------------


def centred(_: Any, x: Any) -> Any:
    x = x - x.mean(1, keepdim=True)
    return (1 / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-5)) * x


EQUAL: dict[str, Callable[..., Any]] = {
    "more zeros than half of a window": lambda m, x: F.avg_pool2d(F.pad(x, (2, 2, 2, 2)), 3, 1),
    "zeros, and rounded up": lambda m, x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, 2, 0, True),
    "a constant of integers": lambda m, x: x * m.counts.float()[:, None, None],
    "integers like others": lambda m, x: (
        x * (torch.full_like(m.counts, 2.7) + m.counts.new_full((4,), 1.9) / 3)[:, None, None]
    ),
    "bytes that go round": lambda m, x: x * (m.bytes**2 / 7 + m.bytes.square())[:, None, None],
    "roots and the like of bytes": lambda m, x: (
        x * (m.bytes.sqrt() + m.bytes.log() / m.bytes.rsqrt())[:, None, None]
        + (m.bytes.reciprocal() * (m.bytes[:3].exp() / 7).sum() + m.bytes.tanh())[:, None, None]
        + (m.bytes[:2] / m.bytes[1:3]).sum().sigmoid()
    ),
    "the last lines": lambda m, x: x.narrow(2, -2, 2).narrow(-1, -3, 1),
    "so much of another": lambda m, x: torch.sub(torch.add(x, x.flip(3), alpha=2), -3, alpha=0.5),
    "so much of it": lambda m, x: torch.rsub(x, 3, alpha=0.5),
    "turned weights": lambda m, x: x * (m.square @ m.square.t() @ m.square.mT).mean(),
    "cut weights": lambda m, x: (
        x * m.square.chunk(3, 1)[1].sum() * m.square.split([1, 3])[1].narrow(1, -2, 2).mean()
        + m.square.unbind(1)[2].flip(0)[:, None, None] * m.square.split(3)[0].std()
    ),
    "repeated weights": lambda m, x: x * m.square.repeat(2, 1, 3)[1, 2, :4, None, None],
    "weights in another order": lambda m, x: F.conv2d(
        x, m.square[..., None, None].contiguous(memory_format=torch.channels_last).clone()
    ),
    "a product of weights": lambda m, x: x * m.square.mv(m.square[0]).dot(m.square.T[1]),
    "x / |x|, of two axes": lambda m, x: F.rms_norm(x, x.shape[2:], eps=1e-3),
    "x / |x|, written out": lambda m, x: (
        x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-5) * m.square[0, :, None, None]
    ),
    "a layer norm, written out": centred,
    "dropouts of SELU": lambda m, x: F.alpha_dropout(F.feature_alpha_dropout(x, 0.5, False), 0.5),
    "constants that forward makes": lambda m, x: (
        (x[:, torch.tensor([3, 1, 1])] - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1))
        * torch.tensor(2.0) / x.new_tensor([0.5, 4, 3])[:, None, None]
    ),
    "a copy that is changed": lambda m, x: x.clone().detach_().add_(1).type_as(x),
    "as another": lambda m, x: x - m.counts.bool().type_as(x)[:, None, None] * m.square.type_as(
        m.counts).sum(),
    "other names": lambda m, x: torch.concatenate([
        torch.true_divide(torch.multiply(x, x), 3).swapaxes(1, 2).moveaxis(2, 1),
        torch.subtract(torch.clip(x, 0.2, 0.7), torch.divide(x, m.square.swapdims(0, 1)[0, 1])),
        torch.negative(x).absolute().moveaxis((1, 2), (2, 1)).swapaxes(-3, -2),
    ], 1),
    "a window of all": lambda m, x: F.adaptive_max_pool1d(x.flatten(2), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_what_pytorch_computes(name: str) -> None:
    torch.manual_seed(0)  # of equals PyTorch's own norm is off by more than the bound now and then
    check(EQUAL[name], torch.rand(1, 4, 8, 8))
    check(EQUAL[name], torch.rand(1, 4, 7, 7))


def test_bytes() -> None:
    example = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    check(lambda m, x: x.float() / 255, example)
    with pytest.raises(ConvertError, match=r"'add' .add.Tensor.: computes with integers"):
        converted(lambda m, x: (x + 200).float(), example)  # of bytes 200 + 100 is 44


def test_an_instance_norm_by_stored_statistics() -> None:
    layer = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    layer(3 * torch.rand(2, 4, 8, 8) + 1)  # which is in training mode
    x = torch.rand(1, 4, 8, 8)
    found = Session(convert_module(layer.eval(), x), threads=1).run(x.numpy())
    np.testing.assert_allclose(found, layer(x).detach().numpy(), atol=1e-5)


def test_weights_divided_by_their_norm() -> None:
    layer = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 5, 3)).eval()
    x = torch.rand(1, 4, 8, 8)
    found = Session(convert_module(layer, x), threads=1).run(x.numpy())
    np.testing.assert_allclose(found, layer(x).detach().numpy(), atol=1e-5)


def test_what_is_not_worked_out_of_constants_is_told() -> None:
    with pytest.raises(ConvertError, match=r"erf.* is a constant, .* store its result"):
        converted(lambda m, x: x * m.square.erf()[0, 0], torch.rand(1, 4, 8, 8))


HALVES: dict[str, Callable[..., Any]] = {
    "a cast": lambda m, x, kind: x * m.numbers.to(kind).float(),
    "a cast by copying": lambda m, x, kind: (
        x * torch.ops.aten._to_copy(m.numbers, dtype=kind).float()
    ),
    "arithmetic": lambda m, x, kind: x * (m.numbers.to(kind) * m.numbers.to(kind) / 3).float(),
    "a sum": lambda m, x, kind: x * m.numbers.to(kind).sum().float(),
}  # fmt: skip


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", HALVES)
def test_constants_of_16_bits_are_rounded_as_in_the_source(
    name: str, kind: Any, tmp_path: Path
) -> None:
    """Also in the reference, which computes all else in float64."""

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("numbers", torch.randn(4, 1, 1))

        def forward(self, x: Any) -> Any:
            return HALVES[name](self, x, kind)

    module, x = Module().eval(), torch.rand(1, 4, 8, 8)
    path, target, reference = (str(tmp_path / n) for n in ("m.pt2", "m.npz", "r.npz"))
    torch.export.save(torch.export.export(module, (x,)), path)
    found = Session(convert_file(path), threads=1).run(x.numpy())
    np.testing.assert_allclose(found, module(x).float().numpy(), rtol=1e-6)
    assert main(["convert", path, target, "--reference", reference]) == 0
    assert main(["verify", target, reference]) == 0


def test_constants_of_integers_stay_whole_in_a_reference(tmp_path: Path) -> None:
    class Module(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:, (torch.arange(3, dtype=torch.float32) + 0.7).to(torch.int64)]

    path, target, reference = (str(tmp_path / n) for n in ("m.pt2", "m.npz", "r.npz"))
    torch.export.save(torch.export.export(Module().eval(), (torch.rand(1, 4, 8, 8),)), path)
    assert main(["convert", path, target, "--reference", reference]) == 0
    assert main(["verify", target, reference]) == 0


LAST: dict[str, Callable[..., Any]] = {
    "turned": lambda m, x: x.permute(0, 3, 1, 2).float(),
    "moved": lambda m, x: torch.movedim(x.float(), -1, 1),
    "behind a preparation": lambda m, x: ((x.float() - 3) / m.counts[:3]).permute(0, 3, 1, 2) + 1,
}


@pytest.mark.parametrize("name", LAST)
def test_channels_last(name: str, tmp_path: Path) -> None:
    """The picture is (3, H, W) here, and its bytes are (H, W, 3), as those of every picture."""
    for example in (torch.rand(1, 8, 6, 3), torch.randint(0, 256, (1, 8, 6, 3)).byte()):
        model, module = converted(LAST[name], example)
        assert model.graph.inputs == {"x": (3, 8, 6)}
        given = example.numpy()
        given = given if given.dtype == np.uint8 else given.transpose(0, 3, 1, 2)
        found = Session(model, threads=1).run(np.ascontiguousarray(given))
        np.testing.assert_allclose(found, module(example).numpy(), rtol=1e-5, atol=1e-6)
    path, target, reference = (str(tmp_path / n) for n in ("m.pt2", "m.npz", "r.npz"))
    torch.export.save(torch.export.export(module, (example,)), path)
    assert main(["convert", path, target, "--reference", reference]) == 0
    assert main(["verify", target, reference]) == 0


def test_the_end_of_a_long_axis() -> None:
    """Longer than any side of a picture."""
    with pytest.raises(ConvertError, match="'end' must lie in"):  # not cut off at 1 << 20
        converted(lambda m, x: F.pad(x.flatten(1), (-1, 0)), torch.zeros(1, 2, 1024, 1024))


def test_a_batch_of_any_size_is_not_mixed() -> None:
    class Centred(nn.Module):
        def forward(self, x: Any) -> Any:
            return x - x.mean(0)

    sizes = ({0: torch.export.Dim("batch")},)
    with pytest.raises(ConvertError, match=r"'mean' .mean.dim.: works along the batch"):
        convert_module(Centred().eval(), (torch.rand(2, 4, 8, 8),), dynamic_shapes=sizes)
    assert convert_module(Centred().eval(), (torch.rand(1, 4, 8, 8),)).graph.nodes


def test_one_value_that_is_returned_twice() -> None:
    class Twice(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x.relu()
            return y, y, x.tanh(), x, x

    x = torch.randn(1, 4, 8, 8)
    model = convert_module(Twice().eval(), (x,))
    found = Session(model, threads=1).run(x.numpy())
    assert list(found) == list(model.graph.outputs)
    for one, wanted in zip(found.values(), Twice()(x), strict=True):
        np.testing.assert_allclose(one, wanted.numpy(), rtol=1e-6)


REFUSED: dict[str, tuple[Callable[..., Any], tuple[int, ...], str]] = {
    "a root of another": (
        lambda m, x: x.flip(3) * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1),
        (1, 4, 8, 8),
        "'rsqrt': sqrt is known in a layer norm",
    ),
    "1 / x": (lambda m, x: 1 / (x + 1), (1, 4, 8, 8), "reciprocal is known in a layer norm"),
    "2 / x": (lambda m, x: m.counts[1].float() / (x + 1), (1, 4, 8, 8), "divided by a value"),
    "as integers": (lambda m, x: x.type_as(m.counts) / 2, (1, 4, 8, 8), "type_as.*with integers"),
    "softplus that ends early": (lambda m, x: F.softplus(x, 1, 0.1), (1, 4, 8, 8), "a threshold"),
    "a window without a batch": (lambda m, x: F.max_pool2d(x, 3, 1, 1), (1, 8, 8), "in a batch"),
    "a mean without a batch": (lambda m, x: F.adaptive_avg_pool2d(x, 1), (1, 8, 8), "in a batch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_same_is_refused(name: str) -> None:
    function, shape, message = REFUSED[name]
    with pytest.raises(ConvertError, match=message):
        converted(function, torch.rand(shape))


SECONDS: dict[str, Callable[..., Any]] = {
    "where the largest of a window stand": lambda m, x: F.max_pool2d(x, 2, return_indices=True),
    "of which a map is made again": lambda m, x: F.max_unpool2d(
        *F.max_pool2d(x, 2, return_indices=True), 2
    ),
    "where the largest of an axis stand": lambda m, x: tuple(x.max(1)),
    "where the smallest of an axis stand": lambda m, x: x.min(1).indices / 2.0,
}


@pytest.mark.parametrize("name", SECONDS)
def test_a_second_result_that_is_used_is_named(name: str) -> None:
    """It was said not to depend on the picture, or to be computed nowhere."""
    with pytest.raises(ConvertError, match=r"'(max|min).*: its second result is used; known is"):
        converted(SECONDS[name], torch.rand(1, 4, 6, 6))


def test_an_output_that_was_changed_in_place_is_verified_as_it_is(tmp_path: Path) -> None:
    """The reference had it as it was before."""

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 5)  # of columns: its result is turned to be returned

        def forward(self, x: Any) -> Any:
            y = self.linear(x)
            y.detach().relu_()
            y[:, :].add_(1)
            return y

    source, model, reference = (tmp_path / n for n in ("in_place.pt2", "model.npz", "r.npz"))
    torch.export.save(torch.export.export(InPlace().eval(), (torch.rand(1, 3, 8, 8),)), source)
    assert main(["convert", str(source), str(model), "--reference", str(reference)]) == 0
    assert main(["verify", str(model), str(reference)]) == 0
