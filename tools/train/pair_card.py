"""The card of a pair, Markdown and a reliability diagram, of what its manifest holds.

    python -m tools.train.pair_card default.json

writes default.md and default.svg beside it.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minimeso.detect.pair import Pair, load_pair
from tools.errors import ToolError, exit_status
from tools.train import card
from tools.train.calibrate import FALSE_ALARMS, RIGHT

CARD = """\
# {name}

Two networks, one verdict: `{fast}` looks at every chosen frame, `{thorough}` at the best face of a
person every half second, later every second, and at every face of a picture. Made {date}.
{attention}
## What it was measured on
{scope}

### val (used to choose and to calibrate)
{val}

### test (nothing chosen by it)
{test}

"Decided" faces are called real (p_fake <= {thresholds[real]}) or fake (p_fake >=
{thresholds[fake]}); what is between is `uncertain`. The thresholds are the nearest to one half with
which on val, in every source{but}, {right:.1%} of those called fake are, and of those called real
are, and at most {alarms:.2%} of the real stills are called fake. Intervals are 95 %, by drawing
whole people. Sizes and skin tones are those of the faces of clips: the side of the square that the
networks see in the pixels of the file, and the individual typology angle of the cheeks (above 41
degrees light, below 10 dark; the light of a picture moves it, so it is coarse).

AUC by what became of the picture before:

{views}

Each network alone (AUC, test): {alone}.

![Reliability diagram]({name}.svg)

## Where fakes are rare
With `--prior` the same faces of test, if so many of all are fakes:

{precision}

## Sources that it has not learned from
{out_of_source}

## Clips
{clips}

## How the two are combined
logit = {combination.bias:.3f} + {combination.fast:.3f} x fast + {combination.thorough:.3f} x
thorough, of the calibrated logits of each. Fitted on {fitted_on}.
From look to look a person's logits differ by {spread} (standard deviation on the clips above): the
interval of a verdict is made of that. Small faces: {small}.

To make it again (both model files beside it, FACES the folder of the faces, CLIPS of the clips;
what was trained on one source alone, BEST.pt, as in docs/training.md):

{commands}

## What it cannot do
- It knows swaps and reenactments like those of its training sets. Of generators that it has not
  learned from, whole synthetic pictures or edited ones it knows nothing.
- A probability is calibrated for as many fakes as real faces; where fakes are rarer, say so with
  `--prior`.
- It is no proof.{strangers}

## Terms
{faces} The weights of the thorough network began with those of
EfficientNet-Lite0 (Apache License 2.0). {given}{note}
"""

_STRANGERS = """
- Of drawings, statues, screens and prints of faces it knows nothing. Many of them it recognises
  and says so (`domain.md`), not all."""


def out_of_source(path: str) -> list[dict[str, Any]]:
    """Rows of a CSV file: `trained_on`, `tested_on`, `faces`, `auc`, `decided`,
    `right_of_decided`; for argparse."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            {
                "trained_on": row["trained_on"],
                "tested_on": row["tested_on"],
                "faces": int(row["faces"]),
                **{key: float(row[key]) for key in ("auc", "decided", "right_of_decided")},
            }
            for row in rows
        ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None


def _views(metrics: Mapping[str, Any]) -> Iterator[str]:
    sources = [
        (split, name) for split in ("val", "test") for name in metrics[split]["views"]["as trained"]
    ]
    yield f"| | {' | '.join(f'{name}, {split}' for split, name in sources)} |"
    yield "|---" * (len(sources) + 1) + "|"
    for view in metrics["val"]["views"]:
        cells = (f"{metrics[split]['views'][view][name]:.3f}" for split, name in sources)
        yield f"| {view} | {' | '.join(cells)} |"


