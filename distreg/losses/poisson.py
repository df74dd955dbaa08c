"""Poisson loss ``e^eta - y eta`` of a count y >= 0, which need not be whole.

Above `ETA_HIGH` eta counts as `ETA_HIGH`: the loss is about 1e304 there, and never overflows.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from distreg.losses.base import SHARE_FLOOR, Array, Loss

__all__ = ["ETA_HIGH", "LOSS"]

ETA_HIGH = 700.0
"""Largest linear predictor."""


@np.errstate(over="ignore")
def _value(y: Array, eta: Array) -> Array:
    eta = np.minimum(eta, ETA_HIGH)
    return np.exp(eta) - y * eta


def _slope(y: Array, eta: Array) -> Array:
    return _mean(eta) - y


def _curvature(y: Array, eta: Array) -> Array:
    return _mean(eta)


def _mean(eta: Array) -> Array:
    return np.exp(np.minimum(eta, ETA_HIGH))


def _saturated(y: Array) -> Array:
    return np.asarray(y - xlogy(y, y))


def _conjugate(y: Array, u: Array) -> Array:
    mean = y + u
    inside = mean >= 0.0
    mean = np.where(inside, mean, 0.0)
    return np.asarray(np.where(inside, xlogy(mean, mean) - mean, np.inf))


def _null_eta(mean: float | Array) -> float:
    return float(np.log(np.maximum(mean, SHARE_FLOOR)))


def _null_loss(mean: float | Array) -> float:
    return float(mean - xlogy(mean, mean))


LOSS = Loss(
    name="poisson",
    code=3,
    target="count",
    value=_value,
    slope=_slope,
    curvature=_curvature,
    mean=_mean,
    saturated=_saturated,
    conjugate=_conjugate,
    null_eta=_null_eta,
    null_loss=_null_loss,
)
