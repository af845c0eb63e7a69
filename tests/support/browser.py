"""A real browser without a window, for pages that people will look at.

Playwright drives the Chromium (or Chrome) that is installed; ``MINIMESO_CHROMIUM`` names another
one.  Nothing is downloaded: without playwright or without a browser the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS = [
    "--no-sandbox",  # needs rights that a container lacks; the pages are our own
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Seen(NamedTuple):
    """What a browser made of a page.

    Attributes:
        page: Playwright's page, to ask more.
        requests: addresses that were asked for, without the page itself and ``data:``.
        complaints: messages of the console, such as breaches of the policy.
    """

    page: Any
    requests: list[str]
    complaints: list[str]


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser; skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("MINIMESO_CHROMIUM") or next(
        filter(None, map(shutil.which, _NAMES)), None
    )
    if path is None:
        pytest.skip(f"no browser found ({', '.join(_NAMES)}); MINIMESO_CHROMIUM can name one")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def opened(browser: Any, path: Path, width: int, scheme: str = "light") -> Iterator[Seen]:
    """A page in a window of that width, loaded to the end."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    address = path.as_uri()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address, wait_until="load")
    others = [url for url in requests if url != address and not url.startswith("data:")]
    yield Seen(page, others, complaints)
    context.close()


#: For every text: contrast with the nearest opaque background, and the beginning of the text.
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest("svg")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    found.push([ratio, walker.currentNode.data.slice(0, 40)]);
  }
  return found;
}"""
