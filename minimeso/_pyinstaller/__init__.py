"""What PyInstaller asks a package for: where its hooks are (entry point ``pyinstaller40``).

``hook-minimeso.py`` says what a frozen program needs of us that no import shows.
"""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Folders with hooks."""
    return [str(Path(__file__).parent)]
