"""What approximated activations cost and gain: `python -m tools.bench.approximate`.

Each bundled network with Swish, Mish or Pish takes turns with its ReLU twin, one image and one
thread: exact, and `Model.approximated()`.  With --data and --cache the AUC of both on val stands
beside it, on the crops of use.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import minimeso
from minimeso import Model, Session, load_model
from minimeso.cli.output import table
from minimeso.engine.native import available_isas
from tools.errors import exit_status

ACTIVATIONS = ("swish", "mish", "pish")


def bundled(activation: str) -> Model:
    """MesoInception-4 with an activation."""
    folder = Path(minimeso.__file__).parent / "models"
    return load_model(folder / f"mesoinception4-{activation}.npz")


def times(isa: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Exact and approximated: medians of the times of a round over that of ReLU in it."""
    image = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    relu = Session(bundled("relu"), threads=1, isa=isa)
    pairs = {
        name: [Session(m, threads=1, isa=isa) for m in (model, model.approximated())]
        for name, model in ((name, bundled(name)) for name in ACTIVATIONS)
    }

    def seconds(session: Session) -> float:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            session.run(image)
            found.append(time.perf_counter() - start)
        return min(found)

    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for _ in range(rounds):
        base = seconds(relu)
        for name, (exact, rough) in pairs.items():
            ratios[name].append((seconds(exact) / base, seconds(rough) / base))
    return {
        name: (statistics.median(e for e, _ in found), statistics.median(r for _, r in found))
        for name, found in ratios.items()
    }


def aucs(data: Path, cache: Path) -> Iterator[tuple[str, str, float, float]]:
    """Activation, source, and the AUC of val, exact and approximated."""
    from tools.train import metrics, pasted, sources

    split = sources.load(data, "all", "val", cache)
    source = np.array(split.source)
    for name in ACTIVATIONS:
        model = bundled(name)
        found = [pasted.score(m, pasted.as_trained(split)) for m in (model, model.approximated())]
        for of in sorted(set(split.source)):
            theirs = source == of
            if split.fake[theirs].any():
                both = (metrics.roc_auc(split.fake[theirs], p[theirs]) for p in found)
                yield name, of, *both  # type: ignore[misc]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.approximate", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("--rounds", type=int, default=300, metavar="N")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with faces/ and more/")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for decoded faces")
    options = parser.parse_args(arguments)
    if (options.data is None) != (options.cache is None):
        parser.error("--data and --cache belong together")

    def work() -> None:
        rows = [["over ReLU", "exact", "approximated"]]
        for isa in available_isas():
            if isa != "scalar":
                for name, (exact, rough) in times(isa, options.rounds).items():
                    rows.append([f"{name}, {isa}", f"{exact:.2f}", f"{rough:.2f}"])
        print("\n".join(table(rows)))
        if options.data is not None:
            rows = [["AUC on val", "exact", "approximated"]]
            for name, of, exact, rough in aucs(options.data, options.cache):
                rows.append([f"{name}, {of}", f"{exact:.4f}", f"{rough:.4f}"])
            print("\n" + "\n".join(table(rows)))

    return exit_status("tools.bench.approximate", work)


if __name__ == "__main__":
    sys.exit(main())
