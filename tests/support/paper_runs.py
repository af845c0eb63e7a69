"""For tests of the paper's experiments: starting one, and reading its finished runs."""

from __future__ import annotations

from pathlib import Path

from tools.paper import __main__ as command
from tools.paper import results


def paper_main(name: str, data: Path | None, out: Path, *more: str) -> int:
    given = ("--data", str(data)) if data else ()
    return command.main([name, *given, "--out", str(out), *more])


def rows_of(out: Path, name: str) -> list[dict[str, str]]:
    return results.read_table(out / name / "runs.csv").to_dict("records")
