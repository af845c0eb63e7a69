"""The report: what stands on the page, that it is safe, bounded and whole, and how it looks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import browser, opened
from detectors import constant_detector, random_detector, saved
from hypothesis import given
from hypothesis import strategies as st
from seen import face, frame, track_of, verdict_of

from minimeso import OutputError, Session, Verdict, save_model
from minimeso import report as report_module
from minimeso.detect.verdict import Moment, SeenFrame
from minimeso.report import Report
from minimeso.report.card import as_html, limits
from minimeso.report.highlights import Collector, Highlights, Shot
from minimeso.report.page import names
from minimeso.report.phrases import clock, percent, shown
from minimeso.report.timeline import scale, timeline

VOID = {"meta", "img", "br", "rect", "path"}
HOSTILE = (
    "<script>alert(1)</script>.mp4",
    "a\" onload=\"alert(1)' onerror='alert(2).mp4",
    "new\nline\r\t\0.mp4",
    "\u202egpj.exe\u2066\u200b.mp4",
    "&lt;b&gt;&amp;.mp4",
    "\udcff\udc80.mp4",
    "http://example.com/url(x).mp4",
    "x" * 3000 + ".mp4",
)


class Page(HTMLParser):
    """Reads a page as strictly as a test needs to."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check(path: Path) -> Page:
    """Parse a page and check what every page promises."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert "default-src 'none'" in policy["content"] and "script" not in policy["content"]
    forbidden = {"script", "link", "iframe", "object", "embed", "form", "base", "video", "audio"}
    assert not forbidden & {tag for tag, _ in page.tags}
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "action", "poster", "srcset", "xlink:href"):
            value = attributes.get(name)
            assert (
                value is None
                or value.startswith("data:image/jpeg;base64,")
                or (tag == "a" and value[0] == "#" and value[1:] in ids)
            ), (tag, name, value)
        assert "url(" not in attributes.get("style", "")
        if tag == "img":
            assert attributes["alt"].strip()
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1 and "url(" not in style[0] and "@import" not in style[0]
    return page


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(random_detector(), threads=1)


def clip_of(count: int = 30, rate: float = 5, faces: int = 1) -> list[SeenFrame]:
    """Persons 1 to ``faces``, the last of them the most fake."""
    return [
        frame(
            number / rate,
            [
                face(n, 0.2 + 0.6 * n / faces + 0.1 * np.sin(number + n), 20 + 30 * n % 100)
                for n in range(1, faces + 1)
            ],
        )
        for number in range(count)
    ]


def written(session: Session, frames: Sequence[SeenFrame], verdict: Verdict, path: Path) -> Page:
    report = Report(session, "default", {"Frames": "5 a second"})
    for seen in frames:
        report.add(seen)
    report.write(path, verdict)
    return check(path)


# --- what stands on the page -------------------------------------------------------------


def test_a_clip_with_one_person(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    page = written(session, frames, verdict_of("a clip.mp4", frames), tmp_path / "a.html")
    assert "a clip.mp4" in page.text and "Person 1: fake" in page.text
    assert "What it means" in page.text and "What it does not mean" in page.text
    assert "95 % interval" in page.text.replace("\xa0", " ")
    assert "30 frames read, 30 of them with a face that was judged; 1 person" in page.text
    assert "shows influence and proves nothing" in page.text
    assert "real up to 40" in page.text and "fake from 60" in page.text
    assert "What this model cannot do" in page.text and "no proof" in page.text
    assert "Frames5 a second" in page.text and "Programminimeso" in page.text
    pictures = page.all("img")
    assert len(pictures) == 6 * 3  # frame, crop, crop beneath the heat map
    assert any(p["alt"].startswith("Frame at 0:0") for p in pictures)
    assert any(p["alt"].startswith("Heat map on the face: most towards") for p in pictures)
    assert page.text.count("Most suspicious") == 1 == page.text.count("Least suspicious")


def test_persons_most_fake_first(session: Session, tmp_path: Path) -> None:
    frames = clip_of(faces=3)
    page = written(session, frames, verdict_of("c.mp4", frames, (1, 2, 3)), tmp_path / "a.html")
    assert re.findall(r"Person (\d):", page.text) == ["3", "2", "1"]
    assert "person 3, the most suspicious of 3 persons," in page.text
    assert [a["href"] for a in page.all("a")] == [f"#file-1-person-{n}" for n in (3, 2, 1)]


def test_more_persons_than_a_page_shows(session: Session, tmp_path: Path) -> None:
    numbers = range(1, 41)
    frames = clip_of(count=6, faces=40)
    verdict = verdict_of("crowd.mp4", frames, list(numbers))
    page = written(session, frames, verdict, tmp_path / "a.html")
    shown_persons = re.findall(r"Person (\d+):", page.text)
    assert len(shown_persons) == 24 and shown_persons[0] == str(verdict.tracks[0].id)
    assert "Further persons: person" in page.text
    assert "Where frames are missing they were not kept" in page.text
    first = re.search(r'id="file-1-person-40".*?</article>', (tmp_path / "a.html").read_text())
    assert first and first[0].count("<img") == 3 * 3  # one second: three frames lie apart


def test_a_picture_has_no_timeline(session: Session, tmp_path: Path) -> None:
    frames = [frame(0.0, [face(1, 0.3), face(2, 0.9, 90), face(3, None, 60, reason="blurred")])]
    verdict = verdict_of("p.jpg", frames, (1, 2), {"blurred": 1})
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert re.findall(r"Person (\d):", page.text) == ["2", "1"]
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
            {"status": "unreadable", "note": "not a clip: <no> format"},
            ["Unreadable", "nothing is known about it", "Note: not a clip: <no> format."],
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


def test_a_file_that_is_cut_short(session: Session, tmp_path: Path) -> None:
    frames = clip_of()
    verdict = verdict_of(
        "x.mp4", frames, status="partial", note="damaged after 0:05; left out: 3 dark"
    )
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "cut short or damaged. Only what could be read" in page.text
    assert "Note: damaged after 0:05." in page.text and "Person 1: fake" in page.text


def test_an_interval_that_crosses_the_middle(session: Session, tmp_path: Path) -> None:
    frames = clip_of(2)
    track = dataclasses.replace(
        track_of(1, frames), p_fake=0.9, interval=(0.45, 0.99), verdict="uncertain"
    )
    verdict = verdict_of("x.mp4", frames, tracks=(track,), verdict="uncertain", p_fake=0.9)
    page = written(session, frames, verdict, tmp_path / "a.html")
    assert "p_fake lies beyond a threshold, but the interval" in page.text


def test_gaps_and_what_was_left_out_are_drawn(session: Session, tmp_path: Path) -> None:
    turned = face(1, None, reason="turned")
    kinds = [[face(1, 0.5)]] * 10 + [[turned]] * 10 + [[]] * 10 + [[turned]] + [[face(1, 0.5)]] * 9
    frames = [frame(number / 5, faces) for number, faces in enumerate(kinds)]
    written(session, frames, verdict_of("x.mp4", frames), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    lane = re.search(r'<div class="lane".*?</div>', text)
    assert lane
    assert re.findall(r'class="(\w+)" title="([\w :]+)"', lane[0]) == [
        ("judged", "judged"), ("out", "left out: turned"), ("out", "left out: turned"),
        ("judged", "judged"),
    ]  # fmt: skip
    curve = re.search(r'class="curve" d="([^"]*)"', text)
    assert curve and curve[1].count("M") == 2


def test_a_model_without_a_map(tmp_path: Path) -> None:
    graph_free = Session(one_layer_detector(), threads=1)
    frames = clip_of()
    page = written(graph_free, frames, verdict_of("x.mp4", frames), tmp_path / "a.html")
    assert "No heat map" in page.text and "Heat map:" not in page.text
    assert len(page.all("img")) == 6 * 2


def one_layer_detector() -> Any:
    """A detector that ends in a softmax before its sigmoid, so no gradient is worked out."""
    from minimeso import Graph, Model

    graph = Graph("other")
    x = graph.node("global_avg_pool2d", graph.input("image", (3, 6, 8)), name="mean")
    x = graph.node("linear", graph.node("flatten", x), name="fc", out_features=1)
    graph.output(graph.node("sigmoid", graph.node("softmax", x), name="p_fake"))
    weights = {"fc.weight": np.ones((1, 3), np.float32), "fc.bias": np.zeros(1, np.float32)}
    model = constant_detector(0.0)
    return Model("other", graph, weights, {}, model.framing, None, model.thresholds)


# --- several files -----------------------------------------------------------------------


def test_a_folder(session: Session, tmp_path: Path) -> None:
    report = Report(session)
    frames = clip_of()
    for name, verdict in (
        ("a/one.mp4", verdict_of("a/one.mp4", frames)),
        ("a/bad.mp4", verdict_of("a/bad.mp4", [], (), status="unreadable", note="broken")),
        ("a/empty.jpg", verdict_of("a/empty.jpg", [], (), status="no_face")),
    ):
        for seen in frames if name == "a/one.mp4" else []:
            report.add(seen)
        report.end(verdict)
    report.write(tmp_path / "a.html")
    page = check(tmp_path / "a.html")
    assert "3 files" in page.text and "1 fake, 1 no face, 1 unreadable." in page.text
    assert [a["href"] for a in page.all("a")] == [
        "#file-1", "#file-2", "#file-3", "#files", "#files", "#files",
    ]  # fmt: skip


def test_many_files_stay_small(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "MOST_SECTIONS", 6)
    monkeypatch.setattr(report_module, "MOST_ROWS", 9)
    monkeypatch.setattr(report_module, "MOST_PICTURES", 100_000)
    report = Report(session)
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
    Report(session).write(tmp_path / "a.html")
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
    verdict = verdict_of(name, frames, note=f"odd: {name}", left_out={name: 1})
    report = Report(session, "default", {name: name}, rule=name)
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
    report = Report(session)
    report.end(verdict_of(str(source), [], (), status="unreadable", note="broken"))
    with pytest.raises(OutputError, match="is being judged: name another"):
        report.write(source)
    assert source.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1


def test_a_hostile_model_name(tmp_path: Path) -> None:
    model = random_detector(meta={"architecture": "<script>", "activation": ["<b>"]})
    frames = clip_of(3)
    page = written(Session(model), frames, verdict_of("x", frames), tmp_path / "a.html")
    assert "random (<script>, ['<b>'])" in page.text


@given(st.text())
def test_shown_text_is_escaped_and_printable(text: str) -> None:
    escaped = shown(text)
    assert not set("<>\"'") & set(escaped)
    assert all(c.isprintable() or c == "\N{NO-BREAK SPACE}" for c in escaped)


def test_a_long_clip_stays_small(session: Session, tmp_path: Path) -> None:
    """20,000 frames, two persons, one of them away every now and then."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    rng = np.random.default_rng(0)
    report, frames = Report(session), []
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
    assert all(len(spans) <= 256 for spans in kept.spans.values())
    report.write(tmp_path / "a.html", verdict_of("long.mp4", frames, (1, 2)))
    page = check(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 400_000
    assert len(page.all("img")) == 2 * 6 * 3


def shot(t: float, p_fake: float) -> Shot:
    nothing = (0.0, 0.0, 1.0, 1.0)
    return Shot(t, p_fake, nothing, nothing, (), (1, 1), b"", np.zeros((1, 1, 3), np.uint8))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0.03, 30))
