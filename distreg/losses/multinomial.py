"""Multinomial loss ``-log softmax(eta)_y`` of a class code y; eta has a column for each class.

Symmetric: the same number added to all columns changes nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from distreg.losses.base import Array, Loss, clipped_share

__all__ = ["LOSS"]

SUM_TOLERANCE = 1e-9
"""Largest sum of a dual point in the domain of the conjugate, which asks for 0: rounding."""


@np.errstate(over="ignore")
def _value(y: Array, eta: Array) -> Array:
    rows, code = np.arange(len(eta)), _codes(y)
    top = eta.argmax(axis=1)
    others = np.exp(eta - eta[rows, top, None])
    others[rows, top] = 0.0
    return np.asarray(eta[rows, top] - eta[rows, code] + np.log1p(others.sum(axis=1)))


def _slope(y: Array, eta: Array) -> Array:
    rows, code = np.arange(len(eta)), _codes(y)
    slope = _mean(eta)
    slope[rows, code] = 0.0
    # the probability that is left, without the cancellation of q_y - 1
    slope[rows, code] = -slope.sum(axis=1)
    return slope


def _curvature(y: Array, eta: Array) -> Array:
    share = _mean(eta)
    curvature = -share[:, :, None] * share[:, None, :]
    diagonal = np.arange(eta.shape[1])
    curvature[:, diagonal, diagonal] = 0.0
    # the rows of the matrix sum to 0
    curvature[:, diagonal, diagonal] = -curvature.sum(axis=2)
    return curvature


@np.errstate(over="ignore")
def _mean(eta: Array) -> Array:
    share = np.exp(eta - np.max(eta, axis=-1, keepdims=True))
    return np.asarray(share / share.sum(axis=-1, keepdims=True))


def _saturated(y: Array) -> Array:
    return np.zeros(np.shape(y))


def _conjugate(y: Array, u: Array) -> Array:
    """Minus the entropy of the probabilities ``[y = c] + u_c``."""
    share = u + (np.arange(u.shape[1]) == _codes(y)[:, None])
    inside = np.abs(u.sum(axis=1)) <= SUM_TOLERANCE
    return np.where(inside, -entr(share).sum(axis=1), np.inf)


def _codes(y: Array) -> Array:
    return np.asarray(y).astype(np.intp)


def _null_eta(mean: float | Array) -> Array:
    eta = np.log(clipped_share(mean))
    return np.asarray(eta - eta.mean())


def _null_loss(mean: float | Array) -> float:
    return float(entr(mean).sum())


LOSS = Loss(
    name="multinomial",
    code=2,
    target="classes",
    value=_value,
    slope=_slope,
    curvature=_curvature,
    mean=_mean,
    saturated=_saturated,
    conjugate=_conjugate,
    null_eta=_null_eta,
    null_loss=_null_loss,
)
