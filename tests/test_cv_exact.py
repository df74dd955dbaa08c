"""The cross-validation curve equals an explicit loop over folds, whatever the folds and the data.

Each fold of the loop imputes, centres and scales on its own training rows (tests/oracle.py).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import oracle
import pytest
from problems import Case, fit, named_cases, problem_options, splits_of
from sklearn.model_selection import ShuffleSplit

from distreg.data.folds import (
    GivenFolds,
    GroupKFold,
    KFold,
    ShuffledKFold,
    TestSplit,
    TimeSeriesSplit,
    from_splits,
    make_cells,
)

CASES = {case.name: case for case in named_cases()}
EASY = CASES["plain"]
TIGHT = 1e-15


def given(n: int) -> np.ndarray:
    """Ids of four folds of unequal size; some rows are never held out."""
    ids = np.arange(n) % 7
    return np.where(ids >= 4, np.where(ids == 4, 1, -1), ids)


def schemes(n: int) -> dict[str, Any]:
    shuffled = ShuffleSplit(4, test_size=0.3, random_state=5).split(np.zeros((n, 1)))
    return {
        "contiguous": KFold(5),
        "uneven": KFold(7),
        "shuffled": ShuffledKFold(4, seed=3),
        "time": TimeSeriesSplit(3),
        "given, some never held out": GivenFolds(given(n)),
        "two": KFold(2),
        "overlapping": from_splits(list(shuffled), n),
    }


def assert_curve(case: Case, scheme: Any, l1_ratio: float, alphas: np.ndarray, **more: Any) -> None:
    """Mean, standard error and every fold's error, to 1e-9."""
    result = fit(case, scheme, l1_ratios=(l1_ratio,), alphas=alphas, tol=TIGHT, **more)
    n = len(case.y)
    splits = splits_of(make_cells(scheme, n, more.get("test")), n)
    curve = oracle.cross_validation(
        case.matrix, case.y, splits, alphas, l1_ratio, weight=case.weight,
        **problem_options(case.options),
    )  # fmt: skip
    error = np.asarray(curve.fold_error, dtype=float)
    np.testing.assert_allclose(result.fold_error[:, 0], error, rtol=1e-9)
    np.testing.assert_allclose(result.fold_weight, curve.fold_weight.astype(float), rtol=1e-12)
    np.testing.assert_allclose(result.cv_mean[0], curve.mean.astype(float), rtol=1e-9)
    # the standard error is a difference of fold errors: its error is relative to them
    np.testing.assert_allclose(
        result.cv_se[0], curve.se.astype(float), rtol=1e-9, atol=1e-9 * error.max()
    )


def alphas_of(case: Case, l1_ratio: float, n_alphas: int = 5, ratio: float = 0.02) -> np.ndarray:
    problem = oracle.make_problem(case.matrix, case.y, case.weight, **problem_options(case.options))
    return oracle.alpha_grid(problem, l1_ratio, n_alphas, ratio)


@pytest.mark.parametrize("name", schemes(len(EASY.y)))
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_every_scheme(name: str, l1_ratio: float) -> None:
    assert_curve(EASY, schemes(len(EASY.y))[name], l1_ratio, alphas_of(EASY, l1_ratio))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3, 0.0])
def test_every_problem(case: Case, l1_ratio: float) -> None:
    assert_curve(case, ShuffledKFold(4, seed=1), l1_ratio, alphas_of(case, l1_ratio))


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("name", ["weights, some 0", "penalty factors, some 0", "sparse",
                                  "dense and one-hot", "no intercept"])  # fmt: skip
def test_standardize_either_way(name: str, standardize: bool) -> None:
    case = CASES[name]
    case = dataclasses.replace(case, options={**case.options, "standardize": standardize})
    assert_curve(case, KFold(3), 0.8, alphas_of(case, 0.8))


@pytest.mark.parametrize("kind", ["random", "tail"])
def test_test_rows_take_no_part(kind: str) -> None:
    split = TestSplit(0.25, seed=2, kind=kind)
    assert_curve(EASY, KFold(4), 0.5, alphas_of(EASY, 0.5), test=split)
    result = fit(EASY, KFold(4), alphas=np.array([0.05]), l1_ratios=(0.5,), test=split, tol=TIGHT)
    n = len(EASY.y)
    cells = make_cells(KFold(4), n, split)
    of_row = cells.restrict(0, n)(np.arange(n), None)
    full, test = cells.full[of_row], cells.test[of_row]
    assert not np.any(full & test)
    assert result.n_samples == full.sum()
    assert result.n_test == test.sum()
    problem = oracle.make_problem(EASY.X[full], EASY.y[full])
    coef, intercept = oracle.solve_path(problem, [0.05], 0.5)
    e = EASY.y[test] - np.asarray(EASY.X[test] @ coef[0] + intercept[0], dtype=float)
    total = np.sum((EASY.y[test] - EASY.y[test].mean()) ** 2)
    assert result.test["mse"][0, 0] == pytest.approx(np.mean(e**2), rel=1e-9)
    assert result.test["rmse"][0, 0] == pytest.approx(np.sqrt(np.mean(e**2)), rel=1e-9)
    assert result.test["r2"][0, 0] == pytest.approx(1 - np.sum(e**2) / total, rel=1e-9)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("cuts", [(), (7, 40, 41, 66)])
