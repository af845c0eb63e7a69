"""Dividing faces by people: who has nobody in common with whom, and some faces of a split."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from tools.train import faces


def parts(data: faces.Faces) -> NDArray[np.int64]:
    """Of each face (N,) the number of the part of people it belongs to: parts have nobody in
    common, though a picture may show one of two people (`A+B`), and each of them others, too."""
    names = sorted({name for one in faces.people(data) for name in str(one).split("+")})
    number = {name: place for place, name in enumerate(names)}
    shown = [[number[name] for name in str(one).split("+")] for one in faces.people(data)]
    pairs = [(one[0], other) for one in shown for other in one]
    graph = sparse.coo_array((np.ones(len(pairs)), np.transpose(pairs)), (len(names), len(names)))
    _, part = csgraph.connected_components(graph, directed=False)
    return np.array([part[one[0]] for one in shown], np.int64)


def chosen(data: faces.Faces, rows: NDArray[np.int64]) -> faces.Faces:
    """Some of the faces, in this order."""
    return dataclasses.replace(
        data,
        images=data.images[rows],
        squares=data.squares[rows],
        fake=data.fake[rows],
        pair=data.pair[rows],
        **{
            name: tuple(getattr(data, name)[row] for row in rows) if getattr(data, name) else ()
            for name in ("identity", "name", "source", "method")
        },
    )
