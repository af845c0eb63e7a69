"""What becomes of drawings, statues, screens and prints: `python -m tools.bench.domain --data DIR
--cache DIR`.

Faces of a split lie in larger pictures, as they are, made worse, and drawn by a script; those kinds
that are marked "new" nothing was trained with. `minimeso.Detector` finds and judges them
as it does pictures. Beside what it says stands what the pair alone says, without the check. With
`--pictures DIR` every picture of a folder is judged, with `--videos DIR` every clip.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minimeso import Detector
from minimeso.detect.box import center
from minimeso.detect.verdict import Track, judge
from minimeso.media.pixels import Pixels
from tools.arguments import number
from tools.errors import exit_status
from tools.train import domain, faces, harms, pasted, sources
from tools.train.cover_examples import chosen_rows
from tools.train.domain_drawings import HELD_OUT, KINDS

#: Of each face: as it is, under so many views, and so many drawings of either kind.
_VIEWS, _KINDS, _HELD_OUT = 1, 2, 2
_SCALES = (0.7, 1.3)
_SEED = 78


class Seen(NamedTuple):
    """What became of a face: what it is; whether it was found and could be judged; what the pair
    alone says; and whether it was taken for a stranger."""

    kind: str
    found: bool
    word: str | None = None
    stranger: bool = False


def looks(detector: Detector, split: faces.Faces, rows: Sequence[int]) -> Iterator[Seen]:
    """What becomes of some faces with all that is done with them."""
    for row in tqdm(rows, "faces", unit="face", disable=None):
        random = np.random.default_rng([_SEED, row])
        face = domain.whole(split, row)
        scale = random.uniform(*_SCALES)
        plain, (x, y) = pasted.paste(face.picture, scale, random)
        side = face.square[2] * scale
        middle = (
            x + (face.square[0] + face.square[2] / 2) * scale,
            (y + (face.square[1] + face.square[3] / 2) * scale),
        )
        label = "fake" if split.fake[row] else "real"
        yield _seen(detector, plain, middle, side, f"plain, {split.source[row]}, {label}")
        for name in random.choice(list(domain.VIEWS), _VIEWS, False).tolist():
            harm, amount = domain.VIEWS[name]
            pixels = harms.harm(plain, harm, amount)
            part = pixels.shape[1] / plain.shape[1]
            at = middle[0] * part, middle[1] * part
            yield _seen(detector, pixels, at, side * part, name)
        for kinds, count in ((KINDS, _KINDS), (HELD_OUT, _HELD_OUT)):
            for name in random.choice(list(kinds), count, False).tolist():
                pixels = kinds[name](plain, side, random)
                yield _seen(detector, pixels, middle, side, name)


def _seen(
    detector: Detector, pixels: Pixels, middle: tuple[float, float], side: float, kind: str
) -> Seen:
    """What a detector says of the face that is there."""
    for track in detector.check(pixels).tracks:
        if np.hypot(*np.subtract(center(track.frames[0].box), middle)) < 0.4 * side:
            return _judged(detector, track, kind)
    return Seen(kind, False)


def _judged(detector: Detector, track: Track, kind: str) -> Seen:
    word = judge(track.p_fake, detector.model.thresholds or {})
    stranger = any(doubt.code == "out_of_domain" for doubt in track.doubts)
    return Seen(kind, True, word, stranger)


def of_files(detector: Detector, folder: Path) -> Iterator[Seen]:
    """Every person of every file of a folder."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        verdict = detector.check(path)
        for track in verdict.tracks:
            yield _judged(detector, track, folder.name)
        if verdict.status != "unreadable" and not verdict.tracks:
            yield Seen(folder.name, False)


def table(seen: Sequence[Seen]) -> Iterator[str]:
    """By kind: how many were judged, what of these the pair alone says, and after the check."""
    rows: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        rows[one.kind].append(one)
        for name, kinds in (("ALL kinds", KINDS), ("ALL new kinds", HELD_OUT)):
            if one.kind in kinds:
                rows[name].append(one)
    titles = ("faces", "judged", "alone: real", "fake", "strangers", "then: real", "fake")
    yield f"{'':26}" + "".join(f"{title:>12}" for title in titles)
    for name, some in sorted(rows.items()):
        judged = [one for one in some if one.found]
        known = [one for one in judged if not one.stranger]
        parts = [len(judged) / len(some)]
        for of in (judged, known):
            parts += [sum(one.word == word for one in of) / max(len(judged), 1)
                      for word in ("real", "fake")]  # fmt: skip
        parts.insert(3, (len(judged) - len(known)) / max(len(judged), 1))
        label = f"{name} (new)" if name in HELD_OUT else name
        yield f"{label:26}{len(some):12}" + "".join(f"{100 * part:10.1f} %" for part in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.domain", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, help="folder with faces/ and more/")
    add("--cache", type=Path, help="folder for decoded faces")
    add("--split", choices=faces.SPLITS, default="test", help="(default: %(default)s)")
    add("--faces", type=number(1 << 20), default=300, help="how many (default: %(default)s)")
    add("--pictures", type=Path, help="folder of pictures to judge, too")
    add("--videos", type=Path, help="folder of clips to judge, too")
    add("--model", default="default", help="pair (default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        detector = Detector(options.model, threads=1)
        seen: list[Seen] = []
        if options.data is not None and options.cache is not None:
            split = sources.load(options.data, "all", options.split, options.cache)
            rows = np.array(chosen_rows(split, options.faces, _SEED))
            if options.split == "val":  # nobody whom the regression has seen
                rows = rows[~domain.is_fitted_on(split)[rows]]
            seen += looks(detector, split, rows.tolist())
        for folder in (options.pictures, options.videos):
            if folder is not None:
                seen += of_files(detector, folder)
        print(*table(seen), sep="\n")

    return exit_status("domain", work)


if __name__ == "__main__":
    sys.exit(main())
