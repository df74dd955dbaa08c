"""The row kernels say what the losses say, for every role, weight and split of the rows."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import numpy as np
import pytest
from numba import njit

from distreg.kernels.exponential import exp, log1p, log1p_unit
from distreg.kernels.rows import (
    HELD_OUT,
    NONE,
    TEST,
    TRAIN,
    RowSums,
    curvature_weights,
    residual_rows,
)
from distreg.losses import LOSSES, Loss

CASES = [("squared", 1), ("logistic", 1), ("poisson", 1), ("squared_hinge", 1)]
CASES += [("hinge", 1), ("huber", 1), ("quantile", 1)]
CASES += [("multinomial", 2), ("multinomial", 3), ("multinomial", 40)]
SIZES = [(0, 0), (1, 3), (5, 0, 1), (300, 17)]
"""Fits of each training set; 300 are more than are handled at a time."""


def kind(name: str) -> tuple[int, float]:
    return LOSSES[name].code, LOSSES[name].parameter


def targets(loss: Loss, n_classes: int, n: int, rng: np.random.Generator) -> np.ndarray:
    if loss.target == "real":
        return rng.normal(size=n) * 3.0
    if loss.target == "count":
        return np.where(rng.random(n) < 0.3, 0.0, rng.gamma(2.0, 3.0, size=n))
    return rng.integers(0, max(n_classes, 2), size=n).astype(float)


def problem(name: str, n_classes: int, sizes: tuple[int, ...], n: int = 41, seed: int = 0):
    rng = np.random.default_rng(seed)
    bounds = np.r_[0, np.cumsum(sizes)].astype(np.int64)
    eta = rng.normal(size=(n, bounds[-1] * n_classes)) * rng.choice([0.1, 1.0, 10.0], size=(n, 1))
    weight = rng.random(n) * (rng.random(n) < 0.8)
    role = rng.choice(np.array([NONE, TRAIN, HELD_OUT, TEST], np.int8), size=(n, len(sizes)))
    return eta, targets(LOSSES[name], n_classes, n, rng), weight, role, bounds


def run(name: str, n_classes: int, eta, y, weight, role, bounds) -> tuple[np.ndarray, RowSums]:
    eta, sums = eta.copy(), RowSums.zeros(int(bounds[-1]), n_classes)
    residual_rows(*kind(name), n_classes, eta, y, weight, role, bounds, sums)
    return eta, sums


def chi2_of(loss: Loss, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Squared slope times the conjugate's second derivative there."""
    if loss.name == "poisson":
        mean = loss.mean(np.maximum(eta, -700.0))
        return (mean - y) * ((mean - y) / mean)
    if loss.name in ("hinge", "quantile"):
        return np.zeros(len(y))
    if loss.name in ("logistic", "multinomial"):
        return np.expm1(np.minimum(loss.value(y, eta), 700.0))
    return loss.slope(y, eta) ** 2


