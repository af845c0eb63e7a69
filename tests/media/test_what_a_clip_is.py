"""What a file is: the content decides; bombs, playlists and odd files are refused."""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.clips import (
    KINDS,
    SIZE,
    animation_bytes,
    clip_bytes,
    clip_file,
    made,
    numbered,
    read,
    refused,
    sound_bytes,
)
from support.detectors import photo

from minimeso import PictureError
from minimeso.media import opening
from minimeso.media.formats import PICTURE_ENDINGS
from minimeso.media.streams import Stream
from minimeso.media.video import CLIP_ENDINGS, is_clip, open_clip
from minimeso.notes import Note

av = pytest.importorskip("av")


def test_content_decides(tmp_path: Path) -> None:
    picture = tmp_path / "holiday.mp4"
    Image.fromarray(photo()).save(picture, "JPEG")
    assert not is_clip(picture)
    refused(picture, "a picture")
    clip = clip_file(tmp_path, "holiday.jpg")
    assert is_clip(clip) and len(read(clip, every_frame=True)[0]) == 10
    for kind in ("png", "gif", "webp", "bmp", "tiff"):
        still = tmp_path / f"still_{kind}.mp4"
        Image.fromarray(photo()).save(still, kind)
        assert not is_clip(still)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_sound_only(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(sound_bytes(kind))
    refused(path, "only sound in it")


def test_cover_picture_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(sound_bytes(cover=True))
    refused(path, "only sound and a cover picture")


def test_sound_beside_the_picture(tmp_path: Path) -> None:
    path = clip_file(tmp_path, frames=50, sound=True)
    assert read(path, every_frame=True)[1] == list(range(50))


def test_the_best_of_several_tracks(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((32, 24), (128, 96)), strict=True):
            stream.width, stream.height = size
        for number in range(5):
            for stream in streams:
                picture = numbered(number, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    assert read(path, every_frame=True)[1] == list(range(5))
    clip = read(path)[2]
    assert clip.size == (128, 96) and clip.remarks == (Note("largest_track_only"),)


@pytest.mark.parametrize("kind", ["matroska", "mov"])
def test_a_cover_that_was_copied_is_no_clip_either(tmp_path: Path, kind: str) -> None:
    """Copied into other containers (``ffmpeg -map 0 -c copy``) it is a track like others, and may
    be larger than the clip."""
    from av.stream import Disposition

    path, copied = tmp_path / "clip.mp4", tmp_path / "copied"
    with av.open(str(path), "w") as container:
        moving: Any = container.add_stream("mpeg4", rate=25)
        cover: Any = container.add_stream("mjpeg", rate=25)
        moving.width, moving.height = SIZE
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        for stream, count in ((moving, 10), (cover, 1)):
            for number in range(count):
                picture = numbered(number, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with av.open(str(path)) as source, av.open(str(copied), "w", format=kind) as target:
        tracks = [target.add_stream_from_template(stream) for stream in source.streams.video]
        for packet in source.demux(video=(0, 1)):
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    for file in (path, copied):
        _, numbers, clip = read(file, every_frame=True)
        assert numbers == list(range(10)) and clip.size == SIZE and clip.remarks == ()


@pytest.mark.parametrize("count", [10, 1])
def test_a_track_that_nobody_reads_is_not_passed_over_in_silence(
    tmp_path: Path, count: int
) -> None:
    """Beside one that can be read, or behind a cover, which is not judged in its place."""
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        read_one: Any = container.add_stream("mpeg4", rate=25)
        other: Any = container.add_stream("mjpeg", rate=25)
        for stream in (read_one, other):
            stream.width, stream.height = SIZE
        other.pix_fmt = "yuvj420p"
        for stream, frames in ((read_one, count), (other, 10)):
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"jpeg", b"what"))
    if count == 1:
        refused(path, "a codec that the installed PyAV does not read")
        return
    _, numbers, clip = read(path, every_frame=True)
    assert numbers == list(range(10)) and clip.remarks == (Note("largest_track_only"),)


@pytest.mark.parametrize(
    "data",
    [
        b"just some text\n" * 100,
        b"\x1b[31mcoloured text\x1b[0m\n" * 100,
        b"1\n00:00:01,000 --> 00:00:02,000\nsubtitles\n\n" * 5,
        bytes(5000),
        bytes(random.Random(1).randbytes(5000)),
    ],
)
def test_neither_picture_nor_clip(tmp_path: Path, data: bytes) -> None:
    for name in ("a.mp4", "a.txt", "a.ans"):
        path = tmp_path / name
        path.write_bytes(data)
        refused(path, "neither|not a picture or clip|no clip")


def test_an_open_file_may_be_empty_too() -> None:
    """What was dropped on a page, as a cloud's file that is not on this computer yet."""
    with pytest.raises(PictureError, match="the file is empty: copy or download it again"):
        open_clip(Stream(io.BytesIO(), is_ours=True))


@pytest.mark.parametrize("before", [b"", b"\0\0\0\x10stypmsdh\0\0\0\0"])
def test_a_piece_of_a_clip_is_known(tmp_path: Path, before: bytes) -> None:
    """Of a stream, whose beginning says what is in it: saved as MP4 it is already."""
    movflags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = clip_bytes(container_options=movflags)
    path = tmp_path / "a.mp4"
    path.write_bytes(before + data[data.index(b"moof") - 4 :])
    refused(path, "cut short before the first frame can be read .*: copy or download it again")
    refused(path, "a piece of a stream, without its beginning")


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    "beginning",
    [
        b"%PDF-1.7\n1 0 obj<</Subtype/Image/Filter/DCTDecode>>stream\n",
        b"PK\3\4\x14\0\0\0\0\0" + bytes(20) + b"word/media/image1.jpeg",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000),
        b"FUJIFILMCCD-RAW 0201FF393101X-T30" + bytes(115),
        b"IIRO\x08\0\0\0" + bytes(2000),
    ],
    ids=["pdf", "docx", "doc", "raf", "orf"],
)
def test_pictures_in_a_document_are_no_frames(tmp_path: Path, beginning: bytes) -> None:
    """FFmpeg finds JPEGs wherever they lie, and a paper or a camera's raw file was judged by its
    small pictures, as a clip of 25 a second."""
    path = tmp_path / "document"
    path.write_bytes(beginning + jpeg() + b"\nendstream\n" + jpeg())
    is_raw = beginning.startswith((b"FUJI", b"IIRO"))
    refused(path, "a camera's raw file" if is_raw else "neither a picture nor a clip of a known")


