"""What may have become of the faces of a split before one is judged: `VIEWS`, and smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tools.train import faces, harms, pasted


def harmed(split: faces.Faces, harm: str, amount: float) -> Iterator[pasted.Face]:
    """The faces with the whole picture made worse before they are cut."""
    for picture, square in zip(split.images, split.squares, strict=True):
        worse = harms.harm(picture, harm, amount)
        x, y, width, height = (square * (worse.shape[1] / picture.shape[1])).tolist()
        yield pasted.Face(worse, (x, y, width, height))


def found_again(split: faces.Faces, scales: tuple[float, float]) -> Iterator[pasted.Face]:
    """The faces pasted into larger pictures and found again; as trained where they aren't."""
    views = pasted.pasted(split, faces.FRAMING, scales)
    for view, before in zip(views, pasted.as_trained(split), strict=True):
        yield view or before


#: What may have become of a picture before a face is found in it.
VIEWS: dict[str, Callable[[faces.Faces], Iterator[pasted.Face]]] = {
    "as trained": pasted.as_trained,
    "JPEG quality 40": lambda split: harmed(split, "jpeg", 40),
    "half the size": lambda split: harmed(split, "size", 0.5),
    "blur of 1 pixel": lambda split: harmed(split, "blur", 1),
    "H.264 crf 32": lambda split: harmed(split, "h264", 32),
    "pasted and found": lambda split: found_again(split, (1.0, 1.0)),
    "pasted, found, rescaled": lambda split: found_again(split, pasted.SCALES),
}


def scaled(split: faces.Faces, side: int) -> Iterator[pasted.Face]:
    """The faces with the picture scaled down until the square has so many pixels."""
    for picture, square in zip(split.images, split.squares, strict=True):
        smaller = min(side / square[2], 1.0)
        worse = harms.harm(picture, "size", smaller, seed=1)  # bicubic
        x, y, width, height = (square * (worse.shape[1] / picture.shape[1])).tolist()
        yield pasted.Face(worse, (x, y, width, height))
