"""In somebody else's program: pickled, copied, forked, closed, and quiet all the while."""

from __future__ import annotations

import ast
import copy
import gc
import io
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_weights
from support.detectors import constant_detector, small_detector

import minimeso
from minimeso import (
    Detector,
    EngineError,
    FaceFinder,
    Graph,
    InputError,
    Model,
    ModelError,
    Session,
    errors,
)
from minimeso.engine import find_model, library
from minimeso.engine.model_file import save_model
from minimeso.media.pictures import read_picture

PACKAGE = Path(minimeso.__file__).parent
PORTRAIT = PACKAGE / "samples" / "portrait.jpg"
PIXELS = read_picture(PORTRAIT).pixels
RNG = np.random.default_rng(11)
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
STARTS = [
    m for m in ("fork", "spawn", "forkserver") if m in multiprocessing.get_all_start_methods()
]


def tiny() -> Model:
    graph = Graph("tiny")
    x = graph.input("image", (3, None, None))
    x = graph.node("conv2d", x, out_channels=4, kernel_size=3, padding=1, name="conv")
    graph.output(graph.node("global_avg_pool2d", graph.node("mish", x), name="out"))
    return Model("tiny", graph, random_weights(graph, np.random.default_rng(3)), {"by": ["us"]})


TINY = tiny()
X = RNG.random((2, 3, 12, 10), np.float32)


