"""Addresses: what fsspec knows as a file or folder, and what its files are called from outside."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import InputError
from .schema import storable

_WILDCARD = re.compile(r"[*?[]")
#: Where none of these is in a name, what leads to one file of a source leads to this one, too.
_TELLING = frozenset(":?#%@")

Info = dict[str, Any]
Listed = Callable[[str], None]


class Found(NamedTuple):
    """A file behind an address.

    Attributes:
        address: that leads to it.
        info: what its file system tells of it.
        fault: why it cannot be judged at all, if so; it may be a folder then.
    """

    address: str
    info: Info
    fault: str | None = None


def is_address(path: str) -> bool:
    """Whether a path is one for fsspec, not of a file of this machine."""
    return "://" in path


def filesystem(path: str) -> tuple[Any, str]:
    """The file system of an address or of a path of this machine, and the path there.

    Raises:
        InputError: no such protocol, its package is missing, or nobody answers there; or a
            relative path, and the current folder was deleted.
    """
    if not is_address(path):  # in a path fsspec would take ``::`` for a chain of addresses
        from fsspec.implementations.local import LocalFileSystem

        try:
            whole = os.path.abspath(path)  # noqa: PTH100
        except FileNotFoundError:
            raise InputError(
                f"{storable(path)}: the current folder was deleted: give the whole path"
            ) from None
        place: str = LocalFileSystem._strip_protocol(whole)
        return LocalFileSystem(), place
    from fsspec.core import url_to_fs

    try:
        found: tuple[Any, str] = url_to_fs(path)
    except Exception as error:  # each package has its own for names, keys and connections
        raise InputError(f"{storable(path)}: {reason_of(error)}: check the address") from None
    return found


def is_local(fs: Any) -> bool:
    """Whether a file system is that of this machine, as behind ``file://``."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(fs, LocalFileSystem)


def reason_of(error: Exception) -> str:
    """What went wrong, short, on one line."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(text).partition("\n")[0][:200]


def files_at(source: str, skipped: Counter[str], listed: Listed) -> Iterator[Found]:
    """The files behind an address, folder by folder.

    Args:
        source: the address; its last part may have wildcards.
        skipped: what is not looked at is counted here by its kind.
        listed: called with the address of each folder that could be listed.

    Raises:
        InputError: nothing is there, or it cannot be listed.
    """
    fs, top = filesystem(source)
    address = _Addresses(source, fs, top)
    try:
        for path, info, fault in _listed(
            fs, top, skipped, lambda folder: listed(address.of_folder(folder))
        ):
            name, no_name = address(path)
            yield Found(name, info, fault or no_name)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{storable(source)}: nothing is there: check the address") from None
    except Exception as error:  # see ``filesystem``
        raise InputError(f"{storable(source)}: {reason_of(error)}: check the address") from None


def _listed(
    fs: Any, top: str, skipped: Counter[str], listed: Listed
) -> Iterator[tuple[str, Info, str | None]]:
    try:
        info = fs.info(top)
    except Exception:  # of a name with wildcards that is no name
        if not _WILDCARD.search(top):
            raise
        found = fs.glob(top, detail=True)
        for path in sorted(found):
            if found[path]["type"] != "directory":
                yield path, found[path], None
            elif "**" not in top:  # which finds what is in the folder, too
                yield from _walked(fs, path, skipped, listed, is_one_of_many=True)
        return
    if info["type"] == "directory":
        yield from _walked(fs, top, skipped, listed)
    else:
        yield top, info, None


def _walked(
    fs: Any, top: str, skipped: Counter[str], listed: Listed, is_one_of_many: bool = False
) -> Iterator[tuple[str, Info, str | None]]:
    """The files of a folder and below; ``fs.walk`` leaves out in silence what it cannot list."""
    left = [top]
    while left:
        place = left.pop()
        try:
            found = sorted(fs.ls(place, detail=True), key=lambda info: str(info["name"]))
            fs.invalidate_cache(place)  # or all that was ever listed is kept
        except Exception as error:
            if place == top and not is_one_of_many:
                raise
            yield place, {}, f"{reason_of(error)}: ask for the right to read it, or try again"
            continue
        listed(place)
        folders = []
        for info in found:
            path = info["name"].rstrip("/")
            if info["type"] != "directory":
                yield info["name"], info, None
            elif path.rpartition("/")[2].startswith("."):
                skipped["hidden folders"] += 1
            elif path != place.rstrip("/"):
                folders.append(path)
        left += reversed(folders)


class _Addresses:
    """What the files of a source are called, so that whoever has only that finds them again.

    Most file systems say it themselves; some forget the host (``sftp://host/...``), and those
    within others forget these (``zip://...::s3://...``).
    """

    def __init__(self, source: str, fs: Any, top: str) -> None:
        self._source, self._fs = source, fs
        wildcard = _WILDCARD.search(top)
        self._top = top if wildcard is None else top[: wildcard.start()].rpartition("/")[0]
        first, self._chain, self._rest = source.partition("::")
        self._forms: list[Callable[[str], str]] = [
            fs.unstrip_protocol,
            lambda path: self._below(first, path) + self._chain + self._rest,
            lambda path: self._below(source, path),
        ]

    def __call__(self, path: str) -> tuple[str, str | None]:
        """The address of a file, and what is wrong with it, if something is."""
        is_telling = bool(_TELLING.intersection(path))
        if len(self._forms) == 1 and not is_telling:
            return self._forms[0](path), None
        fitting = next((form for form in self._forms if self._leads_to(form(path), path)), None)
        if fitting is not None and not is_telling:
            self._forms = [fitting]
        if fitting is not None:
            return fitting(path), None
        if is_telling:
            return self._forms[0](path), (
                "no address leads to it, because of a sign in its name (: ? # % @): rename it"
            )
        raise InputError(
            f"{storable(self._source)}: its files have no addresses of their own: copy them into "
            "a folder"
        )

    def of_folder(self, path: str) -> str:
        """The address of a folder, which says nothing of what those of files look like; empty if
        it has none."""
        forms = list(self._forms)
        try:
            return self(path)[0]
        except InputError:
            return ""
        finally:
            self._forms = forms

    def _below(self, base: str, path: str) -> str:
        wildcard = _WILDCARD.search(base)
        base = base if wildcard is None else base[: wildcard.start()].rpartition("/")[0]
        return f"{base.rstrip('/')}/{path[len(self._top) :].strip('/')}".rstrip("/")

    def _leads_to(self, address: str, path: str) -> bool:
        try:
            fs, place = filesystem(address)
        except InputError:
            return False
        return bool(fs == self._fs) and place.strip("/") == path.strip("/")
