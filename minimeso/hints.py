"""Type hints of what is imported late: a module that no process should wait for until it is used.

``typing.get_type_hints`` looks for names among those of the module that runs, so one that stands
under ``TYPE_CHECKING`` alone is none to the tools that ask it.
"""

from __future__ import annotations

from typing import ForwardRef


def later(module: str, name: str) -> ForwardRef:
    """A class of a module for hints; both are imported when somebody asks for the hints."""
    return ForwardRef(f"__import__({module!r}, fromlist=[{name!r}]).{name}")
