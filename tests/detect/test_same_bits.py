"""Nothing between the pixels and a verdict is left to NumPy's order of sums or to a C library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import minimeso.detect

ROOM = Path(minimeso.detect.__file__).parent
#: What C libraries round in their own ways; ``math.dist`` and ``hypot``: versions of Python.
FORBIDDEN = {
    "math": {
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "pow", "hypot", "dist", "cbrt"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "erf"),
        *("degrees", "radians", "gamma", "lgamma"),
    },
    "np": {
        *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "hypot", "logaddexp"),
        *("sin", "cos", "tan", "arctan", "arctan2", "tanh", "fft", "linalg", "einsum", "dot"),
        *("inner", "vdot", "matmul", "tensordot", "convolve", "correlate", "cov", "corrcoef"),
        *("sum", "mean", "average", "std", "var", "prod", "cumsum", "cumprod", "trapezoid"),
    },
}
REDUCTIONS = {"sum", "mean", "std", "var", "prod", "dot", "cumsum"}
#: Sums of whole numbers (or quarters) that float64 holds exactly.
EXACT = {
    "quality.py:luma: mean",
    "quality.py:_change: @",
    "appearance.py:appearance: mean",
    "glance.py:change: sum",
    "tracker.py:_view: mean",
}


def uses(tree: ast.AST, where: str = "") -> Iterator[str]:
    """``function: what`` for each forbidden thing."""
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef) else where
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield f"{inside}: @"
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            yield f"{inside}: **"
        elif isinstance(node, ast.Attribute):
            module = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in FORBIDDEN.get(module, REDUCTIONS):
                yield f"{inside}: {node.attr}"
        yield from uses(node, inside)


def test_nothing_is_left_to_others() -> None:
    found = {
        f"{path.name}:{use}"
        for path in ROOM.glob("*.py")
        for use in uses(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == EXACT


def test_it_would_be_seen() -> None:
    text = "def f(x):\n    return math.exp(1) + np.log(x) + (x @ x) + x.sum() + x**2 + math.fsum(x)"
    assert {*uses(ast.parse(text))} == {"f: exp", "f: log", "f: @", "f: sum", "f: **"}
