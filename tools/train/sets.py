"""Names of sets of faces: what `--set` takes of the tables in `faces/` and `more/` of --data."""

from __future__ import annotations

from typing import NamedTuple

_PAPERS_COUNT = 12_353  # training faces of Afchar et al.
SWAPS = ("Deepfakes", "FaceSwap")
METHODS = (*SWAPS, "Face2Face", "NeuralTextures")


class Chosen(NamedTuple):
    """What `load` takes of the tables."""

    about: str
    sets: tuple[str, ...]
    methods: tuple[str, ...] = ()  # of fakes; empty: all
    most: int = 0  # training faces at the most; 0: all


#: Sets by name, for `--set`.
SETS = {
    "ffpp-swaps": Chosen("FaceForensics++, Deepfakes and FaceSwap", ("ffpp",), SWAPS),
    "ffpp": Chosen("FaceForensics++, all four methods", ("ffpp",), METHODS),
    "ffpp+dfdc": Chosen(
        "FaceForensics++ and DFDC, up to the paper's 12,353 training faces",
        ("ffpp", "dfdc"),
        most=_PAPERS_COUNT,
    ),
}
