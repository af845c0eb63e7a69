"""Would smaller numbers make the thorough network faster? `python -m tools.bench.products`.

Its 1x1 convolutions, nine tenths of its multiply-adds, as matrix products by themselves: in
float32, and in integers of 16 or 8 bits whose sums have 32, or in bfloat16. Weights are stored in 8
bits anyway; integers of 16 bits are rounded to 13, so no sum of 2,000 products overflows, and
integers have the same bits on every machine. Times are those of products.c, compiled for one
instruction set after the other, the two kinds in turns: what rounding costs is counted. Not what
the engine does: its own kernels are in `python -m tools.bench --profile --networks
efficientnet_lite0`.

With --data and --cache, what each rounding does to the AUC on val, in PyTorch.
"""

from __future__ import annotations

import argparse
import signal
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
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512vnni")
#: What the compiler is told; on other machines than x86-64 there is nothing to measure.
FLAGS = {
    "avx512, 8 bits": (*_AVX512, "-DBYTES"),
    "avx512, bfloat16": (*_AVX512, "-mavx512bf16", "-DBFLOAT16"),
    "avx512, 16 bits": _AVX512,
    "avx2, 16 bits": ("-mavx2", "-mfma"),
    "sse2, 16 bits": ("-msse2",),
}

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


def lines(kind: str, found: Counter[Product], turns: int, folder: Path) -> Iterator[str]:
    """A table of one of `FLAGS`, or that this CPU has not these instructions."""
    program = folder / kind.replace(", ", "-").replace(" ", "-")
    command = [*c_compiler(), "-O3", "-std=c11", *FLAGS[kind], str(SOURCE), "-o", str(program)]
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(
            f"{SOURCE.name} cannot be compiled ({error}); CC names a compiler"
        ) from None
    if _has_not(program):
        yield f"{kind}: this CPU has no such instructions"
        return
    rows = [["in x out x pixels", "float32, ms", "smaller", "rounding", "times as fast", "off"]]
    total = [0.0, 0.0, 0.0]
    for (inputs, outputs, pixels), count in found.items():
        command = [str(program), *map(str, (inputs, outputs, pixels, turns))]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        took = [1e-6 * count * float(text) for text in told[:3]]
        total = [a + b for a, b in zip(total, took, strict=True)]
        name = f"{inputs} x {outputs} x {pixels}" + (f", {count} of them" if count > 1 else "")
        rows.append([name, *_row(took), told[3]])
    rows.append(["all", *_row(total), ""])
    yield f"{kind}:"
    yield from table(rows, right=[1, 2, 3, 4, 5])


def _has_not(program: Path) -> bool:
    """Whether it dies of an unknown instruction."""
    done = subprocess.run([str(program), "24", "8", "64", "1"], capture_output=True, check=False)
    return done.returncode == -signal.SIGILL


def _row(took: Sequence[float]) -> list[str]:
    return [*(f"{ms:.3f}" for ms in took), f"{took[0] / (took[1] + took[2]):.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.products",
        description="Times of matrix products in float32 and in smaller numbers.",
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
        kinds = [kind for kind in FLAGS if kind.split(",")[0] in available_isas()]
        if not kinds:
            raise ToolError(f"this machine has none of {', '.join(FLAGS)}")
        found = products(find_model(NETWORK).graph)
        with tempfile.TemporaryDirectory() as folder:
            for kind in kinds:
                for line in lines(kind, found, options.turns, Path(folder)):
                    print(line, flush=True)
        if options.data is not None:
            from tools.bench import rounded

            print("AUC on val, in float32 and rounded; difference of the logits (rms):")
            for of, exact, rough in rounded.aucs(options.data, options.cache, options.faces):
                told = (f"{way}: {auc:.4f} {off:.4f}" for way, (auc, off) in rough.items())
                print(f"{of}: {exact:.4f}", *told, sep="; ", flush=True)

    return exit_status("tools.bench.products", measure)


if __name__ == "__main__":
    sys.exit(main())
