"""A server of ``minimeso gui`` in a thread, with detectors that need no faces."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from minimeso import Detector, Verdict
from minimeso.detect.verdict import SeenFrame
from minimeso.gui.judge import Settings
from minimeso.gui.server import Server
from support.clips import clip_bytes
from support.detectors import constant_detector, photo


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "PNG")
    return file.getvalue()


def clip(frames: int) -> bytes:
    return clip_bytes(frames=frames, size=(96, 72))


class SlowDetector(Detector):
    """Calls everything fake, and takes a while for each frame.

    Attributes:
        ended: how many files it is done with.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(constant_detector(3.0), crops=True, threads=1)
        self._seconds = seconds
        self.ended = 0

    def check(self, source: Any, *, on_frame: Any = None, **options: Any) -> Verdict:
        def slowly(frame: SeenFrame, done: float | None) -> bool | None:
            time.sleep(self._seconds)
            enough: bool | None = on_frame(frame, done)
            return enough

        try:
            return super().check(source, on_frame=slowly, **options)
        finally:
            self.ended += 1


@contextmanager
def served(
    detector: Detector | None = None, most_bytes: int = 1 << 24, **settings: Any
) -> Iterator[Server]:
    """A server that listens; at the end it has ended, too."""
    started = threading.Event()
    made: list[Any] = []

    async def run() -> None:
        until = asyncio.Event()
        server = Server(detector or SlowDetector(), Settings(**settings), most_bytes)
        made.extend((server, until, asyncio.get_running_loop()))
        asyncio.get_running_loop().call_soon(started.set)
        await server.serve(until)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(60)
    server, until, loop = made
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(until.set)
        thread.join(20)
        assert not thread.is_alive()


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
