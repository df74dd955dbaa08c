"""Losses with a kink by rounds: objectives against linear programmes, and honest certificates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kinkedoracle import lowest
from problems import Case, correlated, fit, splits_of

from distreg.admm import crossval, solve
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


def mean_loss(at: Case, loss: str, q: float | None, eta: np.ndarray, rows: Any = None) -> float:
    assert at.weight is not None
    if loss == "quantile":
        e = at.y - eta
        value = np.maximum(q * e, (q - 1) * e)
    else:
        value = np.maximum(1 - (2 * at.y - 1) * eta, 0)
    rows = slice(None) if rows is None else rows
    return float(np.average(value[rows], weights=at.weight[rows]))


def weights_of(at: Case, l1_ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ``|w_j|`` and of ``w_j^2 / 2`` for alpha = 1."""
    assert at.weight is not None
    factor = normalised_factor(at.options.get("penalty_factor"), at.X.shape[1])
    scale = np.ones(at.X.shape[1])
    if at.options.get("standardize"):
        mean = np.average(at.X, axis=0, weights=at.weight)
        scale = np.sqrt(np.average((at.X - mean) ** 2, axis=0, weights=at.weight))
    return l1_ratio * factor * scale, (1 - l1_ratio) * factor * scale**2


def check(at: Case, result: CVResult, loss: str, q: float | None, lower: Any = None) -> None:
    """Objectives recomputed are those told, within tol of the smallest, and the gap is true."""
    assert at.weight is not None
    intercept = at.options.get("fit_intercept", True)
    for path in result.paths:
        l1, l2 = weights_of(at, path.l1_ratio)
        unit = path.null_objective
        for i, alpha in enumerate(path.alphas):
            w = path.coef[i]
            own = mean_loss(at, loss, q, at.X @ w + path.intercept[i])
            own += alpha * (l1 @ np.abs(w) + l2 @ w**2 / 2)
            best = lowest(
                at.X,
                at.y,
                at.weight,
                loss,
                q,
                alpha * l1,
                alpha * l2,
                intercept,
                lower,
                1e-8 * unit,
            )
            assert own == pytest.approx(path.objective[i], rel=1e-9)
            assert own - best <= 1.02e-6 * unit
            assert path.dual_gap[i] >= own - best - 1.1e-8 * unit
    assert result.converged


@pytest.mark.parametrize(("loss", "q"), [*KINKED, ("quantile", 0.5), ("quantile", 0.9)])
@pytest.mark.parametrize("options", [{"standardize": True}, {"fit_intercept": False}])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_objectives_are_the_smallest(
    loss: str, q: float | None, options: dict[str, Any], l1_ratio: float
) -> None:
    at, rule = case(loss, **options), {"n_alphas": 5, "alpha_min_ratio": 1e-3}
    result = fit(
        at,
        cuts=(40, 90),
        loss=loss,
        loss_parameter=q,
        l1_ratios=(l1_ratio,),
        max_passes=150,
        **rule,
    )
    check(at, result, loss, q)


@pytest.mark.parametrize(("loss", "q"), KINKED)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_bounds_and_penalty_factors(loss: str, q: float | None, l1_ratio: float) -> None:
    factor = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 1.0])
    at = case(loss, penalty_factor=factor)
    rule = {"loss": loss, "loss_parameter": q, "alphas": [0.05, 0.01], "l1_ratios": (l1_ratio,)}
    check(at, fit(at, **rule), loss, q)
    bounded = case(loss)
    result = fit(bounded, lower_bounds=-0.05, **rule)
    check(bounded, result, loss, q, lower=-0.05)
    assert result.paths[0].coef.min() == -0.05


def degenerate(loss: str, kind: str) -> Case:
    """Data with many corners in one place, or with more solutions than one."""
    at = case(loss)
    rng = np.random.default_rng(4)
    X, y = at.X, at.y
    if kind == "few values":
        X = (rng.random(X.shape) < 0.4).astype(float)
        y = np.round(2 * X[:, 0] - X[:, 1] + rng.standard_normal(len(y)))
        y = (y > 0).astype(float) if loss == "hinge" else y
    elif kind == "equal rows":
        X, y = np.tile(X[:50], (3, 1)), np.tile(y[:50], 3)
    elif kind == "equal features":
        X = np.c_[X[:, :3], X[:, :3]]
    elif kind == "constant feature":
        X = np.c_[np.full(len(y), 2.0), X[:, 1:]]
    else:
        y = X[:, 0] - X[:, 1]
        y = (y > np.median(y)).astype(float) if loss == "hinge" else y
    return Case(kind, X, y, np.ones(len(y)), at.options)


