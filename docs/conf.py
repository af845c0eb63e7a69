"""How the documentation is built: ``pip install -e '.[docs]' && sphinx-build -W docs docs/_build``.

What can be read from the code is made from it (``_ext``): the API from docstrings, the operators
from their entries, the options from the parsers.
"""

import sys
from pathlib import Path

import minimeso

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "minimeso"
author = "The minimeso authors"
version = release = minimeso.__version__
copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "generated",
]
exclude_patterns = ["_build", "_ext"]
language = "en"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_type_aliases = {
    "npt.ArrayLike": "numpy.typing.ArrayLike",
    "Source": "Source",
    "Frame": "Frame",
    "OnFrame": "OnFrame",
}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "minimeso"
html_copy_source = False
html_show_sourcelink = False
