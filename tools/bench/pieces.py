"""What it changes to judge a clip in pieces: `python -m tools.bench.pieces FILE...`.

Each clip is encoded anew with a key frame every second (H.264, crf 18), so that it can be cut, and
judged in one go and in pieces of `--piece` seconds, which is far shorter than those of a scan: an
hour in pieces of five minutes is cut eleven times, a clip of half a minute in pieces of three
seconds nine times. Needs the extra `video`.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from minimeso import Detector, Verdict
from minimeso.cli.output import table
from minimeso.media.key_frames import spans
from tools.arguments import input_file
from tools.errors import exit_status


def encoded(path: Path, folder: Path) -> Path:
    """The same frames with a key frame every second."""
    import av

    target = folder / f"{path.stem}.mp4"
    with av.open(str(path)) as source, av.open(str(target), "w") as sink:
        stream = source.streams.video[0]
        rate = Fraction(stream.average_rate or 25).limit_denominator(1001)
        key = str(max(round(rate), 1))
        options = {"crf": "18", "preset": "veryfast", "g": key, "keyint_min": key}
        found: Any = sink.add_stream("libx264", rate=rate, options=options)
        found.width, found.height = stream.width // 2 * 2, stream.height // 2 * 2
        found.pix_fmt = "yuv420p"
        for number, frame in enumerate(source.decode(stream)):
            frame = frame.reformat(found.width, found.height, "yuv420p")
            frame.pts, frame.time_base = number, 1 / rate
            sink.mux(found.encode(frame))
        sink.mux(found.encode(None))
    return target


def in_pieces(detector: Detector, path: Path, seconds: float) -> tuple[Verdict, int]:
    """The verdict, and of how many pieces."""
    cuts = spans(path, seconds, 0.0)
    pieces = [detector.check_piece(path, span) for span in cuts]
    return detector.join(pickle.loads(pickle.dumps(pieces)), str(path)), len(cuts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    return exit_status("tools.bench.pieces", lambda: _compare(_options(arguments)))


def _compare(options: argparse.Namespace) -> None:
    detector = Detector(options.model, threads=1)
    rows, differences = [], []
    with tempfile.TemporaryDirectory() as folder:
        for path in options.files:
            clip = encoded(path, Path(folder))
            one = detector.check(clip)
            other, count = in_pieces(detector, clip, options.piece)
            said = [f"{v.verdict or v.status} {v.p_fake or 0:.3f}" for v in (one, other)]
            persons = [str(len(v.tracks)) for v in (one, other)]
            rows.append([path.name, str(count), *said, *persons])
            if count > 1 and one.p_fake is not None and other.p_fake is not None:
                differences.append(abs(one.p_fake - other.p_fake))
            print(path.name, *said, file=sys.stderr, flush=True)
    head = ["clip", "pieces", "in one go", "in pieces", "persons", "in pieces"]
    print("\n".join(table([head, *rows])))
    if differences:
        print(
            f"of the {len(differences)} clips that were cut p_fake differs by"
            f" {statistics.median(differences):.3f} in the median, {max(differences):.3f} at most"
        )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.pieces", description="A clip in one go, and in pieces."
    )
    parser.add_argument("files", nargs="+", type=input_file, metavar="FILE", help="clips")
    parser.add_argument("--model", default="default", metavar="MODEL", help="default: %(default)s")
    parser.add_argument("--piece", type=float, default=3.0, metavar="SECONDS",
        help="of a piece; default: %(default)g")  # fmt: skip
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