def _precision(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield "| source | fakes | called fake | of these fake | called real | of these real |"
    yield "|---|---|---|---|---|---|"
    for name, rows in metrics["test"]["precision"].items():
        for row in rows:
            right = [
                "none" if row[k] is None else f"{row[k]:.1%}"
                for k in ("right_of_fake", "right_of_real")
            ]
            yield (
                f"| {name} | {row['prior']:.0%} | {row['called_fake']:.1%} | {right[0]}"
                f" | {row['called_real']:.1%} | {right[1]} |"
            )


def _out_of_source(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "It was not measured for this model."
    lines = [
        "The thorough network, by much the same recipe (tools/train/NOTES.md) trained on one source"
        " alone and tested on another: what a stranger's clip"
        " meets.",
        "",
        "| trained on | tested on | faces | AUC | decided | right of the decided |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['trained_on']} | {row['tested_on']} | {row['faces']} | {row['auc']:.3f}"
        f" | {row['decided']:.1%} | {row['right_of_decided']:.1%} |"
        for row in rows
    ]
    return "\n".join(lines)


def _small(said: Mapping[str, float]) -> str:
    if not said["shift"]:
        return "they look no more fake than\nothers, so nothing is taken away for their size"
    return f"the logit is lowered by\n{said['shift']} log({said['below']:.0f} / side)^2"


def _commands(pair: Pair) -> Iterator[str]:
    """What makes every figure of the card again, one after the other."""
    meta, flags, where = pair.meta, "", "--data FACES --cache CACHE"
    if meta["left_out"]:
        flags += f" --leave-out {' '.join(meta['left_out'])}"
    if meta.get("out_of_source"):
        yield f"python -m tools.train.out_of_source BEST.pt ... {where} --csv OTHERS.csv"
        flags += " --out-of-source OTHERS.csv"
    yield (
        f"python -m tools.train.pair {pair.fast.name}.npz {pair.thorough.name}.npz"
        f" {pair.name}.json --set {meta['set']} {where} --videos CLIPS{flags}"
    )
    if pair.domain is not None:
        yield f"python -m tools.train.domain {pair.name}.json {where}"


def text(pair: Pair) -> str:
    """The card as Markdown."""
    meta = pair.meta
    metrics, calibration = meta["metrics"], pair.calibration
    but = f" but {', '.join(meta['left_out'])}" if meta["left_out"] else ""
    scope = f"Faces of {meta['set_about']}, nobody in two splits."
    if meta["left_out"]:
        scope += (
            f" **The figures of val for {', '.join(meta['left_out'])} flatter**: the weights that"
            " the thorough network began with may have learned from people of that val split, so"
            " nothing was fitted on it."
        )
    alone = "; ".join(
        f"{name}: {', '.join(f'{source} {auc:.3f}' for source, auc in aucs.items())}"
        for name, aucs in metrics["test"]["alone"].items()
    )
    return CARD.format(
        name=pair.name,
        fast=pair.fast.name,
        thorough=pair.thorough.name,
        date=meta["date"],
        attention=card.attention(metrics),
        scope=scope,
        val="\n".join(card.group_table(metrics["val"]["groups"])),
        test="\n".join(card.group_table(metrics["test"]["groups"])),
        thresholds=pair.thresholds,
        but=but,
        right=RIGHT,
        alarms=FALSE_ALARMS,
        views="\n".join(_views(metrics)),
        alone=alone,
        precision="\n".join(_precision(metrics)),
        out_of_source=_out_of_source(meta.get("out_of_source", ())),
        clips=card.clips_table(meta.get("clips", ())),
        combination=pair.combination,
        fitted_on=calibration["fitted_on"],
        spread=calibration.get("spread", "not measured"),
        small=_small(calibration["small_faces"]),
        commands="\n".join(f"    {command}" for command in _commands(pair)),
        faces=card.TERMS["sets"],
        given=card.GIVEN.format(licence="MIT"),
        note=f"\n\n{meta['note']}" if meta.get("note") else "",
        strangers=_STRANGERS if pair.domain is not None else "",
    )


def write(pair: Pair, path: Path) -> None:
    """The card and the diagram beside the manifest `path`."""
    path.with_suffix(".md").write_text(text(pair), encoding="utf-8")
    bins = {
        f"{name}, {split}": found
        for split in ("val", "test")
        for name, found in pair.meta["metrics"][split]["reliability"].items()
        if len(found) > 1
    }
    card.reliability_diagram(pair.name, bins, path.with_suffix(".svg"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.pair_card", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("manifest", type=Path, nargs="+", help="manifests of tools.train.pair")
    options = parser.parse_args(arguments)

    def work() -> None:
        for path in options.manifest:
            try:
                write(load_pair(path), path)
            except KeyError as error:
                raise ToolError(f"{path}: no {error} in its meta; make it anew") from None

    return exit_status("pair_card", work)


if __name__ == "__main__":
    sys.exit(main())
