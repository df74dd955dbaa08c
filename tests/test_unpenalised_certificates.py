"""Certificates with unpenalised features never say too much, whatever basis these are given in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kinkedoracle import lowest
from problems import Case, fit

from distreg.result import CVResult

LOSSES: list[tuple[str, float | None]] = [
    ("quantile", 0.1), ("hinge", None), ("squared", None), ("logistic", None),
]  # fmt: skip
BASES: dict[str, float] = {"one": 1.0, "1e-3": 1e-3, "1e-7": 1e-7, "years": 0.0}
PENALTY = 0.05


def case(loss: str, basis: str, n: int = 300) -> tuple[Case, np.ndarray]:
    """Two unpenalised features and a penalised one, and the same span with a good basis."""
    rng = np.random.default_rng(8)
    a, b, c = rng.normal(size=(3, n))
    pair = np.column_stack([a, a + BASES[basis] * b])
    if basis == "years":
        year = rng.uniform(1990, 2020, n)
        a, b = year - 2005, (year - 2005) ** 2 / 50
        pair = np.column_stack([year, year**2])
    y = 3.0 * (b - b.mean()) + 0.5 * c + 0.3 * rng.standard_t(3.0, n)
    if loss in ("hinge", "logistic"):
        y = (y + rng.logistic(size=n) > 0).astype(float)
    orthonormal = np.linalg.qr(np.column_stack([np.ones(n), a, b]))[0]
    good = np.column_stack([n**0.5 * orthonormal[:, 1:], c])
    return Case(loss, np.column_stack([pair, c]), y, np.ones(n)), good


def optimum(at: Case, good: np.ndarray, loss: str, q: float | None) -> float:
    """The smallest objective with the features `good`."""
    strength = np.array([0.0, 0.0, 3.0 * PENALTY])
    if loss in ("quantile", "hinge"):
        assert at.weight is not None
        return lowest(good, at.y, at.weight, loss, q, strength, np.zeros(3))
    result = fit(Case(loss, good, at.y), **options(loss, q))
    assert result.converged
    return float(result.paths[0].objective[0])


def options(loss: str, q: float | None) -> dict[str, Any]:
    factor = np.array([0.0, 0.0, 1.0])
    return {"loss": loss, "loss_parameter": q, "alphas": [PENALTY], "l1_ratios": (1.0,),
            "penalty_factor": factor}  # fmt: skip


def excess(result: CVResult, best: float) -> float:
    return float(result.paths[0].objective[0]) - best


@pytest.mark.parametrize(("loss", "q"), LOSSES)
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("solver", ["admm", "consensus"])
def test_gaps_are_not_below_what_is_left(
    loss: str, q: float | None, basis: str, solver: str
) -> None:
    at, good = case(loss, basis)
    best = optimum(at, good, loss, q)
    for most in (6, 60):
        result = fit(at, cuts=(100, 200), solver=solver, max_passes=most, **options(loss, q))
        gap, unit = float(result.paths[0].dual_gap[0]), result.paths[0].null_objective
        assert gap >= excess(result, best) - 1e-8 * unit
        assert not result.converged or excess(result, best) <= 1.02e-6 * unit
    # nearly separable classes take longer, by either basis
    assert result.converged or basis != "one" or loss == "logistic"


@pytest.mark.parametrize("loss", ["quantile", "hinge", "squared"])
@pytest.mark.parametrize("solver", ["admm", "consensus"])
def test_equal_features_have_a_certificate(loss: str, solver: str) -> None:
    """All levels of a category beside an intercept, and a feature twice, are no basis."""
    at, _ = case(loss, "one")
    level = np.arange(len(at.y)) % 4
    X = np.column_stack([at.X, at.X[:, 0], level[:, None] == np.arange(4)])
    rule = options(loss, 0.5 if loss == "quantile" else None)
    rule["penalty_factor"] = np.array([0.0, 0.0, 1.0, 0.0, *np.zeros(4)])
    found = fit(Case(loss, X, at.y), cuts=(100, 200), solver=solver, max_passes=150, **rule)
    assert found.converged
