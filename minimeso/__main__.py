"""``python -m minimeso`` and the command ``minimeso``."""

import sys


def run() -> int:
    """The command line, in which Ctrl-C is quiet from the first import on."""
    try:
        from .cli import main

        return main()
    except KeyboardInterrupt:
        return 130  # as cli.output.INTERRUPTED, which may not be there yet


if __name__ == "__main__":
    sys.exit(run())
