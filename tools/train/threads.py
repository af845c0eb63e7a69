"""Threads for kernels that let go of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def of_each(count: int, function: Callable[[int], None]) -> None:
    """Calls `function` with 0, 1, ... `count` - 1, by as many threads as PyTorch takes."""
    threads = max(1, min(torch.get_num_threads(), count))

    def some(first: int) -> None:
        for one in range(first, count, threads):
            function(one)

    if threads == 1:
        some(0)
    else:
        list(pool(threads).map(some, range(threads)))


@lru_cache(1)
def pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="kernels")


if hasattr(os, "register_at_fork"):  # a child has none of the threads, and would wait for them
    os.register_at_fork(after_in_child=pool.cache_clear)
