"""HDR of pictures: their levels become those of a usual screen, as ``hdr`` makes them of clips.

Computed here (ITU-R BT.2100, BT.2087, and BT.1886 for the screen): FFmpeg's filter needs three
seconds of a core before its first frame, and PyAV.  As there, the reference white of 203 cd/m2
(BT.2408) becomes white, and nothing lighter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .code_points import PQ, CodePoints
from .pixels import Pixels, strips

_Light = npt.NDArray[np.float32]

#: cd/m2 of white, and of the brightest that HLG stands for on the screen that it is made for.
_WHITE, _HLG_PEAK = 203.0, 1000.0
#: From linear light of the primaries, by H.273, to that of BT.709: P3 of cinemas and of screens;
#: all others are taken for BT.2020, with which HDR goes.
_P3 = (1.2249, -0.2249, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0983)
_BT2020 = (1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)
_TO_BT709 = {1: np.eye(3).tolist(), 11: _P3, 12: _P3}
#: How much each colour of BT.2020 counts for luminance.
_LUMINANCE = 0.2627, 0.6780, 0.0593
_SCREEN_GAMMA = 2.4
#: Steps of the root of light for which the screen's level is kept.
_STEPS = 4095


def map_picture(pixels: Pixels, points: CodePoints) -> None:
    """Make of a picture in HDR what a usual screen shows.

    Args:
        pixels: (H, W, 3), which are changed.
        points: what their levels stand for.
    """
    table = _pq() if points.transfer == PQ else _hlg()
    matrix = np.asarray(_TO_BT709.get(points.primaries, _BT2020), np.float32).T
    levels = np.rint(255 * np.linspace(0, 1, _STEPS + 1) ** (2 / _SCREEN_GAMMA)).astype(np.uint8)
    for lines in strips(pixels.shape):
        light = table[pixels[lines]]
        if points.transfer != PQ:
            light *= _hlg_gain(light)
        light = np.maximum(light @ matrix, 0)
        light /= np.maximum(light.max(-1, keepdims=True), 1)  # what is too light keeps its colour
        pixels[lines] = levels[np.rint(np.sqrt(light) * _STEPS).astype(np.uint16)]


def _pq() -> _Light:
    """Light of each level, that of white 1."""
    y = np.linspace(0, 1, 256) ** (32 / 2523)
    light = np.maximum(y * 4096 - 3424, 0) / (77216 - 76544 * y)
    return np.asarray(10000 / _WHITE * light ** (16384 / 2610), np.float32)


def _hlg() -> _Light:
    """Light of each level in the scene, that of the highest 1."""
    level = np.linspace(0, 1, 256)
    high = (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return np.asarray(np.where(level <= 0.5, level**2 / 3, high), np.float32)


def _hlg_gain(light: _Light) -> _Light:
    """By how much a screen shows light of the scene lighter, (H, W, 1); its gamma is 1.2."""
    luminance: _Light = light @ np.asarray(_LUMINANCE, np.float32)
    gain: _Light = np.float32(_HLG_PEAK / _WHITE) * luminance[..., None] ** np.float32(0.2)
    return gain
