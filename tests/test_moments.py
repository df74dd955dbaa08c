"""Means, variances and covariances keep their digits: far from 0, weighted, sparse, merged."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import Case, dataset, fit, named_cases
from scipy import sparse

from distreg.cv import cross_validate
from distreg.data.folds import KFold, ShuffledKFold, make_cells
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.training import CellMoments, TrainingMoments, cell_moments

RATIOS = [1e2, 1e3, 1e4, 1e5, 1e6]


def moments_of(case: Case, cuts: tuple[int, ...] = (), **keywords: object) -> CellMoments:
    data = dataset(case, cuts, **keywords)
    cells = make_cells(None, data.n_rows)
    return PassRunner(n_threads=1).run(cell_moments(data, cells), data)


def training(case: Case, cuts: tuple[int, ...] = (), fit_intercept: bool = True) -> TrainingMoments:
    moments = moments_of(case, cuts)
    return moments.training(np.ones(len(moments.gram), dtype=bool), fit_intercept, False)


def exact(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviations, correlations and covariances with y, in extended precision."""
    problem = oracle.make_problem(case.matrix, case.y, case.weight, standardize=True)
    X, y = problem.centred()
    sd = np.where(problem.scale > 0, problem.scale, 1)
    Z = X / sd
    s = problem.weight[:, None] / problem.weight_sum
    return problem.mean(problem.X), problem.scale, (s * Z).T @ Z, (s * Z).T @ y


def assert_equal(found: TrainingMoments, case: Case, digits: float) -> None:
    """Errors relative to the largest correlation, 1, and to the spread of y."""
    mean, sd, gram, xty = exact(case)
    spread = float(np.sqrt(found.yty))
    np.testing.assert_allclose(found.gram, gram.astype(float), rtol=0, atol=10.0**-digits)
    np.testing.assert_allclose(found.xty, xty.astype(float), rtol=0, atol=10.0**-digits * spread)
    np.testing.assert_allclose(found.sd, sd.astype(float), rtol=10.0**-digits)
    # the mean is as exact as a double of its size can be
    np.testing.assert_allclose(found.mean, mean.astype(float), rtol=1e-14)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("cuts", [(), (13, 200, 201, 777)])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_accuracy_is_lost_far_from_zero(
    ratio: float, cuts: tuple[int, ...], weighted: bool
) -> None:
    rng = np.random.default_rng(int(ratio))
    n = 1000
    X = rng.normal(size=(n, 5)) * [1e-3, 1, 1, 1e3, 7] + ratio * np.array([1e-3, -1, 1, 1e3, 7])
    X[:, 2] = X[:, 1] + rng.normal(size=n)
    y = rng.normal(size=n) + ratio
    weight = rng.exponential(size=n) if weighted else None
    case = Case("far", X, y, weight)
    assert_equal(training(case, cuts), case, digits=13.5)


@pytest.mark.parametrize("ratio", [1e2, 1e3, 1e4])
def test_single_precision_loses_only_what_the_data_have_lost(ratio: float) -> None:
    # the exact answer is that of the float32 numbers themselves
    rng = np.random.default_rng(5)
    X = (rng.normal(size=(500, 4)) + ratio).astype(np.float32)
    case = Case("float32", X, rng.normal(size=500))
    assert_equal(training(case, (100, 300)), case, digits=13.5)


