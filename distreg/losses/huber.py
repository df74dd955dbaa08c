"""Huber loss of ``e = y - eta``: ``e^2 / 2`` up to delta, ``delta (|e| - delta / 2)`` beyond.

Its parameter delta > 0 is in units of y.
"""

from __future__ import annotations

import numpy as np

from distreg.losses.base import Array, Bound, Loss, nothing_known

__all__ = ["LOSS", "make"]


@np.errstate(over="ignore")
def _value(y: Array, eta: Array, delta: float) -> Array:
    size = np.abs(y - eta)
    inner = np.minimum(size, delta)
    return inner * (size - 0.5 * inner)


@np.errstate(over="ignore")
def _slope(y: Array, eta: Array, delta: float) -> Array:
    return np.clip(eta - y, -delta, delta)


@np.errstate(over="ignore")
def _curvature(y: Array, eta: Array, delta: float) -> Array:
    return (np.abs(y - eta) <= delta).astype(np.float64)


def _mean(eta: Array) -> Array:
    return eta


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


@np.errstate(over="ignore")
def _conjugate(y: Array, u: Array, delta: float) -> Array:
    return np.where(np.abs(u) <= delta, u * (0.5 * u + y), np.inf)


def make(delta: float) -> Loss:
    """The loss with this delta."""
    return Loss(
        name="huber",
        code=6,
        target="real",
        value=Bound(_value, delta),
        slope=Bound(_slope, delta),
        curvature=Bound(_curvature, delta),
        mean=_mean,
        saturated=_saturated,
        conjugate=Bound(_conjugate, delta),
        null_eta=None,
        null_loss=nothing_known,
        parameter=delta,
        parameter_name="delta",
    )


LOSS = make(1.35)
