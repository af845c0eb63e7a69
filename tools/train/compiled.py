"""What takes a CPU longest in training steps in bfloat16, as kernels that `torch.compile` makes.

A step of MesoInception-4 takes 9.4 instead of 12.1 ms a face with Leaky ReLU, 10.8 instead of 23.4
with Mish and 12.5 instead of 19.9 with Pish (`python -m tools.bench.steps`, PyTorch 2.13, a Zen 4
core). The whole network compiled takes 20: its loops over 1 to 16 channels are slow.
So rows of a picture are taken with their channels as one long row wherever that is possible.

Sums and gradients are computed in float32 and rounded once. Without a C++ compiler, in other
precisions and on other devices PyTorch's own operations are taken.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from tools import activations

_Kernel: TypeAlias = Callable[..., Any]


#: Faces in a batch; for fewer it takes longer to make the kernels than they save.
WORTH_IT = 16


def applies(module: nn.Module, x: Tensor) -> bool:
    """Whether a module in training, given a batch, should take the kernels of this module."""
    wanted = module.training and x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return wanted and len(x) >= WORTH_IT and can_compile()


def compiled(function: _Kernel, dynamic: bool = False) -> _Kernel:
    """A kernel for each shape it meets, or one for all; made when first called."""

    @lru_cache(1)
    def kernel() -> _Kernel:
        return torch.compile(function, dynamic=dynamic)

    def call(*arguments: Any) -> Any:
        return kernel()(*arguments)

    return call


def _activation(function: _Kernel) -> _Kernel:
    return compiled(function, dynamic=True)


@lru_cache(1)
def can_compile() -> bool:
    """Whether `torch.compile` works here; if not, that is told once."""
    try:
        with warnings.catch_warnings():
            # PyTorch's own, of its own compiler, while that is imported
            warnings.simplefilter("ignore", DeprecationWarning)
            import torch._dynamo  # slow

            # One for each block of a network, whole batches and the rest of an epoch.
            torch._dynamo.config.recompile_limit = 64
            compiled(lambda x: x + 1)(torch.zeros(32))
    except Exception as error:  # torch._dynamo and its compilers have dozens of them
        reason = str(error).strip().split("\n", 1)[0][:200]
        print(f"torch.compile does not work here ({reason}): slower steps", file=sys.stderr)
        return False
    return True


def _values(x: Tensor) -> Tensor:
    """All values in a row, as they lie in memory: channels last where there are any."""
    return x.permute(0, 2, 3, 1).reshape(-1) if x.ndim == 4 else x.reshape(-1)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """`_values` turned back."""
    if x.ndim != 4:
        return values.view(x.shape)
    n, c, h, w = x.shape
    return values.view(n, h, w, c).permute(0, 3, 1, 2)


class Mish(nn.Mish):
    """`nn.Mish`, cheap in such steps."""

    def forward(self, x: Tensor) -> Tensor:
        if applies(self, x):
            return cast(Tensor, _Mish.apply(x))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`
        return super().forward(x)


class Pish(activations.Pish):
    """Its own module, cheap in such steps."""

    def forward(self, x: Tensor) -> Tensor:
        if applies(self, x):
            return cast(Tensor, _Pish.apply(x))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`
        return super().forward(x)


class _Activation(torch.autograd.Function):
    """Of the forward pass only x is kept."""

    values: _Kernel
    gradients: _Kernel

    @classmethod
    def forward(cls, ctx: Any, x: Tensor) -> Tensor:
        x = x.detach()  # the compiler looks for gradients of what it is given
        ctx.save_for_backward(x)
        return _like(cls.values(_values(x)), x)

    @classmethod
    def backward(cls, ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return _like(cls.gradients(_values(gradient), _values(x)), x)


@_activation
def _mish(x: Tensor) -> Tensor:
    """With s = sigmoid(x): e^x = s / (1 - s), so tanh(softplus(x)) = u / (2 - u), u = s (2 - s)."""
    v = x.float()
    s = torch.sigmoid(v)
    u = s * (2 - s)
    return (v * u / (2 - u)).to(x.dtype)


@_activation
def _mish_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """With q = 1 - s: t + x s (1 - t^2), t = (1 - q^2) / (1 + q^2); no large numbers cancel."""
    v = x.float()
    q = torch.sigmoid(-v)
    r = q * q
    d = 1 + r
    slope = (1 - r) / d + 4 * v * (1 - q) * r / (d * d)
    return (gradient.float() * slope).to(x.dtype)


def _gate(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """softplus(v) + sigmoid(v), its arctangent, and sigmoid(v), to 2e-5: bfloat16 keeps 4e-3.

    Logarithm and arctangent are polynomials of Abramowitz & Stegun 1964, 4.1.43 and 4.4.49.
    """
    e = torch.exp(-v.abs())
    r = 1 / (1 + e)
    s = torch.where(v > 0, r, e * r)
    log = e * (
        0.99949556 + e * (-0.49190896 + e * (0.28947478 + e * (-0.13606275 + e * 0.03215845)))
    )
    i = torch.where(v > 0, v, 0.0) + log + s
    a = torch.where(i > 1, 1 / i, i)
    z = a * a
    t = a * (0.9998660 + z * (-0.3302995 + z * (0.1801410 + z * (-0.0851330 + z * 0.0208351))))
    return i, torch.where(i > 1, math.pi / 2 - t, t), s


@_activation
def _pish(x: Tensor) -> Tensor:
    v = x.float()
    return (v * _gate(v)[1]).to(x.dtype)


@_activation
def _pish_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    v = x.float()
    i, t, s = _gate(v)
    return (gradient.float() * (t + v * s * (2 - s) / (1 + i * i))).to(x.dtype)


class _Mish(_Activation):
    values, gradients = staticmethod(_mish), staticmethod(_mish_gradient)


class _Pish(_Activation):
    values, gradients = staticmethod(_pish), staticmethod(_pish_gradient)


def norm_and_pool(x: Tensor, norm: nn.BatchNorm2d, size: int) -> Tensor:
    """`norm`, in training, and then the largest of every `size` x `size` values; what `applies` to.

    (N, C, H, W) -> (N, C, H / size, W / size), bfloat16, channels last.
    """
    assert norm.num_batches_tracked is not None  # it keeps statistics
    norm.num_batches_tracked += 1
    given = (norm.running_mean, norm.running_var, norm.momentum, norm.eps, size)
    return cast(Tensor, _NormAndPool.apply(x, norm.weight, norm.bias, *given))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`


class _NormAndPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
        size: int,
    ) -> Tensor:
        x, weight, bias = (given.detach() for given in (x, weight, bias))
        x = x.contiguous(memory_format=torch.channels_last)
        n, c, h, w = x.shape
        count = n * h * w
        rows = x.permute(0, 2, 3, 1).reshape(n * h, w * c)
        total, squares = (part.view(w, c).double().sum(0) for part in _sums(rows))
        mean = total / count
        variance = (squares / count - mean * mean).clamp_min(0)
        running_mean.lerp_(mean.float(), momentum)
        running_var.lerp_((variance * (count / (count - 1))).float(), momentum)
        inverse, mean = (variance + eps).rsqrt().float(), mean.float()
        scale = weight * inverse
        y, which = _pooled(_windows(x, size), scale, bias - mean * scale, size)
        ctx.save_for_backward(x, weight, mean, inverse, which)
        ctx.size = size
        pooled: Tensor = y.view(n, h // size, w // size, c).permute(0, 3, 1, 2)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, which = ctx.saved_tensors
        size = ctx.size
        n, c, h, w = x.shape
        windows = _windows(x, size)
        gradient = gradient.permute(0, 2, 3, 1).reshape(n * h // size, w // size, c)
        of_bias, with_x = (part.sum(0) for part in _gradient_sums(gradient, windows, which, size))
        of_weight = (with_x - mean * of_bias) * inverse
        # x's: weight / deviation (g - mean(g) - normalized x mean(g normalized x)), of the pool's g
        scale = weight * inverse
        slope = -scale * of_weight * inverse / (n * h * w)
        constant = -scale * of_bias / (n * h * w) - slope * mean
        places = torch.arange(size * size, dtype=torch.float32).view(1, size, 1, size, 1)
        of_x = _gradient(gradient, windows, which, places, scale, slope, constant)
        of_x = of_x.view(n, h, w, c).permute(0, 3, 1, 2)
        return of_x, of_weight, of_bias, None, None, None, None, None


def _windows(x: Tensor, size: int) -> Tensor:
    """(N H / size, size, W / size, size, C) of channels last, no copy."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n * h // size, size, w // size, size, c)


