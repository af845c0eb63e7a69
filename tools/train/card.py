"""The card of a shipped model: Markdown and a reliability diagram, made of what its file holds.

Everything that a card says is in the `meta` of the model file, so a card can be made again without
the faces: `python -m tools.train.card MODEL.npz` writes MODEL.md and MODEL.svg.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minimeso import Model, load_model
from tools.errors import ToolError, exit_status
from tools.train import faces, pasted

CARD = """\
# {name}

{architecture}, activation setting `{activation}`, {count:,} trained values. Made {date}.

**It errs often.** It separates the fakes of the test split from the real faces with an AUC of
{test[auc]:.3f} (0.5 is chance, 1 is perfect). It says `uncertain` for {undecided}.
{attention}
| | val (used to choose and calibrate) | test (nothing chosen by it) |
|---|---|---|
{rows}

Intervals are 95 %, by drawing {drawn}. "Decided" faces are those that are called
real (p_fake <= {thresholds[real]}) or fake (p_fake >= {thresholds[fake]}). "Pasted and found": the
crop of the set pasted at a random place into a picture of 640 x 480, found there by `FaceFinder`
and cut anew; "rescaled": so, but {scales[0]} to {scales[1]} times as large. A face that is not
found there counts as it is in the set. JPEG, size and blur are those of the whole crop, before the
face is cut.
{groups}
![Reliability diagram]({name}.svg)

{published}

## Faces of another source
It will be worse there. {clips}

## Data
{data} The faces are not in this repository.

## Framing
The network sees a square around the face, scaled once to 256 x 256 ({scaled}): its centre lies
half way between the middle of the eyes and the middle of the mouth, its side is {side} times the
larger of two distances, between the eyes and from eyes to mouth. Faces are found and cut so in
training and in use: give `minimeso detect` whole pictures, not crops.

## Recipe
{recipe}

To make it again (FACES is the folder of the faces, CLIPS of the clips, WEIGHTS of the published
Keras weights, OUT any other):

{command}

Epoch {epoch} of the run was the best on val.{note}

## What it cannot do
{limits}
- Compression, blur and small faces hide the traces it looks for; the table says what some of that
  costs. {small}
  Strong profiles are rare in the set.
- A probability is calibrated for faces like those of the val split, half of them fake. Where fakes
  are rarer, most of what it calls fake may be real. It is no proof.
- Only one frame of a video was measured. In a clip its errors repeat from frame to frame.

## Terms
{terms}
"""

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
#: What is known of the faces, by `Faces.layout`: the pairs are those that the bundled models saw.
DATA = {
    "pairs": """\
DFDC face crops: tight boxes of dlib's face finder, 224 x 224 JPEG, of each original video
one real face and the same frame of a fake made of it, split by person; {train_faces} faces to
train. The crops are easier and cleaner than raw DFDC: figures are not comparable with published
ones.""",
    "sets": """\
{set_about}: {train_faces} faces to train, nobody in two splits. DFDC: face crops as tight boxes of
dlib's face finder, 224 x 224 JPEG, the fakes of the same frame as their real face. FaceForensics++:
faces of YouTube clips, four methods (Deepfakes, FaceSwap, Face2Face, NeuralTextures). Stills: LFW,
one photo a person, as both classes (self-blended).""",
    "folders": """\
Pictures in folders `df/` and `real/`, {train_faces} to train. Whose faces they are is not known to
the tools, so one person may be in more than one split, which flatters the figures.""",
}
LIMITS = {
    "pairs": """\
- It knows one family of swaps (DFDC, mostly autoencoders, indoor clips). On other generators,
  whole synthetic pictures or edited ones it has not been tested; expect chance.
- All faces that it has learned from and was measured on were crops of 224 pixels that somebody
  else had scaled before: nine of ten of them up, by another program. How it does on faces straight
  from a camera has not been measured on more than a few clips.""",
    "sets": """\
- It knows swaps and reenactments like those of its sets. Of generators that it has not learned
  from, whole synthetic pictures or edited ones it knows nothing.""",
    "folders": """\
- It knows the swaps of those folders. On other generators, whole synthetic pictures or edited ones
  it has not been tested; expect chance.""",
}
DRAWN = {
    "pairs": "whole people",
    "sets": "whole people",
    "folders": "faces (too narrow where several are of one person)",
}

#: Whose terms the faces have, by `Faces.layout`.
TERMS = {
    "pairs": "The faces are for research: DFDC (its competition's rules); none is in this package.",
    "sets": """\
