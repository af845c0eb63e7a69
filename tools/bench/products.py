"""Would 16-bit integers make the thorough network faster? `python -m tools.bench.products`.

Its 1x1 convolutions, nine tenths of its multiply-adds, as matrix products by themselves: in
float32, and in integers of 16 bits whose sums have 32. Weights are stored in 8 bits anyway; what
goes in is rounded to 13, so no sum of 2,000 products overflows, and integers have the same bits on
every machine. Times are those of products.c, compiled for one instruction set after the other, the
two kinds in turns: what rounding costs is counted. Not what the engine does: its own kernels are in
`python -m tools.bench --profile --networks efficientnet_lite0`.

With --data and --cache, what that rounding does to the AUC on val, in PyTorch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from minimeso.cli.output import table
from minimeso.engine.graph import Graph
from minimeso.engine.library import find_model
from minimeso.engine.native import available_isas
from tools.arguments import number
from tools.compiler import c_compiler
from tools.errors import ToolError, exit_status

SOURCE = Path(__file__).resolve().with_suffix(".c")
NETWORK = "efficientnet-lite0"
#: What the compiler is told; on other machines than x86-64 there is nothing to measure.
FLAGS = {"avx2": ("-mavx2", "-mfma"), "sse2": ("-msse2",)}

#: Channels in and out, and pixels, of a product.
Product = tuple[int, int, int]


def products(graph: Graph) -> Counter[Product]:
    """The 1x1 convolutions of a network, and how many there are of each."""
    shapes = graph.shapes()
    found: Counter[Product] = Counter()
    for node in graph.nodes:
        if node.op == "conv2d" and node.attributes["kernel_size"] == (1, 1):
            channels, height, width = (extent or 0 for extent in shapes[node.inputs[0]])
            found[channels, node.attributes["out_channels"], height * width] += 1
    return found


def lines(isa: str, found: Counter[Product], turns: int, folder: Path) -> Iterator[str]:
    """A table of one instruction set."""
    program = folder / isa
    command = [*c_compiler(), "-O3", "-std=c11", *FLAGS[isa], str(SOURCE), "-o", str(program)]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(
            f"{SOURCE.name} cannot be compiled ({error}); CC names a compiler"
        ) from None
    rows = [["in x out x pixels", "float32, ms", "integers", "rounding", "times as fast", "off"]]
    total = [0.0, 0.0, 0.0]
    for (inputs, outputs, pixels), count in found.items():
        command = [str(program), *map(str, (inputs, outputs, pixels, turns))]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        took = [1e-6 * count * float(text) for text in told[:3]]
        total = [a + b for a, b in zip(total, took, strict=True)]
        name = f"{inputs} x {outputs} x {pixels}" + (f", {count} of them" if count > 1 else "")
        rows.append([name, *_row(took), told[3]])
    rows.append(["all", *_row(total), ""])
    yield f"{isa}:"
    yield from table(rows, right=[1, 2, 3, 4, 5])


def _row(took: Sequence[float]) -> list[str]:
    return [*(f"{ms:.3f}" for ms in took), f"{took[0] / (took[1] + took[2]):.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.products",
        description="Times of matrix products in float32 and in 16-bit integers.",
    )
    parser.add_argument("--turns", type=number(1 << 20), default=101, metavar="N",
        help="of each product; default: %(default)s")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with faces/ and more/")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for decoded faces")
    parser.add_argument("--faces", type=number(1 << 20), default=600, metavar="N",
        help="of each source, with --data; default: %(default)s")  # fmt: skip
    options = parser.parse_args(arguments)
    if (options.data is None) != (options.cache is None):
        parser.error("--data and --cache belong together")

    def measure() -> None:
        isas = [isa for isa in FLAGS if isa in available_isas()]
        if not isas:
            raise ToolError(f"this machine has none of {', '.join(FLAGS)}")
        found = products(find_model(NETWORK).graph)
        with tempfile.TemporaryDirectory() as folder:
            for isa in isas:
                for line in lines(isa, found, options.turns, Path(folder)):
                    print(line, flush=True)
        if options.data is not None:
            from tools.bench import rounded

            print("AUC on val, in float32 and rounded; difference of the logits (rms):")
            for of, exact, rough, off in rounded.aucs(options.data, options.cache, options.faces):
                print(f"{of}: {exact:.4f} {rough:.4f} {off:.4f}", flush=True)

    return exit_status("tools.bench.products", measure)


if __name__ == "__main__":
    sys.exit(main())
