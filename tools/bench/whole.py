"""The whole job, from a clip to its verdict, for `tools.bench --video`.

Everybody works in fresh processes, in turns, on the same cores: PyAV that only decodes, minimeso at
its default sampling and on every frame, and the usual route (usual.py) on every frame of the
clip's beginning.  What counts is the time of the process from start to end, as a person waits for
it, and the median of the turns (what of it is the start of Python and of libraries is what a clip
of eight frames takes); of the usual route, which needs seconds to load PyTorch, only the
work itself, for each frame, so it can only look faster than it is.

Then memory: the most that a process ever used, at 1080 lines, for a clip and one four times as
long.  And where the time goes, see timers.py.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minimeso.cli.output import table
from tools.bench import clips, timers, workers
from tools.bench.machine import PACKAGE, REPORT_MEMORY
from tools.bench.peers import UnavailableError
from tools.bench.report import Target, plural, target, target_lines

FRAMES = 1500
LINES = 1080
LONGER = 4
START_FRAMES = 8
USUAL_FRAMES = 64

DECODE, DECODE_TO_RGB = "PyAV, decoding alone", "PyAV, decoding to RGB"
SAMPLED, EVERY_FRAME = "minimeso, default sampling", "minimeso, every frame"
USUAL = "usual route, every frame"

#: Targets.
MOST_OF_DECODING = 1.6  # of a pair; its fast network alone 1.25
MOST_SECONDS = 6.0  # for 1500 frames
LEAST_FASTER = 15.0
MOST_MEGABYTES = 200.0
MOST_GROWTH = 1.05

_READ = """
import sys
import av
with av.open(sys.argv[1]) as clip:
    stream = clip.streams.video[0]
    stream.thread_type = "AUTO"
    frames = 0
    for frame in clip.decode(stream):
        {what}
        frames += 1
print(frames)
"""
_DETECT = """
import sys
from minimeso.cli import main
main(["detect", *sys.argv[1:], "--json"])
"""
SCRIPTS = {
    DECODE: _READ.format(what="pass"),
    DECODE_TO_RGB: _READ.format(what='frame.to_ndarray(format="rgb24")'),
    SAMPLED: _DETECT,
    EVERY_FRAME: _DETECT,
}
OPTIONS = {EVERY_FRAME: ["--every-frame"]}


@dataclass(frozen=True)
class Run:
    """One process: wall seconds, seconds of all its cores, most bytes, and what it printed."""

    seconds: float
    cpu_seconds: float
    memory: int
    answer: str


def measure(
    clip: Path, frames: int, cores: int, rounds: int, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everything; intermediate clips go to a folder.

    Raises:
        UnavailableError: PyAV is missing, or the clip cannot be read or judged.
    """
    say(f"making a clip of {frames} frames")
    made = clips.repeated(clip, frames, folder)
    short = clips.repeated(clip, START_FRAMES, folder)
    found: dict[str, Any] = {"clip": str(made), "frames": frames, "cores": cores}
    with _pinned(workers.cores(cores)):
        found |= times(made, short, cores, rounds, say)
    with _pinned(workers.cores(cores)):
        found["memory"] = memory(clip, frames, cores, folder, say)
    say("where the time goes")
    worker = workers.Worker(1, folder / "timers.log")
    try:
        found["stages"] = {
            name: worker.ask(timers.measure, made.path, name == EVERY_FRAME, min(rounds, 3))
            for name in (SAMPLED, EVERY_FRAME)
        }
    finally:
        worker.close()
    say("")
    found["targets"] = targets(found)
    return found


# --- time ------------------------------------------------------------------------------------


