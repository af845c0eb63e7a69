"""Leave one source out: how a network does on a source that it has not learned from.

    python -m tools.train.out_of_source BEST.pt [BEST.pt ...] --data DIR --cache DIR --csv OUT.csv

Each checkpoint is of `tools.train --set all-of-dfdc`, `all-of-ffpp` or another set of `sets.py`.
It is calibrated, and its thresholds are chosen, on val of its own sources, as for use; then it
judges val of every other source that has both kinds of faces. The rows of OUT.csv are what cards
and reports tell of strangers' clips (`tools.train.pair --out-of-source OUT.csv`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tools import files
from tools.errors import exit_status
from tools.train import calibrate, faces, metrics, release, sources, views
from tools.train.sets import SETS, TITLES

#: The set that has every source.
EVERY = "all"


def rows_of(checkpoint: Path, data: Path, cache: Path) -> list[dict[str, Any]]:
    """One row for each source that the network of a checkpoint has not learned from."""
    model = release.read_trained(checkpoint, checkpoint.parent.name)
    chosen = model.meta["recipe"].get("set", "")
    known = SETS[chosen].sets if chosen else ("dfdc",)
    model = replace(model, framing=dict(faces.FRAMING))
    val = sources.load(data, EVERY, "val", cache)
    logit = views.logits(model, val, "as trained", cache)
    source = np.array(val.source)
    strangers = sorted(set(val.source) - set(known))
    count = calibrate.importance(val, strangers)
    fit = calibrate.platt(logit[None], val.fake, count)
    p_fake = 1 / (1 + np.exp(-fit.logit(logit[None])))
    thresholds = calibrate.thresholds(p_fake, val, strangers)
    rows = []
    for name in strangers:
        theirs = source == name
        if not val.fake[theirs].any():
            continue
        judged = metrics.judged(
            p_fake[theirs], val.fake[theirs], np.full(int(theirs.sum()), -1), thresholds
        )
        rows.append(
            {
                "network": model.meta["architecture"],
                "trained_on": " and ".join(TITLES[one] for one in known),
                "tested_on": TITLES[name],
                "faces": int(theirs.sum()),
                "people": len(set(faces.people(val)[theirs])),
                "auc": judged["auc"],
                "decided": judged["decided"],
                "right_of_decided": judged["right_of_decided"],
                "expected_calibration_error": judged["expected_calibration_error"],
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.out_of_source", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("checkpoints", type=Path, nargs="+", help="best.pt of tools.train --set ...")
    add("--data", type=Path, required=True, help="folder that holds faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--csv", type=Path, required=True, help="the table to write")
    options = parser.parse_args(arguments)

    def work() -> None:
        rows = [
            row
            for path in options.checkpoints
            for row in rows_of(path, options.data, options.cache)
        ]
        table = pd.DataFrame(rows).round(4)
        with files.atomic_file(options.csv) as part:
            table.to_csv(part, index=False)
        print(table.to_string(index=False))

    return exit_status("out_of_source", work)


if __name__ == "__main__":
    sys.exit(main())
