"""The page: one HTML file with the module in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from string import Template
from typing import Any

from minimeso import __version__
from minimeso.detect.pair import Pair, input_size
from minimeso.detect.thorough import WIDER
from minimeso.detect.track_score import MOST_LOGIT
from minimeso.engine import Model
from tools.errors import ToolError

from .module import FINDER_SIDE, HERE, build


def make_page(detector: Model | Pair, *, simd: bool = True) -> str:
    """The text of the page.

    Args:
        detector: a model or a pair.
        simd: as for ``module.build``.

    Raises:
        ToolError: as from ``module.build``; or faces are cut as the page cannot.
    """
    pair = detector if isinstance(detector, Pair) else None
    fast = pair.fast if pair else detector
    assert isinstance(fast, Model)
    framing, limits = fast.framing or {}, detector.thresholds
    if framing.get("resample") not in ("bilinear", "bicubic_2x") or limits is None:
        raise ToolError(f"{detector.name}: no detector whose faces are cut as a page can")
    height, width = input_size(fast)
    if height != width:
        raise ToolError(f"{detector.name}: its faces are {width} x {height}, a page cuts squares")
    module = build(fast, pair.thorough if pair else None, simd=simd)
    facts: dict[str, Any] = {
        "finder_side": FINDER_SIDE,
        "side": framing["side"],
        "wider": WIDER,
        "most_logit": MOST_LOGIT,
        "combination": pair.combination._asdict() if pair else None,
        **{name: limits[name] for name in ("real", "fake")},
    }
    style, script = ((HERE / name).read_text() for name in ("page.css", "page.js"))
    return Template((HERE / "page.html").read_text()).substitute(
        policy=f"default-src 'none'; img-src blob:; style-src {_hash(style)}; "
        f"script-src {_hash(script)} 'wasm-unsafe-eval'; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        version=__version__,
        model=html.escape(detector.name),
        strangers=_strangers(detector.meta),
        facts=json.dumps(facts).replace("<", "\\u003c"),
        module=base64.b64encode(gzip.compress(module, mtime=0)).decode(),
    )


def _strangers(meta: Mapping[str, Any]) -> str:
    """How well it does on what training never saw, as far as its card knows."""
    shares = [row["right_of_decided"] for row in meta.get("out_of_source", ())]
    if not shares:
        return "On sources that training never saw, expect less than its card says."
    return (
        "On sources that training never saw, of 100 verdicts other than uncertain "
        f"{' or '.join(f'{100 * share:.0f}' for share in shares)} were right."
    )


def _hash(text: str) -> str:
    """A source of a policy: this very text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