def times(
    clip: clips.Clip, short: clips.Clip, cores: int, rounds: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Everybody's turns; those on a few frames say what it costs to start."""
    frames = clip.frames
    runs: dict[str, list[Run]] = {name: [] for name in SCRIPTS}
    starts: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    usual: list[dict[str, Any]] = []
    missing: list[str] = []

    def turn(name: str) -> None:
        say(f"{name}: turn {len(runs[name]) + 1} of {rounds}")
        starts[name].append(_job(name, short.path, cores, short.frames).seconds)
        runs[name].append(_job(name, clip.path, cores, frames))

    def usual_turn() -> None:
        if missing:
            return
        say(f"{USUAL}: turn {len(usual) + 1} of {rounds}")
        try:
            usual.append(_usual(clip.path, min(frames, USUAL_FRAMES), cores))
        except UnavailableError as error:
            missing.append(str(error))

    turns = {name: partial(turn, name) for name in SCRIPTS} | {USUAL: usual_turn}
    for _ in workers.take_turns(turns, rounds):
        pass
    jobs = {
        name: _statistics(runs[name], frames) | {"start_seconds": statistics.median(starts[name])}
        for name in runs
    }
    found: dict[str, Any] = {"jobs": jobs}
    if usual:
        jobs[USUAL] = _scaled(usual, frames)
        found["usual"] = usual[0] | {"seconds": [run["seconds"] for run in usual]}
    else:
        found["unavailable"] = {USUAL: missing[0]}
    for job in jobs.values():
        job["ratio_to_decoding"] = job["seconds"] / jobs[DECODE]["seconds"]
        job["ratio_to_every_frame"] = job["seconds"] / jobs[EVERY_FRAME]["seconds"]
    verdict = json.loads(runs[EVERY_FRAME][0].answer)
    found["seen"] = {
        "verdict": verdict["verdict"],
        "tracks": len(verdict["tracks"]),
        "frames_scored": verdict["frames_scored"],
        "faces_scored": sum(len(track["frames"]) for track in verdict["tracks"]),
        "left_out": verdict["left_out"],
    }
    return found


def _job(name: str, clip: Path, cores: int, frames: int) -> Run:
    """One process of ours or PyAV's; it must have read all frames."""
    arguments = [str(clip), *OPTIONS.get(name, [])]
    if SCRIPTS[name] is _DETECT:
        arguments += ["--threads", str(cores)]
    done = _run([sys.executable, "-c", SCRIPTS[name] + REPORT_MEMORY, *arguments])
    if SCRIPTS[name] is not _DETECT:
        count = int(done.answer)
    else:
        verdict = json.loads(done.answer)
        if verdict["status"] not in ("ok", "no_face"):
            raise UnavailableError(f"{clip.name}: {verdict['status']}: {verdict['note']}")
        count = verdict["frames_read"]
    if count != frames:
        raise UnavailableError(f"{name} read {count} of {frames} frames: not the whole job")
    return done


def _usual(clip: Path, frames: int, cores: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.bench.usual", str(clip), str(frames), str(cores)]
    result: dict[str, Any] = json.loads(_run(command, has_memory=False).answer)
    return result


def _run(command: Sequence[str], has_memory: bool = True) -> Run:
    """A process from start to end; its last line is its memory, the one before its answer."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - start, os.times()
    lines = done.stdout.strip().splitlines()
    if done.returncode or len(lines) < 1 + has_memory:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UnavailableError(said[:200])
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    memory = int(lines[-1]) if has_memory else 0
    return Run(seconds, cpu, memory, lines[-1 - has_memory])


def _statistics(runs: Sequence[Run], frames: int) -> dict[str, Any]:
    seconds = sorted(run.seconds for run in runs)
    median = statistics.median(seconds)
    return {
        "seconds": median,
        "least": seconds[0],
        "most": seconds[-1],
        "turns": len(seconds),
        "ms_of_a_frame": 1e3 * median / frames,
        "cores_busy": statistics.median(run.cpu_seconds / run.seconds for run in runs),
        "memory_bytes": max(run.memory for run in runs),
    }


def _scaled(runs: Sequence[Mapping[str, Any]], frames: int) -> dict[str, Any]:
    """The usual route's seconds for all frames, by what it took for some."""
    each = sorted(run["seconds"] / run["frames"] for run in runs)
    return {
        "seconds": frames * statistics.median(each),
        "least": frames * each[0],
        "most": frames * each[-1],
        "turns": len(each),
        "ms_of_a_frame": 1e3 * statistics.median(each),
        "timed_frames": runs[0]["frames"],
    }


@contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    """Processes that are started meanwhile have these cores only (where the system can do that)."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- memory ----------------------------------------------------------------------------------


def memory(
    clip: Path, frames: int, cores: int, folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Most memory at 1080 lines, for a clip and a longer one."""
    say(f"scaling the clip to {LINES} lines")
    large = clips.scaled(clip, LINES, folder)
    found = []
    for count in (frames, LONGER * frames):
        say(f"making a clip of {count} frames of {LINES} lines")
        made = clips.repeated(large, count, folder)
        for name in (SAMPLED, EVERY_FRAME):
            say(f"{name}: {count} frames of {LINES} lines")
            run = _job(name, made.path, cores, count)
            found.append(
                {
                    "job": name,
                    "clip": str(made),
                    "frames": count,
                    "memory_bytes": run.memory,
                    "seconds": run.seconds,
                }
            )
        made.path.unlink()
    return found


# --- what it says ----------------------------------------------------------------------------


def targets(found: Mapping[str, Any]) -> list[Target]:
    """What issue 9 wants: the value, its bound, whether it is met."""
    jobs, frames = found["jobs"], found["frames"]
    most: dict[str, list[float]] = {}
    for row in found["memory"]:
        most.setdefault(row["job"], []).append(row["memory_bytes"] / 1e6)
    results = [
        target("default sampling over decoding alone", jobs[SAMPLED]["ratio_to_decoding"], "x",
                at_most=MOST_OF_DECODING),
        target(f"every frame, seconds for {FRAMES} frames",
                jobs[EVERY_FRAME]["seconds"] * FRAMES / frames, "s", at_most=MOST_SECONDS),
    ]  # fmt: skip
    if USUAL in jobs:
        faster = jobs[USUAL]["ratio_to_every_frame"]
        results.append(target("faster than the usual route", faster, "x", at_least=LEAST_FASTER))
    for name, megabytes in most.items():
        growth = megabytes[-1] / megabytes[0]
        results += [
            target(f"memory at {LINES} lines, {name}", max(megabytes), "MB",
                    at_most=MOST_MEGABYTES),
            target(f"memory of {LONGER} times the frames, {name}", growth, "x",
                    at_most=MOST_GROWTH),
        ]  # fmt: skip
    return results


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """All of it for a person."""
    yield ""
    yield f"{found['clip']}; {plural(found['cores'], 'core')}, medians"
    rows = [["", "seconds", "(least, most)", "to start", "ms of a frame", "over decoding", "cores",
             "MB"]]  # fmt: skip
    for name, job in found["jobs"].items():
        rows.append([
            name, f"{job['seconds']:.2f}", f"({job['least']:.2f}, {job['most']:.2f})",
            f"{job['start_seconds']:.2f}" if "start_seconds" in job else "",
            f"{job['ms_of_a_frame']:.2f}", f"{job['ratio_to_decoding']:.2f}x",
            f"{job['cores_busy']:.2f}" if "cores_busy" in job else "",
            f"{job['memory_bytes'] / 1e6:.0f}" if "memory_bytes" in job else "",
        ])  # fmt: skip
    yield from table(rows, right=range(1, 8))
    yield from _remarks(found)
    for name, stages in found["stages"].items():
        yield ""
        yield f"{name}, one thread: where the time goes"
        yield from table(timers.rows(stages), right=(1, 2, 3))
    yield ""
    for row in found["memory"]:
        size = f"{row['memory_bytes'] / 1e6:.0f} MB, {row['seconds']:.1f} s"
        yield f"{row['job']}, {row['frames']} frames of {LINES} lines: {size}"
    yield ""
    yield from target_lines(found["targets"])


def _remarks(found: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in found.get("unavailable", {}).items():
        yield f"not measured: {name}: {reason}"
    if usual := found.get("usual"):
        yield (
            f"{USUAL}: MTCNN of facenet-pytorch and MesoInception-4 in PyTorch, timed on the first "
            f"{usual['frames']} frames ({plural(usual['at_once'], 'frame')} at once, "
            f"{plural(usual['faces'], 'face')}) and scaled; torchvision: {usual['torchvision']}"
        )
    seen = found["seen"]
    yield (
        f"seen in every frame: {plural(seen['tracks'], 'person')}, {seen['faces_scored']} faces "
        f"judged in {seen['frames_scored']} frames, left out: {seen['left_out'] or 'none'}"
    )
