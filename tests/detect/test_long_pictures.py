"""Screenshots of what was scrolled, panoramas: faces in them are found as in usual pictures."""

from __future__ import annotations

import numpy as np
import pytest
from support import made_faces

from minimeso import FaceFinder
from minimeso.media.pictures import read_picture

PORTRAIT = read_picture(made_faces.PORTRAIT).pixels


@pytest.mark.parametrize("shape", [(14_000, 540), (540, 14_000)])
def test_faces_at_both_ends(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 240, np.uint8)
    picture[:512, :512] = picture[-512:, -512:] = PORTRAIT
    assert len(FaceFinder().find(picture)) == 2


@pytest.mark.parametrize("ratio", [1, 1.5, 2.5])
def test_other_shapes_are_searched_at_the_scale_of_their_longer_side(ratio: float) -> None:
    shape = round(6000 / ratio), 6000
    assert FaceFinder()._scale(*shape) == FaceFinder(min_face=6000 / 48)._scale(*shape)
