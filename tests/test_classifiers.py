"""Classifiers: labels of every kind, weights of classes, scikit-learn's answers, clear errors."""

from __future__ import annotations

import pickle
import warnings

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
from sklearn.exceptions import NotFittedError
from sklearn.svm import LinearSVC as SklearnSVC

import distreg
from distreg import LinearSVC, LinearSVCCV, LogisticRegression, LogisticRegressionCV
from distreg.exceptions import InputError

SINGLE = [LogisticRegression(alpha=0.02), LinearSVC(alpha=0.02)]
SEARCHES = [
    LogisticRegressionCV(n_alphas=4, alpha_min_ratio=1e-2),
    LinearSVCCV(n_alphas=4, alpha_min_ratio=1e-2),
]
ALL = SINGLE + SEARCHES


def name_of(estimator):
    return type(estimator).__name__


def make_problem(n_classes=2, n_rows=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4)) * [0.5, 1.0, 2.0, 1.0] + [1.0, 0.0, -1.0, 0.0]
    if n_classes == 2:
        y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.logistic(size=n_rows) > 0).astype(int)
    else:
        eta = X @ rng.normal(size=(4, n_classes)) + rng.gumbel(size=(n_rows, n_classes))
        y = eta.argmax(axis=1)
    return X, y, rng.uniform(0.2, 3.0, size=n_rows)


X2, Y2, W2 = make_problem()
X3, Y3, W3 = make_problem(3)


# --- the answers of scikit-learn ----------------------------------------------------------------


def log_loss(model, X, y, weight, alpha, l1_ratio):
    """Objective of a fitted classifier with columns of log-probabilities."""
    losses = -model.predict_log_proba(X)[np.arange(y.size), y]
    coef = model.coef_.ravel()
    penalty = l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) / 2 * coef @ coef
    return np.average(losses, weights=weight) + alpha * penalty


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.4])
@pytest.mark.parametrize(("X", "y", "weight"), [(X2, Y2, W2), (X3, Y3, W3)], ids=["two", "three"])
def test_logistic_regression_equals_scikit_learn(X, y, weight, l1_ratio, fit_intercept):
    alpha = 0.03
    ours = LogisticRegression(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
    ours.fit(X, y, sample_weight=weight)
    reference = sk.LogisticRegression(
        C=1 / (alpha * weight.sum()),
        l1_ratio=l1_ratio,
        solver="saga" if l1_ratio else "newton-cholesky",
        fit_intercept=fit_intercept,
        tol=1e-10,
        max_iter=10**5,
        random_state=0,
    ).fit(X, y, sample_weight=weight)
    assert ours.coef_.shape == reference.coef_.shape
    assert ours.intercept_.shape == reference.intercept_.shape
    np.testing.assert_array_equal(ours.classes_, reference.classes_)
    found = log_loss(ours, X, y, weight, alpha, l1_ratio)
    expected = log_loss(reference, X, y, weight, alpha, l1_ratio)
    assert found == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), atol=2e-4)
    assert ours.score(X, y, weight) == pytest.approx(reference.score(X, y, weight), abs=0.02)


def hinge_loss(coef, X, y, alpha):
    short = np.maximum(0.0, 1.0 - (2 * y - 1) * (X @ coef))
    return np.mean(short**2) / 2 + alpha / 2 * coef @ coef


def test_linear_svc_equals_scikit_learn():
    alpha = 0.03
    ours = LinearSVC(alpha=alpha, fit_intercept=False).fit(X2, Y2)
    reference = SklearnSVC(
        C=1 / (2 * Y2.size * alpha), dual=False, fit_intercept=False, tol=1e-10, max_iter=10**5
    ).fit(X2, Y2)
    assert ours.coef_.shape == reference.coef_.shape == (1, 4)
    found, expected = (hinge_loss(m.coef_[0], X2, Y2, alpha) for m in (ours, reference))
    assert found == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(
        ours.decision_function(X2), reference.decision_function(X2), atol=2e-4
    )
    assert not hasattr(ours, "predict_proba")


