"""Other machines: the quick ones of ``python -m tools.check``, and that a difference is seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.check import __main__ as command
from tools.check.build import KERNEL_CHECK, network_check
from tools.check.networks import Bits, read_bits, write_networks
from tools.check.targets import TARGETS, Target
from tools.errors import ToolError

MODEL = "meso4-leaky_relu"


@pytest.mark.parametrize("name", ["arm64", "msvc", "msvc-arm64"])
def test_a_target(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A processor with vectors of another kind, emulated, and a compiler of another kind."""
    if TARGETS[name].missing():
        pytest.skip(f"install {TARGETS[name].packages}")
    assert command.main([name, "--models", MODEL]) == 0, capfd.readouterr().err
    said = capfd.readouterr().out
    assert "accepted" in said or re.search(r"\d+ outputs have the same bits .*neon", said)


def test_what_is_missing_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    target = Target(("no-such-compiler",), "scalar", "some-package")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "gcc", target)
        assert command.main(["gcc"]) == command.SKIPPED
    assert "no no-such-compiler here: install some-package" in capfd.readouterr().err


def test_other_bits_are_seen(tmp_path: Path) -> None:
    wanted = write_networks(tmp_path / "networks.bin", [MODEL])
    said = "\n".join(f"{isa} {name} {i} {bits}" for (isa, name, i), bits in wanted.items())
    assert read_bits(said) == wanted
    assert "have the same bits" in command.compared(wanted, wanted, "scalar")
    changed: Bits = {**wanted, next(iter(wanted)): "0" * 8}
    with pytest.raises(ToolError, match="1 of "):
        command.compared(wanted, changed, "scalar")
    fewer = {key: bits for key, bits in wanted.items() if key[0] != "scalar"}
    with pytest.raises(ToolError, match="scalar was not among"):
        command.compared(wanted, fewer, "scalar")


def test_every_source_is_built() -> None:
    kernels = {name.partition("#")[0] for name in KERNEL_CHECK}
    assert {name for name in kernels if name.startswith("kernels")} <= {*network_check()}
