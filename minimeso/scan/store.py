"""Where a data set lies, a folder or an address: files appear there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..errors import InputError, OutputError
from ..media.atomic_file import AtomicFile
from .addresses import filesystem, is_local, reason_of
from .schema import storable

_LOCK = "_lock"
#: What ``AtomicFile`` has written, when it was killed before the end.
_LEFTOVER = re.compile(r"\.[a-z0-9_]{8}\.part\.(parquet|json)")


class Store:
    """A folder of files, of this machine or behind an address that fsspec knows.

    Args:
        address: of the folder.

    Raises:
        InputError: there is no such protocol.
    """

    def __init__(self, address: str) -> None:
        if not address:
            raise InputError("OUT is empty: name a folder")
        self.address = storable(address.rstrip("/")) or "/"
        self._fs, self._top = filesystem(address)
        self._is_local = is_local(self._fs)
        self._token = b""  # what the lock says while it is ours

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder, sorted; none if it is missing.

        Raises:
            InputError: it cannot be listed.
        """
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._place(folder), detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # each package has its own
            raise InputError(
                f"{self.address}: cannot be listed: {reason_of(error)}: name a folder that can"
            ) from None
        names = sorted(path.rstrip("/").rpartition("/")[2] for path in found)
        return [name for name in names if not _LEFTOVER.fullmatch(name)]

    def tidy(self, folder: str) -> None:
        """Remove what somebody left who was killed while writing there."""
        place = Path(self._place(folder))
        if not self._is_local or not place.is_dir():
            return
        for name in os.listdir(place):  # noqa: PTH208 (names, not paths)
            if _LEFTOVER.fullmatch(name):
                with contextlib.suppress(OSError):
                    (place / name).unlink()

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
        if not self._is_local:  # an open object would appear even if it is left half written
            whole_object = io.BytesIO()
            yield whole_object
            try:
                self._fs.makedirs(self._place(name).rpartition("/")[0], exist_ok=True)
                self._fs.pipe_file(self._place(name), whole_object.getvalue())
            except Exception as error:  # each package has its own
                raise self._not_written(name, error) from None
            return
        self._check_lock()
        try:
            self._fs.makedirs(self._place(name).rpartition("/")[0], exist_ok=True)
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
            raise self._not_written(name, error) from None

    def _not_written(self, name: str, error: Exception) -> OutputError:
        return OutputError(
            f"{self.address}/{name}: cannot be written: {reason_of(error)}: choose a place with "
            "room and the right to write"
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile, as far as this machine knows.

        Raises:
            OutputError: somebody does, or the folder cannot be made.
        """
        if not self._is_local:
            yield
            return
        is_new = not self._fs.exists(self._top)
        try:
            self._fs.makedirs(self._top, exist_ok=True)
            lock = Path(self._top, _LOCK).open("ab")  # noqa: SIM115 (closed below)
        except OSError as error:
            raise OutputError(
                f"{self.address}: cannot be made or written: {error.strerror}: choose a folder"
            ) from None
        with lock:
            fault = _lock(lock)
            if fault is not None:
                raise OutputError(f"{self.address}: {fault}")
            self._token = uuid.uuid4().hex.encode()
            try:
                lock.truncate(0)
                lock.write(self._token)
                lock.flush()
            except OSError as error:
                raise self._not_written(_LOCK, error) from None
            try:
                yield
            except InputError:
                if is_new:
                    self._remove_empty()
                raise
            finally:
                self._token = b""

    def _remove_empty(self) -> None:
        """A folder in which nothing was written."""
        with contextlib.suppress(OSError):
            if os.listdir(self._top) == [_LOCK]:  # noqa: PTH208 (names, not paths)
                Path(self._top, _LOCK).unlink()
                Path(self._top).rmdir()

    def _check_lock(self) -> None:
        """The folder is still that which was locked: another one has other rows, and maybe another
        scan that writes there."""
        if not self._token:
            return
        found = b""
        with contextlib.suppress(OSError):
            found = Path(self._top, _LOCK).read_bytes()
        if found != self._token:
            raise OutputError(
                f"{self.address}: moved, deleted or taken by another scan meanwhile: run it again"
            )

    def _place(self, name: str) -> str:
        return f"{self._top}/{name}" if name else str(self._top)


def _lock(file: IO[Any]) -> str | None:
    """Take a lock that ends with the process; why not, if that fails."""
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be replaced there, either
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return "another scan writes there: wait for its end"
        return f"cannot be locked: {error.strerror}: choose a folder on a disk of this machine"
    return None
