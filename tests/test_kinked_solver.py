"""The interior-point method for quadratic functions with kinks in a box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from distreg.solvers.kinked import KinkedProblem, minimise

KINDS = [
    "any", "equal rows", "equal variables", "constant 0", "few values", "no noise", "one slope",
    "correlated", "small box", "fewer rows than variables", "no rows",
]  # fmt: skip


def problem(kind: str, ridge: float, lasso: float, seed: int) -> KinkedProblem:
    """Rows of a quantile loss; the absolute values of all variables but the last are kinks, too."""
    rng = np.random.default_rng(seed)
    m = {"fewer rows than variables": 5, "no rows": 0}.get(kind, 60)
    k = 9
    A = np.c_[rng.standard_normal((m, k - 1)), np.ones(m)]
    if kind == "few values":
        A[:, :-1] = rng.random((m, k - 1)) < 0.3
    elif kind == "correlated":
        A[:, :-1] = 0.01 * A[:, :-1] + rng.standard_normal((m, 1))
    elif kind == "equal variables":
        A[:, 1] = A[:, 0]
    elif kind == "constant 0":
        A[:, 0] = 0.0
    level = A @ rng.standard_normal(k)
    if kind != "no noise":
        level += 0.3 * rng.standard_t(2.0, m)
    if kind == "few values":
        level = np.round(level)
    weight = np.full(m, 1.0 / max(m, 1)) if kind == "few values" else rng.uniform(0.2, 3, m) / 60
    if kind == "equal rows":
        A[m // 2 :], level[m // 2 :] = A[: m // 2], level[: m // 2]
    low, high = -0.3 * weight, 0.7 * weight
    if kind == "one slope":
        low[::2] = high[::2]
    size = 0.05 if kind == "small box" else 20.0
    return KinkedProblem(
        linear=0.01 * rng.standard_normal(k),
        ridge=np.r_[np.full(k - 1, ridge), 0.0],
        rows=np.r_[A, np.eye(k - 1, k)],
        level=np.r_[level, np.zeros(k - 1)],
        low=np.r_[low, np.full(k - 1, -lasso)],
        high=np.r_[high, np.full(k - 1, lasso)],
        lower=-size * rng.uniform(0.1, 1.0, k),
        upper=size * rng.uniform(0.1, 1.0, k),
    )


def size_of(at: KinkedProblem) -> float:
    return 1.0 + abs(at.value(np.zeros(at.linear.size)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("ridge", "lasso"), [(0.0, 0.01), (1e-5, 0.0), (1e-3, 0.01), (1.0, 0.1)])
def test_the_slopes_prove_the_minimum(kind: str, ridge: float, lasso: float) -> None:
    for seed in range(4):
        at = problem(kind, ridge, lasso, seed)
        x, slopes = minimise(at, np.zeros(at.linear.size))
        assert (at.lower <= x).all()
        assert (x <= at.upper).all()
        assert (at.low <= slopes).all()
        assert (slopes <= at.high).all()
        assert -1e-12 <= (at.value(x) - at.bound(slopes)) / size_of(at) <= 1e-10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lasso", [0.0, 0.01])
def test_without_curvature_it_is_the_linear_programme(kind: str, lasso: float) -> None:
    at = problem(kind, 0.0, lasso, seed=5)
    x, _ = minimise(at, np.zeros(at.linear.size))
    m = at.level.size
    found = linprog(
        np.r_[at.linear, at.high, -at.low],
        A_eq=np.c_[at.rows, -np.eye(m), np.eye(m)],
        b_eq=at.level,
        bounds=[*zip(at.lower, at.upper, strict=True), *[(0.0, None)] * (2 * m)],
    )
    # where the slopes of a row are one, so are its sides
    assert found.status == 0
    assert at.value(x) == pytest.approx(found.fun, abs=1e-9 * size_of(at))


@pytest.mark.parametrize("kind", KINDS)
def test_no_point_is_below_the_bound_of_any_slopes(kind: str) -> None:
    rng = np.random.default_rng(8)
    for ridge in (0.0, 0.1):
        at = problem(kind, ridge, 0.01, seed=6)
        for _ in range(20):
            x = rng.uniform(at.lower, at.upper)
            assert at.bound(rng.uniform(at.low, at.high)) <= at.value(x) + 1e-12


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_units_of_the_objective_and_of_the_variables_do_not_matter(factor: float) -> None:
    at = problem("any", 1e-3, 0.01, seed=7)
    start = np.zeros(at.linear.size)
    x, slopes = minimise(at, start)
    names = "linear", "ridge", "low", "high"
    louder = replace(at, **{name: factor * getattr(at, name) for name in names})
    other, others = minimise(louder, start)
    np.testing.assert_allclose(other, x, atol=1e-7)
    np.testing.assert_allclose(others / factor, slopes, atol=1e-8)
    wider = replace(
        at, linear=at.linear / factor, ridge=at.ridge / factor**2, rows=at.rows / factor,
        lower=at.lower * factor, upper=at.upper * factor,
    )  # fmt: skip
    other, _ = minimise(wider, start)
    assert wider.value(other) == pytest.approx(at.value(x), abs=1e-10)


def test_one_variable_is_a_weighted_quantile_or_shrinks_to_a_kink() -> None:
    y, weight = np.array([3.0, -1.0, 10.0, 4.0, 2.5]), np.array([1.0, 2.0, 1.0, 4.0, 0.5])
    none, box = np.zeros(1), (np.array([-50.0]), np.array([50.0]))
    rows = np.ones((5, 1))
    at = KinkedProblem(none, none, rows, y, -0.5 * weight, 0.5 * weight, *box)
    x, slopes = minimise(at, none)
    assert x[0] == pytest.approx(4.0, abs=1e-9)
    # weights 3.5 below and 1 above: the row itself holds the balance
    np.testing.assert_allclose(slopes, [0.5, 1.0, -0.5, -1.25, 0.25], atol=1e-9)
    # ridge of 1 and no kink: -c, within the box
    at = KinkedProblem(
        np.array([-2.0, -80.0]), np.ones(2), np.zeros((0, 2)), *[np.zeros(0)] * 3,
        np.full(2, -50.0), np.full(2, 50.0),
    )  # fmt: skip
    np.testing.assert_allclose(minimise(at, np.zeros(2))[0], [2.0, 50.0], atol=1e-9)


@pytest.mark.parametrize("start", ["lower", "upper", "far"])
def test_any_start_will_do(start: str) -> None:
    at = problem("any", 1e-3, 0.01, seed=9)
    best = minimise(at, np.zeros(at.linear.size))[0]
    begin = {"lower": at.lower, "upper": at.upper, "far": np.full(at.linear.size, 1e6)}[start]
    np.testing.assert_allclose(minimise(at, begin)[0], best, atol=1e-7)


def test_variables_at_a_bound_are_so_exactly() -> None:
    at = problem("small box", 1e-3, 0.0, seed=3)
    x, _ = minimise(at, np.zeros(at.linear.size))
    at_bound = (x == at.lower) | (x == at.upper)
    near = np.minimum(x - at.lower, at.upper - x) < 1e-6
    assert at_bound.sum() > 4
    np.testing.assert_array_equal(at_bound, near)
