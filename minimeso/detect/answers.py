"""Answers: what the networks say of crops, as many at once as there are threads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine import Session
from ..errors import ModelError
from .pair import Networks, logit
from .verdict import Crop

#: A sum of probabilities is rounded: so little beyond 0 and 1 is 0 and 1.
_ROUNDED = 1e-5


class Answer(NamedTuple):
    """What the thorough network says of a face, and how strange it looks to it, see ``domain``."""

    logit: float
    strangeness: float = 0.0


def p_fakes(session: Session, crops: Sequence[Crop]) -> list[float]:
    """What a network says of some faces, each in [0, 1].

    Raises:
        ModelError: it is not a number, because the weights overflow, or no probability.
    """
    found: list[float] = []
    for few in _few_at_once(session, crops):
        found += session.run(few).tolist()
    return _checked(session, found)


def thorough_answers(networks: Networks, crops: Sequence[Crop]) -> Iterator[Answer]:
    """What the thorough network says of some faces; errors are those of ``p_fakes``."""
    session, domain = networks.thorough, networks.domain
    assert session is not None
    if domain is None:
        yield from (Answer(logit(p_fake)) for p_fake in p_fakes(session, crops))
        return
    (output,) = session.graph.outputs
    for few in _few_at_once(session, crops):
        found = session.run(few, outputs=[output, domain.layer])
        checked = _checked(session, found[output][:, 0].tolist())
        strangeness = domain.strangeness(found[domain.layer])
        yield from (Answer(logit(p), far) for p, far in zip(checked, strangeness, strict=True))


def _few_at_once(session: Session, crops: Sequence[Crop]) -> Iterator[npt.NDArray[np.float32]]:
    """Some faces (N, 3, H, W), as many at once as there are threads."""
    for start in range(0, len(crops), session.threads):
        few = crops[start : start + session.threads]
        yield few[0][None] if len(few) == 1 else np.stack(few)


def _checked(session: Session, found: list[float]) -> list[float]:
    """``ModelError`` unless all are probabilities."""
    name = session.model.name
    for p_fake in found:
        if not math.isfinite(p_fake):
            raise ModelError(f"{name}: p_fake is {p_fake}: its weights overflow")
        if not -_ROUNDED <= p_fake <= 1 + _ROUNDED:
            raise ModelError(
                f"{name}: p_fake is {p_fake:g}, no probability: let the network end in a sigmoid"
            )
    return [min(max(p_fake, 0.0), 1.0) for p_fake in found]