def test_cross_validation_holds_out_what_scikit_learn_does():
    alphas = [0.3, 0.03, 0.003]
    model = LogisticRegressionCV(alphas=alphas, cv=4).fit(X2, Y2)
    expected = np.empty((3, 4))
    for k, (train, test) in enumerate(sk_split.StratifiedKFold(4).split(X2, Y2)):
        for j, alpha in enumerate(alphas):
            reference = sk.LogisticRegression(
                C=1 / (alpha * train.size), tol=1e-10, solver="newton-cholesky"
            ).fit(X2[train], Y2[train])
            log_proba = reference.predict_log_proba(X2[test])
            expected[j, k] = -2 * log_proba[np.arange(test.size), Y2[test]].mean()
    np.testing.assert_allclose(model.deviance_path_, expected, rtol=1e-4)
    assert model.alpha_ == alphas[int(expected.mean(axis=1).argmin())]


# --- labels -------------------------------------------------------------------------------------


LABELS = {
    "str": np.array(["no", "yes", "perhaps"]),
    "object": np.array(["no", "yes", "perhaps"], dtype=object),
    "int": np.array([-7, 3, 12]),
    "int8": np.array([1, 2, 3], dtype=np.int8),
    "uint8": np.array([0, 1, 255], dtype=np.uint8),
    "float": np.array([0.0, 2.0, 5.0]),
    "float32": np.array([0.0, 2.0, 5.0], dtype=np.float32),
    "object of int": np.array([5, 1, 7], dtype=object),
    "bool": np.array([False, True]),
}


@pytest.mark.parametrize(
    ("kind", "n_classes"),
    [(kind, n) for kind in LABELS for n in (2, 3) if n <= LABELS[kind].size],
)
def test_labels_of_every_kind(kind, n_classes):
    labels = np.sort(LABELS[kind][:n_classes])
    X, codes, _ = (X2, Y2, W2) if n_classes == 2 else (X3, Y3, W3)
    expected = LogisticRegression(alpha=0.02).fit(X, codes)
    y = labels[codes]
    model = LogisticRegression(alpha=0.02).fit(X, y)
    assert model.classes_.dtype == y.dtype
    np.testing.assert_array_equal(model.classes_, labels)
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    found = model.predict(X)
    assert found.dtype == y.dtype
    np.testing.assert_array_equal(found, labels[expected.predict(X)])
    assert model.score(X, y) == expected.score(X, codes) > 0.6
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - own bytes
    np.testing.assert_array_equal(again.predict(X), found)


@pytest.mark.parametrize(
    "as_target",
    [
        list,
        lambda y: pd.Series(y, index=range(7, 7 + len(y))),
        lambda y: pd.Series(pd.Categorical(y)),
        lambda y: y[:, None][:, 0],
    ],
    ids=["list", "series", "category", "view"],
)
def test_labels_may_come_in_any_container(as_target):
    y = np.array(["no", "yes"])[Y2]
    expected = LinearSVC(alpha=0.02).fit(X2, y)
    model = LinearSVC(alpha=0.02).fit(X2, as_target(y))
    np.testing.assert_array_equal(model.classes_, ["no", "yes"])
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    assert model.score(X2, as_target(y)) == expected.score(X2, y)


def test_swapping_two_labels_swaps_the_signs():
    model = LogisticRegression(alpha=0.02).fit(X2, Y2)
    swapped = LogisticRegression(alpha=0.02).fit(X2, 1 - Y2)
    np.testing.assert_allclose(swapped.coef_, -model.coef_, atol=1e-6)
    np.testing.assert_allclose(swapped.predict_proba(X2), model.predict_proba(X2)[:, ::-1])


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("X", "y"), [(X2, Y2), (X3, Y3)], ids=["two", "three"])
def test_decisions_probabilities_and_labels_agree(X, y):
    model = LogisticRegression(alpha=0.01).fit(X, y)
    decision, proba = model.decision_function(X), model.predict_proba(X)
    assert proba.shape == (len(y), model.classes_.size)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), proba, rtol=1e-12)
    np.testing.assert_array_equal(proba.argmax(axis=1), model.predict(X))
    expected = X @ model.coef_.T + model.intercept_
    if model.classes_.size == 2:
        assert decision.shape == y.shape
        np.testing.assert_allclose(decision, expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-decision)))
    else:
        np.testing.assert_allclose(decision, expected, rtol=1e-12)
        assert abs(model.intercept_.sum()) < 1e-12
    np.testing.assert_array_equal(model.model_.predict_proba(X), proba)
    np.testing.assert_array_equal(model.model_.predict(X), model.predict(X))


