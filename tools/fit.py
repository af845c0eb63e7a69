"""Makes csrc/coefficients.h: the approximations inside Pish (needs only NumPy).

    python tools/fit.py > csrc/coefficients.h

log1p(e) = e A(e) / ((1 + e) B(e)) on (0, 1] by a rational fit, atan(t) = t P(t^2) on (0, 1] by a
polynomial; both in float64 on Chebyshev points, reweighted (Lawson) towards the minimax fit.
The largest error of each fit stands behind its name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_ITERATIONS = 80


def chebyshev(low: float, high: float, count: int) -> Array:
    """``count`` Chebyshev points of [low, high]."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    return np.asarray((low + high) / 2 - (high - low) / 2 * np.cos(angle))


def fit_rational(
    f: Callable[[Array], Array], degrees: tuple[int, int], low: float, high: float
) -> tuple[Array, Array, float]:
    """Numerator, denominator (constant term 1) and largest error of f on [low, high]."""
    x = chebyshev(low, high, 600)
    y = f(x)
    weight: Array = np.ones_like(x)
    denominator: Array = np.ones_like(x)
    numerator_powers = np.vander(x, degrees[0] + 1, increasing=True)
    denominator_powers = np.vander(x, degrees[1] + 1, increasing=True)[:, 1:]
    p: Array = np.zeros(0)
    q: Array = np.zeros(0)
    error: Array = np.zeros(0)
    for _ in range(_ITERATIONS):
        scale: Array = (
            weight / denominator
        )  # Sanathanan and Koerner: linearised around the last fit
        system = np.hstack([numerator_powers, -y[:, None] * denominator_powers])
        scaled = np.linalg.lstsq(system * scale[:, None], y * scale, rcond=None)[0]
        solution: Array = np.asarray(scaled, np.float64)
        p = solution[: degrees[0] + 1]
        q = np.concatenate([[1.0], solution[degrees[0] + 1 :]])
        denominator = _evaluate(q, x)
        error = np.abs(_evaluate(p, x) / denominator - y)
        weight = weight * np.sqrt(error / error.max() + 1e-6)
        weight /= weight.max()
    return p, q, float(error.max())


def _evaluate(coefficients: Array, x: Array) -> Array:
    """Polynomial with the constant term first."""
    powers = np.vander(x, len(coefficients), increasing=True)
    return np.asarray(powers @ coefficients, np.float64)


def _define(name: str, values: Array, error: float) -> str:
    rows = ", ".join(f"{np.float32(v):.9e}f" for v in values)
    return f"/* largest error {error:.1e} */\nstatic const float {name}[] = {{\n    {rows}}};"


def main() -> None:
    """Print the header."""
    a, b, log_error = fit_rational(lambda e: np.log1p(e) * (1 + e) / e, (3, 2), 1e-9, 1.0)
    p, _, atan_error = fit_rational(lambda s: np.arctan(np.sqrt(s)) / np.sqrt(s), (7, 0), 1e-12, 1)
    print("/* coefficients.h - made by `python tools/fit.py`; do not edit. */")
    print("#ifndef MINIMESO_COEFFICIENTS_H\n#define MINIMESO_COEFFICIENTS_H")
    print(_define("MM_LOG1P_A", a, log_error))
    print(_define("MM_LOG1P_B", b, log_error))
    print(_define("MM_ATAN", p, atan_error))
    print("#endif")


if __name__ == "__main__":
    main()
