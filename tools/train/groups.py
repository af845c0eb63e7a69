"""Batches of faces of which a real one has any number of fakes: pairs that are drawn anew.

Each epoch takes every real face as often as its set says (`sets.py`), each time beside one of
the fakes of its video, or where there is none, or by chance, beside its self-blended self
(`blends.py`). The two are neighbours in the batch, and what befalls them is the same.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tools.train.batches import LOADERS, Batch, Batches, Change, worsened
from tools.train.blends import self_blended
from tools.train.faces import Faces, seen

#: Sets in which the fake of a video is of the same frame as its real face, cut alike.
SAME_FRAME = ("dfdc",)


#: Pictures, what is still to come of their colours, labels, and which of the faces they are.
_Gathered = tuple[Tensor, Tensor, Tensor, Tensor]
Gather = Callable[[list[int]], _Gathered]


class Pair(NamedTuple):
    """Rows of a real face and of the fake beside it; None: its self-blended self."""

    real: int
    fake: int | None


class Groups(Batches):
    """Augmented pairs, epoch after epoch; see `Batches`, whose draws cannot be repeated here.

    Args:
        repeat: how often an epoch takes the real faces of a set, by its name; a part of one takes
            as many of them.
        self_blended: share of the pairs whose fake is a self-blended one though there are others.
        workers: processes that change the faces, for a GPU that is faster than the threads of one;
            they are forked, so Linux alone has them.
    """

    def __init__(
        self,
        faces: Faces,
        size: int,
        augmentation: str,
        device: torch.device,
        repeat: Mapping[str, float],
        self_blended: float = 0.0,
        workers: int = 0,
    ) -> None:
        super().__init__(faces, size, augmentation, device)
        self.paired = True
        self.squares = np.asarray(faces.squares)
        self.size = max(size // 2 * 2, 2)
        self._self_blended = self_blended
        self._workers = workers
        fakes: defaultdict[int, list[int]] = defaultdict(list)
        for row in np.flatnonzero(faces.fake):
            fakes[int(faces.pair[row])].append(int(row))
        self._fakes = dict(fakes)
        real = np.flatnonzero(faces.fake == 0)
        source = np.array(faces.source)[real]
        self._real = {name: real[source == name] for name in sorted(set(faces.source))}
        self._share = {name: repeat.get(name, 1.0) for name in self._real}

    @property
    def pairs(self) -> int:
        """How many an epoch has."""
        return sum(round(len(rows) * self._share[name]) for name, rows in self._real.items())

    @property
    def examples(self) -> int:
        return 2 * self.pairs

    def __len__(self) -> int:
        return -(-self.examples // self.size)

    def epoch(self, draw: int | None = None) -> Iterator[Batch]:
        """Pairs in a new order, changed anew."""
        if draw is not None:
            raise ValueError("the draws of groups do not come again")
        pairs = self._pairs()
        changes = self._draw(count=len(pairs))
        order = torch.randperm(len(pairs)).tolist()
        half = self.size // 2
        chunks = [order[start : start + half] for start in range(0, len(order), half)]

        def gather(chosen: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            images, rows = [], []
            for i in chosen:
                pair = pairs[i]
                images += self._both(pair, changes[i])
                rows += [pair.real, pair.real if pair.fake is None else pair.fake]
            colours = [(changes[i].contrast, *changes[i].gains) for i in chosen for _ in "ab"]
            fake = torch.tensor([0.0, 1.0]).repeat(len(chosen))
            pixels = torch.from_numpy(np.stack(images))
            return pixels, torch.tensor(colours), fake, torch.tensor(rows)

        found = self._by_processes(chunks, gather) if self._workers else _by_threads(chunks, gather)
        for pixels, colours, fake, rows in found:
            yield self._finish(pixels, colours, fake, rows.numpy())

    def _by_processes(self, chunks: list[list[int]], gather: Gather) -> Iterable[_Gathered]:
        return DataLoader(
            cast("Dataset[list[int]]", chunks),
            batch_size=None,
            collate_fn=gather,
            num_workers=self._workers,
            prefetch_factor=4,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context="fork",
            generator=torch.Generator(),  # of its own: ours decides what comes
        )

    def _pairs(self) -> list[Pair]:
        """Those of an epoch."""
        pairs = []
        for name, rows in self._real.items():
            count = round(len(rows) * self._share[name])
            turns = -(-count // len(rows))
            chosen = torch.cat([torch.randperm(len(rows)) for _ in range(turns)])[:count]
            for real, draw, other in zip(
                rows[chosen.numpy()].tolist(),
                torch.rand(count).tolist(),
                torch.rand(count).tolist(),
                strict=True,
            ):
                fakes = self._fakes.get(int(self.faces.pair[real]), [])
                blended = not fakes or draw < self._self_blended
                pairs.append(Pair(real, None if blended else fakes[int(other * len(fakes))]))
        return pairs

    def _both(self, pair: Pair, change: Change) -> list[NDArray[np.float32]]:
        real, square = self.faces.images[pair.real], self.squares[pair.real]
        theirs = square
        if pair.fake is None:
            fake = self_blended(real, square, change.seed)
        else:
            fake = self.faces.images[pair.fake]
            if self.faces.source[pair.fake] not in SAME_FRAME:
                theirs = self.squares[pair.fake]
            elif change.blend != 1:
                twin = real.astype(np.float32)
                mixed = np.clip(twin + change.blend * (fake - twin) + 0.5, 0, 255)
                fake = mixed.astype(np.uint8)
        return [_cut(real, square, change), _cut(fake, theirs, change)]


def _by_threads(chunks: list[list[int]], gather: Gather) -> Iterator[_Gathered]:
    waiting = iter(chunks)
    with ThreadPoolExecutor(LOADERS) as pool:
        ahead = deque(pool.submit(gather, chunk) for chunk in islice(waiting, LOADERS))
        while ahead:
            found = ahead.popleft().result()
            ahead.extend(pool.submit(gather, chunk) for chunk in islice(waiting, 1))
            yield found


def _cut(
    picture: NDArray[np.uint8], square: NDArray[np.float64], change: Change
) -> NDArray[np.float32]:
    """(3, 256, 256): a changed face as it is cut in use, every second one by another filter."""
    worse, box = worsened(picture, square, change)
    cut = seen(worse, box, change.outside, "bicubic_2x" if change.seed & 2 else "bilinear")
    return cut[:, :, ::-1] if change.flip else cut
