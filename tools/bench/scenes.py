"""How well faces are found: `python -m tools.bench.scenes --data DIR [--clips DIR] [--model NAME]`.

DIR holds pictures and `scenes.csv` (file, boxes as a JSON list of [x, y, w, h], n_faces): average
precision at IoU 0.3 over the faces of 40 pixels and more (smaller ones neither count nor harm),
and every box on the pictures without a face.  With --clips, a folder of clips with real people
(extra `video`): in what share of the frames in which OpenCV's own YuNet at full scale sees a face
of 40 pixels or more (extra `bench`) a face is found there by us.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minimeso import FaceFinder
from minimeso.detect.box import iou
from minimeso.errors import MinimesoError
from minimeso.media.pictures import read_picture

IOU = 0.3
MIN_FACE = 40
#: Precision and recall need every candidate, however weak.
WEAKEST = 0.02

Boxes = list[tuple[float, float, float, float]]


def side(box: Sequence[float]) -> float:
    """What the size of a face means here: the root of its area."""
    return math.sqrt(box[2] * box[3])


def match(found: Boxes, truth: Boxes) -> list[bool | None]:
    """For each found box (best first) whether it is a face; None where it does not count.

    A face below `MIN_FACE`, or a second box on a face, of which one is enough: none counts for the
    former, false for the latter.
    """
    taken: set[int] = set()
    results: list[bool | None] = []
    for box in found:
        scores = [iou(box, t) if i not in taken else 0.0 for i, t in enumerate(truth)]
        best = int(np.argmax(scores)) if scores else -1
        if best >= 0 and scores[best] >= IOU:
            taken.add(best)
            results.append(True if side(truth[best]) >= MIN_FACE else None)
        else:
            results.append(False if side(box) >= MIN_FACE else None)
    return results


def average_precision(right: NDArray[np.bool_], faces: int) -> float:
    """Area under the precision-recall curve, precision made to fall (as PASCAL VOC 2010 has it)."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(precision[right].sum() / faces)


def pictures(data: Path, model: str, threshold: float) -> dict[str, Any]:
    """Figures over the pictures of a folder with `scenes.csv`."""
    with (data / "scenes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    weak, usual = FaceFinder(model, threshold=WEAKEST), FaceFinder(model, threshold=threshold)
    scored: list[tuple[float, bool]] = []
    faces = found = false_boxes = empty = 0
    for row in tqdm(rows, "pictures", disable=None, leave=False):
        pixels = read_picture(data / row["file"]).pixels
        truth: Boxes = [tuple(box) for box in json.loads(row["boxes"])]
        if not truth:
            empty += 1
            false_boxes += len(usual.find(pixels))
            continue
        faces += sum(side(box) >= MIN_FACE for box in truth)
        candidates = weak.find(pixels)
        results = match([face.box for face in candidates], truth)
        for face, result in zip(candidates, results, strict=True):
            if result is not None:
                scored.append((face.score, result))
                found += result and face.score >= threshold
    scored.sort(key=lambda pair: -pair[0])
    right = np.array([result for _, result in scored], bool)
    return {
        "pictures with faces": len(rows) - empty,
        "faces": faces,
        "average precision": average_precision(right, faces),
        "recall": found / faces,
        "pictures without a face": empty,
        "boxes on them": false_boxes,
    }


def clip(path: Path, model: str, threshold: float, peer: Path, step: int) -> tuple[int, int]:
    """Faces of 40 pixels and more that OpenCV sees in every step-th frame, and those we find."""
    import av
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    detector = cv2.FaceDetectorYN.create(str(peer), "", (320, 320), 0.8, 0.3, 100)
    finder = FaceFinder(model, threshold=threshold)
    seen = found = 0
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step:
                continue
            pixels = frame.to_ndarray(format="rgb24")
            height, width = pixels.shape[:2]
            detector.setInputSize((width, height))
            _, truth = detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
            ours = [face.box for face in finder.find(pixels)]
            for box in [] if truth is None else truth[:, :4].tolist():
                if side(box) >= MIN_FACE:
                    seen += 1
                    found += any(iou(box, own) >= IOU for own in ours)
    return seen, found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.scenes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with scenes.csv")
    parser.add_argument("--clips", type=Path, help="folder with clips")
    parser.add_argument("--peer", type=Path, help="yunet_s_640_640.onnx, for --clips")
    parser.add_argument("--step", type=int, default=5, help="every so many frames (%(default)s)")
    parser.add_argument("--model", default="yunet-s", help="the face finder (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.6, help="(%(default)s)")
    options = parser.parse_args(arguments)
    try:
        for name, value in pictures(options.data, options.model, options.threshold).items():
            print(f"{name:<24}{value:.4f}" if isinstance(value, float) else f"{name:<24}{value}")
        if options.clips:
            totals = [0, 0]
            for path in sorted(p for p in options.clips.iterdir() if p.suffix != ".md"):
                if path.suffix in (".csv", "") or path.name == "SHA256SUMS":
                    continue
                seen, found = clip(
                    path, options.model, options.threshold, options.peer, options.step
                )
                print(f"{path.name:<28}{found:>6} of {seen:<6}{found / max(seen, 1):.4f}")
                totals = [totals[0] + seen, totals[1] + found]
            print(f"{'clips':<28}{totals[1]:>6} of {totals[0]:<6}{totals[1] / totals[0]:.4f}")
    except (MinimesoError, OSError, KeyError, ValueError) as error:
        print(f"scenes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
