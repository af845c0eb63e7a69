"""Makes a pair of two released models: what they say together, from which p_fake on, and its card.

    python -m tools.train.pair FAST.npz THOROUGH.npz DST.json --data DIR --cache DIR --videos DIR

Both model files must lie in the folder of DST. A logistic regression on their logits is fitted on
val, as Platt scaling of a single one (`calibrate.py`); thresholds, what small faces lose, and how
much a person's frames differ are the pair's own. `test` is looked at once. The figures stand in the
`meta` of the manifest, from which `--card` alone makes the card again.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minimeso import Detector, load_model
from minimeso.detect.pair import Combination, Pair, load_pair, save_pair
from minimeso.detect.thorough import WIDER
from minimeso.detect.track_score import MOST_LOGIT, logits
from tools.errors import exit_status
from tools.train import calibrate, faces, measures, metrics, pair_card, release, sources, views
from tools.train.device import set_environment
from tools.train.sets import GROUPED, SETS
from tools.train.views import SMALLER, VIEWS

Array = calibrate.Array
#: Of the figures of a single view, which the card tells.
TOLD = ("auc", "expected_calibration_error", "decided", "right_of_decided")
LEAST_FRAMES = 4  # of a track whose spread counts


def logits_of(pair: Pair, split: faces.Faces, view: str, cache: Path) -> Array:
    """(2, N): the calibrated logits of both networks, cut as `Combination` wants them; those of the
    thorough one as of pictures, whose faces it sees in four ways."""
    fast = views.logits(pair.fast, split, view, cache)
    seen = [
        np.clip(views.logits(pair.thorough, split, view, cache, so, w), -MOST_LOGIT, MOST_LOGIT)
        for w in (1.0, WIDER)
        for so in (False, True)
    ]
    return np.array([np.clip(fast, -MOST_LOGIT, MOST_LOGIT), np.mean(seen, 0)])


def fitted(pair: Pair, val: faces.Faces, cache: Path, leave_out: Sequence[str]) -> Pair:
    """The pair with combination, thresholds and small faces of val."""
    seen = {view: logits_of(pair, val, view, cache) for view in VIEWS}
    count = calibrate.importance(val, leave_out)
    fit = combined(np.concatenate(list(seen.values()), 1), val, len(seen), leave_out)
    p_fake = 1 / (1 + np.exp(-fit.logit(seen["as trained"])))
    small = (fit.logit(logits_of(pair, val, view, cache)) for view in SMALLER)
    without = f", but for those of {', '.join(leave_out)}" if leave_out else ""
    calibration = {
        **pair.calibration,
        "kind": "logistic regression on the logits of both",
        "fitted_on": f"val, {int((count > 0).sum())} faces{without}, each so: {', '.join(VIEWS)}",
        "small_faces": calibrate.small_faces(small, val.fake, count),
    }
    return replace(
        pair,
        combination=Combination(fit.bias, *fit.weights),
        thresholds=calibrate.thresholds(p_fake, val, leave_out),
        calibration=calibration,
    )


def combined(
    together: Array, val: faces.Faces, times: int, leave_out: Sequence[str]
) -> calibrate.Fit:
    """One logit of two (2, times * N). How much each network counts is fitted on all sources, or a
    network that knows one of them alone would have too much to say of the others; how sure the sum
    is, without the sources to be left out, or it would be too sure."""
    fake = np.tile(val.fake, times)
    ratio = calibrate.platt(together, fake, np.tile(calibrate.importance(val), times))
    count = np.tile(calibrate.importance(val, leave_out), times)
    scale = calibrate.platt(ratio.logit(together)[None], fake, count)
    weights = tuple(scale.weights[0] * weight for weight in ratio.weights)
    return calibrate.Fit(weights, scale.bias + scale.weights[0] * ratio.bias)


def spread(pair: Pair, videos: Path) -> float:
    """Root of the mean variance of the logits of a person's looked-at frames, over all clips."""
    variances: list[float] = []
    detector = Detector(pair)
    for row in release.clips_of(videos):
        for track in detector.check(videos / row["file"]).tracks:
            looks = [frame.p_fake for frame in track.frames if frame.thorough]
            if len(looks) >= LEAST_FRAMES:
                variances.append(float(logits(looks).var(ddof=1)))
    return round(float(np.sqrt(np.mean(variances))), 3)


