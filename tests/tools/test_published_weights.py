"""The four published weight files, converted, on the four published sample faces.

Weights and faces are not in this repository: MINIMESO_DATA names the folder that holds
``mesonet/weights/*.h5`` and ``mesonet/test_images/{df,real}/*.jpg`` of the authors' repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from minimeso import Detector, save_model

pytest.importorskip("h5py")

#: P(real) in float64 arithmetic: nearest-neighbour resizing to 256 x 256 by Pillow, 1/255.
TABLE = {
    "Meso4_DF": (0.041412, 0.048694, 0.989748, 0.997702),
    "Meso4_F2F": (0.831237, 0.641100, 0.881023, 0.952439),
    "MesoInception_DF": (0.026218, 0.000952, 1.000000, 1.000000),
    "MesoInception_F2F": (0.998743, 0.999997, 1.000000, 0.990830),
}
FACES = ("df/df00204.jpg", "df/df01254.jpg", "real/real00240.jpg", "real/real00772.jpg")


@pytest.fixture
def data() -> Path:
    folder = os.environ.get("MINIMESO_DATA")
    if not folder or not (Path(folder) / "mesonet").is_dir():
        pytest.skip("MINIMESO_DATA does not name a folder with mesonet/")
    return Path(folder) / "mesonet"


@pytest.mark.parametrize("name", TABLE)
def test_published_table(name: str, isa: str, data: Path, tmp_path: Path) -> None:
    from tools.convert import models

    source = models.read_source(data / "weights" / f"{name}.h5", None, None)
    save_model(models.to_model(source, name), tmp_path / "model.npz")
    detector = Detector(tmp_path / "model.npz", crops=True, isa=isa)
    for face, p_real in zip(FACES, TABLE[name], strict=True):
        verdict = detector.check(data / "test_images" / face)
        assert verdict.p_fake is not None
        assert abs((1 - verdict.p_fake) - p_real) <= 1e-4
