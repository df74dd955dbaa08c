"""Proximal operators, each by its own optimality: v - z is step times a subgradient at z."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from distreg.kernels.prox import prox_one
from distreg.losses import LOSSES, Loss, get_loss

RHO = 10.0 ** np.arange(-4, 5)
EXTENDED = np.longdouble
CASES = [
    *(LOSSES[name] for name in ("squared", "logistic", "poisson", "squared_hinge", "hinge")),
    *(get_loss("huber", delta) for delta in (1e-3, 1.35, 1e4)),
    *(get_loss("quantile", q) for q in (0.01, 0.5, 0.9)),
]
N = 600


@njit
def _prox(code, parameter, y, v, step):
    z = np.empty_like(v)
    for i in range(v.shape[0]):
        z[i] = prox_one(code, parameter, y[i], v[i], step[i])
    return z


def prox(loss: Loss, y: np.ndarray, v: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """The operator in every row."""
    steps = np.array(np.broadcast_to(step, v.shape), dtype=float)
    return np.asarray(_prox(loss.code, loss.parameter, y, v, steps))


def named(loss: Loss) -> str:
    return f"{loss.name} {loss.parameter}"


def problem(loss: Loss, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = {
        "real": lambda: rng.normal(size=N) * 10.0 ** rng.uniform(-3, 5, size=N),
        "binary": lambda: rng.integers(0, 2, size=N).astype(float),
        "count": lambda: np.where(rng.random(N) < 0.3, 0.0, 10.0 ** rng.uniform(-3, 6, size=N)),
    }[loss.target]()
    v = rng.choice([-1.0, 1.0], size=N) * 10.0 ** rng.uniform(-6, 6, size=N)
    v[:6] = [0.0, 1.0, -1.0, 1e6, -1e6, 1e-300]
    return y, v


def subgradients(loss: Loss, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest slope at z, in extended precision."""
    y, z = y.astype(EXTENDED), z.astype(EXTENDED)
    sign = 2 * y - 1
    if loss.name == "logistic":
        slope = -sign / (1 + np.exp(np.minimum(sign * z, 11000)))
    elif loss.name == "poisson":
        slope = np.exp(z) - y
    elif loss.name == "hinge":
        ends = np.where(sign * z <= 1, -sign, 0), np.where(sign * z < 1, -sign, 0)
        return np.minimum(*ends), np.maximum(*ends)
    elif loss.name == "quantile":
        q = EXTENDED(loss.parameter)
        return np.where(z <= y, -q, 1 - q), np.where(z < y, -q, 1 - q)
    elif loss.name == "huber":
        slope = np.clip(z - y, -EXTENDED(loss.parameter), EXTENDED(loss.parameter))
    elif loss.name == "squared_hinge":
        slope = -sign * np.maximum(1 - sign * z, 0)
    else:
        slope = z - y
    return slope, slope


@pytest.mark.parametrize("loss", CASES, ids=named)
def test_every_operator_is_optimal(loss: Loss) -> None:
    y, v = problem(loss)
    for rho in RHO:
        z = prox(loss, y, v, 1.0 / rho)
        low, high = subgradients(loss, y, z)
        moved, step = v.astype(EXTENDED) - z, EXTENDED(1.0 / rho)
        miss = np.maximum(np.maximum(step * low - moved, moved - step * high), 0)
        size = np.abs(z) + np.abs(v) + step * np.maximum(np.abs(low), np.abs(high))
        # what a rounding of z or y alone changes
        size += step * (loss.curvature(y, z) * np.abs(z) + np.abs(y))
        assert float((miss / np.maximum(size, 1e-300)).max()) < 2e-14, rho


@pytest.mark.parametrize("loss", CASES, ids=named)
def test_nothing_near_is_better(loss: Loss) -> None:
    """Without the formula of the slope: the objective itself, with v of the size of y."""
    rng = np.random.default_rng(1)
    y, v = problem(loss)[0][:100], rng.normal(size=100) * 5.0
    y = np.minimum(y, 50.0)
    step = 10.0 ** rng.uniform(-2, 2, size=100)

    def objective(z: np.ndarray) -> np.ndarray:
        return step * loss.value(y, z) + (z - v) ** 2 / 2

    z = prox(loss, y, v, step)
    for move in (1e-3, 1e-1, 1.0):
        for sign in (-1.0, 1.0):
            assert (objective(z) <= objective(z + sign * move) * (1 + 1e-14)).all()


@pytest.mark.parametrize("loss", CASES, ids=named)
def test_a_step_of_0_changes_nothing_and_weights_scale_the_step(loss: Loss) -> None:
    y, v = problem(loss)
    np.testing.assert_array_equal(prox(loss, y, v, 0.0), v)
    step = np.where(np.arange(len(y)) % 2, 0.0, 0.5)
    found = prox(loss, y, v, step)
    np.testing.assert_array_equal(found[1::2], v[1::2])
    np.testing.assert_array_equal(found[::2], prox(loss, y, v, 0.5)[::2])


@pytest.mark.parametrize("loss", CASES, ids=named)
def test_far_away(loss: Loss) -> None:
    y, _ = problem(loss)
    for v in (-1e300, 1e300):
        z = prox(loss, y, np.full(N, v), 1.0)
        assert np.isfinite(z).all()
        assert (np.abs(z) <= 1e300 * (1 + 1e-15)).all()


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(ValueError, match="no loss"):
        prox_one(99, 0.0, 1.0, 0.0, 1.0)
