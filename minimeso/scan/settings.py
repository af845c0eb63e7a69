"""Settings: what a verdict depends on beside the file, and a short key of all of it."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..detect.covered import MODEL as COVERS
from ..detect.pair import ENDING, detector_path, find_detector
from ..detect.prior import EVEN
from ..engine import model_path
from ..errors import InputError, ModelError

if TYPE_CHECKING:
    from ..detect import Detector

_KEY_BYTES = 8
#: As long as some thirty seconds of a core's work, so that what is done twice after a worker died,
#: and what is awaited in the end, is little beside it.
PIECE_SECONDS = 300.0
#: Settings that the detector is told of each file, or never.
_OF_EACH_CHECK = ("fps", "every_frame", "piece")


@dataclass(frozen=True)
class Settings:
    """How files are judged; the attributes are those of ``Detector`` and of its ``check``.

    Attributes:
        piece: seconds of the pieces in which clips of twice as many, or more, are judged; 0: none
            is, as by ``Detector.check``.
        threads: of the networks in each process; verdicts do not depend on it.

    Raises:
        InputError: ``piece`` makes no sense.
    """

    model: str = "default"
    fast: bool = False
    finder: str = "yunet-s"
    min_face: float | None = None
    crops: bool = False
    prior: float = EVEN
    max_pixels: int | None = None
    fps: float | None = None
    every_frame: bool = False
    isa: str | None = None
    piece: float = PIECE_SECONDS
    threads: int = 1

    def __post_init__(self) -> None:
        if not (self.piece == 0 or 1 <= self.piece < math.inf):
            raise InputError(f"piece {self.piece!r}: give 1 second or more, or 0 to cut nothing")

    def detector(self) -> Detector:
        """What judges.

        Raises:
            MinimesoError: as from ``Detector``.
        """
        from ..detect import Detector

        told = {key: value for key, value in asdict(self).items() if key not in _OF_EACH_CHECK}
        return Detector(**told)

    def to_json(self) -> dict[str, Any]:
        """All that verdicts depend on: the attributes, the program, the contents of the models."""
        from .. import __version__

        described: dict[str, Any] = {"minimeso": __version__, **asdict(self)}
        del described["threads"]
        described["models"] = self._digests
        return described

    @functools.cached_property
    def key(self) -> str:
        """16 hexadecimal digits, equal for settings that give equal verdicts."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()

    @functools.cached_property
    def model_name(self) -> str:
        """What verdicts call the model.

        Raises:
            ModelError: as from ``find_detector``.
        """
        return find_detector(self.model, self.fast).name

    @functools.cached_property
    def _digests(self) -> list[str]:
        """Of the files of the model or pair, of the finder and of what sees covers."""
        path = detector_path(self.model)
        files = [path]
        try:
            if path.endswith(ENDING):
                manifest = json.loads(Path(path).read_bytes())
                folder = os.path.dirname(path)  # noqa: PTH120
                also = ["domain"] if "domain" in manifest else []
                parts = [manifest[key] for key in ("fast", "thorough", *also)]
                files += [os.path.join(folder, str(part)) for part in parts]  # noqa: PTH118
            if not self.crops:
                files += [model_path(self.finder), model_path(COVERS)]
            return [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ModelError(f"{path}: {error}: name a bundled model or a file of one") from None
