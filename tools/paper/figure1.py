"""Figure 1: Pish and its derivative, each from three sources that must agree.

The function: minimeso's engine (float32), the paper's formula as printed, PyTorch's module of our
training. The derivative: difference quotients of minimeso's definition (what the engine is checked
against), the paper's formula as printed, PyTorch's autograd of our module. All but the engine in
float64. Nothing here depends on the budget.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize

from tools.paper import figures_of_paper as paper
from tools.paper import pages, results
from tools.paper.intervals import Array
from tools.paper.results import Options, Runs

NAME = "figure1"
X = np.arange(-8 * 32, 8 * 32 + 1) / 32
STEP = 1e-5  # of the difference quotients
FAR = 1e9  # as good as infinity for the slope
CURVES = (
    "pish_minimeso",
    "pish_printed",
    "pish_pytorch",
    "derivative_minimeso",
    "derivative_printed",
    "derivative_autograd",
)
#: Key of a figure: what it is, and what the paper or its formula says.
FIGURES: dict[str, tuple[str, float]] = {
    "pish_minimeso_off": ("Pish: minimeso's engine against the printed formula, at most", 0),
    "pish_pytorch_off": ("Pish: our PyTorch module against it, at most", 0),
    "derivative_minimeso_off": ("Derivative: difference quotients against the printed one", 0),
    "derivative_autograd_off": ("Derivative: autograd against the printed one, at most", 0),
    "derivative_printed_at_0": ("The printed derivative at 0", paper.PISH_DERIVATIVE_AT_0),
    "derivative_autograd_at_0": ("Autograd at 0", paper.PISH_DERIVATIVE_AT_0),
    "least_at": ("Pish is least at", paper.PISH_LEAST_AT),
    "least": ("and is there", paper.PISH_LEAST),
    "slope": ("Pish(x) / x of the engine at x = 1e9 (pi / 2)", paper.PISH_SLOPE),
}


def printed_pish(x: Array) -> Array:
    """x arctan(softplus(x) + sigmoid(x)), as printed."""
    return np.asarray(x * np.arctan(np.log(1 + np.exp(x)) + 1 / (1 + np.exp(-x))))


def printed_derivative(x: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """As printed: x (e^x / (e^x + 1)^2 + sigmoid(x)) / ((softplus(x) + sigmoid(x))^2 + 1)
    + arctan(softplus(x) + sigmoid(x)). Of the type of x."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(x)
        sigmoid = 1 / (1 + np.exp(-x))
        inner = np.log(1 + e) + sigmoid
        return np.asarray(x * (e / (e + 1) ** 2 + sigmoid) / (inner**2 + 1) + np.arctan(inner))


def engine_pish(x: Array) -> Array:
    """The engine's, in float32."""
    import minimeso

    graph = minimeso.Graph("pish")
    graph.output(graph.node("pish", graph.input("x", (1, 1, None))))
    values = minimeso.Session(graph, {}).run(x.astype(np.float32).reshape(1, 1, 1, -1))
    return values.reshape(-1).astype(np.float64)


def module_pish(x: Array) -> tuple[Array, Array]:
    """The module that we train with, and what autograd makes of it."""
    import torch

    from tools.train import networks

    points = torch.tensor(x, requires_grad=True)
    y = networks.activation_module("pish")(points)
    (gradient,) = torch.autograd.grad(y.sum(), points)
    return y.detach().numpy(), gradient.numpy()


def run(options: Options) -> None:
    """Draws the curves and measures them, if that was not done yet."""
    from minimeso.engine.operators.activations import pish

    folder = options.folder(NAME)
    # what the budget is does not matter, so it is no setting: whatever is there is the figure
    runs = Runs(folder, {}, ("points",))
    for (points,) in runs.left([{"points": len(X)}]):
        start = time.perf_counter()
        module, autograd = module_pish(X)
        quotients = (pish(X + STEP) - pish(X - STEP)) / (2 * STEP)
        curves = (
            *(engine_pish(X), printed_pish(X), module),
            *(quotients, printed_derivative(X), autograd),
        )
        named = dict(zip(CURVES, curves, strict=True))
        table = [
            {"x": f"{x:g}"} | {name: f"{values[i]:.17g}" for name, values in named.items()}
            for i, x in enumerate(X)
        ]
        results.write_table(folder / "curves.csv", table)
        figures = _figures(named) | {"seconds": time.perf_counter() - start}
        runs.add(points, {"budget": options.budget} | figures)


