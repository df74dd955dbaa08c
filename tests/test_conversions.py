"""The table of docs/conversions.md, row by row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from distreg import ElasticNet, Lasso, Ridge

REFERENCE = Path(__file__).parent / "reference"
PAGE = Path(__file__).parents[1] / "docs" / "conversions.md"


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    X = rng.standard_normal((200, 8)) @ rng.standard_normal((8, 8)) + rng.uniform(-3, 3, 8)
    y = X[:, :3] @ [1.0, -2.0, 0.5] + 2.0 * rng.standard_normal(200) + 7.0
    return X, y, rng.uniform(0.2, 3.0, 200)


def assert_same(ours, theirs) -> None:
    size = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6 * size)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    assert size > 0.1  # the comparison is not of zeros


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.02, 0.5])
def test_lasso_has_the_alpha_of_scikit_learn(problem, alpha: float, weighted: bool) -> None:
    X, y, weight = problem
    s = weight if weighted else None
    theirs = linear_model.Lasso(alpha=alpha, tol=1e-12, max_iter=100_000)
    assert_same(Lasso(alpha=alpha).fit(X, y, sample_weight=s), theirs.fit(X, y, sample_weight=s))


@pytest.mark.parametrize("l1_ratio", [0.1, 0.5, 0.9])
def test_elastic_net_has_the_alpha_of_scikit_learn(problem, l1_ratio: float) -> None:
    X, y, _ = problem
    theirs = linear_model.ElasticNet(alpha=0.3, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000)
    assert_same(ElasticNet(alpha=0.3, l1_ratio=l1_ratio).fit(X, y), theirs.fit(X, y))


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_has_n_times_the_alpha_in_scikit_learn(problem, weighted: bool) -> None:
    X, y, weight = problem
    s = weight if weighted else None
    n = weight.sum() if weighted else len(y)
    theirs = linear_model.Ridge(alpha=n * 0.3).fit(X, y, sample_weight=s)
    assert_same(Ridge(alpha=0.3).fit(X, y, sample_weight=s), theirs)


def test_standardize_is_a_standard_scaler_with_coefficients_of_the_data(problem) -> None:
    X, y, _ = problem
    theirs = make_pipeline(
        StandardScaler(), linear_model.Lasso(alpha=0.1, tol=1e-12, max_iter=100_000)
    ).fit(X, y)
    ours = Lasso(alpha=0.1, standardize=True).fit(X, y)
    np.testing.assert_allclose(ours.coef_ * X.std(axis=0), theirs[-1].coef_, atol=1e-6)


@pytest.mark.parametrize("name", ["l1r0_std0", "l1r0.1_std1", "l1r0.5_std0", "l1r1_std1"])
def test_lambda_of_glmnet_is_alpha_when_y_has_unit_deviation(name: str) -> None:
    reference = json.loads((REFERENCE / f"diabetes_gaussian_{name}.json").read_text())
    X, y = load_diabetes(return_X_y=True, scaled=False)
    y = y / y.std()
    index = 12
    ours = ElasticNet(
        alpha=reference["lambda"][index],
        l1_ratio=reference["l1_ratio"],
        standardize=bool(reference["standardize"]),
    ).fit(X, y)
    size = np.abs(reference["coef"][index]).max()
    np.testing.assert_allclose(ours.coef_, reference["coef"][index], atol=1e-5 * size)


def test_glmnet_with_l1_ratio_below_1_and_raw_y_solves_for_another_l2_penalty(problem) -> None:
    """The rule of the page: divide y, solve at lambda / s_y, multiply back.

    That is the objective with the L2 part divided by s_y.
    """
    X, y, _ = problem
    lam, rho, s_y = 0.4, 0.5, y.std()
    glmnet = ElasticNet(alpha=lam / s_y, l1_ratio=rho).fit(X, y / s_y).coef_ * s_y
    l1, l2 = lam * rho, lam * (1 - rho) / s_y
    same = ElasticNet(alpha=l1 + l2, l1_ratio=l1 / (l1 + l2)).fit(X, y).coef_
    np.testing.assert_allclose(glmnet, same, atol=1e-7)
    raw = ElasticNet(alpha=lam, l1_ratio=rho).fit(X, y).coef_
    assert np.abs(glmnet - raw).max() > 1e-2


def test_the_page_has_the_rows_that_are_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for row in ("`Lasso`, `ElasticNet`", "`Ridge`", "R glmnet", "Spark"):
        assert row in text
