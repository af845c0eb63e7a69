"""Activations in training steps on a CPU, by own kernels (`elementwise.c`).

PyTorch computes Mish and its gradient value by value where maps lie channels last, and Pish in four
operations. Here each is one pass, in float32 whatever is given; what comes out is rounded once.

Without GCC 12 or Clang and on other devices PyTorch's own operations are taken.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from minimeso.engine.native import available_isas
from tools.activations import Pish
from tools.train.c_kernels import Kernels, load
from tools.train.fused import ACTIVATIONS
from tools.train.threads import of_each

SOURCE = Path(__file__).with_name("elementwise.c")
MODULES = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.SiLU: "swish",
    nn.Mish: "mish",
    Pish: "pish",
}
_OF_TYPE = """
void activation_{0}(int activation, size_t count, float slope, const {1} *x, {1} *y);
void activation_gradient_{0}(int activation, size_t count, float slope, const {1} *x,
                             const {1} *g, {1} *of_x);
"""
_DEFINITIONS = _OF_TYPE.format("float", "float") + _OF_TYPE.format("bf16", "uint16_t")
_TYPES = {torch.float32: ("float", "float *"), torch.bfloat16: ("bf16", "uint16_t *")}
_AT_ONCE = 1 << 16  # values, for a thread


@lru_cache(1)
def kernels() -> Kernels | None:
    """None where there is no compiler for them, which is told once."""
    flags = ("-mavx2", "-mfma") if "avx2" in available_isas() else ()
    return load(SOURCE, _DEFINITIONS, flags)


def activation(module: nn.Module, x: Tensor) -> Tensor:
    """What a module of `MODULES` gives, of any shape, in the type of `x`: float32 or bfloat16."""
    if x.device.type != "cpu" or x.dtype not in _TYPES or kernels() is None:
        y: Tensor = type(module).forward(module, x.float())
        return y
    kind = ACTIVATIONS.index(MODULES[type(module)])
    return cast(Tensor, _Activation.apply(x, kind, getattr(module, "negative_slope", 0.0)))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: int, slope: float) -> Tensor:
        if not _is_dense(x):
            x = x.contiguous()
        ctx.save_for_backward(x)
        ctx.given = kind, slope
        y = torch.empty_like(x)
        _each("activation", ctx.given, x, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        gradient = gradient.to(x.dtype)
        if gradient.stride() != x.stride():  # the same place of every value
            gradient = torch.empty_like(x).copy_(gradient)
        of_x = torch.empty_like(x)
        _each("activation_gradient", ctx.given, x, gradient, of_x)
        return of_x, None, None


def _is_dense(x: Tensor) -> bool:
    """Whether all values lie in one row of memory, in whatever order."""
    return x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last))


def _each(name: str, given: tuple[int, float], *arrays: Tensor) -> None:
    (kind, pointer), count = _TYPES[arrays[0].dtype], arrays[0].numel()
    found = kernels()
    assert found is not None  # `activation` asked
    function = getattr(found.library, f"{name}_{kind}")
    starts = [found.pointer(pointer, array) for array in arrays]

    def some(part: int) -> None:
        first = part * _AT_ONCE
        function(given[0], min(_AT_ONCE, count - first), given[1], *(at + first for at in starts))

    of_each(-(-count // _AT_ONCE), some)
