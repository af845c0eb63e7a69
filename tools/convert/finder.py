"""Makes a model file of a YuNet face finder: `python -m tools.convert.finder SRC.onnx DST.npz`.

SRC is `yunet_s_640_640.onnx` or `yunet_n_640_640.onnx` of ShiqiYu/libfacedetection.train (the
first is OpenCV Zoo's `face_detection_yunet_2023mar.onnx`).  What changes on the way, and why:
  - the picture is RGB in [0, 1] as everywhere in minimeso, not BGR in [0, 255]: the first
    convolution's channels are turned round and its weights multiplied by 255;
  - the four heads of a level (cls, obj, bbox, kps: 1 + 1 + 4 + 10 channels) are one convolution
    each instead of four: the same sums, in fewer passes over the memory;
  - the reshapes and the two sigmoids at the end are left to `minimeso.FaceFinder`, which needs them
    for few cells only.  So any multiple of 32 will do for height and width.
The ONNX file is read by the `onnx` package (extra `train`); what it holds beyond the operations of
these networks is refused by name.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from minimeso import Graph, Model, save_model
from minimeso.errors import MinimesoError

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
        source = _Source(onnx.load_from_string(data))
    except FinderError as error:
        raise FinderError(f"{path}: {error}") from None
    except Exception as error:  # protobuf raises whatever comes along
        raise FinderError(f"{path}: not a readable ONNX file ({error})") from None
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
    except FinderError as error:
        raise FinderError(f"{path}: {error}") from None
    return Model(name, graph, graph.check_weights(weights), meta)


class _Source:
    """The operations of the ONNX graph by what they make."""

    def __init__(self, model: Any) -> None:
        self.makers = {node.output[0]: node for node in model.graph.node}
        self.arrays = {a.name: onnx.numpy_helper.to_array(a) for a in model.graph.initializer}
        self.input = model.graph.input[0].name
        self.graph = Graph()
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.made: dict[str, str] = {}

    def build(self, name: str) -> tuple[Graph, dict[str, NDArray[np.float32]]]:
        """Graph and weights; its outputs are `head_8`, `head_16` and `head_32`."""
        self.graph = Graph(name)
        self.made = {self.input: self.graph.input("image", (3, None, None))}
        for stride in STRIDES:
            pairs = [self._head(f"{head}_{stride}") for head in HEADS]
            source = {point.input[0] for point, _ in pairs}
            if len(source) != 1:
                raise FinderError(f"the heads of stride {stride} read different maps")
            x = self._value(source.pop())
            x = self._merged(f"head_{stride}.point", [point for point, _ in pairs], x, 1)
            x = self._merged(f"head_{stride}", [deep for _, deep in pairs], x, 16)
            self.graph.output(x)
        return self.graph, self.weights

    def _head(self, output: str) -> tuple[Any, Any]:
        """The 1x1 and the depthwise convolution that a head ends in."""
        node = self._maker(output)
        while node.op_type in ("Sigmoid", "Reshape", "Transpose"):
            node = self._maker(node.input[0])
        return self._maker(node.input[0]), node

    def _merged(self, name: str, nodes: Sequence[Any], x: str, groups: int) -> str:
        parts = [[self._array(n, i) for n in nodes] for i in (1, 2)]
        self.weights[f"{name}.weight"], self.weights[f"{name}.bias"] = map(np.concatenate, parts)
        return self._convolution(name, nodes[0], x, groups)

    def _value(self, output: str) -> str:
        """The name in our graph of what the ONNX graph calls `output`."""
        if output not in self.made:
            self.made[output] = self._convert(self._maker(output))
        return self.made[output]

    def _convert(self, node: Any) -> str:
        attributes = _attributes(node)
        if node.op_type == "Conv":
            x = self._value(node.input[0])
            weight, name = self._array(node, 1), node.name
            if node.input[0] == self.input:
                weight = np.ascontiguousarray(weight[:, ::-1]) * np.float32(255)
            self.weights[f"{name}.weight"] = weight
            self.weights[f"{name}.bias"] = self._array(node, 2)
            return self._convolution(name, node, x, attributes["group"])
        if node.op_type == "Relu":
            return self.graph.node("relu", self._value(node.input[0]), name=node.name)
        if node.op_type == "MaxPool" and attributes["kernel_shape"] == attributes["strides"]:
            size = attributes["kernel_shape"][0]
            x = self._value(node.input[0])
            return self.graph.node("max_pool2d", x, name=node.name, kernel_size=size)
        if node.op_type == "Resize" and attributes["mode"] == b"nearest":
            x = self._value(node.input[0])
            return self.graph.node("resize", x, name=node.name, scale=2.0)
        if node.op_type == "Add":
            first, second = (self._value(i) for i in node.input)
            return self.graph.node("add", first, second, name=node.name)
        raise FinderError(f"{node.op_type} {node.name!r} belongs to no YuNet")

    def _convolution(self, name: str, node: Any, x: str, groups: int) -> str:
        attributes = _attributes(node)
        return self.graph.node(
            "conv2d",
            x,
            name=name,
            out_channels=len(self.weights[f"{name}.bias"]),
            kernel_size=tuple(attributes["kernel_shape"]),
            stride=tuple(attributes["strides"]),
            padding=tuple(attributes["pads"]),
            groups=groups,
        )

    def _maker(self, output: str) -> Any:
        if output not in self.makers:
            raise FinderError(f"no node makes {output!r}")
        return self.makers[output]

    def _array(self, node: Any, place: int) -> NDArray[np.float32]:
        array = self.arrays.get(node.input[place]) if len(node.input) > place else None
        if array is None or array.dtype != np.float32:
            raise FinderError(f"{node.op_type} {node.name!r} has no float32 array {place}")
        return array


def _attributes(node: Any) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


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
