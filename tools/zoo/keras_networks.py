"""Keras' own networks, layer by layer: `python -m tools.zoo.keras_networks [NAME ...]`.

Each of `keras.applications` gets random weights, is saved as `.keras`, read as `minimeso convert`
reads it, and every layer that is still there is compared with what Keras computes for a random
picture, in float32. Needs Keras 3; KERAS_BACKEND=torch runs it without TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras

from tools.convert.keras_files import draw
from tools.zoo.__main__ import agrees

#: Class in `keras.applications` -> side of its picture.
NETWORKS = {
    "MobileNet": 224,
    "MobileNetV2": 224,
    "MobileNetV3Small": 224,
    "EfficientNetB0": 224,
    "EfficientNetV2B0": 224,
    "Xception": 299,
    "DenseNet121": 224,
    "ResNet50V2": 224,
    "InceptionV3": 299,
    "ConvNeXtTiny": 224,
    "VGG16": 64,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo.keras_networks", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NETWORKS]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; there are {', '.join(NETWORKS)}")
    print(f"{'network':20}{'nodes':>7}{'compared':>10}{'error/scale':>13}  where")
    failed = False
    for name in options.names or NETWORKS:
        side = NETWORKS[name]
        model = getattr(keras.applications, name)(
            weights=None, input_shape=(side, side, 3), classes=10
        )
        draw(model, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.keras"
            model.save(path)
            failed |= not agrees(f"{name:20}", path)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
