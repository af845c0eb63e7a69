"""What goes to and fro while a long clip is judged in pieces, see ``detect.pieces``."""

from __future__ import annotations

from typing import NamedTuple

from ..media.key_frames import Span


class Cut(NamedTuple):
    """What came of a clip that is long: it is to be judged in pieces.

    Attributes:
        path: of its entry.
        sha256: of the content.
        bytes: its size.
        stamp: of the file when it was cut.
        spans: of the pieces.
    """

    path: str
    sha256: str | None
    bytes: int
    stamp: str
    spans: tuple[Span, ...]


class Work(NamedTuple):
    """What is to be done for a clip that was cut.

    Attributes:
        cut: of the clip.
        number: of the piece that is to be judged.
        pieces: all of them, judged and pickled: they are to be joined.
    """

    cut: Cut
    number: int = 0
    pieces: tuple[bytes, ...] = ()


class JudgedPiece(NamedTuple):
    """What came of a piece.

    Attributes:
        path: of the clip's entry.
        number: of the piece.
        data: the piece, pickled.
    """

    path: str
    number: int
    data: bytes
