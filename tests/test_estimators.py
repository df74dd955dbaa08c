"""Estimators: scikit-learn's answers, every kind of input, clear errors, one pass."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import linear_model as sk
from sklearn import model_selection as sk_split
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.exceptions import NotFittedError

import distreg
from distreg import ElasticNet, ElasticNetCV, Lasso, LassoCV, Ridge, RidgeCV, exceptions
from distreg.data.folds import GroupKFold, TimeSeriesSplit
from distreg.estimators import ConvergenceWarning
from distreg.exceptions import DataError, InputError

SINGLE = [Ridge(alpha=0.2), Lasso(alpha=0.1), ElasticNet(alpha=0.1, l1_ratio=0.3)]
SEARCHES = [
    RidgeCV(n_alphas=8),
    LassoCV(n_alphas=8),
    ElasticNetCV(l1_ratio=[0.2, 0.9], n_alphas=8),
]
ALL = SINGLE + SEARCHES


def name_of(estimator):
    return type(estimator).__name__


def make_problem(n_rows=240, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 7)) * np.geomspace(0.5, 4, 7) + rng.normal(size=7)
    y = X @ np.array([1.0, -2.0, 0.0, 0.0, 0.5, 0.0, 0.3]) + rng.normal(size=n_rows) + 5.0
    return X, y, rng.uniform(0.2, 3.0, size=n_rows)


# --- the answers of scikit-learn ----------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_single_fits_equal_scikit_learn(fit_intercept, weighted):
    X, y, weight = make_problem()
    weight = weight if weighted else None
    total = y.size if weight is None else weight.sum()
    pairs = [
        (Ridge(alpha=0.3), sk.Ridge(alpha=0.3 * total)),
        (Lasso(alpha=0.2), sk.Lasso(alpha=0.2, tol=1e-14, max_iter=10**5)),
        (
            ElasticNet(alpha=0.2, l1_ratio=0.4),
            sk.ElasticNet(alpha=0.2, l1_ratio=0.4, tol=1e-14, max_iter=10**5),
        ),
        (Lasso(alpha=0.0), sk.LinearRegression()),
        (ElasticNet(alpha=0.0), sk.LinearRegression()),
        (Ridge(alpha=0.0), sk.LinearRegression()),
    ]
    for ours, reference in pairs:
        ours = ours.set_params(fit_intercept=fit_intercept).fit(X, y, sample_weight=weight)
        reference.set_params(fit_intercept=fit_intercept).fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(ours.intercept_, reference.intercept_, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(ours.predict(X), reference.predict(X), rtol=1e-8)
        assert ours.score(X, y, weight) == pytest.approx(reference.score(X, y, weight), abs=1e-10)


@pytest.mark.parametrize(
    "cv",
    [
        3,
        sk_split.KFold(4, shuffle=True, random_state=1),
        sk_split.ShuffleSplit(8, random_state=2),
        sk_split.RepeatedKFold(n_splits=3, n_repeats=4, random_state=3),
        sk_split.TimeSeriesSplit(3),
        sk_split.PredefinedSplit(np.arange(240) % 4 - 1),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_cross_validation_equals_scikit_learn(cv):
    X, y, _ = make_problem()
    ours = LassoCV(n_alphas=20, cv=cv).fit(X, y)
    reference = sk.LassoCV(alphas=ours.alphas_, cv=cv, tol=1e-12, max_iter=10**5).fit(X, y)
    np.testing.assert_allclose(ours.mse_path_, reference.mse_path_, rtol=1e-8)
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=1e-8, atol=1e-10)
    assert ours.alpha_ == reference.alpha_
    ours = ElasticNetCV(l1_ratio=[0.3, 0.8], alphas=[0.01, 0.1, 1.0], cv=cv).fit(X, y)
    reference = sk.ElasticNetCV(
        l1_ratio=[0.3, 0.8], alphas=[0.01, 0.1, 1.0], cv=cv, tol=1e-12, max_iter=10**5
    ).fit(X, y)
    np.testing.assert_allclose(ours.mse_path_, reference.mse_path_, rtol=1e-8)
    np.testing.assert_array_equal(ours.alphas_, reference.alphas_)
    assert (ours.alpha_, ours.l1_ratio_) == (reference.alpha_, reference.l1_ratio_)


def test_fold_ids_may_be_given_row_by_row():
    X, y, _ = make_problem()
    ids = np.arange(240) % 4 - 1
    by_ids = LassoCV(n_alphas=9, cv=ids).fit(X, y)
    by_splitter = LassoCV(n_alphas=9, cv=sk_split.PredefinedSplit(ids)).fit(X, y)
    np.testing.assert_allclose(by_ids.mse_path_, by_splitter.mse_path_, rtol=1e-10)
    assert by_ids.mse_path_.shape == (9, 3)


@pytest.mark.parametrize("kind", [list, tuple, np.asarray, pd.Series])
def test_a_splitter_sees_the_target_of_every_kind(kind):
    X, y, _ = make_problem()
    y = (y > np.median(y)).astype(float)
    cv = sk_split.StratifiedKFold(3)
    expected = LassoCV(n_alphas=5, cv=list(cv.split(X, y))).fit(X, y)
    model = LassoCV(n_alphas=5, cv=cv).fit(pd.DataFrame(X), kind(y))
    np.testing.assert_allclose(model.mse_path_, expected.mse_path_, rtol=1e-10)


def test_scikit_learns_own_grid_is_the_default_grid():
    X, y, _ = make_problem()
    reference = sk.LassoCV(eps=1e-4).fit(X, y)
    np.testing.assert_allclose(LassoCV().fit(X, y).alphas_, reference.alphas_, rtol=1e-10)
    few = LassoCV(alphas=7, eps=1e-2).fit(X, y).alphas_
    np.testing.assert_allclose(few, sk.LassoCV(alphas=7, eps=1e-2).fit(X, y).alphas_, rtol=1e-10)
    np.testing.assert_array_equal(few, LassoCV(n_alphas=7, alpha_min_ratio=1e-2).fit(X, y).alphas_)


# --- fitted attributes --------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_fitted_attributes(estimator):
    X, y, weight = make_problem()
    model = clone(estimator).fit(X, y, sample_weight=weight)
    assert model.coef_.shape == (7,)
    assert isinstance(model.intercept_, float)
    assert model.n_features_in_ == 7
    assert model.n_passes_ == 1
    assert model.n_iter_ >= 1
    assert model.status_ == "converged"
    assert 0 <= model.dual_gap_ < 1e-6 * np.var(y)
    assert 0 <= model.kkt_violation_ < 1e-6
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.model_.coef, model.coef_)
    np.testing.assert_array_equal(model.model_.predict(X), model.predict(X))
    assert model.model_.info["n_samples"] == 240
    assert (model.model_.alpha, model.model_.l1_ratio) == (model.alpha_, model.l1_ratio_)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - own bytes
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("estimator", SEARCHES, ids=name_of)
@pytest.mark.parametrize("selection", ["min", "1se"])
def test_path_attributes(estimator, selection):
    X, y, _ = make_problem()
    model = clone(estimator).set_params(selection=selection).fit(X, y)
    ratios = np.atleast_1d(getattr(model, "l1_ratio", model.l1_ratio_))
    table = pd.DataFrame(model.cv_results_)
    assert len(table) == 8 * ratios.size
    assert model.coef_path_.shape == (ratios.size, 8, 7)
    assert model.intercept_path_.shape == (ratios.size, 8)
    one = ratios.size == 1
    assert model.alphas_.shape == ((8,) if one else (ratios.size, 8))
    assert model.mse_path_.shape == ((8, 5) if one else (ratios.size, 8, 5))
    np.testing.assert_array_equal(table.alpha, model.alphas_.ravel())
    np.testing.assert_array_equal(table.n_nonzero, (model.coef_path_ != 0).sum(axis=2).ravel())
    np.testing.assert_allclose(table.cv_mean, model.mse_path_.reshape(-1, 5).mean(axis=1))
    best = table.loc[table.cv_mean.idxmin()]
    same_ratio = table[table.l1_ratio == best.l1_ratio]
    if selection == "1se":
        inside = same_ratio[same_ratio.cv_mean <= best.cv_mean + best.cv_se]
        best = inside.loc[inside.alpha.idxmax()]
    assert (model.alpha_, model.l1_ratio_) == (best.alpha, best.l1_ratio)
    chosen = int(best.name)
    np.testing.assert_array_equal(model.coef_, model.coef_path_.reshape(-1, 7)[chosen])
    assert model.intercept_ == model.intercept_path_.ravel()[chosen]
    assert model.dual_gap_ == best.dual_gap


def test_refitting_forgets_the_first_fit():
    X, y, _ = make_problem()
    model = Lasso(alpha=0.1).fit(pd.DataFrame(X).add_prefix("f"), y)
    assert list(model.feature_names_in_) == [f"f{j}" for j in range(7)]
    model.fit(X[:, :3], y)
    assert not hasattr(model, "feature_names_in_")
    np.testing.assert_array_equal(model.coef_, Lasso(alpha=0.1).fit(X[:, :3], y).coef_)


def test_standardize_and_penalty_factor_reach_the_engine():
    X, y, _ = make_problem()
    scale = X.std(axis=0)
    scaled = Lasso(alpha=0.1).fit(X / scale, y)
    model = Lasso(alpha=0.1, standardize=True).fit(X, y)
    np.testing.assert_allclose(model.coef_ * scale, scaled.coef_, rtol=1e-9, atol=1e-12)
    factor = np.array([0.0, 1, 1, 1, 1, 1, 1])
    model = Lasso(alpha=1e3, penalty_factor=factor).fit(X, y)
    assert model.coef_[0] == pytest.approx(np.polyfit(X[:, 0], y, 1)[0])
    np.testing.assert_array_equal(model.coef_[1:], 0.0)


# --- kinds of input -----------------------------------------------------------------------------


def frame_of(X):
    return pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])


def dask_frame(X, y):
    import dask.dataframe as dd

    return dd.from_pandas(frame_of(X).assign(target=y), npartitions=3)


def dask_array(X, chunks):
    import dask.array as da

    return da.from_array(X, chunks=chunks)


KINDS = {
    "lists": lambda X, y: (X.tolist(), y.tolist()),
    "fortran": lambda X, y: (np.asfortranarray(X), y),
    "strided": lambda X, y: (np.repeat(X, 2, axis=1)[:, ::2], y),
    "object": lambda X, y: (X.astype(object), y.astype(object)),
    "csr": lambda X, y: (sparse.csr_array(X), y),
    "csc": lambda X, y: (sparse.csc_matrix(X), y),
    "coo": lambda X, y: (sparse.coo_array(X), y),
    "frame": lambda X, y: (frame_of(X), pd.Series(y, name="target")),
    "frame with its target": lambda X, y: (frame_of(X).assign(target=y), "target"),
    "dask array": lambda X, y: (dask_array(X, (70, 3)), dask_array(y, 50)),
    "dask array, y in memory": lambda X, y: (dask_array(X, (70, 7)), y),
    "dask frame": lambda X, y: (
        dask_frame(X, y).drop(columns="target"),
        dask_frame(X, y)["target"],
    ),
    "dask frame with its target": lambda X, y: (dask_frame(X, y), "target"),
    "data set": lambda X, y: (distreg.from_arrays(X, y), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", [Lasso(alpha=0.1), ElasticNetCV(n_alphas=8)], ids=name_of)
def test_every_kind_of_input_gives_the_same_answer(estimator, kind):
    X, y, _ = make_problem()
    expected = clone(estimator).fit(X, y)
    given, target = KINDS[kind](X, y)
    model = clone(estimator).fit(given, target)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=1e-9)
    assert model.n_features_in_ == 7
    assert model.n_passes_ == 1
    if kind == "data set":
        given = X
    if kind == "frame with its target":
        given = given.drop(columns="target")
    found = model.predict(given)
    assert hasattr(found, "dask") == ("dask" in kind)
    np.testing.assert_allclose(np.asarray(found), expected.predict(X), rtol=1e-9)
    if "frame" in kind:
        assert list(model.feature_names_in_) == [f"f{j}" for j in range(7)]


def test_whole_numbers_and_single_precision():
    rng = np.random.default_rng(1)
    X = rng.integers(-5, 6, size=(80, 4))
    y = X @ np.array([1, 0, 2, 0]) + rng.integers(-2, 3, size=80)
    expected = Lasso(alpha=0.1).fit(X.astype(float), y.astype(float))
    for dtype in (np.int8, np.int64, np.float32):
        model = Lasso(alpha=0.1).fit(X.astype(dtype), y.astype(dtype))
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)
        np.testing.assert_allclose(model.predict(X), expected.predict(X), rtol=1e-10)
    model = Lasso(alpha=0.01).fit(X > 0, y)
    np.testing.assert_allclose(
        model.coef_, Lasso(alpha=0.01).fit((X > 0).astype(float), y).coef_, rtol=1e-10
    )


def test_categories_become_columns_and_are_matched_by_level():
    rng = np.random.default_rng(4)
    carrier = rng.choice(["AA", "DL", "UA"], size=200)
    frame = pd.DataFrame({"x": rng.normal(size=200), "carrier": pd.Categorical(carrier)})
    y = frame["x"] + (carrier == "UA") * 2.0
    model = Ridge(alpha=1e-6).fit(frame, y)
    assert model.n_features_in_ == 2
    assert model.coef_.shape == (4,)
    part = frame.iloc[:5].assign(carrier=pd.Categorical(carrier[:5]))
    np.testing.assert_allclose(model.predict(part), y[:5], atol=1e-3)


def test_dask_predictions_are_lazy_and_scores_equal_those_in_memory():
    import dask
    import dask.array as da
    import dask.dataframe as dd

    X, y, weight = make_problem()
    model = Lasso(alpha=0.1).fit(X, y)
    lazy = da.from_array(X, chunks=(64, 7))

    def refuse(*args, **kwargs):
        raise AssertionError("predict computed")

    with dask.config.set(scheduler=refuse):
        predictions = model.predict(lazy)
    assert predictions.shape == (240,)
    target = da.from_array(y, chunks=100)
    expected = model.score(X, y), model.score(X, y, weight)
    assert model.score(lazy, target) == pytest.approx(expected[0], abs=1e-12)
    assert model.score(lazy, y, weight) == pytest.approx(expected[1], abs=1e-12)
    frame = dd.from_pandas(pd.DataFrame(X).assign(y=y), npartitions=4)
    found = Lasso(alpha=0.1).fit(frame, "y").score(frame.drop(columns="y"), frame["y"])
    assert found == pytest.approx(expected[0], abs=1e-12)


def test_folds_do_not_depend_on_chunks():
    import dask.array as da

    X, y, _ = make_problem()
    model = LassoCV(n_alphas=9, random_state=5)
    expected = clone(model).fit(X, y).mse_path_
    for chunks in (17, 100, 240):
        lazy = da.from_array(X, chunks=(chunks, 7))
        found = clone(model).fit(lazy, da.from_array(y, chunks=90)).mse_path_
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    contiguous = LassoCV(n_alphas=9).fit(X, y).mse_path_
    assert not np.allclose(contiguous, expected)
    state = np.random.RandomState(5)
    assert not np.allclose(
        clone(model).set_params(random_state=state).fit(X, y).mse_path_, expected
    )


def test_groups_stay_together():
    X, y, _ = make_problem()
    groups = np.repeat(np.arange(24), 10)
    model = LassoCV(n_alphas=6, cv=sk_split.GroupKFold(4)).fit(X, y, groups=groups)
    splits = list(sk_split.GroupKFold(4).split(X, y, groups))
    np.testing.assert_array_equal(
        model.mse_path_, LassoCV(n_alphas=6, cv=splits).fit(X, y).mse_path_
    )
    model = LassoCV(n_alphas=6, cv=GroupKFold(3, seed=2)).fit(X, y, groups=groups)
    assert model.mse_path_.shape == (6, 3)
    with pytest.raises(InputError, match="groups are given"):
        LassoCV(cv=4).fit(X, y, groups=groups)
    assert LassoCV(n_alphas=6, cv=TimeSeriesSplit(3)).fit(X, y).mse_path_.shape == (6, 3)


def test_numpy_features_are_not_copied():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 30))
    y = X[:, 0] + rng.normal(size=100_000)
    X.flags.writeable = False
    Lasso(alpha=0.1).fit(X[:100], y[:100])
    tracemalloc.start()
    try:
        LassoCV(n_alphas=5, n_jobs=1).fit(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * X.nbytes


# --- missing values -----------------------------------------------------------------------------


def test_missing_values():
    X, y, _ = make_problem()
    holes = X.copy()
    holes[np.random.default_rng(1).uniform(size=X.shape) < 0.05] = np.nan
    with pytest.raises(InputError, match="missing"):
        Lasso(alpha=0.1).fit(holes, y)
    filled = np.where(np.isnan(holes), np.nanmean(holes, axis=0), holes)
    expected = Lasso(alpha=0.1).fit(filled, y)
    model = Lasso(alpha=0.1, missing="mean").fit(holes, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.predict(holes), expected.predict(filled), rtol=1e-9)
    frame = pd.DataFrame(holes).add_prefix("f")
    by_frame = Lasso(alpha=0.1, missing="mean").fit(frame, y)
    np.testing.assert_allclose(by_frame.predict(frame), expected.predict(filled), rtol=1e-9)
    whole = ~np.isnan(holes).any(axis=1)
    expected = Lasso(alpha=0.1).fit(X[whole], y[whole])
    model = Lasso(alpha=0.1, missing="drop").fit(holes, y)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    found = model.predict(holes)
    np.testing.assert_array_equal(np.isnan(found), ~whole)


# --- errors and warnings ------------------------------------------------------------------------


class Unreadable:
    """Fails the test when anything of it is read."""

    shape = (10, 3)
    ndim = 2

    def __array__(self, *args, **kwargs):
        raise AssertionError("data were read")

    def __len__(self):
        raise AssertionError("data were read")


BAD_KEYWORDS = [
    (Ridge, {"alpha": -1.0}, "alpha=-1.0 is outside"),
    (Ridge, {"alpha": float("nan")}, "alpha=nan is outside"),
    (Ridge, {"alpha": "1"}, "alpha='1' must be a number"),
    (Ridge, {"alpha": True}, "must be a number"),
    (Lasso, {"alpha": float("inf")}, "alpha=inf is outside"),
    (Lasso, {"tol": -1e-3}, "tol=-0.001"),
    (Lasso, {"fit_intercept": "yes"}, "True or False"),
    (Lasso, {"standardize": 1}, "True or False"),
    (Lasso, {"missing": "zero"}, "allowed are 'error', 'mean', 'drop'"),
    (Lasso, {"solver": "saga"}, "allowed are 'auto', 'gram', 'admm'"),
    (Lasso, {"max_passes": 0}, "at least 1"),
    (Lasso, {"max_iter": 0}, "at least 1"),
    (Lasso, {"verbose": -1}, "at least 0"),
    (Lasso, {"penalty_factor": [1, -1, 1]}, "penalty_factor=-1"),
    (Lasso, {"selection": "min"}, "allowed are 'cyclic', 'random'"),
    (ElasticNet, {"l1_ratio": 2}, r"l1_ratio=2 is outside \[0, 1\]"),
    (ElasticNet, {"l1_ratio": -0.1}, "outside"),
    (ElasticNetCV, {"l1_ratio": [0.5, 1.5]}, "l1_ratio=1.5"),
    (ElasticNetCV, {"l1_ratio": []}, "empty"),
    (ElasticNetCV, {"selection": "best"}, "allowed are 'min', '1se'"),
    (LassoCV, {"alphas": []}, "empty"),
    (LassoCV, {"alphas": [0.1, -0.1]}, r"alphas\[1\]"),
    (LassoCV, {"alphas": [0.1, "a"]}, r"alphas\[1\]"),
    (LassoCV, {"alphas": "many"}, "give an array"),
    (LassoCV, {"alphas": 0}, "alphas=0"),
    (LassoCV, {"n_alphas": 2.5}, "whole number"),
    (LassoCV, {"alpha_min_ratio": 1.0}, "outside"),
    (LassoCV, {"alpha_min_ratio": 0.1, "eps": 0.1}, "another name"),
    (LassoCV, {"random_state": "seed"}, "random_state='seed'"),
    (LassoCV, {"n_jobs": 0}, "n_jobs"),
    (RidgeCV, {"n_jobs": 1.5}, "whole number"),
]


@pytest.mark.parametrize(("kind", "keywords", "message"), BAD_KEYWORDS)
def test_bad_keywords_are_named_before_data_are_read(kind, keywords, message):
    with pytest.raises(InputError, match=message):
        kind(**keywords).fit(Unreadable(), Unreadable())


def with_value(array, where, value):
    array = array.copy()
    array[where] = value
    return array


X0, Y0, W0 = make_problem(60, seed=3)

BAD_DATA = {
    "NaN in X": ((with_value(X0, (41, 2), np.nan), Y0), "1 missing .* first in row 41"),
    "inf in X": ((with_value(X0, (7, 0), np.inf), Y0), "1 infinite value, first in row 7"),
    "NaN in y": ((X0, with_value(Y0, 5, np.nan)), "target: 1 missing"),
    "NaN in csr": ((sparse.csr_array(with_value(X0, (9, 1), np.nan)), Y0), "row 9"),
    "no y": ((X0, None), "requires y"),
    "shorter y": ((X0, Y0[:-1]), "60, 59"),
    "1-D X": ((X0[:, 0], Y0), "Expected 2D array, got 1D"),
    "3-D X": ((X0.reshape(60, 7, 1), Y0), "dim"),
    "2-D y": ((X0, X0[:, :2]), "1d array"),
    "complex X": ((X0.astype(complex), Y0), "Complex"),
    "complex y": ((X0, Y0.astype(complex)), "Complex"),
    "strings in X": ((np.full((60, 2), "a"), Y0), "string"),
    "strings in y": ((X0, np.full(60, "a")), "string"),
    "no rows": ((X0[:0], Y0[:0]), "0 sample"),
    "no columns": ((X0[:, :0], Y0), "0 feature"),
    "unknown target column": ((pd.DataFrame(X0), "target"), "no such column"),
    "negative weight": ((X0, Y0, with_value(W0, 8, -1.0)), "[Nn]egative"),
    "NaN weight": ((X0, Y0, with_value(W0, 8, np.nan)), "NaN"),
    "zero weights": ((X0, Y0, np.zeros(60)), "0|zero"),
    "short weights": ((X0, Y0, W0[:-1]), "sample_weight"),
    "a negative weight for all": ((X0, Y0, -2.0), "sample_weight=-2.0"),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("estimator", [Ridge(), LassoCV(n_alphas=3)], ids=name_of)
def test_bad_data_are_named(estimator, case):
    arguments, message = BAD_DATA[case]
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(*arguments)


def test_columns_are_named_in_errors():
    frame = pd.DataFrame(X0).add_prefix("feature ")
    frame.loc[[4, 9], "feature 3"] = np.nan
    with pytest.raises(DataError, match=r"feature 3: 2 missing .* first in row 4"):
        Lasso().fit(frame, Y0)


def test_a_data_set_brings_its_own_target():
    data = distreg.from_arrays(X0, Y0)
    with pytest.raises(InputError, match="part of a Dataset"):
        Lasso().fit(data, Y0)
    with pytest.raises(InputError, match="no target"):
        Lasso().fit(distreg.from_arrays(X0))
    with pytest.raises(InputError, match="missing='mean'"):
        Lasso(missing="mean").fit(data)


def test_predictions_need_a_fit_and_the_same_features():
    with pytest.raises(NotFittedError):
        Lasso().predict(X0)
    model = Lasso().fit(X0, Y0)
    with pytest.raises(ValueError, match="X has 3 features, but Lasso is expecting 7"):
        model.predict(X0[:, :3])
    with pytest.raises(ValueError, match="row 2"):
        model.predict(with_value(X0, (2, 1), np.nan))


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
@pytest.mark.parametrize("names", [list("abcdefg"), [f"x{j}" for j in range(7)][::-1]], ids=str)
def test_a_fit_on_an_array_predicts_a_frame_by_position(missing, names):
    model = Lasso(alpha=0.1, missing=missing).fit(X0, Y0)
    frame = pd.DataFrame(X0, columns=names)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        found = model.predict(frame)
    np.testing.assert_array_equal(found, model.predict(X0))
    np.testing.assert_array_equal(model.predict(pd.DataFrame(X0)), found)
    with pytest.raises(ValueError, match="X has 3 features, but Lasso is expecting 7"):
        model.predict(pd.DataFrame(X0[:, :3]))


def test_names_that_are_no_text_or_come_from_a_data_set_are_matched():
    frame = pd.DataFrame(X0).assign(c=pd.Categorical(["a", "b"] * (len(X0) // 2)))
    frame.columns = range(8)
    model = Lasso(alpha=0.1).fit(frame, Y0)
    expected = model.predict(frame)
    np.testing.assert_array_equal(model.predict(frame[list(range(8))[::-1]]), expected)
    names = list("abcdefg")
    model = Lasso(alpha=0.1).fit(distreg.from_arrays(X0, Y0, feature_names=names))
    with pytest.warns(UserWarning, match="fitted without feature names"):
        found = model.predict(pd.DataFrame(X0, columns=names)[names[::-1]])
    np.testing.assert_array_equal(found, model.predict(X0))


def test_too_few_rows_for_the_folds():
    with pytest.raises(InputError, match="at least 5 rows, got n_samples=4"):
        LassoCV().fit(X0[:4], Y0[:4])


@pytest.mark.parametrize("estimator", [Lasso(alpha=0.1, tol=0.0), LassoCV(n_alphas=4, tol=0.0)])
def test_an_answer_above_its_tolerance_warns(estimator):
    with pytest.warns(ConvergenceWarning, match="dual gap above tol=0") as caught:
        model = clone(estimator).fit(X0, Y0)
    assert issubclass(ConvergenceWarning, exceptions.ConvergenceWarning)
    assert issubclass(ConvergenceWarning, SklearnConvergenceWarning)
    assert caught[0].filename == __file__
    assert model.status_ == "dual gap above tol"


def test_verbose_writes_stages_to_standard_error(capsys):
    LassoCV(n_alphas=4, verbose=1).fit(X0, Y0)
    captured = capsys.readouterr()
    assert "pass 1: fold moments" in captured.err
    assert captured.out == ""
    LassoCV(n_alphas=4).fit(X0, Y0)
    assert capsys.readouterr().err == ""


# --- the package --------------------------------------------------------------------------------


def test_importing_distreg_imports_nothing_else():
    code = (
        "import sys, distreg; heavy = {'dask', 'mlflow', 'sklearn', 'pandas', 'numpy', 'numba'}; "
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_exists():
    assert distreg.__version__ == "0.1.0"
    for name in distreg.__all__:
        assert getattr(distreg, name) is not None
        assert name in dir(distreg)
    with pytest.raises(AttributeError, match="has no attribute 'Logit'"):
        distreg.Logit  # noqa: B018 - looking it up is the test


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_docstrings_name_every_keyword(estimator):
    text = type(estimator).__doc__
    assert "{" not in text.replace('{"', "")
    for name in estimator.get_params():
        assert name in text
