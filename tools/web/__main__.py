"""A page that judges pictures in the browser: python -m tools.web OUT.html

One file, which needs no server and no network, and sends nothing: it can be opened from a disk or
put on any web server.  Needs clang and wasm-ld.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minimeso.detect.pair import find_detector
from tools.errors import exit_status

from .page import make_page


def main(argv: list[str] | None = None) -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.web", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("out", metavar="OUT.html", type=Path)
    parser.add_argument("--model", default="default", help="bundled model or pair, or a file")
    parser.add_argument(
        "--no-simd", action="store_true", help="for computers whose CPU lacks SSE4.1"
    )
    options = parser.parse_args(argv)

    def work() -> None:
        page = make_page(find_detector(options.model), simd=not options.no_simd)
        options.out.write_text(page, encoding="utf-8")
        print(f"{options.out}: {len(page):,} bytes")

    return exit_status("web", work)


if __name__ == "__main__":
    sys.exit(main())
