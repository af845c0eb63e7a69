"""Pictures in HDR come out as what a usual screen shows, as clips do."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.detectors import photo

from minimeso.media.code_points import CodePoints, hdr_points
from minimeso.media.pictures import Picture, read_picture
from minimeso.notes import Note

av = pytest.importorskip("av")

PQ, HLG, SRGB, BT2020 = 16, 18, 13, 9
SIZE = (96, 128)


def skin() -> Any:
    grey = photo(*SIZE).mean(2, keepdims=True)
    return np.uint8(grey * (0.5, 0.45, 0.4) + (90, 60, 50))


def levels(transfer: str) -> Image.Image:
    """What a camera would store of it: RGB of BT.2020 in 8 bits."""
    from av.video.reformatter import VideoReformatter

    from tools.bench.variants import wide_frame

    frame = wide_frame(skin(), transfer, full=True)
    return Image.fromarray(VideoReformatter().reformat(frame, format="rgb24").to_ndarray())


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(image: Image.Image, transfer: int) -> bytes:
    data, content = saved(image, "PNG"), bytes([BT2020, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + b"cICP" + content
    return data[:33] + chunk + struct.pack(">I", zlib.crc32(b"cICP" + content)) + data[33:]


def avif(image: Image.Image, transfer: int) -> bytes:
    try:
        data = saved(image, "AVIF", quality=100, subsampling="4:4:4")
    except (KeyError, OSError):
        pytest.skip("this Pillow writes no AVIF: before 11.3, or built without libavif")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", BT2020, transfer) + data[at + 4 :]


def heif(image: Image.Image, transfer: int) -> bytes:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    return saved(
        image, "HEIF", quality=100, chroma=444, color_primaries=BT2020,
        transfer_characteristics=transfer, matrix_coefficients=6, full_range_flag=1,
    )  # fmt: skip


Writer = Callable[[Image.Image, int], bytes]
WRITERS = pytest.mark.parametrize("write", [png, avif, heif])


def differences(found: Picture) -> Any:
    return np.abs(found.pixels.astype(int) - skin())


@WRITERS
@pytest.mark.parametrize(("name", "transfer"), [("pq", PQ), ("hlg", HLG)])
def test_a_picture_comes_back(write: Writer, name: str, transfer: int) -> None:
    data = write(levels(name), transfer)
    found = read_picture(data)
    assert found.notes == (Note("tone_mapped"),) and found.complete
    assert differences(found).mean() < 3 and np.quantile(differences(found), 0.99) <= 10
    plain = read_picture(write(levels(name), SRGB))
    assert plain.notes == () and differences(plain).mean() > 10


def test_what_pillow_has_opened() -> None:
    with Image.open(io.BytesIO(heif(levels("pq"), PQ))) as image:
        found = read_picture(image)
    assert found.notes == (Note("tone_mapped"),) and differences(found).mean() < 3


def test_part_of_one_is_mapped_too() -> None:
    data = png(levels("pq"), PQ)
    found = read_picture(data[: len(data) * 3 // 4])
    assert not found.complete and Note("tone_mapped") in found.notes
    assert differences(found)[: SIZE[0] // 3].mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5), (17, 64)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    white = Image.new("RGB", size, (148, 148, 148))  # 203 cd/m2
    found = read_picture(png(white, PQ))
    assert found.pixels.shape == (size[1], size[0], 3) and found.pixels.min() >= 250


def test_a_large_one_is_mapped_in_strips() -> None:
    rows = np.repeat(np.arange(2048, dtype=np.uint16) % 149, 1024).reshape(2048, 1024)
    grey = Image.fromarray(np.repeat(np.uint8(rows)[:, :, None], 3, 2))
    found = read_picture(png(grey, PQ)).pixels
    assert (found[:149] == found[149 * 8 : 149 * 9]).all()


def test_as_clips_are() -> None:
    """Greys and colours of skin, up to four times as light as white, as FFmpeg maps them."""
    from minimeso.media.hdr import ToneMapper

    for name, transfer in (("pq", PQ), ("hlg", HLG)):
        pixels = np.asarray(levels(name))
        brighter = np.uint8(np.minimum(pixels.astype(int) + 40, 255))
        both = np.concatenate([pixels, brighter])
        frame = av.VideoFrame.from_ndarray(both, "rgb24")
        frame.color_primaries, frame.color_trc = BT2020, transfer
        frame.colorspace, frame.color_range = 0, 2
        expected = ToneMapper().mapped(frame, "rgb24").to_ndarray().astype(int)
        found = read_picture(png(Image.fromarray(both), transfer)).pixels
        assert np.quantile(np.abs(found - expected)[: SIZE[0]], 0.99) <= 3
        assert np.abs(found - expected)[SIZE[0] :].mean() < 8


# --- items of AVIF -----------------------------------------------------------------------


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + kind + content


def colr(transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", BT2020, transfer, 9, 0x80))


def items(shown: int, wide_ids: bool = False, wide_numbers: bool = False) -> bytes:
    """Item 1 has a profile and usual levels, item 2 PQ, item 3 says nothing."""
    of = {1: (1, 2, 4), 2: (1, 3), 3: (1, 0)}  # 0: no property
    number, item = ("H" if wide_numbers else "B"), ("I" if wide_ids else "H")
    table = b"".join(
        struct.pack(f">{item}B{len(numbers)}{number}", one, len(numbers), *numbers)
        for one, numbers in of.items()
    )
    ipma = struct.pack(">BBBBI", wide_ids, 0, 0, wide_numbers, 3) + table
    properties = (
        box(b"ispe", bytes(12)), box(b"colr", b"prof" + bytes(9)), colr(PQ), colr(SRGB), colr(HLG)
    )  # fmt: skip
    pitm = struct.pack(f">BBBB{item}", wide_ids, 0, 0, 0, shown)
    meta = box(
        b"meta", bytes(4), box(b"pitm", pitm),
        box(b"iprp", box(b"ipco", *properties), box(b"ipma", ipma)),
    )  # fmt: skip
    return box(b"ftyp", b"avif\0\0\0\0avifmif1") + meta + box(b"mdat", bytes(50))


class Shown(Image.Image):
    format = "AVIF"


@pytest.mark.parametrize("wide_ids", [False, True])
@pytest.mark.parametrize("wide_numbers", [False, True])
def test_what_is_shown_counts(wide_ids: bool, wide_numbers: bool) -> None:
    """A second rendering in HDR, which screens of that kind may take, does not."""
    found = [
        hdr_points(Shown(), io.BytesIO(items(shown, wide_ids, wide_numbers)))
        for shown in (1, 2, 3, 4)
    ]
    assert found == [None, CodePoints(BT2020, PQ), None, None]


def test_damaged_ones_say_nothing() -> None:
    data = items(2)
    for length in range(len(data)):
        file = io.BytesIO(data[:length])
        assert hdr_points(Shown(), file) in (None, CodePoints(BT2020, PQ)) and file.tell() == 0
    generator = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(data)
        changed[generator.integers(len(data))] = generator.integers(256)
        hdr_points(Shown(), io.BytesIO(bytes(changed)))
