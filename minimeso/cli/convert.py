"""``minimeso convert``: a network of another framework becomes a model file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import frame_size
from .output import line, message

if TYPE_CHECKING:
    from ..convert import Preparation

HELP = "make a model file of an ONNX file, an exported PyTorch program or a Keras file"
DETAILS = (
    "SRC is .onnx (needs: pip install 'minimeso[onnx]'), .pt2 as torch.export.save writes it "
    "(PyTorch 2.8 or later), or .keras or .h5 of Keras; reading those needs no framework. Nothing "
    "in it is trusted and no code of it runs. What is not known is refused with the name of the "
    "node and what to do. Pictures come to the network as RGB in [0, 1]; --mean, --std and --bgr "
    "turn them into what it was trained on."
)
EXAMPLES = """\
  minimeso convert network.onnx network.npz
  minimeso convert network.pt2 network.npz --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  minimeso convert network.onnx network.npz --reference reference.npz"""

_MAX_SIDE = 1 << 14
_DTYPES = ("float32", "float16", "int8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add = parser.add_argument
    add("source", metavar="SRC", help=".onnx, .pt2 of torch.export.save, .keras, or .h5 of Keras")
    add("target", metavar="DST", help="the model file to write (.npz)")
    add("--name", help="name of the model; default: that of SRC")
    add("--size", type=frame_size(_MAX_SIDE), metavar="WIDTHxHEIGHT",
        help="of pictures, where SRC leaves it open and the network needs to know")  # fmt: skip
    add("--dtype", choices=_DTYPES, default="float32",
        help="of the weights in DST: float16 halves, int8 quarters the file")  # fmt: skip
    add("--mean", type=_numbers, default=(0.0,), metavar="M,...",
        help="what the network wants subtracted from pictures in [0, 1], one number or one "
        "for each channel")  # fmt: skip
    add("--std", type=_numbers, default=(1.0,), metavar="S,...",
        help="by what it wants them divided then; of a network for 0 to 255 that is 1/255, "
        "0.00392156862745098")  # fmt: skip
    add("--bgr", action="store_true", help="the network wants blue first, --mean and --std, too")
    add("--reference", metavar="FILE", help="write what SRC itself computes for a random picture, "
        "for `minimeso verify`; needs PyTorch, ONNX Runtime or onnx, or Keras")  # fmt: skip
    add("--operators", action=_Operators, help="list the operators and layers that are known")


class _Operators(argparse.Action):
    """Prints and ends, as ``--version`` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=more.get("help"))

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from ..convert.keras_operators import READERS as KERAS
        from ..convert.onnx_operators import PARTS
        from ..convert.onnx_operators import READERS as ONNX
        from ..convert.torch_operators import ALIASES
        from ..convert.torch_operators import PARTS as ATEN_PARTS
        from ..convert.torch_operators import READERS as ATEN

        line(f"ONNX: {', '.join(sorted(ONNX.keys() - PARTS))}")
        line(f"as parts of GELU, of a layer norm and of x / |x|: {', '.join(sorted(PARTS))}")
        line(f"PyTorch (aten): {', '.join(sorted((ATEN.keys() | ALIASES) - ATEN_PARTS))}")
        line(f"Keras: {', '.join(sorted(KERAS.keys() - {'Lambda'}))}")
        parser.exit()


def _numbers(text: str) -> tuple[float, ...]:
    """A type for argparse: numbers with commas between them."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 0.485,0.456") from None


def run(options: argparse.Namespace) -> int:
    """Convert and write; returns the exit status."""
    from ..convert import Preparation, convert_file, write_reference
    from ..engine import save_model
    from ..engine.files import check_not_over
    from ..engine.model_file import SIZE_LIMIT
    from ..errors import ModelError

    check_not_over(options.target, options.source)
    if options.reference:
        check_not_over(options.reference, options.source, options.target)
    size = (options.size[1], options.size[0]) if options.size else None
    preparation = Preparation(options.mean, options.std, options.bgr)
    model = convert_file(options.source, name=options.name, size=size, preparation=preparation)
    try:
        _written(options.target, lambda: save_model(model, options.target, dtype=options.dtype))
    except ModelError:
        held = sum(array.nbytes for array in model.weights.values())
        if held <= SIZE_LIMIT:
            raise
        raise ModelError(
            f"{options.target}: {held / (1 << 20):.0f} MiB of weights as float32, and a model file"
            f" holds {SIZE_LIMIT >> 20}: --dtype float16 halves, int8 quarters them"
        ) from None
    _tell(options.target, model)
    if options.reference:
        _reference(options, size, preparation, write_reference)
    return 0


def _reference(
    options: argparse.Namespace,
    size: tuple[int, int] | None,
    preparation: Preparation,
    write_reference: Callable[..., None],
) -> None:
    _written(
        options.reference,
        lambda: write_reference(
            options.source, options.reference, size=size, preparation=preparation
        ),
    )


def _written(path: str, write: Callable[[], None]) -> None:
    """An error of the system is one of writing here: what is read gives errors of its own."""
    from ..errors import OutputError

    try:
        write()
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}: choose a folder that exists, "
            "with room and the right to write"
        ) from None


def _tell(path: str, model: Any) -> None:
    values = sum(array.size for array in model.weights.values())
    size = Path(path).stat().st_size
    shapes = ", ".join(
        "x".join("any" if n is None else str(n) for n in shape)
        for shape in model.graph.inputs.values()
    )
    message(
        f"{path}: {len(model.graph.nodes)} nodes, {values:,} values, {size / 1e6:.1f} MB, "
        f"input {shapes}, output {', '.join(model.graph.outputs)}"
    )
