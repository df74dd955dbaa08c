"""One pass, the same bits on any number of threads and processes, and no look at held-out rows."""

from __future__ import annotations

import collections
import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from problems import Case, dataset, fit, named_cases

from distreg.blas import single_threaded_blas
from distreg.cluster import open_cluster
from distreg.cv import cross_validate
from distreg.data.folds import (
    GivenFolds,
    KFold,
    ShuffledKFold,
    TestSplit,
    TimeSeriesSplit,
    make_cells,
)
from distreg.exceptions import DataError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

CASES = {case.name: case for case in named_cases()}
OPTIONS = {"l1_ratios": (1.0, 0.5, 0.0), "n_alphas": 8}
ARRAYS = ("cv_mean", "cv_se", "fold_error", "fold_weight", "support_stability", "fold_dual_gap",
          "feature_mean", "feature_sd")  # fmt: skip
PATH_ARRAYS = ("alphas", "coef", "intercept", "objective", "dual_gap", "kkt_violation")


def big_case(n: int = 4000, p: int = 12) -> Case:
    """Enough blocks for a tree of several levels."""
    rng = np.random.default_rng(77)
    X = rng.normal(size=(n, p)) + 10.0 ** rng.uniform(-2, 3, p)
    y = X @ rng.normal(size=p) + rng.normal(size=n)
    return Case("big", X, y, rng.exponential(size=n), {"standardize": True})


def run(data: Any, runner: PassRunner, scheme: Any = None, **options: Any) -> CVResult:
    cells = make_cells(scheme or ShuffledKFold(5, seed=1), data.n_rows)
    return cross_validate(data, cells, PathOptions(**{**OPTIONS, **options}), runner)


def assert_same_bits(one: CVResult, two: CVResult) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    for a, b in zip(one.paths, two.paths, strict=True):
        for name in PATH_ARRAYS:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def reads(marks: Path) -> collections.Counter[int]:
    """How often each block was read."""
    return collections.Counter(int(mark.name.split("-")[0]) for mark in marks.iterdir())


# --- one pass ------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", [None, KFold(3), TimeSeriesSplit(4)], ids=str)
@pytest.mark.parametrize("test", [None, TestSplit(0.2, seed=1)], ids=["no test", "test"])
def test_every_block_is_read_once(scheme: Any, test: Any, tmp_path: Path) -> None:
    case = big_case()
    data = dataset(case, range(0, 4000, 130), per_group=3, marks=tmp_path)
    runner = PassRunner(n_threads=2)
    cells = make_cells(scheme, data.n_rows, test)
    result = cross_validate(data, cells, PathOptions(**OPTIONS), runner)
    n_blocks = sum(len(group.recipes) for group in data.groups)
    assert n_blocks == 31
    assert reads(tmp_path) == dict.fromkeys(range(n_blocks), 1)
    assert result.cost.n_passes == 1
    assert result.cost.n_block_reads == n_blocks
    assert result.cost.bytes_read == case.X.nbytes + case.y.nbytes + case.weight.nbytes


def test_more_folds_alphas_and_l1_ratios_cost_no_pass(tmp_path: Path) -> None:
    data = dataset(big_case(), range(0, 4000, 500), marks=tmp_path)
    result = run(data, PassRunner(n_threads=1), KFold(20), l1_ratios=tuple(np.linspace(0, 1, 7)),
                 n_alphas=30)  # fmt: skip
    assert set(reads(tmp_path).values()) == {1}
    assert result.cost.n_passes == 1
    assert result.fold_error.shape == (20, 7, 30)


def test_a_runner_adds_up_its_passes() -> None:
    data, runner = dataset(big_case(400), (100,)), PassRunner(n_threads=1)
    run(data, runner)
    second = run(data, runner)
    assert runner.cost.n_passes == 2
    assert second.cost.n_passes == 2
    assert runner.cost.n_block_reads == 4


def test_progress_is_told_in_order() -> None:
    told: list[tuple[str, int, int]] = []
    runner = PassRunner(n_threads=1, progress=lambda *what: told.append(what))
    run(dataset(big_case(400), range(0, 400, 50)), runner)
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert len(stages) == 2
    for stage in stages:
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


