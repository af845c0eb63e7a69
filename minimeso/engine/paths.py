"""Where the C of the engine lies: its sources, the header and the library for programs in C.

A package has the sources in an archive, as they are only read for ``minimeso export``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = "include/minimeso_c_api.h"
_ARCHIVE = "sources.zip"


def _package() -> Path:
    from pathlib import Path  # as long to import as a model to load

    return Path(__file__).resolve().parent.parent


def _folder() -> Path:
    """``csrc``: in the package, or beside it where it is not installed."""
    package = _package()
    for folder in (package / "csrc", package.parent / "csrc"):
        if (folder / _HEADER).exists():
            return folder
    raise FileNotFoundError(f"{package}: the engine's C is missing: install minimeso again")


def sources() -> dict[str, str]:
    """The text of every file of ``csrc`` by its path there, such as ``simd/avx2.h``.

    Raises:
        FileNotFoundError: the package is not whole.
    """
    folder = _folder()
    if not (folder / _ARCHIVE).exists():
        files = (path for path in folder.rglob("*") if path.suffix in (".c", ".h", ".inc"))
        return {path.relative_to(folder).as_posix(): path.read_text() for path in files}
    import zipfile

    with zipfile.ZipFile(folder / _ARCHIVE) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def get_include() -> str:
    """The folder of ``minimeso_c_api.h``, for a compiler's ``-I``.

    Raises:
        FileNotFoundError: the package is not whole.
    """
    return str((_folder() / _HEADER).parent)


def get_library() -> str:
    """The static library to link a program in C with, beside ``-lm -pthread``.

    Raises:
        FileNotFoundError: the package is not whole.
    """
    folder = _package() / "lib"
    for name in ("libminimeso.a", "minimeso.lib"):
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"{folder}: no library is there: install minimeso again")
