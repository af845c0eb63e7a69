"""Makes csrc/coefficients.h: the approximations inside activations (needs NumPy and SciPy).

    python -m tools.bench.coefficients > csrc/coefficients.h

All fits are in float64 on Chebyshev points, reweighted (Lawson) towards the smallest largest error,
which stands beside each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial import Polynomial
from scipy.special import log_ndtr, ndtr

Array = npt.NDArray[np.float64]
_ITERATIONS = 80
#: Rows of the table of Pish (a power of two), and which of them stands for x = 0.
PISH_ROWS, PISH_ZERO = 512, 152
#: Polynomials of an approximation: as many as a vector register of AVX2 holds.
PIECES = 8


def chebyshev(low: float, high: float, count: int) -> Array:
    """``count`` Chebyshev points of [low, high]."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    return np.asarray((low + high) / 2 - (high - low) / 2 * np.cos(angle))


def fit(x: Array, y: Array, degree: int, importance: Array) -> tuple[Array, float]:
    """Coefficients, constant term first, of the polynomial nearest to y(x), and its largest error
    times ``importance``."""
    powers = np.vander(x, degree + 1, increasing=True)
    weight: Array = np.ones_like(x)
    coefficients: Array = np.zeros(degree + 1)
    error: Array = np.zeros_like(x)
    for _ in range(_ITERATIONS):
        scale: Array = weight * importance
        solution = np.linalg.lstsq(powers * scale[:, None], y * scale, rcond=None)[0]
        coefficients = np.asarray(solution, np.float64)
        error = np.abs(powers @ coefficients - y) * importance
        weight = weight * np.sqrt(error / error.max() + 1e-6)
        weight /= weight.max()
    return coefficients, float(error.max())


def exp_fraction() -> tuple[Array, float]:
    """c0, c1 of A = c0 + c1 r^2 so that exp(r) = (A + r) / (A - r), |r| <= ln 2 / 2, and the
    relative error of that: an error of A counts 2 r / A^2 times."""
    r = chebyshev(1e-3, np.log(2) / 2, 400)
    return fit(r * r, r / np.tanh(r / 2), 1, r / 2)


def pish(x: Array) -> Array:
    """x arctan(softplus(x) + sigmoid(x))"""
    return np.asarray(x * np.arctan(np.logaddexp(0, x) + 1 / (1 + np.exp(-x))))


def pish_table() -> tuple[Array, float]:
    """(PISH_ROWS, 4): cubics in t for Pish(c + t), |t| <= 1/16, c = (row - PISH_ZERO) / 8."""
    t = chebyshev(-1 / 16, 1 / 16, 40)
    rows, worst = [], 0.0
    for row in range(PISH_ROWS):
        centre = (row - PISH_ZERO) / 8
        if row == PISH_ZERO:  # f(0) = 0 exactly
            slopes, error = fit(t, pish(t) / t, 2, np.abs(t))
            coefficients = np.concatenate([[0.0], slopes])
        else:
            coefficients, error = fit(t, pish(centre + t), 3, np.ones_like(t))
        rows.append(coefficients)
        worst = max(worst, error)
    return np.array(rows), worst


def pish_near() -> tuple[Array, float]:
    """(9, PIECES): Pish(c + t), |t| <= 3/4, for the multiples c = 3 n / 2 from n = -3 to 4,
    constant terms first; that around c stands at the remainder of n."""
    t = chebyshev(-3 / 4, 3 / 4, 200)
    columns, worst = np.zeros((9, PIECES)), 0.0
    for n in range(-3, 5):
        if n == 0:  # f(0) = 0 exactly
            columns[1:, 0], error = fit(t, pish(t) / t, 7, np.abs(t))
        else:
            columns[:, n % PIECES], error = fit(t, pish(1.5 * n + t), 8, np.ones_like(t))
        worst = max(worst, error)
    return columns, worst


class Pieces(NamedTuple):
    """Polynomials in t = x + ``shift``, each for the t around a multiple of ``step``.

    Attributes:
        low, high: the x where the first piece begins and the last one ends.
        step: width of a piece.
        shift: from x to t.
        columns: (degree + 1, PIECES), constant terms first; the piece around n step stands at the
            remainder of n.
        error: the largest one from ``low`` to ``high``.
    """

    low: float
    high: float
    step: float
    shift: float
    columns: Array
    error: float


def pieces(
    f: Callable[[Array], Array], first: int, step: float, shift: float, degree: int
) -> Pieces:
    """Of a function that goes to 0 beyond the left end, or, if ``first`` is 0 and all x are
    positive, beyond the right one.  There it is led half the way to 0, where x beyond is held."""
    columns, worst = np.zeros((degree + 1, PIECES)), 0.0
    inside = 0.5 - 1e-5  # so that no rounding leads from an end to a stranger
    ends = (np.array([first - inside, first + PIECES - 1 + inside]) * step - shift).tolist()
    vanishing = np.array([ends[first == 0]])
    for n in range(first, first + PIECES):
        low = (n - 0.5) * step if first or n else 0.0
        x = chebyshev(low, (n + 0.5) * step, 60) - shift
        led = f(vanishing) / 2 * np.maximum(1 - np.abs(x - vanishing) / step, 0)
        t = x + shift - n * step
        local, _ = fit(t, f(x) - led, degree, np.ones_like(x))
        columns[:, n % PIECES] = Polynomial(local)(Polynomial([-n * step, 1])).coef
        worst = max(worst, float(np.abs(Polynomial(local)(t) - f(x)).max()))
    return Pieces(ends[0], ends[1], step, shift, columns, worst)


