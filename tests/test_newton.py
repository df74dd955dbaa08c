"""The minimum of a quadratic model, by its own optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest

from distreg import penalties
from distreg.penalties import Box
from distreg.solvers.newton import newton_minimum

P = 24


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_classes", [0, 1, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize(("damping", "lift"), [(1.0, 0.0), (4.0, 0.2)])
def test_no_coefficient_violates_its_condition(
    seed: int, n_classes: int, l1_ratio: float, boxed: bool, damping: float, lift: float
) -> None:
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((2, 60, P))
    left, right = (rows.T @ rows / 60 for rows in Z)
    share = float(rng.choice([0.0, 0.3, 1.0]))
    half = rng.standard_normal((seed % 3, P))
    low = np.array([half, 0.2 * half])
    corner = np.eye(n_classes) * 2.0
    cross = 0.1 * rng.standard_normal((n_classes, P))
    follow = np.linalg.solve(corner, cross) if n_classes else cross
    coef = rng.standard_normal(P) * (rng.random(P) < 0.3)
    usable = rng.random(P) < 0.9
    coef[~usable] = 0.0
    grad = rng.standard_normal(P)
    lasso, ridge = np.full(P, 0.4 * l1_ratio), np.full(P, 0.4 * (1 - l1_ratio))
    bounds = np.array([np.where(rng.random(P) < 0.5, -0.2, -np.inf), np.full(P, 0.3)])
    box = bounds if boxed else np.empty((2, 0))
    if boxed:
        coef = np.clip(coef, *bounds)
    new = newton_minimum(
        (left, right, share), low, cross, follow, coef, grad, lasso, ridge, usable, box,
        (1.0, 1e-9, damping, lift),
    )  # fmt: skip
    whole = (1.0 - share) * left + share * right + low[0].T @ low[1] - cross.T @ follow
    there = grad - damping * whole @ (new - coef) - lift * (damping != 1.0) * (new - coef)
    limits = Box(*bounds) if boxed else None
    violation = penalties.distance(new, there, lasso, ridge, limits)
    # the diagonal is raised by 1e-9 where corrections have cancelled most of it
    assert violation[usable].max() <= 1e-7
    assert not new[~usable].any()
    if boxed:
        assert np.all((new >= bounds[0]) & (new <= bounds[1]))
