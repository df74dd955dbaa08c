"""Losses with a kink by rounds: objectives against linear programmes, and honest certificates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import Case, correlated, fit, splits_of
from scipy.optimize import linprog, minimize

from distreg.admm import crossval
from distreg.data.folds import make_cells
from distreg.data.schemes import KFold
from distreg.exceptions import InputError
from distreg.penalties import normalised_factor
from distreg.result import CVResult

KINKED: list[tuple[str, float | None]] = [("quantile", 0.3), ("hinge", None)]


def case(loss: str, n: int = 150, p: int = 6, seed: int = 1, **options: Any) -> Case:
    """Correlated features of different scales and means, weights, heavy tails."""
    rng = np.random.default_rng(seed)
    Z = correlated(rng, n, p, 0.5)
    X = Z * 10.0 ** rng.uniform(-1, 1, p) + rng.uniform(-2, 2, p)
    y = Z[:, :2] @ [1.0, -2.0] + rng.standard_t(2.0, n) + 3.0
    if loss == "hinge":
        y = (y > np.quantile(y, 0.4)).astype(float)
    return Case(loss, X, y, rng.uniform(0.2, 3.0, n), options)


def programme(
    X: np.ndarray, y: np.ndarray, s: np.ndarray, loss: str, q: float | None, l1: np.ndarray,
    intercept: bool = True, lower: float | None = None,
) -> float:  # fmt: skip
    """Minimum of the mean loss plus ``sum l1_j |w_j|``, by HiGHS."""
    n, p = X.shape
    share = s / s.sum()
    design = np.c_[np.ones(n), X, -X]
    free = (None, None) if intercept else (0, 0)
    minus = (0, None) if lower is None else (0, -lower)
    bounds = [free] + [(0, None)] * p + [minus] * p
    if loss == "quantile":
        assert q is not None
        found = linprog(
            np.r_[0.0, l1, l1, share * q, share * (1 - q)],
            A_eq=np.c_[design, np.eye(n), -np.eye(n)],
            b_eq=y,
            bounds=bounds + [(0, None)] * (2 * n),
        )
    else:
        sign = 2 * y - 1
        found = linprog(
            np.r_[0.0, l1, l1, share],
            A_ub=-np.c_[sign[:, None] * design, np.eye(n)],
            b_ub=-np.ones(n),
            bounds=bounds + [(0, None)] * n,
        )
    assert found.status == 0
    return float(found.fun)


def mean_loss(at: Case, loss: str, q: float | None, eta: np.ndarray, rows: Any = None) -> float:
    assert at.weight is not None
    if loss == "quantile":
        e = at.y - eta
        value = np.maximum(q * e, (q - 1) * e)
    else:
        value = np.maximum(1 - (2 * at.y - 1) * eta, 0)
    rows = slice(None) if rows is None else rows
    return float(np.average(value[rows], weights=at.weight[rows]))


def weights_l1(at: Case, rows: Any = None) -> np.ndarray:
    """Weight of ``|w_j|`` for alpha = 1."""
    assert at.weight is not None
    rows = slice(None) if rows is None else rows
    factor = normalised_factor(at.options.get("penalty_factor"), at.X.shape[1])
    if not at.options.get("standardize"):
        return factor
    s = at.weight[rows]
    mean = np.average(at.X[rows], axis=0, weights=s)
    return factor * np.sqrt(np.average((at.X[rows] - mean) ** 2, axis=0, weights=s))


def check(at: Case, result: CVResult, loss: str, q: float | None, lower: Any = None) -> None:
    """Objectives recomputed are those told, within tol of the programme's, and the gap is true."""
    path = result.paths[0]
    l1, unit = weights_l1(at), path.null_objective
    intercept = at.options.get("fit_intercept", True)
    for i, alpha in enumerate(path.alphas):
        own = mean_loss(at, loss, q, at.X @ path.coef[i] + path.intercept[i])
        own += alpha * l1 @ np.abs(path.coef[i])
        best = programme(at.X, at.y, at.weight, loss, q, alpha * l1, intercept, lower)
        assert own == pytest.approx(path.objective[i], rel=1e-9)
        assert own - best <= 1e-6 * unit
        assert path.dual_gap[i] >= own - best - 1e-9 * unit
    assert result.converged


