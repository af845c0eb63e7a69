"""PyInstaller: the commands, which `minimeso.cli` imports by name, and the files they read."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

#: the page of `gui`, the sample, and the C that `export` writes
datas = collect_data_files("minimeso")
hiddenimports = collect_submodules("minimeso.cli")