The faces are for research: DFDC (its competition's rules), FaceForensics++ and LFW (research
terms); none is in this repository.""",
    "folders": "The terms of the faces are known to whoever has those folders.",
}
#: Of faces scaled down: whether size alone changes what it says.
SMALL = """\
Small faces look fake to the network: the detector takes that away again by their size
  (`small_faces` in the calibration), `minimeso.Session` does not."""
NOT_SMALL = """\
Small faces look no more fake to it than others, so that the detector takes nothing
  away for their size (`small_faces` in the calibration)."""
GIVEN = """\
The weights here are given under the {licence} licence as far as
they are ours to give; whether the terms of the faces bind who uses weights that were trained on
them is not settled: ask before you earn money with them."""

LABELS = {
    "faces": "faces",
    "people": "people",
    "auc": "AUC",
    "accuracy": "right at 0.5",
    "fake_above_its_real_twin": "fake scores above its real twin",
    "expected_calibration_error": "expected calibration error",
    "decided": "decided",
    "right_of_decided": "right, of the decided",
}


def cell(metrics: Mapping[str, Any], key: str) -> str:
    value = metrics[key]
    if value is None:
        return "none decided" if key == "right_of_decided" else "there are no pairs"
    if isinstance(value, int):
        return str(value)
    if metrics.get(f"{key}_low") is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{metrics[f'{key}_low']:.3f}, {metrics[f'{key}_high']:.3f}]"


def _rows(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of the table: what is known of both splits."""
    views = {key: key.replace("auc:", "AUC:") for key in metrics["test"] if key.startswith("auc: ")}
    ranks = {key: key for key in metrics["test"] if key.startswith("rank correlation")}
    for key, label in {**LABELS, **views, **ranks}.items():
        if key not in metrics["test"]:
            continue  # people, where nobody knows who they are
        yield f"| {label} | {cell(metrics['val'], key)} | {cell(metrics['test'], key)} |"


