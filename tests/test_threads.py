"""Threads between passes: order, errors, calls within calls, and forked processes."""

from __future__ import annotations

import os
import threading
import time

import pytest

from distreg.threads import mapped


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_calls", [0, 1, 2, 9])
def test_results_are_in_order(n_threads: int, n_calls: int) -> None:
    def late(i: int, j: int) -> int:
        time.sleep(0.001 * ((7 * i) % 3))
        return i * j

    found = list(mapped(n_threads, late, range(n_calls), range(10, 10 + n_calls)))
    assert found == [i * (10 + i) for i in range(n_calls)]


def test_calls_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=30)
    assert sorted(mapped(2, lambda _: both.wait(), range(2))) == [0, 1]


def test_calls_within_calls_do_not_wait_for_each_other() -> None:
    def outer(i: int) -> int:
        return sum(mapped(2, lambda j: i * j, range(4)))

    assert list(mapped(2, outer, range(4))) == [0, 6, 12, 18]


def test_no_call_goes_on_after_an_error() -> None:
    begun, ended = [], []

    def call(i: int) -> None:
        begun.append(i)
        if i == 0:
            raise ValueError("the first")
        time.sleep(0.05)
        ended.append(i)

    with pytest.raises(ValueError, match="the first"):
        list(mapped(2, call, range(50)))
    seen = sorted(ended)
    assert sorted(begun) == [0, *seen]
    assert len(seen) < 49
    time.sleep(0.1)
    assert sorted(ended) == seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
# Python warns that a child of a process with threads may deadlock: that it does not is the test
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    assert list(mapped(2, abs, [-1, -2])) == [1, 2]
    child = os.fork()
    if child == 0:
        os._exit(0 if list(mapped(2, abs, [-3, -4])) == [3, 4] else 1)
    for _ in range(3000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    pytest.fail("the forked process waits for threads that it does not have")
