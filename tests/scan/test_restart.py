"""A scheduler of somebody else, which goes away in the middle and comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")
pytest.importorskip("pyarrow")

from support.scans import numbered, rows
from support.stub_judges import Stub

from minimeso.scan import Scan, State

pytest_plugins = ["support.leftovers"]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of connections that break off
    pytest.mark.usefixtures("no_leftovers"),
]


class Cluster:
    """``dask scheduler`` at one address, and two workers of it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._dask("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        more = ["--nthreads", "1", "--nworkers", "2", "--no-dashboard", "--death-timeout", "60"]
        self._dask("worker", self.address, *more)

    def _dask(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments]
        path = os.pathsep.join(place or "." for place in sys.path)
        self._running.append(
            subprocess.Popen(
                command, cwd=self._folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True, env={**os.environ, "PYTHONPATH": path},
            )
        )  # fmt: skip

    def kill(self) -> None:
        for one in self._running:
            os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        self._running.clear()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    found.start()
    time.sleep(3)
    yield found
    found.kill()


def test_a_scheduler_that_comes_back(tmp_path: Path, cluster: Cluster) -> None:
    entries, phases, restarted = numbered(120), [], []

    def on_progress(state: State) -> None:
        if state.done >= 30 and not restarted:
            restarted.append(state.done)
            cluster.kill()
            cluster.start()
        phases.append(state.phase)

    scan = Scan(entries, str(tmp_path / "out"), make=Stub(seconds=0.05), scheduler=cluster.address)
    state = scan.run(on_progress)
    assert restarted and "waiting" in phases and state.done == 120
    assert [row["path"] for row in rows(tmp_path / "out")] == [e.path for e in entries]
