"""Scratch memory: what sessions share it for, and what of it goes back to the system."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import numpy as np
import pytest

from minimeso.engine.native import Workspace, ffi

MIB = 1 << 20


def of(memory: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(ffi.buffer(memory, 4 * MIB), np.uint8)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is given back")
def test_what_the_next_program_does_not_need_goes_back_once() -> None:
    workspace = Workspace()
    memory = workspace.pointer(4 * MIB)
    of(memory)[:] = 1
    assert workspace.pointer(3 * MIB) == memory and of(memory).all(), "most of it is needed"
    assert workspace.pointer(MIB) == memory
    assert of(memory)[:MIB].all(), "what is needed stays"
    assert not of(memory)[MIB + mmap.PAGESIZE : -mmap.PAGESIZE].any(), "fresh pages"
    of(memory)[:] = 1
    assert workspace.pointer(MIB) == memory and of(memory).all(), "only once"


def test_it_grows() -> None:
    workspace = Workspace()
    assert workspace.pointer(MIB) and workspace.pointer(100) == workspace.pointer(MIB)
    of(workspace.pointer(4 * MIB))[:] = 1
