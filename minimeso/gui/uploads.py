"""Uploads: files that a page sent, in temporary files without a name, and what is said of them.

All of them together take no more than they may.  A temporary file has no name (on Windows it is
deleted with its handle), so nothing stays behind however the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import IO, Any, cast

#: What the page is told: JSON-able.  One with the key ``document`` or ``error`` is the last.
Event = dict[str, Any]


def _nothing() -> None:
    pass


class TooLarge(Exception):  # noqa: N818 (an answer to the page)
    """It would be more than uploads may take."""


class Uploads:
    """What all files that are here may take.

    Args:
        most_bytes: of all of them together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._held = 0
        self._count = 0
        self._lock = threading.Lock()

    def open(self, name: str) -> Upload:
        """An empty upload with the next number; call it from the loop that is told of its news."""
        with self._lock:
            self._count += 1
            return Upload(self, self._count, name)

    def check(self, size: int) -> None:
        """``TooLarge`` if there is no room for so many more bytes."""
        with self._lock:
            if self._held + size > self.most_bytes:
                raise TooLarge

    def take(self, size: int) -> None:
        """Room for so many bytes, or ``TooLarge``."""
        self.check(size)
        with self._lock:
            self._held += size

    def give_back(self, size: int) -> None:
        """Room that is free again."""
        with self._lock:
            self._held -= size


class Upload:
    """A file that was sent, or is just coming.

    Attributes:
        number: of the file, from 1, unique for the server.
        name: as the page calls it.
        file: what it holds; it is closed with the upload.
        stopped: whether nothing more of it is to be looked at.
    """

    def __init__(self, room: Uploads, number: int, name: str) -> None:
        self.number, self.name = number, name
        self.file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 (closed by ``close``)
        self.stopped = False
        self._room, self._size = room, 0
        self._stop: Callable[[], None] = self._leave
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._event: Event | None = None
        self._lock = threading.Lock()

    def write(self, chunk: bytes) -> None:
        """More of it; ``TooLarge`` where that is too much."""
        self._room.take(len(chunk))
        self._size += len(chunk)
        self.file.write(chunk)

    def whole(self) -> None:
        """Nothing more comes; ``OSError`` where the last of it finds no room."""
        self.file.flush()

    def close(self) -> None:
        """Forget what it held; its room is free again."""
        with contextlib.suppress(OSError):  # a full disk: what was not written is not wanted
            self.file.close()
        self._room.give_back(self._size)
        self._size = 0

    def begin(self) -> bool:
        """It is looked at from now on; whether it still is to be."""
        with self._lock:
            self._stop = _nothing
            return not self.stopped

    def _leave(self) -> None:
        """It was stopped while it waited, and need not wait for its turn."""
        self.close()
        self.tell({"error": "stopped before it was looked at"})

    def stop_by(self, stop: Callable[[], None]) -> None:
        """What else to call to stop it."""
        with self._lock:
            self._stop = stop
            stopped = self.stopped
        if stopped:
            stop()

    def stop(self) -> None:
        """Ask, from any thread, that nothing more of it is looked at."""
        with self._lock:
            self.stopped = True
            stop, self._stop = self._stop, _nothing
        stop()

    def tell(self, event: Event) -> None:
        """Say something, from any thread, in place of what nobody has heard yet."""
        with self._lock:
            self._event = event
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._news.set)

    async def events(self) -> AsyncIterator[Event]:
        """What is said of it, to the last."""
        while True:
            await self._news.wait()
            self._news.clear()
            with self._lock:
                event, self._event = self._event, None
            if event is not None:
                yield event
                if not {"document", "error"}.isdisjoint(event):
                    return
