"""Adaptive penalties against rescaled columns in scikit-learn; nothing held out is used."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from problems import Case, correlated, dataset, fit, splits_of, target
from sklearn.linear_model import ElasticNet as SklearnElasticNet

from distreg.adaptive import adaptive_factor
from distreg.cv import _problem, cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.estimators import ElasticNetCV, LogisticRegressionCV
from distreg.exceptions import InputError
from distreg.glm.fit import fit_columns
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.training import cell_moments

N, P = 90, 7


def case_of() -> Case:
    rng = np.random.default_rng(8)
    X = correlated(rng, N, P, 0.4) * np.arange(1, P + 1) + 2.0
    return Case("adaptive", X, target(rng, X, noise=0.3))


def factor_by_hand(case: Case, standardize: bool, exponent: float) -> np.ndarray:
    """From the ridge path of these rows with the smallest BIC."""
    ridge = fit(case, l1_ratios=(0.0,), n_alphas=50, standardize=standardize).paths[0]
    bic = np.where(ridge.information["df"] <= len(case.y) / 2, ridge.information["bic"], np.inf)
    size = np.abs(ridge.coef[np.argmin(bic)]) * (case.X.std(axis=0) if standardize else 1.0)
    return (size / size.max()) ** -exponent


def by_sklearn(
    case: Case, factor: np.ndarray, standardize: bool, alpha: float
) -> tuple[np.ndarray, float]:
    """Lasso on the columns divided by their factors."""
    unit = (case.X.std(axis=0) if standardize else np.ones(P)) * factor
    model = SklearnElasticNet(alpha=alpha, l1_ratio=1.0, tol=1e-13, max_iter=200_000)
    model.fit(case.X / unit, case.y)
    return model.coef_ / unit, float(model.intercept_)


@pytest.mark.parametrize(("standardize", "exponent"), [(True, 1.0), (False, 0.5)])
def test_every_training_set_adapts_to_its_own_rows(standardize: bool, exponent: float) -> None:
    case = case_of()
    result = fit(case, KFold(3), n_alphas=6, adaptive=exponent, standardize=standardize)
    assert result.cost.n_passes == 1
    assert result.converged
    path = result.paths[0]
    factor = factor_by_hand(case, standardize, exponent)
    np.testing.assert_allclose(result.penalty_factor, factor, rtol=1e-7)
    for a, alpha in enumerate(path.alphas):
        coef, intercept = by_sklearn(case, factor, standardize, alpha)
        np.testing.assert_allclose(path.coef[a], coef, atol=1e-6)
        np.testing.assert_allclose(path.intercept[a], intercept, atol=1e-5)
    assert not path.coef[0].any()
    for k, (train, out) in enumerate(splits_of(make_cells(KFold(3), N), N)):
        part = dataclasses.replace(case, X=case.X[train], y=case.y[train])
        own = factor_by_hand(part, standardize, exponent)
        for a, alpha in enumerate(path.alphas):
            coef, intercept = by_sklearn(part, own, standardize, alpha)
            mse = np.mean((case.y[out] - intercept - case.X[out] @ coef) ** 2)
            np.testing.assert_allclose(result.fold_error[k, 0, a], mse, rtol=1e-5)


def test_held_out_targets_change_no_bit_of_a_fold() -> None:
    case = case_of()
    cells = make_cells(KFold(3), N)
    train, out = splits_of(cells, N)[1]
    options = PathOptions(adaptive=1.0, standardize=True)

    def problem(y: np.ndarray) -> Any:
        data = dataset(dataclasses.replace(case, y=y), (30, 60))
        moments = PassRunner(n_threads=1).run(cell_moments(data, cells), data)
        return _problem(moments, cells.train[1], options, np.ones(P))

    shuffled = case.y.copy()
    shuffled[out] = shuffled[out][::-1]
    before, after = problem(case.y), problem(shuffled)
    np.testing.assert_array_equal(before[2], after[2])
    np.testing.assert_array_equal(before[1].l1, after[1].l1)
    np.testing.assert_array_equal(before[0].xty, after[0].xty)
    changed = case.y.copy()
    changed[train] = changed[train][::-1]
    assert not np.array_equal(before[2], problem(changed)[2])


def test_factors_leave_out_and_begin_at_one() -> None:
    size, base = np.array([2.0, 0.0, 1.0, 5.0]), np.array([1.0, 1.0, 2.0, 0.0])
    factor = adaptive_factor(size, 1.0, base)
    assert np.isinf(factor[1])
    assert factor[3] == 0.0
    np.testing.assert_allclose(factor[[0, 2]], [1.0, 4.0])
    np.testing.assert_array_equal(adaptive_factor(np.zeros(4), 1.0, base), base)


def test_an_excluded_feature_stays_out() -> None:
    case = case_of()
    X = np.column_stack([case.X, np.ones(N)])
    result = fit(Case("constant", X, case.y), KFold(3), l1_ratios=(1.0, 0.5, 0.0), n_alphas=5,
                 adaptive=2.0, relax=(0.0,))  # fmt: skip
    assert np.isinf(result.penalty_factor[-1])
    assert result.converged
    assert all(not path.coef[:, -1].any() for path in result.paths)
    np.testing.assert_allclose(result.penalty_factor.min(), 1.0)


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_other_losses_adapt_to_their_training_sets(loss: str) -> None:
    rng = np.random.default_rng(9)
    X = rng.normal(size=(180, 5))
    eta = X[:, :2] @ [0.9, -0.6]
    y = rng.poisson(np.exp(eta)) if loss == "poisson" else (eta + rng.logistic(size=180) > 0)
    y, classes = (y.astype(float), False) if loss == "poisson" else (y.astype(int), True)
    cells, plain = make_cells(KFold(3), 180), PathOptions(loss=loss, standardize=True, n_alphas=5)
    options = dataclasses.replace(plain, adaptive=1.0)
    data = from_arrays(X, y, classes=classes)
    fitted = fit_columns(data, cells, get_loss(loss), options, PassRunner(n_threads=1))
    ridge = dataclasses.replace(plain, l1_ratios=(0.0,), n_alphas=20)
    grid = cross_validate(data, make_cells(None, 180), ridge, PassRunner(n_threads=1))
    whole = (np.arange(180), None)
    for s, (train, _) in enumerate([whole, *splits_of(cells, 180)]):
        rows = from_arrays(X[train], y[train], classes=classes)
        ridge = dataclasses.replace(ridge, alphas=grid.paths[0].alphas)
        first = cross_validate(rows, make_cells(None, len(train)), ridge, PassRunner(n_threads=1))
        sd = X[train].std(axis=0)
        made = [adaptive_factor(np.abs(w) * sd, 1.0, np.ones(5)) for w in first.paths[0].coef]
        found = fitted.problem.sets[s].penalty.l1 * fitted.problem.sets[s].summary.scale / sd
        # the place of the smallest BIC hangs on an interpolated df: it may be a neighbour
        near = int(np.argmin(first.criterion("bic")[0]))
        errors = [np.abs(found / v - 1).max() for v in made[max(near - 1, 0) : near + 2]]
        # the first fit is certified to 1e-6 of the null objective, its coefficients to less
        assert min(errors) < 2e-3
    result = cross_validate(data, cells, options, PassRunner(n_threads=1))
    assert result.converged
    assert result.cost.n_passes <= 4
    fixed = dataclasses.replace(plain, penalty_factor=result.penalty_factor)
    direct = cross_validate(data, make_cells(None, 180), fixed, PassRunner(n_threads=1))
    # given factors are rescaled to sum to the number of features
    unit = result.penalty_factor.mean()
    np.testing.assert_allclose(result.paths[0].alphas * unit, direct.paths[0].alphas, rtol=1e-6)
    np.testing.assert_allclose(result.paths[0].coef, direct.paths[0].coef, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0, "much"])
def test_bad_values_are_named(value: Any) -> None:
    for kind in (ElasticNetCV, LogisticRegressionCV):
        with pytest.raises(InputError, match="adaptive="):
            kind(adaptive=value).fit(np.eye(12, 3), np.arange(12) % 2)
    if not isinstance(value, str):
        with pytest.raises(InputError, match="adaptive="):
            fit(case_of(), adaptive=value)
