"""Logistic loss ``log(1 + e^eta) - y eta`` of a class code y, 0 or 1.

With the margin ``m = (2 y - 1) eta`` it is ``log(1 + e^-m)``, which no eta makes overflow.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr, expit

from distreg.losses.base import Array, Loss, clipped_share, signs

__all__ = ["LOSS"]


def _value(y: Array, eta: Array) -> Array:
    margin = signs(y) * eta
    return np.maximum(-margin, 0.0) + np.log1p(np.exp(-np.abs(margin)))


def _slope(y: Array, eta: Array) -> Array:
    sign = signs(y)
    return np.asarray(-sign * expit(-sign * eta))


def _curvature(y: Array, eta: Array) -> Array:
    return np.asarray(expit(eta) * expit(-eta))


def _mean(eta: Array) -> Array:
    return np.asarray(expit(eta))


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


def _conjugate(y: Array, u: Array) -> Array:
    """Minus the entropy of the probability ``y + u``."""
    share = y + u
    return -np.asarray(entr(share) + entr(1.0 - share))


def _null_eta(mean: float | Array) -> float:
    share = clipped_share(mean)
    return float(np.log(share) - np.log1p(-share))


def _null_loss(mean: float | Array) -> float:
    return float(entr(mean) + entr(1.0 - mean))


LOSS = Loss(
    name="logistic",
    code=1,
    target="binary",
    value=_value,
    slope=_slope,
    curvature=_curvature,
    mean=_mean,
    saturated=_saturated,
    conjugate=_conjugate,
    null_eta=_null_eta,
    null_loss=_null_loss,
)
