"""Files that appear whole or not at all: written beside their place and moved there at the end."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ..beside import make_beside, move_to, name_beside
from ..errors import OutputError


class AtomicFile:
    """A temporary file that becomes ``path`` on ``keep``, and vanishes on ``discard``, or with this
    object, which a signal may end before anybody else has it.

    Args:
        path: where the file goes; a link is followed, what was there before is replaced, and its
            rights stay.
        not_over: files that must not be replaced, such as the one that is being read.

    Attributes:
        path: as given.
        temporary: the file to write to; it has the ending of ``path``.

    Raises:
        OutputError: ``path`` is a folder, a device or one of ``not_over``, or its folder is
            missing or cannot be written.
    """

    temporary = ""

    def __init__(
        self, path: str | os.PathLike[str], not_over: tuple[str | os.PathLike[str], ...] = ()
    ) -> None:
        self.path = os.fsdecode(path)
        self._process = os.getpid()
        try:
            # Path.resolve has an error of its own for links in a circle
            self._place = Path(os.path.realpath(self.path))
            self._check(not_over)
            self.temporary = name_beside(str(self._place), self._place.suffix)
            handle, self._rights = make_beside(self.temporary, str(self._place))
        except (OSError, ValueError) as error:
            raise self.failed(error) from None
        os.close(handle)

    def _check(self, not_over: tuple[str | os.PathLike[str], ...]) -> None:
        try:
            mode = self._place.stat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            raise OutputError(f"{self.path}: is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise OutputError(f"{self.path}: is no regular file: name another one")
        for source in not_over:
            if os.path.exists(source) and self._place.samefile(source):  # noqa: PTH110 - any name
                raise OutputError(
                    f"{self.path}: is the file that is being judged: name another one"
                )

    def failed(self, error: Exception) -> OutputError:
        """The exception that says that ``error`` kept the file from being written."""
        if isinstance(error, OutputError):
            return error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return OutputError(
            f"{self.path}: cannot be written: {reason}: choose a folder that exists, with room "
            "and the right to write"
        )

    def keep(self) -> None:
        """Put the file in its place.

        Raises:
            OutputError: it cannot be put there; it is discarded then.
        """
        try:
            move_to(str(self._place), self.temporary, self._rights)
            self.temporary = ""
        except OSError as error:
            self.discard()
            raise self.failed(error) from None

    def discard(self) -> None:
        """Remove what was written; nothing if it is in its place already."""
        if self.temporary:
            Path(self.temporary).unlink(missing_ok=True)
            self.temporary = ""

    def __del__(self) -> None:
        if self.temporary and self._process == os.getpid():  # not in a fork, whose parent writes
            with contextlib.suppress(OSError):
                self.discard()
