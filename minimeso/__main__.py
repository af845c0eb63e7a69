"""``python -m minimeso`` and the command ``minimeso``."""

import _thread
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: As ``cli.output.INTERRUPTED`` and ``FAILED``, which may not be there yet.
_INTERRUPTED, _FAILED = 130, 70
#: What ends a process unless it says otherwise; Windows knows only the first.
_ENDING = ("SIGTERM", "SIGHUP")


def run() -> int:
    """The command line, in which Ctrl-C is quiet from the first import on.

    NumPy answers one that comes while its C parts are imported with an ``ImportError`` and a page
    of advice, so whatever error follows a Ctrl-C is taken for it.  SIGTERM and SIGHUP end the
    process as an exception does, so that no half-written file stays.  An exception that nobody
    expected is printed as Python does, but does not end with its status, 1: with ``--fail-on`` that
    says that a file is fake.
    """
    interrupted = False
    ending = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def end(number: int, _: object) -> None:
        nonlocal ending
        ending = number
        for name in _ENDING:  # a second one does not disturb the tidying
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        raise SystemExit(128 + number)

    def lost(found: "UnraisableHookArgs") -> None:
        """Raised while something was tidied away (modules have callbacks that do so), where Python
        would print the exception and go on."""
        if isinstance(found.exc_value, KeyboardInterrupt) and interrupted:
            _thread.start_new_thread(_again, (signal.SIGINT, _thread.get_ident()))
        elif isinstance(found.exc_value, SystemExit) and ending:
            signal.signal(ending, end)
            _thread.start_new_thread(_again, (signal.Signals(ending), _thread.get_ident()))
        else:
            sys.__unraisablehook__(found)

    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lost
    for name in _ENDING:
        wanted = getattr(signal, name, None)
        if wanted is not None and signal.getsignal(wanted) is signal.SIG_DFL:
            signal.signal(wanted, end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if sys.argv[1:2] == ["detect"]:
        # NumPy's BLAS else starts threads, for which nothing is to be done: 60 ms of CPU time
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from .cli import main

        status = main()
        gc.freeze()  # the end of Python need not look for cycles: a tenth of a short command's time
        return status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        if interrupted:  # this is what an interrupted import makes of Ctrl-C
            return _INTERRUPTED
        sys.excepthook(type(error), error, error.__traceback__)
        return _FAILED


def _again(number: signal.Signals, thread: int) -> None:
    """The signal once more, when what it came into has ended."""
    time.sleep(0.02)
    if hasattr(signal, "pthread_kill"):  # wakes who waits for the system, too
        signal.pthread_kill(thread, number)
    else:
        _thread.interrupt_main(number)


if __name__ == "__main__":
    sys.exit(run())
