"""Pairs: a fast network that looks at every face, a thorough one that looks at some of them.

A pair is a JSON file beside its two model files, the manifest::

    {"format": 1, "name": "default",
     "fast": "mesoinception4-mish.npz", "thorough": "efficientnet-lite0.npz",
     "combination": {"bias": -0.2, "fast": 0.3, "thorough": 0.8},
     "thresholds": {"real": 0.2, "fake": 0.8},
     "calibration": {"spread": 0.6}, "meta": {}}

``"domain": "domain.npz"`` may stand there, too: what tells which faces are too unlike those that
the thorough network learned from (``domain.py``).

Each network gives a calibrated p_fake of its own.  The pair's has the logit
``bias + fast * f + thorough * t`` of their logits f and t, which are cut at +-``MOST_LOGIT`` first,
as everywhere.  In a picture, t is the mean of several looks at a face (``thorough.py``).  Both see
the same crop, so framing and size must be the same.  A manifest is as hostile as a model file until
it was checked.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..checks import is_number
from ..engine import Model, Session, bundled_files, exact, find_model, model_path
from ..engine.files import parse_object, read_file, write_file
from ..engine.model_file import check_head, check_thresholds
from ..errors import ModelError
from .domain import Domain, check_domain
from .rule import spread_of
from .size_correction import small_faces
from .track_score import MOST_LOGIT

FORMAT = 1
SIZE_LIMIT = 1 << 20
ENDING = ".json"
#: The pair; as the name of a single network it is that of the fast one.
_DEFAULT = "default"
#: Files beside the manifest, whatever the system takes for a separator.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}\.npz")
_MOST_WEIGHT = 100.0


class Combination(NamedTuple):
    """How two logits become one: what each counts for, and what is added."""

    bias: float
    fast: float
    thorough: float


@dataclass(frozen=True, eq=False)
class Pair:
    """Two detectors that judge together.

    Attributes:
        name: short name, shown in verdicts.
        fast: looks at every face.
        thorough: looks at the faces that ``thorough.Looks`` chooses.
        combination: of their logits.
        thresholds: of the pair, as those of a ``Model``.
        calibration: of the pair: ``spread`` and ``small_faces`` as those of a ``Model``.
        meta: its card (free form).
        domain: judges by the thorough network's values how strange a face is to it; ``None`` if the
            pair has no such network.
    """

    name: str
    fast: Model
    thorough: Model
    combination: Combination
    thresholds: dict[str, float]
    calibration: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    domain: Model | None = None

    @property
    def framing(self) -> dict[str, Any]:
        """How both want a face to be cut."""
        return self.fast.framing or {}


class Networks(NamedTuple):
    """What judges faces: a single model or a pair, a session of each of its networks, and what
    tells strangers from the faces that the thorough one knows."""

    model: Model | Pair
    fast: Session
    thorough: Session | None = None
    domain: Domain | None = None


def logit(p_fake: float) -> float:
    """log(p / (1 - p)), cut at +-``MOST_LOGIT``."""
    if not 0 < p_fake < 1:
        return math.copysign(MOST_LOGIT, p_fake - 0.5)
    return min(max(exact.logit(p_fake), -MOST_LOGIT), MOST_LOGIT)


def bundled_pairs() -> dict[str, str]:
    """Name and manifest of every pair that comes with the package."""
    return bundled_files(ENDING)


def detector_path(name_or_path: str | os.PathLike[str]) -> str:
    """The file of the bundled pair or model of that name; any other path as it is.

    Raises:
        ModelError: the package is not whole: half of the default pair would judge alone.
    """
    name = os.fspath(name_or_path)
    pairs = bundled_pairs()
    if name == _DEFAULT and name not in pairs:
        what = f"{name}{ENDING} is missing in the package"
        raise ModelError(f"{name}: {what}: install minimeso again")
    return pairs.get(name) or model_path(name)


def open_networks(
    model: str | os.PathLike[str] | Model | Pair, threads: int | None = None, isa: str | None = None
) -> Networks:
    """A session for each network of a detector.

    Raises:
        ModelError: as from ``find_detector``.
        EngineError: the instruction set is not available.
    """
    found = find_detector(model)
    if not isinstance(found, Pair):
        return Networks(found, Session(found, threads=threads, isa=isa))
    fast, thorough = (Session(m, threads=threads, isa=isa) for m in (found.fast, found.thorough))
    domain = Domain(found.domain, thorough) if found.domain is not None else None
    return Networks(found, fast, thorough, domain)


def find_detector(
    name_or_path: str | os.PathLike[str] | Model | Pair, fast: bool = False
) -> Model | Pair:
    """The pair or the single detector of that name or in that file.

    Args:
        name_or_path: of a model file or a manifest, or what has been loaded already.
        fast: of a pair, its fast network; of a file, the thorough one is not read then.

    Raises:
        ModelError: there is none, its file cannot be trusted, or it is no detector.
    """
    found = name_or_path
    if not isinstance(found, (Model, Pair)):
        path = detector_path(found)
        if path.endswith(ENDING):
            data = read_file(path, SIZE_LIMIT)
            found = _network(_manifest(data, path), "fast", path) if fast else _pair_of(data, path)
        else:
            found = find_model(found)
    if fast and isinstance(found, Pair):
        found = found.fast
    if isinstance(found, Pair):
        _check_pair(found, found.name)
    else:
        input_size(found)
    return found


def load_pair(path: str | os.PathLike[str]) -> Pair:
    """Read and check a manifest and its model files, which lie beside it.

    Raises:
        ModelError: a file is missing, damaged, hostile, or newer than this version.
    """
    where = os.fspath(path)
    return _pair_of(read_file(where, SIZE_LIMIT), where)


def save_pair(pair: Pair, path: str | os.PathLike[str]) -> None:
    """Write a manifest at once or not at all; same pair, same bytes.

    The model files must lie beside it already, each under its model's name.

    Raises:
        ModelError: the pair would not load again.
        OSError: the folder cannot be written.
    """
    where = os.fspath(path)
    description = {
        "format": FORMAT,
        "name": pair.name,
        "fast": f"{pair.fast.name}.npz",
        "thorough": f"{pair.thorough.name}.npz",
        **({"domain": f"{pair.domain.name}.npz"} if pair.domain is not None else {}),
        "combination": pair.combination._asdict(),
        "thresholds": pair.thresholds,
        "calibration": pair.calibration,
        "meta": pair.meta,
    }
    try:
        lines = (
            f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
            for key, value in description.items()
        )
        text = "{\n" + ",\n".join(lines) + "\n}"  # a line each: indented, cards grow by a third
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{where}: the pair has a value that JSON has not: {error}") from None
    data = f"{text}\n".encode()
    _pair_of(data, where)
    write_file(where, data)


def _manifest(data: bytes, where: str) -> dict[str, Any]:
    """What stands in a manifest, its head checked."""
    if len(data) > SIZE_LIMIT:
        raise ModelError(f"{where}: more than the limit of {SIZE_LIMIT} bytes")
    description = parse_object(data, where, "the manifest of a pair")
    check_head(description, FORMAT, where)
    check_thresholds(description.get("thresholds"), where)
    return description


def _pair_of(data: bytes, where: str) -> Pair:
    description = _manifest(data, where)
    calibration, meta = (_object(description, key, where) for key in ("calibration", "meta"))
    combination = _combination(description.get("combination"), where)
    fast, thorough = (_network(description, key, where) for key in ("fast", "thorough"))
    domain = _network(description, "domain", where) if "domain" in description else None
    name, thresholds = description["name"], description["thresholds"]
    pair = Pair(name, fast, thorough, combination, thresholds, calibration, meta, domain)
    _check_pair(pair, where)
    return pair


def _object(description: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    found = description.get(key, {})
    if not isinstance(found, dict):
        raise ModelError(f"{where}: {key!r} is not an object")
    return found


def _combination(said: Any, where: str) -> Combination:
    values = []
    for key in Combination._fields:
        value: Any = said.get(key) if isinstance(said, dict) else None
        if not is_number(value) or not abs(value) <= _MOST_WEIGHT:
            raise ModelError(
                f"{where}: 'combination' needs the number {key!r}, from {-_MOST_WEIGHT:g} to "
                f"{_MOST_WEIGHT:g}; get the pair again"
            )
        values.append(float(value))
    return Combination(*values)


def _network(description: dict[str, Any], key: str, where: str) -> Model:
    file = description.get(key)
    if not isinstance(file, str) or not _FILE.fullmatch(file):
        raise ModelError(
            f"{where}: {key!r} is {str(file)[:80]!r}, not the name of a model file beside it, "
            "such as 'mesoinception4-mish.npz'"
        )
    try:
        return find_model(os.path.join(os.path.dirname(os.path.abspath(where)), file))  # noqa: PTH100, PTH118, PTH120
    except ModelError as error:
        raise ModelError(f"{where}: its {key} network cannot be used: {error}") from None


def _check_pair(pair: Pair, where: str) -> None:
    """``ModelError`` unless the two can look at the same crop and say how sure they are."""
    sizes = [input_size(model) for model in (pair.fast, pair.thorough)]
    framings = [model.framing for model in (pair.fast, pair.thorough)]
    for what, (fast, thorough) in (("size", sizes), ("framing", framings)):
        if fast != thorough:
            raise ModelError(
                f"{where}: both networks of a pair must see the same crop, but the {what} of "
                f"{pair.fast.name} is {fast}, that of {pair.thorough.name} {thorough}"
            )
    if pair.domain is not None:
        check_domain(pair.domain, pair.thorough, where)
    small_faces(pair.calibration, where)
    spread_of(pair.calibration, where)


def input_size(model: Model) -> tuple[int, int]:
    """Height and width of what a detector looks at; ``ModelError`` if it is no detector."""
    if not model.is_detector:
        raise ModelError(
            f"{model.name}: has no thresholds, so it is no detector: use it with minimeso.Session"
        )
    graph, shapes = model.graph, model.graph.shapes()
    inputs = list(graph.inputs.values())
    channels, height, width = inputs[0] if len(inputs[0]) == 3 else (None, None, None)
    outputs = [shapes[name] for name in graph.outputs]
    if len(inputs) != 1 or channels != 3 or None in (height, width) or outputs != [(1,)]:
        raise ModelError(
            f"{model.name}: no detector: it turns {inputs} into {outputs}, "
            "not one (3, H, W) picture into one p_fake"
        )
    assert height is not None and width is not None
    return height, width
