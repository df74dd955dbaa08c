"""What goes wrong with dask-glm and dask-ml must not go wrong here.

Found with dask-glm 0.1 to 0.4 and dask-ml; numbers of their issues where there is one. Each test is
of what a user would see.
"""

from __future__ import annotations

import itertools
import warnings

import dask.array as da
import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model
from sklearn.base import clone

from distreg import (
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
)
from distreg.exceptions import ConvergenceWarning

N, P = 600, 20


@pytest.fixture(scope="module")
def linear() -> tuple[np.ndarray, np.ndarray]:
    """Four of the features matter."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, P))
    return X, X[:, :4] @ np.array([3.0, -2.0, 1.5, 1.0]) + 2.0 + rng.standard_normal(N)


@pytest.fixture(scope="module")
def binary() -> tuple[np.ndarray, np.ndarray]:
    """A third of the labels are 1."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N, P))
    score = X[:, :4] @ np.array([1.5, -1.0, 1.0, 0.5]) + rng.logistic(size=N)
    return X, (score > np.quantile(score, 2 / 3)).astype(int)


def test_the_elastic_net_shrinks(linear) -> None:
    X, y = linear
    model = ElasticNet(alpha=0.5, l1_ratio=0.9).fit(X, y)
    other = linear_model.ElasticNet(alpha=0.5, l1_ratio=0.9, tol=1e-12).fit(X, y)
    assert 0 < np.count_nonzero(model.coef_) < P
    assert np.abs(model.coef_[:4] - np.array([3.0, -2.0, 1.5, 1.0])).min() > 0.3
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-6)


def test_the_intercept_is_not_penalised(binary) -> None:
    X, y = binary
    model = LogisticRegression(alpha=10.0, l1_ratio=1.0).fit(X, y)
    share = y.mean()
    np.testing.assert_array_equal(model.coef_, 0.0)
    np.testing.assert_allclose(model.intercept_, np.log(share / (1 - share)), atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], share, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_admm_needs_no_rho_from_the_user(linear, unit: float) -> None:
    X, y = linear
    model = QuantileRegressor(0.5, alpha=0.05).fit(X, unit * y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        scaled = QuantileRegressor(0.5, alpha=0.05).fit(X, y)
    assert np.count_nonzero(model.coef_) == np.count_nonzero(scaled.coef_)
    np.testing.assert_allclose(model.coef_ / unit, scaled.coef_, atol=1e-5)


def test_a_stop_before_the_end_is_told_with_a_certificate(linear) -> None:
    X, y = linear
    with pytest.warns(ConvergenceWarning, match="max_passes"):
        model = QuantileRegressor(0.5, alpha=0.05, max_passes=5).fit(X, y)
    assert model.n_passes_ <= 5
    assert model.dual_gap_ > 0.0


@pytest.mark.parametrize("kind", ["newton", "admm", "squared"])
def test_the_tolerance_is_kept_and_parameters_are_not_ignored(linear, binary, kind: str) -> None:
    X, y = binary if kind == "newton" else linear
    gaps = []
    for tol in (1e-3, 1e-8):
        model = {
            "newton": LogisticRegression(alpha=0.02, l1_ratio=0.5, tol=tol),
            "admm": QuantileRegressor(0.5, alpha=0.05, tol=tol),
            "squared": ElasticNet(alpha=0.1, tol=tol),
        }[kind]
        gaps.append(model.fit(X, y).dual_gap_)
        assert gaps[-1] <= 2.0 * tol * np.abs(y).max()
    weighted = LogisticRegression(alpha=0.02, class_weight="balanced").fit(*binary)
    plain = LogisticRegression(alpha=0.02).fit(*binary)
    assert weighted.intercept_ > plain.intercept_ + 0.1


@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_l1_logistic_models_are_at_the_optimum_of_loss_and_penalty(binary, alpha: float) -> None:
    X, y = binary
    model = LogisticRegression(alpha=alpha, l1_ratio=1.0, tol=1e-10).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = linear_model.LogisticRegression(
            penalty="l1", C=1.0 / (alpha * N), solver="saga", tol=1e-10, max_iter=20_000
        ).fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, other.intercept_, atol=1e-5)


