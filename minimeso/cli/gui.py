"""``minimeso gui``: a page on this computer, on which files are dropped."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING

from .arguments import (
    add_detector_arguments,
    add_engine_arguments,
    check_detector_arguments,
    detector_of,
    looked_at,
    positive_number,
    whole_number,
)
from .output import line, message

if TYPE_CHECKING:
    from ..gui.server import Server

HELP = "judge files that are dropped on a page in your browser"
DETAILS = (
    "The page opens in your browser; it is served by this computer to itself only, at an address "
    "that nobody can guess. Drop pictures or clips on it, or choose them, and watch the report "
    "grow. Nothing is sent anywhere; what you drop is copied into a temporary file without a name "
    "and forgotten when it is judged. Ctrl-C, here, ends it. Needs the extra `gui`, and for clips "
    "`video`. Exit status: 0 ended by Ctrl-C or SIGTERM, 2 wrong usage, or the port is taken."
)
EXAMPLES = """\
  minimeso gui
  minimeso gui --no-browser --port 8080"""

_MOST_MIB = 1 << 24
_MOST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add("--no-browser", action="store_true",
        help="open no browser: open the address that is printed yourself")  # fmt: skip
    add("--port", type=whole_number(_MOST_PORT), metavar="N",
        help="to listen on; default: a free one")  # fmt: skip
    add("--max-upload", type=positive_number(_MOST_MIB), metavar="MIB", default=4096.0,
        help="what all files that are being judged or wait for it may take on the disk; default "
        "%(default)g")  # fmt: skip
    add_detector_arguments(parser)
    add_engine_arguments(parser, "threads that work; default: one per available core")


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; returns the exit status."""
    import asyncio

    from ..gui import require_packages

    check_detector_arguments(options)
    require_packages()
    from ..gui.judge import Settings
    from ..gui.server import Server

    with detector_of(options) as detector:
        model = detector.model if options.fast else options.model
        settings = Settings(model, looked_at(options), options.fps, options.every_frame)
        most_bytes = max(1, int(options.max_upload * (1 << 20)))
        server = Server(detector, settings, most_bytes, options.port or 0)
        with contextlib.suppress(KeyboardInterrupt):  # where the loop cannot wait for signals
            asyncio.run(_serve(server, options.no_browser))
    return 0


async def _serve(server: Server, no_browser: bool) -> None:
    import asyncio

    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Windows has no such handlers, and only the main thread may set them: Ctrl-C does without
    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, until.set)
    if sys.stdout is not None:  # a program without a console has none, and needs none
        line(server.address)
    message("drop pictures or clips on the page; Ctrl-C ends it")
    if not no_browser:
        # a browser of the terminal would keep this one: by a thread that nobody waits for
        threading.Thread(target=_open, args=(server.opening,), daemon=True).start()
    await server.serve(until)


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address) and sys.stderr is not None:
        message("no browser could be opened: open the address above yourself")
