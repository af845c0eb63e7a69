"""``python -m minimeso`` is the command ``minimeso``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