def test_logarithms_do_not_vanish():
    model = LogisticRegression(alpha=0.02).fit(X2, Y2)
    far = 1e4 * model.coef_
    log_proba = model.predict_log_proba(np.vstack([far, -far]))
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -1000
    model = LogisticRegression(alpha=0.02).fit(X3, Y3)
    log_proba = model.predict_log_proba(1e4 * model.coef_)
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -1000


def test_a_row_with_a_missing_value_has_no_label_after_drop():
    holes = X2.copy()
    holes[3, 1] = np.nan
    y = np.array(["no", "yes"])[Y2]
    model = LogisticRegression(alpha=0.02, missing="drop").fit(holes, y)
    keep = np.arange(len(y)) != 3
    expected = LogisticRegression(alpha=0.02).fit(X2[keep], y[keep])
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    found = model.predict(holes)
    assert found[3] is None
    np.testing.assert_array_equal(found[keep].astype(str), expected.predict(X2[keep]))
    assert np.isnan(model.predict_proba(holes)[3]).all()
    numbers = LogisticRegression(alpha=0.02, missing="drop").fit(holes, Y2.astype(float))
    assert np.isnan(numbers.predict(holes)[3])
    with pytest.raises(InputError, match="missing"):
        model.score(holes, y)


# --- weights of classes -------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_class_weights_are_sample_weights(estimator):
    y = np.array(["no", "yes"])[Y2]
    factors = {"no": 0.5, "yes": 3.0}
    model = clone(estimator).set_params(class_weight=factors).fit(X2, y, W2)
    expected = clone(estimator).fit(X2, y, W2 * np.array([0.5, 3.0])[Y2])
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    assert model.alpha_ == pytest.approx(expected.alpha_)
    assert not np.allclose(model.coef_, clone(estimator).fit(X2, y, W2).coef_, rtol=1e-3)
    half = clone(estimator).set_params(class_weight={"yes": 3.0}).fit(X2, y)
    expected = clone(estimator).fit(X2, y, np.array([1.0, 3.0])[Y2])
    np.testing.assert_allclose(half.coef_, expected.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weight", [None, W3], ids=["equal", "weighted"])
def test_balanced_classes_weigh_the_same(weight):
    model = LogisticRegression(alpha=0.02, class_weight="balanced").fit(X3, Y3, weight)
    sums = np.bincount(Y3, weight)
    rows = (1.0 if weight is None else weight) * sums.sum() / (3 * sums[Y3])
    expected = LogisticRegression(alpha=0.02).fit(X3, Y3, rows)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    assert model.n_passes_ == expected.n_passes_ + 1
    total = Y3.size if weight is None else weight.sum()
    reference = sk.LogisticRegression(
        C=1 / (0.02 * total), class_weight="balanced", tol=1e-10, solver="newton-cholesky"
    ).fit(X3, Y3, weight)
    np.testing.assert_allclose(model.predict_proba(X3), reference.predict_proba(X3), atol=2e-4)


def test_balanced_counts_the_rows_that_are_fitted():
    holes = X2.copy()
    holes[np.flatnonzero(Y2 == 1)[:20], 0] = np.nan
    keep = ~np.isnan(holes).any(axis=1)
    expected = LinearSVC(alpha=0.02, class_weight="balanced").fit(X2[keep], Y2[keep])
    model = LinearSVC(alpha=0.02, class_weight="balanced", missing="drop").fit(holes, Y2)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)


def test_a_search_with_class_weights_is_chosen_by_weighted_errors():
    model = LinearSVCCV(n_alphas=3, class_weight="balanced", cv=3).fit(X2, Y2)
    sums = np.bincount(Y2)
    expected = LinearSVCCV(n_alphas=3, cv=3).fit(X2, Y2, Y2.size / (2 * sums[Y2]))
    np.testing.assert_allclose(model.deviance_path_, expected.deviance_path_, rtol=1e-6)


# --- kinds of input -----------------------------------------------------------------------------


def frame_of(X):
    return pd.DataFrame(X, columns=[f"f{j}" for j in range(X.shape[1])])


def dask_frame(X, y):
    return dd.from_pandas(frame_of(X).assign(target=y), npartitions=3)


