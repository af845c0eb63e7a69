"""What Python is told about the C engine agrees with what the C compiler made of it."""

from __future__ import annotations

from minimeso.engine.bindings import ACTIVATION_NUMBERS, OP_NUMBERS, lib


def test_numbers_are_those_of_the_compiler() -> None:
    """setup.py spells the lists out for cffi; the compiler counts them itself."""
    assert len(OP_NUMBERS) == lib.MM_OP_COUNT
    assert all(getattr(lib, f"MM_OP_{name}") == n for name, n in OP_NUMBERS.items())
    assert len(ACTIVATION_NUMBERS) == lib.MM_ACTIVATION_COUNT
    assert all(getattr(lib, f"MM_{name.upper()}") == n for name, n in ACTIVATION_NUMBERS.items())
