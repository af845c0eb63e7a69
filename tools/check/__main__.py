"""Checks the engine for another machine: `python -m tools.check arm64`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.arguments import name_list
from tools.check.build import CSRC, KERNEL_CHECK, build, network_check, run
from tools.check.networks import QUICK, Bits, all_models, read_bits, struct_fields, write_networks
from tools.check.targets import TARGETS, X86_INTRINSICS, Target
from tools.errors import ToolError, exit_status

#: Exit status of a check that could not be done.
SKIPPED = 77


def check_kernels(target: Target, folder: Path) -> str:
    """Every kernel against plain C; returns what was checked."""
    program = _built(target, folder, KERNEL_CHECK, "kernels")
    if target.runner is None:
        return "built, nothing here runs it"
    said = run(target.run_command(program), **_QUIET)
    if "\n0 failures" not in said.replace("\r", "") or f"{target.isa}: " not in said:
        raise ToolError(f"kernels differ, or {target.isa} was not among them:\n{said}")
    return ", ".join(line for line in said.splitlines() if line.endswith("checked"))


def _built(
    target: Target, folder: Path, sources: Mapping[str, Sequence[str]], program: str
) -> Path:
    flags = ["-O2", *target.flags]
    return build(folder, target.command(), flags, sources, program=program, link=target.link)


#: Wine says on its way what it has not got.
_QUIET = {"WINEDEBUG": "-all"}


def check_networks(target: Target, folder: Path, models: Sequence[str]) -> str:
    """Whole networks, each layer bit by bit; returns what was compared."""
    (folder / "struct_fields.h").write_text(struct_fields())
    program = _built(target, folder, network_check(), "networks")
    if target.runner is None:
        return "built, nothing here runs it"
    wanted = write_networks(folder / "networks.bin", models)
    found = read_bits(run([*target.run_command(program), folder / "networks.bin"], **_QUIET))
    return compared(wanted, found, target.isa)


def compared(wanted: Bits, found: Bits, isa: str) -> str:
    """A line about what a machine gave; ``ToolError`` if bits differ or something is missing."""
    isas = list(dict.fromkeys(key[0] for key in found))
    if isa not in isas or "exact" not in isas:
        raise ToolError(f"{isa} was not among {isas}")
    # where this machine cannot tell what fused instructions give, only the others are compared
    known = {key: value for key, value in wanted.items() if key[0] in isas}
    differing = [key for key, value in known.items() if found.get(key) != value]
    if differing:
        raise ToolError(f"{len(differing)} of {len(known)} outputs differ: {differing[:5]}")
    done = dict.fromkeys(key[0] for key in known)
    return f"{len(known)} outputs have the same bits ({', '.join(done)})"


def check_syntax(target: Target) -> str:
    """What a compiler refuses that is not here as a whole."""
    sources = sorted(CSRC.glob("*.c"))
    for source in sources:
        own = X86_INTRINSICS.get(source.name, []) if "x86_64" in target.flags[0] else []
        # behind -- a path that begins with /o is no option
        run([*target.command(), *target.flags, *own, f"-I{CSRC}", "--", source])
    return f"{len(sources)} sources are accepted"


def check(name: str, models: Sequence[str]) -> int:
    """Check one target; returns the exit status."""
    target = TARGETS[name]
    missing = target.missing()
    if missing:
        print(f"{name}: SKIPPED, no {missing} here: install {target.packages}", file=sys.stderr)
        return SKIPPED
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if not target.is_built:
            print(f"{name}: {check_syntax(target)}", flush=True)
            return 0
        print(f"{name}: kernels: {check_kernels(target, folder)}", flush=True)
        print(f"{name}: networks: {check_networks(target, folder, models)}", flush=True)
    return 0


def _status(name: str, models: Sequence[str]) -> int:
    """Of the check of one target."""
    found: list[int] = []
    failed = exit_status("check", lambda: found.append(check(name, models)))
    return failed or found[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.check",
        description="Build the engine for another machine, and compare its bits with this one's: "
        "every kernel, and every layer of whole networks. Exit status 77: a program is missing.",
    )
    parser.add_argument(
        "targets",
        type=name_list(TARGETS),
        metavar="NAME,...",
        help=", ".join(TARGETS),
    )
    parser.add_argument(
        "--models",
        type=name_list(all_models()),
        default=list(QUICK),
        metavar="MODEL,...",
        help=f"bundled networks to run (default: {','.join(QUICK)})",
    )
    options = parser.parse_args(arguments)
    statuses = [_status(name, options.models) for name in options.targets]
    failed = [status for status in statuses if status not in (0, SKIPPED)]
    return max(failed) if failed else SKIPPED if SKIPPED in statuses else 0


if __name__ == "__main__":
    sys.exit(main())
