"""scikit-learn's answers: Lasso, ElasticNet, Ridge, LinearRegression, LassoCV, and splitters."""

from __future__ import annotations

import numpy as np
import pytest
from problems import Case, fit, named_cases
from sklearn.linear_model import ElasticNet, Lasso, LassoCV, LinearRegression, Ridge
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)

from distreg.data.folds import check_cv

PLAIN = [
    case
    for case in named_cases()
    if not case.options.get("standardize") and "penalty_factor" not in case.options
]
TIGHT = 1e-13


def weight_sum(case: Case) -> float:
    return float(len(case.y) if case.weight is None else case.weight.sum())


@pytest.mark.parametrize("case", PLAIN, ids=lambda c: c.name)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_lasso_and_elastic_net(case: Case, l1_ratio: float) -> None:
    # alpha and l1_ratio mean the same; scikit-learn rescales the weights to sum to n
    intercept = case.options.get("fit_intercept", True)
    mine = fit(case, l1_ratios=(l1_ratio,), n_alphas=6, tol=TIGHT).paths[0]
    X = case.matrix
    for i in (1, 3):
        common = {"tol": 1e-14, "max_iter": 1_000_000, "fit_intercept": intercept}
        theirs = (
            Lasso(mine.alphas[i], **common)
            if l1_ratio == 1
            else ElasticNet(mine.alphas[i], l1_ratio=l1_ratio, **common)
        ).fit(X, case.y, sample_weight=case.weight)
        ours = X @ mine.coef[i] + mine.intercept[i]
        spread = case.y.std()
        np.testing.assert_allclose(ours, theirs.predict(X), rtol=0, atol=1e-6 * spread)


@pytest.mark.parametrize("case", PLAIN, ids=lambda c: c.name)
def test_ridge(case: Case) -> None:
    # scikit-learn's Ridge does not divide by the sum of weights: its alpha is W times ours
    alphas = np.array([10.0, 0.1, 1e-3])
    mine = fit(case, l1_ratios=(0.0,), alphas=alphas).paths[0]
    X = case.matrix
    for i, alpha in enumerate(alphas):
        theirs = Ridge(
            weight_sum(case) * alpha,
            fit_intercept=case.options.get("fit_intercept", True),
            solver="svd",
        ).fit(X, case.y, sample_weight=case.weight)
        ours = X @ mine.coef[i] + mine.intercept[i]
        np.testing.assert_allclose(ours, theirs.predict(X), rtol=0, atol=1e-8 * case.y.std())


def test_least_squares() -> None:
    case = next(c for c in PLAIN if c.name == "weights, some 0")
    mine = fit(case, alphas=np.array([0.0]), l1_ratios=(0.0,)).paths[0]
    theirs = LinearRegression().fit(case.X, case.y, sample_weight=case.weight)
    np.testing.assert_allclose(mine.coef[0], theirs.coef_, rtol=1e-9)
    assert mine.intercept[0] == pytest.approx(theirs.intercept_, rel=1e-9)


@pytest.mark.parametrize(
    "splitter",
    [
        KFold(4),
        KFold(3, shuffle=True, random_state=7),
        TimeSeriesSplit(4),
        ShuffleSplit(5, test_size=0.25, random_state=1),
    ],
    ids=lambda s: type(s).__name__,
)
def test_lasso_cv_with_scikit_learns_own_splitters(splitter: object) -> None:
    case = named_cases()[1]
    X, y = case.matrix / case.matrix.std(axis=0), case.y
    case = Case("scaled", X, y)
    alphas = np.geomspace(1.0, 1e-2, 8)
    result = fit(case, check_cv(splitter, len(y)), alphas=alphas, tol=TIGHT)
    theirs = LassoCV(alphas=alphas, cv=splitter, tol=1e-13, max_iter=1_000_000).fit(X, y)
    np.testing.assert_allclose(result.fold_error[:, 0].T, theirs.mse_path_, rtol=1e-7)


def test_group_k_fold_by_splits() -> None:
    case = named_cases()[0]
    groups = np.random.default_rng(3).integers(0, 9, len(case.y))
    scheme = check_cv(GroupKFold(3), len(case.y), groups=groups)
    result = fit(case, scheme, alphas=np.array([0.05]), l1_ratios=(0.0,))
    expected = []
    for train, held_out in GroupKFold(3).split(case.X, case.y, groups):
        ridge = Ridge(0.05 * len(train)).fit(case.X[train], case.y[train])
        expected.append(np.mean((case.y[held_out] - ridge.predict(case.X[held_out])) ** 2))
    np.testing.assert_allclose(result.fold_error[:, 0, 0], expected, rtol=1e-10)


def test_overlapping_splits() -> None:
    # repeated K-fold overlaps: 2 x 3 folds make up to 9 patterns of membership
    case = named_cases()[0]
    splitter = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    result = fit(case, check_cv(splitter, len(case.y)), alphas=np.array([0.1]), l1_ratios=(0.0,))
    expected = []
    for train, held_out in splitter.split(case.X):
        ridge = Ridge(0.1 * len(train)).fit(case.X[train], case.y[train])
        expected.append(np.mean((case.y[held_out] - ridge.predict(case.X[held_out])) ** 2))
    np.testing.assert_allclose(result.fold_error[:, 0, 0], expected, rtol=1e-10)
