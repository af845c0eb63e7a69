"""What a card says of a model: by source, method, size and skin tone, and of each kind of harm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tools.train import metrics
from tools.train.faces import SIZE, Faces, frame, people

#: Where cheeks lie in the square of a framed face, as parts of its side: x, y, width, height.
CHEEKS = ((0.22, 0.50, 0.12, 0.12), (0.66, 0.50, 0.12, 0.12))
#: Individual typology angle in degrees from which on a skin is called so (Chardon et al. 1991,
#: their six groups by twos).
TONES = (("light", 41.0), ("medium", 10.0), ("dark", -math.inf))
PRIORS = (0.01, 0.05, 0.5)
_SIZES = (("square under 110 pixels", 110.0), ("110 to 160", 160.0), ("160 and more", math.inf))
#: Groups of fewer faces of a kind are not told.
LEAST = 30

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def skin_tone(face: NDArray[np.uint8]) -> float:
    """Individual typology angle of the cheeks of a framed face (256, 256, 3), in degrees:
    atan((L - 50) / b) of CIE L*a*b*. The light of the picture moves it, so it is coarse."""
    lab = Image.fromarray(face).convert("RGB")
    cheeks = np.concatenate(
        [
            np.asarray(lab)[
                round(y * SIZE) : round((y + h) * SIZE), round(x * SIZE) : round((x + w) * SIZE)
            ].reshape(-1, 3)
            for x, y, w, h in CHEEKS
        ]
    )
    lightness, _, blue = _lab(np.median(cheeks, 0) / 255)
    return math.degrees(math.atan2(lightness - 50, max(blue, 1e-6)))


def _lab(rgb: Array) -> tuple[float, float, float]:
    """Of an sRGB colour in [0, 1], CIE L*a*b* under D65 (IEC 61966-2-1, CIE 15)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = matrix @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return float(116 * f[1] - 16), float(500 * (f[0] - f[1])), float(200 * (f[1] - f[2]))


def groups_of(split: Faces) -> dict[str, Mask]:
    """Masks (N,) of the groups whose figures a card tells, by name; a method's with all real faces
    of its source."""
    source = np.array(split.source or ("faces",) * len(split))
    names = sorted(set(source.tolist()))
    groups: dict[str, Mask] = {name: source == name for name in names}
    method = np.array(split.method or ("",) * len(split))
    for name in names:
        methods = sorted(set(method[source == name].tolist()) - {"original"})
        for one in methods if len(methods) > 1 else ():
            groups[f"{name}: {one}"] = (source == name) & np.isin(method, (one, "original"))
    both = np.isin(source, [name for name in names if split.fake[source == name].any()])
    side = np.minimum(split.squares[:, 2], split.squares[:, 3])
    least = 0.0
    for label, most in _SIZES:
        groups[label] = both & (side >= least) & (side < most)
        least = most
    angle = np.array(
        [skin_tone(frame(i, s)) for i, s in zip(split.images, split.squares, strict=True)]
    )
    most = math.inf
    for label, low in TONES:
        groups[f"{label} skin"] = both & (angle >= low) & (angle < most)
        most = low
    return {
        name: mask
        for name, mask in groups.items()
        if min((n for n in np.bincount(split.fake[mask]) if n), default=0) >= LEAST
    }


def by_group(
    p_fake: Array, split: Faces, thresholds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Figures of `groups_of`, with 95 % intervals by people."""
    who = people(split)
    found: dict[str, dict[str, Any]] = {}
    for name, mask in groups_of(split).items():
        p, fake = p_fake[mask], split.fake[mask]
        values: dict[str, Any] = {"faces": int(mask.sum()), "people": len(set(who[mask]))}
        values |= _called(p, fake, thresholds)
        if fake.any() and not fake.all():
            judged = (p, fake, np.full(len(p), -1), thresholds)
            values |= metrics.judged(*judged)
            del values["fake_above_its_real_twin"]
            for key, (low, high) in metrics.intervals(*judged, who[mask].tolist()).items():
                if key in values:
                    values |= {f"{key}_low": low, f"{key}_high": high}
        found[name] = {key: _rounded(value) for key, value in values.items()}
    return found


def _called(p: Array, fake: NDArray[np.uint8], thresholds: Mapping[str, float]) -> dict[str, float]:
    found = {}
    for label, kind in ((0, "real"), (1, "fake")):
        if (fake == label).any():
            theirs = p[fake == label]
            found[f"{kind}_called_fake"] = float((theirs >= thresholds["fake"]).mean())
            found[f"{kind}_called_real"] = float((theirs <= thresholds["real"]).mean())
    return found


def precision(
    p_fake: Array, split: Faces, thresholds: Mapping[str, float], name: str
) -> list[dict[str, float]]:
    """Of the faces of a source, where so many of 100 are fakes and `--prior` says so: how many of
    those called fake are, of those called real are, and how many are called anything."""
    mask = np.array(split.source or (name,) * len(split)) == name
    p, fake = np.clip(p_fake[mask], 1e-9, 1 - 1e-9), split.fake[mask] == 1
    rows = []
    for prior in PRIORS:
        x = np.log(p) - np.log1p(-p) + math.log(prior) - math.log1p(-prior)
        moved = 1 / (1 + np.exp(-x))
        share = np.where(fake, prior / fake.mean(), (1 - prior) / (1 - fake.mean())) / len(p)
        said_fake, said_real = moved >= thresholds["fake"], moved <= thresholds["real"]
        row = {"prior": prior, "decided": float(share[said_fake | said_real].sum())}
        for key, said, true in (("fake", said_fake, fake), ("real", said_real, ~fake)):
            total = share[said].sum()
            row[f"right_of_{key}"] = float(share[said & true].sum() / total) if total else math.nan
            row[f"called_{key}"] = float(total)
        rows.append({key: _rounded(value) for key, value in row.items()})
    return rows


def _rounded(value: Any) -> Any:
    """To four places; None for what is no number."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)
