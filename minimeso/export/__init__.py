"""Networks as plain C: one source file with plan, weights and the kernels that it needs.

``items`` takes the engine's own C apart, ``amalgamation`` puts together what a network needs of
it, ``literals`` writes its program down, ``interface`` the functions around it, ``texts`` an
example and how to compile it, ``plan_file`` the same program for the library, ``program`` is the
front door.
"""

from .program import Export, export, write

__all__ = ["Export", "export", "write"]