@pytest.fixture(params=COPIES)
def copied(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return COPIES[request.param]


# --- what comes back ---------------------------------------------------------------------


def test_a_session_comes_back_by_its_settings(copied: Callable[[Any], Any]) -> None:
    session = Session(TINY, threads=2, isa="scalar", without=("fold_batch_norm",))
    session.run(X)
    again = copied(session)
    assert (again.threads, again.isa, again._without) == (2, "scalar", session._without)
    assert (again.run(X) == session.run(X)).all()
    assert again._pool is not session._pool


def test_what_was_left_to_the_machine_is_left_to_the_next(
    monkeypatch: pytest.MonkeyPatch, copied: Callable[[Any], Any]
) -> None:
    session = Session(TINY)
    monkeypatch.setattr("minimeso.engine.session.available_cores", lambda: 7)
    monkeypatch.setattr("minimeso.engine.native._WANTED_ISA", "scalar")
    assert (copied(session).threads, copied(session).isa) == (7, "scalar")


def test_a_bundled_model_goes_by_name() -> None:
    model = find_model("default")
    data = pickle.dumps(Session(model))
    assert len(data) < 500
    assert pickle.loads(data).model is model


def test_another_model_of_that_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = find_model("default")  # kept, or it is not the bundled one any more
    data = pickle.dumps(model)
    monkeypatch.setattr(library, "_checksum", lambda path: 1)
    with pytest.raises(minimeso.ModelError, match="install the same version"):
        pickle.loads(data)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_any_other_model_brings_all_that_it_is(dtype: Any, tmp_path: Path) -> None:
    save_model(TINY, tmp_path / "tiny.npz", dtype=dtype)
    model = find_model(tmp_path / "tiny.npz")
    data = pickle.dumps(model)
    shutil.rmtree(tmp_path)  # another machine
    again = pickle.loads(data)
    assert again.name == "tiny"
    assert again.meta == TINY.meta
    assert (Session(again).run(X) == Session(model).run(X)).all()


def test_a_copied_model_shares_its_weights_and_not_its_card(copied: Callable[[Any], Any]) -> None:
    again = copied(TINY)
    assert again is not TINY
    assert again.graph.to_json() == TINY.graph.to_json()
    assert all((again.weights[name] == TINY.weights[name]).all() for name in TINY.weights)
    if copied is copy.deepcopy:
        assert again.weights is TINY.weights
        again.meta["by"].append("you")
        assert TINY.meta == {"by": ["us"]}


class Quarter(FaceFinder):
    """Has a constructor of its own, and an attribute."""

    def __init__(self, part: str) -> None:
        super().__init__(min_face=50, threads=1)
        self.part = part


def test_a_finder_of_ones_own_comes_back(copied: Callable[[Any], Any]) -> None:
    with Detector(small_detector("small", 1), finder=Quarter("left"), threads=1) as detector:
        for again in (copied(Quarter("left")), copied(detector).finder):
            assert isinstance(again, Quarter) and again.part == "left"
            assert (again.min_face, again.session.threads) == (50, 1)
            assert again.find(PIXELS) == FaceFinder(min_face=50, threads=1).find(PIXELS)


def test_a_finder_comes_back(copied: Callable[[Any], Any]) -> None:
    finder = FaceFinder(min_face=50, threshold=0.7, doubt=False, threads=1)
    again = copied(finder)
    assert (again.min_face, again.threshold, again.doubt) == (50, 0.7, False)
    assert again.session.threads == 1
    found = finder.find(PIXELS)
    assert found
    assert again.find(PIXELS) == found


@pytest.mark.parametrize("name", ["pair", "alone", "crops", "finder"])
def test_a_detector_comes_back(name: str, copied: Callable[[Any], Any]) -> None:
    made: dict[str, Callable[[], Detector]] = {
        "pair": lambda: Detector(min_face=50, prior=0.2, max_pixels=10**6, threads=1),
        "alone": lambda: Detector("mish", threads=2, isa="scalar"),
        "crops": lambda: Detector(small_detector("small", 1), crops=True),
        "finder": lambda: Detector(fast=True, finder=FaceFinder(threshold=0.8)),
    }
    detector = made[name]()
    again = copied(detector)
    source = str(PORTRAIT)
    assert again.check(source).to_json() == detector.check(source).to_json()
    assert again.prior == detector.prior
    assert (again.finder is None) == (detector.finder is None)
    if detector.finder is not None:
        assert again.finder.threshold == detector.finder.threshold
        shares = again.finder.session._workspace is again.session._workspace
        assert shares == (name != "finder")


def test_a_verdict_comes_back(copied: Callable[[Any], Any]) -> None:
    for source in (str(PORTRAIT), "no such file"):
        verdict = Detector(threads=1).check(source)
        again = copied(verdict)
        assert again.to_json() == verdict.to_json()
        assert (again.note, again.notes) == (verdict.note, verdict.notes)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_comes_back(name: str, copied: Callable[[Any], Any]) -> None:
    """Or a pool of processes breaks where one was raised."""
    kind = getattr(errors, name)
    error = kind("because", -3) if kind is EngineError else kind("because")
    again = copied(error)
    assert type(again) is kind
    assert str(again) == "because"
    assert getattr(again, "code", -3) == -3


# --- other processes ---------------------------------------------------------------------


def judged(detector: Detector, path: str) -> Any:
    return detector.check(path).to_json(), detector


def fails(session: Session) -> Any:
    return session.run(np.zeros((1, 2, 3, 4)))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_of_processes(start: str) -> None:
    detector = Detector(threads=2)
    wanted = detector.check(str(PORTRAIT)).to_json()  # its threads run when it is forked
    context = multiprocessing.get_context(start)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found, again = pool.submit(judged, detector, str(PORTRAIT)).result(120)
        with pytest.raises(InputError, match="float32"):
            pool.submit(fails, detector.session).result(120)
    assert found == wanted
    assert again.check(str(PORTRAIT)).to_json() == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_network_runs() -> None:
    """Whoever held the lock does not exist in the child."""
    session = Session(TINY, threads=2)
    wanted = session.run(X)
    with session._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if (session.run(X) == wanted).all() else 1)
    deadline = threading.Timer(60, os.kill, (child, 9))
    deadline.start()
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        deadline.cancel()


