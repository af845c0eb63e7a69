"""Iterating in a thread: order, back-pressure, exceptions at their place, no thread left behind."""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from minimeso.media.prefetch import prefetch


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait up to ten seconds until something holds; no test depends on how long it took."""
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def no_thread_left() -> bool:
    return not [t for t in threading.enumerate() if t.name == "minimeso-prefetch"]


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    yield
    assert eventually(no_thread_left)


class Source:
    """Counts, and remembers how far it was asked to."""

    def __init__(self, end: int = 10**9) -> None:
        self.made = 0
        self.end = end
        self.closed_in: str | None = None

    def __iter__(self) -> Iterator[int]:
        try:
            while self.made < self.end:
                self.made += 1
                yield self.made - 1
        finally:
            self.closed_in = threading.current_thread().name


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_order(depth: int) -> None:
    with prefetch(range(300), depth) as numbers:
        assert list(numbers) == list(range(300))
        assert list(numbers) == []


def test_it_works_in_another_thread_while_the_consumer_does_not() -> None:
    source = Source()
    with prefetch(source, 3) as numbers:
        assert eventually(lambda: source.made == 3)
        assert next(numbers) == 0
        assert eventually(lambda: source.made == 4)
    assert source.closed_in == "minimeso-prefetch"


def test_it_is_never_further_ahead_than_asked() -> None:
    source = Source(200)
    with prefetch(source, 4) as numbers:
        for number in numbers:
            assert source.made - (number + 1) <= 4


def test_an_exception_comes_at_its_place() -> None:
    def three() -> Iterator[int]:
        yield from range(3)
        raise KeyError("fourth")

    numbers = prefetch(three(), 10)
    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="fourth"):
        next(numbers)
    assert list(numbers) == []


def test_no_room_for_a_thread_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who judges many files has words for that, and goes on."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MemoryError, match="new thread"):
        prefetch(range(3), 1)


def test_an_iterable_that_cannot_be_iterated() -> None:
    with prefetch(3, 1) as numbers, pytest.raises(TypeError):  # type: ignore[arg-type]
        next(numbers)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_ordinary_exception_is_handed_over_too(error: type[BaseException]) -> None:
    def one() -> Iterator[int]:
        raise error
        yield 1

    with prefetch(one(), 1) as numbers, pytest.raises(error):
        next(numbers)


def test_closing_while_the_queue_is_full() -> None:
    source = Source()
    numbers = prefetch(source, 2)
    assert eventually(lambda: source.made == 2)
    numbers.close()
    assert no_thread_left() and source.made == 2
    assert list(numbers) == []
    numbers.close()


def test_closing_before_anything_was_made() -> None:
    for _ in range(50):
        prefetch(Source(), 1).close()
    assert no_thread_left()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_consumer_fails(error: type[BaseException]) -> None:
    source = Source()
    with pytest.raises(error), prefetch(source, 2) as numbers:
        next(numbers)
        raise error
    assert no_thread_left() and source.closed_in


def test_a_forgotten_consumer_ends_the_thread() -> None:
    source = Source()
    numbers = prefetch(source, 2)
    next(numbers)
    del numbers
    gc.collect()
    assert eventually(lambda: source.closed_in is not None)


def test_items_that_were_taken_are_not_kept() -> None:
    class Item:
        alive = 0

        def __init__(self) -> None:
            Item.alive += 1

        def __del__(self) -> None:
            Item.alive -= 1

    with prefetch((Item() for _ in range(50)), 3) as items:
        for item in items:
            del item
            assert Item.alive <= 4
    assert Item.alive == 0


def test_an_iterable_that_can_be_stopped_is_told() -> None:
    class Slow:
        """Waits for something that does not come, as a pipe does."""

        def __init__(self) -> None:
            self.told = threading.Event()

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            self.told.wait(60)
            raise StopIteration

        def stop(self) -> None:
            self.told.set()

    slow = Slow()
    outer = prefetch(prefetch(slow, 1), 1)
    outer.close()
    assert slow.told.is_set()


def test_a_chain_of_threads() -> None:
    source = Source(500)
    with prefetch(source, 2) as numbers, prefetch((2 * n for n in numbers), 2) as doubled:
        assert list(doubled) == list(range(0, 1000, 2))
    with prefetch(Source(), 2) as numbers, prefetch((2 * n for n in numbers), 2) as doubled:
        assert next(doubled) == 0


def test_many_side_by_side() -> None:
    many = [prefetch(Source(100), 2) for _ in range(20)]
    for number in range(100):
        assert [next(one) for one in many] == [number] * 20
    assert [list(one) for one in many] == [[]] * 20


@pytest.mark.parametrize("depth", [0, -1])
def test_depth_that_holds_nothing(depth: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        prefetch([], depth)


@pytest.mark.parametrize("last_line", ["", "raise SystemExit(0)", "numbers.__next__()"])
def test_a_process_that_just_ends(last_line: str) -> None:
    program = (
        "import itertools\nfrom minimeso.media.prefetch import prefetch\n"
        f"numbers = prefetch(itertools.count(), 2)\n{last_line}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_ctrl_c_while_nothing_comes() -> None:
    program = (
        "import signal, time\nfrom minimeso.media.prefetch import prefetch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background
        "def slow():\n    print('ready', flush=True)\n    time.sleep(1)\n    yield\n"
        "    time.sleep(600)\n"
        "with prefetch(slow(), 2) as items:\n    for _ in items: pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    for _ in range(30):  # one that comes while the thread is being started may be lost
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=4)
            break
    _, message = process.communicate(timeout=60)
    assert message.rstrip().endswith(b"KeyboardInterrupt")