def test_missing_values_are_filled_with_the_folds_own_means(
    weighted: bool, standardize: bool, cuts: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(11)
    case = CASES["offsets 1e3"]
    X = case.X.copy()
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:30, 2] = np.nan  # one column has no value in the first rows
    weight = rng.exponential(size=len(X)) if weighted else None
    case = Case("missing", X, case.y, weight, {"standardize": standardize})
    filled = oracle.imputed(X, np.ones(len(X)) if weight is None else weight, np.ones(len(X), bool))
    complete = dataclasses.replace(case, X=np.asarray(filled, dtype=float))
    alphas = alphas_of(complete, 0.7)
    assert_curve(case, ShuffledKFold(4, seed=9), 0.7, alphas, missing="mean", cuts=cuts)
    result = fit(case, alphas=alphas, l1_ratios=(0.7,), missing="mean", cuts=cuts, tol=TIGHT)
    problem = oracle.make_problem(filled, case.y, weight, standardize=standardize)
    coef, _ = oracle.solve_path(problem, alphas, 0.7)
    sd = complete.matrix.std(axis=0)
    np.testing.assert_allclose(
        result.paths[0].coef * sd, np.asarray(coef * sd, dtype=float), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        result.fill_values, problem_means(X, weight), rtol=1e-12, equal_nan=True
    )


