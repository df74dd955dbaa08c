"""Squared hinge loss ``max(0, 1 - s eta)^2 / 2`` of a class code y, with the sign s = 2 y - 1."""

from __future__ import annotations

import numpy as np

from distreg.losses.base import Array, Loss, signs

__all__ = ["LOSS"]


def _short(y: Array, eta: Array) -> Array:
    """How much the margin is short of 1."""
    return np.maximum(1.0 - signs(y) * eta, 0.0)


@np.errstate(over="ignore")
def _value(y: Array, eta: Array) -> Array:
    return 0.5 * np.square(_short(y, eta))


def _slope(y: Array, eta: Array) -> Array:
    return -signs(y) * _short(y, eta)


def _curvature(y: Array, eta: Array) -> Array:
    return (_short(y, eta) > 0.0).astype(np.float64)


def _mean(eta: Array) -> Array:
    return eta


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


@np.errstate(over="ignore")
def _conjugate(y: Array, u: Array) -> Array:
    short = -signs(y) * u
    return np.where(short >= 0.0, short * (0.5 * short - 1.0), np.inf)


def _null_eta(mean: float | Array) -> float:
    return 2.0 * float(mean) - 1.0


def _null_loss(mean: float | Array) -> float:
    """Class 1, a share p, is short by 2 (1 - p), class 0 by 2 p."""
    return 2.0 * float(mean) * (1.0 - float(mean))


LOSS = Loss(
    name="squared_hinge",
    code=4,
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