@pytest.mark.parametrize(("loss", "q"), KINKED)
@pytest.mark.parametrize(
    "kind", ["few values", "equal rows", "equal features", "constant feature", "no noise"]
)
def test_degenerate_data(loss: str, q: float | None, kind: str) -> None:
    at = degenerate(loss, kind)
    rule = {"loss": loss, "loss_parameter": q, "n_alphas": 4, "max_passes": 200}
    result = fit(at, cuts=(40, 90), l1_ratios=(1.0, 0.5, 0.0), alpha_min_ratio=1e-3, **rule)
    check(at, result, loss, q)


@pytest.mark.parametrize(("loss", "q"), KINKED)
@pytest.mark.parametrize(("l1_ratio", "alpha"), [(1.0, 1e-12), (0.5, 1e-18), (0.0, 1e-18)])
def test_a_penalty_of_almost_nothing(
    loss: str, q: float | None, l1_ratio: float, alpha: float
) -> None:
    at = case(loss, standardize=True)
    rule = {"loss": loss, "loss_parameter": q, "alphas": [1e-9, alpha], "l1_ratios": (l1_ratio,)}
    check(at, fit(at, max_passes=150, **rule), loss, q)


def test_columns_take_turns_where_rows_near_a_kink_are_many(monkeypatch: Any) -> None:
    at = case("quantile", standardize=True)
    rule = {"loss": "quantile", "loss_parameter": 0.3, "n_alphas": 5, "alpha_min_ratio": 1e-3}
    monkeypatch.setattr(solve, "KINK_BYTES", 2 * 8 * 6 * 21)
    check(at, fit(at, l1_ratios=(0.5,), max_passes=200, **rule), "quantile", 0.3)
    monkeypatch.setattr(solve, "MOST_CORNER", 5)
    assert not fit(at, l1_ratios=(1.0,), max_passes=200, **rule).converged


@pytest.mark.parametrize(("loss", "q"), KINKED)
def test_grids_of_elastic_nets_end_where_those_of_l1_do(loss: str, q: float | None) -> None:
    at = case(loss, standardize=True)
    rule = {"loss": loss, "loss_parameter": q, "n_alphas": 2, "l1_ratios": (1.0, 0.5)}
    lasso, net = fit(at, **rule).paths
    np.testing.assert_allclose(net.alphas, 2.0 * lasso.alphas, rtol=1e-12)


@pytest.mark.parametrize(("loss", "q"), KINKED)
def test_folds_are_fits_of_their_rows(loss: str, q: float | None, monkeypatch: Any) -> None:
    """Every fold's error is that of its training rows fitted alone; batches go along the path."""
    n, n_folds = 120, 3
    at = case(loss, n=n, standardize=True)
    rule = {"loss": loss, "loss_parameter": q, "l1_ratios": (1.0, 0.5), "alphas": [0.2, 0.05, 0.02]}
    monkeypatch.setattr(crossval, "STATE_BYTES", n * (n_folds + 1) * 8 * 2)
    result = fit(at, KFold(n_folds), cuts=(50,), **rule)
    assert result.converged
    assert np.nanmax(result.fold_dual_gap) <= 1e-6
    cells = make_cells(KFold(n_folds), n)
    for k, (train, held_out) in enumerate(splits_of(cells, n)):
        alone = Case("alone", at.X[train], at.y[train], at.weight[train], at.options)
        for i, path in enumerate(fit(alone, **rule).paths):
            own = [
                2 * mean_loss(at, loss, q, at.X @ w + b, held_out)
                for w, b in zip(path.coef, path.intercept, strict=True)
            ]
            np.testing.assert_allclose(result.fold_error[k, i], own, rtol=5e-3)


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


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7])
@pytest.mark.parametrize("loss", ["hinge", "quantile"])
def test_default_grids_span_four_decades(loss: str, l1_ratio: float) -> None:
    """A loss that has no curvature asks for no tiny alphas."""
    result = fit(case(loss), loss=loss, n_alphas=3, l1_ratios=(l1_ratio,))
    alphas = result.paths[0].alphas
    assert alphas[-1] / alphas[0] == pytest.approx(1e-4)
    assert result.converged