def test_pictures_without_a_signature_are_no_h263(tmp_path: Path) -> None:
    """640 pixels and 360 lines read like the beginning of a frame: "damaged: 1 frame left out"."""
    path = tmp_path / "a.tga"
    Image.fromarray(photo(360, 640)).save(path)
    refused(path, "neither a picture nor a clip of a known format")
    path.write_bytes(made("h263", "h263", "yuv420p", size=(128, 96)))
    assert read(path, every_frame=True)[1] == list(range(10))


FRAME = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"
ANSWER = (
    b"HTTP/1.0 200 OK\r\nServer: camera\r\nCache-Control: no-store" + b", no-cache" * 20 +
    b"\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("first", "beginning"), [(b"", b"\n"), (b"", bytes(512)), (b"", FRAME), (ANSWER, FRAME)]
)
def test_what_cameras_put_before_each_picture(
    tmp_path: Path, first: bytes, beginning: bytes
) -> None:
    """And before all of them, where an answer of HTTP is saved as it comes."""
    path = tmp_path / "camera"
    path.write_bytes(first + (beginning + jpeg()) * 3)
    with open_clip(path, every_frame=True) as clip:
        assert len(list(clip)) == 3


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str) -> None:
    secret = clip_file(tmp_path, "secret.ts", kind="mpegts", codec="mpeg2video")
    for name in ("list.m3u8", "list.mp4", "list.ffconcat", "list.sdp"):
        path = tmp_path / name
        path.write_text(playlist.format(secret))
        refused(path, "neither|not a picture or clip")


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_bomb(tmp_path: Path, side: int) -> None:
    """A stream may promise frames of any size; none is made."""
    data = clip_bytes("yuv4mpegpipe", "rawvideo", pix_fmt="yuv420p")
    assert b"W64 H48" in data
    path = tmp_path / "bomb.y4m"
    path.write_bytes(data.replace(b"W64 H48", b"W%d H%d" % (side, side)))
    assert is_clip(path)
    refused(path, "bomb" if side * side * 3 < 1 << 31 else "before the first frame can be read")


