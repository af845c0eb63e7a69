"""Faces drawn on a picture: box, number of the person, and ``p_fake`` or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..detect.verdict import SeenFace, SeenFrame, judge
from ..notes import per_cent
from .phrases import reason

if TYPE_CHECKING:
    from PIL import Image, ImageFont

#: Edge of a box by the word for its score; the score stands beside it, so colour is not alone.
_EDGES = {"fake": (255, 140, 60), "real": (90, 180, 255), "uncertain": (255, 255, 255)}
_LEFT_OUT = (170, 170, 170)
#: A label that is longer than so many boxes would lie over the neighbours: a shorter one is taken.
_LABEL = 1.6


def draw_faces(frame: SeenFrame, thresholds: Mapping[str, float] | None = None) -> Image.Image:
    """A frame with its faces: box, number of the person, ``p_fake`` or why there is none."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(np.ascontiguousarray(frame.pixels))
    if not frame.faces:
        return picture
    short = min(picture.size)
    font = ImageFont.load_default(max(11, short / 30))
    draw = ImageDraw.Draw(picture)
    width = max(1, round(short / 240))
    for seen in frame.faces:  # labels come last, no box crosses them
        _draw_box(draw, seen, _edge_colour(seen, thresholds), width)
    for seen in frame.faces:
        _draw_label(draw, picture.size, seen, _edge_colour(seen, thresholds), font)
    return picture


def _edge_colour(seen: SeenFace, thresholds: Mapping[str, float] | None) -> tuple[int, int, int]:
    if seen.p_fake is None:
        return _LEFT_OUT
    if seen.verdict is not None:
        return _EDGES[seen.verdict]
    return _EDGES["uncertain" if thresholds is None else judge(seen.p_fake, thresholds)]


def _draw_box(draw: Any, seen: SeenFace, colour: tuple[int, int, int], width: int) -> None:
    """An edge with a black one around it: one of them stands out on any background."""
    x, y, w, h = seen.face.box
    box = x, y, x + max(w, 1), y + max(h, 1)
    halo = box[0] - width, box[1] - width, box[2] + width, box[3] + width
    thin = max(1, width // 2) if seen.p_fake is None else width
    draw.rectangle(halo, outline=(0, 0, 0), width=thin + 2 * width)
    draw.rectangle(box, outline=colour, width=thin)


def _draw_label(
    draw: Any,
    size: tuple[int, int],
    seen: SeenFace,
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """White on black above the box, or where there is room; a narrow frame gets the number only."""
    if seen.p_fake is None:
        number = f"{seen.track}: " if seen.track else ""
        texts = [number + reason(seen.reason or "left out").short, f"{seen.track or '?'}"]
    else:
        score = f"{per_cent(seen.p_fake, 0)} %"
        texts = [f"{seen.track}: p_fake {score}", f"{seen.track}: {score}", f"{seen.track}"]
    for text in texts:
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        pad = max(2, round((bottom - top) / 4))
        width, height = math.ceil(right - left) + 2 * pad, math.ceil(bottom - top) + 2 * pad
        roomy = text != texts[0] or width <= _LABEL * seen.face.box[2]
        if roomy and width <= size[0] and height <= size[1]:
            break
    else:
        return
    x, y = seen.face.box[0], seen.face.box[1] - height - 1
    x = min(max(x, 0), size[0] - width)
    y = min(max(y if y >= 0 else seen.face.box[1], 0), size[1] - height)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=(0, 0, 0), outline=colour)
    draw.text((x + pad - left, y + pad - top), text, fill=(255, 255, 255), font=font)
