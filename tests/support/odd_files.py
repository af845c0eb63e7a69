"""Odd files, each with what ``minimeso detect`` must say of it: made here, none is kept.

``python -m support.odd_files FOLDER`` (in ``tests``) writes them all.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from support.clips import animation_bytes, clip_bytes, sound_bytes
from support.detectors import photo

#: Height and width of what is small and sound.
SIDE = (96, 128)
#: Statuses that a file of noise without a face may have when it is read whole, or in part.
WHOLE, PART, NOT = "no_face", "partial", "unreadable"


class OddFile(NamedTuple):
    """A file.

    Attributes:
        name: of it, in its folder.
        make: writes it at a path.
        status: the statuses one of which it must have.
    """

    name: str
    make: Callable[[Path], None]
    status: tuple[str, ...]


def _bytes(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda path: _write(path, data() if callable(data) else data)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """A picture by Pillow."""
    file = io.BytesIO()
    Image.fromarray(photo(*SIDE)).convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> bytes:
    """A JPEG with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture("JPEG", exif=exif)


def deep_png() -> bytes:
    """16 bits a sample, RGB, which Pillow cannot write."""
    height, width = SIDE
    pixels = photo(*SIDE).astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return png((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of chunks."""
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def huge_png(side: int) -> bytes:
    """A header that promises a picture of so many lines."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return png((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))


def huge_bmp() -> bytes:
    """A header of two thousand million lines."""
    head = struct.pack("<IiiHHIIiiII", 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + head + bytes(100)


def sized(data: bytes, width: int, height: int) -> bytes:
    """A GIF whose header says another size."""
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def several(kind: str) -> bytes:
    """Several pictures in one file."""
    images = [Image.fromarray(np.roll(photo(*SIDE), 9 * n, 1)) for n in range(3)]
    file = io.BytesIO()
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    return file.getvalue()


def x264(kind: str, **more: Any) -> Callable[[], bytes]:
    return lambda: clip_bytes(kind, "libx264", pix_fmt="yuv420p", **more)


def index_at_end_and_cut() -> bytes:
    data = clip_bytes()
    return data[: data.index(b"moov") - 4]


def index_in_front_and_cut() -> bytes:
    data = clip_bytes(container_options={"movflags": "faststart"}, frames=50)
    return data[: len(data) * 2 // 3]


def rotated() -> bytes:
    return clip_bytes(set_up=lambda stream: stream.set_display_rotation(90))


def _truncated(make: Callable[[], bytes], share: float) -> Callable[[], bytes]:
    def cut() -> bytes:
        data = make()
        return data[: max(1, int(len(data) * share))]

    return cut


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nothing-there")


def _pictures() -> Iterator[OddFile]:
    def one(name: str, make: Any, *status: str) -> OddFile:
        return OddFile(name, _bytes(make), status or (WHOLE,))

    yield one("empty.jpg", b"", NOT)
    yield one("one-byte.png", b"\x89", NOT)
    yield one("zeros.jpg", bytes(5000), NOT)
    yield one("noise.jpg", np.random.default_rng(1).bytes(5000), NOT)
    yield one("text.jpg", b"this is no picture\n" * 50, NOT)
    yield one("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT)
    yield one("drawing.jpg", b"<?xml version='1.0'?><svg/>", NOT)
    yield one("paper.pdf", b"%PDF-1.4\n%%EOF\n", NOT)
    yield one("page.ps", b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n", NOT)
    yield one("archive.zip", b"PK\x05\x06" + bytes(18), NOT)
    yield one("old.tga", lambda: picture("TGA"), NOT)
    yield one("camera.raf", b"FUJIFILMCCD-RAW 0201" + bytes(200), NOT)
    yield one("camera.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200), NOT)
    yield one("camera.tif", b"II*\0\x10\0\0\0CR\2\0" + bytes(200), NOT)
    yield one("icon.ico", lambda: picture("ICO"))  # by FFmpeg
    yield one("deep.png", deep_png)
    yield one("grey16.png", lambda: picture("PNG", "I;16"))
    yield one("palette.png", lambda: picture("PNG", "P"))
    yield one("one-bit.png", lambda: picture("PNG", "1"))
    yield one("alpha.png", lambda: picture("PNG", "RGBA"))
    yield one("cmyk.jpg", lambda: picture("JPEG", "CMYK"))
    yield one("ycck.jpg", lambda: picture("JPEG", "CMYK", quality=60))
    yield one("grey.jpg", lambda: picture("JPEG", "L"))
    yield one("progressive.jpg", lambda: picture("JPEG", progressive=True))
    for orientation in range(10):
        yield one(f"turned-{orientation}.jpg", lambda o=orientation: turned(o))
    yield one("png-named.jpg", lambda: picture("PNG"))
    yield one("jpeg-named.mp4", lambda: picture("JPEG"))
    yield one("no-ending", lambda: picture("JPEG"))
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        whole = lambda kind=kind: picture(kind)  # noqa: E731
        yield one(f"head-only.{kind.lower()}", _truncated(whole, 0.003), NOT)
        yield one(f"half.{kind.lower()}", _truncated(whole, 0.5), PART, NOT)
    yield one("animated.png", lambda: animation_bytes("PNG"))
    yield one("animated.webp", lambda: animation_bytes("WEBP"))
    yield one("animated.gif", lambda: animation_bytes("GIF"))
    yield one("still.gif", lambda: picture("GIF"))
    yield one("G-at-188.gif", lambda: sized(animation_bytes("GIF", 3), 64, 48))
    yield one("large-screen.gif", lambda: sized(picture("GIF"), 65535, 65535), NOT)
    yield one("several.mpo", lambda: several("MPO"))
    yield one("several.tif", lambda: several("TIFF"))
    for packing in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield one(f"{packing}.tif", lambda p=packing: picture("TIFF", compression=p))
    yield one("fax.tif", lambda: picture("TIFF", "1", compression="group4"))
    yield one("float.tif", lambda: picture("TIFF", "F"), WHOLE, NOT)
    yield one("palette.bmp", lambda: picture("BMP", "P"))
    yield one("one-bit.bmp", lambda: picture("BMP", "1"))
    yield one("huge.png", lambda: huge_png(100_000), NOT)
    yield one("zero.png", lambda: huge_png(0), NOT)
    yield one("huge.bmp", huge_bmp, NOT)
    yield one("huge.ppm", b"P6 1000000 1000000 255\n" + bytes(100), NOT)
    yield one("one-pixel.png", lambda: _tiny(1, 1))
    yield one("line.png", lambda: _tiny(5000, 1))


def _tiny(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def _clips() -> Iterator[OddFile]:
    def one(name: str, make: Any, *status: str) -> OddFile:
        return OddFile(name, _bytes(make), status or (WHOLE,))

    yield one("sound-only.mp4", sound_bytes, NOT)
    yield one("cover.mp4", lambda: sound_bytes(cover=True), NOT)
    yield one("no-sound.mp4", clip_bytes)
    yield one("sound.mp4", lambda: clip_bytes(sound=True))
    yield one("one-frame.mp4", lambda: clip_bytes(frames=1))
    yield one("index-at-end-and-cut.mp4", index_at_end_and_cut, NOT)
    yield one("index-in-front-and-cut.mp4", index_in_front_and_cut, PART)
    yield one("ftyp-only.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", NOT)
    yield one("half.mkv", _truncated(lambda: clip_bytes("matroska", frames=50), 0.5), PART)
    yield one("odd-size.mkv", lambda: clip_bytes("matroska", "ffv1", size=(63, 47)))
    yield one("rotated.mp4", rotated)
    yield one("variable.mkv", lambda: clip_bytes("matroska", frames=4, stamps=[0, 1, 50, 51]))
    yield one("raw.h264", x264("h264"))
    yield one("raw.m2v", lambda: clip_bytes("mpeg2video", "mpeg2video"))
    yield one("motion.avi", lambda: clip_bytes("avi", "mjpeg", pix_fmt="yuvj420p"))
    yield one("stream.ts", x264("mpegts"))
    yield one("cut.ts", _truncated(x264("mpegts", frames=50), 0.5), PART, WHOLE)
    yield one("flash.flv", lambda: clip_bytes("flv", "flv"))
    yield one("alpha.webm", lambda: clip_bytes("webm", "libvpx-vp9", pix_fmt="yuva420p"))
    yield one("windows.wmv", lambda: clip_bytes("asf", "msmpeg4"))
    yield one("ten-bits.mp4", lambda: clip_bytes("mp4", "libx264", pix_fmt="yuv420p10le"))
    yield one("mp4-named.jpg", clip_bytes)
    yield one("mp4-named.txt", clip_bytes)
    yield one("list.m3u8", b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n", NOT)
    yield one("files.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n", NOT)


def _names() -> Iterator[OddFile]:
    names = ["-begins.jpg", "--help", "a space.jpg", "a\nline.jpg", "\x1b[31mred.jpg", "é☃.jpg"]
    for name in [*names, os.fsdecode(b"not-utf8-\xff.jpg"), "x" * 250 + ".jpg", "%s%d{}.jpg"]:
        yield OddFile(name, _bytes(lambda: picture("JPEG")), (WHOLE,))


def _no_files() -> Iterator[OddFile]:
    yield OddFile("fifo.mp4", os.mkfifo, (NOT,))
    yield OddFile("socket.mp4", _socket, (NOT,))
    yield OddFile("loop.jpg", _loop, (NOT,))
    yield OddFile("dangling.jpg", _dangling, (NOT,))
    yield OddFile("device.jpg", lambda path: path.symlink_to("/dev/zero"), (NOT,))


def odd_files() -> list[OddFile]:
    """All of them."""
    return [*_pictures(), *_clips(), *_names(), *_no_files()]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for odd in odd_files():
        odd.make(folder / odd.name)
