"""How scans end: stopped while they list, left by workers, without room, with other models."""

from __future__ import annotations

import errno
import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

import fsspec
from PIL import Image
from support.detectors import constant_detector, photo, saved, saved_pair, small_pair
from support.instant import Instant
from support.scans import numbered, outcome, rows, write
from support.stub_judges import Stub, verdict_of

from minimeso.errors import EngineError, ModelError, OutputError
from minimeso.scan import Limits, Scan, Settings, State, copies
from minimeso.scan import run as module
from minimeso.scan.child import _answer, send
from minimeso.scan.dataset import Dataset, Writer
from minimeso.scan.judge import Job, Judge, OpenJudge
from minimeso.scan.pending import Pending
from minimeso.scan.process import _CHILD, JudgeProcess, _with_path
from minimeso.scan.schema import Outcome, given_up
from minimeso.scan.source import Entry

pytest_plugins = ["support.instant_cluster"]

# --- stopping -----------------------------------------------------------------------------------


def test_stopping_while_listing_is_no_end(tmp_path: Path, cluster: list[str]) -> None:
    """Even if all that was found until then is done."""
    entries, stop = numbered(1200), threading.Event()
    assert Scan(entries, str(tmp_path), make=Stub()).run().done == 1200

    def on_progress(state: State) -> None:
        if state.phase == "listing" and state.found == 500:
            stop.set()

    state = Scan(entries, str(tmp_path), make=Stub()).run(on_progress, stop)
    assert state.stopped and not state.is_listed and state.total == 0
    again = Scan(entries, str(tmp_path), make=Stub()).run()
    assert again.is_listed and not again.stopped and again.total == 0


def test_a_judge_whose_worker_is_gone_says_nothing() -> None:
    """Stdin may still be open when its answer finds nobody: it wrote half a traceback then."""
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_with_path(sys.path),
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        send(process.stdin, pickle.dumps((Stub(), None, Limits())))
        assert process.stderr is not None and process.stderr.read() == b""
        assert process.wait(60) == 0


def test_entries_that_come_twice_are_judged_once(tmp_path: Path, cluster: list[str]) -> None:
    state = Scan([*numbered(5), *numbered(5)], str(tmp_path), make=Stub()).run()
    assert state.done == 5 == len(rows(tmp_path)) and state.skipped == {"paths named again": 5}


def test_what_came_is_written_while_nothing_comes(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[Outcome]] = []
    add = Writer.add

    def watched(self: Writer, outcomes: Any) -> None:
        given.append(list(outcomes))
        add(self, given[-1])

    monkeypatch.setattr(Writer, "add", watched)
    Scan(numbered(3), str(tmp_path / "scan"), make=Stub()).run()
    assert [] in given and sum(map(len, given)) == 3
    writer = (dataset := Dataset(str(tmp_path / "out"))).writer(dataset.index())
    writer.add([outcome("a")])
    assert not (tmp_path / "out" / "files").exists()
    writer._flushed -= 100
    writer.add(())
    assert len(rows(tmp_path / "out")) == 1


# --- workers ------------------------------------------------------------------------------------


def test_workers_of_this_machine_that_go_away_are_replaced(
    tmp_path: Path, cluster: list[str]
) -> None:
    """As after a night in which the computer slept."""
    cluster.append("cancelled")
    assert Scan(numbered(20), str(tmp_path), make=Stub()).run().done == 20
    assert len(rows(tmp_path)) == 20


def test_workers_that_always_go_away_are_told(tmp_path: Path, cluster: list[str]) -> None:
    cluster += ["cancelled"] * 3
    with pytest.raises(EngineError, match="workers of this machine"):
        Scan(numbered(20), str(tmp_path), make=Stub()).run()


def test_a_scheduler_without_workers(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instant, "nthreads", lambda _: {})
    seen = []
    Scan(numbered(3), str(tmp_path), make=Stub()).run(
        lambda state: seen.append((state.phase, state.workers))
    )
    assert ("judging", 0) in seen


