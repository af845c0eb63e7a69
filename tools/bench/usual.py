"""The usual route to a verdict on a clip: facenet-pytorch's MTCNN, MesoInception-4 in PyTorch.

`python -m tools.bench.usual CLIP FRAMES THREADS` judges that many frames from the clip's start on,
every one, as its users do: PyAV decodes, MTCNN finds and cuts every face (256 x 256; faces from 40
pixels on, as ours, which is quicker than its default of 20), the network scores them.  One frame at
a time or several at once, whatever is faster here.  It prints JSON; what is timed begins with the
opening of the clip, when all is loaded and warm.

facenet-pytorch 2.6.0 pins an old PyTorch, so it goes beside a new one by `--no-deps`.  It wants
torchvision, for two functions only.  Where that is missing (or does not fit the PyTorch that is
there) we lend it our own two, and what they take is not counted, so that the route can only look
faster than it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

INSTALL = (
    "needs facenet-pytorch: pip install --no-deps facenet-pytorch==2.6.0, and "
    "pip install requests tqdm"
)
SIZE = 256
MIN_FACE = 40
#: The frames of a call, to be tried, and how many of them.
WAYS, TRIAL = (1, 16), 16
STAND_IN = "stand-in for its two functions, whose time is not counted"


def judge(path: Path, frames: int, threads: int) -> dict[str, Any]:
    """Judge the first frames of a clip; returns what is known of the run.

    Raises:
        ImportError: PyTorch, PyAV or facenet-pytorch is missing.
    """
    import torch

    lent = torchvision()
    from facenet_pytorch import MTCNN

    from tools.train import networks

    torch.set_num_threads(threads)
    finder = MTCNN(image_size=SIZE, min_face_size=MIN_FACE, keep_all=True, post_process=False)
    network = networks.build("mesoinception4", "original").eval()  # any weights take as long
    with torch.inference_mode():
        seconds = {}
        first = list(islice(_pictures(path), TRIAL))
        for at_once in WAYS:
            _scores(finder, network, first[:at_once])  # wake up
            start = time.perf_counter()
            list(_all_scores(finder, network, first, at_once))
            seconds[at_once] = time.perf_counter() - start
        at_once = min(seconds, key=lambda way: seconds[way])
        aside, start = lent.seconds, time.perf_counter()
        scores = list(_all_scores(finder, network, islice(_pictures(path), frames), at_once))
        took = time.perf_counter() - start
    aside = lent.seconds - aside
    return {
        "frames": len(scores),
        "faces": sum(map(len, scores)),
        "seconds": took - aside,
        "not_counted": aside,
        "at_once": at_once,
        "torchvision": lent.name,
    }


def _pictures(path: Path) -> Iterator[Image.Image]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield frame.to_image()


def _all_scores(
    finder: nn.Module, network: nn.Module, pictures: Iterable[Image.Image], at_once: int
) -> Iterator[list[float]]:
    """The p_fake of every face of every picture."""
    iterator = iter(pictures)
    while few := list(islice(iterator, at_once)):
        yield from _scores(finder, network, few)


def _scores(
    finder: nn.Module, network: nn.Module, pictures: list[Image.Image]
) -> list[list[float]]:
    import torch

    found: list[Tensor | None] = finder(pictures)  # (faces, 3, 256, 256) from 0 to 255
    faces = [face for face in found if face is not None]
    if not faces:
        return [[] for _ in pictures]
    scores = iter(torch.sigmoid(network(torch.cat(faces) / 255)).flatten().tolist())
    return [[] if face is None else [next(scores) for _ in face] for face in found]


# --- what facenet-pytorch needs of torchvision -----------------------------------------------


class Lent:
    """What stands for torchvision: its version, or our functions and the seconds they took."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds = 0.0

    def batched_nms(self, boxes: Tensor, scores: Tensor, group: Tensor, iou: float) -> Tensor:
        """As ``torchvision.ops.boxes.batched_nms``: indices of what is kept, best score first."""
        import torch

        start = time.perf_counter()
        kept = [torch.empty(0, dtype=torch.int64)]
        for number in torch.unique(group):
            places = torch.nonzero(group == number)[:, 0]
            own = without_overlap(boxes[places].numpy(), scores[places].numpy(), iou)
            kept.append(places[torch.from_numpy(own)])
        result = torch.cat(kept)
        result = result[torch.argsort(scores[result], descending=True, stable=True)]
        self.seconds += time.perf_counter() - start
        return result


def without_overlap(boxes: Any, scores: Any, iou: float) -> Any:
    """Greedy non-maximum suppression of boxes (N, 4) left, top, right, bottom: indices, int64."""
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = boxes[order].T
    area = (right - left) * (bottom - top)
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(order[i])
        wide = np.minimum(right, right[i]) - np.maximum(left, left[i])
        high = np.minimum(bottom, bottom[i]) - np.maximum(top, top[i])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        alive &= shared <= iou * (area + area[i] - shared)
    return np.array(kept, np.int64)


def to_tensor(picture: Any) -> Tensor:
    """As ``torchvision.transforms.functional.to_tensor`` of (H, W, C) float32."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def torchvision() -> Lent:
    """Make sure that the two functions can be imported."""
    try:
        import torchvision as real
        from torchvision.ops.boxes import batched_nms  # noqa: F401 (fails where it does not fit)

        return Lent(str(real.__version__))
    except (ImportError, RuntimeError):
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    lent = Lent(STAND_IN)
    functional = ModuleType("torchvision.transforms.functional")
    boxes = ModuleType("torchvision.ops.boxes")
    transforms, ops = ModuleType("torchvision.transforms"), ModuleType("torchvision.ops")
    vars(functional)["to_tensor"] = to_tensor
    vars(boxes)["batched_nms"] = lent.batched_nms
    vars(transforms)["functional"] = functional
    vars(ops)["boxes"] = boxes
    package = ModuleType("torchvision")
    for module in (package, transforms, functional, ops, boxes):
        sys.modules[module.__name__] = module
    return lent


def main(arguments: list[str]) -> int:
    path, frames, threads = arguments
    try:
        result = judge(Path(path), int(frames), int(threads))
    except ImportError as error:
        print(f"{INSTALL} ({error})", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
