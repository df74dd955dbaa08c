"""Poisson regression: scikit-learn's answers, exposures and offsets, scores, clear errors."""

from __future__ import annotations

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import linear_model as sk
from sklearn import model_selection as sk_split
from sklearn.base import clone

import distreg
from distreg import PoissonRegressor, PoissonRegressorCV
from distreg.exceptions import InputError

SINGLE = PoissonRegressor(alpha=0.05)
SEARCH = PoissonRegressorCV(n_alphas=4, alpha_min_ratio=1e-2)
BOTH = [SINGLE, SEARCH]


def name_of(estimator):
    return type(estimator).__name__


def make_problem(n_rows=200, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4)) * [0.5, 1.0, 0.3, 1.0] + [1.0, 0.0, -1.0, 0.0]
    exposure = rng.uniform(0.3, 4.0, size=n_rows)
    y = rng.poisson(exposure * np.exp(X @ [0.8, -0.3, 0.5, 0.0] + 0.2)).astype(float)
    return X, y, exposure, rng.uniform(0.2, 3.0, size=n_rows)


X, Y, E, W = make_problem()


def objective(coef, intercept, alpha, l1_ratio, weight=None, offset=0.0):
    eta = X @ coef + intercept + offset
    penalty = l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) / 2 * coef @ coef
    return np.average(np.exp(eta) - Y * eta, weights=weight) + alpha * penalty


# --- the answers of scikit-learn ----------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weight", [None, W], ids=["equal", "weighted"])
def test_fits_equal_scikit_learn(weight, fit_intercept):
    ours = PoissonRegressor(alpha=0.05, fit_intercept=fit_intercept).fit(X, Y, weight)
    reference = sk.PoissonRegressor(
        alpha=0.05, fit_intercept=fit_intercept, tol=1e-10, max_iter=10**4, solver="newton-cholesky"
    ).fit(X, Y, weight)
    assert ours.coef_.shape == (4,)
    assert isinstance(ours.intercept_, float)
    found, expected = (
        objective(m.coef_, m.intercept_, 0.05, 0.0, weight) for m in (ours, reference)
    )
    assert found == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(ours.predict(X), reference.predict(X), rtol=1e-4)
    assert ours.score(X, Y, weight) == pytest.approx(reference.score(X, Y, weight), abs=1e-5)
    # the very same predictions have the very same score
    reference.coef_, reference.intercept_ = ours.coef_, ours.intercept_
    assert ours.score(X, Y, weight) == pytest.approx(reference.score(X, Y, weight), abs=1e-12)


def test_an_l1_penalty_gives_exact_zeros():
    model = PoissonRegressor(alpha=0.3, l1_ratio=1.0).fit(X, Y)
    assert 0 < np.count_nonzero(model.coef_) < 4
    best = objective(model.coef_, model.intercept_, 0.3, 1.0)
    rng = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):
        other = model.coef_ + size * rng.normal(size=4)
        assert objective(other, model.intercept_ + size * rng.normal(), 0.3, 1.0) > best - 1e-8


def test_cross_validation_equals_scikit_learn():
    alphas = [1.0, 0.1, 0.01]
    model = PoissonRegressorCV(alphas=alphas, cv=4).fit(X, Y)
    expected = np.empty((3, 4))
    for k, (train, test) in enumerate(sk_split.KFold(4).split(X)):
        for j, alpha in enumerate(alphas):
            reference = sk.PoissonRegressor(alpha=alpha, tol=1e-10, solver="newton-cholesky")
            mean = reference.fit(X[train], Y[train]).predict(X[test])
            logs = np.log(np.where(Y[test] > 0, Y[test], 1) / mean)
            expected[j, k] = 2 * np.mean(Y[test] * logs - Y[test] + mean)
    np.testing.assert_allclose(model.deviance_path_, expected, rtol=1e-4)
    assert model.alpha_ == alphas[int(expected.mean(axis=1).argmin())]
    assert model.coef_path_.shape == (1, 3, 4)
    assert model.intercept_path_.shape == (1, 3)
    assert not hasattr(model, "mse_path_")


# --- offsets and exposures ----------------------------------------------------------------------


