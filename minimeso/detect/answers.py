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


class Answer(NamedTuple):
    """What the thorough network says of a face, and how strange it looks to it, see ``domain``."""

    logit: float
    strangeness: float = 0.0


def p_fakes(session: Session, crops: Sequence[Crop]) -> list[float]:
    """What a network says of some faces.

    Raises:
        ModelError: it is not a number, because the weights overflow.
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
    """``ModelError`` unless all are numbers."""
    for p_fake in found:
        if not math.isfinite(p_fake):
            raise ModelError(f"{session.model.name}: p_fake is {p_fake}: its weights overflow")
    return found
