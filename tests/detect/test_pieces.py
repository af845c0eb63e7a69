"""Long clips in pieces: joined, they say what the clip says in one go, about."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.clips import clip_bytes, clip_file, number_of
from support.worlds import World

from minimeso import InputError
from minimeso.detect.findings import Findings
from minimeso.detect.pieces import Piece, joined
from minimeso.detect.tracker import Tracker
from minimeso.media import key_frames
from minimeso.media.key_frames import Span, spans
from minimeso.media.video import open_clip
from minimeso.notes import Note

RATE = 25


def long_clip(folder: Path, frames: int = 200, name: str = "long.mp4", **options: object) -> Path:
    """A key frame every two seconds, with B-frames between."""
    given = {"g": "50", "bf": "2", "keyint_min": "50", "sc_threshold": "0", **options}
    return clip_file(
        folder, name, kind="matroska" if name.endswith("mkv") else "mp4", codec="libx264",
        frames=frames, rate=RATE, pix_fmt="yuv420p", options=given,
    )  # fmt: skip


# --- spans ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])
@pytest.mark.parametrize("fps", [None, 4.0, 3.0, 25.0])
def test_the_pieces_have_every_frame_once(tmp_path: Path, name: str, fps: float | None) -> None:
    path = long_clip(tmp_path, name=name)
    found = spans(str(path), 3.0, least=5.0)
    assert len(found) == 3 and found[0].start == found[0].zero and found[-1].end is None
    with open_clip(path, fps, fps is None) as clip:
        whole = [(round(t, 3), number_of(pixels)) for t, pixels in clip]
        read = clip.frames_read
    pieces, counted = [], 0
    for span in found:
        with open_clip(path, fps, fps is None, span) as clip:
            pieces += [(round(t, 3), number_of(pixels)) for t, pixels in clip]
            counted += clip.frames_read
            assert not clip.faults
    assert pieces == whole and counted == read


def test_joined_clips_are_not_cut(tmp_path: Path) -> None:
    """Each has times of its own: a piece would have frames of both, and most of the second none."""
    path = long_clip(tmp_path, name="long.mkv")
    assert len(spans(str(path), 3.0, least=5.0)) == 3
    path.write_bytes(path.read_bytes() * 2)
    assert not spans(str(path), 3.0, least=5.0)
    with open_clip(path, None, True) as clip:
        assert len(list(clip)) == clip.frames_read and not clip.faults and not clip.remarks


def test_open_groups_of_pictures(tmp_path: Path) -> None:
    """Frames that are shown before a key frame, and lie behind it, belong to the piece before."""
    path = long_clip(tmp_path, **{"x264-params": "open-gop=1"})
    found = spans(str(path), 3.0, least=5.0)
    with open_clip(path, every_frame=True) as clip:
        whole = [number_of(pixels) for _, pixels in clip]
    numbers = []
    for span in found:
        with open_clip(path, every_frame=True, span=span) as clip:
            numbers += [number_of(pixels) for _, pixels in clip]
    assert numbers == whole


def test_what_is_not_cut(tmp_path: Path) -> None:
    path = long_clip(tmp_path)
    assert not spans(str(path), 3.0, least=9.0), "short"
    assert not spans(str(tmp_path / "missing.mp4"), 3.0, least=0.0)
    stream = clip_file(tmp_path, "a.ts", kind="mpegts", codec="libx264", frames=200, rate=RATE)
    assert not spans(str(stream), 3.0, least=5.0), "no index"
    one_key = long_clip(tmp_path, name="one.mp4", g="1000", keyint_min="1000")
    assert len(spans(str(one_key), 3.0, least=5.0)) <= 1
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    assert not spans(str(picture), 3.0, least=0.0)


@pytest.mark.parametrize(
    "lasts", [b"99:00:00.000000000", b"9999999:00:00.0000", b"999999999999:00:00"]
)
def test_a_clip_that_says_it_lasts_for_years(tmp_path: Path, lasts: bytes) -> None:
    """Behind the last key frame nothing more is looked for."""
    path = long_clip(tmp_path, name="long.mkv")
    data, said = path.read_bytes(), b"00:00:08.000000000"
    assert data.count(said) == 1 and len(lasts) == len(said)
    path.write_bytes(data.replace(said, lasts))
    found = spans(str(path), 1.0, least=5.0)
    with open_clip(path, every_frame=True) as clip:
        assert clip.duration is not None and clip.duration > 3e5
    assert [span.start for span in found] == [0, 2000, 4000, 6000] and found[-1].end is None


def test_too_many_pieces_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = long_clip(tmp_path)
    assert len(spans(str(path), 2.0, least=5.0)) == 4
    monkeypatch.setattr(key_frames, "_MOST_PIECES", 3)
    assert not spans(str(path), 2.0, least=5.0)


def test_a_clip_that_is_cut_short(tmp_path: Path) -> None:
    """Its index is in front, so it is cut as if it were whole; then the missing part is told."""
    data = clip_bytes(
        codec="libx264", frames=200, rate=RATE, pix_fmt="yuv420p",
        options={"g": "50", "bf": "2"}, container_options={"movflags": "faststart"},
    )  # fmt: skip
    path = tmp_path / "short.mp4"
    path.write_bytes(data)
    found = spans(str(path), 3.0, least=5.0)
    assert len(found) == 3
    path.write_bytes(data[: len(data) * 9 // 10])
    with open_clip(path, every_frame=True, span=found[0]) as clip:
        assert list(clip) and not clip.faults
    told = []
    for span in found[1:]:
        try:
            with open_clip(path, every_frame=True, span=span) as clip:
                list(clip)
            told += [note.code for note in clip.faults]
        except Exception as error:
            told.append(str(error))
    assert "cut_short" in " ".join(told)


# --- persons ----------------------------------------------------------------------------------


def in_pieces(world: World, times: list[float], cuts: list[float]) -> list[list[int]]:
    """Who is seen in each frame, by the numbers among all pieces."""
    whole, shown, edges = None, [], [0.0, *cuts, math.inf]
    for start, end in itertools.pairwise(edges):
        tracker = Tracker(world, piece_from=start)
        seen = [
            [person for person, _ in tracker.see(t, world.frame(t))]
            for t in times
            if start <= t < end
        ]
        tracks = pickle.loads(pickle.dumps(tracker.end()))
        if whole is None:
            whole = tracks
        else:
            numbers = whole.go_on(tracks)
            seen = [[numbers[person] for person in frame] for frame in seen]
        shown += seen
    return shown


def in_one(world: World, times: list[float]) -> list[list[int]]:
    tracker = Tracker(world)
    return [[person for person, _ in tracker.see(t, world.frame(t))] for t in times]


def worlds() -> Iterator[tuple[str, World]]:
    yield (
        "two who sit and talk",
        World({1: lambda t: (80 + 6 * math.sin(t), 90, 50), 2: lambda t: (230, 90, 50)}, noise=2),
    )
    yield "one who moves fast", World({1: lambda t: (60 + 40 * (t % 5), 90, 50)}, noise=2)
    yield (
        "two cameras that take turns",
        World(
            {
                1: lambda t: (90, 90, 50) if t % 4 < 2 else None,
                2: lambda t: (220, 90, 50) if t % 4 >= 2 else None,
            },
            backdrop=lambda t: 1000 + int(t % 4 >= 2),
        ),
    )
    yield (
        "a cut where the pieces meet, to somebody else in the same place",
        World(
            {
                1: lambda t: (150, 90, 50) if t < 6 else None,
                2: lambda t: (150, 90, 50) if t >= 6 else None,
            },
            backdrop=lambda t: 1000 + int(t >= 6),
        ),
    )
    yield (
        "a newcomer in a later piece",
        World({1: lambda t: (80, 90, 50), 2: lambda t: (230, 90, 50) if t > 7 else None}),
    )
    yield "nobody in the first piece", World({1: lambda t: (80, 90, 50) if t > 7 else None})
    yield (
        "a face hidden where the pieces meet",
        World({1: lambda t: (80, 90, 50)}, hidden=lambda person, t: 5.7 < t < 6.4),
    )


@pytest.mark.parametrize(("what", "world"), list(worlds()), ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("rate", [4, 10])
def test_persons_keep_their_numbers(what: str, world: World, rate: int) -> None:
    times = [n / rate for n in range(12 * rate)]
    shown, expected = in_pieces(world, times, [6.0, 9.0]), in_one(world, times)
    differ = [n for n, (a, b) in enumerate(zip(shown, expected, strict=True)) if a != b]
    # a newcomer is found when the whole frame is searched, which is at other moments
    assert len(differ) <= 0.5 * rate and all(not (shown[n] and expected[n]) for n in differ), what


def test_persons_of_many_pieces() -> None:
    """Two cameras that take turns, cut anywhere: two persons in the end."""
    cameras = dict(worlds())["two cameras that take turns"]
    times = [n / 4 for n in range(4 * 40)]
    shown = in_pieces(cameras, times, [5.0, 11.25, 18.5, 25.0, 33.0])
    assert {person for frame in shown for person in frame} == {1, 2}


def test_join_wants_pieces() -> None:
    from minimeso import Detector

    with pytest.raises(InputError, match="pieces"):
        Detector("mesoinception4-relu", threads=1).join([])


def test_what_was_done_to_the_frames_of_all_pieces_is_said_once() -> None:
    """Of interlaced clips, and of HDR: those of phones are."""
    remarks = (Note("deinterlaced"), Note("tone_mapped"))
    faults = tuple(Note(c, {"frames": 2}) for c in ("damaged_frames", "frames_without_memory"))
    pieces = [
        Piece(Span(0, n, None), Findings(None, True), None, {}, faults, remarks) for n in range(3)
    ]
    whole = joined(pieces)
    assert whole.remarks == remarks
    assert whole.faults == tuple(Note(note.code, {"frames": 6}) for note in faults)


def test_a_span_beyond_the_end(tmp_path: Path) -> None:
    from minimeso import PictureError

    path = long_clip(tmp_path)
    with pytest.raises(PictureError), open_clip(path, span=Span(0, 1 << 40, None)) as clip:
        list(clip)


def test_nothing_is_kept_of_newcomers_unless_asked() -> None:
    tracker = Tracker(World({1: lambda t: (80, 90, 50)}))
    world = World({1: lambda t: (80, 90, 50)})
    tracker = Tracker(world)
    tracker.see(0.0, np.asarray(world.frame(0.0)))
    assert tracker.end()._newcomers is None