@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_an_exposure_is_the_offset_of_its_logarithm(estimator):
    by_exposure = clone(estimator).fit(X, Y, W, exposure=E)
    by_offset = clone(estimator).fit(X, Y, W, offset=np.log(E))
    np.testing.assert_array_equal(by_exposure.coef_, by_offset.coef_)
    rate = by_exposure.predict(X)
    np.testing.assert_allclose(by_exposure.predict(X, exposure=E), rate * E, rtol=1e-12)
    np.testing.assert_allclose(by_exposure.predict(X, offset=np.log(E)), rate * E, rtol=1e-12)
    assert by_exposure.score(X, Y, exposure=E) == by_offset.score(X, Y, offset=np.log(E))
    assert by_exposure.score(X, Y, exposure=E) > by_exposure.score(X, Y)


def test_counts_with_exposures_are_rates_with_weights():
    model = PoissonRegressor(alpha=0.05).fit(X, Y, W, exposure=E)
    # the loss of a rate y / e with weight w e differs by a constant; weights are normalised
    alpha = 0.05 * W.sum() / (W * E).sum()
    rates = PoissonRegressor(alpha=alpha).fit(X, Y / E, W * E)
    np.testing.assert_allclose(model.coef_, rates.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), rates.predict(X), rtol=1e-4)


def test_a_common_exposure_only_moves_the_intercept():
    plain = PoissonRegressor(alpha=0.05).fit(X, Y)
    moved = PoissonRegressor(alpha=0.05).fit(X, Y, exposure=np.full(Y.size, 10.0))
    np.testing.assert_allclose(moved.coef_, plain.coef_, rtol=1e-4, atol=1e-6)
    assert moved.intercept_ == pytest.approx(plain.intercept_ - np.log(10.0), abs=1e-5)


def test_a_rate_for_all_has_score_0():
    model = PoissonRegressor(alpha=1e4).fit(X, Y, exposure=E)
    assert model.score(X, Y, exposure=E) == pytest.approx(0.0, abs=1e-3)
    assert model.score(X, np.zeros(Y.size)) == 0.0
    assert PoissonRegressor().fit(X, np.ones(Y.size)).score(X, np.ones(Y.size)) == 1.0


BAD_EXPOSURES = {
    "both": ({"offset": np.zeros(200), "exposure": E}, "both given"),
    "zero": ({"exposure": np.where(np.arange(200) == 7, 0.0, E)}, "first 0 at position 7"),
    "negative": ({"exposure": -E}, "exposure must be positive .* 200 of 200"),
    "missing": ({"exposure": np.where(np.arange(200) == 9, np.nan, E)}, "nan at position 9"),
    "text": ({"exposure": "years"}, "exposure='years' is text"),
    "a column": ({"offset": "years"}, "offset='years' is text"),
    "short": ({"exposure": E[:-1]}, "199"),
    "labels": ({"exposure": np.full(200, "a")}, "exposure"),
}


@pytest.mark.parametrize("case", BAD_EXPOSURES)
@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_bad_exposures_are_named(estimator, case):
    keywords, message = BAD_EXPOSURES[case]
    with pytest.raises(InputError, match=message):
        clone(estimator).fit(X, Y, **keywords)


def test_an_offset_is_part_of_a_data_set():
    data = distreg.from_arrays(X, Y, sample_weight=W, offset=np.log(E))
    model = PoissonRegressor(alpha=0.05).fit(data)
    expected = PoissonRegressor(alpha=0.05).fit(X, Y, W, exposure=E)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    with pytest.raises(InputError, match="offset and groups are part of a Dataset"):
        PoissonRegressor().fit(data, exposure=E)


# --- kinds of input -----------------------------------------------------------------------------


def frame_of(array):
    return pd.DataFrame(array, columns=[f"f{j}" for j in range(array.shape[1])])


def dask_frame():
    return dd.from_pandas(frame_of(X).assign(target=Y, years=E), npartitions=3)


