"""Batches: how many files go to a worker at once, and what becomes of those that it loses."""

from __future__ import annotations

from typing import Any

from minimeso.scan.batches import Batches
from minimeso.scan.judge import Job
from minimeso.scan.pieces import Cut, Work
from minimeso.scan.source import Entry


def jobs(count: int, size: int = 1000) -> list[Job]:
    return [Job(Entry(f"{number}", size)) for number in range(count)]


def test_a_batch_takes_a_moment() -> None:
    """One file as long as nothing is known; then as many as two seconds hold."""
    batches = Batches(iter(jobs(10_000)), 10_000)
    first = batches.give(2)
    assert first is not None and len(first) == 1
    batches.measured(first, 0.1)
    second = batches.give(2)
    assert second is not None and 15 < len(second) < 25
    for _ in range(50):
        batches.measured(second, 1e-4)
    third = batches.give(2)
    assert third is not None and len(third) == 256


def test_the_end_is_shared() -> None:
    batches = Batches(iter(jobs(30)), 30)
    batches.measured(jobs(1), 1e-3)
    sizes = []
    while batch := batches.give(4):
        sizes.append(len(batch))
    assert sum(sizes) == 30 and max(sizes) == 2 and sizes[-1] == 1
    assert batches.give(4) is None


def test_a_long_clip_is_alone() -> None:
    some = jobs(100)
    some[3] = Job(Entry("clip", 500 << 20))
    batches = Batches(iter(some), 10_000)
    batches.measured(jobs(1), 1e-6)
    given = [batches.give(1) for _ in range(3)]
    assert [len(batch) for batch in given if batch] == [3, 1, 96]
    assert given[1] == (some[3],)


def test_what_is_lost_comes_first_again() -> None:
    batches = Batches(iter(jobs(3)), 3)
    first = batches.give(1)
    assert first is not None
    batches.take_back(first)
    assert batches.give(1) == first


def test_pieces_of_a_clip_that_was_given_up_are_not_judged() -> None:
    """Each may hang as long as the first one did."""
    cut, other = Entry("cut", 100 << 20), Entry("other", 100 << 20)
    spans: Any = (None,) * 4
    batches = Batches(iter([Job(Entry("next"))]), 1)
    for entry in (cut, other, cut):
        batches.add(Job(entry, work=Work(Cut(entry.path, None, 1, "", spans))))
    lost = batches.give(1)
    assert lost is not None and lost[0].entry is cut
    batches.take_back(lost)
    batches.forget("cut")
    left = [batches.give(1) for _ in range(3)]
    assert [batch and batch[0].entry.path for batch in left] == ["other", "next", None]


def test_who_kills_workers_is_blamed_alone() -> None:
    """A batch is taken apart; a file is to blame only when workers die again and again with it."""
    some = jobs(3)
    batches = Batches(iter(()), 0)
    assert batches.strike(tuple(some)) is None
    assert [batches.give(1) for _ in range(4)] == [(job,) for job in some] + [None]
    blamed = []
    for _ in range(4):
        blamed.append(batches.strike((some[1],)))
        assert batches.give(1) == (some[1],)
    assert blamed == [None] * 4 and batches.strike((some[1],)) == some[1]
    assert batches.give(1) is None
