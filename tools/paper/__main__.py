"""Runs an experiment of Kawa & Syga (SECRYPT 2021): `python -m tools.paper NAME --data DIR`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from minimeso.errors import MinimesoError
from tools.arguments import number
from tools.train.sets import BALANCED

INTERRUPTED = 130
MISSING = "pip install -e '.[train]' brings all of them"
try:
    from tools.paper.results import BUDGETS, PROTOCOLS, Options, ResultsError
except ModuleNotFoundError as error:
    print(f"paper: {error}; {MISSING}", file=sys.stderr)
    sys.exit(2)


class Experiment(NamedTuple):
    """What --help says of it, and whether it trains (then the allocator is told to keep memory)."""

    about: str
    trains: bool


#: Each is a module of this folder with `run(options)` and `render(folder)`.
EXPERIMENTS = {
    "pilot": Experiment("which set of faces? one run of stage 1 on each", True),
    "table1": Experiment("stage 1: five activation settings on faces, several runs each", True),
    "table2": Experiment("stage 2: four settings x three learning rates x runs", True),
    "table3": Experiment("stage 3: the best models of table2 on the test split", False),
    "table4": Experiment("time of 2,000 random images, here and in PyTorch", False),
    "figure1": Experiment("Pish and its derivative", False),
    "figure3": Experiment("MNIST, 15 to 25 hidden layers, four activations", True),
    "table5": Experiment("SqueezeNet on CIFAR-10, four activations", True),
    "elsewhere": Experiment(
        "is Pish worth it? ResNet-20 and MobileNetV2 on CIFAR-10; without --data: times", True
    ),
}

#: What `--set` is for.
OF_SETS = ("table1", "table2", "table3")

EPILOG = """\
examples:
  python -m tools.paper table1 --data DIR                    does it work? under two minutes
  python -m tools.paper table1 --data DIR --budget gpu --device cuda
  python -m tools.paper table1 --budget cpu --render         table and chart again, of the CSV files

DIR holds faces/, mnist/ and cifar10/, or is the one of them that the experiment needs; faces/ is
faces.csv with its zips, or folders df/ and real/; --set wants more/ beside it. An experiment writes
into OUT/NAME (OUT/NAME-SET): runs.csv (a row a finished run), NAME.csv, NAME.md, NAME.png, and
checkpoints/. One OUT holds runs of one budget. Ctrl-C loses at most an epoch: the same command
goes on.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    listed = "\n".join(f"  {name:9} {what.about}" for name, what in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tools.paper",
        description="Run an experiment of Kawa & Syga (SECRYPT 2021) and set the paper's figures"
        f" beside ours:\n{listed}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", choices=EXPERIMENTS, metavar="NAME", help=", ".join(EXPERIMENTS))
    add(
        "--budget",
        choices=BUDGETS,
        default="smoke",
        help="smoke: does it work? (default); cpu: 90 minutes on two cores; days: what two cores do"
        " in the background within days; gpu: more, for a GPU; full: the paper's own",
    )
    add("--data", type=Path, metavar="DIR", help="folder of the data, see below")
    add(
        "--set",
        choices=BALANCED,
        default="",
        metavar="SET",
        help=f"faces of --data's faces/ and more/ for {', '.join(OF_SETS)}: {', '.join(BALANCED)}",
    )
    add("--protocol", choices=PROTOCOLS, default="paper",
        help=f"how {', '.join(OF_SETS)} train; "
             + "; ".join(f"{name}: {how.about}" for name, how in PROTOCOLS.items()))  # fmt: skip
    add("--out", type=Path, metavar="OUT",
        help="folder of the results, of one budget; default: paper-results/BUDGET")  # fmt: skip
    add("--cache", type=Path, metavar="DIR", help="folder for decoded faces; default: OUT/cache")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    add("--seed", type=_seed, default=0, metavar="N", help="of the first run; default: %(default)s")
    add("--threads", type=number(1 << 10), metavar="N", help="CPU threads to train with")
    add("--render", action="store_true", help="run nothing: make table and chart of OUT's CSV")
    return parser


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 32:
        raise argparse.ArgumentTypeError(f"{text!r}: must be 0 or more, and less than 2**32")
    return int(text)


def main(arguments: Sequence[str] | None = None, restart: bool = False) -> int:
    """Command line; returns the exit status. `restart`: may start this process anew, with the
    settings of memory that training needs."""
    given = parser().parse_args(arguments)
    options = Options(
        out=given.out or Path("paper-results") / given.budget,
        data=given.data,
        cache_folder=given.cache,
        budget=given.budget,
        device=given.device,
        seed=given.seed,
        threads=given.threads,
        set=given.set,
        protocol=given.protocol,
    )
    if given.set and given.name not in OF_SETS:
        parser().error(f"--set goes with {', '.join(OF_SETS)}, not with {given.name}")
    if given.protocol != "paper" and given.name not in OF_SETS:
        parser().error(f"--protocol goes with {', '.join(OF_SETS)}, not with {given.name}")
    folder = options.out / options.called(given.name)
    try:
        experiment = import_module(f"tools.paper.{given.name}")
        if not given.render:
            if restart and EXPERIMENTS[given.name].trains:
                _keep_memory()
            experiment.run(options)
        _render(experiment, folder)
    except (ResultsError, MinimesoError, OSError) as error:
        print(f"paper: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"paper: {error}; {MISSING}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nstopped; the same command goes on from here, --render shows what there is",
            file=sys.stderr,
        )
        return INTERRUPTED
    print(f"{folder / given.name}.md")
    return 0


def _render(experiment: ModuleType, folder: Path) -> None:
    try:
        experiment.render(folder)
    except (KeyError, ValueError) as error:  # somebody's spreadsheet wrote there
        raise ResultsError(
            f"{folder}: a CSV file in it is not what the experiment wrote ({error}); undo what was"
            " edited, or remove that folder"
        ) from error


def _keep_memory() -> None:
    from tools.train.device import set_environment

    with contextlib.suppress(OSError):  # only slower without
        set_environment()


if __name__ == "__main__":
    sys.exit(main(restart=True))
