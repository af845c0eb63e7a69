"""Judges that look at names only, and may go wrong: by them the scheduling is tested."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from minimeso.engine.bindings import lib
from minimeso.errors import EngineError, ModelError
from minimeso.media.key_frames import Span
from minimeso.scan.judge import Alive, Answer, Job
from minimeso.scan.pieces import Cut, JudgedPiece
from minimeso.scan.schema import outcome_of
from tools.bench.stub_judge import verdict_of

__all__ = ["Stub", "verdict_of"]


class Stub(NamedTuple):
    """Makes a judge whose verdicts follow from names; a name may also say what goes wrong.

    Attributes:
        log: a file that gets a line for each file that is judged; none if empty.
        seconds: how long each takes.
        key: of the settings.
    """

    log: str = ""
    seconds: float = 0.0
    key: str = "stub"

    def blamed(self) -> dict[str, Any]:
        return {"settings": self.key, "prior": 0.5, "model": "stub"}

    def __call__(self, scratch: str | None) -> Callable[[Job, Alive], Answer]:
        return self._judge

    def _judge(self, job: Job, alive: Alive) -> Answer:
        path, size, stamp, _ = job.entry
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{path}\n")
        name = path.rpartition("/")[2]
        if name.startswith("long"):
            return self._long(job, name)
        if name.startswith("hang"):
            time.sleep(1e6)
        if name.startswith("busy"):
            while True:
                alive()
        if name.startswith("eat"):
            eaten = []
            while True:
                eaten.append(b"x" * (8 << 20))
                alive()
        if name.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("overflow"):
            raise ModelError("its weights overflow")
        if name.startswith("large"):
            raise EngineError("too large for this machine", lib.MM_E_NOMEM)
        if name.startswith("raise"):
            raise RuntimeError("unexpected")
        time.sleep(self.seconds)
        return outcome_of(verdict_of(path), path, "0" * 64, size, stamp, self.key)

    def _long(self, job: Job, name: str) -> Answer:
        """In five pieces; what is wrong with one stands behind the name: ``long-die``."""
        path, size, stamp, _ = job.entry
        if job.work is None:
            spans = tuple(Span(0, n, n + 1) for n in range(5))
            return Cut(path, "0" * 64, size, stamp, spans)
        time.sleep(self.seconds)
        if job.work.pieces:
            assert job.work.pieces == tuple(b"%d" % n for n in range(5))
            return outcome_of(verdict_of(path), path, "0" * 64, size, stamp, self.key)
        if "die" in name and job.work.number in (1, 3):
            os.kill(os.getpid(), signal.SIGKILL)
        return JudgedPiece(path, job.work.number, b"%d" % job.work.number)
