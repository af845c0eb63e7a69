"""Detection: knows faces.  finder -> tracker -> quality -> framing -> session -> verdict.

``finder`` finds faces, ``tracker`` and ``track`` follow them through a clip, ``quality`` refuses
what cannot be judged, ``framing`` crops the rest, ``analyzer`` does all of this frame by frame,
``size_correction`` and ``track_score`` make one number of a person, ``verdict`` is what is said,
``detector`` the front door.
"""

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
