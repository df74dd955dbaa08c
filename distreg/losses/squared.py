"""Squared loss ``(y - eta)^2 / 2``."""

from __future__ import annotations

import numpy as np

from distreg.losses.base import Array, Loss

__all__ = ["LOSS"]


@np.errstate(over="ignore")
def _value(y: Array, eta: Array) -> Array:
    return 0.5 * np.square(y - eta)


@np.errstate(over="ignore")
def _slope(y: Array, eta: Array) -> Array:
    return eta - y


def _curvature(y: Array, eta: Array) -> Array:
    return np.ones(np.shape(eta))


def _mean(eta: Array) -> Array:
    return eta


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


@np.errstate(over="ignore")
def _conjugate(y: Array, u: Array) -> Array:
    return u * (0.5 * u + y)


def _null_eta(mean: float | Array) -> float:
    return float(mean)


def _null_loss(mean: float | Array) -> None:
    """Half the variance: the mean does not determine it."""


LOSS = Loss(
    name="squared",
    code=0,
    target="real",
    value=_value,
    slope=_slope,
    curvature=_curvature,
    mean=_mean,
    saturated=_saturated,
    conjugate=_conjugate,
    null_eta=_null_eta,
    null_loss=_null_loss,
)
