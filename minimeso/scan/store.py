"""Where a data set lies, a folder or an address: files appear there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import OutputError
from ..media.atomic_file import AtomicFile
from .source import filesystem, is_address

_LOCK = "_lock"


class Store:
    """A folder of files, of this machine or behind an address that fsspec knows.

    Args:
        address: of the folder.

    Raises:
        InputError: there is no such protocol.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") if is_address(address) else address
        self._is_local = not is_address(address) or address.startswith("file://")
        self._fs, self._top = filesystem(
            address if is_address(address) else "file://" + os.path.abspath(address)  # noqa: PTH100
        )

    def is_there(self) -> bool:
        """Whether there is anything."""
        return bool(self._fs.exists(self._top))

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder, sorted; none if it is missing."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._place(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def open(self, name: str) -> IO[bytes]:
        """A file to read from."""
        file: IO[bytes] = self._fs.open(self._place(name), "rb")
        return file

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._place(name))

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write to, which is there, whole, at the end; in place of what was there.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._fs.makedirs(self._place(name).rpartition("/")[0], exist_ok=True)
            if not self._is_local:  # an object appears when it is closed
                with self._fs.open(self._place(name), "wb") as file:
                    yield file
                return
            whole = AtomicFile(self._place(name))
            try:
                with open(whole.temporary, "wb") as file:  # noqa: PTH123
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                whole.discard()
                raise
            whole.keep()
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"{self.address}/{name}: cannot be written: {error.strerror or error}: choose a "
                "place with room and the right to write"
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile, as far as this machine knows.

        Raises:
            OutputError: somebody does, or the folder cannot be made.
        """
        if not self._is_local:
            yield
            return
        try:
            self._fs.makedirs(self._top, exist_ok=True)
            lock = Path(self._top, _LOCK).open("wb")  # noqa: SIM115 (closed below)
        except OSError as error:
            raise OutputError(
                f"{self.address}: cannot be made or written: {error.strerror}: choose a folder"
            ) from None
        with lock:
            if not _lock(lock):
                raise OutputError(f"{self.address}: another scan writes there: wait for its end")
            yield

    def _place(self, name: str) -> str:
        return f"{self._top}/{name}" if name else str(self._top)


def _lock(file: IO[Any]) -> bool:
    """Take a lock that ends with the process; false if somebody has it."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be replaced there, either
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