@compiled
def _sums(rows: Tensor) -> tuple[Tensor, Tensor]:
    v = rows.float()
    return v.sum(0), (v * v).sum(0)


@compiled
def _pooled(windows: Tensor, scale: Tensor, shift: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The largest of each window, and which it is, row by row; the first of equal ones. Both in
    bfloat16: masks of bytes make the kernel four times slower."""
    largest = windows[:, 0, :, 0].float() * scale + shift
    which = torch.zeros_like(largest)
    for place in range(1, size * size):
        v = windows[:, place // size, :, place % size].float() * scale + shift
        which = torch.where(v > largest, float(place), which)
        largest = torch.maximum(largest, v)
    return largest.to(windows.dtype), which.to(windows.dtype)


@compiled
def _gradient_sums(
    gradient: Tensor, windows: Tensor, which: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Of the gradient, and of the gradient times that x which was the largest: (W / size, C)."""
    g = gradient.float()
    x = windows[:, 0, :, 0].float()
    for place in range(1, size * size):
        here = windows[:, place // size, :, place % size].float()
        x = torch.where(which.float() == float(place), here, x)
    return g.sum(0), (g * x).sum(0)


@compiled
def _gradient(
    gradient: Tensor,
    windows: Tensor,
    which: Tensor,
    places: Tensor,
    scale: Tensor,
    slope: Tensor,
    constant: Tensor,
) -> Tensor:
    g = (gradient.float() * scale)[:, None, :, None, :]
    pooled = torch.where(which.float()[:, None, :, None, :] == places, g, 0.0)
    return (pooled + windows.float() * slope + constant).to(windows.dtype)
