"""Refuses subinterpreters in words; imported before anything else.

NumPy and cffi keep state for a whole process, so neither works in a second interpreter: newer
Pythons refuse them with a message about a module that the caller never heard of, older ones crash
now and then.
"""

from __future__ import annotations

import importlib
from typing import Any


def is_main() -> bool:
    """Whether this is the interpreter that the process started with."""
    for name in ("_interpreters", "_xxsubinterpreters"):  # from Python 3.13 on, before
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        return _number(module.get_current()) == _number(module.get_main())
    return True


def _number(interpreter: Any) -> int:
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)


if not is_main():
    raise ImportError(
        "minimeso does not run in a subinterpreter, because NumPy and cffi do not: use threads "
        "(a call of the engine lets others run) or processes (ProcessPoolExecutor)"
    )
