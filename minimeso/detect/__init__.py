"""Detection: knows faces.  pictures -> framing -> session -> verdict.

``pictures`` any picture as RGB, ``framing`` how a face is cut out, ``verdict`` what is said about
it, ``detector`` the front door.
"""

from .detector import Detector
from .finder import FaceFinder, FoundFace
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