KINDS = {
    "lists": lambda: (X.tolist(), Y.tolist(), E.tolist()),
    "csr": lambda: (sparse.csr_array(X), Y, E),
    "frame": lambda: (frame_of(X), pd.Series(Y), pd.Series(E)),
    "dask array": lambda: tuple(da.from_array(a, 70) for a in (X, Y, E)),
    "dask array, the rest in memory": lambda: (da.from_array(X, (90, 4)), Y, E),
    "dask frame": lambda: (
        dask_frame().drop(columns=["target", "years"]),
        dask_frame()["target"],
        dask_frame()["years"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_every_kind_of_input_gives_the_same_answer(estimator, kind):
    expected = clone(estimator).fit(X, Y, exposure=E)
    given, target, exposure = KINDS[kind]()
    model = clone(estimator).fit(given, target, exposure=exposure)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-5, atol=1e-8)
    found = model.predict(given, exposure=exposure)
    assert hasattr(found, "dask") == ("dask" in kind)
    wanted = expected.predict(X, exposure=E)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-5)
    score = model.score(given, target, exposure=exposure)
    assert score == pytest.approx(expected.score(X, Y, exposure=E), abs=1e-6)


def test_dask_predictions_are_lazy_and_scores_equal_those_in_memory():
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    model = PoissonRegressor(alpha=0.05).fit(X, Y, exposure=E)
    lazy, exposure = da.from_array(X, chunks=(64, 2)), da.from_array(E, chunks=50)
    with dask.config.set(scheduler=refuse):
        plain, scaled = model.predict(lazy), model.predict(lazy, exposure=exposure)
    assert plain.shape == scaled.shape == (200,)
    np.testing.assert_array_equal(plain.compute(), model.predict(X))
    expected = model.predict(X, exposure=E)
    np.testing.assert_allclose(scaled.compute(), expected, rtol=1e-14)
    np.testing.assert_allclose(model.predict(lazy, exposure=E), expected, rtol=1e-14)
    for target in (Y, da.from_array(Y, chunks=80)):
        found = model.score(lazy, target, W, exposure=exposure)
        assert found == pytest.approx(model.score(X, Y, W, exposure=E), abs=1e-12)
        assert model.score(lazy, target) == pytest.approx(model.score(X, Y), abs=1e-12)
    with pytest.raises(InputError, match="exposure must be positive"):
        model.predict(lazy, exposure=exposure - 1.0).compute()


# --- fitted attributes, errors, warnings --------------------------------------------------------


@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_fitted_attributes(estimator):
    model = clone(estimator).fit(X, Y, W)
    assert model.n_iter_ == model.n_passes_ >= 1
    assert model.status_ == "converged"
    assert 0 <= model.dual_gap_ < 1e-5
    assert 0 <= model.kkt_violation_ < 1e-4
    assert model.model_.loss == "poisson"
    np.testing.assert_array_equal(model.model_.predict(X), model.predict(X))
    assert model.model_.info["estimator"] == name_of(estimator)


@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_docstrings_name_every_keyword(estimator):
    text = type(estimator).__doc__
    assert "{" not in text.replace('{"', "")
    for name in estimator.get_params():
        assert name in text


BAD_DATA = {
    "negative": ((X, Y - 1.0), "negative|below 0|>= 0"),
    "NaN": ((X, np.where(Y > 3, np.nan, Y)), "missing|NaN"),
    "inf": ((X, np.where(Y > 3, np.inf, Y)), "infinite|inf"),
    "text": ((X, np.full(200, "a")), "string"),
    "no y": ((X, None), "requires y"),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_bad_targets_are_named(estimator, case):
    arguments, message = BAD_DATA[case]
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(*arguments)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"solver": "gram"}, "allowed are 'auto', 'newton'"),
        ({"l1_ratio": -0.5}, "l1_ratio=-0.5"),
        ({"max_passes": 1.5}, "whole number"),
    ],
)
@pytest.mark.parametrize("estimator", BOTH, ids=name_of)
def test_bad_keywords_are_named(estimator, keywords, message):
    with pytest.raises(InputError, match=message):
        clone(estimator).set_params(**keywords).fit(X, Y)


def test_missing_values():
    holes = X.copy()
    holes[np.random.default_rng(1).uniform(size=X.shape) < 0.05] = np.nan
    with pytest.raises(InputError, match="missing"):
        PoissonRegressor().fit(holes, Y)
    keep = ~np.isnan(holes).any(axis=1)
    expected = PoissonRegressor(alpha=0.05).fit(X[keep], Y[keep], exposure=E[keep])
    model = PoissonRegressor(alpha=0.05, missing="drop").fit(holes, Y, exposure=E)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(model.predict(holes)), ~keep)
    with pytest.raises(InputError, match="missing"):
        model.score(holes, Y)
    filled = np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    expected = PoissonRegressor(alpha=0.05).fit(filled, Y)
    model = PoissonRegressor(alpha=0.05, missing="mean").fit(holes, Y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-4, atol=1e-6)