def test_workers_of_others_keep_nothing_after_an_error(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a normal end."""
    called: list[Any] = []

    def full(*_: object) -> None:
        raise OutputError("no room")

    monkeypatch.setattr(Instant, "run", lambda _, *call: called.append(call), raising=False)
    monkeypatch.setattr(module, "remote_client", lambda _: module.local_client())
    monkeypatch.setattr(Dataset, "_write", full)
    monkeypatch.setattr("minimeso.scan.dataset.FLUSH_SECONDS", -1.0)
    with pytest.raises(OutputError):
        Scan(numbered(3), str(tmp_path), make=Stub(), scheduler="tcp://there").run()
    assert [call for call, _ in called] == [module.end]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(saved(constant_detector(3.0), tmp_path), crops=True)


def test_a_worker_with_other_models_is_refused(settings: Settings) -> None:
    make = OpenJudge(settings)
    assert isinstance(make(None), Judge)
    settings.__dict__["key"] = "0" * 16  # as it comes from who has another version
    with pytest.raises(ModelError, match="same on every worker"):
        make(None)


# --- files --------------------------------------------------------------------------------------


class Changing:
    """A detector while whose work the file is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, path: str, **_: object) -> Any:
        self._path.write_bytes(b"something else")
        return verdict_of(path)


@pytest.mark.parametrize("protocol", ["", "file://"])
def test_a_file_that_changes_while_it_is_judged_has_no_hash(
    tmp_path: Path, settings: Settings, protocol: str
) -> None:
    """Or its old content, put back, would get the verdict of the new one."""
    path = tmp_path / "a.png"
    Image.fromarray(photo()).save(path)
    judge: Any = OpenJudge(settings)(None)
    judge._detector = Changing(path)
    found = judge(Job(Entry(f"{protocol}{path}")), lambda: None)
    assert found.file["sha256"] is None and found.stamp == ""
    assert found.file["path"] == f"{protocol}{path}"


def test_a_device_behind_an_address_is_not_copied(tmp_path: Path, settings: Settings) -> None:
    """One without an end filled the disk, and ended the scan."""
    (tmp_path / "a.mp4").symlink_to("/dev/zero")
    alive = iter(range(20))
    found = OpenJudge(settings)(None)(
        Job(Entry(f"file://{tmp_path}/a.mp4")), lambda: None if next(alive) < 9 else sys.exit(9)
    )
    assert isinstance(found, Outcome) and found.file is not None
    assert found.file["status"] == "unreadable" and "device" in found.file["reason"]


def test_what_is_given_up_names_the_same_model(tmp_path: Path) -> None:
    """Of a pair's fast network, and of a file, the rows of other files had another name."""
    path = saved_pair(small_pair(), tmp_path)
    for settings, name in ((Settings(path), "both"), (Settings(path, fast=True), "quick")):
        assert OpenJudge(settings).blamed()["model"] == name == settings.detector().model.name


@pytest.mark.parametrize("when", ["made", "written"])
def test_no_room_for_a_copy_is_no_fault_of_the_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    fsspec.filesystem("memory").pipe_file("/room/a.jpg", b"some bytes")
    real = copies.tempfile.NamedTemporaryFile

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def made(**options: Any) -> Any:
        if when == "made":
            full()
        file: Any = real(**options)
        monkeypatch.setattr(file, "write", full)
        return file

    monkeypatch.setattr(copies.tempfile, "NamedTemporaryFile", made)
    judge = OpenJudge(settings)(None)
    job = Job(Entry("memory://room/a.jpg"))
    with pytest.raises(OutputError, match=r"memory://room/a\.jpg .*No space left .*TMPDIR"):
        judge(job, lambda: None)
    alive: Any = lambda: None  # noqa: E731 (as much of it as is asked for)
    assert _answer(judge, job, alive)[0] == "broken"


def test_a_server_that_fails_is_told_of_the_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its package raises."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no such key\nand a page of advice")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "info", refuse)
    found = OpenJudge(settings)(None)(Job(Entry("memory://failing/a.jpg")), lambda: None)
    assert isinstance(found, Outcome) and found.file is not None
    assert found.file["reason"] == "no such key: try again with --retry"


