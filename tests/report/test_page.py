"""The report: what stands on the page, that it is safe, bounded and whole, and how it looks."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pages import HOSTILE, Page, check, clip_of, written
from PIL import Image
from support.detectors import constant_detector, random_detector, saved, small_pair
from support.seen import face, frame, track_of, verdict_of

from minimeso import Detector, Graph, Model, OutputError, Session
from minimeso import report as report_module
from minimeso.detect.pair import Networks
from minimeso.media.jumbf import Credentials
from minimeso.media.origin import Origin
from minimeso.notes import Note
from minimeso.report import Report
from minimeso.report.file import of_file
from minimeso.report.page import names

PORTRAIT = Path(__file__).parents[2] / "minimeso" / "samples" / "portrait.jpg"


def unreadable(reason: str) -> tuple[Note]:
    """The notes of a file that could not be read."""
    return (Note("unreadable", {"reason": reason}),)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(random_detector(), threads=1)


# --- what stands on the page -------------------------------------------------------------


def test_a_clip_with_one_person(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    page = written(session, frames, verdict_of("a clip.mp4", frames), tmp_path / "a.html")
    assert "a clip.mp4" in page.text and "Person 1: fake" in page.text
    assert "What it means" in page.text and "What it does not mean" in page.text
    assert "95 % interval" in page.text.replace("\xa0", " ")
    assert (
        "30 frames read, 30 of them looked at, 30 of these with a face that was judged; 1 person"
        in page.text
    )
    assert "shows influence and proves nothing" in page.text
    assert (
        "no trace of a swap of the kinds it knows up to 40" in page.text
        and "fake from 60" in page.text
    )
    assert "What this model cannot do" in page.text and "no proof" in page.text
    assert "Frames5 a second" in page.text and "Programminimeso" in page.text
    pictures = page.all("img")
    assert len(pictures) == 6 * 3  # frame, crop, crop beneath the heat map
    assert any(p["alt"].startswith("Frame at 0:0") for p in pictures)
    assert any(p["alt"].startswith("Heat map on the face: most towards") for p in pictures)
    assert page.text.count("Side by side: most suspicious (A) and least suspicious (D)") == 1
    assert page.text.count("Also suspicious") == 1 == page.text.count("Also among the least")


def test_a_model_of_somebody_s_own(session: Session, tmp_path: Path) -> None:
    """Who reads the page learns what is missing, and who made the model how to add it."""
    model, networks = saved(random_detector(), tmp_path), Networks(random_detector(), session)
    for limits in (None, "It knows no hats."):
        if limits is not None:
            card = f"# Random\n\n## What it cannot do\n\n{limits}\n"
            (tmp_path / "random.md").write_text(card)
        page = Page("".join(Report(networks, model).parts()))
        for words in ("Nobody wrote down", "a Markdown file beside it"):
            assert (words in page.text) == (limits is None)
        assert ("It knows no hats." in page.text) == (limits is not None)


def test_persons_most_fake_first(session: Session, tmp_path: Path) -> None:
    frames = clip_of(faces=3)
    page = written(session, frames, verdict_of("c.mp4", frames, (1, 2, 3)), tmp_path / "a.html")
    assert re.findall(r"Person (\d):", page.text) == ["1", "2", "3"]
    assert "person 1, the most suspicious of 3 persons," in page.text
    assert [a["href"] for a in page.all("a")] == [f"#file-1-person-{n}" for n in (1, 2, 3)]


def test_persons_are_numbered_as_they_stand_on_the_page(session: Session, tmp_path: Path) -> None:
    """Also on the boxes; others, who have no verdict, have a dash, whatever their number was."""
    frames = [
        frame(n / 5, [face(1, 0.9, 10), face(4, 0.3, 40), face(7, 0.8, 70)]) for n in range(30)
    ]
    page = written(session, frames, verdict_of("c.mp4", frames, (7, 4)), tmp_path / "a.html")
    assert re.findall(r"Person (\d):", page.text) == ["1", "2"]
    text = (tmp_path / "a.html").read_text()
    labels = re.findall(r">([^<]*)</text></g><g class=.this.*?>([^<]*)</text>", text)
    assert labels and {own for _, own in labels} == {"1", "2"}
    assert set(re.findall(r"<text[^>]*>([^<]*)</text>", text)) == {"1", "2", "-"}
    assert any(p["alt"].startswith("The face of person 2") for p in page.all("img"))


def test_a_spike_in_a_real_clip_is_said(session: Session, tmp_path: Path) -> None:
    frames = [frame(n / 5, [face(1, 0.93 if n == 21 else 0.05)]) for n in range(30)]
    verdict = verdict_of("c.mp4", frames, p_fake=0.05, verdict="real")
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "the most so with a p_fake of 93 % at 0:04.2" in page.text.replace("\xa0", " ")
    frames = [frame(n / 5, [face(1, 0.05)]) for n in range(30)]
    verdict = verdict_of("c.mp4", frames, p_fake=0.05, verdict="real")
    page = written(session, frames, verdict, tmp_path / "b.html")
    assert "Single moments" not in page.text


def test_more_persons_than_a_page_shows(session: Session, tmp_path: Path) -> None:
    numbers = range(1, 41)
    frames = clip_of(count=6, faces=40)
    verdict = verdict_of("crowd.mp4", frames, list(numbers))
    page = written(session, frames, verdict, tmp_path / "a.html")
    shown_persons = re.findall(r"Person (\d+):", page.text)
    assert shown_persons == [str(number) for number in range(1, 25)]
    assert "Further persons: person" in page.text
    assert "Where frames are missing they were not kept" in page.text
    first = re.search(r'id="file-1-person-1".*?</article>', (tmp_path / "a.html").read_text())
    assert first and first[0].count("<img") == 3 * 3  # one second: three frames lie apart


def test_a_picture_has_no_timeline(session: Session, tmp_path: Path) -> None:
    frames = [frame(0.0, [face(1, 0.3), face(2, 0.9, 90), face(3, None, 60, reason="blurred")])]
    verdict = verdict_of("p.jpg", frames, (1, 2), {"blurred": 1})
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert re.findall(r"Person (\d):", page.text) == ["1", "2"]
    assert "0:00" not in page.text and "from 1 judged frame." in page.text
    assert not any("timeline" in a.get("class", "") for _, a in page.tags)
    assert "blurred1Motion or focus" in page.text and "2 faces judged" in page.text
    assert any(p["alt"].startswith("Picture: person 2") for p in page.all("img"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "no_face"}, ["No face to judge", "No face was found in this picture"]),
        (
            {"status": "no_face", "left_out": {"too_small": 7, "sideways_odd": 1}},
            ["Faces were seen", "too small7", "sideways odd1", "not mean that the picture"],
        ),
        (
            {"status": "unreadable", "notes": unreadable("not a clip: <no> format")},
            ["Unreadable", "nothing is known about it", "this fileNot a clip: <no> format."],
        ),
    ],
)
def test_nothing_to_judge(
    session: Session, tmp_path: Path, changes: dict[str, Any], expected: list[str]
) -> None:
    verdict = verdict_of("x.mp4", [], (), **changes)
    page = written(session, [], verdict, tmp_path / "a.html")
    for text in expected:
        assert text in page.text
    assert not page.all("img")


def test_a_clip_of_which_one_frame_was_looked_at_is_no_picture(
    session: Session, tmp_path: Path
) -> None:
    frames = [frame(0.0, [face(1, 0.5)])]
    verdict = verdict_of("short.mp4", frames, frames_read=5)
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "Treat the clip as if" in page.text and "picture, so there was" not in page.text
    assert "5 frames read, 1 of them looked at, 1 of these with a face" in page.text
    assert "judged over 0.0 s only" in page.text and "Timeline" not in page.text


def test_what_would_help_where_all_faces_are_covered(session: Session, tmp_path: Path) -> None:
    verdict = verdict_of(
        "x.jpg", [], (), {"covered": 1}, verdict="uncertain", notes=(Note("covered"),)
    )
    page = written(session, [], verdict, tmp_path / "a.html")
    assert "It may help: a picture or clip of the same person without glasses" in page.text


def test_a_caveat_about_standard_input_keeps_its_hyphens(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    page = written(session, frames, verdict_of("-", frames, prior=0.05), tmp_path / "a.html")
    assert "have a swapped face (--prior)." in page.text


def test_a_file_that_is_cut_short(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    verdict = verdict_of(
        "x.mp4",
        frames,
        status="partial",
        notes=(Note("cut_short", {"seconds": 5.0, "whole": None}), Note("left_out", {"dark": 3})),
    )
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "cut short or damaged. Only what could be read" in page.text
    assert "Cut short after 5.0 s; what could not be read was not judged." in page.text
    assert "Person 1: fake" in page.text


def test_an_interval_that_crosses_the_middle(session: Session, tmp_path: Path) -> None:
    frames = clip_of(2)
    doubts = (Note("interval_across_half", {"low": 0.45, "high": 0.99}),)
    interval = (0.45, 0.99)
    track = dataclasses.replace(
        track_of(1, frames), p_fake=0.9, interval=interval, verdict="uncertain", doubts=doubts
    )
    verdict = verdict_of(
        "x.mp4", frames, tracks=(track,), verdict="uncertain", p_fake=0.9, interval=interval,
        notes=doubts,
    )  # fmt: skip
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "p_fake may be anything from 45 to 99 %. It may help: another" in page.text


def test_gaps_and_what_was_left_out_are_drawn(session: Session, tmp_path: Path) -> None:
    turned = face(1, None, reason="turned")
    kinds = [[face(1, 0.5)]] * 10 + [[turned]] * 10 + [[]] * 10 + [[turned]] + [[face(1, 0.5)]] * 9
    frames = [frame(number / 5, faces) for number, faces in enumerate(kinds)]
    written(session, frames, verdict_of("x.mp4", frames), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    presence = re.search(r'<div class="presence".*?</div>', text)
    assert presence
    assert re.findall(r'class="(\w+)" title="([\w :]+)"', presence[0]) == [
        ("judged", "judged"), ("out", "left out: turned"), ("out", "left out: turned"),
        ("judged", "judged"),
    ]  # fmt: skip
    curve = re.search(r'class="curve" d="([^"]*)"', text)
    assert curve and curve[1].count("M") == 2
    legend = re.search(r'<div class="lanes">.*?</div>', text)
    assert legend and "seen, but left out (turned away)" in legend[0]


def test_a_model_without_a_map(tmp_path: Path) -> None:
    graph_free = Session(one_layer_detector(), threads=1)
    frames = clip_of()
    page = written(graph_free, frames, verdict_of("x.mp4", frames), tmp_path / "a.html")
    assert "No heat map" in page.text and "Heat map:" not in page.text
    assert len(page.all("img")) == 6 * 2


def one_layer_detector() -> Any:
    """A detector that ends in a softmax before its sigmoid, so no gradient is worked out."""
    graph = Graph("other")
    x = graph.node("global_avg_pool2d", graph.input("image", (3, 6, 8)), name="mean")
    x = graph.node("linear", graph.node("flatten", x), name="fc", out_features=1)
    graph.output(graph.node("sigmoid", graph.node("softmax", x), name="p_fake"))
    weights = {"fc.weight": np.ones((1, 3), np.float32), "fc.bias": np.zeros(1, np.float32)}
    model = constant_detector(0.0)
    return Model("other", graph, weights, {}, model.framing, None, model.thresholds)


def test_a_map_as_fine_as_the_picture_makes_no_larger_page(tmp_path: Path) -> None:
    """Of a network of dense layers only, every pixel of 256 x 256 has an attribution."""
    graph = Graph("dense")
    x = graph.node("flatten", graph.input("image", (3, 256, 256)), name="flatten")
    x = graph.node("linear", x, name="fc", out_features=1)
    graph.output(graph.node("sigmoid", x, name="p_fake"))
    weights = {
        "fc.weight": np.random.default_rng(0).normal(size=(1, 3 << 16)).astype(np.float32),
        "fc.bias": np.zeros(1, np.float32),
    }
    model = constant_detector(0.0)
    session = Session(dataclasses.replace(model, graph=graph, weights=weights), threads=1)
    frames = clip_of()
    page = written(session, frames, verdict_of("x.mp4", frames), tmp_path / "a.html")
    assert len(page.all("img")) == 6 * 3
    drawn = re.findall(r'<svg class="attribution".*?</svg>', (tmp_path / "a.html").read_text())
    assert len(drawn) == 6 and all(2_000 < len(one) < 40_000 for one in drawn)


# --- several files -----------------------------------------------------------------------


def test_the_file_and_what_it_says_of_itself(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    verdict = verdict_of("c.mp4", frames)
    hostile = "<b>\u202e" + "x" * 180
    c2pa = Credentials(hostile)
    origin = Origin("c.mp4", 1_412_345, "ab" * 32, "mov,mp4", "h264", 5.8, "Lavf", c2pa=c2pa)
    report = Report(Networks(session.model, session))
    for seen in frames:
        report.add(seen)
    report.end(verdict, origin)
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    assert "1.4 MB (1,412,345 bytes)" in page.text and "abab" in page.text
    assert "mov,mp4, h264" in page.text and "0:05.8" in page.text
    assert "made by <b>\\u202ex" in page.text and "signature was not verified" in page.text
    assert "nothing of it changes the verdict" in page.text
    nothing = Origin("c.mp4", 5, "ab" * 32)
    assert "5 bytes<" in of_file(nothing) and "says nothing about where" in of_file(nothing)


@pytest.mark.parametrize("first", [1, 7])
def test_a_folder(session: Session, tmp_path: Path, first: int) -> None:
    report = Report(Networks(session.model, session), first=first)
    frames = clip_of()
    for name, verdict in (
        ("a/one.mp4", verdict_of("a/one.mp4", frames)),
        (
            "a/bad.mp4",
            verdict_of("a/bad.mp4", [], (), status="unreadable", notes=unreadable("broken")),
        ),
        ("a/empty.jpg", verdict_of("a/empty.jpg", [], (), status="no_face")),
    ):
        for seen in frames if name == "a/one.mp4" else []:
            report.add(seen)
        report.end(verdict)
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    assert "3 files" in page.text and "1 fake, 1 no face, 1 unreadable." in page.text
    links = [a["href"] for a in page.all("a")]
    assert links == [*(f"#file-{first + n}" for n in range(3)), "#files", "#files", "#files"]
    assert {link[1:] for link in links} <= {part.get("id") for part in page.all("section")}


def test_many_files_stay_small(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "MOST_SECTIONS", 6)
    monkeypatch.setattr(report_module, "MOST_ROWS", 9)
    monkeypatch.setattr(report_module, "MOST_PICTURES", 100_000)
    report = Report(Networks(session.model, session))
    for number in range(12):
        frames = [frame(0.0, [face(1, 0.05 + number % 10 / 10)])]
        report.add(frames[0])
        report.end(verdict_of(f"{number}.jpg", frames))
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 200_000
    assert "12 files" in page.text and "3 further files would make" in page.text
    assert [a["href"] for a in page.all("a")] == [
        *(f"#file-{n}" for n in (4, 5, 6, 7, 8, 9)),
        *["#files"] * 6,
    ]
    assert page.all("img")


def test_nothing_at_all(session: Session, tmp_path: Path) -> None:
    Report(Networks(session.model, session)).write(tmp_path / "a.html")
    assert "Nothing was judged." in check(tmp_path / "a.html").text


def test_names_tell_nothing_about_the_place(tmp_path: Path) -> None:
    here = tmp_path / "home" / "anna"
    name = names([str(here / "a" / "1.jpg"), str(here / "b" / "1.jpg"), "c/2.jpg", None, "-"])
    assert name(str(here / "a" / "1.jpg")) == str(Path("a") / "1.jpg")
    assert name("c/2.jpg") == "c/2.jpg"
    assert (name(None), name("-")) == ("a picture in memory", "standard input")
    assert names([str(here / "1.jpg")])(str(here / "1.jpg")) == "1.jpg"


# --- safe, bounded, whole ----------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(session: Session, tmp_path: Path, name: str) -> None:
    frames = clip_of(5)
    verdict = verdict_of(name, frames, notes=unreadable(f"odd: {name}"), left_out={name: 1})
    report = Report(Networks(session.model, session), "default", {name: name}, rule=name)
    for _ in range(2):
        for seen in frames:
            report.add(seen)
        report.end(verdict)
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<script" not in text
    for character in "\u202e\u2066\u200b\0\r":
        assert character not in text
    if "script" in name:
        assert name in page.text


def test_a_file_that_was_judged_is_not_replaced(session: Session, tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(b"precious")
    report = Report(Networks(session.model, session))
    report.end(verdict_of(str(source), [], (), status="unreadable", notes=unreadable("broken")))
    with pytest.raises(OutputError, match="is being judged: name another"):
        report.write(source)
    assert source.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1


def test_a_hostile_model_name(tmp_path: Path) -> None:
    model = random_detector(meta={"architecture": "<script>", "activation": ["<b>"]})
    frames = clip_of(3)
    page = written(Session(model), frames, verdict_of("x", frames), tmp_path / "a.html")
    assert "random (<script>, ['<b>'])" in page.text


def test_a_long_clip_stays_small(session: Session, tmp_path: Path) -> None:
    """20,000 frames, two persons, one of them away every now and then."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    rng = np.random.default_rng(0)
    report, frames = Report(Networks(session.model, session)), []
    for number in range(20_000):
        second = face(2, None if number % 50 > 20 else 0.4, 90, reason="blurred")
        values = float(rng.beta(4, 3)), float(rng.beta(3, 4))
        faces = [face(1, values[0])] + ([second] if number % 700 > 200 else [])
        seen = frame(number / 25, faces, pixels)
        report.add(seen)
        frames.append(seen)
    kept = report._seen
    for highlights in kept.highlights.values():
        assert len(highlights._kept) <= 8
    assert all(len(spans) <= 256 for spans in kept.left_out.values())
    report.write(tmp_path / "a.html", verdict_of("long.mp4", frames, (1, 2)))
    page = check(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 400_000
    assert len(page.all("img")) == 2 * 6 * 3


def test_of_a_pair_the_page_says_which_network_is_explained(tmp_path: Path) -> None:
    """The thorough one where it looked at every face, the fast one where there are many."""
    detector = Detector(small_pair(), threads=1)
    report = Report(detector.networks, detector.model)
    report.end(detector.check(PORTRAIT, on_frame=lambda seen, done: report.add(seen)))
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    assert "pushed the network (slow, the thorough one of the pair) towards fake" in page.text
    assert "from 1 judged frame." in page.text
    assert "both, a pair of networks" in page.text and "random" not in page.text

    crop = np.zeros((3, 32, 32), np.float32)
    frames = [frame(number / 4, [face(1, 0.7)._replace(cut=crop)]) for number in range(8)]
    verdict = verdict_of("clip.mp4", frames)
    (track,) = verdict.tracks
    moments = tuple(m._replace(thorough=n % 2 == 0) for n, m in enumerate(track.frames))
    tracks = (dataclasses.replace(track, frames=moments),)
    report = Report(detector.networks, detector.model)
    for seen in frames:
        report.add(seen)
    report.write(tmp_path / "b.html", dataclasses.replace(verdict, tracks=tracks))
    page = check(tmp_path / "b.html")
    assert "pushed the network (quick, the fast one of the pair) towards fake" in page.text
    assert "from 4 frames that both networks looked at, of 8 judged frames." in page.text


def test_what_was_judged_is_what_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network reacted to these very crops, not to others made like them."""
    judged: list[npt.NDArray[np.float32]] = []
    explained: list[npt.NDArray[np.float32]] = []
    run = Session.run

    def recorded(self: Session, x: Any, outputs: Any = None) -> Any:
        if x.shape[1:] == (3, 256, 256):  # not the finder's
            (judged if outputs is None else explained).extend(np.array(x))
        return run(self, x, outputs)

    detector = Detector(random_detector(), threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", recorded)
        report = Report(detector.networks, "default")
        verdict = detector.check(PORTRAIT, on_frame=lambda seen, done: report.add(seen))
        report.write(tmp_path / "a.html", verdict)
    assert len(judged) == len(explained) == 1
    assert np.array_equal(explained[0], judged[0])
    assert (np.rint(255 * judged[0]) != 255 * judged[0]).any()
    _, shown, beneath = images(tmp_path / "a.html")
    assert np.abs(shown - 255 * judged[0].transpose(1, 2, 0)).mean() < 4  # a JPEG
    assert np.array_equal(shown, beneath)


def images(path: Path) -> list[npt.NDArray[np.float64]]:
    """The pictures of a page."""
    found = []
    for picture in check(path).all("img"):
        data = base64.b64decode(picture["src"].partition(",")[2])
        found.append(np.asarray(Image.open(io.BytesIO(data)), np.float64))
    return found


def test_written_whole_or_not_at_all(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.html"
    path.write_text("from before")

    def full(*arguments: Any) -> Iterator[str]:
        yield "<!DOCTYPE html>"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_module, "document", full)
    with pytest.raises(OutputError, match=r"a\.html: cannot be written: No space left"):
        Report(Networks(session.model, session)).write(path)
    assert path.read_text() == "from before" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_read_is_not_the_pages_fault(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: Any, **options: Any) -> str:
        raise FileNotFoundError(2, "No such file or directory", "style.css")

    monkeypatch.setattr(Path, "read_text", gone)
    with pytest.raises(FileNotFoundError) as caught:
        Report(Networks(session.model, session)).write(tmp_path / "a.html")
    assert not isinstance(caught.value, OutputError) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "nowhere/a.html", "nul\0l.html"])
def test_places_that_cannot_be_written(session: Session, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        Report(Networks(session.model, session)).write(f"{tmp_path}/{name}")
    assert not list(tmp_path.iterdir())