KINDS = {
    "lists": lambda X, y: (X.tolist(), y.tolist()),
    "csr": lambda X, y: (sparse.csr_array(X), y),
    "frame": lambda X, y: (frame_of(X), pd.Series(y, name="target")),
    "frame with its target": lambda X, y: (frame_of(X).assign(target=y), "target"),
    "dask array": lambda X, y: (da.from_array(X, (70, 3)), da.from_array(y, 50)),
    "dask array, y in memory": lambda X, y: (da.from_array(X, (70, 4)), y),
    "dask frame": lambda X, y: (
        dask_frame(X, y).drop(columns="target"),
        dask_frame(X, y)["target"],
    ),
    "dask frame with its target": lambda X, y: (dask_frame(X, y), "target"),
    "data set": lambda X, y: (distreg.from_arrays(X, y, classes=True), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(alpha=0.02, class_weight="balanced"),
        LinearSVCCV(n_alphas=3, cv=sk_split.KFold(3), class_weight={"a": 2.0}),
    ],
    ids=name_of,
)
def test_every_kind_of_input_gives_the_same_answer(estimator, kind):
    y = np.array(["a", "b"])[Y2]
    expected = clone(estimator).fit(X2, y)
    model = clone(estimator).fit(*KINDS[kind](X2, y))
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(model.classes_, ["a", "b"])
    given = X2 if kind == "data set" else KINDS[kind](X2, y)[0]
    if kind.endswith("with its target"):
        given = given.drop(columns="target")
    found = model.predict(given)
    assert hasattr(found, "dask") == ("dask" in kind)
    np.testing.assert_array_equal(np.asarray(found), expected.predict(X2))
    target = KINDS[kind](X2, y)[1]
    if target is not None and not isinstance(target, str):
        assert model.score(given, target) == pytest.approx(expected.score(X2, y), abs=1e-15)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_class_weights_of_files(kind, tmp_path, monkeypatch):
    # slices of row groups, which are decoded once for all of them
    monkeypatch.setattr("distreg.data.parquet.BLOCK_BYTES", 1_000)
    frame = frame_of(X2).assign(target=np.array(["a", "b"])[Y2], weight=W2)
    path = tmp_path / f"data.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=40)
    data = distreg.read_dataset(path, target="target", weight="weight", classes=True)
    streamed = [getattr(recipe, "stream_key", None) is not None for recipe in data.recipes]
    assert all(streamed) == (kind == "parquet")
    model = LogisticRegression(alpha=0.02, class_weight="balanced").fit(data)
    expected = LogisticRegression(alpha=0.02, class_weight="balanced")
    expected.fit(X2, np.array(["a", "b"])[Y2], W2)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-6)


@pytest.mark.parametrize(("X", "y", "weight"), [(X2, Y2, W2), (X3, Y3, W3)], ids=["two", "three"])
def test_dask_predictions_are_lazy_and_equal_those_in_memory(X, y, weight):
    def refuse(*args, **kwargs):
        raise AssertionError("something was computed")

    model = LogisticRegression(alpha=0.02).fit(X, np.array(["a", "b", "c"])[y])
    lazy = da.from_array(X, chunks=(64, 2))
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=3)
    names = ("decision_function", "predict", "predict_proba", "predict_log_proba")
    for name in names:
        expected = getattr(model, name)(X)
        with dask.config.set(scheduler=refuse):
            found = getattr(model, name)(lazy)
            by_frame = getattr(model, name)(frame)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert [len(c) for c in found.chunks] == [3, 1][: found.ndim]
        np.testing.assert_array_equal(found.compute(), expected)
        np.testing.assert_array_equal(by_frame.compute(), expected)
    labels = np.array(["a", "b", "c"])[y]
    expected = model.score(X, labels, weight)
    assert expected == pytest.approx(np.average(model.predict(X) == labels, weights=weight))
    assert model.score(lazy, labels, weight) == pytest.approx(expected, abs=1e-14)
    target = da.from_array(labels, chunks=100)
    assert model.score(lazy, target, weight) == pytest.approx(expected, abs=1e-14)
    other = np.where(labels == "a", "z", labels)
    expected = model.score(X, other)
    assert expected == pytest.approx(np.mean(model.predict(X) == other))
    assert model.score(lazy, other) == pytest.approx(expected, abs=1e-14)


