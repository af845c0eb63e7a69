"""Pictures that cannot be read, or only in part: each is answered, and nothing hangs."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import random
import socket
import struct
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, PngImagePlugin
from support.detectors import constant_detector, photo, png_header
from support.odd_files import png
from support.pictures import encoded, picture_file, pixels

from minimeso import Detector, PictureError
from minimeso.media import memory_limit, pictures
from minimeso.media.origin import origin_of
from minimeso.media.pictures import read_picture
from minimeso.notes import Note

PHOTO = photo()
HEIGHT, WIDTH = PHOTO.shape[:2]
GREY = PHOTO[:, :, 0]


def refused(path: object, reason: str) -> None:
    """A PictureError that names the file, the reason and a remedy."""
    with pytest.raises(PictureError) as raised:
        read_picture(path)
    name, found, remedy = str(raised.value).rsplit(": ", 2)
    assert name.startswith(str(path)) and reason in f"{name}: {found}" and remedy
    assert "\n" not in found


def test_text_named_jpg(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("Dear Sir or Madam,\n" * 100)
    refused(path, "not a picture")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    refused(path, "empty")


def test_missing_path(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.jpg", "No such file")
    refused("", "No such file")
    refused("a\0b.jpg", "null")
    with pytest.raises(PictureError, match="save what is at the address and name that file"):
        read_picture("https://example.org/a.jpg")


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "a.jpg", "Not a directory")


def test_folder(tmp_path: Path) -> None:
    refused(tmp_path, "a folder")


def test_no_permission(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "secret.png")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    refused(path, "Permission denied")


def test_no_permission_whoever_runs_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "secret.png")

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    refused(path, "Permission denied")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_pipes_devices_and_sockets_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "a pipe, device or socket")
    refused("/dev/zero", "a pipe, device or socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "s.jpg"))
        refused(tmp_path / "s.jpg", "a pipe, device or socket")


def test_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    refused(tmp_path / "a.jpg", os.strerror(errno.ELOOP))


def test_decompression_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    refused(path, "taken for a bomb")


def test_large_but_no_bomb_gives_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO[:, :, 0].size - 1)
    assert pixels(path).shape == PHOTO.shape  # warnings are errors in the tests
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PHOTO[:, :, 0].size // 2 - 1)
    refused(path, "taken for a bomb")


def test_bomb_in_text_chunks(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    refused(picture_file(tmp_path, Image.fromarray(PHOTO), "text.png", pnginfo=info), "header")


def test_postscript_starts_no_program(tmp_path: Path) -> None:
    refused(picture_file(tmp_path, Image.fromarray(PHOTO), "photo.eps"), "not a picture")


@pytest.mark.parametrize(
    ("start", "format", "remedy"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(100), "HEIF", "minimeso[photos]"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix" + bytes(100), "HEIF", "minimeso[photos]"),
        (b"\xff\x0a" + bytes(100), "JXL", "pillow-jxl-plugin"),
    ],
)
def test_what_a_package_is_missing_for_names_it(
    tmp_path: Path, start: bytes, format: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("HEIF", "JXL"):
        monkeypatch.delitem(Image.OPEN, name, raising=False)
    (tmp_path / "phone.jpg").write_bytes(start)
    with pytest.raises(PictureError) as raised:
        read_picture(tmp_path / "phone.jpg")
    assert f"a photo in {format}, for which a package is missing: pip install" in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize("cut", [40, 300, 0.5, 0.9])
def test_a_heif_that_is_cut_short(tmp_path: Path, cut: float) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    pillow_heif.from_pillow(Image.fromarray(PHOTO)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut if cut > 1 else cut * len(whole))])
    with pytest.raises(PictureError, match=r"a\.heic: .*: copy it again, or save it"):
        read_picture(path)


def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")

    def fail(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", fail)
    refused(path, "memory")


def test_what_pillows_decoders_say_of_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole picture was judged by its grey rest, as one that was cut short."""
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")
    load = ImageFile.ImageFile.load

    def fail(self: ImageFile.ImageFile) -> None:
        is_first = bool(self.tile)
        load(self)
        if is_first:
            raise OSError("out of memory error when reading image file")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    refused(path, "memory")


