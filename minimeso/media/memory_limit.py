"""A limit of memory for the whole process, by the system: what asks for more gets none, and whether
something failed for want of it, which few say that do.
"""

from __future__ import annotations

import contextlib
import os


def limit_memory(size: int) -> None:
    """Give this process no more than ``size`` bytes of data, where the system has such a limit.

    Whoever asks for more gets a ``MemoryError`` (FFmpeg: its own), sooner than anybody could look.
    A limit that is lower already stays.  Windows has none, and macOS does not hold to it.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or most > size:
            resource.setrlimit(resource.RLIMIT_DATA, (size, most))


#: Less than the threads of a decoder, or a library with all that it loads, may ask for.
_LITTLE_BYTES = 1 << 26
#: What its decoder takes at most, and the stack of one of its threads.
_JXL_PIXEL_BYTES, _STACK_BYTES = 16, 8 << 20
#: Formats whose decoders say of want of memory what they say of damage.
_SAY_NOTHING = ("AVIF", "HEIF", "JXL")


def is_scarce(more: int = 0) -> bool:
    """Whether hardly any memory is left, so that what failed may have failed for want of it.

    Args:
        more: bytes that are wanted beside a little.
    """
    import numpy as np  # whoever sets a limit need not wait for it

    try:
        np.empty(_LITTLE_BYTES + more, np.uint8)  # promised, not touched
    except MemoryError:
        return True
    return False


def check_room_for_jxl(pixels: int) -> None:
    """``MemoryError`` where a JPEG XL of so many pixels may not fit: its plugin ends the process
    when memory, or a thread for one of the cores, is not to be had."""
    if is_scarce(_JXL_PIXEL_BYTES * pixels + _STACK_BYTES * (os.cpu_count() or 1)):
        raise MemoryError


def check_memory(error: Exception, kind: str | None) -> None:
    """``MemoryError`` if a picture could not be read for want of memory, and may be whole.

    Args:
        error: what Pillow or a plugin raised.
        kind: Pillow's name of the format.
    """
    said = isinstance(error, MemoryError) or "out of memory" in str(error)  # by Pillow's decoders
    if said or (kind in _SAY_NOTHING and is_scarce()):
        raise MemoryError from None
