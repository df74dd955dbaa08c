"""Generalised linear models: exact answers, certificates, pass counts, invariance, hard targets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dask.array as da
import glmoracle
import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import GivenFolds, KFold, make_cells
from distreg.data.testsplit import TestSplit
from distreg.exceptions import DataError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

LOSSES = ("logistic", "poisson", "squared_hinge", "multinomial", "huber")
CLASSES = ("logistic", "squared_hinge", "multinomial")


def draw(loss: str, seed: int = 0, n: int = 300, p: int = 10) -> tuple[np.ndarray, ...]:
    """Features of scales 1e-2 to 1e2 and offsets of many sd, a target and weights."""
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((n, p)) + 0.5 * rng.standard_normal((n, 1))
    X = raw * 10 ** rng.uniform(-2, 2, p) + 10 * rng.standard_normal(p)
    if loss == "multinomial":
        score = raw @ rng.standard_normal((p, 3)) + rng.gumbel(size=(n, 3))
        y = score.argmax(axis=1).astype(float)
    else:
        eta = raw @ (rng.standard_normal(p) * (rng.random(p) < 0.5)) * 0.5 + 0.3
        if loss == "poisson":
            y = rng.poisson(np.exp(np.clip(eta, -5, 4))).astype(float)
        elif loss == "huber":
            y = 3.0 * eta + rng.standard_t(1.5, n)
        else:
            y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    return X, y, rng.uniform(0.2, 2.0, n)


def fit(
    loss: str,
    X: Any,
    y: Any,
    *,
    weight: Any = None,
    offset: Any = None,
    folds: Any = None,
    test: TestSplit | None = None,
    **options: Any,
) -> CVResult:
    """Cross-validate, K = 4 contiguous folds by default."""
    data = from_arrays(X, y, sample_weight=weight, offset=offset, classes=loss in CLASSES)
    cells = make_cells(KFold(4) if folds is None else folds, data.n_rows, test)
    defaults = {"n_alphas": 12, "standardize": True}
    runner = PassRunner(n_threads=options.pop("n_threads", 2))
    return cross_validate(data, cells, PathOptions(loss=loss, **{**defaults, **options}), runner)


def check_certified(glm: glmoracle.GLM, result: CVResult, tol: float = 1e-6) -> None:
    """Every full fit by the oracle; folds by their own report."""
    assert result.converged
    for path in result.paths:
        for i, alpha in enumerate(path.alphas):
            at = path.coef[i], path.intercept[i], float(alpha), path.l1_ratio
            gap = glmoracle.gap(glm, *at)
            assert gap <= tol * path.null_objective
            assert gap <= 1.5 * path.dual_gap[i] + 1e-8 * path.null_objective
            assert float(glmoracle.objective(glm, *at)) == pytest.approx(
                path.objective[i], rel=1e-10
            )
            if glm.fit_intercept:
                assert glmoracle.violation(glm, *at) <= 1.05e-6 * path.null_gradient
    assert np.all(result.fold_kkt_violation <= 1e-6)
    assert np.all(result.fold_dual_gap <= tol)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("standardize", "fit_intercept", "weighted"),
    list(itertools.product((True, False), (True, False), (True, False))),
)
def test_every_answer_is_certified_by_an_independent_computation(
    loss: str, standardize: bool, fit_intercept: bool, weighted: bool
) -> None:
    X, y, s = draw(loss, 3)
    weight = s if weighted else None
    kind = {"standardize": standardize, "fit_intercept": fit_intercept}
    result = fit(loss, X, y, weight=weight, l1_ratios=(1.0, 0.5, 0.0), **kind)
    check_certified(glmoracle.make(loss, X, y, weight, **kind), result)
    # all rows fit into the sample: one pass to read, one to certify (and one for the null models)
    assert result.cost.n_passes == 2 + (loss == "huber")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_random_problems_are_certified_at_defaults(loss: str, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    n, p = int(rng.integers(20, 200)), int(rng.integers(1, 30))
    X, y, _ = draw(loss, 200 + seed, n, p)
    ratio = float(rng.choice([1.0, 0.9, 0.3, 0.0]))
    result = fit(loss, X, y, folds=KFold(3), l1_ratios=(ratio,))
    check_certified(glmoracle.make(loss, X, y, standardize=True), result)


@pytest.mark.parametrize("loss", LOSSES)
def test_passes_beyond_the_sample_are_few_and_agree_with_the_sample(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, s = draw(loss, 5, 4000, 12)
    options = {"l1_ratios": (1.0, 0.5, 0.0), "n_alphas": 30, "tol": 1e-7}
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 10_000)
    whole = fit(loss, X, y, weight=s, **options)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 400)
    if loss == "huber":
        # its null model is fitted, so that the grid is the same to some 1e-11 only
        options["alphas"] = [path.alphas for path in whole.paths]
    passes = fit(loss, X, y, weight=s, **options)
    assert whole.converged
    assert passes.converged
    assert whole.cost.n_passes == 2 + (loss == "huber")
    # a sample of 400 rows for up to 39 coefficients is a poor start
    assert passes.cost.n_passes <= 15
    # where the null model is fitted, the grids agree to the accuracy of that fit
    slack = 1e-10 if loss == "huber" else 1e-12
    for one, other in zip(whole.paths, passes.paths, strict=True):
        bound = one.dual_gap + other.dual_gap + slack * one.null_objective
        assert np.all(np.abs(one.objective - other.objective) <= bound)
    np.testing.assert_allclose(whole.cv_mean, passes.cv_mean, rtol=2e-4)


def test_a_path_with_five_folds_takes_at_most_ten_passes() -> None:
    X, y, _ = draw("logistic", 7, 12_000, 40)
    result = fit("logistic", X, y, folds=KFold(5), n_alphas=100)
    assert result.converged
    assert result.cost.n_passes <= 10
    assert result.cost.n_block_reads == result.cost.n_passes * from_arrays(X, y).n_blocks


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_folds_equal_fits_on_their_rows_alone(loss: str) -> None:
    X, y, s = draw(loss, 9)
    alphas = np.geomspace(0.1, 0.003, 6)
    options: dict[str, Any] = {"alphas": alphas, "l1_ratios": (0.7,), "tol": 1e-10}
    result = fit(loss, X, y, weight=s, folds=KFold(3), **options)
    held = np.repeat(np.arange(3), 100)
    errors = []
    for k in range(3):
        train, out = held != k, held == k
        own = fit(loss, X[train], y[train], weight=s[train], folds=KFold(2), **options)
        glm = glmoracle.make(loss, X[out], y[out], s[out])
        path, row = own.paths[0], []
        for i in range(alphas.size):
            value = glmoracle.value(glm, glmoracle.eta_of(glm, path.coef[i], path.intercept[i]))
            row.append(2 * float(s[out] @ value / s[out].sum() - glmoracle.saturated(glm)))
        errors.append(row)
    np.testing.assert_allclose(result.fold_error[:, 0], errors, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES[:-1])
def test_chunks_storage_and_threads_change_nothing(loss: str) -> None:
    X, y, s = draw(loss, 11, 500, 8)
    X[:, 3:] *= np.random.default_rng(0).random((500, 5)) < 0.3
    options: dict[str, Any] = {"weight": s, "l1_ratios": (1.0, 0.5), "tol": 1e-10}
    base = fit(loss, X, y, **options)
    again = fit(loss, X, y, n_threads=1, **options)
    for one, other in zip(base.paths, again.paths, strict=True):
        np.testing.assert_array_equal(one.coef, other.coef)
    np.testing.assert_array_equal(base.cv_mean, again.cv_mean)
    others = [
        fit(loss, da.from_array(X, chunks=(61, 8)), y, **options),
        fit(loss, sparse.csr_array(X), y, **options),
        fit(loss, np.asfortranarray(X), y, **options),
    ]
    for result in others:
        for one, other in zip(base.paths, result.paths, strict=True):
            size = np.abs(one.coef).max()
            np.testing.assert_allclose(one.coef, other.coef, atol=2e-5 * size)
            np.testing.assert_allclose(one.objective, other.objective, rtol=1e-9)
        np.testing.assert_allclose(base.cv_mean, result.cv_mean, rtol=1e-5)


@pytest.mark.parametrize("loss", ["logistic", "poisson", "multinomial"])
def test_missing_values_count_as_the_training_sets_mean(loss: str) -> None:
    X, y, _ = draw(loss, 13)
    X = X.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    data = from_arrays(X, y, missing="mean", classes=loss in CLASSES)
    alphas = np.geomspace(0.1, 0.01, 5)
    options = PathOptions(loss=loss, alphas=alphas, standardize=True, tol=1e-9)
    result = cross_validate(data, make_cells(KFold(3), 300), options, PassRunner())
    filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
    check_certified(glmoracle.make(loss, filled, y, standardize=True), result)
    train = np.arange(300) >= 100
    own = np.where(np.isnan(X), np.nanmean(X[train], axis=0), X)
    alone = fit(loss, own[train], y[train], folds=KFold(2), alphas=alphas, tol=1e-9)
    glm = glmoracle.make(loss, own[~train], y[~train])
    if loss != "multinomial":
        path = alone.paths[0]
        for i in range(5):
            value = glmoracle.value(glm, glmoracle.eta_of(glm, path.coef[i], path.intercept[i]))
            expected = 2 * float(value.mean() - glmoracle.saturated(glm))
            assert result.fold_error[0, 0, i] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_offsets_and_unpenalised_features(loss: str) -> None:
    X, y, s = draw(loss, 15)
    offset = np.random.default_rng(2).normal(0, 0.5, 300)
    factor = np.r_[0.0, 0.0, np.linspace(0.5, 2, 8)]
    kind = {"standardize": True, "penalty_factor": factor}
    result = fit(loss, X, y, weight=s, offset=offset, l1_ratios=(1.0, 0.3), **kind)
    assert result.converged
    assert result.cost.n_passes <= 4
    glm = glmoracle.make(loss, X, y, s, offset, **kind)
    first = result.paths[0]
    assert np.all(first.coef[0, :2] != 0)
    assert np.all(first.coef[0, 2:] == 0)
    for path in result.paths:
        for i, alpha in enumerate(path.alphas):
            at = path.coef[i], path.intercept[i], float(alpha), path.l1_ratio
            assert glmoracle.violation(glm, *at) <= 2e-6 * path.null_gradient
            value = float(glmoracle.objective(glm, *at))
            assert value == pytest.approx(path.objective[i], rel=1e-10)


REFERENCES = {
    "breast_binomial_l1r0.5_std1": ("logistic", load_breast_cancer),
    "breast_binomial_l1r1_std1": ("logistic", load_breast_cancer),
    "diabetes_poisson_l1r0.8_std1": ("poisson", lambda: load_diabetes(scaled=False)),
    "wine_multinomial_l1r1_std1": ("multinomial", load_wine),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("tol", [1e-6, 1e-9])
def test_answers_equal_glmnets(name: str, tol: float) -> None:
    reference = json.loads((Path(__file__).parent / "reference" / f"{name}.json").read_text())
    loss, load = REFERENCES[name]
    data, ratio = load(), reference["l1_ratio"]
    X, y = data.data, np.round(data.target).astype(float)
    folds = GivenFolds(np.array(reference["foldid"]))
    alphas = np.array(reference["lambda"])
    result = fit(loss, X, y, folds=folds, alphas=alphas, l1_ratios=(ratio,), tol=tol)
    assert result.converged
    glm, path = glmoracle.make(loss, X, y, standardize=True), result.paths[0]
    for i, alpha in enumerate(alphas):
        coef, intercept = _theirs(reference, i)
        theirs = glmoracle.objective(glm, coef, intercept, alpha, ratio)
        ours = glmoracle.objective(glm, path.coef[i], path.intercept[i], alpha, ratio)
        assert abs(float(ours - theirs)) <= 1e-7 * path.null_objective, f"lambda {alpha}"
    # glmnet ends a path where 99.9 % of the deviance is explained, in one fold of the breast
    # cancer data before the last lambda; cv.glmnet then scores that fold with the last it has
    kept = slice(0, 19 if name == "breast_binomial_l1r1_std1" else 20)
    mean, se = np.array(reference["cv"]["mean"]), np.array(reference["cv"]["se"])
    np.testing.assert_allclose(result.cv_mean[0, kept], mean[kept], rtol=1e-4)
    np.testing.assert_allclose(result.cv_se[0, kept], se[kept], rtol=1e-4)


def _theirs(reference: dict[str, Any], i: int) -> tuple[np.ndarray, Any]:
    coef = reference["coef"]
    if isinstance(coef, dict):
        classes = sorted(coef)
        return (
            np.array([np.array(coef[c])[:, i] for c in classes]),
            np.array([values[i] for values in reference["intercept"]]),
        )
    return np.array(coef[i]), reference["intercept"][i]


def _hard() -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 10))
    rare = rng.standard_normal((20_000, 10))
    separable, one = (X[:, 0] > 0).astype(float), np.zeros(500)
    one[7] = 1
    counts = rng.poisson(np.exp(13 + X[:, 0])).astype(float)
    heavy = rng.poisson(np.exp(np.clip(3 * X[:, 0] + 2 * X[:, 1], -20, 14))).astype(float)
    wide = rng.standard_normal((60, 300))
    double = np.column_stack([X, X[:, 0], np.ones(500)])
    noisy = (rng.random(500) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    return {
        "separable": ("logistic", X, separable),
        "separable margin": ("squared_hinge", X, separable),
        "one positive row": ("logistic", X, one),
        "prevalence 0.1 %": ("logistic", rare, (rng.random(20_000) < 0.001).astype(float)),
        "counts of 1e6": ("poisson", X, counts),
        "heavy-tailed counts": ("poisson", X, heavy),
        "more features than rows": ("logistic", wide, (np.arange(60) % 2).astype(float)),
        "duplicate and constant": ("logistic", double, noisy),
    }


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("name", list(_hard()))
def test_hard_targets_have_certified_answers(name: str, ratio: float) -> None:
    loss, X, y = _hard()[name]
    result = fit(loss, X, y, folds=KFold(5), n_alphas=20, l1_ratios=(ratio,), max_passes=60)
    assert result.converged
    assert np.isfinite(result.cv_mean).all()
    assert all(np.isfinite(path.coef).all() for path in result.paths)
    if name == "one positive row":
        # the fold without it has nothing to learn: its model says "never", certified
        assert np.all(result.fold_error[0, 0] > 0.5)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_a_limit_of_passes_is_kept_and_told(most: int) -> None:
    X, y, _ = draw("logistic", 17, 5000, 60)
    result = fit("logistic", X, y, n_alphas=50, max_passes=most)
    assert result.cost.n_passes == most
    assert not result.converged
    assert all(np.isfinite(path.coef).all() for path in result.paths)


@pytest.mark.parametrize(
    ("loss", "y", "text"),
    [
        ("poisson", np.zeros(50), "0 in all rows"),
        ("poisson", np.r_[-1.0, np.ones(49)], "negative"),
        ("poisson", np.r_[np.nan, np.ones(49)], "missing"),
        ("logistic", np.zeros(50), "2 classes"),
    ],
)
def test_targets_that_cannot_be_fitted_are_named(loss: str, y: np.ndarray, text: str) -> None:
    X = np.random.default_rng(0).standard_normal((50, 3))
    with pytest.raises(DataError, match=text):
        fit(loss, X, y)


def test_an_offset_that_overflows_is_named() -> None:
    X, y, _ = draw("poisson", 19)
    with pytest.raises(DataError, match="offset is too large"):
        fit("poisson", X, y, offset=np.where(np.arange(300) == 3, 800.0, 0.0))


@pytest.mark.parametrize("loss", LOSSES)
def test_test_rows_are_scored_and_not_learned_from(loss: str) -> None:
    X, y, s = draw(loss, 21)
    test = TestSplit(0.25, 3, "random")
    result = fit(loss, X, y, weight=s, test=test)
    held, _ = test.divide(np.arange(300), 300)
    changed = y.copy()
    changed[held] = np.roll(y[held], 1)
    other = fit(loss, X, changed, weight=s, test=test)
    for one, two in zip(result.paths, other.paths, strict=True):
        np.testing.assert_array_equal(one.coef, two.coef)
    path, rows = result.paths[0], s[held]
    glm = glmoracle.make(loss, X[held], y[held], rows)
    eta = glmoracle.eta_of(glm, path.coef[5], path.intercept[5])
    mean = float(rows @ glmoracle.value(glm, eta) / rows.sum())
    scores = {name: float(values[0, 5]) for name, values in result.test.items()}
    if loss == "poisson":
        expected = 2 * (mean - float(glmoracle.saturated(glm)))
        assert scores["deviance"] == pytest.approx(expected, rel=1e-8)
        return
    if loss == "huber":
        e = (y[held] - eta).astype(float)
        assert scores["huber"] == pytest.approx(mean, rel=1e-8)
        assert scores["mae"] == pytest.approx(rows @ np.abs(e) / rows.sum(), rel=1e-8)
        assert scores["mse"] == pytest.approx(rows @ e**2 / rows.sum(), rel=1e-8)
        assert scores["rmse"] == pytest.approx(np.sqrt(scores["mse"]))
        return
    assert scores["squared_hinge" if loss == "squared_hinge" else "log_loss"] == pytest.approx(
        mean, rel=1e-8
    )
    label = eta.argmax(axis=1) if loss == "multinomial" else eta > 0
    assert scores["accuracy"] == pytest.approx(float(rows @ (label == y[held]) / rows.sum()))


def test_folds_that_share_one_curvature_reach_the_same_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, s = draw("logistic", 23, 3000, 12)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 300)
    test = TestSplit(0.2, 1, "random")
    options: dict[str, Any] = {"weight": s, "test": test, "l1_ratios": (1.0, 0.5), "tol": 1e-8}
    apart = fit("logistic", X, y, **options)
    monkeypatch.setattr("distreg.glm.problem.CURVATURE_BYTES", 0)
    joined = fit("logistic", X, y, **options)
    assert apart.converged
    assert joined.converged
    for one, other in zip(apart.paths, joined.paths, strict=True):
        np.testing.assert_allclose(one.objective, other.objective, rtol=1e-7)
    np.testing.assert_allclose(apart.cv_mean, joined.cv_mean, rtol=1e-5)
