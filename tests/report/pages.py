"""Reading pages as strictly as the tests of the report need to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from support.seen import face, frame

from minimeso import Session, Verdict
from minimeso.detect.pair import Networks
from minimeso.detect.verdict import SeenFrame
from minimeso.report import Report

VOID = {"meta", "img", "br", "rect", "path"}
#: Names of files that a page must survive.
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
    report = Report(Networks(session.model, session), "default", {"Frames": "5 a second"})
    for seen in frames:
        report.add(seen)
    report.write(path, verdict)
    return check(path)
