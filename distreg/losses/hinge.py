"""Hinge loss ``max(0, 1 - s eta)`` of a class code y, with the sign s = 2 y - 1.

At the kink, where the margin ``s eta`` is 1, the slope is 0.
"""

from __future__ import annotations

import numpy as np

from distreg.losses.base import Array, Loss, signs

__all__ = ["LOSS"]


def _value(y: Array, eta: Array) -> Array:
    return np.maximum(1.0 - signs(y) * eta, 0.0)


def _slope(y: Array, eta: Array) -> Array:
    sign = signs(y)
    return np.where(sign * eta < 1.0, -sign, 0.0)


def _curvature(y: Array, eta: Array) -> Array:
    return np.zeros(np.shape(eta))


def _mean(eta: Array) -> Array:
    return eta


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


def _conjugate(y: Array, u: Array) -> Array:
    inward = signs(y) * u
    return np.where((inward >= -1.0) & (inward <= 0.0), inward, np.inf)


def _null_eta(mean: float | Array) -> float:
    """The larger class's sign, 0 for equal ones."""
    return float(np.sign(2.0 * float(mean) - 1.0))


def _null_loss(mean: float | Array) -> float:
    """The smaller class is short by 2, the larger by nothing."""
    return 2.0 * min(float(mean), 1.0 - float(mean))


LOSS = Loss(
    name="hinge",
    code=5,
    target="binary",
    value=_value,
    slope=_slope,
    curvature=_curvature,
    mean=_mean,
    saturated=_saturated,
    conjugate=_conjugate,
    null_eta=_null_eta,
    null_loss=_null_loss,
    smooth=False,
)