def group_table(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a table of `measures.by_group`."""
    yield (
        "| faces of | faces | people | AUC | calibration error | decided | right of the decided |"
        " real called fake | fake called real |"
    )
    yield "|---" * 9 + "|"
    for name, values in groups.items():
        cells = [name, str(values["faces"]), str(values["people"])]
        for key in ("auc", "expected_calibration_error", "decided", "right_of_decided"):
            cells.append(cell(values, key) if values.get(key) is not None else "")
        for key in ("real_called_fake", "fake_called_real"):
            cells.append("" if values.get(key) is None else f"{values[key]:.1%}")
        yield f"| {' | '.join(cells)} |"


def attention(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Where groups of skin or size differ by more than .05 of AUC: said at the top."""
    said = []
    for what, names in (
        ("skin tone", ("light skin", "medium skin", "dark skin")),
        ("size", ("square under 110 pixels", "110 to 160", "160 and more")),
    ):
        for split in ("val", "test"):
            groups = metrics[split].get("groups", {})
            aucs = {
                name: groups[name]["auc"]
                for name in names
                if name in groups and groups[name].get("auc") is not None
            }
            if aucs and max(aucs.values()) - min(aucs.values()) > 0.05:
                listed = ", ".join(f"{name} {auc:.3f}" for name, auc in aucs.items())
                said.append(
                    f"\n**It does not do equally well by {what}** (AUC, {split}): {listed}.\n"
                )
    return "".join([*said, "\nThese groups may differ in their sources, too.\n"] if said else [])


def _terms(meta: Mapping[str, Any], layout: str) -> str:
    began = ""
    if meta["architecture"].startswith("efficientnet"):
        size = meta["architecture"][-1]
        began = f" The weights\nbegan with those of EfficientNet-Lite{size} (Apache License 2.0)."
    elif meta["recipe"].get("teacher"):
        began = (
            " Larger\nnetworks taught it; those of this project began with the weights of"
            " EfficientNet-Lite (Apache License\n2.0)."
        )
    return f"{TERMS[layout]}{began}\n{GIVEN.format(licence=meta['licence'])}"


def _recipe(meta: Mapping[str, Any]) -> str:
    """What was asked for; without what means nothing, such as an activation that is not there."""
    said = {key: value for key, value in meta["recipe"].items() if value != ""}
    if said.get("activation") != meta["activation"]:
        said.pop("activation", None)
    return ", ".join(f"{key} {value}" for key, value in said.items())


def _scaled(framing: Mapping[str, Any]) -> str:
    words = ["bilinear"]
    if framing.get("resample") == "bicubic_2x":
        words[0] += ", a smaller one made twice as large by bicubic first"
    if framing.get("dtype") == "uint8":
        words.append("rounded to bytes")
    return "; ".join(words)


def _by_group(meta: Mapping[str, Any]) -> str:
    if "groups" not in meta["metrics"]["test"]:
        return ""
    lines = []
    for split in ("val", "test"):
        lines += ["", f"## By source, method, size and skin tone: {split}", ""]
        lines += group_table(meta["metrics"][split]["groups"])
    if meta.get("left_out"):
        lines += [
            "",
            f"Val of {', '.join(meta['left_out'])} flatters: the weights that it began with may"
            " have learned from those people, so nothing was fitted on it.",
        ]
    return "\n".join([*lines, ""])


def _published(rivals: Mapping[str, float]) -> str:
    if not rivals:
        return ""
    found = ", ".join(f"{name} {auc:.3f}" for name, auc in rivals.items())
    return (
        "For comparison, the published weights of Afchar et al. on the same test split (AUC):\n"
        f"{found}. They were trained on another set, so this says nothing of their worth there."
    )


def clips_table(clips: Sequence[Mapping[str, Any]]) -> str:
    if not clips:
        return "It was not measured for this model."
    lines = [
        "These clips (those named dfdc_ of DFDC, the others of other sources) are all that was at"
        " hand, too few for a rate:",
        "",
        "| clip | is | p_fake | verdict |",
        "|---|---|---|---|",
    ]
    for clip in clips:
        score = "" if clip["p_fake"] is None else f"{clip['p_fake']:.2f}"
        verdict = clip["verdict"] or "nothing to judge"
        lines.append(f"| {clip['file']} | {clip['label']} | {score} | {verdict} |")
    scores = {clip["file"]: clip["p_fake"] for clip in clips}
    pairs = [
        (clip["file"], clip["twin"], scores[clip["file"]], scores[clip["twin"]])
        for clip in clips
        if clip["label"] == "fake" and scores.get(clip["twin"]) is not None
    ]
    above = [f"{fake} above {real}" for fake, real, one, other in pairs if one and one > other]
    below = [f"{fake} below {real}" for fake, real, one, other in pairs if not one or one <= other]
    lines += ["", f"Fakes and their real twins: {', '.join(above + below) or 'none'}."]
    return "\n".join(lines)


def text(model: Model) -> str:
    """The model card as Markdown."""
    meta = model.meta
    test = meta["metrics"]["test"]
    right = test["right_of_decided"]
    others = "" if right is None else f";\nof the others it gets {right:.0%} right"
    layout = meta.get("faces_in", "pairs")
    return CARD.format(
        name=model.name,
        architecture=meta["architecture"],
        activation=meta["activation"],
        count=meta["trained_values"],
        date=meta["date"],
        test=test,
        undecided=f"{1 - test['decided']:.0%} of the faces{others}",
        rows="\n".join(_rows(meta["metrics"])),
        groups=_by_group(meta),
        thresholds=model.thresholds,
        drawn=DRAWN[layout],
        data=DATA[layout].format(
            train_faces=f"{meta['train_faces']:,}", set_about=meta.get("set_about", "")
        ),
        limits=LIMITS[layout],
        scales=pasted.SCALES,
        side=faces.FRAME_SIDE,
        scaled=_scaled(model.framing or {}),
        published=_published(meta["published"]),
        clips=clips_table(meta["clips"]),
        recipe=_recipe(meta),
        command="\n".join(f"    {line}" for line in meta["commands"]),
        epoch=meta["best_epoch"],
        note=f" {meta['note']}" if "note" in meta else "",
        attention=attention(meta["metrics"]),
        terms=_terms(meta, layout),
        small=SMALL if (model.calibration or {})["small_faces"]["shift"] else NOT_SMALL,
    )


def reliability_diagram(
    name: str, splits: Mapping[str, Sequence[tuple[float, float, int]]], path: Path
) -> None:
    """The reliability diagram (DeGroot & Fienberg 1983) of `metrics.reliability`, by label, as
    SVG."""
    import matplotlib

    matplotlib.use("svg")
    # The same file for the same figures: no date, no random ids, no outlines of letters.
    matplotlib.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(
        2, 1, sharex=True, figsize=(4, 5), height_ratios=(3, 1), layout="constrained"
    )
    upper.plot((0, 1), (0, 1), color="0.7", linewidth=1)
    for (label, bins), colour in zip(splits.items(), COLOURS, strict=False):
        said, true, count = zip(*bins, strict=True)
        upper.plot(said, true, "o-", color=colour, label=label, markersize=4)
        total = sum(count)
        lower.plot(said, [n / total for n in count], "o-", color=colour, markersize=4)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is fake", title=name)
    if upper.get_legend_handles_labels()[0]:  # no bin of a tiny split is shown
        upper.legend()
    lower.set(xlabel="p_fake", ylabel="share of faces", ylim=(0, None))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(model: Model, path: Path) -> None:
    """The card and the diagram beside the model file `path`."""
    path.with_suffix(".md").write_text(text(model), encoding="utf-8")
    bins = {split: model.meta["metrics"][split]["reliability"] for split in ("val", "test")}
    reliability_diagram(model.name, bins, path.with_suffix(".svg"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.train.card", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("model", type=Path, nargs="+", help="model files of release.py")
    options = parser.parse_args(arguments)

    def work() -> None:
        for path in options.model:
            try:
                write(load_model(path), path)
            except KeyError as error:
                raise ToolError(f"{path}: no {error} in its meta; make it anew") from None

    return exit_status("card", work)


if __name__ == "__main__":
    sys.exit(main())
