"""Files that appear whole or not at all: written beside their place and moved there at the end."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from ..errors import OutputError


class AtomicFile:
    """A temporary file that becomes ``path`` on ``keep``, and vanishes on ``discard``.

    Args:
        path: where the file goes; a link is followed, what was there before is replaced.
        not_over: files that must not be replaced, such as the one that is being read.

    Attributes:
        path: as given.
        temporary: the file to write to; it has the ending of ``path``.

    Raises:
        OutputError: ``path`` is a folder, a device or one of ``not_over``, or its folder is
            missing or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], not_over: tuple[str | os.PathLike[str], ...] = ()
    ) -> None:
        self.path = os.fsdecode(path)
        try:
            # Path.resolve has an error of its own for links in a circle
            self._place = Path(os.path.realpath(self.path))
            self._check(not_over)
            handle, self.temporary = tempfile.mkstemp(
                dir=self._place.parent, prefix=".", suffix=f".part{self._place.suffix}"
            )
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
            Path(self.temporary).chmod(0o644)  # mkstemp makes it private
            Path(self.temporary).replace(self._place)
        except OSError as error:
            self.discard()
            raise self.failed(error) from None

    def discard(self) -> None:
        """Remove what was written; nothing if it is in its place already."""
        Path(self.temporary).unlink(missing_ok=True)
