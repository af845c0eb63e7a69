"""Detection: knows faces.  finder -> tracker -> quality -> framing -> session -> verdict.

``finder`` finds faces (on ``canvas``), ``tracker`` and ``track`` follow them through a clip,
``quality`` refuses what cannot be judged, ``framing`` crops the rest, ``pair`` has the networks,
``thorough`` chooses the faces at which the second one looks, ``analyzer`` does all of this frame by
frame (``reading``: of a clip) and keeps ``findings``, which ``pieces`` joins, ``size_correction``,
``track_score`` and ``rule`` make one number and a word of a person, ``verdict`` is what is
said, ``source`` what is judged, ``detector`` the front door.
"""

from .. import engine as _engine  # noqa: F401 (before NumPy, which it may refuse)
from .decode import FoundFace
from .detector import Detector
from .finder import FaceFinder
from .verdict import Face, LiveFace, Moment, SeenFace, SeenFrame, Track, Verdict

__all__ = [
    "Detector",
    "Face",
    "FaceFinder",
    "FoundFace",
    "LiveFace",
    "Moment",
    "SeenFace",
    "SeenFrame",
    "Track",
    "Verdict",
]
