"""Which C compiler tools take."""

from __future__ import annotations

import os
import shutil


def c_compiler() -> list[str]:
    """The command of a C compiler, `CC` before all others; nobody looked whether it is there."""
    return (os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or "clang").split()
