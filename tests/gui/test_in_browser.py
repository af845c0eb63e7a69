"""The page of ``minimeso gui`` in a real browser: files are dropped, chosen, stopped."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.browser import CONTRASTS, browser
from support.gui import SlowDetector, clip, png, served, wait_for

pytest.importorskip("tornado", reason="the extra gui is not installed")

from minimeso.gui.server import Server

#: Drops a file, of base64, on the page as a person would.
DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector("h1").dispatchEvent(
      new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""
HOSTILE = "<img src=x onerror=alert(1)>\u202e.png"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@contextmanager
def shown(chromium: Any, server: Server, width: int = 1000, scheme: str = "light") -> Iterator[Any]:
    """The page; in the end it has asked for nothing elsewhere, and nobody complained."""
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(server.opening if server._once else server.address)
    yield page
    others = [url for url in asked if not url.startswith((server.origin, "data:", "blob:"))]
    context.close()
    assert not others and not complaints


def drop(page: Any, name: str, data: bytes) -> None:
    page.evaluate(DROP, [name, base64.b64encode(data).decode()])


def choose(page: Any, *files: tuple[str, bytes]) -> None:
    page.set_input_files(
        "#files",
        [{"name": name, "mimeType": "video/mp4", "buffer": data} for name, data in files],
    )


def ended(page: Any, count: int) -> list[str]:
    """What the list says, when nothing is left to do."""
    ready = (
        f"document.querySelectorAll('#list tbody tr').length === {count}"
        " && !document.querySelector('#list button')"
    )
    wait_for(lambda: page.evaluate(ready))
    cells = page.locator("#list tbody td:nth-child(2)").all_inner_texts()
    return [" ".join(cell.split()) for cell in cells]


def test_a_picture_is_dropped(chromium: Any, tmp_path: Path) -> None:
    with served() as server, shown(chromium, server) as page:
        assert page.url == server.address  # by way of the one that opens once
        drop(page, HOSTILE, png())
        assert ended(page, 1) == ["fake p_fake 95.3 %"]
        assert page.locator("#list bdi").inner_text() == HOSTILE
        assert page.locator("#reports h2").inner_text() == HOSTILE.replace("\u202e", "\\u202e")
        assert page.locator("#reports .person h3").inner_text().startswith("Person 1: fake")
        assert "What this model cannot do" in page.locator("#explanations").inner_text()
        assert page.locator("#status").inner_text() == f"{HOSTILE}: fake, p_fake 95.3\xa0%"
        link = page.locator("#list tbody a").first.get_attribute("href")
        assert page.locator(link).count() == 1
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save the report").click()
        saved.value.save_as(tmp_path / "a.html")
        text = (tmp_path / "a.html").read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>") and "<script" not in text


def test_one_after_the_other(chromium: Any) -> None:
    """A clip, a damaged file and a picture at once; the newest report is the first."""
    with served() as server, shown(chromium, server) as page:
        choose(page, ("a.mp4", clip(50)), ("broken.mp4", clip(9)[:300]), ("c.png", png()))
        assert ended(page, 3) == ["fake p_fake 95.3 %", "unreadable", "fake p_fake 95.3 %"]
        assert page.locator("#reports h2").all_inner_texts() == ["c.png", "broken.mp4", "a.mp4"]
        assert page.locator("#reports .timeline").count() == 1
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
        assert len(set(ids)) == len(ids)
        assert page.locator("#explanations h2").count() == 4
        # the clip is still there, and so is what its timeline means
        assert "Timeline" in page.locator("#explanations .terms").inner_text()


def test_it_grows_and_is_stopped_by_keyboard(chromium: Any) -> None:
    with served(SlowDetector(0.15)) as server, shown(chromium, server) as page:
        choose(page, ("a.mp4", clip(500)), ("b.mp4", clip(500)))
        page.wait_for_selector("#so-far .timeline")
        assert page.locator("#growing h2").inner_text() == "a.mp4"
        assert page.locator("#so-far .big").inner_text().startswith("So far: ")
        first = page.locator("progress").evaluate("(bar) => bar.value")
        wait_for(lambda: page.locator("progress").evaluate("(bar) => bar.value") > first)
        assert page.title().endswith("a.mp4") and "%" in page.title()
        page.get_by_role("button", name="Stop b.mp4").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Stop a.mp4").focus()
        page.keyboard.press("Enter")
        assert ended(page, 2)[1] == "left out"
        assert "It was not looked at to its end" in page.locator("#reports").inner_text()
        assert not page.locator("#growing").is_visible() and page.title() == "minimeso"
        assert not server.running


def test_what_is_too_large_is_said(chromium: Any) -> None:
    with served(most_bytes=100) as server, shown(chromium, server) as page:
        choose(page, ("a.png", png()))
        assert "--max-upload" in ended(page, 1)[0]


def test_a_page_without_the_token_is_none(chromium: Any) -> None:
    with served() as server:
        page = chromium.new_page()
        for address in (server.address[:-2] + "/", server.origin, server.opening + "x"):
            assert page.goto(address).status == 403
            assert page.locator("body").inner_text().startswith("Not allowed")
        other = server.address.replace("127.0.0.1", "localhost")
        assert page.goto(other).status == 403
        page.close()


def test_no_other_page_can_send_or_read(chromium: Any) -> None:
    """Not even one that knows the address: from another server of this computer, and from none."""
    with served() as server, served() as other:
        page = chromium.new_page()
        for place in (other.origin + "/", "about:blank"):
            page.goto(place)
            for method in ("GET", "POST"):
                failed = page.evaluate(
                    "([url, method]) => fetch(url, { method }).then(() => false, () => true)",
                    [server.address + "files", method],
                )
                assert failed
        page.close()
        assert server.uploads._count == 0


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1000, "light")])
def test_it_can_be_read_and_reached(chromium: Any, width: int, scheme: str) -> None:
    with served() as server, shown(chromium, server, width, scheme) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        assert page.get_by_label("choose files").get_attribute("type") == "file"
        choose(page, ("a clip with quite a long name.mp4", clip(50)), ("b.txt", b"no"))
        ended(page, 2)
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 50 and not [found for found in contrasts if found[0] < 4.5]
        for _ in range(2):
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Save"
