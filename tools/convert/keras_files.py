"""Small files as Keras itself writes them: `python -m tools.convert.keras_files tests/data/keras`.

Needs Keras 3. The folder gets `small.keras.gz` and `small.h5.gz`, one network of every kind of
layer that `minimeso convert` reads, with random weights; and in `small.npz` what Keras computes in
every layer, as `minimeso verify` reads it.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from minimeso.convert import write_reference

KINDS = ("keras", "h5")


def network() -> Any:
    """Every layer at least once; odd sizes, so that padding is uneven; a model in the model."""
    image = keras.Input((13, 17, 3), name="image")
    x = layers.Rescaling(2.0, offset=[-0.5, 0.0, 0.5])(image)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D((2, 3), padding="same", depth_multiplier=2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.SeparableConv2D(8, 3, padding="same", dilation_rate=2, activation="swish")(x)
    inner = keras.Sequential([keras.Input((7, 9, 8)), layers.Conv2D(8, 1, groups=2), layers.ELU()])
    once, twice = inner(x), inner(layers.LeakyReLU(0.2)(x))
    x = layers.Average()([once, twice, layers.Subtract()([once, twice])])
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(x)
    x = layers.Conv2D(6, (3, 2), strides=2)(x)
    x = layers.GroupNormalization(3)(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(6, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.Add()([x, layers.SpatialDropout2D(0.1)(x)])
    x = layers.Concatenate()([layers.ReLU(6.0)(x), layers.RandomFlip()(x)])
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same", activation="gelu")(x)
    x = layers.Conv2DTranspose(5, 2, strides=3)(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(layers.Cropping2D(((1, 2), (0, 3)))(x))
    x = layers.AveragePooling2D(2, padding="same")(layers.LayerNormalization()(x))
    x = layers.Resizing(6, 5)(layers.Activation("mish")(x))
    x = layers.Reshape((6, 25))(layers.Permute((2, 1, 3))(layers.Permute((2, 1, 3))(x)))
    x = layers.Conv1D(4, 3, padding="same", activation="selu")(x)
    x = layers.MaxPooling1D(2)(layers.ZeroPadding1D(1)(x))
    x = layers.Dense(7, activation="tanh")(layers.Dropout(0.5)(layers.Flatten()(x)))
    return keras.Model(image, [layers.Dense(3, activation="softmax")(x), layers.Softmax()(x)])


def draw(model: Any, seed: int) -> None:
    """Random weights and statistics, rounded so that files pack well."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        name = weight.path.rpartition("/")[2]
        if "seed" in name or name == "count":
            continue
        if name in ("gamma", "variance", "moving_variance"):
            values = random.uniform(0.5, 1.5, weight.shape)
        elif name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            values = random.normal(0, (2 / np.prod(weight.shape[:-1])) ** 0.5, weight.shape)
        else:
            values = random.uniform(-0.2, 0.5, weight.shape)
        weight.assign(np.round(values * 256) / 256)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert.keras_files", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the files go")
    folder = parser.parse_args(arguments).folder
    model = network()
    draw(model, 0)
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        path = folder / f"small.{kind}"
        model.save(path)
        write_reference(path, folder / "small.npz")
        (folder / f"small.{kind}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
