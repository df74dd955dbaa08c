"""States that stay with their groups: right answers after any loss, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from problems import Case, dataset

from distreg.cluster import open_cluster
from distreg.data.block import Block, Group
from distreg.data.dataset import Dataset
from distreg.passes import PassRunner
from distreg.rounds import HeldState, Round, Rounds, _Chunk, held_rounds

N, P = 600, 5
CUTS = range(0, N, 50)


def _case() -> Case:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, P))
    return Case("rounds", X, X @ rng.normal(size=P) + rng.normal(size=N), None, {})


def _step(state: Any, shared: Any, blocks: Iterator[Block]) -> tuple[Any, Any]:
    """One step of least squares by gradients; the state is the predictor Xw of the group's rows.

    It is kept by increments, so that the state of a wrong round would spoil the answer for good.
    """
    w, change = shared
    loaded = list(blocks)
    X = np.vstack([block.dense for block in loaded])
    y = np.concatenate([block.y for block in loaded])
    eta = X @ w if state is None else state + X @ change
    return eta, X.T @ (y - eta) / N


def _round(w: np.ndarray, change: np.ndarray, step: Callable[..., Any] = _step) -> Round:
    def step_of(group: Group) -> Callable[..., Any]:
        return step

    return Round("gradient", step_of, np.add, lambda part: part, (w, change))


def _descend(rounds: Rounds, n: int, hook: Callable[[int], None] = lambda i: None) -> np.ndarray:
    """Coefficients after `n` rounds; `hook` is called before each."""
    w, change = np.zeros(P), np.zeros(P)
    for i in range(n):
        hook(i)
        change = 0.7 * rounds.run(_round(w, change))
        w = w + change
    return w


def _solution() -> np.ndarray:
    case = _case()
    return np.linalg.lstsq(case.X, case.y, rcond=None)[0]


def _data(in_memory: bool = True) -> Dataset:
    return dataclasses.replace(dataset(_case(), CUTS, per_group=2), in_memory=in_memory)


def test_each_round_is_one_pass() -> None:
    runner = PassRunner(n_threads=2)
    with held_rounds(runner, _data()) as rounds:
        w = _descend(rounds, 40)
    np.testing.assert_allclose(w, _solution(), rtol=1e-9)
    assert (rounds.n_rounds, rounds.n_rebuilt) == (40, 0)
    assert runner.cost.n_passes == 40
    assert runner.cost.n_block_reads == 40 * len(CUTS)


def test_many_groups_go_in_segments() -> None:
    """A pass of more groups than one graph holds gives each its own state."""
    runner = PassRunner(n_threads=2)
    with held_rounds(runner, dataset(_case(), range(0, N, 15))) as rounds:
        w = _descend(rounds, 40)
    np.testing.assert_allclose(w, _solution(), rtol=1e-9)
    assert rounds.n_rebuilt == 0


def test_a_round_that_failed_can_be_run_again() -> None:
    """Some states moved on before the failure: none of them may take the same step twice."""

    def failing(state: Any, shared: Any, blocks: Iterator[Block]) -> tuple[Any, Any]:
        raise OSError("the disk is gone")

    one = np.ones(P)
    good = _round(2 * one, one)
    bad = Round("bad", lambda g: failing if g.index == 3 else _step, np.add, good.finalize,
                good.shared)  # fmt: skip
    with held_rounds(PassRunner(n_threads=1), _data()) as rounds:
        rounds.run(_round(one, 0 * one))
        with pytest.raises(OSError, match="the disk is gone"):
            rounds.run(bad)
        found = rounds.run(good)
        assert (rounds.n_rounds, rounds.n_rebuilt) == (2, len(CUTS) // 2)
    case = _case()
    np.testing.assert_allclose(found, case.X.T @ (case.y - case.X @ (2 * one)) / N, rtol=1e-10)


def test_a_task_run_twice_takes_its_step_once() -> None:
    group = _data().groups[0]
    block = next(iter(group.blocks(tuple(() for _ in group.recipes))))
    held, w, one = HeldState(), np.ones(P), np.ones(P)
    _Chunk(_step, 0)(held, (w, one), iter([block]))
    second = [_Chunk(_step, 1)(held, (2 * w, one), iter([block])) for _ in range(2)]
    np.testing.assert_allclose(second[0][0], second[1][0], rtol=1e-12)
    assert [rebuilt for _, rebuilt in second] == [0, 1]


def test_a_copy_of_a_state_is_empty() -> None:
    held = HeldState()
    held.state, held.next_round = np.ones(1_000_000), 4
    copied = pickle.dumps(held)
    assert len(copied) < 200
    assert pickle.loads(copied).state is None  # noqa: S301 - own bytes


@pytest.mark.cluster
def test_a_killed_worker_and_nothing_left() -> None:
    with open_cluster("processes", workers=2, memory_limit="1GB") as client:
        assert client is not None
        runner = PassRunner(client)
        pids = sorted(client.run(os.getpid).values())

        def kill(i: int) -> None:
            if i == 15:
                os.kill(pids[0], signal.SIGKILL)

        with held_rounds(runner, _data(in_memory=False)) as rounds:
            w = _descend(rounds, 40, kill)
            assert 0 < rounds.n_rebuilt < len(CUTS) // 2 * 4
        np.testing.assert_allclose(w, _solution(), rtol=1e-9)

        with (
            pytest.raises(ZeroDivisionError),
            held_rounds(runner, _data(in_memory=False)) as rounds,
        ):
            rounds.run(_round(np.zeros(P), np.zeros(P), _divide))
        assert _keys_left(client) == []


def _divide(state: Any, shared: Any, blocks: Iterator[Block]) -> tuple[Any, Any]:
    raise ZeroDivisionError


def _keys_left(client: Any) -> list[str]:
    """Keys on the scheduler, after at most 10 s for the messages that release them."""

    def keys(dask_scheduler: Any) -> list[str]:
        return [str(key) for key in dask_scheduler.tasks]

    until = time.monotonic() + 10
    while (left := client.run_on_scheduler(keys)) and time.monotonic() < until:
        time.sleep(0.05)
    return list(left)
