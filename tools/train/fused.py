"""Training steps of MesoInception-4 and Meso-4 in float32 on a CPU, by own kernels (`fused.c`).

PyTorch computes such convolutions of 1 to 16 channels many times slower than the CPU could, and
writes everything between two modules to memory. Here a block, from its convolution or Inception
module to its pool, is one function of each picture. `python -m tools.bench.steps` measures it.

What it computes is what the modules compute, to the rounding of float32, and the same whatever the
number of threads. Without GCC 12 or Clang, in other precisions, on other devices, for other
networks and where a network is traced or exported PyTorch's own operations are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from minimeso.engine.native import available_isas
from tools.train.c_kernels import Kernels, load
from tools.train.threads import of_each

SOURCE = Path(__file__).with_name("fused.c")
ACTIVATIONS = ("relu", "leaky_relu", "swish", "mish", "pish")
_LANES = 8
_LARGEST_POOL = 16  # which of its values was chosen is kept as a byte
_DEFINITIONS = """
typedef struct {
    int inputs, height, width, pool, activation;
    int branches;
    int kernel;
    int outputs[4];
    float slope;
} block;
size_t fused_scratch(const block *b);
void fused_forward(const block *b, const float *x, const float *w, const float *sign,
                   float *scratch, float *z, double *totals, float *pooled, uint8_t *which);
void fused_sums(const block *b, const float *g, const float *pooled, double *totals);
void fused_backward(const block *b, const float *x, const float *w, const float *z, const float *g,
                    const uint8_t *which, const float *scale, const float *lines, float *scratch,
                    float *of_w, float *of_x);
