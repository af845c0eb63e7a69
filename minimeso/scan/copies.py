"""Copies: what lies behind an address, in a temporary file as long as it is judged."""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..errors import OutputError
from .addresses import reason_of
from .schema import storable

_CHUNK_BYTES = 1 << 20


class Copy:
    """A temporary file, to be used with ``with``.

    Args:
        address: of what will be in it.
        folder: where it lies; by default that of the system.

    Raises:
        OutputError: there is no room for it, which is no fault of the file.
    """

    def __init__(self, address: str, folder: str | None = None) -> None:
        self._address, self._folder = address, folder
        with self._room():
            self._file: Any = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed by ``__exit__``)
                dir=folder, prefix="minimeso-"
            )
        self.name: str = self._file.name

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take is not wanted
            self._file.close()

    def take(self, source: IO[bytes], alive: Callable[[], None]) -> int:
        """Copy all of it, and say so again and again; how many bytes it has.

        Raises:
            OutputError: there is no room for it.
            OSError: it cannot be read.
        """
        size = 0
        while chunk := source.read(_CHUNK_BYTES):
            with self._room():
                self._file.write(chunk)
            size += len(chunk)
            alive()
        with self._room():
            self._file.flush()
        return size

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = self._folder or tempfile.tempdir or "a temporary folder"
            raise OutputError(
                f"{place} on {platform.node()}: no copy of {storable(self._address)} can be "
                f"kept: {reason_of(error)}: make room, or name another folder in TMPDIR"
            ) from None
