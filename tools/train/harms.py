"""What makes pictures worse on their way to a user, for training: size, blur, noise, compression.

`STRENGTHS` says how often and how much. Those of clips are x264's and libavfilter's, through PyAV.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tools.train.faces import SIZE


class Harm(NamedTuple):
    """What makes a picture worse: for this share of the pairs, by an amount between two bounds."""

    share: float
    mild: float
    strong: float


class Strength(NamedTuple):
    """How much is changed. Of moves and zooms the unit is the side of the square."""

    move: float  # standard deviation
    zoom: tuple[float, float]
    light: float  # brightness and contrast differ by up to so much, of 1
    colour: float  # and each colour alone by so much
    blend: float  # share of the pairs whose fake is drawn nearer to its twin, or further away
    harms: dict[str, Harm]  # what befalls a picture before a face is cut out of it, in this order


# Together the harms of `pairs` befall 40 % of the pairs, those of `broad` 70 %.
STRENGTHS = {
    "pairs": Strength(
        move=0.025,
        zoom=(0.9, 1.1),
        light=0.2,
        colour=0.1,
        blend=0.0,
        harms={
            "size": Harm(0.16, 1.2, 0.36),  # times that of the file: 0.36 of 224 pixels is 80
            "blur": Harm(0.08, 0.3, 1.2),  # standard deviation in pixels
            "noise": Harm(0.05, 1.0, 4.0),  # standard deviation in levels
            "jpeg": Harm(0.2, 95, 30),  # quality
        },
    ),
    "broad": Strength(
        move=0.035,
        zoom=(0.85, 1.2),
        light=0.25,
        colour=0.15,
        blend=0.25,
        harms={
            "size": Harm(0.3, 1.3, 0.33),
            "blur": Harm(0.12, 0.3, 1.4),
            "sharpen": Harm(0.1, 0.3, 1.5),  # times the difference to a blurred picture
            "noise": Harm(0.1, 1.0, 5.0),
            "palette": Harm(0.04, 256, 64),  # colours, dithered, as in an animated GIF
            "jpeg": Harm(0.3, 95, 25),
        },
    ),
}
# As `broad`, but with what befalls clips: some 25 % are frames of H.264.
STRENGTHS["clips"] = STRENGTHS["broad"]._replace(
    harms={
        **STRENGTHS["broad"].harms,
        "size": Harm(0.45, 1.3, 0.3),
        "interlaced": Harm(0.03, 0.0, 0.02),  # that a field moves on, times the width
        "h264": Harm(0.25, 20, 40),  # crf
        "jpeg": Harm(0.25, 95, 25),
    }
)
_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
#: Unit noise, of which a part is taken: drawing it anew takes longer than all the rest.
_NOISE = np.random.default_rng(0).standard_normal((2 * SIZE, 2 * SIZE, 3), np.float32)


def harm(picture: NDArray[np.uint8], name: str, amount: float, seed: int = 0) -> NDArray[np.uint8]:
    """A picture (H, W, 3) after a harm of STRENGTHS; after "size" it has another size.

    `seed` chooses the filter of "size" and the noise.
    """
    height, width = picture.shape[:2]
    if name == "noise":
        down, right = seed % SIZE, seed // SIZE % SIZE
        rows, columns = np.arange(down, down + height), np.arange(right, right + width)
        noise = _NOISE.take(rows, 0, mode="wrap").take(columns, 1, mode="wrap")
        return np.clip(picture + (amount * noise + 0.5), 0, 255).astype(np.uint8)
    image = Image.fromarray(picture)
    if name == "size":
        size = round(width * amount), round(height * amount)
        return np.asarray(image.resize(size, _FILTERS[seed % len(_FILTERS)]))
    if name == "blur":
        return np.asarray(image.filter(ImageFilter.GaussianBlur(amount)))
    if name == "sharpen":
        return np.asarray(image.filter(ImageFilter.UnsharpMask(1, round(100 * amount), 0)))
    if name == "palette":
        palette = image.quantize(round(amount))
        return np.asarray(image.quantize(palette=palette).convert("RGB"))  # now dithered
    if name == "h264":
        return _h264(picture, round(amount), seed)
    if name == "interlaced":
        return _interlaced(picture, round(amount * width))
    file = io.BytesIO()
    image.save(file, "jpeg", quality=round(amount))
    return np.asarray(Image.open(file))


def _h264(picture: NDArray[np.uint8], crf: int, seed: int) -> NDArray[np.uint8]:
    """The second frame of a clip in which the picture (H, W, 3) moves, predicted from the first.

    4:2:0, so an odd last row and column are repeated.
    """
    import av  # only where clips are asked for

    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    moved = np.roll(even, (seed % 5 - 2, seed // 5 % 5 - 2), (0, 1))
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = even.shape[1], even.shape[0]
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = []
    for still in (moved, even):
        packets += encoder.encode(av.VideoFrame.from_ndarray(still, "rgb24"))
    packets += encoder.encode(None)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.asarray(frames[-1].to_ndarray(format="rgb24")[:height, :width])


def _interlaced(picture: NDArray[np.uint8], moved: int) -> NDArray[np.uint8]:
    """As if its odd lines were of a later field, in which all has moved, and of each pair of lines
    the mean were taken: the simplest of deinterlacers."""
    woven = picture.copy()
    woven[1::2] = np.roll(picture, moved, 1)[1::2]
    below = np.concatenate([woven[1:], woven[-1:]])
    return np.asarray((woven.astype(np.uint16) + below + 1) // 2, np.uint8)
