"""Networks as plain C: one source file with plan, weights and the kernels that it needs.

``items`` takes the engine's own C apart, ``amalgamation`` puts together what a network needs of
it, ``literals`` writes its program down, ``interface`` the functions around it, ``texts`` an
example and how to compile it, ``plan_file`` the same program for the library, ``library`` that
library itself, ``crop`` what cuts a face, ``program`` is the front door.
"""

from .crop import crop_files
from .library import write_library
from .program import Export, export, write

__all__ = ["Export", "crop_files", "export", "write", "write_library"]
