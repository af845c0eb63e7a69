"""Draws a report of `tools.bench`: a panel for each network, number of threads and batch size.

A row is an activation, a dot the median of an engine in milliseconds of one image, on a logarithmic
axis, so that equal distances are equal ratios. Ours are filled, an engine whose result is inexact
is a cross, and one that is wrong is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS = ("#b3261e", "#d96f32", "#e9b44c")
PEERS = {
    "torch": ("#6b7280", "o"),
    "torch-channels-last": ("#6b7280", "s"),
    "torch-compile": ("#6b7280", "^"),
    "onnxruntime": ("#2563eb", "o"),
    "openvino": ("#0891b2", "s"),
    "ncnn": ("#16a34a", "^"),
    "mnn": ("#7c3aed", "D"),
    "litert": ("#111827", "v"),
}
PANEL = 4.2, 2.6  # inches
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the chart to a file whose suffix says the format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    cells = report["cells"]
    networks = list(dict.fromkeys(cell["network"] for cell in cells))
    settings = list(dict.fromkeys((cell["threads"], cell["batch"]) for cell in cells))
    activations = list(dict.fromkeys(cell["activation"] for cell in cells))
    figure, grid = pyplot.subplots(
        len(networks), len(settings), sharex="row", sharey=True, squeeze=False,
        figsize=(PANEL[0] * len(settings), PANEL[1] * len(networks) + 1), layout="constrained",
    )  # fmt: skip
    handles: dict[str, Any] = {}
    for row, network in enumerate(networks):
        for column, (threads, batch) in enumerate(settings):
            axes = grid[row][column]
            for cell in cells:
                if (cell["network"], cell["threads"], cell["batch"]) == (network, threads, batch):
                    dots = _dots(axes, cell, activations.index(cell["activation"]))
                    exact = {n for n in dots if cell["engines"][n].get("verdict") != "inexact"}
                    handles |= {n: dots[n] for n in dots if n in exact or n not in handles}
            axes.set_title(f"{network}: {_plural(threads, 'thread')}, {_plural(batch, 'image')}")
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(TICKS))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.set_yticks(range(len(activations)), activations)
            axes.set_ylim(len(activations) - 0.5, -0.5)
            axes.grid(axis="x", color="#e5e7eb")
            axes.set_axisbelow(True)
            for side in ("top", "right", "left"):
                axes.spines[side].set_visible(False)
            axes.tick_params(length=0)
    for axes in grid[-1]:
        axes.set_xlabel("milliseconds of one image (logarithmic)")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(f"Time of a forward pass, float32, on {report['machine']['name']}")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _dots(axes: Any, cell: dict[str, Any], y: int) -> dict[str, Any]:
    handles = {}
    ours = 0
    for name, values in cell["engines"].items():
        x = values["median_ms"]
        if name in PEERS:
            if values.get("verdict") == "wrong":
                continue
            color, marker = PEERS[name]
            style = {"facecolors": "none", "edgecolors": color, "linewidths": 1.2}
            if values.get("verdict") == "inexact":
                marker, style = "x", {"color": color}
            dots = axes.scatter(x, y, s=26, marker=marker, **style)
        else:
            color = OURS[min(ours, len(OURS) - 1)]
            ours += 1
            dots = axes.scatter(x, y, s=60, color=color, zorder=3)
        handles[name] = dots
    return handles


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
