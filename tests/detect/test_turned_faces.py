"""Whether a face lies or stands on its head: asked at one scale, as small ones score little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import made_faces

from minimeso import FaceFinder, FoundFace
from minimeso.detect.box import Box
from minimeso.media.pictures import read_picture
from minimeso.media.pixels import Pixels

PORTRAIT = read_picture(made_faces.PORTRAIT).pixels


def test_upright_faces_are_not_taken_for_lying() -> None:
    """So small that one scores little; at another scale it does better, upright or lying.  All
    others were left out for that one, which was judged as if it lay."""
    faces = FaceFinder(min_face=114).find(np.tile(PORTRAIT, (1, 13, 1)))
    assert [face.rotation for face in faces] == [0] * 13


@pytest.mark.parametrize(
    ("first", "as_it_is", "on_its_head", "rotation"),
    [(0.9, 0.82, 0.923, 180), (0.9, 0.91, 0.923, 0), (0.9, 0.7, 0.8, 0), (0.93, 0.5, 0.95, 0)],
)
def test_on_its_head(
    first: float,
    as_it_is: float,
    on_its_head: float,
    rotation: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first scores are those of a clip that stands on its head; judged upright it was fake."""
    scores = {0: as_it_is, 180: on_its_head}

    def look(_: Pixels, face: FoundFace, threshold: float, wanted: int) -> FoundFace | None:
        score = scores.get(face.rotation, 0.0)
        return replace(face, score=score) if score >= threshold else None

    finder = FaceFinder()
    monkeypatch.setattr(finder, "_best_there", look)
    face = FoundFace(Box(10.0, 10.0, 70.0, 95.0), first, ((0.0, 0.0),) * 5)
    found = finder._looked_at_again(PORTRAIT, face)
    assert found is not None and found.rotation == rotation
