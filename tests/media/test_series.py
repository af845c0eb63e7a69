"""Pictures that follow each other in a file for pictures: clips where PyAV reads them, else it is
said that only one was looked at."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, features
from support.clips import SIZE, clip_bytes, made, number_of, numbered, read

from minimeso import PictureError
from minimeso.media import kinds
from minimeso.media.jxl_size import jxl_moves
from minimeso.media.kinds import is_clip
from minimeso.media.pictures import read_picture
from minimeso.media.video import open_clip
from minimeso.notes import Note

pytest.importorskip("av")

ONE = (Note("one_frame_only"),)
ONLY_FIRST = (Note("first_frame_only"),)
#: ``numbered`` 0 to 3 as an animation, by libjxl (imagecodecs 2026.3.6).
MOVING_JXL = bytes.fromhex(
    "ff0acb044d00202608040100ac004b386898c283f7151404409df13fc68f312f1003802041520524c0ccd421e19e02"
    "24a09aaa1f47e72f0b0c08040100a4004b2824c6950a0a26002fecfae37f0cfa5c20088040127200c029ff766ac77c"
    "4e515d0d4f3961ee282e08040100bc004b2824c6950a0a26002fa827cec41863fc0b04010048920990d3e4df4e6d7e"
    "8729aac0f029b95bf29fe0d18faa970008040500a4004b2824c6950a0a26002fecfae37f0cfa5c2008804012720"
    "0c029ff766ac77c4e51d5044ca951ef282e"
)


def needs_avif() -> None:
    if "avif" not in features.get_supported_modules():
        pytest.skip("this Pillow writes no AVIF: before 11.3, or built without libavif")


def avif(mode: str = "RGB") -> bytes:
    needs_avif()
    file = io.BytesIO()
    images = [Image.fromarray(numbered(n)).convert(mode) for n in range(6)]
    images[0].save(file, "AVIF", save_all=True, append_images=images[1:], duration=200, quality=90)
    return file.getvalue()


def heif(brand: bytes) -> bytes:
    """A track only, as of a burst."""
    data = made(
        "mp4", "libx265", "yuv420p", frames=6, rate=5,
        options={"x265-params": "log-level=none", "tag": "hvc1"},
    )  # fmt: skip
    size = int.from_bytes(data[:4], "big")
    head = struct.pack(">I4s4sI", 28, b"ftyp", brand, 0) + b"hevc" + b"msf1" + b"iso8"
    assert size == len(head)  # else places in it would be wrong
    return head + data[size:]


def test_avif_is_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    for mode in ("RGB", "RGBA"):
        path.write_bytes(avif(mode))
        assert is_clip(path)
        times, numbers, clip = read(path, every_frame=True)
        assert numbers == list(range(6)) and times == pytest.approx([0.2 * n for n in range(6)])
        assert clip.remarks == () and clip.fault is None
    assert read_picture(path).notes == ONLY_FIRST


@pytest.mark.parametrize("brand", [b"msf1", b"hevc"])
def test_heif_is_a_clip(tmp_path: Path, brand: bytes) -> None:
    """It was a HEIF file "with a damaged or unusual header"."""
    path = tmp_path / "a.heics"
    path.write_bytes(heif(brand))
    assert is_clip(path)
    times, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(6)) and times == pytest.approx([0.2 * n for n in range(6)])
    assert clip.remarks == () and clip.fault is None
    pytest.importorskip("pillow_heif")
    with pytest.raises(PictureError, match=r"none by itself: read it as a clip.*\[video\]"):
        read_picture(path)


def test_without_pyav_it_is_its_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "has_pyav", lambda: False)
    path = tmp_path / "a.avif"
    path.write_bytes(avif())
    assert not is_clip(path)
    picture = read_picture(path)
    assert number_of(picture.pixels) == 0 and picture.notes == ONLY_FIRST


def test_a_picture_beside_which_some_follow_each_other_is_a_picture(tmp_path: Path) -> None:
    """As its first brand says."""
    data = avif()
    path = tmp_path / "a.avif"
    path.write_bytes(data[:8] + b"avif" + data[12:])
    assert not is_clip(path)
    assert read_picture(path).notes == ONE
    with pytest.raises(PictureError, match=r"a picture \(AVIF\), no clip"):
        open_clip(path)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_single_pictures_are_pictures(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    else:
        needs_avif()
    Image.fromarray(numbered(0)).save(path, kind)
    assert not is_clip(path) and read_picture(path).notes == ()


@pytest.mark.parametrize("in_boxes", [False, True])
def test_jpeg_xl_that_moves(tmp_path: Path, in_boxes: bool) -> None:
    """Its plugin says that there is one picture, and gives the last."""
    pytest.importorskip("pillow_jxl")
    data = MOVING_JXL
    if in_boxes:
        data = (
            b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
            + struct.pack(">I4s", len(data) + 8, b"jxlc") + data
        )  # fmt: skip
    path = tmp_path / "a.jxl"
    path.write_bytes(data)
    picture = read_picture(path)
    assert number_of(picture.pixels) in (0, 3) and picture.pixels.shape == (*SIZE[::-1], 3)
    assert picture.notes == ONE and not is_clip(path)
    Image.fromarray(numbered(0)).save(path, "JXL")
    assert read_picture(path).notes == ()


def bits(*fields: tuple[int, int]) -> io.BytesIO:
    """A header of values of so many bits each, the lowest bit first."""
    number = place = 0
    for value, count in fields:
        number |= value << place
        place += count
    return io.BytesIO(b"\xff\x0a" + number.to_bytes(40, "little"))


def test_whether_a_jpeg_xl_moves_stands_behind_what_need_not_be_there() -> None:
    size = ((1, 1), (3, 5), (0, 3), (7, 5))
    ratio = ((1, 1), (3, 5), (1, 3))
    small = ((0, 1), (2, 2), (0, 10), (0, 3), (3, 2), (0, 12))
    eights = ((1, 1), (0, 2), (1, 3))
    more, turned, none, there = ((0, 1), (1, 1)), ((7, 3),), ((0, 1),), ((1, 1),)
    for moves in (False, True):
        end = ((int(moves), 1), (0, 20))
        for fields in (
            (*size, *more, *turned, *none, *none, *end),
            (*ratio, *more, *turned, *there, *size, *none, *end),
            (*size, *more, *turned, *there, *ratio, *there, *small, *end),
            (*size, *more, *turned, *none, *there, *eights, *end),
        ):
            assert jxl_moves(bits(*fields)) == moves
    assert not jxl_moves(bits(*size, (1, 1), (63, 6)))
    assert not jxl_moves(bits(*size, (0, 1), (0, 1), (63, 6)))


def test_a_clip_in_such_a_file_is_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip_bytes())
    assert is_clip(path)
