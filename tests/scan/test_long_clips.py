"""Long clips: cut, judged in pieces by whoever is free, and joined."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")

from fsspec import filesystem
from PIL import Image
from support.clips import clip_file
from support.scans import OF_CLUSTERS, rows, stubs, workers
from support.stub_judges import Stub, verdict_of
from test_cluster import Killer, check, scan

from minimeso import Detector, InputError
from minimeso.media.key_frames import Span
from minimeso.scan import Limits, Settings
from minimeso.scan.assembly import Assembly
from minimeso.scan.judge import Job, OpenJudge
from minimeso.scan.pieces import Cut, JudgedPiece, Work
from minimeso.scan.schema import Outcome, given_up
from minimeso.scan.source import Entry

pytest_plugins = ["support.leftovers"]
pytestmark = OF_CLUSTERS

SAMPLE = Path(__file__).parents[2] / "minimeso" / "samples" / "portrait.jpg"


def talking(folder: Path, seconds: int = 12, rate: int = 8) -> Path:
    """The sample, trembling, with a key frame every second."""
    picture = np.asarray(Image.open(SAMPLE).convert("RGB").resize((320, 320)))
    frames = [np.roll(picture, (n % 5, n % 3), (0, 1)) for n in range(seconds * rate)]
    options = {"g": str(rate), "keyint_min": str(rate), "sc_threshold": "0"}
    return clip_file(
        folder, "talking.mp4", codec="libx264", frames=frames, rate=rate, pix_fmt="yuv420p",
        options=options,
    )  # fmt: skip


# --- assembly -----------------------------------------------------------------------------------


CUT = Cut("/a", "hash", 3 << 20, "stamp", tuple(Span(0, n, n + 1) for n in range(3)))


def outcome(path: str = "/a") -> Outcome:
    return Outcome(path, None, [], "stamp", 1)


def test_pieces_come_in_any_order_and_twice() -> None:
    jobs: list[Job] = []
    assembly = Assembly(jobs.append)
    assert assembly.take([CUT, outcome("/b")]) == [outcome("/b")]
    assert [job.work for job in jobs] == [Work(CUT, number) for number in range(3)]
    assert sum(job.share for job in jobs) == pytest.approx(1)
    jobs.clear()
    assert not assembly.take([JudgedPiece("/a", n, b"%d" % n) for n in (2, 2, 0)]) and not jobs
    assert assembly.weight == pytest.approx(4 * 2 / 3)
    assert not assembly.take([JudgedPiece("/a", 1, b"1")])
    assert [job.work for job in jobs] == [Work(CUT, pieces=(b"0", b"1", b"2"))]
    assert assembly.take([outcome()]) == [outcome()]
    assert not assembly.take([JudgedPiece("/a", 1, b"1"), outcome()]) and assembly.weight == 0


def test_a_piece_that_is_given_up_gives_the_clip_up_once() -> None:
    jobs: list[Job] = []
    forgotten: list[str] = []
    assembly = Assembly(jobs.append, forgotten.append)
    assembly.take([CUT])
    bad = given_up("/a", 1, "stamp", "died", {"settings": "s"})
    assert assembly.take([bad, bad, JudgedPiece("/a", 0, b"0")]) == [bad]
    assert len(jobs) == 3 and forgotten == ["/a"]


# --- on a cluster -------------------------------------------------------------------------------


def test_long_clips_among_others(tmp_path: Path) -> None:
    """Two of them in pieces, one of which a worker that is killed takes with it."""
    entries = stubs("long-1", *(f"{n:03}" for n in range(60)), "long-2")
    killer = Killer(workers, 10)
    state = scan(entries, tmp_path / "out", Stub(seconds=0.05), killer)
    assert killer.killed == 1 and state.done == 62
    check(tmp_path / "out", entries)


def test_a_piece_that_kills(tmp_path: Path) -> None:
    entries = stubs("long-die", "long-1")
    state = scan(entries, tmp_path / "out", Stub(), limits=Limits(deaths=1))
    assert state.done == 2 and state.results["given_up"] == 1
    by_path = {row["path"]: row for row in rows(tmp_path / "out")}
    assert by_path["/stub/long-die"]["status"] == "given_up"
    assert by_path["/stub/long-1"]["p_fake"] == verdict_of("/stub/long-1").p_fake
    assert scan(entries, tmp_path / "out", Stub()).total == 0, "nothing is left"


def test_a_long_clip_at_an_address(tmp_path: Path) -> None:
    """Of which each piece is read where it lies."""
    path = talking(tmp_path, 8)
    settings = Settings(fast=True, piece=2.0)
    local = judged_by_hand(str(path), settings)
    fs = filesystem("memory")
    fs.pipe_file("/clips/talking.mp4", path.read_bytes())
    remote = judged_by_hand("memory://clips/talking.mp4", settings)
    fs.rm("/clips", recursive=True)
    assert local.file is not None and remote.file is not None and local.file["status"] == "ok"
    for key in ("p_fake", "sha256", "frames_read", "persons"):
        assert local.file[key] == remote.file[key]


class Failing(io.BytesIO):
    """A file whose server stops answering in its middle."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self.error, self.left = error, len(data) // 2

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise self.error
        return data


