"""``python -m minimeso`` and the command ``minimeso``."""

import signal
import sys

#: As ``cli.output.INTERRUPTED``, which may not be there yet.
_INTERRUPTED = 130


def run() -> int:
    """The command line, in which Ctrl-C is quiet from the first import on.

    NumPy answers one that comes while its C parts are imported with an ``ImportError`` and a page
    of advice, so whatever error follows a Ctrl-C is taken for it.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        from .cli import main

        return main()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:  # what an interrupted import makes of Ctrl-C; any other goes on its way
        if interrupted:
            return _INTERRUPTED
        raise


if __name__ == "__main__":
    sys.exit(run())
