"""Products in smaller numbers: the program that times them, and what rounding does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from minimeso.engine.library import find_model  # noqa: E402
from minimeso.engine.native import available_isas  # noqa: E402
from tools.bench import products, rounded  # noqa: E402


def test_all_1x1_convolutions_of_the_thorough_network_are_counted() -> None:
    found = products.products(find_model(products.NETWORK).graph)
    assert sum(found.values()) == 32
    assert sum(a * b * pixels * count for (a, b, pixels), count in found.items()) == 442_171_392
    assert found[192, 1152, 64] == 4


@pytest.mark.parametrize("kind", products.FLAGS)
def test_both_products_are_the_same(kind: str, tmp_path: Path) -> None:
    """Also where the outputs are no whole number of tiles; rounding is what they differ by."""
    if kind.split(",")[0] not in available_isas() or not shutil.which("gcc"):
        pytest.skip(f"no {kind}, or no gcc")
    few = products.Counter({(24, 40, 64): 1, (2000, 13, 32): 2})
    told = list(products.lines(kind, few, 3, tmp_path))
    if "no such instructions" in told[0]:
        pytest.skip(told[0])
    assert told[0] == f"{kind}:" and told[2].startswith("24 x 40 x 64 ")
    most = 2e-4 if "16 bits" in kind else 5e-3
    for line in told[2:4]:
        assert most / 2000 < float(line.split()[-1]) < most


def test_inputs_are_learned_and_then_rounded() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 1, 1, bias=False), torch.nn.ReLU())
    torch.nn.init.ones_(network[0].weight)
    rounding = rounded._Rounding(network)
    x = torch.tensor([0.3, 1.0]).reshape(1, 2, 1, 1)
    with torch.inference_mode():
        rounding.what = "learn"
        exact = network(x)
        rounding.what = "16 bits"
        rough = network(x)
        beyond = network(2 * x)
        rounding.what = "8 bits"
        bits8 = network(x)
        rounding.what = "bfloat16"
        short = network(x)
    assert rounding.largest == {network[0]: 1.0}
    assert 0 < abs(float(exact - rough)) <= 0.5 / rounded.LEVELS["16 bits"]
    assert 0 < abs(float(exact - bits8)) <= 0.5 / 255 and 0 < abs(float(exact - short)) < 1e-3
    assert float(beyond) == pytest.approx(1.6, abs=1e-3)  # 2 is cut to the largest that was seen