def test_highlights(values: list[float], step: float) -> None:
    """The extremes are among them, none twice, all apart, and memory is bounded."""
    highlights = Highlights()
    for number, p_fake in enumerate(values):
        t = number * step
        highlights.offer(t, p_fake, lambda t=t, p=p_fake: shot(t, p))  # type: ignore[misc]
        assert len(highlights._kept) <= 8
    most, least = highlights.pick(3)
    assert most[0].p_fake == max(values)
    assert highlights.mean == pytest.approx(np.mean(values))
    times = [s.t for s in most + least]
    assert len(set(times)) == len(times)
    for group in (most, least):
        assert len(group) <= 3
        apart = [abs(a.t - b.t) for a in group for b in group if a is not b]
        assert all(distance >= 1 for distance in apart)
    if len(values) > 1 and least:
        assert least[0].p_fake <= sorted(values)[min(1, len(values) - 1)] or len(values) < 9


def test_a_peak_is_one_picture() -> None:
    """Five neighbours at the top are one moment."""
    highlights = Highlights()
    for number in range(500):
        p_fake = 0.9 + number / 1e4 if 200 <= number < 205 else 0.1 + number % 7 / 100
        highlights.offer(number / 25, p_fake, lambda t=number / 25, p=p_fake: shot(t, p))  # type: ignore[misc]
    most, _ = highlights.pick(3)
    assert [s.p_fake > 0.8 for s in most] == [True, False, False]


