"""What SIMD128 is worth to the page: python -m tools.web.speed

Both modules run in turns in one Chromium (playwright of the extra ``test``): milliseconds of one
search for faces and of one look at a face by each network, medians.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
from typing import Any

from minimeso.cli.output import table
from minimeso.detect.pair import Pair, find_detector
from tools.arguments import number

from .module import build

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Of modules by name and how often: medians in milliseconds of each call.
_SCRIPT = """
async ([modules, turns]) => {
  const ready = {}, times = {};
  for (const [name, text] of Object.entries(modules)) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    ready[name] = (await WebAssembly.instantiate(bytes)).instance.exports;
    ready[name].start();
    ready[name].picture(1280, 720);
    ready[name].cut(300, 100, 400, 400);
    times[name] = {find: [], fast: [], thorough: []};
  }
  const calls = {find: (e) => e.find(640, 360), fast: (e) => e.judge_fast(),
    thorough: (e) => e.judge_thorough(0)};
  for (let turn = 0; turn < turns; turn++)
    for (const [call, run] of Object.entries(calls))
      for (const [name, engine] of Object.entries(ready)) {
        const start = performance.now();
        run(engine);
        times[name][call].push(performance.now() - start);
      }
  const median = (x) => x.sort((a, b) => a - b)[x.length >> 1];
  for (const found of Object.values(times))
    for (const call of Object.keys(calls)) found[call] = median(found[call]);
  return times;
}
"""


def measure(modules: dict[str, bytes], turns: int) -> dict[str, dict[str, float]]:
    """Milliseconds by module and call."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    packed = {name: base64.b64encode(module).decode() for name, module in modules.items()}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found: Any = browser.new_page().evaluate(_SCRIPT, [packed, turns])
        browser.close()
    return dict(found)


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.web.speed", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--model", default="default", help="bundled model or pair, or a file")
    parser.add_argument("--turns", type=number(1000), default=15, metavar="N", help="default: 15")
    options = parser.parse_args(argv)
    found = find_detector(options.model)
    fast, thorough = (found.fast, found.thorough) if isinstance(found, Pair) else (found, None)
    modules = {
        name: build(fast, thorough, simd=name == "simd128") for name in ("scalar", "simd128")
    }
    times = measure(modules, options.turns)
    rows = [["call", "scalar, ms", "simd128, ms", "ratio"]]
    for call in ("find", "fast", "thorough") if thorough else ("find", "fast"):
        slow, quick = times["scalar"][call], times["simd128"][call]
        rows.append([call, f"{slow:.1f}", f"{quick:.1f}", f"{slow / quick:.2f}"])
    for line in table(rows, right=[1, 2, 3]):
        print(line)
    print(", ".join(f"{name}: {len(module):,} bytes" for name, module in modules.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