@pytest.mark.parametrize(("loss", "q"), [*KINKED, ("quantile", 0.5)])
@pytest.mark.parametrize("options", [{"standardize": True}, {"fit_intercept": False}])
def test_l1_is_the_linear_programme(loss: str, q: float | None, options: dict[str, Any]) -> None:
    at = case(loss, **options)
    result = fit(at, cuts=(40, 90), loss=loss, loss_parameter=q, n_alphas=5, alpha_min_ratio=1e-3)
    check(at, result, loss, q)
    assert result.cost.n_passes < 600


@pytest.mark.parametrize(("loss", "q"), KINKED)
def test_bounds_and_penalty_factors(loss: str, q: float | None) -> None:
    factor = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 1.0])
    at = case(loss, penalty_factor=factor)
    alphas = np.array([0.05, 0.01])
    result = fit(at, loss=loss, loss_parameter=q, alphas=alphas)
    check(at, result, loss, q)
    bounded = case(loss)
    result = fit(bounded, loss=loss, loss_parameter=q, alphas=alphas, lower_bounds=-0.05)
    check(bounded, result, loss, q, lower=-0.05)
    assert result.paths[0].coef.min() == -0.05


@pytest.mark.parametrize(("loss", "q"), KINKED)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_l2_cannot_be_improved(loss: str, q: float | None, l1_ratio: float) -> None:
    """No descent from nearby finds a value that is lower by more than the gap."""
    at = case(loss, n=80)
    alphas = np.array([0.3, 0.03])
    result = fit(at, loss=loss, loss_parameter=q, alphas=alphas, l1_ratios=(l1_ratio,))
    path = result.paths[0]
    assert result.converged
    for i, alpha in enumerate(alphas):
        w, b = path.coef[i], path.intercept[i]

        def objective(wb: np.ndarray, alpha: float = alpha) -> float:
            size = np.abs(wb[:-1])
            penalty = alpha * (l1_ratio * size.sum() + 0.5 * (1 - l1_ratio) * size @ size)
            return mean_loss(at, loss, q, at.X @ wb[:-1] + wb[-1]) + penalty

        own = objective(np.r_[w, b])
        assert own == pytest.approx(path.objective[i], rel=1e-9)
        rng = np.random.default_rng(3)
        nearby = [minimize(objective, np.r_[w, b] + d, method="Powell").fun
                  for d in 0.1 * rng.normal(size=(2, w.size + 1))]  # fmt: skip
        assert min(nearby) >= own - path.dual_gap[i] - 1e-12


@pytest.mark.parametrize(("loss", "q"), KINKED)
def test_folds_are_fits_of_their_rows(loss: str, q: float | None, monkeypatch: Any) -> None:
    """Every fold's error is that of its training rows fitted alone; batches go along the path."""
    n, n_folds = 120, 3
    at = case(loss, n=n, standardize=True)
    rule = {"loss": loss, "loss_parameter": q, "l1_ratios": (1.0,), "alphas": [0.2, 0.05, 0.02]}
    monkeypatch.setattr(crossval, "STATE_BYTES", n * (n_folds + 1) * 8 * 2)
    result = fit(at, KFold(n_folds), cuts=(50,), **rule)
    assert result.converged
    assert np.nanmax(result.fold_dual_gap) <= 1e-6
    cells = make_cells(KFold(n_folds), n)
    for k, (train, held_out) in enumerate(splits_of(cells, n)):
        alone = Case("alone", at.X[train], at.y[train], at.weight[train], at.options)
        path = fit(alone, **rule).paths[0]
        own = [
            2 * mean_loss(at, loss, q, at.X @ w + b, held_out)
            for w, b in zip(path.coef, path.intercept, strict=True)
        ]
        np.testing.assert_allclose(result.fold_error[k, 0], own, rtol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"relax": (0.5,)}, "relax"), ({"adaptive": 1.0}, "adaptive")],
)
def test_what_it_cannot_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(case("hinge"), loss="hinge", **options)


def test_missing_values_are_refused() -> None:
    at = case("hinge")
    at.X[3, 2] = np.nan
    with pytest.raises(InputError, match="missing values"):
        fit(at, loss="hinge", missing="mean")


def test_too_few_passes_say_so() -> None:
    result = fit(case("quantile"), loss="quantile", alphas=[0.01], max_passes=8)
    assert not result.converged
    assert result.cost.n_passes == 8
    assert np.isfinite(result.paths[0].objective).all()
