"""Clips as long and as large as a benchmark wants them, made of one that is at hand.

A clip is made longer by repeating its packets, so that nothing is encoded anew and a frame costs a
decoder what it cost before; only where that does not work out (a codec or container that cannot be
joined so) it is encoded.  Needs PyAV, as our extra `video` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.peers import UnavailableError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

COPIED = "its packets repeated, nothing encoded anew"
ENCODED = "its frames repeated and encoded anew"
#: H.264 as phones and sites write it, but quickly; B-frames among it.
_ENCODER = "libx264"
_SETTINGS = {"preset": "veryfast", "crf": "21"}
_USUAL_RATE = 25
MISSING = "needs PyAV: pip install 'minimeso[video]'"


@dataclass(frozen=True)
class Clip:
    """A clip on the disk: what is in it and how it was made."""

    path: Path
    frames: int
    width: int
    height: int
    codec: str
    how: str

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width} x {self.height}, {self.codec}, {self.how}"


def repeated(source: Path, frames: int, folder: Path) -> Clip:
    """Exactly so many frames of a clip, which begins again and again; written to a folder.

    Raises:
        UnavailableError: PyAV is missing, or it cannot read the clip.
    """
    _check(source)
    target = folder / f"{source.stem}-{frames}{source.suffix}"
    try:
        _repeat_packets(source, frames, target)
        clip = _look(target, COPIED)
        if clip.frames == frames:
            return clip
    except Exception:  # PyAV's errors and ValueErrors of a muxer: then the other way
        pass
    target = folder / f"{source.stem}-{frames}-encoded.mp4"
    _encode(_decoded_again_and_again(source, frames), target)
    return _look(target, ENCODED)


def scaled(source: Path, height: int, folder: Path) -> Path:
    """The whole clip scaled to so many lines, encoded anew; written to a folder.

    Raises:
        UnavailableError: PyAV is missing, or it cannot read the clip.
    """
    _check(source)
    target = folder / f"{source.stem}-{height}p.mp4"
    _encode(_scaled(_decoded(source), height), target)
    return target


def _check(source: Path) -> None:
    try:
        import av
    except ImportError:
        raise UnavailableError(MISSING) from None
    try:
        with av.open(str(source)) as container:
            next(container.decode(video=0))
    except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
        raise UnavailableError(f"{source}: no clip that PyAV reads: {error}") from None


def _repeat_packets(source: Path, frames: int, target: Path) -> None:
    import av

    with av.open(str(target), "w") as output:
        ours: Any = None
        written = shift = 0
        while written < frames:
            first, end = None, 0
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                if ours is None:
                    ours = output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:  # the empty one at the end
                        continue
                    first = packet.pts if first is None else first
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = ours
                    output.mux(packet)
                    written += 1
                    if written == frames:  # in order of decoding: what these refer to is there
                        return
            if first is None or end <= first:
                raise ValueError(f"{source}: its packets have no times")
            shift += end - first


def _decoded(source: Path) -> Iterator[VideoFrame]:
    import av

    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield from container.decode(stream)


def _decoded_again_and_again(source: Path, frames: int) -> Iterator[VideoFrame]:
    count = 0
    while True:
        for frame in _decoded(source):
            yield frame
            count += 1
            if count == frames:
                return


def _scaled(frames: Iterable[VideoFrame], height: int) -> Iterator[VideoFrame]:
    for frame in frames:
        width = round(frame.width * height / frame.height / 2) * 2
        yield frame.reformat(width=width, height=height, format="yuv420p")


def _encode(frames: Iterable[VideoFrame], target: Path) -> None:
    import av

    with av.open(str(target), "w") as output:
        stream: Any = None
        for number, frame in enumerate(frames):
            if stream is None:
                stream = output.add_stream(_ENCODER, rate=_USUAL_RATE, options=_SETTINGS)
                stream.width, stream.height = frame.width // 2 * 2, frame.height // 2 * 2
                stream.pix_fmt = "yuv420p"
            plain = frame.reformat(stream.width, stream.height, "yuv420p")
            plain.pts, plain.time_base = number, 1 / stream.codec_context.framerate
            plain.pict_type = 0  # for the encoder to choose
            output.mux(stream.encode(plain))
        output.mux(stream.encode(None))


def _look(path: Path, how: str) -> Clip:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        frames = sum(1 for _ in container.decode(stream))
        decoder = stream.codec_context
        return Clip(path, frames, decoder.width, decoder.height, decoder.name, how)
