"""A batch of any size that reshapes and transposes take elsewhere: nothing may go along it, and
what goes along other axes may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimeso import Session
from minimeso.convert import (
    convert_file,
    convert_module,
    elementwise,
    layers,
    moving,
    write_reference,
)
from minimeso.convert.builder import Builder
from minimeso.convert.source import add_input, finished
from minimeso.convert.view import Value
from minimeso.errors import ConvertError, GraphError

Array = np.ndarray[Any, Any]
N = 5


class Both:
    """A value (N, 4, 6, 8) as it is read, and what it is: of all pictures, and of each alone."""

    def __init__(self) -> None:
        self.build = Builder()
        self.value = add_input(self.build, "x", (None, 4, 6, 8), False)
        self.given = self.value
        self.whole = np.random.default_rng(0).random((N, 4, 6, 8))
        self.alone = np.split(self.whole, N)

    def permute(self, order: list[int]) -> Both:
        self.value = self.value.permuted(order)
        self.whole = self.whole.transpose(order)
        self.alone = [one.transpose(order) for one in self.alone]
        return self

    def reshape(self, *shape: int) -> Both:
        """To a shape for one picture, with -1 where the batch goes."""
        sizes = [one.size // -int(np.prod(shape)) if n == -1 else n
                 for one in self.alone[:1] for n in shape]  # fmt: skip
        self.value = moving.reshape(self.build, self.value, sizes)
        self.whole = self.whole.reshape(shape)
        self.alone = [one.reshape(shape) for one in self.alone]
        return self

    def softmax(self, axis: int) -> Both:
        def along(x: Array) -> Array:
            e = np.exp(x - x.max(axis, keepdims=True))
            return np.asarray(e / e.sum(axis, keepdims=True))

        self.value = moving.softmax(self.build, self.value, [axis])
        self.whole, self.alone = along(self.whole), [along(one) for one in self.alone]
        return self

    def is_same(self) -> bool:
        """Whether pictures alone give what all of them together do."""
        apart = np.concatenate([one.reshape(-1) for one in self.alone])
        return np.allclose(np.sort(apart), np.sort(self.whole.reshape(-1)), atol=1e-9)

    def check(self) -> None:
        """The engine computes what the pictures alone give."""
        found = finished(self.build, "batch", {"y": self.value}, {"x": self.given}, ["y"])
        x = np.concatenate([*self.alone_inputs()]).astype(np.float32)
        result = Session(found.graph, found.weights, threads=1).run(x)
        for mine, one in zip(result, self.alone, strict=True):
            np.testing.assert_allclose(mine.reshape(-1), one.reshape(-1), rtol=1e-5)
        assert self.is_same()

    def alone_inputs(self) -> list[Array]:
        return np.split(np.random.default_rng(0).random((N, 4, 6, 8)), N)


@given(st.data())
def test_what_mixes_pictures_is_refused(data: st.DataObject) -> None:
    """Any transposes and reshapes, the batch among them, and a softmax."""
    draw, both = data.draw, Both()
    for number in range(draw(st.integers(1, 4))):
        both.build.where = f"step{number}"
        if draw(st.booleans()):
            both.permute(list(draw(st.permutations(range(both.whole.ndim)))))
            continue
        shape = list(both.whole.shape)
        if draw(st.booleans()) and len(shape) > 1:  # two axes become one
            at = draw(st.integers(0, len(shape) - 2))
            shape[at : at + 2] = [shape[at] * shape[at + 1]]
        else:
            at = draw(st.integers(0, len(shape) - 1))
            apart = shape[at] % N > 0  # which of the parts had the batch does not stand there
            parts = [n for n in (2, 3) if apart and shape[at] % n == 0 and n < shape[at]]
            first = draw(st.sampled_from(parts)) if parts else shape[at]
            pair = [first, shape[at] // first]
            shape[at : at + 1] = draw(st.permutations(pair)) if parts else [first]
        alone = [n // N if n % N == 0 else n for n in shape]
        try:
            both.value = moving.reshape(both.build, both.value, alone)
        except GraphError:
            return
        both.whole = both.whole.reshape(shape)
        both.alone = [one.reshape(alone) for one in both.alone]
    try:
        both.softmax(draw(st.integers(0, both.whole.ndim - 1)))
    except GraphError:
        return
    assert both.is_same()


def test_along_what_the_batch_is_part_of() -> None:
    for refused in (
        lambda b: b.reshape(-1, 48).softmax(0),
        lambda b: b.permute([1, 0, 2, 3]).reshape(4, -1).softmax(1),
        lambda b: b.reshape(-1).softmax(0),
        lambda b: b.permute([1, 2, 3, 0]).reshape(4, -1).softmax(1),
    ):
        with pytest.raises(GraphError, match="works along the batch"):
            refused(Both())


def test_along_other_axes() -> None:
    """Rows of all pictures under each other, and back: as recurrent and windowed networks do."""
    Both().reshape(-1, 48).softmax(1).reshape(-1, 4, 6, 8).check()
    Both().permute([0, 2, 3, 1]).reshape(-1, 4).softmax(1).reshape(-1, 6, 8, 4).check()
    Both().reshape(-1, 2, 2, 6, 8).permute([0, 2, 1, 3, 4]).reshape(-1, 12, 8).softmax(2).check()
    Both().reshape(-1, 48).check()
    Both().permute([1, 0, 2, 3]).softmax(0).permute([1, 0, 2, 3]).check()


def test_each_picture_with_each() -> None:
    both = Both()
    mean = layers.mean(both.build, both.value, [1, 2, 3], False, "avg").unsqueezed([1])
    with pytest.raises(GraphError, match="works along the batch"):
        elementwise.binary(both.build, "sub", mean, mean.permuted([1, 0]))
    row: Value = both.value.permuted([1, 0, 2, 3])
    with pytest.raises(GraphError, match="works along the batch"):
        moving.concat(both.build, [both.value, row], 2)
    with pytest.raises(GraphError, match="works along the batch"):
        moving.expanded(both.build, mean.permuted([1, 0]), [1, 5])


def test_an_output_that_has_the_batch_elsewhere_is_named() -> None:
    both = Both().permute([1, 0, 2, 3])
    with pytest.raises(GraphError, match=r"output 'y' of shape \(4, 1, 6, 8\): works along"):
        finished(both.build, "batch", {"y": both.value}, {"x": both.given}, ["y"])


def test_axes_of_one_that_go_in_a_program() -> None:
    """`squeeze` leaves a batch of any size where it is."""
    torch = pytest.importorskip("torch")

    class Squeezes(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            x = x.mean((2, 3), keepdim=True).squeeze()
            return torch.cat([x, 2 * x.squeeze(0)], 1)

    class Softmax(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3), keepdim=True).squeeze().softmax(0)

    batch, x = ({0: torch.export.Dim("n")},), torch.rand(2, 3, 4, 5)
    model = convert_module(Squeezes().eval(), x, dynamic_shapes=batch)
    found = Session(model, threads=1).run(x.numpy())
    np.testing.assert_allclose(found, Squeezes()(x).numpy(), rtol=1e-5)
    with pytest.raises(ConvertError, match="works along the batch"):
        convert_module(Softmax().eval(), x, dynamic_shapes=batch)


def test_a_squeezed_output_of_one_picture_is_a_reference(tmp_path: Path) -> None:
    """As most networks with one score end: PyTorch takes the batch along where it is 1."""
    torch = pytest.importorskip("torch")

    class Scores(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            x = x.mean((2, 3), keepdim=True).squeeze()
            return x.mean(-1, keepdim=True).squeeze().sigmoid()

    batch = ({0: torch.export.Dim("n")},)
    program = torch.export.export(Scores(), (torch.rand(2, 3, 4, 5),), dynamic_shapes=batch)
    path = tmp_path / "network.pt2"
    torch.export.save(program, path)
    model = convert_file(path)
    write_reference(path, tmp_path / "reference.npz")
    with np.load(tmp_path / "reference.npz") as stored:
        found = Session(model, threads=1).run(stored["input"])
        (output,) = model.graph.outputs
        wanted = stored[f"output/{output}"].reshape(-1)
        np.testing.assert_allclose(found.reshape(-1), wanted, rtol=1e-5)