def test_many_persons_share_the_memory() -> None:
    collector = Collector((8, 8), {"resample": "nearest"})
    for number in range(60):
        collector.add(frame(number / 5, [face(n, n / 60) for n in range(1, 41)]))
    assert sorted(collector.highlights) == list(range(33, 41))


def test_a_person_who_is_seen_too_late_for_memory_gets_in_if_suspicious() -> None:
    collector = Collector((8, 8), {"resample": "nearest"})
    collector.add(frame(0.0, [face(n, 0.5) for n in range(1, 9)]))
    collector.add(frame(1.0, [face(20, 0.4), face(21, 0.9)]))
    assert 21 in collector.highlights and 20 not in collector.highlights


def test_nothing_holds_on_to_a_frame(session: Session) -> None:
    """The caller may use the pixels again: what is kept is a copy."""
    pixels = np.full((120, 160, 3), 200, np.uint8)
    report = Report(session)
    report.add(frame(0.0, [face(1, 0.5)], pixels))
    pixels[:] = 0
    (kept,) = report._seen.highlights[1].pick(1)[0]
    assert kept.crop.min() == 200


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
        Report(session).write(path)
    assert path.read_text() == "from before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["", "nowhere/a.html", "nul\0l.html"])
def test_places_that_cannot_be_written(session: Session, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError):
        Report(session).write(f"{tmp_path}/{name}")
    assert not list(tmp_path.iterdir())


