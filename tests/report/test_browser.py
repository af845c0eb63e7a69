"""Pages in a real browser: they render, ask for nothing, and can be read."""

from __future__ import annotations

import html
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import HOSTILE, check, clip_of, written
from support.browser import CONTRASTS, browser, opened
from support.detectors import random_detector
from support.seen import face, frame, verdict_of

from minimeso import Session
from minimeso.detect.pair import Networks
from minimeso.media.jumbf import Credentials
from minimeso.media.origin import Origin
from minimeso.notes import Note
from minimeso.report import Report

#: What would run, or ask for something, if it became an element.
MARKUP = (
    "</title></style><b id=mark><script>window.hacked = 1</script>"
    "<img src=http://127.0.0.1:9/x.png onerror='window.hacked = 2'><iframe src=//127.0.0.1:9>"
)


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(random_detector(), threads=1)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(session: Session, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    found = {kind: folder / f"{kind}.html" for kind in ("clip", "folder", "none", "hostile")}
    frames = clip_of(203, 101, faces=3)  # 2.0 seconds: the last tick stands at the edge
    verdict = verdict_of("clip.mp4", frames, (1, 2, 3), {"too_small": 12_345, "turned": 2})
    written(session, frames, verdict, found["clip"])
    made = {"A term that is longer than a phone is wide, as that of a pair": "its value"}
    report = Report(Networks(session.model, session), options=made)
    for name in HOSTILE:
        report.add(frame(0.0, [face(1, 0.5), face(2, 0.6, 100)]))
        report.end(verdict_of(name, [frame(0.0, [face(1, 0.5), face(2, 0.6, 100)])], (1, 2)))
    report.write(found["folder"])
    written(session, [], verdict_of("x.mp4", [], (), status="no_face"), found["none"])
    report = Report(Networks(session.model, session), HOSTILE[0], {MARKUP: MARKUP})
    for name in HOSTILE:
        seen = [frame(0.0, [face(1, 0.5)])]
        report.add(seen[0])
        unreadable = Note("unreadable", {"reason": MARKUP})
        verdict = verdict_of(name, seen, notes=(unreadable,))
        keys = ("container", "codec", "encoder", "software", "digital_source_type")
        said = dict.fromkeys(keys, name + MARKUP)
        origin = Origin(name, 5, MARKUP, **said, c2pa=Credentials(name + MARKUP, MARKUP))
        report.end(verdict, origin)
    report.write(found["hostile"])
    check(found["hostile"])
    return found


def test_what_strangers_wrote_is_shown_and_does_nothing(
    chromium: Any, pages: dict[str, Path]
) -> None:
    """Names, metadata and reasons: text that the browser shows as it is, and no element of it."""
    with opened(chromium, pages["hostile"], 1200) as seen:
        assert not seen.requests and not seen.complaints
        assert seen.page.evaluate(
            "window.hacked === undefined && !document.querySelector('script')"
        )
        assert seen.page.evaluate("[...document.images].every(i => i.src.startsWith('data:'))")
        assert not seen.page.evaluate(
            "document.querySelectorAll('b[id=mark], iframe, a[id]').length"
        )
        text = seen.page.content()
        assert text.count(html.escape(MARKUP, quote=False)) > 3 * len(HOSTILE)


def test_the_policy_stops_what_escaping_would_miss(chromium: Any, pages: dict[str, Path]) -> None:
    """The same page with an element of a stranger's in it: nothing runs, nothing is fetched."""
    text = pages["clip"].read_text(encoding="utf-8")
    broken = pages["clip"].with_name("broken.html")
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = MARKUP.replace("127.0.0.1:9", f"127.0.0.1:{server.getsockname()[1]}")
        broken.write_text(text.replace("</main>", f"{here}</main>"), encoding="utf-8")
        with opened(chromium, broken, 1200) as seen:
            assert seen.page.locator("b[id=mark]").count()  # it is an element now
            assert seen.page.evaluate("window.hacked === undefined") and seen.complaints
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()  # nobody called


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
