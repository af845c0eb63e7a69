"""Raw files of cameras are called what they are, whatever Pillow or FFmpeg find in them."""

from __future__ import annotations

import io
import struct
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support.detectors import photo

from minimeso import PictureError
from minimeso.media.camera_raw import RAW_ENDINGS, is_raw_tiff
from minimeso.media.folders import counted, files_in
from minimeso.media.kinds import is_clip
from minimeso.media.pictures import read_picture
from minimeso.media.video import open_clip

#: Values of a field, and of further pictures the fields.
Fields = dict[int, int | bytes | list["Fields"]]
MOSAIC, OF_THE_SENSOR, VERSION = 32803, 34892, b"\1\4\0\0"
#: Ending, and how such a file begins that is no plain TIFF.
HEADS = [
    ("cr2", b"II*\0\x10\0\0\0CR\2\0"),
    ("crw", b"II\x1a\0\0\0HEAPCCDR"),
    ("raf", b"FUJIFILMCCD-RAW 0201FF383501"),
    ("orf", b"IIRO\x08\0\0\0"),
    ("orf", b"IIRS\x08\0\0\0"),
    ("orf", b"MMOR\0\0\0\x08"),
    ("rw2", b"IIU\0\x18\0\0\0"),
    ("mrw", b"\0MRM\0\1\0\0"),
    ("x3f", b"FOVb\0\0\2\0"),
    ("cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"),
]


def tiff(*pages: Fields, order: str = "<", big: bool = False) -> bytes:
    """A file of directories, one after the other, and of those below them; 64 pixels in each."""
    word, head = ("Q", 16) if big else ("I", 8)
    width = 8 if big else 4
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else struct.pack(f"{order}HI", 42, 0)

    def directory(fields: Fields) -> int:
        """Where it begins; the place of the next one is left 0."""
        all_of_them: Fields = {256: 8, 257: 8, 258: 8, 259: 1, 277: 1, 278: 8, 279: 64, **fields}
        below = {tag: v for tag, v in all_of_them.items() if isinstance(v, list)}
        places = {tag: [directory(page) for page in pages] for tag, pages in below.items()}
        all_of_them[273] = len(out)
        out.extend(bytes(range(64)))
        entries = b""
        for tag, value in sorted(all_of_them.items()):
            if isinstance(value, bytes):
                entries += struct.pack(f"{order}HH{word}", tag, 1, len(value)) + value.ljust(width)
                continue
            values = places.get(tag) or [value]
            packed = struct.pack(f"{order}{len(values)}{word}", *values)
            if len(packed) > width:
                out.extend(packed)
                packed = struct.pack(f"{order}{word}", len(out) - len(packed))
            kind = 16 if big else 4
            entries += struct.pack(f"{order}HH{word}", tag, kind, len(values)) + packed
        place = len(out)
        out.extend(struct.pack(f"{order}{'Q' if big else 'H'}", len(all_of_them)) + entries)
        out.extend(bytes(width))
        return place

    link = head - width
    for page in pages:
        place = directory(page)
        out[link : link + width] = struct.pack(f"{order}{word}", place)
        link = len(out) - width
    return bytes(out)


#: Name, and the directories of a file: as cameras lay them out.
LAYOUTS: list[tuple[str, list[Fields]]] = [
    ("plain mosaic", [{262: MOSAIC}]),
    ("of 16 bits", [{262: MOSAIC, 258: 16}]),
    ("packed as only cameras do", [{262: MOSAIC, 259: 34713}]),
    ("linear", [{262: OF_THE_SENSOR, 277: 3}]),
    ("below a preview", [{262: 1, 330: [{262: MOSAIC}]}]),
    ("below a small preview", [{262: 1, 254: 1, 330: [{262: 1}, {262: MOSAIC}]}]),
    ("third of the further ones", [{262: 1, 330: [{262: 1}, {262: 1}, {262: MOSAIC}]}]),
    ("behind a preview", [{262: 1}, {262: MOSAIC}]),
    ("DNG with a preview only", [{262: 1, 50706: VERSION}]),
]


def refused(path: Path) -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert f"{path}: a camera's raw file" in str(caught.value)
    assert "develop it" in str(caught.value) and "save it as JPEG" in str(caught.value)
    assert not is_clip(path)
    with pytest.raises(PictureError), open_clip(path) as clip:
        list(clip)


@pytest.mark.parametrize(("ending", "head"), HEADS)
@pytest.mark.parametrize("named", [True, False])
def test_signatures(tmp_path: Path, ending: str, head: bytes, named: bool) -> None:
    """It was "neither a picture nor a clip of a known format", or a clip of an unknown codec."""
    path = tmp_path / (f"DSC_0001.{ending.upper()}" if named else "photo.jpg")
    jpeg = io.BytesIO()
    Image.fromarray(photo(96, 128)).save(jpeg, "JPEG")  # the camera's own, in every raw file
    path.write_bytes(head.ljust(160, b"\0") + jpeg.getvalue())
    refused(path)


@pytest.mark.parametrize(("name", "pages"), LAYOUTS, ids=[name for name, _ in LAYOUTS])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_fields_of_a_tiff(
    tmp_path: Path, name: str, pages: list[Fields], order: str, big: bool
) -> None:
    """Most were "TIFF with a damaged or unusual header", and of some the preview was judged."""
    path = tmp_path / "IMG_0001.dng"
    path.write_bytes(tiff(*pages, order=order, big=big))
    refused(path)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_other_tiffs_are_pictures(tmp_path: Path, order: str, big: bool) -> None:
    path = tmp_path / "a.tif"
    layouts: list[list[Fields]] = [[{262: 1}], [{262: 1}, {262: 1}], [{262: 1, 330: [{262: 1}]}]]
    for pages in layouts:
        path.write_bytes(tiff(*pages, order=order, big=big))
        assert read_picture(path).pixels.shape == (8, 8, 3)


def test_directories_that_lead_in_a_circle_or_nowhere() -> None:
    whole = tiff({262: 1, 330: [{262: 1}]})
    for place in range(4, len(whole), 3):
        data = bytearray(whole)
        for value in (8, len(whole) - 100, 1 << 31):
            data[place : place + 4] = struct.pack("<I", value)
            is_raw_tiff(io.BytesIO(data))
        assert not is_raw_tiff(io.BytesIO(whole[:place]))


def test_in_folders_they_are_counted_with_what_to_do(tmp_path: Path) -> None:
    """By content, and only where the ending is of none that is looked at."""
    (tmp_path / "a.nef").write_bytes(tiff({262: MOSAIC}))
    (tmp_path / "b.NEF").write_bytes(tiff({262: MOSAIC}))
    (tmp_path / "c.raf").write_bytes(HEADS[2][1].ljust(160))
    (tmp_path / "d.raw").write_bytes(bytes(160))
    (tmp_path / "e.tif").write_bytes(tiff({262: MOSAIC}))
    (tmp_path / "f").write_bytes(HEADS[3][1].ljust(160))
    skipped: Counter[str] = Counter()
    found = [Path(one.path).name for one in files_in(str(tmp_path), skipped)]
    assert found == ["e.tif", "f"]
    what = "raw files of a camera: develop and save them as JPEG"
    assert sorted(counted(skipped).split(", ")) == sorted(
        f"2 .nef ({what}), 1 .raf ({what}), 1 .raw".split(", ")
    )
    assert all(ending == ending.lower() for ending in RAW_ENDINGS)