# --- the same bits -------------------------------------------------------------------------------
@pytest.mark.parametrize("n_threads", [2, 4])
@pytest.mark.parametrize("name", ["big", "dense and one-hot", "missing"])
def test_threads_do_not_change_a_bit(name: str, n_threads: int) -> None:
    case, keywords = big_case() if name == "big" else CASES["dense and one-hot"], {}
    if name == "missing":
        X = big_case().X.copy()
        X[np.random.default_rng(1).random(X.shape) < 0.05] = np.nan
        case, keywords = dataclasses.replace(big_case(), X=X), {"missing": "mean"}
    n = len(case.y)
    data = dataset(case, range(0, n, max(n // 37, 1)), **keywords)
    assert_same_bits(run(data, PassRunner(n_threads=1)), run(data, PassRunner(n_threads=n_threads)))


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    with open_cluster("processes", workers=2, memory_limit="1GB") as client:
        yield client


@pytest.mark.cluster
@pytest.mark.parametrize("per_group", [1, 4])
def test_two_processes_give_the_bits_of_one_thread(
    processes: Any, per_group: int, tmp_path: Path
) -> None:
    case = big_case()
    here = dataset(case, range(0, 4000, 90), per_group=per_group)
    there = dataclasses.replace(
        dataset(case, range(0, 4000, 90), per_group=per_group, marks=tmp_path), in_memory=False
    )
    runner = PassRunner(client=processes)
    result = run(there, runner)
    assert_same_bits(run(here, PassRunner(n_threads=1)), result)
    assert set(reads(tmp_path).values()) == {1}
    assert runner.cost.n_passes == 1
    assert runner.cost.n_block_reads == 45


@pytest.mark.cluster
def test_an_error_in_a_worker_reaches_the_caller_as_it_is(processes: Any) -> None:

    X = big_case(400).X.copy()
    X[333, 2] = np.nan
    bad = dataclasses.replace(
        dataset(dataclasses.replace(big_case(400), X=X), range(0, 400, 50)), in_memory=False
    )
    with pytest.raises(DataError, match=r"(?s)x2.*333") as caught:
        run(bad, PassRunner(client=processes))
    assert "rows 300 to 349" in str(caught.value)


# --- any chunking --------------------------------------------------------------------------------
@given(
    name=st.sampled_from([n for n in CASES if n not in ("p > n", "float32")]),
    cuts=st.lists(st.integers(1, 89), max_size=20),
    per_group=st.integers(1, 5),
)
@example(name="weights, some 0", cuts=list(range(1, 90)), per_group=1)
@example(name="sparse", cuts=list(range(1, 90)), per_group=90)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_chunking_gives_the_same_answer(name: str, cuts: list[int], per_group: int) -> None:
    case = CASES[name]
    n = len(case.y)
    alphas = fit(case, n_alphas=4, alpha_min_ratio=0.05).paths[0].alphas
    keywords = {"l1_ratios": (0.6,), "alphas": alphas, "tol": 1e-14}
    whole = fit(case, ShuffledKFold(3, seed=2), **keywords)
    parts = fit(
        case, ShuffledKFold(3, seed=2), cuts=[c for c in cuts if c < n], per_group=per_group,
        **keywords,
    )  # fmt: skip
    sd = np.where(whole.feature_sd > 0, whole.feature_sd, 1)
    spread = np.sqrt(whole.null_deviance)
    np.testing.assert_allclose(
        parts.paths[0].coef * sd / spread, whole.paths[0].coef * sd / spread, rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(parts.cv_mean, whole.cv_mean, rtol=1e-10)
    np.testing.assert_allclose(parts.cv_se, whole.cv_se, rtol=1e-8)


def test_row_order_does_not_matter_when_folds_follow_the_rows() -> None:
    case, rng = CASES["scales 1e-3 to 1e3, correlation 0.95"], np.random.default_rng(0)
    n = len(case.y)
    ids, order = rng.integers(0, 4, n), rng.permutation(n)
    keywords = {"l1_ratios": (0.6,), "alphas": np.array([0.5, 0.05])}
    one = fit(case, GivenFolds(ids), **keywords)
    two = fit(
        dataclasses.replace(case, X=case.X[order], y=case.y[order]), GivenFolds(ids[order]),
        **keywords,
    )  # fmt: skip
    np.testing.assert_allclose(two.cv_mean, one.cv_mean, rtol=1e-9)
    np.testing.assert_allclose(
        two.paths[0].coef * one.feature_sd, one.paths[0].coef * one.feature_sd, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    "name", ["plain", "scales 1e-3 to 1e3, correlation 0.95", "weights, some 0"]
)
def test_memory_order_and_sparsity_do_not_matter(name: str) -> None:
    from scipy import sparse

    case = CASES[name]
    base = fit(case, KFold(3), **OPTIONS)
    for X in (np.asfortranarray(case.X), sparse.csr_array(case.X), np.repeat(case.X, 2, 0)[::2]):
        other = fit(dataclasses.replace(case, X=X), KFold(3), **OPTIONS)
        np.testing.assert_allclose(other.cv_mean, base.cv_mean, rtol=1e-9)
        for a, b in zip(other.paths, base.paths, strict=True):
            scale = base.feature_sd / np.sqrt(base.null_deviance)
            np.testing.assert_allclose(a.coef * scale, b.coef * scale, rtol=0, atol=1e-9)


# --- no leakage ----------------------------------------------------------------------------------
def fold_fit(case: Case, scheme: Any, fold: int, **keywords: Any) -> CVResult:
    """The fit of one fold's training rows: by the same cells, in the place of the full data."""
    data = dataset(case, (20, 45), **keywords)
    cells = make_cells(scheme, data.n_rows)
    cells = dataclasses.replace(cells, full=cells.train[fold])
    options = PathOptions(l1_ratios=(1.0, 0.3, 0.0), n_alphas=8, **case.options)
    return cross_validate(data, cells, options, PassRunner(n_threads=1))


@pytest.mark.parametrize("name", ["plain", "offsets 1e3", "weights, some 0", "dense and one-hot"])
@pytest.mark.parametrize("fold", [0, 2])
def test_permuting_held_out_targets_leaves_the_fold_fit_bit_identical(name: str, fold: int) -> None:
    case, scheme = CASES[name], ShuffledKFold(3, seed=4)
    n = len(case.y)
    of_row = make_cells(scheme, n).restrict(0, n)(np.arange(n), None)
    held_out = np.flatnonzero(make_cells(scheme, n).held_out[fold][of_row])
    y = case.y.copy()
    y[held_out] = np.random.default_rng(1).permutation(y[held_out])
    assert not np.array_equal(y, case.y)
    before = fold_fit(case, scheme, fold)
    after = fold_fit(dataclasses.replace(case, y=y), scheme, fold)
    for a, b in zip(before.paths, after.paths, strict=True):
        np.testing.assert_array_equal(a.coef, b.coef)
        np.testing.assert_array_equal(a.intercept, b.intercept)
        np.testing.assert_array_equal(a.alphas, b.alphas)


@pytest.mark.parametrize("missing", ["error", "mean"])
def test_held_out_features_do_not_change_the_fold_fit(missing: str) -> None:
    # other rows may move the common centre, hence the last digits, but nothing else
    case, scheme = CASES["offsets 1e3"], ShuffledKFold(3, seed=4)
    n = len(case.y)
    of_row = make_cells(scheme, n).restrict(0, n)(np.arange(n), None)
    held_out = np.flatnonzero(make_cells(scheme, n).held_out[1][of_row])
    rng = np.random.default_rng(3)
    X = case.X.copy()
    if missing == "mean":
        X[rng.random(X.shape) < 0.1] = np.nan
    other = X.copy()
    other[held_out] = rng.normal(size=(len(held_out), X.shape[1])) * X[0] * 3
    one = fold_fit(dataclasses.replace(case, X=X), scheme, 1, missing=missing)
    two = fold_fit(dataclasses.replace(case, X=other), scheme, 1, missing=missing)
    for a, b in zip(one.paths, two.paths, strict=True):
        np.testing.assert_allclose(a.alphas, b.alphas, rtol=1e-9)
        sd = one.feature_sd
        np.testing.assert_allclose(a.coef * sd, b.coef * sd, rtol=0, atol=1e-9 * case.y.std())
    if missing == "mean":
        np.testing.assert_allclose(one.fill_values, two.fill_values, rtol=1e-12)


def test_test_rows_leave_no_trace() -> None:
    case = CASES["plain"]
    n, split = len(case.y), TestSplit(0.3, seed=5)
    cells = make_cells(KFold(3), n, split)
    test = np.flatnonzero(cells.test[cells.restrict(0, n)(np.arange(n), None)])
    X, y = case.X.copy(), case.y.copy()
    X[test] *= -7
    y[test] += 100
    one = fit(case, KFold(3), test=split, n_alphas=8)
    two = fit(dataclasses.replace(case, X=X, y=y), KFold(3), test=split, n_alphas=8)
    np.testing.assert_allclose(two.paths[0].coef, one.paths[0].coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(two.cv_mean, one.cv_mean, rtol=1e-9)
    assert not np.allclose(two.test["mse"], one.test["mse"])


class Memory:
    """A checkpoint in a dictionary."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}

    def load(self, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.states.get(name))

    def save(self, name: str, arrays: dict[str, Any]) -> None:
        self.states[name] = copy.deepcopy(arrays)


def test_a_state_with_defects_is_not_kept() -> None:
    case, checkpoint = big_case(), Memory()
    weight = np.array(case.weight)
    weight[-1] = -1.0
    data = dataset(dataclasses.replace(case, weight=weight), range(500, 4000, 500))
    for _ in range(2):
        with pytest.raises(DataError, match="weight: 1 negative value, first in row 3999"):
            run(data, PassRunner(checkpoint=checkpoint))
        assert not checkpoint.states
    good = dataset(case, range(500, 4000, 500))
    first = run(good, PassRunner(checkpoint=checkpoint))
    again = PassRunner(checkpoint=checkpoint)
    assert_same_bits(first, run(good, again))
    assert again.cost.n_block_reads == 0


def test_the_last_user_lifts_the_limit_of_blas() -> None:
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    with single_threaded_blas():
        pass
    before = threads()
    first, second = single_threaded_blas(), single_threaded_blas()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(threads()) == {1}
    second.__exit__(None, None, None)
    assert threads() == before
