"""How far a long job is, on stderr, if a person looks at it."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from .output import columns, printable

#: Fewer steps than this are over before a person wonders.
_PROGRESS_FROM = 10
#: What a bar takes beside the name of the file: percent, a bar that can be seen, the time left.
_BAR = 29


class Progress:
    """One line on stderr that says how far a long job is; silent unless a person looks at it."""

    def __init__(self, total: int) -> None:
        self._total = total
        stream = sys.stderr
        self._shown = total >= _PROGRESS_FROM and stream is not None and stream.isatty()

    def show(self, number: int, text: str) -> None:
        """Say that step ``number`` (from 1) is under way."""
        self._print(f"{number}/{self._total} {text}")

    def _print(self, text: str) -> None:
        if self._shown:
            state = printable(text)[: columns(sys.stderr) - 1]  # stdout may be a file
            encoding = sys.stderr.encoding or "utf-8"
            state = state.encode(encoding, "backslashreplace").decode(encoding)
            self._put(state)

    def clear(self) -> None:
        """Remove the line, so that something else can be printed."""
        if self._shown:
            self._put("")

    def _put(self, text: str) -> None:
        try:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        except OSError:  # the terminal was closed, which is no reason to end the job
            self._shown = False


class ScanProgress(Progress):
    """The same line for a job that says itself how far it is, not more often than can be read."""

    _EVERY_SECONDS = 0.2

    def __init__(self) -> None:
        super().__init__(_PROGRESS_FROM)
        self._last = -math.inf

    def show_line(self, text: str) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if now - self._last >= self._EVERY_SECONDS:
            self._last = now
            self._print(text)


class ClipProgress:
    """A bar for a clip: file name, share done, time left."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None

    def __enter__(self) -> ClipProgress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, t: float, done: float | None) -> None:
        """Say that the clip is judged up to ``t`` seconds."""
        if self._bar is None:
            if sys.stderr is None or not sys.stderr.isatty():
                return
            try:
                from tqdm import tqdm
            except ImportError:  # pictures need no extra, and have no bar
                return
            title = printable(self._title)
            most = max(columns(sys.stderr) - _BAR, 0)
            if len(title) > most:  # its end tells more than the folders that it is in
                title = "..." + title[len(title) - most + 3 :] if most > 3 else ""
            known = "{desc}: {percentage:3.0f} % |{bar}| {remaining} left"
            self._bar = tqdm(
                desc=title,
                total=None if done is None else 1.0,
                bar_format="{desc}: {n:.0f} s" if done is None else known,
                leave=False,
                file=sys.stderr,
            )
        self._bar.update((t if done is None else done) - self._bar.n)
