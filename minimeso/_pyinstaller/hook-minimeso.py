"""PyInstaller: the networks and style sheets, what is imported by name, and what may stay out."""

from importlib.util import find_spec

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("minimeso", includes=["models/*", "report/*.css"])
#: `minimeso.__getattr__` imports the rooms by name, the C part the runtime of cffi, and
#: `media.formats` what reads the photos of phones.
hiddenimports = ["minimeso.detect", "minimeso.engine", "minimeso.errors", "_cffi_backend"]
hiddenimports += [name for name in ("pillow_heif",) if find_spec(name)]
#: SciPy is for the definitions that `minimeso verify` compares with, the rest for `minimeso scan`:
#: a program that imports them itself has them.
excludedimports = ["scipy", "dask", "distributed", "bokeh", "pyarrow", "fsspec"]
