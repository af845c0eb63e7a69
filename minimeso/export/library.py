"""The library for C in a folder of its own: header, static and shared library, and what pkg-config
reads.  The shared one is made here, of the static one, so that the package needs to hold but one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ..engine import get_include, get_library
from ..engine.files import write_file
from ..errors import InputError, OutputError

#: Grows when a program that was linked with an older one would not run any more.
ABI = 1
#: What ``-lminimeso`` looks for, what a program asks for when it runs, and how it is linked.
_KINDS = {
    "linux": (
        "libminimeso.so",
        f"libminimeso.so.{ABI}",
        ("-shared", "-Wl,-soname,{name}", "-Wl,-z,defs", "-Wl,-s"),
        ("-Wl,--whole-archive", "{archive}", "-Wl,--no-whole-archive", "-lm", "-pthread"),
    ),
    "darwin": (
        "libminimeso.dylib",
        f"libminimeso.{ABI}.dylib",
        ("-dynamiclib", "-install_name", "@rpath/{name}"),
        ("-Wl,-force_load,{archive}",),
    ),
}
#: ``{version}`` is that of the package.  pkgconf's ``pcfiledir`` has its spaces escaped already.
_PKG_CONFIG = """\
prefix=${{pcfiledir}}

Name: minimeso
Description: Runs networks from plan files
Version: {version}
Cflags: -I${{prefix}}
Libs: -L${{prefix}} -lminimeso
Libs.private: -lm -pthread
"""


def write_library(folder: str | os.PathLike[str], compiler: str = "cc") -> list[str]:
    """Header, libraries and ``minimeso.pc`` into a folder, which is made if it is missing.

    Args:
        folder: where to.
        compiler: command that links, as in the variable ``CC``, which may have options.

    Returns:
        The names of the files.

    Raises:
        InputError: there is no such compiler, or shared libraries are not made on this system.
        OutputError: the compiler cannot make it.
        OSError: the folder cannot be made or written.
    """
    if sys.platform not in _KINDS:
        raise InputError(f"no shared library is made here: link with {get_library()}")
    try:
        command = shlex.split(compiler)
    except ValueError as error:
        raise InputError(f"CC is no command: {compiler!r}: {error}") from None
    if not command:
        raise InputError("CC is no command but spaces")
    if not shutil.which(command[0]):
        raise InputError(f"no {command[0]} here: install gcc or clang, or name one by CC")
    link, name, flags, inputs = _KINDS[sys.platform]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header, archive = Path(get_include(), "minimeso_c_api.h"), Path(get_library())
    for path in (header, archive):
        write_file(folder / path.name, path.read_bytes())
    words = [word.format(name=name, archive=archive) for word in (*flags, *inputs)]
    done = subprocess.run(
        [*command, "-o", folder / name, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OutputError(f"{compiler} made no {folder / name}:\n{done.stderr[-2000:]}")
    (folder / link).unlink(missing_ok=True)
    try:
        (folder / link).symlink_to(name)
    except OSError:  # a disk without links, as of a stick or a camera
        shutil.copyfile(folder / name, folder / link)
    write_file(folder / "minimeso.pc", _PKG_CONFIG.format(version=_version()).encode())
    return [header.name, archive.name, name, link, "minimeso.pc"]


def _version() -> str:
    from .. import __version__

    return __version__
