"""Rows of weight 0 may hold anything: no solver looks at them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from problems import Case, fit
from scipy import sparse

from distreg.data.schemes import KFold
from distreg.losses import get_loss
from distreg.options import SOLVERS
from distreg.result import CVResult

CASES = [
    (loss, solver)
    for loss, solvers in SOLVERS.items()
    for solver in solvers
    if loss != "multinomial"
]


def fitted(X: Any, y: np.ndarray, weight: np.ndarray, loss: str, solver: str) -> CVResult:
    options: dict[str, Any] = {"loss_parameter": {"huber": 1.0, "quantile": 0.4}.get(loss)}
    case = Case("odd rows", X, y, weight)
    rule = {"alphas": (0.1, 0.02), "l1_ratios": (0.5,), "solver": solver}
    return fit(case, KFold(3), loss=loss, **rule, **options)


def problem(loss: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, targets and weights, of which every seventh is 0."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4))
    y = X[:, 0] + rng.standard_normal(300)
    if get_loss(loss).target != "real":
        y = np.clip(np.round(y), 0, 1)
    return X, y, np.where(np.arange(300) % 7 == 0, 0.0, 1.0)


def check_same(found: CVResult, plain: CVResult) -> None:
    assert plain.paths[0].coef.any()
    np.testing.assert_allclose(found.paths[0].coef, plain.paths[0].coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.cv_mean, plain.cv_mean, rtol=1e-9)
    gaps = found.paths[0].dual_gap, plain.paths[0].dual_gap
    np.testing.assert_allclose(*gaps, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(("loss", "solver"), CASES)
@pytest.mark.parametrize(
    ("value", "storage"), list(itertools.product((np.nan, np.inf), ("C", "F", "sparse")))
)
def test_features_of_rows_without_weight_change_nothing(
    loss: str, solver: str, value: float, storage: str
) -> None:
    X, y, weight = problem(loss)
    odd = np.where(weight[:, None] == 0.0, value, X)
    make: Any = sparse.csr_array if storage == "sparse" else lambda a: np.asarray(a, order=storage)
    plain, found = (fitted(make(a), y, weight, loss, solver) for a in (X, odd))
    check_same(found, plain)


@pytest.mark.parametrize(("loss", "solver"), CASES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_of_rows_without_weight_change_nothing(
    loss: str, solver: str, value: float
) -> None:
    X, y, weight = problem(loss)
    odd = np.where(weight == 0.0, value, y)
    plain, found = (fitted(X, target, weight, loss, solver) for target in (y, odd))
    check_same(found, plain)