"""


class Block(NamedTuple):
    """What stands between two pools: convolutions with an activation, batch norm, and the pool.

    `convolutions`: one; or those of an Inception module: its four 1x1, then its three 3x3.
    """

    convolutions: Sequence[nn.Conv2d]
    activation: str
    slope: float
    norm: nn.BatchNorm2d
    pool: int


@lru_cache(1)
def kernels() -> Kernels | None:
    """None where there is no compiler for them, which is told once."""
    # The same lanes on every CPU that has them, so that sums are the same; of AVX-512 only twice as
    # many registers.
    isas = available_isas()
    flags = ["-mavx2", "-mfma"] if "avx2" in isas else []
    if "avx512" in isas:
        flags += ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
        flags += ["-mprefer-vector-width=256"]
    return load(SOURCE, _DEFINITIONS, flags)


_JUDGING: ContextVar[bool] = ContextVar("judging", default=False)


@contextlib.contextmanager
def judging() -> Iterator[None]:
    """In it networks that are not in training are computed here, too, where no gradient is wanted.

    Nowhere else: what tests and benchmarks compare with are PyTorch's operations.
    """
    token = _JUDGING.set(True)
    try:
        yield
    finally:
        _JUDGING.reset(token)


def applies(x: Tensor, block: Block) -> bool:
    """Whether `block` should be computed here for a batch: in training, or by `judging`."""
    if torch.compiler.is_compiling():
        return False
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # PyTorch's is bare
        return False
    arrays = (x, block.norm.weight, *(one.weight for one in block.convolutions))
    wanted = all(each.dtype == torch.float32 and each.device.type == "cpu" for each in arrays)
    if not wanted or torch.is_autocast_enabled("cpu") or block.activation not in ACTIVATIONS:
        return False
    if x.ndim != 4 or not x.numel() or block.pool > _LARGEST_POOL:
        return False
    height, width = x.shape[2:]
    fits = height % block.pool == 0 and width % block.pool == 0 and width % _LANES == 0
    asked = block.norm.training or (_JUDGING.get() and not torch.is_grad_enabled())
    return fits and asked and kernels() is not None


def run(x: Tensor, block: Block) -> Tensor:
    """The block: (N, C, H, W) -> (N, outputs, H / pool, W / pool)."""
    pairs = [(one.weight, _bias(one)) for one in block.convolutions]
    if len(pairs) > 1:  # all 1x1 as one
        together = zip(*pairs[:4], strict=True)
        weight, bias = (torch.cat(parts) for parts in together)
        pairs = [(weight, bias), *pairs[4:]]
    weights = torch.cat([part.flatten() for pair in pairs for part in pair])
    given = (x, weights, block.norm.weight, block.norm.bias, block, torch.is_grad_enabled())
    return cast(Tensor, _Block.apply(*given))  # type: ignore[no-untyped-call]  # PyTorch does not type `apply`


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: Tensor, gamma: Tensor, beta: Tensor, block: Block, keeps: bool
    ) -> Tensor:
        """`keeps`: whether gradients may be wanted."""
        x, weights = x.contiguous(), weights.contiguous()
        n, _, h, w = x.shape
        z = x.new_empty(n if keeps else torch.get_num_threads(), len(gamma), h, w)
        totals = x.new_empty(n, len(gamma), 2, dtype=torch.float64)
        raw = x.new_empty(n, len(gamma), h // block.pool, w // block.pool)
        which = x.new_empty(raw.shape, dtype=torch.uint8)
        given = _given(x, block)

        def forward(one: int, thread: int, scratch: Any) -> None:
            _kernels().library.fused_forward(
                *(given, _floats(x[one]), _floats(weights), _floats(gamma), scratch),
                *(_floats(z[one if keeps else thread]), _pointer("double *", totals[one])),
                *(_floats(raw[one]), _pointer("uint8_t *", which[one])),
            )

        _of_each(n, given, forward)
        mean, inverse = _statistics(block.norm, totals.sum(0), n * h * w)
        scale = gamma * inverse
        ctx.save_for_backward(x, weights, z, raw, which, mean, inverse, scale)
        ctx.given = given
        return raw * scale.view(-1, 1, 1) + (beta - mean * scale).view(-1, 1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, z, raw, which, mean, inverse, scale = ctx.saved_tensors
        given = ctx.given
        gradient = gradient.contiguous()
        n, _, h, w = x.shape
        totals = x.new_empty(*gradient.shape[:2], 2, dtype=torch.float64)
        for one in range(n):
            _kernels().library.fused_sums(
                *(given, _floats(gradient[one]), _floats(raw[one])),
                _pointer("double *", totals[one]),
            )
        of_beta, with_x = totals.sum(0).unbind(1)
        of_gamma = ((with_x - mean * of_beta) * inverse).float()
        of_beta = of_beta.float()
        # x's: gamma / deviation (g - mean(g) - normalized x mean(g normalized x)), of the pool's g
        slope = -scale * of_gamma * inverse / (n * h * w)
        lines = torch.stack([-scale * of_beta / (n * h * w) - slope * mean, slope], 1).contiguous()
        of_weights = x.new_empty(n, len(weights))
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None

        def backward(one: int, _thread: int, scratch: Any) -> None:
            _kernels().library.fused_backward(
                *(given, _floats(x[one]), _floats(weights), _floats(z[one])),
                *(_floats(gradient[one]), _pointer("uint8_t *", which[one]), _floats(scale)),
                *(_floats(lines), scratch, _floats(of_weights[one])),
                _kernels().ffi.NULL if of_x is None else _floats(of_x[one]),
            )

        _of_each(n, given, backward)
        return of_x, of_weights.sum(0), of_gamma, of_beta, None, None


def _statistics(norm: nn.BatchNorm2d, totals: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Means and inverse deviations, of the batch in training; then the running ones follow it."""
    assert norm.running_mean is not None and norm.running_var is not None
    if not norm.training:
        return norm.running_mean, (norm.running_var + norm.eps).rsqrt()
    assert norm.num_batches_tracked is not None and norm.momentum is not None
    total, squares = totals.unbind(1)
    mean = total / count
    variance = (squares / count - mean * mean).clamp_min(0)
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean.float(), norm.momentum)
    norm.running_var.lerp_((variance * (count / max(count - 1, 1))).float(), norm.momentum)
    return mean.float(), (variance + norm.eps).rsqrt().float()


def _bias(of: nn.Conv2d) -> Tensor:
    assert of.bias is not None
    return of.bias


def _given(x: Tensor, block: Block) -> Any:
    _, inputs, height, width = x.shape
    branches = len(block.convolutions) - 4 if len(block.convolutions) > 1 else 0
    ours = block.convolutions[: max(1, branches + 1)]
    return _kernels().ffi.new(
        "block *",
        {
            "inputs": inputs,
            "height": height,
            "width": width,
            "pool": block.pool,
            "activation": ACTIVATIONS.index(block.activation),
            "branches": branches,
            "kernel": ours[0].kernel_size[0],
            "outputs": [one.out_channels for one in ours],
            "slope": block.slope,
        },
    )


def _of_each(count: int, given: Any, function: Callable[[int, int, Any], None]) -> None:
    """Calls `function` for each picture, with its thread and that one's scratch memory."""
    threads = min(torch.get_num_threads(), count)

    def some(first: int) -> None:
        # Not torch.zeros, which fails now and then where two threads of a fork call it first.
        scratch = _kernels().ffi.new("float[]", _kernels().library.fused_scratch(given))
        for one in range(first, count, threads):
            function(one, first, scratch)

    of_each(threads, some)


def _kernels() -> Kernels:
    found = kernels()
    assert found is not None  # `applies` said so
    return found


def _floats(of: Tensor) -> Any:
    return _pointer("float *", of)


def _pointer(kind: str, of: Tensor) -> Any:
    assert of.is_contiguous()
    return _kernels().pointer(kind, of)
