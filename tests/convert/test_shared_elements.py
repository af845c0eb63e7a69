"""Programs that change a value in place of which others have elements: as PyTorch, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minimeso import Session
from minimeso.convert import convert_module
from minimeso.convert.torch_aliases import Aliases, Cut, cut_of
from minimeso.errors import ConvertError, GraphError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812


class Changing(nn.Module):
    """A function of a tensor of its own, (1, 4, 4, 4), which it may change."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x - 0.5)


def then(*steps: Any) -> Any:
    """The last of what was done, one after the other."""
    return steps[-1]


def halves(y: Any) -> Any:
    one, other = y.chunk(2, 1)
    return torch.cat([other, F.relu(one, inplace=True), one], 1)


def cuts(y: Any) -> Any:
    one, other = y[:, :1], y[:, 1:]
    return torch.cat([one.relu_(), other.mul_(3), one], 1)


def from_the_end(y: Any) -> Any:
    one, other = y[:, :-1], y[:, -1:]
    return torch.cat([one.relu_(), other], 1)


def again_in_place(y: Any) -> Any:
    z = F.relu(y, inplace=True)
    return then(z.mul_(2), y + z)


def itself(y: Any) -> Any:
    z = F.dropout(y, 0.5, training=False)
    return then(z.relu_(), y + z)


def later_view(y: Any) -> Any:
    first = y.flatten(1)
    return then(first.mean(1), y.relu_(), y.flatten(2).unflatten(2, (4, 4)))


def of_its_own_type(y: Any) -> Any:
    same = y.type_as(y)
    return then(y.relu_(), same.mul_(2) - 1)


SEEN = (of_its_own_type, halves, cuts, from_the_end, again_in_place, itself, later_view)


@pytest.mark.parametrize("function", SEEN)
def test_what_is_changed_is_seen(function: Callable[[Any], Any]) -> None:
    module, x = Changing(function).eval(), torch.rand(1, 4, 4, 4)
    with torch.inference_mode():
        wanted = module(x.clone()).numpy()
    found = Session(convert_module(module, (x,)), threads=1).run(x.numpy())
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-6)


def view_of_a_view(y: Any) -> Any:
    whole = y.flatten(1)
    part = whole[:, :8]
    return then(y.relu_(), part + 1)


def two_views(y: Any) -> Any:
    one, other = y.flatten(2), y.permute(0, 1, 3, 2)
    return then(one.relu_(), other + 1)


def overlapping_cuts(y: Any) -> Any:
    one, other = y[:, :2], y[:, 1:]
    return then(one.relu_(), other + 1)


def unbound(y: Any) -> Any:
    one = y.unbind(1)[0]
    return then(y.relu_(), one.unsqueeze(1))


def unflattened(y: Any) -> Any:
    one = y.unflatten(1, (2, 2))
    return then(y.relu_(), one.flatten(1, 2) + 1)


def whole_of_a_part(y: Any) -> Any:
    return then(y[:, :1].relu_(), y + 1)


UNSEEN = (view_of_a_view, two_views, overlapping_cuts, unbound, unflattened, whole_of_a_part)


@pytest.mark.parametrize("function", UNSEEN)
def test_what_would_not_be_seen_is_refused(function: Callable[[Any], Any]) -> None:
    """Only a view of the value itself was: of others the old elements were taken."""
    with pytest.raises(ConvertError, match="changes a value of which a view is read"):
        convert_module(Changing(function).eval(), (torch.rand(1, 4, 4, 4),))


@pytest.mark.parametrize(
    ("op", "arguments", "cut"),
    [
        ("slice.Tensor", {}, Cut(0, 0, 1 << 62, 1)),
        ("slice.Tensor", {"dim": -1, "start": -3, "end": -1, "step": 2}, Cut(1, 5, 7, 2)),
        ("narrow.default", {"dim": 1, "start": -2, "length": 2}, Cut(1, 6, 8, 1)),
        ("select.int", {"dim": 1, "index": -1}, Cut(1, 7, 8, 0)),
        ("select.int", {"dim": 0, "index": -1}, None),
        ("slice.Tensor", {"dim": 1, "end": {"as_name": "s0"}}, None),
        ("select.int", {"dim": 9, "index": -1}, None),
        ("permute.default", {"dims": [1, 0]}, None),
    ],
)
def test_what_is_cut_out(op: str, arguments: dict[str, Any], cut: Cut | None) -> None:
    assert cut_of(op, arguments, (None, 8)) == cut


def test_a_file_of_changes_is_given_up() -> None:
    """Each looks at all that may share elements with it: a product of two sizes of a file."""
    names = [f"piece{i}" for i in range(1 << 15)]
    aliases = Aliases(dict.fromkeys(names, 1 << 20))
    aliases.add_views("x", names, 0)
    with pytest.raises(GraphError, match="too often"):
        for number, name in enumerate(names):
            assert aliases.same(name, number) == [name]


def test_long_chains_of_views_are_cut_short() -> None:
    aliases = Aliases({"x": 9000, "v4999": 9000})
    for i in range(5000):
        aliases.add_views(f"v{i - 1}" if i else "x", [f"v{i}"], i, Cut(0, i, i + 1, 1))
    assert aliases.same("v2500", 5000) is None