def test_no_room_for_pillow_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended the command, and no other file was judged."""
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")
    monkeypatch.setitem(sys.modules, "PIL", None)  # whoever imports it gets an ImportError
    for module in (memory_limit, pictures):
        monkeypatch.setattr(module, "is_scarce", lambda *_: True)
    refused(path, "memory")


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "JXL", "none"])
def test_decoders_that_do_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Where memory is scarce a picture is not called damaged, nor a package missing."""
    start = {"AVIF": b"\0\0\0\x14ftypavif", "JXL": b"\xff\x0a"}.get(kind, b"\0\0\0\x14ftypheic")
    path = tmp_path / "photo"
    path.write_bytes(start + bytes(40))

    def fail(*_: object) -> None:
        raise RuntimeError("cannot load this image")

    monkeypatch.setattr(pictures, "opener", lambda _: None if kind == "none" else fail)
    monkeypatch.setattr("minimeso.media.jxl_size.jxl_size", lambda _: (8, 8))
    refused(path, "is missing" if kind == "none" else "cannot load this image")
    for module in (memory_limit, pictures):
        monkeypatch.setattr(module, "is_scarce", lambda *_: True)
    refused(path, "too large for the memory of this machine")


def test_files_are_closed(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no list of open files here")
    paths = [tmp_path / name for name in ("text.jpg", "cut.jpg", "bomb.png")]
    paths[0].write_text("text" * 10)
    paths[1].write_bytes(encoded("JPEG")[:900])
    paths[2].write_bytes(png_header(60_000, 60_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in paths:
        try:
            read_picture(path)
        except PictureError as error:
            kept = error  # an exception that is kept must not keep the file
    assert len(list(Path("/proc/self/fd").iterdir())) == before and kept


#: Kind of file, and how it is written.
CUT = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("kind", "options"), CUT)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_truncated_file_is_partial(
    tmp_path: Path, kind: str, options: dict[str, Any], share: float
) -> None:
    data = encoded(kind, **options)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    picture = read_picture(path)
    assert not picture.complete and picture.notes[-1].code == "damaged_picture"
    assert picture.pixels.shape == (200, 160, 3)
    good = np.abs(picture.pixels.astype(np.int16) - photo(200, 160)).mean(axis=(1, 2)) < 12
    assert good.mean() > share * 0.5 or kind == "JPEG"
    first = -1 if kind == "BMP" else 0  # which row is written first
    assert good[first]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(("kind", "options"), [*CUT, ("WEBP", {}), ("JPEG2000", {})])
def test_cut_anywhere_is_partial_or_refused(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    data = encoded(kind, **options)
    path = tmp_path / "cut.jpg"
    steps = sorted({*range(1, 60, 3), *range(60, len(data), max(1, len(data) // 60))})
    for length in steps:
        path.write_bytes(data[:length])
        try:
            picture = read_picture(path)
        except PictureError as error:
            assert str(path) in str(error)
        else:
            assert picture.pixels.shape == (200, 160, 3)


def test_cut_before_the_first_pixel_is_unreadable(tmp_path: Path) -> None:
    data = encoded("JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: data.index(b"\xff\xda") + 14])  # start of scan, nothing after it
    refused(path, "nothing before that can be seen")
    path.write_bytes(data[: data.index(b"\xff\xda") - 20])
    refused(path, "JPEG")


def test_flipped_bytes(tmp_path: Path) -> None:
    generator = random.Random(3)
    path = tmp_path / "damaged.jpg"
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        data = encoded(kind)
        for _ in range(40):
            damaged = bytearray(data)
            for _ in range(4):
                damaged[generator.randrange(12, len(data))] = generator.randrange(256)
            path.write_bytes(damaged)
            try:
                assert read_picture(path).pixels.shape[2] == 3
            except PictureError as error:
                assert str(path) in str(error)


def test_partial_and_whole_files_side_by_side(tmp_path: Path) -> None:
    """The tolerant reading of one thread must not hide the damage from another."""
    whole, cut = tmp_path / "whole.jpg", tmp_path / "cut.jpg"
    data = encoded("JPEG")
    whole.write_bytes(data)
    cut.write_bytes(data[: len(data) // 2])
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(read_picture, [whole, cut] * 60))
    assert [picture.complete for picture in found] == [True, False] * 60


def test_warning_filters_are_restored(tmp_path: Path) -> None:
    path = picture_file(tmp_path, Image.fromarray(PHOTO), "photo.png")
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def read() -> None:
        start.wait()
        for _ in range(20):
            read_picture(path)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def test_what_pillow_logs_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python prints what is logged where nobody has set up logging; who has, still gets it."""
    path = tmp_path / "samples.tif"
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "TIFF")
    one = struct.pack("<HHIHH", 277, 3, 1, 3, 0)  # SamplesPerPixel
    data = buffer.getvalue()
    assert one in data
    path.write_bytes(data.replace(one, struct.pack("<HHIHH", 277, 3, 1, 65533, 0)))
    monkeypatch.setattr(logging.root, "handlers", [])
    for read in (read_picture, origin_of):
        with contextlib.suppress(PictureError):
            read(path)
    assert capsys.readouterr().err == ""
    assert not logging.getLogger("PIL").handlers
    seen: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: seen.append(record.getMessage()))
    monkeypatch.setattr(logging.root, "handlers", [handler])
    with contextlib.suppress(PictureError):
        read_picture(path)
    assert any("65533" in text for text in seen)


def test_a_damaged_jpeg_may_be_reduced_as_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded("JPEG")
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * 3 // 4])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200 * 160 // 4)
    picture = read_picture(tmp_path / "cut.jpg", 200 * 160 // 4)
    assert picture.pixels.shape == (100, 80, 3) and not picture.complete


@pytest.mark.parametrize("progressive", [True, False])
def test_what_lost_its_fine_scans_is_not_called_real(tmp_path: Path, progressive: bool) -> None:
    data = encoded("JPEG", progressive=progressive)
    path = tmp_path / "a.jpg"
    words = []
    for length in (len(data), len(data) * 3 // 4):
        path.write_bytes(data[:length])
        for said in (-4.0, 4.0):
            verdict = Detector(constant_detector(said), crops=True).check(path)
            words.append(
                (verdict.verdict, [doubt["code"] for doubt in verdict.to_json()["doubts"]])
            )
    assert [word for word, _ in words] == [
        "real", "fake", "uncertain" if progressive else "real", "fake",
    ]  # fmt: skip
    assert ("lost_scans" in words[2][1]) == progressive


def interlaced(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The pixels of a PNG in seven passes ("Adam7"), not compressed yet."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
              (0, 1, 1, 2)]  # fmt: skip
    lines = (line for x, y, wide, high in passes for line in pixels[y::high, x::wide])
    return b"".join(b"\0" + line.tobytes() for line in lines)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95, 1])
def test_an_interlaced_png_that_is_cut_short_has_gaps(tmp_path: Path, share: float) -> None:
    pixels = photo(64, 96)
    head = struct.pack(">IIBBBBB", 96, 64, 8, 2, 0, 0, 1)
    data = png((b"IHDR", head), (b"IDAT", zlib.compress(interlaced(pixels))), (b"IEND", b""))
    path = tmp_path / "photo.png"
    path.write_bytes(data[: int(len(data) * share)])
    if share == 1:
        assert np.array_equal(read_picture(path).pixels, pixels)
        return
    with pytest.raises(PictureError, match=r"photo\.png: .*has gaps: copy or download it again"):
        read_picture(path)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_end_was_never_written(tmp_path: Path, progressive: bool) -> None:
    """Its room is there, as of a download that was broken off, but there are zeros in it."""
    data = encoded("JPEG", progressive=progressive, quality=98)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[: len(data) * 2 // 3] + bytes(20_000))
    picture = read_picture(path)
    assert not picture.complete
    assert progressive or "zeros" in str(picture.notes[0])
    assert (picture.doubt == Note("lost_scans")) == progressive
    for behind in (bytes(5000), b"SEFT" + bytes(5000), b"clip" * 50_000 + bytes(5000)):
        path.write_bytes(data + behind)
        assert read_picture(path).complete


def test_the_end_of_a_small_copy_is_none_of_the_jpeg(tmp_path: Path) -> None:
    data, small = encoded("JPEG", quality=98), encoded("JPEG", quality=1)
    copy = b"\xff\xe2" + (len(small) + 2).to_bytes(2, "big") + small
    assert len(small) < 60_000
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[:2] + copy + data[2 : len(data) * 2 // 3] + bytes(20_000))
    assert not read_picture(path).complete


def test_a_damaged_jpeg2000_lacks_fine_detail_everywhere(tmp_path: Path) -> None:
    try:
        data = encoded("JPEG2000")
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no JPEG 2000")
    path = tmp_path / "photo.jp2"
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    picture = read_picture(path)
    assert not picture.complete and picture.doubt == Note("lost_scans")
