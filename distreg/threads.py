"""Threads for the work between passes. They stay: to start one takes as long as a small step."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any, TypeVar

__all__ = ["mapped"]

R = TypeVar("R")

_inside = threading.local()


def mapped(n_threads: int, function: Callable[..., R], *arguments: Iterable[Any]) -> Iterator[R]:
    """``map(function, *arguments)`` on `n_threads` threads, results in order.

    To be consumed: a single call, all on one thread, and those made inside of another call are made
    then. No call goes on when the iterator is left.
    """
    calls = list(zip(*arguments, strict=True))
    # a thread that waits for others of its pool may wait for ever
    if n_threads == 1 or len(calls) < 2 or getattr(_inside, "call", False):
        return (function(*call) for call in calls)
    return _results(deque(_pool(n_threads).submit(_marked, function, call) for call in calls))


def _marked(function: Callable[..., R], call: tuple[Any, ...]) -> R:
    _inside.call = True
    return function(*call)


def _results(futures: deque[Future[R]]) -> Iterator[R]:
    try:
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


@lru_cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="distreg")


if hasattr(os, "register_at_fork"):
    # a forked process has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
