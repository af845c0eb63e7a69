"""Makes a model file of a YuNet face finder: `python -m tools.convert.finder SRC.onnx DST.npz`.

SRC is `yunet_s_640_640.onnx` or `yunet_n_640_640.onnx` of ShiqiYu/libfacedetection.train (the
first is OpenCV Zoo's `face_detection_yunet_2023mar.onnx`).  What changes on the way, and why:
  - the picture is RGB in [0, 1] as everywhere in minimeso, not BGR in [0, 255]: the first
    convolution's channels are turned round and its weights multiplied by 255;
  - the four heads of a level (cls, obj, bbox, kps: 1 + 1 + 4 + 10 channels) are one convolution
    each instead of four: the same sums, in fewer passes over the memory;
  - the reshapes and the two sigmoids at the end are left to `minimeso.FaceFinder`, which needs them
    for few cells only.  So any multiple of 32 will do for height and width.
The file is read as `minimeso convert` reads it; what is no YuNet behind that is refused by name.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minimeso import Graph, Model, save_model
from minimeso.convert import onnx_file
from minimeso.convert.source import Converted
from minimeso.engine import Node
from minimeso.errors import GraphError, MinimesoError

STRIDES = (8, 16, 32)
HEADS = ("cls", "obj", "bbox", "kps")
#: SHA-256 of the files that were looked at, and what they are.
KNOWN = {
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4": "YuNet-s",
    "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31": "YuNet-n",
}
ORIGIN = "https://github.com/ShiqiYu/libfacedetection.train, onnx/"
LICENCE = "Apache-2.0 (libfacedetection.train)"
LICENCE_S = "MIT (OpenCV Zoo) and Apache-2.0 (libfacedetection.train)"


class FinderError(Exception):
    """SRC is no YuNet; the message names the node."""


def convert(path: Path, name: str) -> Model:
    """The finder in an ONNX file."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        source = _Source(onnx_file.convert_onnx(onnx_file.read(path, data), name))
    except GraphError as error:
        raise FinderError(f"{path}: {error}") from None
    known = KNOWN.get(digest)
    meta = {
        "architecture": known or "YuNet",
        "kind": "face finder",
        "origin": ORIGIN + path.name,
        "sha256": digest,
        "licence": LICENCE_S if known == "YuNet-s" else LICENCE,
        "citation": "Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, "
        "Machine Intelligence Research 2023",
        "data": "trained by its authors on WIDER FACE",
        "landmarks": ["left eye", "right eye", "nose", "left mouth corner", "right mouth corner"],
    }
    try:
        graph, weights = source.build(name)
    except (FinderError, GraphError) as error:
        raise FinderError(f"{path}: {error}") from None
    return Model(name, graph, graph.check_weights(weights), meta)


class _Source:
    """The network as it was, node by node, and as it becomes."""

    def __init__(self, converted: Converted) -> None:
        self.nodes = {node.name: node for node in converted.graph.nodes}
        self.arrays = converted.weights
        self.outputs = {key: view.name for key, view in converted.values.items()}
        self.input = next(iter(converted.graph.inputs))
        self.graph = Graph()
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.made: dict[str, str] = {}

    def build(self, name: str) -> tuple[Graph, dict[str, NDArray[np.float32]]]:
        """Graph and weights; its outputs are `head_8`, `head_16` and `head_32`."""
        self.graph = Graph(name)
        self.made = {self.input: self.graph.input("image", (3, None, None))}
        for stride in STRIDES:
            pairs = [self._head(f"{head}_{stride}") for head in HEADS]
            source = {point.inputs[0] for point, _ in pairs}
            if len(source) != 1:
                raise FinderError(f"the heads of stride {stride} read different maps")
            x = self._value(source.pop())
            x = self._merged(f"head_{stride}.point", [point for point, _ in pairs], x, 1)
            x = self._merged(f"head_{stride}", [deep for _, deep in pairs], x, 16)
            self.graph.output(x)
        return self.graph, self.weights

    def _head(self, output: str) -> tuple[Node, Node]:
        """The 1x1 and the depthwise convolution that a head ends in."""
        if output not in self.outputs:
            raise FinderError(f"has no output {output!r}")
        node = self.nodes[self.outputs[output]]
        while node.op in ("sigmoid", "reshape", "permute", "flatten"):
            node = self._node(node.inputs[0])
        return self._node(node.inputs[0]), node

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            raise FinderError(f"has no head before {name!r}")
        return self.nodes[name]

    def _merged(self, name: str, nodes: Sequence[Node], x: str, groups: int) -> str:
        for part in ("weight", "bias"):
            self.weights[f"{name}.{part}"] = np.concatenate([self._array(n, part) for n in nodes])
        attributes = {
            **nodes[0].attributes,
            "groups": groups,
            "out_channels": len(self.weights[f"{name}.bias"]),
        }
        return self.graph.node("conv2d", x, name=name, **attributes)

    def _value(self, name: str) -> str:
        """The name in our graph, after what it reads was copied."""
        if name not in self.made:
            self.made[name] = self._copy(self.nodes[name])
        return self.made[name]

    def _copy(self, node: Node) -> str:
        inputs = [self._value(name) for name in node.inputs]
        attributes = dict(node.attributes)
        if node.op == "conv2d":
            weight = self._array(node, "weight")
            if node.inputs[0] == self.input:
                weight = np.ascontiguousarray(weight[:, ::-1]) * np.float32(255)
            self.weights[f"{node.name}.weight"] = weight
            self.weights[f"{node.name}.bias"] = self._array(node, "bias")
        elif node.op == "resize":
            attributes = {"mode": "nearest", "scale": 2.0}  # of pictures of any size
        elif node.op not in ("relu", "add", "max_pool2d"):
            raise FinderError(f"{node.op} {node.name!r} belongs to no YuNet")
        return self.graph.node(node.op, *inputs, name=node.name, **attributes)

    def _array(self, node: Node, part: str) -> NDArray[np.float32]:
        array = self.arrays.get(f"{node.name}.{part}")
        if array is None:
            raise FinderError(f"{node.op} {node.name!r} has no {part}")
        return np.asarray(array, np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert.finder", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("src", type=Path, help="the ONNX file of a YuNet")
    parser.add_argument("dst", type=Path, help="the model file to write (.npz)")
    parser.add_argument("--name", help="name of the model (default: that of DST)")
    options = parser.parse_args(arguments)
    try:
        model = convert(options.src, options.name or options.dst.stem)
        save_model(model, options.dst)
    except (FinderError, MinimesoError, OSError) as error:
        print(f"finder: {error}", file=sys.stderr)
        return 2
    print(f"{options.dst}: {model.meta['architecture']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
