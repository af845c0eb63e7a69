"""The start of the command: what it imports, and Ctrl-C before anything else could be done."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import minimeso
from minimeso import errors
from minimeso.cli import main
from minimeso.cli.inputs import Input
from minimeso.cli.job import Job

HEAVY = (
    "numpy",
    "scipy",
    "PIL",
    "av",
    "cffi",
    "_cffi_backend",
    "minimeso.engine",
    "dask",
    "tornado",
)


def imported_by(code: str) -> set[str]:
    """What a new process has imported after some code."""
    code += "\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "command", [[], ["detect"], ["gui"], ["scan"], ["info"], ["bench"], ["verify"], ["export"]]
)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = f"from minimeso.cli import main; assert main({[*command, '--help']!r}) == 0"
    assert not imported_by(code).intersection(HEAVY)


def test_a_command_imports_no_other() -> None:
    """Nor what takes as long to import as a model to load."""
    judged = imported_by("from minimeso.cli import main; main(['detect', 'no-such-file'])")
    assert not judged & {"minimeso.cli.scan", "minimeso.cli.bench"}
    ours = judged - imported_by("import numpy")
    assert not ours & {"shutil", "pathlib", "tempfile", "fractions", "statistics", "scipy"}


def test_the_package_imports_nothing_heavy_until_it_is_used() -> None:
    assert not imported_by("import minimeso; dir(minimeso); minimeso.InputError").intersection(
        HEAVY
    )
    assert "numpy" in imported_by("from minimeso import Detector")


def test_every_name_is_there() -> None:
    assert set(errors.__all__) <= set(minimeso.__all__) <= set(dir(minimeso))
    for name in minimeso.__all__:
        assert getattr(minimeso, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        minimeso.nothing  # noqa: B018


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("wait", [0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3])
@pytest.mark.parametrize("command", [["--help"], ["detect", os.devnull]])
def test_ctrl_c_leaves_no_traceback(command: list[str], wait: float) -> None:
    # Python itself needs some time before any code of ours can run, so it says when that is; while
    # Python ends itself the signal ends it without a word
    code = (
        "import sys; from minimeso.__main__ import run; print('!', flush=True); "
        f"sys.argv[1:] = {command!r}; sys.exit(run())"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None and running.stdout.readline() == "!\n"
    time.sleep(wait)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert "Traceback" not in errors and running.returncode in (0, 3, 130, -signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_that_an_import_makes_another_error_of() -> None:
    """As NumPy does."""
    code = """if True:
        import os, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        import minimeso.cli
        from minimeso.__main__ import run
        def main():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                signal.pause()
            except KeyboardInterrupt:
                raise ImportError("a page of advice")
        minimeso.cli.main = main
        raise SystemExit(run())"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130 and not done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 128 + signal.SIGTERM)])
def test_a_signal_while_something_is_tidied_away_is_not_lost(name: str, status: int) -> None:
    """What a weak reference's callback raises is only printed by Python: imports have some."""
    code = f"""if True:
        import os, signal, time, weakref
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        import minimeso.cli
        from minimeso.__main__ import run
        class Thing:
            pass
        def tidied(_):
            os.kill(os.getpid(), signal.{name})
            time.sleep(0)
        def main():
            thing = Thing()
            watched = weakref.ref(thing, tidied)
            del thing
            time.sleep(30)
            return 0
        minimeso.cli.main = main
        raise SystemExit(run())"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("error", ["ImportError('no C engine')", "RuntimeError('a fault')"])
def test_other_errors_are_told(error: str) -> None:
    """And do not end with Python's 1, which says that a file is fake, or a layer wrong."""
    code = f"""if True:
        import minimeso.cli
        from minimeso.__main__ import run
        def main():
            raise {error}
        minimeso.cli.main = main
        raise SystemExit(run())"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 70
    assert done.stderr.startswith("Traceback") and error.split("'")[1] in done.stderr


def test_too_little_memory_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback, and no status that says something of a file."""

    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minimeso.detect.Detector", none_left)
        assert main(["detect", "--fail-on", "fake", str(tmp_path / "a.jpg")]) == 70
    assert capsys.readouterr().err.startswith("minimeso: needs more memory than there is")


def test_what_was_loaded_is_not_looked_through_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "grey.png"
    Image.new("RGB", (64, 64)).save(path)
    kept: list[int] = []
    judge = Job.judge

    def judged(self: Job, number: int, source: Input) -> None:
        kept.append(gc.get_freeze_count() if gc.isenabled() else 0)
        judge(self, number, source)

    monkeypatch.setattr(Job, "judge", judged)
    assert main(["detect", "--fast", str(path)]) == 0
    assert len(kept) == 1
    assert kept[0] > 1000
    assert gc.isenabled()
    assert not gc.get_freeze_count()  # as whoever called finds it