def swish_rest(t: Array) -> Array:
    """max(x, 0) - Swish(x) at t = |x|"""
    return np.asarray(t / (1 + np.exp(t)))


def mish(x: Array) -> Array:
    """x tanh(softplus(x))"""
    return np.asarray(x * np.tanh(np.logaddexp(0, x)))


#: What ``pieces`` is told of each.
APPROXIMATIONS: dict[str, tuple[Callable[[Array], Array], int, float, float, int]] = {
    "swish": (swish_rest, 0, 1.4, 0.0, 3),
    "mish": (mish, -4, 2.2, 1.6, 5),
    "pish": (pish, -5, 2.1, 0.0, 5),
}


def gelu_tail() -> tuple[Array, float]:
    """c0 .. c7 so that the tail of the normal distribution, Q(t) = 1 - Phi(t), is
    exp(-ln 2 + t (c0 + c1 t + ...)), 0 <= t <= 6, and the error of t Q(t)."""
    t = chebyshev(1e-6, 6.0, 1500)
    return fit(t, (log_ndtr(-t) + np.log(2)) / t, 7, t * t * ndtr(-t))


def log1p_ratio() -> tuple[Array, float]:
    """c0 .. c4 so that log(1 + a / b) = s (c0 + c1 s^2 + ...), s = a / (a + 2 b), 0 <= a <= b, and
    the relative error of that."""
    s = chebyshev(1e-4, 1 / 3, 400)
    ratio = 2 * np.arctanh(s) / s
    return fit(s * s, ratio, 4, 1 / ratio)


def _numbers(values: Array) -> str:
    return ", ".join(map(_number, values))


def _number(value: float) -> str:
    v = float(np.float32(value))
    return f"{v:.9g}f" if v % 1 else f"{v:.1f}f"


def main() -> None:
    """Print the header."""
    c, exp_error = exp_fraction()
    table, pish_error = pish_table()
    print("/* coefficients.h - made by `python -m tools.bench.coefficients`; do not edit.")
    print("   Long because it is a table. */")
    print("#ifndef MINIMESO_COEFFICIENTS_H\n#define MINIMESO_COEFFICIENTS_H")
    print(
        f"/* exp(r) = (A + r) / (A - r), A = c0 + c1 r^2; largest relative error {exp_error:.1e} */"
    )
    print(f"static const float MM_EXP_FRACTION[] = {{{_numbers(c)}}};")
    tail, tail_error = gelu_tail()
    print("/* the tail of the normal distribution at t: exp(-ln 2 + t (c0 + c1 t + ...)), t <= 6;")
    print(f"   largest error, times t, {tail_error:.1e} */")
    print("static const float MM_NORMAL_TAIL[] = {")
    print(f"    {_numbers(tail[:4])},\n    {_numbers(tail[4:])},\n}};")
    ratio, ratio_error = log1p_ratio()
    print("/* log(1 + a / b) = s (c0 + c1 s^2 + ...), s = a / (a + 2 b), a <= b;")
    print(f"   largest relative error {ratio_error:.1e} */")
    print(f"static const float MM_LOG1P[] = {{{_numbers(ratio)}}};")
    print(f"/* cubics for Pish around (row - MM_PISH_ZERO) / 8; largest error {pish_error:.1e} */")
    print(f"#define MM_PISH_ROWS {PISH_ROWS}\n#define MM_PISH_ZERO {PISH_ZERO}")
    print("static const float MM_PISH_TABLE[4 * MM_PISH_ROWS] = {")
    for row in table:
        print(f"    {_numbers(row)},")
    print("};")
    near, near_error = pish_near()
    print("/* Pish around multiples n of 1.5:")
    print(f"   [power][n modulo {PIECES}]; largest error {near_error:.1e} */")
    print(f"static const float MM_PISH_NEAR[{len(near)}][{PIECES}] = {{")
    _print_columns(near)
    for name, arguments in APPROXIMATIONS.items():
        _print_pieces(name, pieces(*arguments))
    print("#endif")


def _print_pieces(name: str, found: Pieces) -> None:
    print(f"/* {name} by polynomials in t = x + {found.shift:g}, around multiples n of")
    print(f"   {found.step:g}: [power][n modulo {PIECES}]; largest error {found.error:.1e} */")
    name = f"MM_{name.upper()}_PIECES"
    for what in ("low", "high", "step", "shift"):
        print(f"#define {name}_{what.upper()} {_number(getattr(found, what))}")
    print(f"static const float {name}[{len(found.columns)}][{PIECES}] = {{")
    _print_columns(found.columns)


def _print_columns(columns: Array) -> None:
    for column in columns:
        print(f"    {{{_numbers(column[:4])},\n     {_numbers(column[4:])}}},")
    print("};")


if __name__ == "__main__":
    main()