def test_dask_data_are_cut_by_row_number_and_data_in_memory_by_class():
    order = np.argsort(Y2, kind="stable")
    X, y = X2[order], Y2[order]
    model = LogisticRegressionCV(alphas=[0.1], cv=3).fit(X, y)
    splits = list(sk_split.StratifiedKFold(3).split(X, y))
    expected = LogisticRegressionCV(alphas=[0.1], cv=splits).fit(X, y)
    np.testing.assert_array_equal(model.deviance_path_, expected.deviance_path_)
    named = LogisticRegressionCV(alphas=[0.1], cv=3).fit(frame_of(X).assign(y=y), "y")
    np.testing.assert_allclose(named.deviance_path_, expected.deviance_path_, rtol=1e-6)
    lazy = da.from_array(X2, (60, 4)), da.from_array(Y2, 60)
    model = LogisticRegressionCV(alphas=[0.1], cv=3, random_state=4).fit(*lazy)
    scheme = distreg.data.folds.ShuffledKFold(3, 4)
    expected = LogisticRegressionCV(alphas=[0.1], cv=scheme).fit(X2, Y2)
    np.testing.assert_allclose(model.deviance_path_, expected.deviance_path_, rtol=1e-6)
    model = LogisticRegressionCV(alphas=[0.1], cv=3, random_state=4).fit(X2, Y2)
    splitter = sk_split.StratifiedKFold(3, shuffle=True, random_state=4)
    expected = LogisticRegressionCV(alphas=[0.1], cv=splitter).fit(X2, Y2)
    np.testing.assert_array_equal(model.deviance_path_, expected.deviance_path_)


# --- fitted attributes --------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_fitted_attributes(estimator):
    model = clone(estimator).fit(X2, Y2, W2)
    assert model.coef_.shape == (1, 4)
    assert model.intercept_.shape == (1,)
    assert model.n_iter_ == model.n_passes_ >= 1
    assert model.status_ == "converged"
    assert 0 <= model.dual_gap_ < 1e-5
    assert 0 <= model.kkt_violation_ < 1e-5
    assert model.model_.loss == ("logistic" if "Logistic" in name_of(model) else "squared_hinge")
    assert tuple(model.model_.classes) == (0, 1)
    np.testing.assert_array_equal(model.model_.coef, model.coef_[0])
    assert model.model_.info["kkt_violation"] == model.kkt_violation_


@pytest.mark.parametrize("l1_ratio", [0.0, [0.2, 0.9]])
def test_path_attributes(l1_ratio):
    model = LogisticRegressionCV(l1_ratio=l1_ratio, n_alphas=3, alpha_min_ratio=0.1, cv=3)
    model.fit(X3, Y3)
    n = np.size(l1_ratio)
    assert model.deviance_path_.shape == ((3, 3) if n == 1 else (2, 3, 3))
    assert model.coef_path_.shape == (n, 3, 3, 4)
    assert model.intercept_path_.shape == (n, 3, 3)
    table = pd.DataFrame(model.cv_results_)
    assert len(table) == 3 * n
    assert (table.fold_kkt_violation < 1e-5).all()
    best = int(table.cv_mean.idxmin())
    np.testing.assert_array_equal(model.coef_, model.coef_path_.reshape(-1, 3, 4)[best])
    assert not hasattr(model, "mse_path_")


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
    ({"class_weight": "even"}, "class_weight='even': allowed are None, 'balanced'"),
    ({"class_weight": [1, 2]}, "class_weight="),
    ({"class_weight": {"a": -1.0}}, r"class_weight\['a'\]=-1.0 is outside"),
    ({"class_weight": {"a": "much"}}, r"class_weight\['a'\]='much' must be a number"),
    ({"solver": "gram"}, "allowed are 'auto', 'newton', 'admm'"),
    ({"l1_ratio": 1.5}, "l1_ratio=1.5"),
    ({"max_passes": 0}, "at least 1"),
    ({"tol": -1.0}, "tol=-1.0"),
]


@pytest.mark.parametrize(("keywords", "message"), BAD_KEYWORDS)
@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_bad_keywords_are_named_before_data_are_read(estimator, keywords, message):
    with pytest.raises(InputError, match=message):
        clone(estimator).set_params(**keywords).fit(Unreadable(), Unreadable())


