"""A page on this computer: files dropped on it are judged, and the report grows.  Extra ``gui``.

``server`` talks to the browser and lets nobody else in, ``uploads`` keeps the files while they are
judged, ``judge`` judges them one after the other in a thread of its own.  ``page.html``,
``page.js`` and ``page.css`` are what the browser gets beside the report's own style.
"""

from __future__ import annotations

import importlib.util

from ..errors import InputError

__all__ = ["require_packages"]


def require_packages() -> None:
    """``InputError`` unless the extra ``gui`` is installed."""
    if importlib.util.find_spec("tornado") is None:
        raise InputError("gui needs tornado: pip install 'minimeso[gui]'")
