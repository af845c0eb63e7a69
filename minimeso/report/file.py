"""The file on the page: which one it is, and what it says about where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..notes import clock
from .phrases import escaped

if TYPE_CHECKING:
    from ..media.origin import Origin

#: Where IPTC's terms live; what follows says enough.
_IPTC = "cv.iptc.org/newscodes/digitalsourcetype/"
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_NO_ORIGIN = "It says nothing about where it comes from, as most files that were sent on."
_NOT_WEIGHED = (
    "What a file says of itself anybody can write or take off; nothing of it changes the verdict."
)


def of_file(origin: Origin) -> str:
    """Name, size and checksum, and what was found in its metadata, as HTML."""
    rows = "".join(f"<dt>{what}</dt><dd>{escaped(value)}</dd>" for what, value in _rows(origin))
    said = (origin.software, origin.encoder, origin.digital_source_type, origin.c2pa)
    remark = _NOT_WEIGHED if any(value is not None for value in said) else _NO_ORIGIN
    return (
        f'<details class="origin"><summary>The file, and what it says of its origin</summary>'
        f'<dl class="made">{rows}</dl><p class="fine">{remark}</p></details>'
    )


def _rows(origin: Origin) -> Iterator[tuple[str, str]]:
    yield "Name", origin.name
    yield "Size", _size(origin.size)
    yield "SHA-256", origin.sha256
    kind = ", ".join(filter(None, (origin.container, origin.codec)))
    if kind:
        yield "Format", kind
    if origin.duration is not None:
        yield "Duration", clock(origin.duration)
    if origin.encoder is not None:
        yield "Encoder", origin.encoder
    if origin.software is not None:
        yield "Software", origin.software
    if origin.digital_source_type is not None:
        yield "Digital source type (IPTC)", origin.digital_source_type.rpartition(_IPTC)[2]
    if origin.c2pa is not None:
        by = origin.c2pa.claim_generator
        yield (
            "Content credentials (C2PA)",
            f"there are some{', made by ' + by if by else ''}; their signature was not verified",
        )


def _size(size: int) -> str:
    """``1.4 MB (1,412,345 bytes)``."""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    exact = f"{size:,} bytes"
    return exact if unit == 0 else f"{number:.1f} {_UNITS[unit]} ({exact})"
