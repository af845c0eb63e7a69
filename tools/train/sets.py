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
    #: Not as many fakes as real faces, but all there are, in groups (`groups.py`): how often an
    #: epoch takes the real faces of each set. Empty: balanced pairs.
    repeat: dict[str, float] = {}  # noqa: RUF012  # of a NamedTuple, and never changed


#: As many fakes as real faces, for the paper's protocol.
BALANCED = {
    "ffpp-swaps": Chosen("FaceForensics++, Deepfakes and FaceSwap", ("ffpp",), SWAPS),
    "ffpp": Chosen("FaceForensics++, all four methods", ("ffpp",), METHODS),
    "ffpp+dfdc": Chosen(
        "FaceForensics++ and DFDC, up to the paper's 12,353 training faces",
        ("ffpp", "dfdc"),
        most=_PAPERS_COUNT,
    ),
}
#: All fakes there are, in groups, for detectors.
GROUPED = {
    "all": Chosen(
        "all of DFDC and FaceForensics++, and stills as both classes",
        ("dfdc", "ffpp", "stills"),
        repeat={"dfdc": 0.5, "ffpp": 3.0, "stills": 1.0},
    ),
    "all-of-dfdc": Chosen("all of DFDC", ("dfdc",), repeat={"dfdc": 0.5}),
    "all-of-ffpp": Chosen("all of FaceForensics++", ("ffpp",), repeat={"ffpp": 3.0}),
}
#: Sets by name, for `--set`.
SETS = BALANCED | GROUPED
#: What people call the sources of faces.
TITLES = {"dfdc": "DFDC", "ffpp": "FaceForensics++", "stills": "LFW"}
