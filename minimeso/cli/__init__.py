"""The command line: knows people.  One file per command; ``arguments`` and ``output`` are shared.

Data goes to stdout, progress and messages to stderr.  Exit status: 0 done, 1 (``verify``) a layer
is wrong or (``--fail-on``) a file is suspect, 2 wrong usage or an unusable model, 3 some input
could not be read, 4 the output could not be written, 70 the command itself failed (too little
memory, a fault of its own), 130 stopped by Ctrl-C, 141 the reader of the output went away, 143
stopped by SIGTERM (129 by SIGHUP).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from .. import __version__
from ..errors import MinimesoError, OutputError
from .output import (
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    NOT_WRITTEN,
    SOME_UNREADABLE,
    USAGE,
    StdoutError,
    columns,
    line,
    message,
)

#: Each a module of this package, imported where it is named or help is wanted.
COMMANDS = ("detect", "gui", "scan", "info", "bench", "convert", "verify", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (by default that of the process); returns the exit status."""
    try:
        argv = sys.argv[1:] if argv is None else argv
        options = _parser(argv).parse_args(argv)
        status: int = options.run(options)
        return status
    except SystemExit as end:  # a signal; or argparse: --help, --version or wrong usage
        return end.code if isinstance(end.code, int) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except StdoutError as error:
        _give_up_stdout()
        if error.is_broken_pipe:
            return BROKEN_PIPE
        message(str(error))
        return NOT_WRITTEN
    except OutputError as error:
        message(str(error))
        return NOT_WRITTEN
    except MinimesoError as error:
        message(str(error))
        return USAGE
    except MemoryError:  # not of one file, for which there are words of its own
        message("needs more memory than there is, or than --memory allows")
        return FAILED
    except OSError as error:  # outputs have errors of their own, so this was an input
        where = f"{error.filename}: " if error.filename is not None else ""
        message(f"{where}{error.strerror or error}")
        return SOME_UNREADABLE


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """What understands these arguments: the command that they begin with, else all of them."""
    parser = _Parser(
        prog="minimeso",
        description="Was the face in this picture swapped? Checked on this computer only.",
        epilog="minimeso COMMAND --help tells more, with examples.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"minimeso {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        module = import_module(f".{name}", __name__)
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}. {module.DETAILS}",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=_KeepExamples,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


class _Parser(argparse.ArgumentParser):
    """argparse says nothing where its output cannot be written, and that all is well."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is sys.stdout:  # as with --help and --version; errors go to stderr
            line(message.removesuffix("\n"))
        else:
            super()._print_message(message, file)


class _Formatter(argparse.HelpFormatter):
    """argparse asks ``shutil`` how wide the terminal is, whose import takes as long as a model's
    load."""

    def __init__(self, prog: str, **others: Any) -> None:
        super().__init__(prog, **{"width": columns() - 2, **others})


class _KeepExamples(_Formatter):
    """Fills the description as usual and leaves the lines of the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return text
        return super()._fill_text(text, width, indent)


def _give_up_stdout() -> None:
    """What is still buffered must not fail again when the process ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
