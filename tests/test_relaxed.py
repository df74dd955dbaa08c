"""Relaxed refits against least squares and unpenalised fits on the support, fold by fold."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from problems import Case, correlated, fit, splits_of, target
from scipy.optimize import minimize

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.estimators import LassoCV, LogisticRegressionCV, RidgeCV
from distreg.exceptions import InputError
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.pipeline.config import ModelConfig
from distreg.report.summary import summarise
from distreg.result import CVResult

GAMMAS = (0.5, 0.0)


def squared_case() -> Case:
    rng = np.random.default_rng(2)
    X = correlated(rng, 80, 9, 0.5) + 3.0
    factor = np.ones(9)
    factor[4] = 0.0
    return Case("relax", X, target(rng, X), rng.exponential(size=80),
                {"standardize": True, "penalty_factor": factor})  # fmt: skip


@pytest.fixture(scope="module")
def squared() -> CVResult:
    return fit(squared_case(), KFold(4), l1_ratios=(1.0, 0.4, 0.0), n_alphas=6, relax=GAMMAS)


def refitted(case: Case, rows: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, float]:
    assert case.weight is not None
    root, X = np.sqrt(case.weight[rows]), case.matrix[rows][:, support]
    A = np.column_stack([X, np.ones(len(rows))]) * root[:, None]
    w = np.linalg.lstsq(A, case.y[rows] * root, rcond=None)[0]
    coef = np.zeros(case.matrix.shape[1])
    coef[support] = w[:-1]
    return coef, float(w[-1])


def test_paths_are_the_penalised_then_the_relaxed(squared: CVResult) -> None:
    assert [(p.l1_ratio, p.gamma) for p in squared.paths] == [
        (1.0, 1.0), (0.4, 1.0), (0.0, 1.0), (1.0, 0.5), (1.0, 0.0), (0.4, 0.5), (0.4, 0.0),
    ]  # fmt: skip
    assert squared.cost.n_passes == 1
    assert squared.converged
    labels = [s.label for s in summarise(squared)]
    assert labels[3:] == ["l1_relaxed_0.5", "l1_relaxed_0", "elasticnet_0.4_relaxed_0.5",
                          "elasticnet_0.4_relaxed_0"]  # fmt: skip
    config = ModelConfig(relax=[0.5, 0.0], l1_ratio=0.4, penalties=["l1", "elasticnet", "l2"])
    assert sorted(config.labels) == sorted(labels)


@pytest.mark.parametrize(("plain", "half", "ols"), [(0, 3, 4), (1, 5, 6)])
def test_full_data_equals_least_squares(squared: CVResult, plain: int, half: int, ols: int) -> None:
    case, every, paths = squared_case(), np.arange(80), squared.paths
    for a in range(6):
        support = paths[plain].coef[a] != 0
        coef, intercept = refitted(case, every, support)
        np.testing.assert_allclose(paths[ols].coef[a], coef, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(paths[ols].intercept[a], intercept, rtol=1e-8)
        mixed = (paths[plain].coef[a] + coef) / 2
        np.testing.assert_allclose(paths[half].coef[a], mixed, rtol=1e-8, atol=1e-10)
        assert paths[ols].information["df"][a] == support.sum()
    between = (paths[plain].information["df"] + paths[ols].information["df"]) / 2
    np.testing.assert_allclose(paths[half].information["df"], between, rtol=1e-12)


def test_curve_equals_a_loop_over_folds(squared: CVResult) -> None:
    case = squared_case()
    assert case.weight is not None
    splits = splits_of(make_cells(KFold(4), 80), 80)
    for k, (train, out) in enumerate(splits):
        part = dataclasses.replace(case, X=case.X[train], y=case.y[train],
                                   weight=case.weight[train])  # fmt: skip
        own = fit(part, l1_ratios=(1.0,), alphas=squared.paths[0].alphas).paths[0]
        for a in range(6):
            coef, intercept = refitted(case, train, own.coef[a] != 0)
            for path, gamma in ((3, 0.5), (4, 0.0)):
                w = gamma * own.coef[a] + (1 - gamma) * coef
                b = gamma * own.intercept[a] + (1 - gamma) * intercept
                error = case.y[out] - b - case.matrix[out] @ w
                mse = case.weight[out] @ error**2 / case.weight[out].sum()
                np.testing.assert_allclose(squared.fold_error[k, path, a], mse, rtol=1e-8)


def test_a_support_as_large_as_the_rows_is_not_chosen() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(14, 40))
    case = Case("wide", X, rng.normal(size=14))
    result = fit(case, KFold(2), n_alphas=12, alpha_min_ratio=1e-3, relax=(0.0,))
    plain, relaxed = result.paths
    undefined = ~relaxed.is_defined
    assert undefined.any()
    assert not undefined[0]
    np.testing.assert_allclose(relaxed.coef[undefined], plain.coef[undefined], rtol=1e-12)
    assert np.isnan(result.cv_mean[1, undefined]).all()
    assert np.isnan(relaxed.information["bic"][undefined]).all()
    assert np.isfinite(result.cv_mean[0]).all()
    assert result.converged


def glm_data(loss: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(160, 5))
    eta = X[:, :2] @ [0.7, -0.5] + 0.2
    if loss == "poisson":
        return X, rng.poisson(np.exp(eta)).astype(float)
    if loss == "multinomial":
        several = np.column_stack([eta, np.zeros(160), X[:, 2]]) + rng.gumbel(size=(160, 3))
        return X, several.argmax(axis=1).astype(float)
    return X, (eta + rng.logistic(size=160) > 0).astype(float)


def cross_validated(loss: str, **options: Any) -> CVResult:
    X, y = glm_data(loss)
    several = loss in ("logistic", "multinomial", "squared_hinge")
    data = from_arrays(X, y.astype(int) if several else y, classes=several)
    return cross_validate(data, make_cells(KFold(3), 160),
                          PathOptions(loss=loss, n_alphas=5, alpha_min_ratio=0.02, **options),
                          PassRunner(n_threads=1))  # fmt: skip


def unpenalised(
    loss: str, X: np.ndarray, y: np.ndarray, support: np.ndarray
) -> tuple[np.ndarray, float]:
    """By SciPy on the columns of the support."""
    law, Z = get_loss(loss), np.column_stack([X[:, support], np.ones(len(y))])

    def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
        eta = Z @ w
        return float(law.value(y, eta).mean()), Z.T @ law.slope(y, eta) / len(y)

    found = minimize(objective, np.zeros(Z.shape[1]), jac=True, tol=1e-14,
                     options={"gtol": 1e-10, "maxiter": 500})  # fmt: skip
    coef = np.zeros(X.shape[1])
    coef[support] = found.x[:-1]
    return coef, float(found.x[-1])


@pytest.mark.parametrize("loss", ["logistic", "poisson", "squared_hinge"])
def test_other_losses_equal_unpenalised_fits(loss: str) -> None:
    X, y = glm_data(loss)
    result = cross_validated(loss, relax=GAMMAS)
    plain, half, ends = result.paths
    assert result.converged
    for a in range(5):
        coef, intercept = unpenalised(loss, X, y, plain.coef[a] != 0)
        np.testing.assert_allclose(ends.coef[a], coef, atol=3e-5)
        np.testing.assert_allclose(ends.intercept[a], intercept, atol=3e-5)
        np.testing.assert_allclose(half.coef[a], (plain.coef[a] + coef) / 2, atol=3e-5)
    law = get_loss(loss)
    for k, (train, out) in enumerate(splits_of(make_cells(KFold(3), 160), 160)):
        own = cross_validate(
            from_arrays(X[train], y[train].astype(int) if loss != "poisson" else y[train],
                        classes=loss != "poisson"),
            make_cells(None, len(train)), PathOptions(loss=loss, alphas=plain.alphas),
            PassRunner(n_threads=1),
        ).paths[0]  # fmt: skip
        for a in (1, 4):
            coef, intercept = unpenalised(loss, X[train], y[train], own.coef[a] != 0)
            for path, gamma in ((1, 0.5), (2, 0.0)):
                w = gamma * own.coef[a] + (1 - gamma) * coef
                b = gamma * own.intercept[a] + (1 - gamma) * intercept
                deviance = law.deviance(y[out], X[out] @ w + b).mean()
                np.testing.assert_allclose(result.fold_error[k, path, a], deviance, rtol=1e-4)


def test_refits_take_a_pass_to_certify_and_one_for_the_blends() -> None:
    before = cross_validated("logistic").cost.n_passes
    ends = cross_validated("logistic", relax=(0.0,)).cost.n_passes
    both = cross_validated("logistic", relax=(0.75, 0.5, 0.0)).cost.n_passes
    assert both == ends + 1
    assert ends <= before + 2


def test_several_classes_lose_deviance_by_the_refit() -> None:
    result = cross_validated("multinomial", relax=(0.0,))
    plain, ends = result.paths
    assert result.converged
    fit_of = [p.information["aic"] - 2 * p.information["df"] for p in (plain, ends)]
    assert np.all(fit_of[1][1:] < fit_of[0][1:])
    np.testing.assert_array_equal(ends.coef[plain.coef == 0], 0.0)


def test_a_sample_that_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import distreg.glm.fit as module

    whole = cross_validated("logistic", relax=GAMMAS)
    monkeypatch.setattr(module, "sample_size", lambda dataset, n_classes: 60)
    part = cross_validated("logistic", relax=GAMMAS)
    assert part.converged
    for one, other in zip(whole.paths, part.paths, strict=True):
        np.testing.assert_allclose(one.coef, other.coef, atol=1e-4)
    np.testing.assert_allclose(whole.cv_mean, part.cv_mean, rtol=1e-4)


def test_estimators_choose_among_relaxed_fits() -> None:
    case = squared_case()
    model = LassoCV(relax=True, n_alphas=8, cv=4).fit(case.matrix, case.y)
    rows = model.cv_results_
    assert sorted(set(rows["gamma"])) == [0.0, 0.25, 0.5, 0.75, 1.0]
    best = int(np.nanargmin(rows["cv_mean"]))
    assert (model.gamma_, model.alpha_) == (rows["gamma"][best], rows["alpha"][best])
    assert model.mse_path_.shape == (8, 4)
    assert model.coef_path_.shape == (5, 8, 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LassoCV(relax=1.5), "relax=1.5"),
        (lambda: LassoCV(relax=[-0.1]), "relax=-0.1"),
        (lambda: RidgeCV(relax=True), "every l1_ratio is 0"),
        (lambda: LogisticRegressionCV(relax="yes"), "relax='yes'"),
    ],
)
def test_bad_values_are_named(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make().fit(np.eye(12, 3), np.arange(12) % 2)
