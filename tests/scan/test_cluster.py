"""Scans on a cluster of this machine: what is killed, hangs or is run again, and what it gives."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.scans import OF_CLUSTERS, both, judges, numbered, rows, stubs, workers
from support.stub_judges import Stub, verdict_of

from minimeso.errors import InputError
from minimeso.scan import Limits, Scan, State
from minimeso.scan.source import Entry

pytest_plugins = ["support.leftovers"]
pytestmark = OF_CLUSTERS


def scan(
    entries: list[Entry],
    out: Path,
    stub: Stub,
    on_progress: Callable[[State], None] | None = None,
    stop: threading.Event | None = None,
    **options: Any,
) -> State:
    """A scan by stub judges on two workers."""
    found = Scan(entries, str(out), make=stub, workers=options.pop("workers", 2), **options)
    return found.run(on_progress, stop)


def check(out: Path, entries: list[Entry]) -> None:
    """Every entry has its row, once, and its tracks."""
    files, tracks = both(out)
    assert [row["path"] for row in files] == sorted(entry.path for entry in entries)
    for row in files:
        verdict = verdict_of(row["path"])
        ours = [track for track in tracks if track["path"] == row["path"]]
        assert row["p_fake"] == verdict.p_fake and len(ours) == len(verdict.tracks)


class Killer:
    """Kills processes of a running scan when so many files are done."""

    def __init__(self, find: Callable[[], list[Any]], *when: int) -> None:
        self._find, self._when = find, list(when)
        self.killed = 0

    def __call__(self, state: State) -> None:
        if self._when and state.done >= self._when[0]:
            found = self._find()
            if found:
                os.kill(found[self.killed % len(found)].pid, signal.SIGKILL)
                self.killed += 1
                self._when.pop(0)


def test_workers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    entries = numbered(300)
    killer = Killer(workers, 20, 120)
    state = scan(entries, tmp_path / "out", Stub(seconds=0.02), killer)
    assert killer.killed == 2 and state.done == 300
    check(tmp_path / "out", entries)


def test_judges_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    """The file is not to blame."""
    entries = numbered(200)
    killer = Killer(judges, 10, 50, 80)
    scan(entries, tmp_path / "out", Stub(seconds=0.02), killer)
    assert killer.killed == 3
    check(tmp_path / "out", entries)
    assert not judges()


def test_workers_hear_no_signals_that_are_for_the_scan(tmp_path: Path) -> None:
    """Terminals and ``systemd`` send them to all; workers that ended of one were started anew
    while Dask closed, which took half a minute."""
    seen: list[set[int]] = []

    def on_progress(state: State) -> None:
        if state.done >= (10, 150, 1000)[len(seen)]:
            family = [*workers(), *judges()]
            seen.append({one.pid for one in family})
            for one in family:
                one.send_signal(signal.SIGINT)
                one.send_signal(signal.SIGTERM)

    scan(numbered(200), tmp_path / "out", Stub(seconds=0.02), on_progress)
    assert len(seen) == 2 and seen[0] == seen[1] and len(seen[0]) >= 4


def test_poison(tmp_path: Path) -> None:
    """Each is given up for its reason, and hurts no other."""
    good = numbered(40)
    bad = stubs("hang", "eat", "die", "busy", "raise")
    log = tmp_path / "log"
    limits = Limits(stall=4.0, seconds=9.0, memory=400 << 20)
    entries = good[:10] + bad + good[10:]
    state = scan(entries, tmp_path / "out", Stub(str(log)), limits=limits)
    assert state.results["given_up"] == 5
    files = {row["path"].rpartition("/")[2]: row for row in rows(tmp_path / "out")}
    reasons = {name: row["reason"] for name, row in files.items() if row["status"] == "given_up"}
    assert reasons == {
        "hang": "no sign of life for 4 s",
        "eat": "more than 400 MiB of memory",
        "die": "the process that judged it died 3 times (signal 9)",
        "busy": "not done after 9 s",
        "raise": "an error that nobody expected: RuntimeError: unexpected",
    }
    assert len(files) == 45
    for entry in good:
        assert files[entry.path.rpartition("/")[2]]["status"] == "ok"
    log.unlink()
    assert scan(entries, tmp_path / "out", Stub(str(log)), limits=limits).total == 0
    assert not log.exists()
    again = scan(entries, tmp_path / "out", Stub(str(log), key="stub"), limits=limits, retry=True)
    assert again.total == 5
    judged = Counter(log.read_text().split())
    assert judged == {e.path: 3 if e.path.endswith("die") else 1 for e in bad}


def test_only_what_is_missing_or_changed(tmp_path: Path) -> None:
    entries, log = numbered(30), tmp_path / "log"
    scan(entries[:20], tmp_path / "out", Stub(str(log)))
    changed = [entries[3]._replace(stamp="another"), *entries[:3], *entries[4:]]
    log.unlink()
    state = scan(changed, tmp_path / "out", Stub(str(log)))
    assert (state.found, state.total) == (30, 11)
    assert sorted(log.read_text().split()) == sorted(
        [entries[3].path, *(e.path for e in entries[20:])]
    )
    check(tmp_path / "out", entries)
    log.unlink()
    assert scan(changed, tmp_path / "out", Stub(str(log))).total == 0
    assert not log.exists()
    assert scan(changed, tmp_path / "out", Stub(str(log), key="other")).total == 30
    check(tmp_path / "out", entries)
    assert {row["settings"] for row in rows(tmp_path / "out")} == {"other"}


def test_stopping_keeps_what_is_done(tmp_path: Path) -> None:
    entries, stop = numbered(200), threading.Event()
    first, second = tmp_path / "first", tmp_path / "second"

    def on_progress(state: State) -> None:
        if state.done >= 30:
            stop.set()

    state = scan(entries, tmp_path / "out", Stub(str(first), 0.02), on_progress, stop)
    assert state.stopped and 30 <= state.done < 200
    assert len(rows(tmp_path / "out")) == state.done
    assert scan(entries, tmp_path / "out", Stub(str(second))).total == 200 - state.done
    assert len(second.read_text().split()) == 200 - state.done
    check(tmp_path / "out", entries)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the current folder")
def test_in_a_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python starts no process there, of which Dask did not hear."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    entries = [*numbered(3), Entry("relative", 100, "stamp")]
    scan(entries, tmp_path / "out", Stub(), workers=1)
    check(tmp_path / "out", entries)
    with pytest.raises(InputError, match="out: the current folder was deleted"):
        scan(entries, Path("out"), Stub())


def test_nothing_to_do(tmp_path: Path) -> None:
    state = scan([], tmp_path / "out", Stub())
    assert (state.found, state.total, state.dashboard) == (0, 0, None)


def test_a_judge_that_cannot_be_made(tmp_path: Path) -> None:
    from minimeso.errors import MinimesoError
    from minimeso.scan.judge import OpenJudge
    from minimeso.scan.settings import Settings

    make = OpenJudge(Settings(model=str(tmp_path / "gone.npz")))
    with pytest.raises(MinimesoError, match=r"gone\.npz"):
        Scan(numbered(3), str(tmp_path / "out"), make=make, workers=1).run()
    assert not (tmp_path / "out" / "files").exists()