@pytest.mark.parametrize("density", [0.01, 0.2, 1.0])
@pytest.mark.parametrize("cuts", [(), (13, 150)])
def test_sparse_equals_dense(density: float, cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    hot = sparse.random_array((400, 8), density=density, rng=rng, format="csr")
    dense = rng.normal(size=(400, 3)) + 1e4
    weight = rng.exponential(size=400) * (rng.random(400) > 0.2)
    case = Case("mixed", (dense, sparse.csr_array(hot)), rng.normal(size=400), weight)
    assert_equal(training(case, cuts), case, digits=12)


@pytest.mark.parametrize("offset", [10.0, 1e4, 1e6])
@pytest.mark.parametrize("cuts", [(), (13, 150)])
def test_a_full_sparse_column_far_from_zero(offset: float, cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    full = sparse.csr_array(np.column_stack([rng.normal(size=300) + offset, rng.random(300) < 0.1]))
    case = Case("offset", full, rng.normal(size=300))
    assert_equal(training(case, cuts), case, digits=12)


def test_a_sparse_column_that_is_empty_at_first_and_far_from_zero_later() -> None:
    # the first rows do not show that it needs a centre
    rng = np.random.default_rng(9)
    late = np.zeros(20_000)
    late[10_000:] = 1e5 + rng.normal(size=10_000)
    case = Case("late", sparse.csr_array(late[:, None]), rng.normal(size=20_000))
    assert_equal(training(case, (9_000,)), case, digits=9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e6 + 0.1, -1e-7])
@pytest.mark.parametrize("n", [7, 1000, 40_000])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_constant_column_is_constant(value: float, n: int, form: str) -> None:
    # weights, blocks and sums of rounding errors must not give it a variance
    rng = np.random.default_rng(10)
    weight = rng.exponential(size=n)
    column = np.full((n, 1), value)
    noise = rng.normal(size=(n, 1))
    X = np.hstack([noise, column])
    case = Case("constant", X if form == "dense" else sparse.csr_array(X), noise[:, 0], weight)
    found = training(case, (n // 3, n // 2))
    assert found.sd[1] == 0
    assert not found.gram[1].any()
    assert found.xty[1] == 0


@pytest.mark.parametrize("n", [1000, 40_000])
@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1])
def test_a_column_constant_but_for_its_first_rows(n: int, value: float) -> None:
    # centred on the first rows, it is a constant away from 0 in all cells but one
    rng = np.random.default_rng(12)
    X = np.full((n, 1), value)
    X[: n // 4, 0] += rng.normal(size=n // 4)
    case = Case("first rows", X, rng.normal(size=n))
    data = dataset(case)
    cells = make_cells(KFold(4), n)
    moments = PassRunner(n_threads=1).run(cell_moments(data, cells), data)
    fold = moments.training(cells.train[0], True, False)
    assert fold.sd[0] == 0
    assert not fold.gram.any()


@pytest.mark.parametrize("case", named_cases(), ids=lambda c: c.name)
def test_any_chunking_gives_the_same_moments(case: Case) -> None:
    n = len(case.y)
    whole = training(case)
    for cuts in [(1,), (n // 2,), tuple(range(1, n)), (3, 5, n - 1)]:
        for per_group in (1, 3):
            data = dataset(case, cuts, per_group=per_group)
            cells = make_cells(None, n)
            moments = PassRunner(n_threads=1).run(cell_moments(data, cells), data)
            part = moments.training(np.ones(len(moments.gram), dtype=bool), True, False)
            np.testing.assert_allclose(part.gram, whole.gram, rtol=0, atol=1e-12)
            np.testing.assert_allclose(part.sd, whole.sd, rtol=1e-12)
            np.testing.assert_allclose(part.mean, whole.mean, rtol=1e-13, atol=1e-15)
            assert part.n_rows == whole.n_rows


@given(
    cuts=st.lists(st.integers(1, 89), max_size=12),
    order=st.permutations(range(4)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_merging_is_associative_and_commutes(cuts: list[int], order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(90, 4)) * 10.0 ** rng.uniform(-3, 3, 4) + rng.uniform(-1e3, 1e3, 4)
    y = rng.normal(size=90)
    rows = np.concatenate([np.array_split(np.arange(90), 4)[i] for i in order])
    one = training(Case("in order", X, y))
    two = training(Case("in parts", X[rows], y[rows]), tuple(cuts))
    np.testing.assert_allclose(two.gram, one.gram, rtol=0, atol=1e-11)
    np.testing.assert_allclose(two.xty, one.xty, rtol=0, atol=1e-11)
    np.testing.assert_allclose(two.sd, one.sd, rtol=1e-11)


def test_blocks_that_drift() -> None:
    # time order: every block a hundred standard deviations above the one before
    rng = np.random.default_rng(14)
    X = rng.normal(size=(500, 3)) + np.repeat(np.arange(10) * 100.0, 50)[:, None]
    X[:, 2] = rng.normal(size=500)
    case = Case("drift", X, rng.normal(size=500) + X[:, 0])
    assert_equal(training(case, tuple(range(50, 500, 50))), case, digits=12)


def test_means_and_spreads_are_reported() -> None:
    for case in named_cases():
        result = fit(case, n_alphas=2)
        mean, sd, _, _ = exact(case)
        np.testing.assert_allclose(result.feature_mean, mean.astype(float), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(result.feature_sd, sd.astype(float), rtol=1e-12, atol=1e-14)
        weight = np.ones(len(case.y)) if case.weight is None else case.weight
        assert result.weight_sum == pytest.approx(weight.sum(), rel=1e-13)
        assert result.n_samples == np.count_nonzero(weight)


@pytest.mark.parametrize("ratio", [1e2, 1e6])
def test_a_column_that_starts_late_loses_no_accuracy(ratio: float) -> None:
    # the first blocks have no value to take a centre from
    rng = np.random.default_rng(11)
    n = 3000
    X = rng.normal(size=(n, 2))
    y = X @ [1.0, 2.0] + rng.normal(size=n)
    X[:, 0] += ratio
    X[:1700, 0] = np.nan
    near = X - np.array([ratio, 0.0])
    results = []
    for features in (X, near):
        data = dataset(Case("late", features, y, None, {}), range(250, n, 250), missing="mean")
        cells = make_cells(ShuffledKFold(3, seed=0), n)
        options = PathOptions(alphas=np.array([1e-3]))
        results.append(cross_validate(data, cells, options, PassRunner(n_threads=2)))
    one, two = results
    np.testing.assert_allclose(one.paths[0].coef, two.paths[0].coef, rtol=1e-9)
    np.testing.assert_allclose(one.cv_mean, two.cv_mean, rtol=1e-9)
