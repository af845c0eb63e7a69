"""How good a model is where it matters: on sources of fakes that its training never saw.

A model file may say so in ``meta``, once or in a list::

    "out_of_source": {"trained_on": "DFDC", "tested_on": "FaceForensics++", "auc": 0.74,
                      "right_of_decided": 0.83}

``auc`` is from 0 to 1, and so is ``right_of_decided``, the share of right ones of the verdicts that
were not uncertain, which may be left away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..checks import is_number
from ..notes import Note

#: More would be no reading for people.
_MOST, _LONGEST = 8, 100


def measured_elsewhere(meta: Mapping[str, Any] | None) -> tuple[Note, ...]:
    """What is known of a model on other sources; ``meta`` is free, so what is no figure is none."""
    said = (meta or {}).get("out_of_source")
    entries = said if isinstance(said, list) else [said]
    notes = (_note(entry) for entry in entries[:_MOST])
    return tuple(note for note in notes if note is not None)


def _note(entry: Any) -> Note | None:
    if not isinstance(entry, dict):
        return None
    names = [entry.get(key) for key in ("trained_on", "tested_on")]
    auc, right = entry.get("auc"), entry.get("right_of_decided")
    if not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
        return None
    if not _is_share(auc) or not (right is None or _is_share(right)):
        return None
    trained_on, tested_on = names
    values = {"trained_on": trained_on, "tested_on": tested_on, "auc": auc}
    return Note("measured_elsewhere", {**values, "right_of_decided": right})


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1