def test_a_size_that_only_the_container_promises(tmp_path: Path) -> None:
    """The frames are as large as they say; a square shown as 64 x 48 would have wide pixels."""
    data = bytearray(clip_bytes())
    at = data.index(b"mp4v") + 4 + 24
    assert data[at : at + 4] == struct.pack(">HH", *SIZE)
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    path = tmp_path / "promise.mp4"
    path.write_bytes(data)
    _, numbers, clip = read(path, every_frame=True)
    shown = round(SIZE[0] * 4 / 3), SIZE[1]
    assert (numbers, clip.size, clip.fault) == (list(range(10)), shown, None)


def test_bomb_of_webp(tmp_path: Path) -> None:
    data = bytearray(animation_bytes("WEBP"))
    data[24:30] = b"\xff\x3f\0\xff\x3f\0"
    path = tmp_path / "bomb.webp"
    path.write_bytes(data)
    assert is_clip(path)
    refused(path, "bomb")


def test_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip_file(tmp_path)
    monkeypatch.setattr(opening, "MAX_PIXELS", 64 * 48 - 1)
    refused(path, "bomb|not one frame")


@pytest.mark.parametrize("name", ["gone.mp4", "", "nul\0.mp4"])
def test_missing(name: str) -> None:
    assert not is_clip(name)
    with pytest.raises(PictureError):
        open_clip(name)


def test_empty_folder_and_pipe(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert not is_clip(empty) and not is_clip(tmp_path)
    refused(empty, "empty")
    refused(tmp_path, "a folder")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert not is_clip(tmp_path / "pipe.mp4")
        refused(tmp_path / "pipe.mp4", "a pipe")


def test_without_the_right_to_read(tmp_path: Path) -> None:
    path = clip_file(tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    refused(path, "ask for the right")


def test_a_pyav_that_cannot_be_loaded_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a library is missing that it was built for: nobody need download a clip again."""
    path = clip_file(tmp_path)
    real_import = builtins.__import__

    def refuse(name: str, *more: Any, **other: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ImportError("libX.so.6: cannot open shared object file")
        return real_import(name, *more, **other)

    monkeypatch.setattr(builtins, "__import__", refuse)
    refused(path, r"PyAV cannot be loaded \(libX.so.6: cannot open .*\): install it again")
    monkeypatch.setattr("minimeso.media.opening.is_scarce", lambda: True)  # as under --memory
    refused(path, "too large for the memory of this machine")


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_find, real_import = importlib.util.find_spec, builtins.__import__

    def find(name: str, *more: Any) -> Any:
        return None if name == "av" else real_find(name, *more)

    def refuse(name: str, *more: Any, **other: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ImportError(name)
        return real_import(name, *more, **other)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(builtins, "__import__", refuse)
    for kind, codec, pix_fmt in KINDS:
        if kind in ("gif", "apng"):
            continue
        monkeypatch.undo()
        path = tmp_path / f"clip.{kind}"
        path.write_bytes(made(kind, codec, pix_fmt))
        monkeypatch.setattr(importlib.util, "find_spec", find)
        monkeypatch.setattr(builtins, "__import__", refuse)
        if kind != "asf" or is_clip(path):
            assert is_clip(path), kind
            refused(path, r"pip install 'minimeso\[video\]'")
    for animated in ("GIF", "PNG", "WEBP"):
        path = tmp_path / animated
        path.write_bytes(animation_bytes(animated))
        assert not is_clip(path)
    path = tmp_path / "text.txt"
    path.write_text("text")
    assert not is_clip(path)


def test_import_loads_no_pyav() -> None:
    program = "import minimeso, minimeso.media.video, sys; print({'av', 'tqdm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_endings() -> None:
    assert not set(CLIP_ENDINGS) & set(PICTURE_ENDINGS)
    assert all(ending.startswith(".") and ending == ending.lower() for ending in CLIP_ENDINGS)
