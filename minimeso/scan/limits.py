"""Limits: what one file may cost before it is given up."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class Limits:
    """What one file may cost.

    Attributes:
        stall: seconds without a sign of life, which is a frame judged or a piece of the file read.
        seconds: in all.
        memory: bytes of the process that judges it, its networks included (some 100 MB).
        deaths: of processes that judge it, from without or within, before the file is blamed.

    Raises:
        InputError: one of them makes no sense.
    """

    stall: float = 120.0
    seconds: float = 6 * 3600.0
    memory: int = 2 << 30
    deaths: int = 3

    def __post_init__(self) -> None:
        for name, least, said in (
            ("stall", 0.1, "0.1 seconds"),
            ("seconds", 0.1, "0.1 seconds"),
            ("memory", 64 << 20, "64 MiB"),
            ("deaths", 1, "1"),
        ):
            if not getattr(self, name) >= least:
                raise InputError(f"the limit `{name}` of a file: give {said} or more")