@pytest.mark.parametrize("error", [OSError("reset"), RuntimeError("SlowDown")])
def test_a_server_that_fails_is_no_end_of_the_clip(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict about what came until then was kept as that of the clip, and never made anew."""
    data = talking(tmp_path, 8).read_bytes()
    fs = filesystem("memory")
    fs.pipe_file("/clips/failing.mp4", data)
    address = "memory://clips/failing.mp4"
    judge = OpenJudge(Settings(fast=True, piece=2.0))(None)
    cut = judge(Job(Entry(address)), lambda: None)
    assert isinstance(cut, Cut)
    monkeypatch.setattr(type(fs), "open", lambda *_: Failing(data, error))
    found = judge(Job(Entry(address), work=Work(cut, len(cut.spans) - 1)), lambda: None)
    monkeypatch.undo()
    fs.rm("/clips", recursive=True)
    assert isinstance(found, Outcome) and found.file is not None
    assert found.file["status"] == "unreadable"
    assert found.file["reason"] == f"{error}: try again with --retry"


def judged_by_hand(path: str, settings: Settings, damage: bytes | None = None) -> Outcome:
    """As by a scan, in this process; ``damage`` takes the place of the file once it is cut."""
    judge = OpenJudge(settings)(None)
    entry = Entry(path)
    cut = judge(Job(entry), lambda: None)
    assert isinstance(cut, Cut)
    if damage is not None:
        Path(path).write_bytes(damage)
    pieces = []
    for number in range(len(cut.spans)):
        piece = judge(Job(entry, work=Work(cut, number)), lambda: None)
        if isinstance(piece, Outcome):
            return piece
        assert isinstance(piece, JudgedPiece)
        pieces.append(piece.data)
    joined = judge(Job(entry, work=Work(cut, pieces=tuple(pieces))), lambda: None)
    assert isinstance(joined, Outcome)
    return joined


def test_a_file_that_changes_between_its_pieces(tmp_path: Path) -> None:
    path = talking(tmp_path, 8)
    settings = Settings(fast=True, piece=2.0)
    whole = judged_by_hand(str(path), settings)
    assert whole.file is not None and whole.file["status"] == "ok" and whole.stamp
    data = path.read_bytes()
    other = judged_by_hand(str(path), settings, data + b"\0\0\0\x08free")
    assert other.file is not None and not other.stamp, "nobody knows what was judged"
    assert other.file["sha256"] is None, "or what had this hash would be taken for it"
    path.write_bytes(data)
    gone = judged_by_hand(str(path), settings, b"no clip any more")
    assert gone.file is not None and gone.file["status"] == "unreadable"


def test_the_verdict_is_about_that_of_detect(tmp_path: Path) -> None:
    path = talking(tmp_path)
    found = judged_by_hand(str(path), Settings(fast=True, piece=3.0))
    (row, tracks), whole = (found.file, found.tracks), Detector(fast=True, threads=1).check(path)
    assert row is not None and row["verdict"] == whole.verdict
    assert row["status"] == whole.status == "ok" and abs(row["p_fake"] - whole.p_fake) < 0.02
    assert row["frames_read"] == whole.frames_read and row["persons"] == len(whole.tracks) == 1
    assert row["frames_scored"] == whole.frames_scored
    assert tracks[0]["start"] == 0 and tracks[0]["end"] == whole.tracks[0].frames[-1].t


@pytest.mark.parametrize("piece", [-1.0, 0.5, float("nan"), float("inf")])
def test_pieces_that_make_no_sense(piece: float) -> None:
    with pytest.raises(InputError, match="piece"):
        Settings(piece=piece)


def test_clips_that_are_not_cut(tmp_path: Path) -> None:
    path = talking(tmp_path, 4)
    for settings in (Settings(fast=True, piece=0.0), Settings(fast=True, piece=3.0)):
        found = OpenJudge(settings)(None)(Job(Entry(str(path))), lambda: None)
        assert isinstance(found, Outcome) and found.file is not None
        assert found.file["status"] == "ok"
