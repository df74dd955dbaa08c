"""The minimum of a quadratic model, by its own optimality conditions."""

from __future__ import annotations

import numpy as np
import pytest

from distreg import penalties
from distreg.penalties import Box
from distreg.solvers import newton
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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("boxed", [False, True])
def test_the_violation_is_the_distance_from_the_subdifferential(seed: int, boxed: bool) -> None:
    rng = np.random.default_rng(seed)
    coef, grad = rng.standard_normal(P) * (rng.random(P) < 0.5), rng.standard_normal(P)
    lasso, ridge, usable = rng.random(P), rng.random(P), rng.random(P) < 0.8
    bounds = np.array([np.full(P, -0.5), np.full(P, 0.5)])
    if boxed:
        coef = np.clip(coef, *bounds)
    box = bounds if boxed else np.empty((2, 0))
    found = newton._violation(coef, grad, lasso, ridge, usable, box)
    distance = penalties.distance(coef, grad, lasso, ridge, Box(*bounds) if boxed else None)
    assert found == pytest.approx(distance[usable].max(), rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_classes", [0, 1, 3])
@pytest.mark.parametrize("longest", [np.inf, 0.05])
@pytest.mark.parametrize("far", [np.inf, 0.03])
def test_a_step_ends_where_the_model_does(
    seed: int, n_classes: int, longest: float, far: float
) -> None:
    """Intercepts at their optimum, what is promised, and no more than is allowed."""
    rng = np.random.default_rng(seed)
    n_free, width = n_classes, max(n_classes, 1)
    rows = np.column_stack([np.eye(width)[rng.integers(0, width, 300)], rng.random((300, P))])
    whole = rows.T @ rows / 300
    corner, cross, gram = whole[:width, :width], whole[:width, width:], whole[width:, width:]
    inverse = np.linalg.inv(corner) if n_free else np.empty((0, 0))
    low = np.empty((2, 0, P))
    coef, grad = rng.standard_normal(P) * (rng.random(P) < 0.3), rng.standard_normal(P)
    grad_intercept = 0.1 * rng.standard_normal(width)
    lasso, ridge = np.full(P, 0.3), np.full(P, 0.1)
    new, first, promised = newton.newton_move(
        (gram, gram, 0.0), low, (corner, cross, inverse), (coef, grad, grad_intercept),
        (lasso, ridge), np.ones(P, dtype=bool), np.empty((2, 0)), np.full(P, far),
        (1.0, 1e-9, 1.0, 0.0, longest),
    )  # fmt: skip
    move = new - coef
    both = np.concatenate([first, move])
    length = np.sqrt(both @ whole @ both / np.trace(corner))
    assert np.abs(move).max() <= far * (1.0 + 1e-12)
    assert length <= longest * (1.0 + 1e-9)
    if far == np.inf and longest < np.inf:
        assert length == pytest.approx(longest)
    change = -grad @ move - grad_intercept @ first
    change += lasso @ (np.abs(new) - np.abs(coef)) + 0.5 * ridge @ (new**2 - coef**2)
    assert change <= promised + 1e-12
    if length < 0.999 * longest:
        assert promised == pytest.approx(min(change, 0.0), rel=1e-9, abs=1e-12)
        if n_free:
            np.testing.assert_allclose(corner @ first + cross @ move, grad_intercept, atol=1e-10)
    if not n_free:
        assert not first.any()
