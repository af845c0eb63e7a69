"""How far a verdict moves with how a clip is stored: `python -m tools.bench.variants --data DIR`.

Four looks at every clip of `DIR/videos`, a second in all, are written without loss: as they are, in
full range, BT.709, 10 bits, BT.2020, HLG, PQ, with alpha, on their side, and at a variable rate.
The same picture must then get the same p_fake; what differs is rounding and, of HDR, the gamut.
"""

from __future__ import annotations

import argparse
import io
import itertools
import math
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minimeso import Detector
from minimeso.media.video import open_clip
from tools.errors import exit_status

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

#: cd/m2 of white, ITU-R BT.2408.
WHITE = 203.0
#: Looks at a clip, and how many there are in a second.
LOOKS, RATE = 4, 4
#: From linear BT.709 to linear BT.2020, ITU-R BT.2087.
_TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
#: Red and blue weights of luma of BT.2020.
_RED, _BLUE = 0.2627, 0.0593


def pq(light: Array) -> Array:
    """Signal of so many cd/m2 (BT.2100)."""
    y = (light / 10000) ** (2610 / 16384)
    return np.asarray(((3424 + 2413 * 32 * y) / (4096 + 2392 * 32 * y)) ** (2523 / 32))


def hlg(light: Array) -> Array:
    """Signal of so many cd/m2, (..., 3), on a screen of 1000 (BT.2100), whose gamma is 1.2."""
    y = light @ np.array([_RED, 1 - _RED - _BLUE, _BLUE])
    scene = light / 1000 * (np.maximum(y, 1e-9) / 1000)[..., None] ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high))


def _sdr(light: Array) -> Array:
    return np.asarray((light / WHITE) ** (1 / 2.4))


#: Number of the transfer function in a file, and itself.
TRANSFERS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "pq": (16, pq), "hlg": (18, hlg), "sdr": (14, _sdr),
}  # fmt: skip


def wide_frame(pixels: npt.NDArray[Any], transfer: str, full: bool = False) -> Any:
    """A picture of BT.709, (H, W, 3) in 0 to 255, as a frame of 10 bits in BT.2020."""
    import av

    number, function = TRANSFERS[transfer]
    light = WHITE * (pixels / 255.0) ** 2.4 @ _TO_BT2020.T
    r, g, b = np.moveaxis(np.clip(function(light), 0, 1), -1, 0)
    y = _RED * r + (1 - _RED - _BLUE) * g + _BLUE * b
    cb, cr = (b - y) / (2 - 2 * _BLUE), (r - y) / (2 - 2 * _RED)
    luma, chroma, black = (1023, 1023, 0) if full else (876, 896, 64)
    frame = av.VideoFrame(pixels.shape[1], pixels.shape[0], "yuv444p10le")
    values = (black + luma * y, 512 + chroma * cb, 512 + chroma * cr)
    for plane, value in zip(frame.planes, values, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
        rows[:, : plane.width] = np.clip(np.round(value), 0, 1023)
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = 9, 2 if full else 1
    frame.color_trc, frame.color_primaries = number, 9
    return frame


def _usual(kind: str, space: int, full: bool = False) -> Callable[[Pixels], Any]:
    def frame_of(pixels: Pixels) -> Any:
        import av

        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        found = frame.reformat(format=kind, dst_colorspace=space, dst_color_range=2 if full else 1)
        found.colorspace, found.color_range = space, 2 if full else 1
        return found

    return frame_of


#: How a frame is made; the first is what the others are compared with.
VARIANTS: dict[str, Callable[[Pixels], Any]] = {
    "plain": _usual("yuv444p", 5),
    "full range": _usual("yuv444p", 5, full=True),
    "BT.709": _usual("yuv444p", 1),
    "10 bits": _usual("yuv444p10le", 5),
    "alpha": _usual("yuva444p", 5),
    "on its side": _usual("yuv444p", 5),
    "variable rate": _usual("yuv444p", 5),
    "BT.2020": lambda pixels: wide_frame(pixels, "sdr"),
    "HLG": lambda pixels: wide_frame(pixels, "hlg"),
    "PQ": lambda pixels: wide_frame(pixels, "pq"),
    "PQ, full range": lambda pixels: wide_frame(pixels, "pq", full=True),
}


def written(frames: Sequence[Pixels], variant: str) -> bytes:
    """A clip in memory."""
    import av

    turned = variant == "on its side"
    file = io.BytesIO()
    with av.open(file, "w", format="mov" if turned else "matroska") as container:
        stream: Any = container.add_stream("libx264" if turned else "ffv1", rate=RATE)
        if turned:  # Matroska keeps no rotation, and MOV no FFV1
            stream.options = {"qp": "0", "preset": "veryfast"}
        for number, pixels in enumerate(frames):
            shown = np.ascontiguousarray(np.rot90(pixels, -1)) if turned else pixels
            frame = VARIANTS[variant](shown)
            if not number:
                _tag(stream, frame)
                if turned:
                    stream.set_display_rotation(90)
            late = variant == "variable rate" and number % 2 == 1  # by half a look
            frame.pts, frame.time_base = 2 * number + late, Fraction(1, 2 * RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _tag(stream: Any, frame: Any) -> None:
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
    context = stream.codec_context
    context.time_base = Fraction(1, 2 * RATE)
    context.colorspace, context.color_range = frame.colorspace, frame.color_range
    context.color_trc, context.color_primaries = frame.color_trc, frame.color_primaries


def compared(detector: Detector, path: Path) -> dict[str, float]:
    """p_fake of each variant; empty where nobody is judged in the plain one."""
    with open_clip(path, fps=RATE) as clip:
        frames = [pixels for _, pixels in itertools.islice(clip, LOOKS)]
    found: dict[str, float] = {}
    for variant in VARIANTS:
        verdict = detector.check(io.BytesIO(written(frames, variant)))
        if verdict.p_fake is None:
            if variant == "plain":
                break
            found[variant] = math.nan  # shown as such
        else:
            found[variant] = verdict.p_fake
    return found


def measured(detector: Detector, folder: Path) -> None:
    """Prints p_fake of every clip and variant, and how far each is from the plain one."""
    from tools.train.release import clips_of  # which wants packages that the rest does not

    all_found = []
    for row in clips_of(folder):
        found = compared(detector, folder / row["file"])
        if found:
            all_found.append(found)
            print(row["file"], *(f"{100 * p:.1f}" for p in found.values()), flush=True)
    print(f"{'':<15}  mean  most   of p_fake in %, against plain; {len(all_found)} clips")
    for variant in list(VARIANTS)[1:]:
        moved = [100 * abs(found[variant] - found["plain"]) for found in all_found]
        print(f"{variant:<15}  {np.mean(moved):4.1f}  {max(moved):4.1f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.variants", description=(__doc__ or "").split("\n")[0]
    )
    add: Callable[..., Any] = parser.add_argument
    add("--data", type=Path, required=True, help="folder that holds videos/, with its videos.csv")
    add("--model", default="default", help="(default: %(default)s)")
    options = parser.parse_args(arguments)

    def work() -> None:
        measured(Detector(options.model), options.data / "videos")

    return exit_status("variants", work, "nothing is kept")


if __name__ == "__main__":
    sys.exit(main())
