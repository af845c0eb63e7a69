"""What takes a CPU longest in training steps of EfficientNet-Lite, by own kernels (`depthwise.c`).

Depthwise convolutions, and batch norm with the ReLU6 behind it, channels last, in bfloat16 or
float32. oneDNN has no bfloat16 kernels for the gradients of strides and of 5x5 windows, and PyTorch
reads and writes every plane for batch norm, ReLU6 and padding anew.
`python -m tools.bench.steps --network efficientnet_lite0` measures it.

The same whatever the number of threads. Without GCC 12 or Clang, on other devices and for other
shapes PyTorch's own operations are taken.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from minimeso.engine.native import available_isas
from tools.train.c_kernels import Kernels, load
from tools.train.threads import of_each

SOURCE = Path(__file__).with_name("depthwise.c")
_LANES = 16
_OF_TYPE = """
void depthwise_{0}(const shape *s, const {1} *x, const float *w, {1} *y);
void depthwise_of_x_{0}(const shape *s, const {1} *g, const float *w, {1} *of_x);
void depthwise_of_w_{0}(const shape *s, const {1} *x, const {1} *g, float *of_w);
void norm_sums_{0}(size_t places, size_t channels, const {1} *x, double *totals);
void norm_{0}(size_t places, size_t channels, int relu6, const {1} *x, const float *lines, {1} *y);
void norm_gradient_sums_{0}(size_t places, size_t channels, int relu6, const {1} *x, const {1} *g,
                            const float *lines, double *totals);
void norm_gradient_{0}(size_t places, size_t channels, int relu6, const {1} *x, const {1} *g,
                       const float *lines, {1} *of_x);
"""
_DEFINITIONS = (
    """
typedef struct {
    int height, width, channels, kernel, stride, top, left, out_height, out_width;
} shape;
"""
    + _OF_TYPE.format("float", "float")
    + _OF_TYPE.format("bf16", "uint16_t")
)
_TYPES = {torch.float32: ("float", "float *"), torch.bfloat16: ("bf16", "uint16_t *")}


@lru_cache(1)
def kernels() -> Kernels | None:
    """None where there is no compiler for them, which is told once."""
    isas = available_isas()
    flags = ["-mavx2", "-mfma"] if "avx2" in isas else []
    if "avx512" in isas:
        flags += ["-mavx512f", "-mavx512bw", "-mavx512vl"]
    return load(SOURCE, _DEFINITIONS, flags)


def fits(x: Tensor) -> bool:
    """Whether a batch of planes can be computed here."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.dtype not in _TYPES:
        return False
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # PyTorch's is bare
        return False
    return x.ndim == 4 and x.numel() > 0 and x.shape[1] % _LANES == 0 and kernels() is not None


# --- depthwise convolutions -------------------------------------------------------------------


