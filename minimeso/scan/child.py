"""The process that judges: started by ``process.JudgeProcess``, it takes one file after the other.

Messages are pickled, each behind its length.  It ends when its parent does, whatever it is doing:
a thread waits for the end of stdin, and a timer of the system ends it where no thread can run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from ..engine.bindings import lib
from ..errors import EngineError, ModelError, OutputError
from ..media.memory_limit import limit_memory

#: Seconds between two signs of life that are sent on.
_ALIVE_SECONDS = 0.5
#: Seconds after the parent's own limits in which the system's timer ends what hangs.
_GRACE_SECONDS = 30
#: Memory that may be asked for at once beyond the limit, which is watched from outside.
_BURST = 1 << 30
_HEAD = struct.Struct("<Q")


def send(pipe: IO[bytes], message: object) -> None:
    """Write a message."""
    send_bytes(pipe, pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


def send_bytes(pipe: IO[bytes], data: bytes) -> None:
    """Write a message that is pickled already."""
    pipe.write(_HEAD.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next message.

    Raises:
        EOFError: the other side is gone.
    """
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise EOFError
    (size,) = _HEAD.unpack(head)
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    """Judge what comes, until nothing does."""
    try:
        _judge_all()
    except BrokenPipeError:  # nobody hears the answer any more: that is no error to be told
        os._exit(0)


def _judge_all() -> None:
    with contextlib.suppress(AttributeError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started all this
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints no answers
    questions: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=_read, args=(questions,), daemon=True).start()
    make, scratch, limits = pickle.loads(questions.get())
    limit_memory(limits.memory + _BURST)
    try:
        judge = make(scratch)
    except Exception as error:
        send(answers, ("failed", _described(error)))
        return
    send(answers, ("ready", None))
    while True:
        job = questions.get()
        _alarm(limits.seconds + _GRACE_SECONDS)
        send(answers, _answer(judge, job, _Alive(answers)))
        _alarm(0)


class _Alive:
    """Sends signs of life, now and then."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers, self._last = answers, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last >= _ALIVE_SECONDS:
            self._last = now
            send(self._answers, ("alive", None))


def _answer(judge: Callable[..., Any], job: Any, alive: _Alive) -> tuple[str, Any]:
    try:
        return "judged", judge(job, alive)
    except MemoryError:
        return "memory", None
    except OutputError as error:  # no fault of the file
        return "broken", error
    except EngineError as error:
        return ("memory", None) if error.code == lib.MM_E_NOMEM else ("model", _said(error))
    except ModelError as error:
        return "model", _said(error)
    except Exception as error:
        return "error", _described(error)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {_said(error)}"


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0][:500]


def _read(questions: queue.Queue[Any]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            questions.put(receive(sys.stdin.buffer))
    os._exit(0)  # nobody wants the answer any more


def _alarm(seconds: float) -> None:
    with contextlib.suppress(AttributeError, ValueError, OverflowError):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
