"""Domain: how far a face is from those that the thorough network of a pair learned from.

Of a drawing, a statue, a screen or a print a network says something, too, and it means nothing.
What the network computes on its way to an answer looks different then than for a photograph of a
face, so a very small network of its own judges that by the values of one layer: no second pass.
It belongs to these very weights and is named in the manifest of the pair (``pair.py``); what it was
trained on and what it reaches stand in its card, ``models/domain.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import is_number
from ..engine import Model, Session
from ..errors import ModelError
from .late_session import LateSession

Array = npt.NDArray[np.float32]
#: Nothing is stranger than that; a limit beyond says nothing of any face.
_MOST = 1e4


class Domain(LateSession):
    """Tells strangers from faces like those of training, by what the thorough network computed.

    Args:
        model: of a checked pair, see ``check_domain``.
        beside: the session of the thorough network, which never runs at the same time.

    Attributes:
        layer: of the thorough network, whose values it looks at.
    """

    def __init__(self, model: Model, beside: Session) -> None:
        super().__init__(model, beside)
        self._name = model.name
        calibration = model.calibration or {}
        self.layer, self._limit = str(calibration["layer"]), float(calibration["limit"])

    def strangeness(self, values: Array) -> list[float]:
        """How strange some faces are: a stranger is who lies above 0 in the mean of all looks.

        Args:
            values: (N, ...) of the layer.

        Raises:
            ModelError: a result is not a number, because the weights overflow.
            InputError: the detector is closed.
        """
        outputs: Array = self._opened().run(values.reshape(len(values), -1))[:, 0]
        if np.isnan(outputs).any():  # nobody would be a stranger
            raise ModelError(f"{self._name}: strangeness is nan: its weights overflow")
        return [far - self._limit for far in outputs.clip(-_MOST, _MOST).tolist()]


def check_domain(model: Model, thorough: Model, where: str) -> None:
    """``ModelError`` unless a network can judge the values of a layer of another one."""
    calibration: Mapping[str, Any] = model.calibration or {}
    layer: Any = calibration.get("layer")
    limit: Any = calibration.get("limit")
    shapes, inputs = thorough.graph.shapes(), list(model.graph.inputs.values())
    found = shapes.get(layer) if isinstance(layer, str) else None
    if found is None or inputs != [(math.prod(size or 0 for size in found),)]:
        raise ModelError(
            f"{where}: {model.name} looks at {inputs} values of the layer {str(layer)[:80]!r}, "
            f"which {thorough.name} has not; get the pair again"
        )
    if [model.graph.shapes()[name] for name in model.graph.outputs] != [(1,)]:
        raise ModelError(f"{where}: {model.name} has not one output; get the pair again")
    if not is_number(limit) or not abs(limit) <= _MOST:
        raise ModelError(
            f"{where}: {model.name} has the limit {str(limit)[:80]}, no number from "
            f"{-_MOST:g} to {_MOST:g}; get the pair again"
        )
