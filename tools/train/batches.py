"""Batches of framed faces for training, each face changed anew every time: what may differ in use.

What is random comes from PyTorch's generators of the CPU, on the caller's thread, so saving the
state of the global one is enough to resume exactly.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.train.faces import SIZE, DataError, Faces, cached, digest, frame, keep
from tools.train.harms import STRENGTHS, Harm, harm

AUGMENTATIONS = ("paper", "pixel", "pairs", "broad", "clips", "none")
PAIRED = ("pixel", "pairs", "broad", "clips")
MAX_SHIFT = 16  # half a cell of the last feature map (256 / 8 = 32 pixels)
LOADERS = min(os.cpu_count() or 1, 8)  # threads; Pillow releases the GIL
CHECKED = 20  # of kept faces, how many are changed again to see whether they are still the same
# What lies around a crop in use is not known; so it differs in training, too.
OUTSIDE = ("edge", "wrap", "reflect")
BLEND = (0.5, 1.25)  # fake = real + blend (fake - real)


class Change(NamedTuple):
    """What happens to a face: the harms, the cut, then the rest. The default is nothing."""

    harms: tuple[tuple[str, float], ...] = ()  # names and amounts, in the order of STRENGTHS
    seed: int = 0  # of what is random in the harms
    zoom: float = 1.0  # sides of the square that are cut
    x: float = 0.0  # that its centre moves, in sides
    y: float = 0.0
    outside: str = "edge"  # what the cut shows there, of OUTSIDE
    down: int = 0  # that the cut moves, in whole pixels of 256
    right: int = 0
    flip: bool = False
    blend: float = 1.0  # of a fake, with its twin: see BLEND
    contrast: float = 1.0
    gains: tuple[float, ...] = (1.0, 1.0, 1.0)  # of red, green and blue


#: Pictures, what is still to come of their colours, labels, and which of the faces they are.
_Gathered = tuple[Tensor, Tensor, Tensor, NDArray[np.int64]]


class Batch(NamedTuple):
    x: Tensor  # (N, 3, 256, 256) float32 in [0, 1], channels last in memory
    fake: Tensor  # (N,) float32, 1 or 0
    rows: NDArray[np.int64]  # (N,) which of the faces they are


class Batches:
    """Augmented training batches, epoch after epoch.

    `none` and `paper` shuffle faces. The others shuffle pairs and keep the two faces of a pair in
    one batch (an odd batch size is made even), cut by one square and changed in the same way: what
    then tells them apart is the manipulation alone. After the cut none of them interpolates,
    because that blurs the traces which the network looks for; `pixel` only shifts by whole pixels.
    In the folder `keep` what draws made of the faces is kept (0.2 MB a face), if one is given.
    """

    def __init__(
        self,
        faces: Faces,
        size: int,
        augmentation: str,
        device: torch.device,
        keep: Path | None = None,
    ) -> None:
        self.faces = faces
        self.augmentation = augmentation
        self.device = device
        self.keep = keep
        even = len(faces) // 2 * 2
        pair, fake = faces.pair[:even].reshape(-1, 2), faces.fake[:even].reshape(-1, 2)
        self.paired = (
            augmentation in PAIRED
            and len(faces) == even
            and bool(((pair[:, 0] == pair[:, 1]) & (pair[:, 0] >= 0)).all())
            and bool((fake[:, 0] != fake[:, 1]).all())
        )
        self.squares: NDArray[np.float64] = np.asarray(faces.squares)
        if self.paired:
            self.squares = self.squares.reshape(-1, 2, 4).mean(1).repeat(2, 0)
        self.size = max(size // 2 * 2, 2) if self.paired else size
        self._per = 2 if self.paired else 1
        self._kornia = _kornia_augmentation() if augmentation == "paper" else None

    @property
    def examples(self) -> int:
        """How many an epoch has."""
        return len(self.faces)

    def __len__(self) -> int:
        return -(-len(self.faces) // self.size)

    def epoch(self, draw: int | None = None) -> Iterator[Batch]:
        """All faces once, in a new order. `draw` names one of any number of draws of the changes,
        which come again whenever it is asked for; without it they are new, too."""
        generator = None if draw is None else torch.Generator().manual_seed(draw)
        groups = torch.randperm(len(self.faces) // self._per).numpy()
        order = (groups[:, None] * self._per + np.arange(self._per)).reshape(-1)
        changes = self._draw(generator)
        kept = None if draw is None or self.keep is None else self._kept(self.keep, draw, changes)
        chunks = (order[start : start + self.size] for start in range(0, len(order), self.size))
        with ThreadPoolExecutor(LOADERS) as pool:  # each thread gathers one batch ahead

            def gather(rows: NDArray[np.int64]) -> Future[_Gathered]:
                return pool.submit(self._gather, rows, changes, kept)

            ahead = deque(map(gather, islice(chunks, LOADERS)))
            while ahead:
                gathered = ahead.popleft().result()
                ahead.extend(map(gather, islice(chunks, 1)))
                yield self._finish(*gathered)

    def _draw(self, generator: torch.Generator | None = None, count: int = 0) -> list[Change]:
        """What happens to each of `count` pairs, or to each face where there are no pairs."""
        count = count or len(self.faces) // self._per
        if self.augmentation not in PAIRED:
            return [Change()] * count
        flips = torch.randint(0, 2, (count,), generator=generator).bool().tolist()
        uniform = 2 * torch.rand(count, 5, generator=generator) - 1
        strength = STRENGTHS.get(self.augmentation, STRENGTHS["pairs"])
        contrasts = (1 + strength.light * uniform[:, 0]).tolist()
        light = 1 + strength.light * uniform[:, 1:2]
        gains = (light * (1 + strength.colour * uniform[:, 2:])).tolist()
        changes = [
            Change(flip=flip, contrast=contrast, gains=tuple(gain))
            for flip, contrast, gain in zip(flips, contrasts, gains, strict=True)
        ]
        if self.augmentation == "pixel":
            shifts = torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (count, 2), generator=generator)
            return [
                change._replace(down=down, right=right)
                for change, (down, right) in zip(changes, shifts.tolist(), strict=True)
            ]
        zooms = torch.empty(count).uniform_(*strength.zoom, generator=generator).tolist()
        moves = (strength.move * torch.randn(count, 2, generator=generator)).tolist()
        harms = torch.rand(count, len(strength.harms), 2, generator=generator).tolist()
        seeds = torch.randint(1 << 30, (count,), generator=generator).tolist()
        around = torch.randint(len(OUTSIDE), (count,), generator=generator).tolist()
        blends = [1.0] * count
        if strength.blend:
            low, high = BLEND
            comes, amount = torch.rand(2, count, generator=generator)
            blends = torch.where(comes < strength.blend, low + (high - low) * amount, 1).tolist()
        return [
            change._replace(
                harms=_harms(strength.harms, draws),
                seed=seed,
                zoom=zoom,
                x=x,
                y=y,
                outside=OUTSIDE[outside],
                blend=blend,
            )
            for change, draws, seed, zoom, (x, y), outside, blend in zip(
                changes, harms, seeds, zooms, moves, around, blends, strict=True
            )
        ]

    def _kept(self, folder: Path, draw: int, changes: list[Change]) -> NDArray[np.uint8]:
        """All faces (N, 256, 256, 3) as a draw changed them, memory-mapped; changed only once."""
        path = folder / f"draw-{digest(self.faces)}-{self.augmentation}-{draw}.npy"
        rows = range(len(self.faces))

        def make(row: int) -> NDArray[np.uint8]:
            return self._change(row, changes)

        if not path.exists():
            keep(path, make, rows, (SIZE, SIZE), LOADERS, f"draw {draw + 1}")
        kept = cached(path, np.uint8)
        some = rows[:: max(len(rows) // CHECKED, 1)]
        if kept.shape != (len(rows), SIZE, SIZE, 3) or any(
            not np.array_equal(kept[row], make(row)) for row in some
        ):
            raise DataError(
                f"{path}: of other faces, or of another version of these tools; delete it, it is a"
                " cache"
            )
        return kept

    def _change(self, row: int, changes: list[Change]) -> NDArray[np.uint8]:
        """A face as it is changed: (256, 256, 3)."""
        change = changes[row // self._per]
        face = changed(self._picture(row, change.blend), self.squares[row], change)
        if change.down or change.right:
            face = face[_shifted(change.down)].take(_shifted(change.right), 1)
        return face[:, ::-1] if change.flip else face

    def _gather(
        self, rows: NDArray[np.int64], changes: list[Change], kept: NDArray[np.uint8] | None
    ) -> _Gathered:
        """Changed faces (N, 256, 256, 3) uint8, contrast and gains (N, 4) that are still to come,
        labels (N,) float32, and the rows again."""
        if self.augmentation not in PAIRED:  # no change: framed once, not in every epoch
            images = self.faces.framed[rows]
        elif kept is None:
            images = np.stack([self._change(row, changes) for row in rows])
        else:
            images = kept[rows]
        theirs = [changes[row // self._per] for row in rows]
        colours = torch.tensor([(change.contrast, *change.gains) for change in theirs])
        fake = torch.from_numpy(self.faces.fake[rows].astype(np.float32))
        return torch.from_numpy(images), colours, fake, rows

    def _picture(self, row: int, blend: float) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self.faces.images[row]
        if blend == 1 or not self.faces.fake[row] or not self.paired:
            return picture
        twin = self.faces.images[row ^ 1].astype(np.float32)  # pairs lie side by side
        blended = np.clip(twin + blend * (picture - twin) + 0.5, 0, 255)
        return np.asarray(blended, np.uint8)

    def _finish(
        self, images: Tensor, colours: Tensor, fake: Tensor, rows: NDArray[np.int64]
    ) -> Batch:
        """What is faster on the whole batch, and on the device."""
        images = images.to(self.device, non_blocking=True)
        x = images if images.is_floating_point() else to_float(images)
        if self._kornia is not None:
            x = self._kornia(x)
        elif self.augmentation in PAIRED:
            x = _recoloured(x, colours.to(self.device))
        x = x.contiguous(memory_format=torch.channels_last)
        return Batch(x, fake.to(self.device), rows)


def _harms(harms: dict[str, Harm], draws: list[list[float]]) -> tuple[tuple[str, float], ...]:
    """Two uniform draws for each harm: whether it comes, and how strong."""
    return tuple(
        (name, harm.mild + (harm.strong - harm.mild) * amount)
        for (name, harm), (comes, amount) in zip(harms.items(), draws, strict=True)
        if comes < harm.share
    )


def changed(
    picture: NDArray[np.uint8], square: NDArray[np.float64], change: Change
) -> NDArray[np.uint8]:
    """The picture (H, W, 3) harmed, and its changed square cut: (256, 256, 3)."""
    picture, box = worsened(picture, square, change)
    return frame(picture, box, change.outside)


def worsened(
    picture: NDArray[np.uint8], square: NDArray[np.float64], change: Change
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """The picture (H, W, 3) harmed, and its changed square in it: x, y, side, side."""
    wide = picture.shape[1]
    for name, amount in change.harms:
        picture = harm(picture, name, amount, change.seed)
    x, y, side, _ = square * (picture.shape[1] / wide)
    middle_x, middle_y = x + side * (0.5 + change.x), y + side * (0.5 + change.y)
    side *= change.zoom
    return picture, (middle_x - side / 2, middle_y - side / 2, side, side)


def _shifted(shift: int) -> NDArray[np.int64]:
    """For each of 256 lines the one that comes there; edge lines repeat."""
    return np.clip(np.arange(SIZE) - shift, 0, SIZE - 1)


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [0, 1], channels last in memory.

    A training step takes 15 % less time so than with the channels first (36.5 to 30.8 ms an image
    on one Zen core).
    """
    return images.permute(0, 3, 1, 2).to(torch.float32) / 255


def _recoloured(x: Tensor, colours: Tensor) -> Tensor:
    """Contrast around the mean of a face, and a gain for each colour; (N, 4), see `Change`."""
    contrast, gains = colours[:, :1], colours[:, 1:]
    offset = x.mean((1, 2, 3))[:, None] * (1 - contrast) * gains
    scale = contrast * gains
    return torch.addcmul(offset[:, :, None, None], x, scale[:, :, None, None]).clamp_(0, 1)


def _kornia_augmentation() -> torch.nn.Module:
    """The paper's: zoom, flips, rotation, colour. Amounts as in Afchar et al.; theirs are unnamed
    in Kawa & Syga."""
    from kornia import augmentation

    return torch.nn.Sequential(
        augmentation.RandomHorizontalFlip(),
        augmentation.RandomAffine(15.0, scale=(0.8, 1.2), padding_mode="border", p=1.0),
        augmentation.ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0),
    )