def total(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted sum over rows; those of weight 0 may be infinite."""
    of = weight > 0.0
    return (weight[of] * values[of].T).sum(axis=-1)


@np.errstate(over="ignore")
def reference(name: str, n_classes: int, eta, y, weight, role, bounds):
    """The same with the functions of the losses, a fit at a time."""
    loss, n_fits = LOSSES[name], int(bounds[-1])
    residual, sums = np.zeros_like(eta), RowSums.zeros(n_fits, n_classes)
    for fit in range(n_fits):
        s = int(np.searchsorted(bounds, fit, side="right")) - 1
        columns = slice(fit * n_classes, (fit + 1) * n_classes)
        at = eta[:, columns] if n_classes > 1 else eta[:, fit]
        slope = loss.slope(y, at).reshape(-1, n_classes)
        value, curvature = loss.value(y, at), loss.curvature(y, at)
        if n_classes > 1:
            curvature = np.diagonal(curvature, axis1=1, axis2=2)
        train, held_out, test = (
            partial(total, weight * (role[:, s] == kind)) for kind in (TRAIN, HELD_OUT, TEST)
        )
        trains = (weight * (role[:, s] == TRAIN))[:, None]
        residual[:, columns] = -trains * slope
        sums.train[fit], sums.held_out[fit] = train(value), held_out(value)
        sums.test[fit], sums.chi2[fit] = test(value), train(chi2_of(loss, y, at))
        sums.residual[columns] = residual[:, columns].sum(axis=0)
        sums.curvature[columns] = train(curvature.reshape(-1, n_classes))
        if loss.target in ("binary", "classes"):
            predicted = at.argmax(axis=1) if n_classes > 1 else at > 0
            sums.correct[fit] = test(predicted == y)
        if loss.name in ("huber", "quantile"):
            sums.absolute[fit], sums.square[fit] = test(np.abs(y - at)), test((y - at) ** 2)
        if loss.name in ("logistic", "multinomial"):
            shares = loss.mean(at)
            truth = np.eye(n_classes)[y.astype(int)] if n_classes > 1 else y
            sums.brier[fit] = test(((shares - truth) ** 2).reshape(len(y), -1).sum(axis=1))
    return residual, sums


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_sums_and_residuals_are_those_of_the_losses(
    name: str, n_classes: int, sizes: tuple[int, ...]
) -> None:
    given = problem(name, n_classes, sizes)
    residual, sums = run(name, n_classes, *given)
    expected_residual, expected = reference(name, n_classes, *given)
    np.testing.assert_allclose(residual, expected_residual, rtol=1e-13, atol=1e-300)
    for f in fields(RowSums):
        scale = 1e-13 * (1.0 + np.abs(given[0]).max(initial=0.0) ** 2)
        np.testing.assert_allclose(
            getattr(sums, f.name), getattr(expected, f.name), rtol=1e-12, atol=scale, err_msg=f.name
        )


@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_sums_of_parts_of_the_rows_add_up(name: str, n_classes: int) -> None:
    eta, y, weight, role, bounds = problem(name, n_classes, (4, 9), n=60)
    residual, whole = run(name, n_classes, eta, y, weight, role, bounds)
    added = RowSums.zeros(13, n_classes)
    for part in (slice(0, 1), slice(1, 1), slice(1, 44), slice(44, 60)):
        some, sums = run(name, n_classes, eta[part], y[part], weight[part], role[part], bounds)
        np.testing.assert_array_equal(some, residual[part])
        added.add(sums)
    for f in fields(RowSums):
        np.testing.assert_allclose(getattr(added, f.name), getattr(whole, f.name), rtol=1e-12)


@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_sums_are_added_to_what_is_there(name: str, n_classes: int) -> None:
    given = problem(name, n_classes, (3, 2))
    _, once = run(name, n_classes, *given)
    twice = RowSums.zeros(5, n_classes)
    for _ in range(2):
        residual_rows(*kind(name), n_classes, given[0].copy(), *given[1:], twice)
    once += once
    for f in fields(RowSums):
        np.testing.assert_array_equal(getattr(twice, f.name), getattr(once, f.name))


@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_weight_0_is_no_row_and_weight_2_the_row_twice(name: str, n_classes: int) -> None:
    eta, y, _, role, bounds = problem(name, n_classes, (3, 2))
    count = np.arange(len(y)) % 3
    residual, sums = run(name, n_classes, eta, y, count.astype(float), role, bounds)
    assert not residual[count == 0].any()
    eta, y, role = (np.repeat(part, count, axis=0) for part in (eta, y, role))
    _, repeated = run(name, n_classes, eta, y, np.ones(len(y)), role, bounds)
    for f in fields(RowSums):
        np.testing.assert_allclose(getattr(sums, f.name), getattr(repeated, f.name), rtol=1e-12)


@pytest.mark.parametrize("size", [36.0, 400.0, 705.0, 1e5, 1e300])
@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_extreme_predictors(name: str, n_classes: int, size: float) -> None:
    eta, y, weight, role, bounds = problem(name, n_classes, (2, 3), seed=3)
    eta = np.sign(eta) * size
    role[:] = TRAIN
    residual, sums = run(name, n_classes, eta, y, weight, role, bounds)
    assert np.isfinite(residual).all()
    expected_residual, expected = reference(name, n_classes, eta, y, weight, role, bounds)
    # exponents stop at -700: what is below e^-700 may be that
    np.testing.assert_allclose(residual, expected_residual, rtol=1e-12, atol=1e-303)
    np.testing.assert_allclose(sums.train, expected.train, rtol=1e-12, atol=1e-303)
    assert not np.isnan(sums.chi2).any()
    again = eta[:, : n_classes * bounds[-1]]
    weights = curvature_weights(*kind(name), n_classes, again.copy(), y, weight)
    assert np.isfinite(weights).all()
    assert (weights >= 0.0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_predictors_that_are_not_finite_never_look_good(
    name: str, n_classes: int, value: float
) -> None:
    eta, y, weight, role, bounds = problem(name, n_classes, (2, 3))
    weight[:], role[:] = 1.0, TRAIN
    eta[:] = value
    _, sums = run(name, n_classes, eta, y, weight, role, bounds)
    assert (sums.train > 1e300).all()


@pytest.mark.parametrize(("name", "n_classes"), CASES)
def test_curvature_weights_are_the_blocks_of_the_curvature(name: str, n_classes: int) -> None:
    eta, y, weight, _, bounds = problem(name, n_classes, (4,))
    found = curvature_weights(*kind(name), n_classes, eta.copy(), y, weight)
    n_pairs = n_classes * (n_classes + 1) // 2
    assert found.shape == (len(y), bounds[-1], n_pairs)
    for fit in range(bounds[-1]):
        if n_classes == 1:
            expected = LOSSES[name].curvature(y, eta[:, fit])[:, None]
        else:
            block = LOSSES[name].curvature(y, eta[:, fit * n_classes : (fit + 1) * n_classes])
            one, other = np.triu_indices(n_classes)
            expected = np.where(one == other, 1.0, -1.0) * block[:, one, other]
        np.testing.assert_allclose(found[:, fit], weight[:, None] * expected, rtol=1e-13)


def test_an_unknown_code_is_refused() -> None:
    given = problem("squared", 1, (2,))
    with pytest.raises(ValueError, match="no loss"):
        residual_rows(99, 0.0, 1, *given, RowSums.zeros(2, 1))


@njit
def each(function, x, out):
    for i in range(x.shape[0]):
        out[i] = function(x[i])


RANGES = [
    (exp, np.exp, -708.0, 709.0),
    (exp, np.exp, -1.0, 1.0),
    (log1p_unit, np.log1p, 0.0, 1.0),
    (log1p, np.log1p, 0.0, 1.0),
    (log1p, np.log1p, 0.0, 1e3),
]


@pytest.mark.parametrize(("function", "exact", "low", "high"), RANGES)
def test_units_in_the_last_place(function, exact, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    small = high * 10.0 ** rng.uniform(-20, 0, size=100_000)
    x = np.concatenate([[low, high, 0.0], rng.uniform(low, high, size=400_000), small])
    found = np.empty_like(x)
    each(function, x, found)
    expected = exact(x.astype(np.longdouble))
    ulp = np.spacing(np.abs(expected).astype(float))
    assert np.max(np.abs(found - expected) / ulp) <= 2.0


def test_limits() -> None:
    x = np.array([0.0, -708.5, -1e300, -np.inf, np.nan])
    found = np.empty_like(x)
    each(exp, x, found)
    np.testing.assert_array_equal(found, [1.0, 0.0, 0.0, 0.0, np.nan])
    high = np.array([709.0, 710.0, 1e300, np.inf])
    found = np.empty_like(high)
    each(exp, high, found)
    np.testing.assert_array_equal(found, found[0])
    x = 10.0 ** np.linspace(0.0, 307.9, 1001)
    found = np.empty_like(x)
    each(log1p, x, found)
    np.testing.assert_allclose(found, np.log1p(x), rtol=3e-16)
