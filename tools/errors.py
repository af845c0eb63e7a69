"""What the tools complain about, and how their commands end: an error is one line, and Ctrl-C says
what it leaves."""

from __future__ import annotations

import sys
from collections.abc import Callable

from minimeso.errors import MinimesoError

FAILED, INTERRUPTED = 2, 130


class ToolError(Exception):
    """What a tool cannot do; the message names the cause and the remedy."""


def exit_status(
    name: str, work: Callable[[], None], after_stop: str = "nothing was written"
) -> int:
    """Does the work of a command; returns its exit status.

    Args:
        name: of the command, for errors.
        work: what it does.
        after_stop: what somebody who stopped it should know.
    """
    try:
        work()
    except (MinimesoError, ToolError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"\nstopped; {after_stop}", file=sys.stderr)
        return INTERRUPTED
    return 0
