"""Information criteria against their formulas, written out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from problems import Case, correlated, fit, target
from scipy.special import gammaln

from distreg.criteria import degrees_of_freedom
from distreg.estimators import ElasticNetCV, LogisticRegressionCV, PoissonRegressorCV
from distreg.exceptions import InputError
from distreg.losses import get_loss
from distreg.pipeline.config import ModelConfig
from distreg.report.summary import summarise
from distreg.report.tables import path_table
from distreg.result import CVResult
from distreg.selection import select

RATIOS = (1.0, 0.5, 0.0)


def trace_of(gram: np.ndarray, ridge: np.ndarray, members: np.ndarray) -> float:
    """tr(C_AA (C_AA + R_A)^-1) by the pseudo-inverse."""
    c = gram[np.ix_(members, members)]
    return float(np.trace(c @ np.linalg.pinv(c + np.diag(ridge[members]), rtol=1e-12)))


def ebic_of(bic: np.ndarray, df: np.ndarray, p: int) -> np.ndarray:
    return bic + 2.0 * (gammaln(p + 1) - gammaln(df + 1) - gammaln(p - df + 1))


@pytest.fixture(scope="module")
def weighted() -> tuple[Case, CVResult]:
    rng = np.random.default_rng(3)
    X = correlated(rng, 90, 8, 0.6)
    weight = rng.exponential(size=90)
    weight[:7] = 0.0
    factor = np.ones(8)
    factor[2] = 0.0
    case = Case("weights", X, target(rng, X), weight,
                {"standardize": True, "penalty_factor": factor})  # fmt: skip
    return case, fit(case, l1_ratios=RATIOS, n_alphas=7)


@pytest.mark.parametrize("i", range(3))
def test_squared_loss_by_the_formulas(weighted: tuple[Case, CVResult], i: int) -> None:
    case, result = weighted
    assert case.weight is not None
    s, path = case.weight / case.weight.sum(), result.paths[i]
    mean = s @ case.matrix
    sd = np.sqrt(s @ (case.matrix - mean) ** 2)
    Z = (case.matrix - mean) / sd
    n, factor = 83, result.penalty_factor
    df = []
    for a, alpha in enumerate(path.alphas):
        members = (path.coef[a] != 0) | (factor == 0)
        df.append(trace_of(Z.T @ (s[:, None] * Z), alpha * (1 - path.l1_ratio) * factor, members))
    df = np.array(df)
    error = case.y[:, None] - path.intercept - case.matrix @ path.coef.T
    fit_term = n * np.log(s @ error**2)
    found = path.information
    np.testing.assert_allclose(found["df"], df, rtol=1e-9)
    np.testing.assert_allclose(found["aic"], fit_term + 2 * df, rtol=1e-9)
    np.testing.assert_allclose(found["bic"], fit_term + np.log(n) * df, rtol=1e-9)
    np.testing.assert_allclose(found["ebic"], ebic_of(fit_term + np.log(n) * df, df, 8), rtol=1e-9)


def test_selection_takes_the_smallest_without_folds(weighted: tuple[Case, CVResult]) -> None:
    result = weighted[1]
    for rule in ("aic", "bic", "ebic"):
        chosen = select(result, rule)
        values = result.criterion(rule)
        assert values[chosen.path, chosen.index] == values.min()
    with pytest.raises(InputError, match="folds, or select by aic"):
        select(result, "min")


def test_tables_carry_the_criteria(weighted: tuple[Case, CVResult]) -> None:
    summaries = summarise(weighted[1], "bic")
    header, rows = path_table(summaries)
    at = {name: j for j, name in enumerate(header)}
    marked = [row for row in rows if "bic" in str(row[at["selected"]]).split()]
    assert len(marked) == 3
    for summary, row in zip(summaries, marked, strict=True):
        assert row[at["bic"]] == summary.path.information["bic"].min()
        assert row[at["alpha"]] == summary.alpha
        assert summary.curves()["path/bic"] is summary.path.information["bic"]
        assert summary.metrics()["best/df"] == row[at["df"]]
    assert not any({"min", "1se"} & set(str(row[at["selected"]]).split()) for row in rows)


def test_rank_counts_where_features_depend() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    X = np.column_stack([X, X[:, 0]])
    gram = X.T @ X / 30
    members = np.array([[True, True, False, False, True], [True] * 5, [False] * 5])
    found = degrees_of_freedom(gram, np.ones(5), np.zeros(3), members)
    np.testing.assert_array_equal(found, [2, 4, 0])
    ridge = degrees_of_freedom(gram, np.ones(5), np.array([0.3, 0.1, 0.1]), members)
    expected = [trace_of(gram, t * np.ones(5), m) for t, m in zip((0.3, 0.1), members[:2])]
    np.testing.assert_allclose(ridge, [*expected, 0.0], rtol=1e-12)


def test_a_saturated_model_has_no_criteria() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(12, 30))
    result = fit(Case("wide", X, rng.normal(size=12)), n_alphas=30, alpha_min_ratio=1e-4)
    full = result.criterion("df")[0] + 1 >= 12
    assert full.any()
    assert np.isnan(result.criterion("bic")[0][full]).all()
    assert not full[select(result, "bic").index]


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_other_losses_by_the_formulas(loss: str) -> None:
    rng = np.random.default_rng(5)
    X, law = rng.normal(size=(150, 6)), get_loss(loss)
    eta = X[:, :2] @ [0.8, -0.6]
    y = rng.poisson(np.exp(eta)) if loss == "poisson" else (eta + rng.logistic(size=150) > 0)
    y, kind = y.astype(float), LogisticRegressionCV if loss == "logistic" else PoissonRegressorCV
    model = kind(l1_ratio=[1.0, 0.3], n_alphas=6, cv=0, selection="bic").fit(X, y)
    rows = model.cv_results_
    coef, intercept = model.coef_path_.reshape(-1, 6), model.intercept_path_.ravel()
    eta = intercept + X @ coef.T
    deviance = np.array([law.deviance(y, e).sum() for e in eta.T])
    np.testing.assert_allclose(rows["bic"], deviance + np.log(150) * rows["df"], rtol=1e-9)
    np.testing.assert_allclose(rows["aic"], deviance + 2 * rows["df"], rtol=1e-9)
    np.testing.assert_allclose(rows["ebic"], ebic_of(rows["bic"], rows["df"], 6), rtol=1e-9)
    df = []
    for k, (w, ratio, alpha) in enumerate(zip(coef, rows["l1_ratio"], rows["alpha"], strict=True)):
        curvature = law.curvature(y, eta[:, k]) / 150
        centred = X - curvature @ X / curvature.sum()
        ridge = alpha * (1 - ratio) * np.ones(6)
        df.append(trace_of(centred.T @ (curvature[:, None] * centred), ridge, w != 0))
    np.testing.assert_array_equal(rows["df"][:6], np.round(df[:6]))
    # the curvature is interpolated between anchors
    np.testing.assert_allclose(rows["df"][6:], df[6:], rtol=0.05, atol=0.02)
    assert rows["alpha"][np.argmin(rows["bic"])] == model.alpha_
    assert model.l1_ratio_ == rows["l1_ratio"][np.argmin(rows["bic"])]


def test_no_folds_need_a_criterion() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    with pytest.raises(InputError, match="cv=0 makes no folds"):
        ElasticNetCV(cv=0).fit(X, y)
    model = ElasticNetCV(cv=0, selection="ebic", n_alphas=5).fit(X, y)
    assert model.n_passes_ == 1
    assert np.isnan(model.cv_results_["cv_mean"]).all()
    with pytest.raises(ValueError, match="selection: min needs folds"):
        ModelConfig(cv={"folds": 0})
    assert ModelConfig(cv=0, selection="aic").cv.folds == 0
