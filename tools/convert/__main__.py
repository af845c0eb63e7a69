"""Makes a minimeso model file of trained weights: `python -m tools.convert SRC DST.npz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from minimeso.engine.model_file import save_model
from minimeso.errors import GraphError, MinimesoError
from minimeso.networks import ACTIVATION_SETTINGS
from tools.convert.models import read_source, to_model
from tools.convert.source import ConvertError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert",
        description="Make a minimeso model file of published Keras weights or of a checkpoint.",
    )
    parser.add_argument("src", type=Path, help=".h5 of the MesoNet authors, or .pt of our training")
    parser.add_argument("dst", type=Path, help="the model file to write (.npz)")
    parser.add_argument("--architecture", help="refuse any other, such as mesoinception4")
    parser.add_argument("--activation", choices=ACTIVATION_SETTINGS, help="where SRC is silent")
    parser.add_argument("--name", help="name of the model (default: that of DST)")
    options = parser.parse_args(arguments)
    try:
        source = read_source(options.src, options.architecture, options.activation)
        try:
            model = to_model(source, options.name or options.dst.stem)
        except GraphError as error:
            raise ConvertError(f"{options.src}: {error}") from None
        save_model(model, options.dst)
    except (ConvertError, MinimesoError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 2
    print(f"{options.dst}: {source.architecture}, {source.activation}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
