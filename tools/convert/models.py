"""Makes a minimeso model file of trained weights: `python -m tools.convert SRC DST.npz`.

SRC is a Keras file of the MesoNet authors (`Meso4_DF.h5` and its three siblings) or a checkpoint of
`tools.train` or of the paper's experiments on MNIST and CIFAR-10, or a bare PyTorch `state_dict`:
of `tools/train/networks.py` or `tools/train/classifiers.py`, with --activation, or of
`tools/train/teacher.py` (EfficientNet-Lite0, also pruned). Weights may be float16. MesoNets and
EfficientNet-Lite0 become detectors; the others plain networks whose output is the softmax.
The architecture is read off the arrays; what is unknown is refused by name. Nothing in SRC is
trusted: no pickled code runs, no other file is opened on its behalf, sizes are checked before
arrays are read.
"""

from __future__ import annotations

from pathlib import Path

from minimeso.convert.hdf5 import MAGIC
from minimeso.engine.model_file import SIZE_LIMIT, Model
from tools.convert.checkpoints import checkpoint_arrays
from tools.convert.keras import keras_arrays
from tools.convert.source import ConvertError, Source, graph_of


def read_source(path: Path, architecture: str | None, activation: str | None) -> Source:
    """The weights in a Keras file or a checkpoint; both flags may only confirm what is known."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None
    if size > SIZE_LIMIT:
        raise ConvertError(f"{path}: {size} bytes, more than the limit of {SIZE_LIMIT}")
    if magic == MAGIC:
        source = keras_arrays(path, activation or "original")
    elif magic.startswith(b"PK"):
        source = checkpoint_arrays(path, activation)
    else:
        raise ConvertError(f"{path}: neither a Keras .h5 file nor a PyTorch checkpoint")
    for what, wanted, found in (
        ("architecture", architecture, source.architecture),
        ("activation", activation, source.activation),
    ):
        if wanted is not None and wanted != found:
            raise ConvertError(f"{path}: the {what} is {found}, not {wanted}")
    return source


def to_model(source: Source, name: str) -> Model:
    """The model file's content: of a MesoNet a detector, uncalibrated, fake from p_fake 0.5 on."""
    graph = graph_of(source.architecture, source.activation, source.eps, source.arrays)
    meta = {
        "architecture": source.architecture,
        "activation": source.activation,
        **source.meta,
    }
    return Model(
        name=name,
        graph=graph,
        weights=graph.check_weights(source.arrays),
        meta=meta,
        framing=source.framing,
        thresholds={"real": 0.5, "fake": 0.5} if source.framing else None,
    )
