"""The page that judges pictures in the browser: same faces and same bits, and nothing leaves it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.browser import Seen, browser, opened
from support.detectors import constant_detector

from minimeso import FaceFinder, Session
from minimeso.detect.framing import cut, square, whole
from minimeso.engine import find_model
from minimeso.export import crop_files, write
from tools.errors import ToolError
from tools.web.__main__ import main
from tools.web.page import make_page

MODEL = find_model("mesoinception4-mish")
#: WebAssembly has no fused multiply-add: the class of plain C.
ISA = "scalar"
MINUTE = 60_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        pytest.skip("no clang with wasm-ld (Debian: apt install clang lld)")
    path = tmp_path_factory.mktemp("web") / "judge.html"
    path.write_text(make_page(MODEL), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def seen(page: Path) -> Iterator[Seen]:
    with browser() as opener, opened(opener, page, 800) as found:
        found.page.wait_for_selector("#state[data-ready]", timeout=MINUTE)
        yield found


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without loss, so that browser and Pillow see the same pixels."""
    path = tmp_path_factory.mktemp("pictures") / "portrait.png"
    sample = Path(__file__).parents[2] / "minimeso" / "samples" / "portrait.jpg"
    Image.open(sample).convert("RGB").save(path)
    return path


def shown(seen: Seen, path: Path) -> list[dict[str, Any]]:
    """The faces that the page shows for a picture."""
    seen.page.evaluate("delete document.getElementById('state').dataset.done")
    seen.page.set_input_files("#file", path)
    seen.page.wait_for_selector("#state[data-done]", timeout=MINUTE)
    return faces(seen)


def faces(seen: Seen) -> list[dict[str, Any]]:
    script = "items => items.map(item => [JSON.parse(item.dataset.box), +item.dataset.pFake])"
    found = seen.page.eval_on_selector_all("#faces li", script)
    return [{"box": box, "p_fake": np.float32(p_fake)} for box, p_fake in found]


def judged(picture: Any, box: Any) -> np.float32:
    crop = cut(picture, box, (256, 256), MODEL.framing or {}, ISA)
    return np.float32(Session(MODEL, isa=ISA, threads=1).run(crop)[0])


def test_a_face_is_found_and_judged_as_in_python(seen: Seen, portrait: Path) -> None:
    picture = np.asarray(Image.open(portrait))
    (face,) = shown(seen, portrait)
    (wanted,) = FaceFinder(doubt=False, isa=ISA, threads=1).find(picture)
    np.testing.assert_allclose(face["box"], square(wanted, MODEL.framing or {}), rtol=1e-9)
    assert face["p_fake"] == judged(picture, face["box"])
    said = seen.page.inner_text("#faces")
    assert f"{100 * face['p_fake']:.1f} %" in said


def test_a_picture_without_a_face_can_be_judged_whole(seen: Seen, tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (40, 52, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "noise.png")
    assert shown(seen, tmp_path / "noise.png") == []
    seen.page.click("#whole")
    (face,) = faces(seen)
    assert face["p_fake"] == judged(picture, whole(picture))


def test_what_is_no_picture_is_said(seen: Seen, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    shown(seen, tmp_path / "no.png")
    assert "no picture" in seen.page.inner_text("#state")


def test_nothing_is_sent_and_nothing_may_be(seen: Seen, page: Path) -> None:
    assert seen.requests == []
    assert seen.complaints == []
    text = page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'") and "unsafe-inline" not in policy
    assert json.loads(re.findall(r'id="facts">(.*?)</script>', text)[0])["combination"] is None
    refused = "fetch('https://example.org/').then(() => 'sent', () => 'refused')"
    assert seen.page.evaluate(refused) == "refused"


#: Networks come late; then the first picture is decoded later than the second.
LATE = """
const instantiate = WebAssembly.instantiate, decode = createImageBitmap;
let pictures = 0;
const wait = (time) => new Promise((done) => setTimeout(done, time));
WebAssembly.instantiate = (...given) => wait(150).then(() => instantiate(...given));
window.createImageBitmap = async (file, options) => {
  const found = await decode(file, options);
  await wait(++pictures === 2 ? 150 : 0);
  return found;
};
"""


def test_pictures_that_come_too_early(seen: Seen, page: Path, portrait: Path) -> None:
    """One before the networks were there was refused with words about a picture of undefined; of
    two in a row that was judged which took longer."""
    noise = np.random.default_rng(1).integers(0, 256, (40, 52, 3)).astype(np.uint8)
    Image.fromarray(noise).save(portrait.with_name("noise.png"))
    other = seen.page.context.new_page()
    other.add_init_script(LATE)
    other.goto(page.as_uri())
    early = Seen(other, [], [])
    assert len(shown(early, portrait)) == 1
    other.set_input_files("#file", portrait)
    assert shown(early, portrait.with_name("noise.png")) == []
    other.wait_for_timeout(250)
    assert faces(early) == [] and other.evaluate("document.querySelector('canvas').width") == 52
    other.close()


def test_the_headers_of_the_page_are_all_that_exports_ask_for(tmp_path: Path) -> None:
    """`floor` was missing: clang 16 and newer refuse what is not declared."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc on the path")
    write(crop_files(), tmp_path)
    here = Path(__file__).parents[2] / "tools" / "web" / "libc"
    own = subprocess.run(
        ["gcc", "-print-file-name=include"], capture_output=True, text=True, check=True
    ).stdout.strip()
    done = subprocess.run(
        ["gcc", "-std=c11", "-ffreestanding", "-nostdinc", "-isystem", own, "-isystem", here,
         "-Wall", "-Werror", "-DMINIMESO_SCALAR", "-fsyntax-only",
         tmp_path / "minimeso_crop.c"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_no_page_can_be_made_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line; a network for pictures that are no squares was judged by a part of one."""
    for name, why in (("no-such", "no bundled model"), ("yunet-s", "is no detector")):
        assert main([str(tmp_path / "page.html"), "--model", name]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"web: {name}: ") and why in said and said.count("\n") == 1
    wide = constant_detector(1.0, framing={"resample": "bilinear", "side": 2.3})
    with pytest.raises(ToolError, match="its faces are 8 x 6, a page cuts squares"):
        make_page(wide)
