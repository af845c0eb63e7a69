"""Faces of several sets, for training: who is in which split, and how many fakes a real face has.

`DIR/faces` is DFDC by pairs (`tools.train.faces`), `DIR/more` further sets in one table,
`faces.csv`, beside a zip a set: more of DFDC, FaceForensics++ (four methods), stills. There a real
face may have several fakes or none. Splits hold for people, over all sets together: of a face of
`train` whose people stand in `val` or `test` of any set, too, nothing is taken.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.train.faces import SPLITS, DataError, Faces, Source, read
from tools.train.sets import SETS, Chosen

#: The split that keeps a person who stands in several.
_STRONGEST = ("test", "val", "train")
_FRAMED = ("ffpp", "stills")  # their pictures are framed already, with a margin


class Row(NamedTuple):
    """A face of a table."""

    path: str
    fake: bool
    split: str
    set: str
    method: str
    people: tuple[str, ...]
    video: str
    width: int
    height: int
    confirmed: bool
    archive: Path


def load(data: Path, name: str, split: str, cache: Path, limit: int = 0) -> Faces:
    """The faces of one of `SETS`: as many fakes as real faces in each set, evenly over its methods,
    or with `repeat` all there are. `pair` is the number of the video that a face, or the real face
    of a fake, is from.

    Args:
        data: the folder that holds `faces/` and `more/`.
        name: of `SETS`.
        split: `train`, `val` or `test`.
        cache: where decoded pixels are kept.
        limit: so many faces at the most, for trials.

    Raises:
        DataError: a table or an archive cannot be used.
    """
    chosen = SETS[name]
    rows = [row for row in tables(data) if _wanted(row, chosen, split)]
    if chosen.repeat:
        rows = _shuffled(rows) if limit else sorted(rows, key=lambda row: (row.set, row.path))
    else:
        rows = balanced(rows, chosen.most)
    rows = rows[: limit or None]
    if len({row.fake for row in rows}) != 2:
        raise DataError(f"{data}: the {split} split of {name} needs real and fake faces")
    return read(list(_sources(rows)), f"{name}-{split}", cache)


def tables(data: Path) -> list[Row]:
    """All faces of `faces/` and `more/`, without those of people who belong to another split."""
    rows = [*_table(data / "faces", "dfdc"), *_table(data / "more", "")]
    split_of: dict[str, str] = {}
    for split in reversed(_STRONGEST):
        split_of |= {person: split for row in rows if row.split == split for person in row.people}
    return [row for row in rows if all(split_of[person] == row.split for person in row.people)]


def balanced(rows: Sequence[Row], most: int = 0) -> list[Row]:
    """Of each set as many fakes as real faces, evenly over methods; real and fake in turn.

    Which ones: by an order that depends on their names alone. A method's fakes are taken video by
    video, so that as many videos as possible have one.
    """
    pairs: list[tuple[Row, Row]] = []
    for name in sorted({row.set for row in rows}):
        of_set = [row for row in rows if row.set == name]
        real = _shuffled(row for row in of_set if not row.fake)
        methods = sorted({row.method for row in of_set if row.fake})
        fakes = [_one_a_video(r for r in of_set if r.fake and r.method == m) for m in methods]
        fake = [row for turn in zip_longest(*fakes) for row in turn if row]
        count = min(len(real), len(fake))
        pairs += zip(real[:count], fake[:count], strict=True)
    if most and 2 * len(pairs) > most:  # the rarer sets whole
        room, groups = most // 2, [list(g) for _, g in groupby(pairs, key=lambda pair: pair[0].set)]
        pairs = []
        for done, group in enumerate(sorted(groups, key=len)):
            share = group[: room // (len(groups) - done)]
            pairs += share
            room -= len(share)
    return [row for pair in pairs for row in pair]


def _wanted(row: Row, chosen: Chosen, split: str) -> bool:
    methods = chosen.methods
    return (
        row.split == split
        and row.set in chosen.sets
        and (not row.fake or not methods or row.method in methods)
    )


def _shuffled(rows: Iterable[Row]) -> list[Row]:
    rows = sorted(rows, key=lambda row: (row.set, row.path))
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]


def _one_a_video(rows: Iterable[Row]) -> list[Row]:
    """Shuffled, but first one of each video, then a second one of each, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for row in _shuffled(rows):
        seen[row.video] = seen.get(row.video, -1) + 1
        turns.append((seen[row.video], row))
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])]


def _table(folder: Path, name: str) -> Iterator[Row]:
    """The rows of `faces.csv` of a folder; `name`: the set, where the table has no such column."""
    table = folder / "faces.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                group = name or row["set"]
                if row["split"] not in SPLITS or row["label"] not in ("real", "fake"):
                    raise DataError(f"{table}: a row of split {row['split']!r}, label"
                                    f" {row['label']!r}; get the table anew")  # fmt: skip
                yield Row(
                    path=row["path"],
                    fake=row["label"] == "fake",
                    split=row["split"],
                    set=group,
                    method=(row.get("method") or "DFDC") if row["label"] == "fake" else "original",
                    people=_people(group, row["identity_or_source"]),
                    video=row["original_video"],
                    width=int(row["width"]),
                    height=int(row["height"]),
                    confirmed=row.get("confirmed", "1") == "1",
                    archive=folder / f"{group if not name else row['split']}.zip",
                )
    except KeyError as error:
        raise DataError(f"{table}: no column {error}; get the table of this face set") from None
    except (UnicodeDecodeError, csv.Error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{table}: cannot be read ({error}); get the table anew") from None
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror}); copy it again") from None


def _people(name: str, identity: str) -> tuple[str, ...]:
    """Who may be in a picture: of FaceForensics++ the two people of the pair of videos, of DFDC a
    group of people that the program which made the table may have taken for one another."""
    if name == "ffpp":
        return tuple(f"ffpp-{number}" for number in identity.split("-")[1:])
    return (f"{name}-{identity.partition('/')[0]}",)


def _sources(rows: Sequence[Row]) -> Iterator[Source]:
    archives: dict[Path, tuple[zipfile.ZipFile, str]] = {}
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.archive not in archives:
            try:
                stamp = f"{row.archive.stat().st_size}"
                archives[row.archive] = zipfile.ZipFile(row.archive), stamp
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(f"{row.archive}: cannot be read ({error}); copy it again") from None
        members, stamp = archives[row.archive]
        yield Source(
            name=row.path,
            fake=row.fake,
            pair=numbers.setdefault((row.set, row.video), len(numbers)),
            identity="+".join(row.people),
            stamp=f"{row.set} {stamp}",
            read=partial(members.read, row.path),
            size=(row.width, row.height) if row.set in _FRAMED else None,
            origin=row.set,
            method=row.method,
        )