def convolution(module: nn.Conv2d, x: Tensor) -> Tensor:
    """What a depthwise convolution without bias gives, also one of the package
    `efficientnet_lite_pytorch`, which has its padding beside it: (N, C, H, W) -> (N, C, H', W')."""
    padding = _padding(module)
    kernel, stride = module.kernel_size[0], module.stride[0]
    if torch.is_autocast_enabled("cpu"):
        x = x.to(torch.get_autocast_dtype("cpu"))
    known = kernel in (3, 5) and stride in (1, 2) and set(module.dilation) == {1}
    if not (known and fits(x) and min(x.shape[2:]) >= kernel):
        padded = padding(x)
        return functional.conv2d(padded, module.weight, None, module.stride, 0, 1, module.groups)
    left, right, top, bottom = getattr(padding, "padding", (0, 0, 0, 0))
    edges = (top, left, top + bottom, left + right)
    return cast(Tensor, _Depthwise.apply(x, module.weight, stride, edges))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`


def _padding(module: nn.Conv2d) -> nn.Module:
    beside = getattr(module, "static_padding", None)
    if isinstance(beside, nn.Module):
        return beside
    assert module.padding_mode == "zeros" and module.bias is None
    rows, columns = cast(tuple[int, int], module.padding)
    return nn.ZeroPad2d((columns, columns, rows, rows))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, edges: tuple[int, int, int, int]
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        top, left, rows, columns = edges
        n, c, h, w = x.shape
        kernel = weight.shape[-1]
        out = (h + rows - kernel) // stride + 1, (w + columns - kernel) // stride + 1
        ctx.shape = (h, w, c, kernel, stride, top, left, *out)
        ctx.save_for_backward(x, weight)
        y = torch.empty((n, c, *out), dtype=x.dtype, memory_format=torch.channels_last)
        _convolve("depthwise", ctx.shape, x, _taps(weight), y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        h, w, c, kernel, stride, top, left, *out = ctx.shape
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = torch.empty_like(x)
            if stride == 1:  # the same with the kernel turned round
                turned = (*out, c, kernel, 1, kernel - 1 - top, kernel - 1 - left, h, w)
                _convolve("depthwise", turned, gradient, _taps(weight.flip(2, 3)), of_x)
            else:
                _convolve("depthwise_of_x", ctx.shape, gradient, _taps(weight), of_x)
        if ctx.needs_input_grad[1]:
            found = torch.zeros(len(x), kernel * kernel, c)
            given, name = _kernels().ffi.new("shape *", ctx.shape), _TYPES[x.dtype]
            function = getattr(_kernels().library, f"depthwise_of_w_{name[0]}")
            of_each(
                len(x),
                lambda one: function(
                    *(given, _pointer(name[1], x[one]), _pointer(name[1], gradient[one])),
                    _pointer("float *", found[one]),
                ),
            )
            of_weight = found.sum(0).t().reshape(weight.shape).to(weight.dtype)
        return of_x, of_weight, None, None


def _taps(weight: Tensor) -> Tensor:
    """(C, 1, k, k) as (k * k, C), float32."""
    return weight.float().flatten(1).t().contiguous()


def _convolve(name: str, shape: tuple[int, ...], x: Tensor, taps: Tensor, y: Tensor) -> None:
    kind, kind_of_pointer = _TYPES[x.dtype]
    function = getattr(_kernels().library, f"{name}_{kind}")
    given = _kernels().ffi.new("shape *", shape)
    of_each(
        len(x),
        lambda one: function(
            *(given, _pointer(kind_of_pointer, x[one]), _pointer("float *", taps)),
            _pointer(kind_of_pointer, y[one]),
        ),
    )


# --- batch norm -------------------------------------------------------------------------------


def norm(module: nn.BatchNorm2d, x: Tensor, relu6: bool) -> Tensor:
    """Batch norm, then ReLU6 if `relu6`: (N, C, H, W) -> the same."""
    if not fits(x):
        y: Tensor = module(x)
        return functional.relu6(y) if relu6 else y
    return cast(Tensor, _Norm.apply(x, module.weight, module.bias, module, relu6))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, module: nn.BatchNorm2d, relu6: bool
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        mean, inverse = _statistics(module, x)
        lines = torch.stack([mean, weight * inverse, bias])
        y = torch.empty_like(x)
        _each("norm", x, int(relu6), x, lines, y)
        ctx.save_for_backward(x, lines, inverse)
        ctx.relu6, ctx.of_batch = int(relu6), module.training
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, lines, inverse = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        totals = torch.zeros(len(x), 2, x.shape[1], dtype=torch.float64)
        _each("norm_gradient_sums", x, ctx.relu6, x, gradient, lines, totals)
        of_bias, with_x = totals.sum(0)
        of_weight = with_x * inverse
        # x's: weight / deviation (g - mean(g) - normalized x mean(g normalized x)), where mean and
        # deviation are the batch's
        share = -lines[1] / (x.numel() // x.shape[1]) if ctx.of_batch else torch.zeros(1)
        further = torch.stack([share * of_weight * inverse, share * of_bias]).float()
        of_x = torch.empty_like(x)
        _each("norm_gradient", x, ctx.relu6, x, gradient, torch.cat([lines, further]), of_x)
        return of_x, of_weight.float(), of_bias.float(), None, None


def _statistics(module: nn.BatchNorm2d, x: Tensor) -> tuple[Tensor, Tensor]:
    """Means and inverse deviations, of the batch in training; then the running ones follow it."""
    assert module.running_mean is not None and module.running_var is not None
    if not module.training:
        return module.running_mean, (module.running_var + module.eps).rsqrt()
    assert module.num_batches_tracked is not None and module.momentum is not None
    totals = torch.zeros(len(x), 2, x.shape[1], dtype=torch.float64)
    _each("norm_sums", x, x, totals)
    count = x.numel() // x.shape[1]
    total, squares = totals.sum(0)
    mean = total / count
    variance = (squares / count - mean * mean).clamp_min(0)
    module.num_batches_tracked += 1
    module.running_mean.lerp_(mean.float(), module.momentum)
    unbiased = variance * (count / max(count - 1, 1))
    module.running_var.lerp_(unbiased.float(), module.momentum)
    return mean.float(), (variance + module.eps).rsqrt().float()


def _each(name: str, like: Tensor, *given: Tensor | int) -> None:
    """Calls a kernel for each picture of a batch; tensors without its length are for all."""
    kind, of_values = _TYPES[like.dtype]
    function = getattr(_kernels().library, f"{name}_{kind}")
    places, channels = like.shape[2] * like.shape[3], like.shape[1]

    def pointer(part: Tensor | int, one: int) -> Any:
        if isinstance(part, int):
            return part
        if part.dtype == torch.float64:
            return _pointer("double *", part[one])
        return _pointer(of_values, part[one]) if part.ndim == 4 else _pointer("float *", part)

    def call(one: int) -> None:
        function(places, channels, *(pointer(part, one) for part in given))

    of_each(len(like), call)


def _kernels() -> Kernels:
    found = kernels()
    assert found is not None  # `fits` said so
    return found


def _pointer(kind: str, of: Tensor) -> Any:
    return _kernels().pointer(kind, of)