# --- parts -------------------------------------------------------------------------------


def test_limits_come_from_the_card(tmp_path: Path) -> None:
    text = limits("default")
    assert text and text.startswith("- ") and "##" not in text
    path = saved(random_detector(), tmp_path)
    assert limits(path) is None
    (tmp_path / "random.md").write_text("# x\n## What it cannot do\n\n- A `b`\n  c\n\nD\n## E\nf\n")
    assert limits(path) == "- A `b`\n  c\n\nD"
    assert limits(random_detector()) is None
    (tmp_path / "random.md").write_bytes(b"\xff" * 100)
    assert limits(path) is None
    assert limits("no\0model") is None


def test_limits_as_html() -> None:
    html = as_html("- A `<b>` **strong**\n  on\n- C\n\nD\nE")
    assert html == (
        "<ul><li>A <code>&lt;b&gt;</code> <strong>strong</strong> on</li><li>C</li></ul><p>D E</p>"
    )


def test_a_bundled_model_saved_elsewhere_has_no_card(tmp_path: Path) -> None:
    model = dataclasses.replace(random_detector(), name="default")
    save_model(model, tmp_path / "other.npz")
    assert limits(tmp_path / "other.npz") is None


@pytest.mark.parametrize(
    ("p", "text"),
    [(0, "0 %"), (1, "1e2 %"), (0.8, "80 %"), (0.861, "86.1 %"), (1e-9, "below 0.1 %"),
     (1 - 1e-9, "above 99.9 %"), (0.1 + 0.2, "30 %")],
)  # fmt: skip
def test_percent(p: float, text: str) -> None:
    assert percent(p).replace("\xa0", " ") == text.replace("1e2", "100")


@pytest.mark.parametrize(
    ("t", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (4.24, "0:04.2"), (3723.4, "1:02:03.4")]
)
def test_clock(t: float, text: str) -> None:
    assert clock(t) == text


def test_scale_in_corners() -> None:
    for p_fake in (0.0, 1.0, 0.5):
        for thresholds in ({"real": 0.0, "fake": 1.0}, {"real": 0.5, "fake": 0.5}):
            Page(scale(p_fake, (0.0, 1.0), thresholds))


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1)), min_size=1, max_size=600),
    st.floats(0, 1e5),
)
def test_timeline_of_anything(points: list[tuple[float, float]], end: float) -> None:
    moments = [Moment(t, (0, 0, 1, 1), p) for t, p in sorted(points)]
    text = timeline(moments, 0.5, (0.4, 0.6), {"real": 0.2, "fake": 0.8}, end, (), (), "one")
    Page(text)
    assert len(text) < 60_000 and "nan" not in text and "inf" not in text.replace("interval", "")


# --- in a browser ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(session: Session, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    found = {kind: folder / f"{kind}.html" for kind in ("clip", "folder", "none")}
    frames = clip_of(203, 101, faces=3)  # 2.0 seconds: the last tick stands at the edge
    verdict = verdict_of("clip.mp4", frames, (1, 2, 3), {"too_small": 12_345, "turned": 2})
    written(session, frames, verdict, found["clip"])
    report = Report(session)
    for name in HOSTILE:
        report.add(frame(0.0, [face(1, 0.5), face(2, 0.6, 100)]))
        report.end(verdict_of(name, [frame(0.0, [face(1, 0.5), face(2, 0.6, 100)])], (1, 2)))
    report.write(found["folder"])
    written(session, [], verdict_of("x.mp4", [], (), status="no_face"), found["none"])
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("kind", ["clip", "folder", "none"])
def test_it_renders_and_asks_for_nothing(
    chromium: Any, pages: dict[str, Path], kind: str, width: int, scheme: str
) -> None:
    with opened(chromium, pages[kind], width, scheme) as seen:
        assert not seen.requests and not seen.complaints
        root = "document.documentElement"
        assert seen.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
        assert seen.page.title().startswith("minimeso: ")
        assert seen.page.locator("h1").inner_text() == "Was a face swapped?"
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        assert seen.page.evaluate(broken) == 0
        if kind == "clip":
            assert seen.page.evaluate("document.images.length") > 20
            plot = seen.page.locator(".plot svg").first.bounding_box()
            assert plot["width"] > width / 2 and plot["height"] > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(chromium: Any, pages: dict[str, Path], scheme: str) -> None:
    """WCAG AA: 4.5 for every text on the colour behind it."""
    with opened(chromium, pages["clip"], 360, scheme) as seen:
        found = seen.page.evaluate(CONTRASTS)
    assert len(found) > 50
    assert not [entry for entry in found if entry[0] < 4.5]


#: For every text: contrast with the nearest opaque background, and the beginning of the text.
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgb(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest("svg")) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    found.push([ratio, walker.currentNode.data.slice(0, 40)]);
  }
  return found;
}"""