def _figures(curves: Mapping[str, NDArray[np.floating[Any]]]) -> dict[str, object]:
    from minimeso.engine.operators.activations import pish

    def off(name: str) -> float:
        printed = curves[f"{name.split('_')[0]}_printed"]
        return float(np.abs(curves[name] - printed).max())

    zero = int(np.flatnonzero(X == 0)[0])
    least = optimize.minimize_scalar(lambda x: float(pish(np.array(x))), (-2, -1), tol=1e-9)
    wide = np.arange(0, 200, 0.01).astype(np.float32)
    finite = np.isfinite(printed_derivative(wide))
    figures: dict[str, float] = {
        **{f"{n}_off": off(n) for n in CURVES if not n.endswith("printed")},
        "derivative_printed_at_0": float(curves["derivative_printed"][zero]),
        "derivative_autograd_at_0": float(curves["derivative_autograd"][zero]),
        "least_at": float(least.x),
        "least": float(least.fun),
        "slope": float(engine_pish(np.array([FAR]))[0] / FAR),
        "printed_float32_nan_from": float(wide[~finite].min()),
        "autograd_at_1000": float(module_pish(np.array([1000.0]))[1][0]),
    }
    return {name: f"{value:.9g}" for name, value in figures.items()}


def render(folder: Path) -> None:
    """`figure1.csv`, `.md` and `.png` of `runs.csv` and `curves.csv`."""
    row = results.read_table(folder / "runs.csv").iloc[-1]
    results.write_table(
        folder / f"{NAME}.csv",
        [
            {"figure": what, "found": row[key], "wanted": f"{wanted:.9g}"}
            for key, (what, wanted) in FIGURES.items()
        ],
    )
    pages.write_page(folder / f"{NAME}.md", page(row))
    _draw(results.read_table(folder / "curves.csv"), folder / f"{NAME}.png")


def page(row: Mapping[str, str]) -> Iterator[str]:
    """The Markdown file, paragraph by paragraph."""
    yield "# Figure 1: Pish and its derivative"
    yield f"![Pish and its derivative: ours lie on the printed ones]({NAME}.png)"
    yield f"Made by `python -m tools.paper {NAME}`."
    lines = []
    for key, (what, wanted) in FIGURES.items():
        found = float(row[key])
        texts = [f"{found:.1e}", ""] if wanted == 0 else [f"{found:.6f}", f"{wanted:.6f}"]
        lines.append([what, *texts])
    yield pages.markdown_table(["", "found", "paper"], lines)
    yield (
        f"Maxima are over {row['points']} points from {X[0]:g} to {X[-1]:g}. The engine computes in"
        " float32, the rest in float64; difference quotients are of minimeso's definition, with a"
        f" step of {STEP:g}. The paper prints formulas and a drawing: the figures in its column"
        " are those that its formulas give."
    )
    apart = float(row["derivative_autograd_off"])
    yield (
        f"The printed derivative {'is' if apart < 1e-9 else 'is NOT'} the derivative of the printed"
        f" function. Computed as printed in float32 it is NaN from x ="
        f" {float(row['printed_float32_nan_from']):.2f} on, where e^x overflows; autograd gives"
        f" {float(row['autograd_at_1000']):.6f} at 1,000."
    )


def _draw(curves: pd.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    curve = curves.astype(float)
    x = curve["x"]
    axes.plot(x, curve["pish_minimeso"], color="#b3261e", label="Pish, minimeso")
    axes.plot(x, curve["pish_printed"], "--", color="#2563eb", label="Pish, as printed")
    axes.plot(x, curve["derivative_autograd"], color="#e9b44c", label="derivative, autograd")
    axes.plot(x, curve["derivative_printed"], ":", color="#111827", label="derivative, as printed")
    axes.set_xlim(-6, 4)
    axes.set_ylim(-1, 4)
    axes.grid(color="#e5e7eb")
    axes.set_axisbelow(True)
    axes.set_xlabel("x")
    axes.legend(frameon=False)
    pages.save_figure(figure, path)