def figures(pair: Pair, split: faces.Faces, cache: Path) -> dict[str, Any]:
    """What the card says of one split."""
    models = pair.fast, pair.thorough
    fit = calibrate.Fit((pair.combination.fast, pair.combination.thorough), pair.combination.bias)
    values: dict[str, Any] = {"views": {}}
    source = np.array(split.source)
    for name in VIEWS:
        seen = logits_of(pair, split, name, cache)
        p_fake = 1 / (1 + np.exp(-fit.logit(seen)))
        if name == "as trained":
            values["groups"] = measures.by_group(p_fake, split, pair.thresholds)
            values["alone"] = {
                model.name: _aucs(of_model, split)
                for model, of_model in zip(models, seen, strict=True)
            }
        values["views"][name] = _aucs(p_fake, split)
        if name == "as trained":
            values["precision"] = {
                one: measures.precision(p_fake, split, pair.thresholds, one)
                for one in values["views"][name]
            }
            values["reliability"] = {
                one: [
                    tuple(round(value, 4) for value in row)
                    for row in metrics.reliability(p_fake[source == one], split.fake[source == one])
                ]
                for one in values["views"][name]
            }
    return values


def _aucs(score: Array, split: faces.Faces) -> dict[str, float]:
    """By source, of those that have both kinds."""
    source = np.array(split.source)
    return {
        name: round(metrics.roc_auc(split.fake[source == name], score[source == name]), 4)
        for name in sorted(set(split.source))
        if split.fake[source == name].any()
    }


def made(
    fast: Path,
    thorough: Path,
    destination: Path,
    options: argparse.Namespace,
) -> Pair:
    """The pair with all that its card says."""
    models = load_model(fast), load_model(thorough)
    pair = Pair(options.name, *models, Combination(0.0, 0.0, 1.0), {"real": 0.5, "fake": 0.5})
    val, test = (
        sources.load(options.data, options.set, split, options.cache) for split in ("val", "test")
    )
    pair = fitted(pair, val, options.cache, options.leave_out)
    print(pair.combination, pair.thresholds, pair.calibration, file=sys.stderr, flush=True)
    meta: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "set": options.set,
        "set_about": SETS[options.set].about,
        "left_out": list(options.leave_out),
        "train_faces": {model.name: model.meta.get("train_faces") for model in models},
        "note": options.note,
        **({"out_of_source": options.out_of_source} if options.out_of_source else {}),
    }
    if options.videos:
        measured = spread(pair, options.videos)
        pair = replace(pair, calibration={**pair.calibration, "spread": measured})
        meta["clips"] = release.clips(pair, options.videos)
    meta["metrics"] = {
        name: figures(pair, split, options.cache) for name, split in (("val", val), ("test", test))
    }
    return replace(pair, meta=meta)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.pair", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("fast", type=Path, help="model file of the fast network, by tools.train.release")
    add("thorough", type=Path, help="and of the thorough one")
    add("destination", type=Path, help="the manifest to write (.json), beside both")
    add("--data", type=Path, required=True, help="folder that holds faces/ and more/")
    add("--cache", type=Path, required=True, help="folder for decoded faces")
    add("--set", choices=GROUPED, default="all")
    add("--name", default="default")
    add("--videos", type=Path, help="folder of clips with videos.csv")
    add(
        "--leave-out",
        nargs="*",
        default=(),
        metavar="SOURCE",
        help="sources whose val faces a network may have learned from: nothing is fitted on them",
    )
    add("--out-of-source", type=pair_card.out_of_source, help="CSV of figures on other sources")
    add("--note", default="", help="what else the card says")
    options = parser.parse_args(arguments)

    def work() -> None:
        pair = made(options.fast, options.thorough, options.destination, options)
        save_pair(pair, options.destination)
        pair_card.write(load_pair(options.destination), options.destination)

    return exit_status("pair", work)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # only slower without
        set_environment()
    sys.exit(main())
