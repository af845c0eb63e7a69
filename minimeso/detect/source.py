"""Sources: what a detector can judge, as a type, and how its kinds differ."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..hints import later
from ..media.binary import Readable
from ..media.clip import Clip
from ..media.pictures import STREAM, named

if TYPE_CHECKING:
    from PIL.Image import Image
else:
    Image = later("PIL.Image", "Image")

File = io.IOBase | Readable
#: A picture in memory, see ``Detector.stream``.
Frame = Union[npt.ArrayLike, Image]  # noqa: UP007 (hints of what is imported later know no |)
#: What can be judged, see ``Detector.check``.
Source = Union[str, os.PathLike[str], bytes, File, Frame, Clip]  # noqa: UP007 (as above)


def check_frames(frames: object) -> None:
    """``InputError`` for what is given by mistake in place of frames."""
    if isinstance(frames, (str, bytes, os.PathLike)):
        raise InputError("frames are arrays, one after the other: a file is what check judges")
    if isinstance(frames, np.ndarray) and frames.ndim < 4:
        raise InputError(f"an array of shape {frames.shape} is one frame: give several, [x]")
    if not isinstance(frames, Iterable) and not hasattr(type(frames), "__getitem__"):
        raise InputError(f"{type(frames).__name__} is no series of frames: give several, [x]")


def with_seek(source: Any) -> Any:
    """An open file as one in which one can go back and forth; anything else as it is."""
    if isinstance(source, io.BufferedIOBase):
        from ..media.streams import stream_of

        with named(STREAM):
            return stream_of(source)
    return source


def name_of(source: object) -> str | None:
    """What a source is called, if it has a name."""
    if isinstance(source, (str, os.PathLike)):
        return os.fsdecode(source)
    if isinstance(source, Clip):
        return source.path
    return STREAM if isinstance(source, io.BufferedIOBase) else None
