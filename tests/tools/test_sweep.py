"""The sweep over all float32 inputs: a sample of it, and that it finds what is wrong."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from minimeso.engine.native import available_isas
from tests.native.toolchain import COMPILERS
from tools.bench import sweep

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler on the path")

Floats = npt.NDArray[np.float32]
STRIDE = 65_521
ISA = available_isas()[-1]


@pytest.fixture(scope="module")
def checker() -> sweep.Sweep:
    return sweep.Sweep()


@pytest.mark.parametrize("name", sweep.TESTED)
def test_every_1009th_input(name: str, checker: sweep.Sweep) -> None:
    for result in checker.run(name, available_isas(), 1009):
        assert not result.problems, f"{result.isa}: {result.problems}"
        assert result.inputs == 4_256_658


def doctored(change: Callable[[Floats, Floats], None]) -> Any:
    """The engine's function with something changed in its results."""
    real = sweep.engine_function()

    def function(isa: int, activation: int, slope: float, x: Any, y: Any, n: int) -> int:
        code: int = real(isa, activation, slope, x, y, n)
        if n:
            change(np.ctypeslib.as_array(x, (n,)), np.ctypeslib.as_array(y, (n,)))
        return code

    return sweep.Activate(function)


def spoil(bits: int, new: Callable[[float], float]) -> Callable[[Floats, Floats], None]:
    """Another result for one input."""

    def change(x: Floats, y: Floats) -> None:
        there = x.view(np.uint32) == bits
        y[there] = [np.float32(new(old)) for old in y[there].tolist()]

    return change


def nearest(x: float) -> int:
    """The bits of an input near x that a sweep by STRIDE meets."""
    bits = int(np.float32(x).view(np.uint32))
    return bits - bits % STRIDE


@pytest.mark.parametrize(
    ("bits", "new", "message"),
    [
        (nearest(-1.5), lambda y: y + 8e-7, "1 inputs beyond the bound"),
        (nearest(1e-30), lambda y: y - 5.2e-7, "1 inputs beyond the bound"),
        (nearest(-80.0), lambda y: -6e-7, "1 inputs beyond the bound"),
        (nearest(40.0), lambda y: y * (1 + 1.3e-6), "1 inputs beyond the bound"),
        (nearest(1e30), lambda y: y * (1 - 1.3e-6), "1 inputs beyond the bound"),
        (nearest(1e38), lambda y: math.inf, "1 inputs beyond the bound"),
        (nearest(3e38), lambda y: 3e38, "1 inputs beyond the bound"),
        (nearest(0.5), lambda y: math.nan, "1 inputs beyond the bound"),
        (nearest(math.nan), lambda y: 0.0, "1 inputs beyond the bound"),
        (0xFF800000 + 77 * STRIDE, lambda y: -1.0, None),  # a NaN that is not met
        (0x00000000, lambda y: 1e-45, "f(0.0) = 1.4"),
        (0x80000000, lambda y: -1e-45, "f(-0.0) = -1.4"),
        (0x7F800000, lambda y: 3.4e38, "f(inf) = 3.39"),
        (0xFF800000, lambda y: -1e-30, "f(-inf) = -1"),
        (0x7FC00000, lambda y: 1.0, "f(nan) = 1"),
    ],
)
def test_a_wrong_result_is_found(
    bits: int, new: Callable[[float], float], message: str | None, checker: sweep.Sweep
) -> None:
    function = doctored(spoil(bits, new))
    (result,) = checker.run("pish", [ISA], STRIDE, threads=1, function=function)
    if message is None:
        assert not result.problems
    else:
        assert result.problems and result.problems[0].startswith(message)
        if "beyond" in message:
            assert f"(0x{bits:08x})" in result.problems[0]


def test_errors_within_the_bound_are_reported(checker: sweep.Sweep) -> None:
    def change(x: Floats, y: Floats) -> None:
        spoil(nearest(0.25), lambda y: y + 4e-7)(x, y)
        spoil(nearest(20.0), lambda y: y * (1 - 6 * 2**-24))(x, y)

    (result,) = checker.run("swish", [ISA], STRIDE, threads=2, function=doctored(change))
    assert not result.problems
    assert result.small.bits == f"0x{nearest(0.25):08x}"
    assert 3e-7 < result.small.error < 5e-7
    assert result.large.bits == f"0x{nearest(20.0):08x}"
    assert 2.5 < result.large.error < 8


def test_inputs_that_feel_their_neighbours_are_found(checker: sweep.Sweep) -> None:
    def change(x: Floats, y: Floats) -> None:
        if np.isnan(x).any() and not np.isnan(x).all():
            y[:] = np.nextafter(y, np.float32(0))

    (result,) = checker.run("mish", [ISA], STRIDE, threads=1, function=doctored(change))
    assert any("feel their neighbours" in problem for problem in result.problems)


def test_every_input_is_met_once(checker: sweep.Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[npt.NDArray[np.uint32]] = []

    def change(x: Floats, y: Floats) -> None:
        bits = x.view(np.uint32)
        if len(bits) > 1 and (np.diff(bits) == STRIDE).all():  # not a look at special values
            seen.append(bits.copy())

    monkeypatch.setattr(sweep, "CHUNK", 9_000)
    (result,) = checker.run("relu", [ISA], STRIDE, threads=2, function=doctored(change))
    wanted = np.arange(0, 2**32, STRIDE, dtype=np.uint64)
    assert result.inputs == len(wanted)
    assert (np.sort(np.concatenate(seen)) == wanted).all()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sweep.json"
    arguments = ["--isa", ISA, "--activation", "relu,pish", "--stride", "100003"]
    assert sweep.main([*arguments, "--json", str(path)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    _, relu, pish = output.out.splitlines()
    assert relu.split()[:3] == ["relu", ISA, "42,949"] and pish.endswith("good")
    first, second = json.loads(path.read_text())
    assert (first["activation"], second["activation"]) == ("relu", "pish")
    assert 0 < second["small"]["error"] < 5e-7 and second["problems"] == []


def test_command_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    function = doctored(spoil(nearest(2.0), lambda y: 0.0))
    monkeypatch.setattr(sweep, "engine_function", lambda: function)
    arguments = ["--isa", ISA, "--activation", "tanh", "--stride", str(STRIDE)]
    assert sweep.main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "1 inputs beyond the bound" in lines[0] and lines[-1].endswith("WRONG")


def test_an_engine_older_than_its_sources_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "activation.inc").touch()
    monkeypatch.setattr(sweep, "CSRC", tmp_path)
    assert sweep.main(["--stride", "100003"]) == 2
    assert "activation.inc is newer" in capsys.readouterr().err


def test_activations_are_those_of_the_engine() -> None:
    numbers = {sweep._number(tested.kernel) for tested in sweep.TESTED.values()}
    assert numbers == set(range(sweep._cffi.lib.MM_ACTIVATION_COUNT))
    assert ctypes.sizeof(sweep._Place) == 24
