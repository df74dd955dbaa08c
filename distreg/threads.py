"""Threads for the work between passes. They stay: to start one takes as long as a small step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

__all__ = ["mapped"]

R = TypeVar("R")


def mapped(n_threads: int, function: Callable[..., R], *arguments: Iterable[Any]) -> Iterator[R]:
    """``map(function, *arguments)`` on `n_threads` threads, results in order.

    To be consumed at once: a single call, or all on one thread, are made then. `function` may not
    use this in turn.
    """
    calls = list(zip(*arguments, strict=True))
    if n_threads == 1 or len(calls) < 2:
        return (function(*call) for call in calls)
    return _pool(n_threads).map(lambda call: function(*call), calls)


@lru_cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="distreg")


# a forked process has none of the threads
os.register_at_fork(after_in_child=_pool.cache_clear)
