"""Each door takes its seeds, whole, cut and changed: a few seconds of what ``.ci/fuzz`` does."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator

import pytest

from fuzz.doors import DOORS

SECONDS = 0.2


def changed(files: dict[str, bytes], chance: random.Random) -> Iterator[bytes]:
    """Cut, flipped, filled, doubled; without an end."""
    names = sorted(files)
    while True:
        data = bytearray(files[chance.choice(names)])
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(4)
            if kind == 0:
                del data[at : at + chance.choice((1, 4, 100))]
            elif kind == 1:
                data[at : at + 1] = bytes([chance.randrange(256)])
            elif kind == 2:
                data[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
            else:
                data[at:at] = data[at : at + 32]
        yield bytes(data)


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("name", DOORS)
def test_a_door_takes_anything(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    door = DOORS[name]
    files = door.seeds()
    assert files and sum(map(len, files.values())) < 300_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in (b"", b"\0", *files.values()):
        door.enter(data)
    end = time.process_time() + SECONDS
    for data in changed(files, random.Random(0)):
        start = time.process_time()
        if start > end:
            break
        door.enter(data)
        assert time.process_time() - start < 5, data[:64]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < door.limit_mb << 10
    assert capsys.readouterr() == ("", "")  # libtiff has its own way to stderr
