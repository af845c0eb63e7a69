"""Searching one frame for faces: ours beside OpenCV's own YuNet, for `tools.bench --finder`.

The same weights, one core, calls in turn, medians.  Ours is ``FaceFinder.find`` as it is: scaling
the frame to half its size, the network, the boxes.  OpenCV's ``FaceDetectorYN`` gets the frame
scaled and padded to the same size; its time counts with that scaling and without.  Both must find
the same, which is looked at where OpenCV is given exactly our pixels.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minimeso.cli.output import table
from tools.bench.peers import UnavailableError
from tools.bench.report import Target, plural, target, target_lines

WIDTH, HEIGHT = 1280, 720
OURS, NOBODY = "minimeso, all told", "minimeso, nobody in view"
DETECT, SCALE_AND_DETECT = "OpenCV, detect() alone", "OpenCV, cv2.resize and detect()"
THRESHOLD, NMS_IOU, TOP_K = 0.6, 0.3, 5000
CELL = 32
#: Targets: milliseconds of a search, and of OpenCV's time.
MOST_MS, MOST_RATIO = 5.0, 0.8
INSTALL = "needs OpenCV: pip install 'minimeso[bench]'"
#: Boxes, landmarks (pixels) and scores that differ by less are the same.
TOLERANCE = 1e-3

Frame = NDArray[np.uint8]
Planes = NDArray[np.float32]


def frame(picture: Path | None) -> Frame:
    """A picture scaled to 1280 x 720, RGB; by default our sample portrait before a soft background.

    Raises:
        PictureError: the picture cannot be read.
    """
    from PIL import Image

    from minimeso.media.pictures import read_picture
    from tools.bench.machine import PICTURE

    pixels = read_picture(picture or PICTURE).pixels
    image = Image.fromarray(pixels)
    if picture is not None:
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    draws = np.random.default_rng(0).integers(40, 200, (9, 16, 3), np.uint8)
    scene = Image.fromarray(draws).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    scene.paste(image.resize((480, 480), Image.Resampling.BILINEAR), (500, 120))
    return np.asarray(scene)


def measure(pixels: Frame, onnx: Path | None, rounds: int) -> dict[str, Any]:
    """Time everybody in turn, in this process; without ``onnx`` only us.

    Raises:
        UnavailableError: OpenCV is missing or does not take the file.
    """
    from minimeso import FaceFinder
    from minimeso.engine.native import resize

    finder = FaceFinder(threads=1)
    plain = FaceFinder(threads=1, doubt=False)
    scale = finder._scale(HEIGHT, WIDTH)
    size = round(HEIGHT * scale), round(WIDTH * scale)
    whole = (0.0, 0.0, float(WIDTH), float(HEIGHT))
    planes = resize(pixels, whole, size, "bilinear")
    input_ = padded(planes)[None]
    outputs = finder.session.graph.outputs
    nothing = np.full_like(pixels, 128)
    calls: dict[str, Callable[[], Any]] = {
        OURS: lambda: finder.find(pixels),
        "  its scaling": lambda: resize(pixels, whole, size, "bilinear"),
        "  its network": lambda: finder.session.run(input_, outputs=outputs),
        NOBODY: lambda: finder.find(nothing),
    }
    found: dict[str, Any] = {"faces": len(finder.find(pixels)), "scale": scale}
    if onnx is not None:
        theirs = OpenCV(onnx, input_.shape[2:])
        found["opencv"] = theirs.version
        found["difference"] = difference(plain.find(pixels), theirs.find(planes, scale))
        small = theirs.scaled(pixels, size)
        calls[DETECT] = lambda: theirs.detect(small)
        calls[SCALE_AND_DETECT] = lambda: theirs.detect(theirs.scaled(pixels, size))
    found["ms"] = _medians(calls, rounds)
    found["targets"] = _targets(found)
    return found


class OpenCV:
    """``FaceDetectorYN`` on one thread, for inputs (height, width)."""

    def __init__(self, onnx: Path, shape: tuple[int, ...]) -> None:
        try:
            import cv2
        except ImportError:
            raise UnavailableError(INSTALL) from None
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        cv2.setNumThreads(1)
        self.version: str = cv2.__version__
        self._shape = shape
        self._resize = cv2.resize
        size = shape[1], shape[0]
        try:
            self._detector = cv2.FaceDetectorYN.create(
                str(onnx), "", size, THRESHOLD, NMS_IOU, TOP_K
            )
        except cv2.error as error:
            raise UnavailableError(f"{onnx}: not for OpenCV: {error.err}") from None

    def detect(self, small: NDArray[Any]) -> NDArray[np.float32]:
        """Rows: box, landmarks, score, in pixels of the padded input (H, W, 3), BGR."""
        _, faces = self._detector.detect(small)
        return np.empty((0, 15), np.float32) if faces is None else np.asarray(faces)

    def scaled(self, pixels: Frame, size: tuple[int, int]) -> Frame:
        """A frame (RGB) as it gets it: scaled to (height, width), padded to the input."""
        small = np.zeros((*self._shape, 3), np.uint8)
        self._resize(pixels, size[::-1], dst=small[: size[0], : size[1]])
        return small

    def find(self, planes: Planes, scale: float) -> NDArray[np.float32]:
        """The same for our scaled pixels (3, H, W) from 0 to 1, in pixels of the frame."""
        bgr = np.ascontiguousarray(255 * padded(planes)[::-1].transpose(1, 2, 0))
        faces = self.detect(bgr)
        faces[:, :14] /= scale
        return faces


def padded(planes: Planes) -> Planes:
    """Planes (3, H, W) with zeros on the right and below, up to multiples of 32."""
    height, width = planes.shape[1:]
    return np.pad(planes, ((0, 0), (0, -height % CELL), (0, -width % CELL)))


def difference(ours: Any, theirs: NDArray[np.float32]) -> dict[str, Any]:
    """How far the two lists of faces are apart, best score first."""
    own = np.array([(*f.box, *(v for p in f.landmarks for v in p), f.score) for f in ours])
    other = theirs[np.argsort(-theirs[:, 14], kind="stable")]
    found: dict[str, Any] = {"ours": len(own), "theirs": len(other)}
    if len(own) and len(own) == len(other):
        apart = np.abs(own - other)
        found |= {"pixels": float(apart[:, :14].max()), "score": float(apart[:, 14].max())}
    return found


def _medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds of a call; the first round does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def _targets(found: dict[str, Any]) -> list[Target]:
    ms = found["ms"]
    results = [target("one frame searched on one core", ms[OURS], "ms", at_most=MOST_MS)]
    if DETECT in ms:
        results += [
            target("over OpenCV's detect() alone", ms[OURS] / ms[DETECT], "x", at_most=MOST_RATIO),
            target("over OpenCV's scaling and detect()", ms[OURS] / ms[SCALE_AND_DETECT], "x",
                   at_most=MOST_RATIO),
        ]  # fmt: skip
        found_alike = found["difference"]
        apart = max(found_alike.get("pixels", math.inf), found_alike.get("score", math.inf))
        if found_alike["ours"] or found_alike["theirs"]:
            results.append(
                target("difference to OpenCV on our pixels", apart, "px", at_most=TOLERANCE)
            )
    return results


def lines(found: dict[str, Any]) -> Iterator[str]:
    """All of it for a person."""
    yield ""
    faces, scale = plural(found["faces"], "face"), found["scale"]
    yield f"one frame of {WIDTH} x {HEIGHT} ({faces}) searched at scale {scale:.3g}, one core"
    rows = [["", "ms"], *([name, f"{ms:.3f}"] for name, ms in found["ms"].items())]
    yield from table(rows, right=[1])
    if "opencv" not in found:
        yield "not measured: OpenCV: it needs its weights, --onnx yunet_s_640_640.onnx"
    elif "pixels" in found["difference"]:
        apart = found["difference"]
        yield (
            f"beside OpenCV {found['opencv']} on the same pixels: boxes and landmarks differ by up "
            f"to {apart['pixels']:.1e} pixels, scores by {apart['score']:.1e}"
        )
    else:
        apart = found["difference"]
        yield f"on the same pixels we find {apart['ours']} faces, OpenCV {apart['theirs']}"
    yield ""
    yield from target_lines(found["targets"])
