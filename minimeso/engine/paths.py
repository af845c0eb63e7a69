"""Where the C of the engine lies: its sources, the header and the library for programs in C."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def source_folder() -> Path:
    """``csrc``: in the package, or beside it where it is not installed.

    Raises:
        FileNotFoundError: there is neither.
    """
    for folder in (_PACKAGE / "csrc", _PACKAGE.parent / "csrc"):
        if (folder / "minimeso.h").exists():
            return folder
    raise FileNotFoundError(f"{_PACKAGE}: the engine's C is missing: install minimeso again")


def get_include() -> str:
    """The folder of ``minimeso_c_api.h``, for a compiler's ``-I``.

    Raises:
        FileNotFoundError: the package is not whole.
    """
    return str(source_folder() / "include")


def get_library() -> str:
    """The static library to link a program in C with, beside ``-lm -pthread``.

    Raises:
        FileNotFoundError: the package is not whole.
    """
    for name in ("libminimeso.a", "minimeso.lib"):
        path = _PACKAGE / "lib" / name
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"{_PACKAGE / 'lib'}: no library is there: install minimeso again")