def test_no_room_ends_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    process = JudgeProcess(Stub(), Limits(), None)
    monkeypatch.setattr(process, "_ensure", lambda: None)
    monkeypatch.setattr(process, "_ask", lambda _: ("broken", OutputError("no room")))
    with pytest.raises(OutputError, match="no room"):
        process.judge(Job(Entry("a")))


def test_no_room_for_what_is_to_be_done(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimeso.scan import pending

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pending.pickle, "dump", full)
    with pytest.raises(OutputError, match=r"No space left on device: .*TMPDIR"):
        Scan(numbered(3), str(tmp_path), make=Stub()).run()


class FullDisk(io.RawIOBase):
    """Takes nothing."""

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_for_what_is_to_be_done_is_said_also_where_closing_fails(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not written is tried once more when the file is closed."""
    from minimeso.scan import pending

    def full(**_: object) -> io.BufferedWriter:
        return io.BufferedWriter(FullDisk())

    monkeypatch.setattr(pending.tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"No space left on device: .*TMPDIR"):
        Scan(numbered(3), str(tmp_path), make=Stub()).run()


def test_no_file_for_what_is_to_be_done(
    tmp_path: Path, cluster: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from minimeso.scan import pending

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pending.tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"No space left on device: .*TMPDIR"):
        Scan(numbered(3), str(tmp_path), make=Stub()).run()


def test_no_folder_for_a_process_is_no_fault_of_the_worker(tmp_path: Path) -> None:
    process = JudgeProcess(Stub(), Limits(), str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"gone on .*TMPDIR"):
        process.judge(Job(Entry("a")))


def test_what_lies_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a checkout whose engine is not built, where another minimeso is installed."""
    (tmp_path / "minimeso").mkdir()
    (tmp_path / "minimeso" / "__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    process = JudgeProcess(Stub(), Limits(), None)
    try:
        process.judge(Job(Entry("/stub/a")))
        assert process.pid is not None
    finally:
        process.close()


def test_no_folder_for_a_copy_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no folder has room: Python looks for one that has."""

    def full(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    nowhere = SimpleNamespace(tempdir=None, gettempdir=full, NamedTemporaryFile=full)
    monkeypatch.setattr(copies, "tempfile", nowhere)
    with pytest.raises(OutputError, match=r"a\.jpg .*No usable .*TMPDIR"):
        copies.Copy("memory://room/a.jpg")


# --- trying again -------------------------------------------------------------------------------


def jobs(dataset: Dataset, *entries: Entry, retry: bool = False, key: str = "s") -> list[Job]:
    with Pending(iter(entries), dataset, dataset.index(retry), key) as pending:
        return list(pending)


@pytest.fixture
def blamed() -> Callable[[str, str], Outcome]:
    common = {"settings": "s", "prior": 0.5, "model": "m"}
    return lambda path, stamp: given_up(path, 1, stamp, "it hung", common)


def test_what_was_given_up_at_an_address_is_done(
    tmp_path: Path, blamed: Callable[[str, str], Outcome]
) -> None:
    """Although a list of addresses does not tell whether it changed."""
    dataset = write(tmp_path, blamed("s3://b/x", ""))
    entry = Entry("s3://b/x")
    assert not jobs(dataset, entry)
    assert jobs(dataset, entry, retry=True) == [Job(entry)] == jobs(dataset, entry, key="t")


def test_what_could_not_be_read_is_tried_again(
    tmp_path: Path, blamed: Callable[[str, str], Outcome]
) -> None:
    """As after the package that reads it was installed, or a server came back."""
    bad = outcome("bad")
    assert bad.file is not None
    bad.file["status"] = "unreadable"
    dataset = write(tmp_path, bad, blamed("given", "S"), outcome("good"))
    entries = [
        Entry("bad", 5, bad.stamp),
        Entry("given", 1, "S"),
        Entry("good", 5, "stamp of good"),
    ]
    assert not jobs(dataset, *entries)
    assert jobs(dataset, *entries, retry=True) == [Job(entry) for entry in entries[:2]]
    changed = entries[0]._replace(stamp="another")
    assert jobs(dataset, changed) == [Job(changed, "ab" * 32)]