def test_an_l1_penalty_may_start_and_end_at_0(binary) -> None:
    X, y = binary
    model = LogisticRegression(alpha=1e3, l1_ratio=1.0).fit(X, y)
    assert not model.coef_.any()
    assert model.dual_gap_ <= 1e-6


@pytest.mark.parametrize("chunks", [(600, 20), (70, 20), (70, 3), (600, 7)])
@pytest.mark.parametrize("y_chunks", [600, 50])
def test_chunks_do_not_matter(linear, chunks: tuple[int, int], y_chunks: int) -> None:
    X, y = linear
    whole = Lasso(alpha=0.1).fit(X, y)
    parts = Lasso(alpha=0.1).fit(da.from_array(X, chunks), da.from_array(y, y_chunks))
    np.testing.assert_allclose(parts.coef_, whole.coef_, atol=1e-10)
    np.testing.assert_allclose(parts.intercept_, whole.intercept_, atol=1e-10)


def test_containers_do_not_matter_and_may_be_sparse(binary) -> None:
    import pandas as pd

    X, y = binary
    X = np.where(np.abs(X) > 1.0, X, 0.0)
    rows = sparse.csr_array(X)
    inputs = {
        "array": X,
        "csr": rows,
        "csc": sparse.csc_array(X),
        "frame": pd.DataFrame(X, columns=[f"x{j}" for j in range(P)]),
        "dask": da.from_array(X, (100, P)),
    }
    found = {
        kind: LogisticRegression(alpha=0.02, l1_ratio=1.0, tol=1e-9).fit(given, y)
        for kind, given in inputs.items()
    }
    for kind, model in found.items():
        np.testing.assert_allclose(model.coef_, found["array"].coef_, atol=1e-6)
        np.testing.assert_allclose(model.intercept_, found["array"].intercept_, atol=1e-6)
        labels = np.asarray(model.predict(inputs[kind]))
        np.testing.assert_array_equal(labels, found["array"].predict(X))


def test_cross_validation_never_gathers_the_data(linear) -> None:
    X, y = linear
    calls: list[int] = []

    def block(of: np.ndarray) -> np.ndarray:
        calls.append(len(of))
        return of

    lazy = da.from_array(X, (50, P)).map_blocks(block, dtype=float, meta=np.empty((0, 0)))
    model = ElasticNetCV(cv=5, n_alphas=20).fit(lazy, da.from_array(y, 50))
    assert model.n_passes_ == 1
    assert len(calls) == N // 50  # every block is read once, for all folds and the refit
    assert max(calls) == 50


@pytest.mark.parametrize(
    ("fit_intercept", "estimator"),
    list(
        itertools.product(
            [True, False],
            [
                Ridge(alpha=0.1),
                Lasso(alpha=0.1),
                ElasticNet(alpha=0.1),
                HuberRegressor(alpha=0.1),
                QuantileRegressor(alpha=0.1),
                PoissonRegressor(alpha=0.1),
                LogisticRegression(alpha=0.1),
                LogisticRegressionCV(l1_ratio=1.0, cv=3, n_alphas=5),
                LinearSVC(alpha=0.1),
                LinearSVC(alpha=0.1, l1_ratio=1.0, loss="hinge"),
            ],
        )
    ),
    ids=lambda value: str(value).replace("\n", "") if not isinstance(value, bool) else str(value),
)
def test_every_loss_works_with_and_without_an_intercept(
    linear, binary, fit_intercept: bool, estimator
) -> None:
    is_classifier = isinstance(estimator, LogisticRegression | LogisticRegressionCV | LinearSVC)
    X, y = binary if is_classifier else linear
    y = np.abs(y) if isinstance(estimator, PoissonRegressor) else y
    model = (
        clone(estimator).set_params(fit_intercept=fit_intercept).fit(da.from_array(X, (100, P)), y)
    )
    assert np.all(np.isfinite(model.coef_))
    assert np.any(model.intercept_) == fit_intercept