def with_value(array, where, value):
    array = array.copy()
    array[where] = value
    return array


TEXT = np.array(["a", "b"], dtype=object)[Y2]

BAD_DATA = {
    "one class": ((X2, np.zeros(150)), r"1 class, \[0.0\]"),
    "one class of text": ((X2, np.full(150, "a")), r"1 class, \['a'\]"),
    "numbers between": ((X2, X2[:, 0]), "continuous"),
    "NaN": ((X2, with_value(Y2.astype(float), 5, np.nan)), "no label"),
    "NaN in text": ((X2, with_value(TEXT, 5, np.nan)), "no label"),
    "None": ((X2, with_value(TEXT, 5, None)), "no label"),
    "no y": ((X2, None), "requires y"),
    "shorter y": ((X2, Y2[:-1]), "150, 149"),
    "2-D y": ((X2, X2[:, :2]), "1d array"),
    "numbers": ((distreg.from_arrays(X2, Y2), None), "build it with classes=True"),
}


@pytest.mark.parametrize("case", BAD_DATA)
@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_bad_targets_are_named(estimator, case):
    arguments, message = BAD_DATA[case]
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(*arguments)


@pytest.mark.parametrize(
    ("y", "message"),
    [(X2[:, 0], "continuous"), (np.zeros(150), "at least 2 classes")],
    ids=["continuous", "one class"],
)
def test_dask_targets_are_checked_too(y, message):
    with pytest.raises(InputError, match=message):
        LogisticRegression().fit(da.from_array(X2, (70, 4)), da.from_array(y, 70))


def test_a_regression_refuses_a_data_set_of_classes():
    with pytest.raises(InputError, match="build it with classes=False"):
        distreg.Ridge().fit(distreg.from_arrays(X2, Y2, classes=True))


@pytest.mark.parametrize("estimator", [LinearSVC(), LinearSVCCV()], ids=name_of)
def test_support_vectors_are_for_two_classes(estimator):
    message = "3 classes.*Only binary classification is supported.*use LogisticRegression"
    with pytest.raises(InputError, match=message):
        estimator.fit(X3, Y3)


def test_class_weights_name_labels():
    with pytest.raises(InputError, match="class_weight names 7, but the labels in y are 0, 1"):
        LinearSVC(class_weight={7: 1.0}).fit(X2, Y2)
    with pytest.raises(InputError, match="rows of class 1 have no weight"):
        LinearSVC(class_weight="balanced").fit(X2, Y2, 1.0 - Y2)


def test_folds_need_enough_rows_of_a_class():
    y = np.arange(8) % 4
    with pytest.raises(InputError, match="cv=5, but the largest class has 2 rows"):
        LogisticRegressionCV(cv=5).fit(X2[:8], y)
    with pytest.raises(InputError, match="at least 2 folds"):
        LogisticRegressionCV(cv=1).fit(X2, Y2)


def test_predictions_need_a_fit_and_the_same_features():
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(LogisticRegression(), name)(X2)
    model = LogisticRegression().fit(X2, Y2)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.predict_proba(X2[:, :3])


def test_too_few_passes_warn():
    X, y, _ = make_problem(n_rows=5000, seed=1)
    X = np.hstack([X, X**2, X**3])
    with pytest.warns(distreg.exceptions.ConvergenceWarning) as caught:
        model = LogisticRegressionCV(n_alphas=4, max_passes=2).fit(X, y)
    (message,) = {str(w.message) for w in caught}
    for part in ("of 4 answers", "KKT violation", "dual gap", "alpha_min_ratio", "max_passes"):
        assert part in message
    assert caught[0].filename == __file__
    assert model.status_ != "converged"


@pytest.mark.parametrize("estimator", ALL, ids=name_of)
def test_docstrings_name_every_keyword(estimator):
    text = type(estimator).__doc__
    assert "{" not in text.replace('{"', "")
    for name in estimator.get_params():
        assert name in text


def test_clones_and_searches():
    grid = {"alpha": [0.1, 0.01], "class_weight": [None, "balanced"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = sk_split.GridSearchCV(LinearSVC(), grid, cv=3).fit(X2, Y2)
    assert search.best_score_ > 0.6
