"""One door with libFuzzer, guided by the Python that is reached (Atheris): ``python -m fuzz.one``.

    python -m fuzz.one DOOR [FOLDER | FILE | -OPTION=VALUE ...]

What follows DOOR is libFuzzer's: a corpus to go on with, or a find to repeat.  Beyond libFuzzer's
own finds, an input is one that takes more than 5 seconds of the processor or more memory than the
door may, or for which something is printed.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import resource
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["minimeso", "PIL"], enable_loader_override=False):
    from fuzz.doors import DOORS, Door

SECONDS = 5.0
_MOST_DEPTH = 40
_NUMBERS = (0, 1, 2, 3, 15, 16, 17, 255, 256, 1 << 16, 1 << 21, 1 << 31, 1 << 62, -1, 0.5, 1e300)


class FindError(Exception):
    """An input that costs or says too much."""


def entered(door: Door) -> Any:
    """The door, watched."""

    def one_input(data: bytes) -> None:
        start, before = time.process_time(), _most_mb(anew=True)
        printed = _Printed()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            door.enter(data)
        seconds, more = time.process_time() - start, _most_mb() - before
        if seconds > SECONDS:
            raise FindError(f"{seconds:.1f} s")
        if more > door.limit_mb:
            raise FindError(f"{more:.0f} MB more")
        if printed.getvalue():
            raise FindError(f"prints {printed.getvalue()[:300]!r}")

    return one_input


class _Printed(io.StringIO):
    """What is printed; Atheris, which asks for the file below, would take none for a find."""

    def fileno(self) -> int:
        return 2


def _most_mb(*, anew: bool = False) -> float:
    """The most memory of the process so far; `anew`: counted from here on, where the system can,
    as it grows by hundreds of MB in an hour: what Atheris keeps of each input."""
    if anew:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    try:
        status = Path("/proc/self/status").read_text()
        return next(int(n.split()[1]) for n in status.split("\n") if n.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- changes that keep what would stop any other ---------------------------------------------


def change_json(data: bytes, most: int, seed: int) -> bytes:
    """Another value, key or order somewhere in a text of JSON; or any bytes."""
    chance = random.Random(seed)
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return bytes(atheris.Mutate(data, most))
    if chance.random() < 0.1 or not isinstance(whole, (dict, list)):
        return bytes(atheris.Mutate(data, most))
    for _ in range(chance.choice((1, 1, 2, 4))):
        places = list(_places(whole))
        if not places:
            break
        parent, key = chance.choice(places)
        _change_at(chance, parent, key, places)
    try:
        return json.dumps(whole).encode()[:most]
    except RecursionError:
        return data[:most]


def _places(value: Any, depth: int = 0) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(pairs):
        yield value, key
        if isinstance(inner, (dict, list)) and depth < _MOST_DEPTH:
            yield from _places(inner, depth + 1)


def _change_at(chance: random.Random, parent: Any, key: Any, places: list[Any]) -> None:
    old = parent[key]
    kind = chance.randrange(7)
    if kind == 0:
        parent[key] = chance.choice(_NUMBERS)
    elif kind == 1:  # another place's value, of the same kind more often than not
        same = [p[k] for p, k in places if type(p[k]) is type(old)]
        parent[key] = copy.deepcopy(chance.choice(same or [None]))
    elif kind == 2 and isinstance(old, int):
        parent[key] = old + chance.choice((-1, 1, old, -2 * old))
    elif kind == 3 and isinstance(parent, list):
        parent.insert(chance.randrange(len(parent) + 1), copy.deepcopy(old))
    elif kind == 4:
        del parent[key]
    elif kind == 5 and isinstance(old, list):
        chance.shuffle(old)
    else:
        parent[key] = chance.choice((None, True, "", "a", [], {}, [1, 2], "relu", "conv2d"))


def change_archive(data: bytes, most: int, seed: int) -> bytes:
    """Other contents under right checksums; or any bytes."""
    chance = random.Random(seed)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        contents = {}
    if not contents or chance.random() < 0.3:
        return bytes(atheris.Mutate(data, most))
    name = chance.choice(list(contents))
    change = change_json if name.startswith("model.json") else None
    old = contents[name]
    start = 128 if change and old[:6] == b"\x93NUMPY" else 0
    body = old[start:]
    room = max(most // 2, 16)
    contents[name] = old[:start] + (
        change(body, room, seed + 1) if change else bytes(atheris.Mutate(body, room))
    )
    if start:  # the header says how long the text is
        header = (
            f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(contents[name]) - 128},), }}"
        )
        contents[name] = old[:10] + header.ljust(117).encode() + b"\n" + contents[name][128:]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", chance.choice((0, 8))) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that occur twice
        for one, content in contents.items():
            archive.writestr(one, content)
    return buffer.getvalue()[:most]


CHANGES = {
    "archive": change_archive,
    "model": change_json,
    "pair": change_json,
    "keras": change_json,
    "program": change_json,
}


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name = sys.argv.pop(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", module=r"PIL\.|zipfile")
    more: dict[str, Any] = {}
    if name in CHANGES:
        more["custom_mutator"] = CHANGES[name]
    atheris.Setup([f"{sys.argv[0]} {name}", *sys.argv[1:]], entered(DOORS[name]), **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
