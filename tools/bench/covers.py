"""How many covered faces are left out: `python -m tools.bench.covers --data DIR --cache DIR`.

Covers are drawn by a script on the faces of test (DFDC, LFW) and of the people of FaceForensics++
that are kept for val; the network saw none of them, nor the covers that are marked "new".  Faces
are found, refused and looked at as `minimeso.Detector` does it, every second one as in a clip.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minimeso import FaceFinder
from minimeso.detect.covered import Covers
from minimeso.detect.framing import square
from minimeso.detect.quality import fault
from tools.arguments import number
from tools.errors import exit_status
from tools.train import cover_examples, faces, sources
from tools.train.cover_drawings import COVERS, HELD_OUT, Draw
from tools.train.cover_examples import COVERED, PLAIN
from tools.train.cover_harmless import HARMLESS

#: Of each face: as it is, and with so many covers, covers that are new to the network, and things
#: that are none.
_COUNTS = (3, 2, 2)
_SEED = 77


class Seen(NamedTuple):
    """What became of a face: of which set, real or fake, what was drawn on it; whether it was found
    and could be judged otherwise; and whether it was taken for covered."""

    source: str
    fake: bool
    kind: str
    found: bool
    fit: bool
    covered: bool


def looks(data: faces.Faces, rows: Sequence[int], finder: FaceFinder) -> Iterator[Seen]:
    """What becomes of some faces with all that is drawn on them."""
    covers = Covers(finder.session)
    for count, row in enumerate(rows):
        random = np.random.default_rng([_SEED, row])
        face = cover_examples.laid(data, row, random, finder)
        if face is None:
            continue
        about = data.source[row], bool(data.fake[row])
        for kind, draw in _drawings(random).items():
            pixels, shares = cover_examples.drawn(face, draw, random)
            if kind in COVERS | HELD_OUT and max(shares) < COVERED:
                continue
            pixels = cover_examples.worse(pixels, random)
            again = cover_examples.found_again(pixels, face.face, finder, in_clip=count % 2 == 1)
            if again is None:
                yield Seen(*about, kind, False, False, False)
                continue
            fit = fault(pixels, again, square(again, faces.FRAMING)) is None
            yield Seen(*about, kind, True, fit, fit and covers.see(pixels, [again])[0])


def _drawings(random: np.random.Generator) -> Mapping[str, Draw | None]:
    found: dict[str, Draw | None] = {PLAIN: None}
    for kinds, count in zip((COVERS, HELD_OUT, HARMLESS), _COUNTS, strict=True):
        found |= {str(name): kinds[name] for name in random.choice(list(kinds), count, False)}
    return found


def table(seen: Sequence[Seen]) -> Iterator[str]:
    """How many were left out, by what was drawn; of plain ones by set, too."""
    rows: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        label = "real" if not one.fake else "fake"
        rows[f"plain, {one.source}, {label}" if one.kind == PLAIN else one.kind].append(one)
        for name, kinds in (
            ("ALL plain", (PLAIN,)),
            ("ALL harmless", HARMLESS),
            ("ALL covers", COVERS),
            ("ALL new covers", HELD_OUT),
        ):
            if one.kind in kinds:
                rows[name].append(one)
    yield f"{'':28} {'faces':>6} {'found':>7} {'fit':>7} {'covered, of those that are fit':>10}"
    for name, some in sorted(rows.items()):
        fit = [one for one in some if one.fit]
        mark = " (new)" if name in HELD_OUT else ""
        share = sum(one.covered for one in fit) / max(len(fit), 1)
        found = sum(one.found for one in some) / len(some)
        yield (
            f"{name + mark:28} {len(some):6} {100 * found:6.1f}% {100 * len(fit) / len(some):6.1f}%"
            f" {100 * share:6.1f}%"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.covers", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, required=True, help="folder with faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--faces", type=number(1 << 20), default=300, help="of each set (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        finder = FaceFinder(threads=1)
        seen: list[Seen] = []
        for split, names in (("test", ("dfdc", "stills")), ("val", ("ffpp",))):
            data = sources.load(options.data, "all", split, options.cache)
            random = np.random.default_rng(_SEED)
            for name in names:
                rows = np.flatnonzero(np.array(data.source) == name)
                some = random.permutation(rows)[: options.faces].tolist()
                seen += looks(data, some, finder)
        print(*table(seen), sep="\n")

    return exit_status("covers", work)


if __name__ == "__main__":
    sys.exit(main())
