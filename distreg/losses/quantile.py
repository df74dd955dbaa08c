"""Quantile (pinball) loss of ``e = y - eta``: ``q e`` above 0, ``(q - 1) e`` below.

Its parameter q, between 0 and 1, is the quantile. At the kink, where eta is y, the slope is 0.
"""

from __future__ import annotations

import numpy as np

from distreg.losses.base import Array, Bound, Loss, nothing_known

__all__ = ["LOSS", "make"]


@np.errstate(over="ignore")
def _value(y: Array, eta: Array, q: float) -> Array:
    e = y - eta
    return np.maximum(q * e, (q - 1.0) * e)


def _slope(y: Array, eta: Array, q: float) -> Array:
    return np.where(eta < y, -q, np.where(eta > y, 1.0 - q, 0.0))


def _curvature(y: Array, eta: Array) -> Array:
    return np.zeros(np.shape(eta))


def _mean(eta: Array) -> Array:
    return eta


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


@np.errstate(over="ignore")
def _conjugate(y: Array, u: Array, q: float) -> Array:
    return np.where((u >= -q) & (u <= 1.0 - q), u * y, np.inf)


def make(q: float) -> Loss:
    """The loss of this quantile."""
    return Loss(
        name="quantile",
        code=7,
        target="real",
        value=Bound(_value, q),
        slope=Bound(_slope, q),
        curvature=_curvature,
        mean=_mean,
        saturated=_saturated,
        conjugate=Bound(_conjugate, q),
        null_eta=None,
        null_loss=nothing_known,
        smooth=False,
        parameter=q,
        parameter_name="quantile",
    )


LOSS = make(0.5)
