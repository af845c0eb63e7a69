"""What is closed at the end of a ``with``."""

from __future__ import annotations

from typing import TypeVar

_Own = TypeVar("_Own", bound="Closing")


class Closing:
    """Is itself in a ``with``, and closed behind it."""

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