def test_a_subinterpreter_is_refused_in_words() -> None:
    code = (
        "try: import _interpreters as inside\n"
        "except ImportError: import _xxsubinterpreters as inside\n"
        "import sys\n"
        "code = f'import sys; sys.path[:] = {sys.path!r}; import minimeso'\n"
        "try: raised = getattr(inside, 'exec', inside.run_string)(inside.create(), code)\n"
        "except Exception as error: raised = error\n"
        "print(raised)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "does not run in a subinterpreter" in done.stdout, done


# --- closing -----------------------------------------------------------------------------


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


@linux
def test_close_gives_threads_back() -> None:
    before = threads_now()
    with Session(TINY, threads=5) as session:
        session.run(X)
        assert threads_now() == before + 4
    assert threads_now() == before
    session.close()  # twice is no fault
    with pytest.raises(InputError, match="closed"):
        session.run(X)


@linux
def test_a_detector_closes_what_it_made() -> None:
    gc.collect()
    before = threads_now()
    finder = FaceFinder(threads=2)
    with Detector(threads=3) as detector, Detector(finder=finder, threads=2) as other:
        detector._with_fewer_threads()
        for judge in (detector, other):
            judge.check(str(PORTRAIT))
    assert threads_now() == before + 1  # the finder's, which came from outside
    for judge in (detector, other):
        with pytest.raises(InputError, match="closed"):
            judge.check(str(PORTRAIT))
        with pytest.raises(InputError, match="closed"):
            next(judge.stream([np.zeros((9, 9, 3), np.uint8)]))
    with finder:
        assert finder.find(PIXELS) is not None
    assert threads_now() == before
    with pytest.raises(InputError, match="closed"):
        finder.find(PIXELS)


def test_a_stream_ends_with_its_detector() -> None:
    """Also where the next frame needs no network, because nothing in it has changed."""
    detector = Detector(threads=1)
    live = detector.stream([PIXELS] * 3)
    next(live)
    detector.close()
    with pytest.raises(InputError, match="closed"):
        next(live)


def test_a_closed_session_plans_nothing() -> None:
    session = Session("mish", threads=1)
    session.plan()
    session.close()
    with pytest.raises(InputError, match="closed"):
        session.plan()


# --- bytes and open files ----------------------------------------------------------------


class Upload:
    """As web frameworks have it: no ``IOBase``, and a read that gives what has come."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(1000 if size < 0 else min(size, 1000))


def test_bytes_and_whatever_can_be_read(tmp_path: Path) -> None:
    detector = Detector(constant_detector(2.0), crops=True, threads=1)
    data = PORTRAIT.read_bytes()
    wanted = detector.check(io.BytesIO(data)).to_json()
    assert wanted["status"] == "ok"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("portrait.jpg", data)
    with (
        PORTRAIT.open("rb", buffering=0) as raw,
        tempfile.SpooledTemporaryFile() as spooled,
        tempfile.NamedTemporaryFile() as named,
        zipfile.ZipFile(tmp_path / "a.zip") as archive,
        archive.open("portrait.jpg") as member,
    ):
        for file in (spooled, named):
            file.write(data)
            file.seek(0)
        sources = (data, bytearray(data), memoryview(data), raw, spooled, named, member)
        for source in (*sources, Upload(data)):
            assert detector.check(source).to_json() == wanted, source  # type: ignore[arg-type]  # Upload has no more than read
        assert not raw.closed
    used = io.BytesIO(data)
    assert detector.check(used).to_json() == wanted
    again = detector.check(used)
    assert again.status == "unreadable" and again.note is not None and "seek(0)" in again.note
    assert detector.check(b"").status == "unreadable"
    assert detector.check(b"no picture").status == "unreadable"
    with io.StringIO("x") as text, tempfile.SpooledTemporaryFile(mode="w+") as other:
        for file in (text, other):
            with pytest.raises(InputError, match="'rb'"):
                detector.check(file)


class Gives:
    """Reads nothing but this, whatever it is."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def read(self, size: int = -1) -> Any:
        return self._part


class Camera:
    """As OpenCV has it: the next frame."""

    def read(self) -> tuple[bool, None]:
        return False, None


class AsyncUpload:
    """As FastAPI and aiohttp have it."""

    async def read(self, size: int = -1) -> bytes:
        return b""


def test_what_does_not_read_bytes_is_the_callers_mistake(tmp_path: Path) -> None:
    """It was unreadable, and the file to be copied again."""
    detector = Detector(constant_detector(2.0), crops=True, threads=1)
    with pytest.raises(InputError, match="AsyncUpload: its read is to be awaited"):
        detector.check(AsyncUpload())  # type: ignore[arg-type]  # what it must refuse
    with pytest.raises(InputError, match="Camera: its read takes no number of bytes: "):
        detector.check(Camera())  # type: ignore[arg-type]  # what it must refuse
    with pytest.raises(InputError, match="Gives: its read gives int, no bytes"):
        detector.check(Gives(3))
    for buffering in (0, -1):
        with (
            (tmp_path / "new").open("wb", buffering=buffering) as file,
            pytest.raises(InputError, match="for writing only"),
        ):
            detector.check(file)
    verdict = detector.check(Gives(None))
    assert verdict.status == "unreadable" and "cannot be waited for" in str(verdict.note)


@pytest.mark.skipif(os.name != "posix", reason="flags of POSIX")
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_that_does_not_wait(buffering: int) -> None:
    detector = Detector(constant_detector(2.0), crops=True, threads=1)
    data = PORTRAIT.read_bytes()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for part in (data[:40], data[40:3000], data[3000:]):
                time.sleep(0.1)
                pipe.write(part)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb", buffering=buffering) as pipe:
        verdict = detector.check(pipe)
    thread.join()
    assert verdict.to_json() == detector.check(data).to_json()


def test_a_clip_as_bytes(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from support.clips import clip_file

    path = clip_file(tmp_path)
    detector = Detector(constant_detector(2.0), crops=True, threads=1)
    wanted = detector.check(path).to_json() | {"path": "-"}
    assert wanted["frames_read"] > 1
    assert detector.check(path.read_bytes()).to_json() == wanted
    with path.open("rb", buffering=0) as raw:
        assert detector.check(raw).to_json() == wanted


# --- models ------------------------------------------------------------------------------


def test_what_is_saved_is_a_model_and_goes_where_it_is_read_from(tmp_path: Path) -> None:
    target: Any = os.fsencode(tmp_path / "pair.npz")  # load_model takes bytes, too
    with Detector(threads=1) as detector:
        models: list[Any] = [detector.model, detector.session.graph, None]
        for model in models:
            with pytest.raises(ModelError, match="is no Model: of a pair, save each network"):
                save_model(model, target)
        save_model(detector.session.model, target)
        assert minimeso.load_model(target).name == detector.session.model.name


# --- what NumPy does about overflow ------------------------------------------------------


def test_a_program_that_raises_float_errors(tmp_path: Path) -> None:
    """``np.seterr`` holds for the whole thread: with it an underflow was an error of every file."""
    rgb = PIXELS
    frames = [rgb, rgb[:, ::-1], rgb[:200]]
    detector, finder = Detector(threads=1), FaceFinder(threads=1)
    graph = Graph("tiny")
    x = graph.node("conv2d", graph.input("x", (3, 8, 8)), out_channels=2, kernel_size=3)
    graph.output(graph.node("batch_norm", x))
    pictures = np.ones((1, 3, 8, 8), np.float32)

    def everything() -> list[Any]:
        found: list[Any] = [
            detector.check(PORTRAIT).to_json(),
            detector.check(rgb / 255).to_json(),
            list(detector.stream(frames)),
            finder.find(rgb),
        ]
        for value in (1e-40, 1.0, 3e38):
            weights = {n: np.full(s, value, np.float32) for n, s in graph.parameters().items()}
            found.append(str(Session(graph, weights).run(pictures)))
            save_model(Model("tiny", graph, weights), tmp_path / "tiny.npz")
            found.append(str(Session(tmp_path / "tiny.npz").run(pictures)))
        return found

    expected = everything()
    with np.errstate(all="raise"):
        assert everything() == expected
        with pytest.raises(FloatingPointError):
            np.float32(1e-30) * np.float32(1e-30)  # the program's own numbers


# --- memory ------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@linux
def test_ten_thousand_sessions_made_and_dropped() -> None:
    graph = Graph("least")
    graph.output(graph.node("relu", graph.input("x", (3, None, None))))
    model = Model("least", graph, {})

    def make(count: int) -> None:
        for _ in range(count):
            Session(model, threads=1).run(X)

    make(500)
    before = resident()
    make(9_500)
    assert resident() - before < 2 << 20


@linux
def test_many_threads_with_a_session_each() -> None:
    """For ten minutes: ``python -m tools.bench.steady``."""
    from tools.bench.steady import growth

    assert growth(TINY, X, threads=24, seconds=3.0) < 5 << 20


# --- quiet -------------------------------------------------------------------------------

#: Rooms that are a command, which may speak, listen to Ctrl-C and read its environment.
COMMANDS = ("cli", "scan", "__main__.py")
LOUD = {"print", "signal", "getenv", "environ", "basicConfig", "exit", "set_start_method"}


def names_used_in_functions(path: Path) -> set[str]:
    found = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Name):
                    found.add(node.id)
    return found


def test_the_library_is_quiet() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in COMMANDS:
            assert not names_used_in_functions(path) & LOUD, path


def test_importing_and_judging_changes_nothing_around_it() -> None:
    code = (
        "import os, signal, sys, threading, warnings\n"
        "def state(): return ([signal.getsignal(s) for s in signal.valid_signals()],"
        " dict(os.environ), os.getcwd(), threading.active_count(), list(warnings.filters),"
        " sys.excepthook, sys.getswitchinterval())\n"
        "import numpy, PIL.Image\n"
        "before = state()\n"
        "import minimeso\n"
        f"minimeso.Detector().check({str(PORTRAIT)!r})\n"
        "assert state() == before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