def problem_means(X: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Weighted means of the values that are present."""
    s = np.ones(len(X)) if weight is None else weight
    s = s[:, None] * ~np.isnan(X)
    return (s * np.nan_to_num(X)).sum(axis=0) / s.sum(axis=0)


def test_a_column_without_any_value_in_a_training_fold() -> None:
    # the fold cannot know a mean: the column is constant there, its coefficient 0
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 4))
    X[20:, 1] = np.nan
    case = Case("empty in a fold", X, X[:, 0] + rng.normal(size=60))
    result = fit(case, KFold(3), alphas=np.array([0.05]), missing="mean", tol=TIGHT)
    train, held_out = np.arange(20, 60), np.arange(20)
    rest = np.delete(X, 1, axis=1)
    problem = oracle.make_problem(rest[train], case.y[train])
    # penalty factors of 1 each: a column fewer changes nothing
    coef, intercept = oracle.solve_path(problem, [0.05], 1.0)
    e = case.y[held_out] - np.asarray(rest[held_out] @ coef[0] + intercept[0], dtype=float)
    assert result.fold_error[0, 0, 0] == pytest.approx(np.mean(e**2), rel=1e-9)


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, -3.3e-7])
def test_a_column_constant_in_one_training_fold_only(value: float) -> None:
    # trap: a false variance of rounding errors, divided by
    rng = np.random.default_rng(8)
    n = 20_000
    X = np.column_stack([rng.normal(size=n), np.full(n, value)])
    X[: n // 4, 1] += rng.normal(size=n // 4)
    y = X[:, 0] + 0.1 * rng.normal(size=n)
    case = Case("constant in a fold", X, y, options={"standardize": True})
    alphas = np.array([0.1, 1e-3, 1e-6])
    result = fit(case, KFold(4), alphas=alphas, tol=TIGHT, cuts=(3000, 11_111))
    train, held_out = np.arange(n // 4, n), np.arange(n // 4)
    fold = oracle.make_problem(X[train][:, :1], y[train], standardize=True)
    coef, intercept = oracle.solve_path(fold, alphas, 1.0)
    e = y[held_out][:, None] - np.asarray(X[held_out, :1] @ coef.T + intercept, dtype=float)
    np.testing.assert_allclose(result.fold_error[0, 0], np.mean(e**2, axis=0), rtol=1e-9)


@pytest.mark.parametrize("jump", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("cuts", [(), (25, 50, 75)])
def test_a_level_shift_between_folds(jump: float, cuts: tuple[int, ...]) -> None:
    # fold 0 lies `jump` standard deviations away from the rest, in a feature and in the target
    rng = np.random.default_rng(21)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=100)
    X[:25, 0] += jump
    y[:25] += jump
    case = Case("level shift", X, y)
    alphas = np.array([0.3, 0.01])
    result = fit(case, KFold(4), alphas=alphas, cuts=cuts, tol=1e-14)
    splits = [(np.delete(np.arange(100), r), r) for r in np.arange(100).reshape(4, 25)]
    curve = oracle.cross_validation(X, y, splits, alphas, 1.0)
    error = np.asarray(curve.fold_error, dtype=float)
    np.testing.assert_allclose(result.fold_error[:, 0], error, rtol=1e-9)


def test_group_k_fold_keeps_groups_together_and_is_exact() -> None:
    rng = np.random.default_rng(2)
    key = rng.integers(0, 12, len(EASY.y))
    cells = make_cells(GroupKFold(3, seed=1), len(EASY.y))
    splits = splits_of(cells, len(EASY.y), key.astype(np.int64))
    for train, held_out in splits:
        assert not set(key[train]) & set(key[held_out])
    assert sorted(np.concatenate([h for _, h in splits])) == list(range(len(EASY.y)))


def test_the_grid_is_common_and_comes_from_the_full_data() -> None:
    for case in CASES.values():
        for l1_ratio in (1.0, 0.4, 0.0):
            problem = oracle.make_problem(
                case.matrix, case.y, case.weight, **problem_options(case.options)
            )
            result = fit(case, KFold(3), l1_ratios=(l1_ratio,), n_alphas=7)
            expected = oracle.alpha_grid(problem, l1_ratio, 7)
            # float32 data and offsets leave fewer digits of the gradient of the null model
            np.testing.assert_allclose(result.paths[0].alphas, expected, rtol=1e-9)
            if l1_ratio > 0:
                used = problem.factor > 0
                assert not result.paths[0].coef[0][used].any(), case.name


def test_several_l1_ratios_and_their_order() -> None:
    ratios = (0.2, 1.0, 0.0, 0.7)
    together = fit(EASY, KFold(3), l1_ratios=ratios, n_alphas=6)
    assert tuple(together.l1_ratios) == ratios
    for i, ratio in enumerate(ratios):
        alone = fit(EASY, KFold(3), l1_ratios=(ratio,), n_alphas=6)
        np.testing.assert_array_equal(together.paths[i].coef, alone.paths[0].coef)
        np.testing.assert_array_equal(together.cv_mean[i], alone.cv_mean[0])
        np.testing.assert_array_equal(together.cv_se[i], alone.cv_se[0])
    assert together.cost.n_passes == 1


def test_weight_two_is_a_row_twice_and_weight_zero_a_row_less() -> None:
    rng = np.random.default_rng(31)
    weight = rng.integers(0, 4, len(EASY.y)).astype(float)
    ids = rng.integers(0, 3, len(EASY.y))
    repeated = np.repeat(np.arange(len(EASY.y)), weight.astype(int))
    for options in ({}, {"standardize": True}, {"fit_intercept": False}):
        weighted = dataclasses.replace(EASY, weight=weight, options=options)
        rows = Case("repeated", EASY.X[repeated], EASY.y[repeated], options=options)
        keywords = {"l1_ratios": (0.6,), "alphas": np.array([0.3, 0.03]), "tol": TIGHT}
        one = fit(weighted, GivenFolds(ids), **keywords)
        two = fit(rows, GivenFolds(ids[repeated]), **keywords)
        np.testing.assert_allclose(one.paths[0].coef, two.paths[0].coef, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(one.cv_mean, two.cv_mean, rtol=1e-8)
        np.testing.assert_allclose(one.cv_se, two.cv_se, rtol=1e-8)
        assert one.n_samples == np.count_nonzero(weight)


@pytest.mark.parametrize("value", [1e9, 1e200, np.nan, np.inf])
def test_rows_of_weight_zero_may_hold_anything(value: float) -> None:
    weight = np.ones(len(EASY.y))
    weight[:5] = weight[40:50] = 0
    X, y = EASY.X.copy(), EASY.y.copy()
    X[weight == 0] = value
    y[weight == 0] = value
    keywords = {"l1_ratios": (0.6,), "alphas": np.array([0.3, 0.03]), "tol": TIGHT}
    wild = fit(Case("wild", X, y, weight), KFold(4), **keywords)
    tame = fit(dataclasses.replace(EASY, weight=weight), KFold(4), **keywords)
    np.testing.assert_allclose(wild.paths[0].coef, tame.paths[0].coef, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(wild.cv_mean, tame.cv_mean, rtol=1e-8)
