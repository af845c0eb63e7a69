"""PyInstaller: the commands, which `minimeso.cli` imports by name."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("minimeso.cli")
