"""Proximal operators of the losses: ``argmin_z step f(y, z) + (z - v)^2 / 2``.

The step is 1 / rho of the usual augmented Lagrangian, times the weight of the row; with a step of 0
(a row that does not count) v itself is the answer. All are exact to rounding for any v and step of
sensible size: those of piecewise quadratic losses are formulas, the others solve one monotone
equation by Newton's method from a side where it cannot overshoot.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from distreg.kernels.losses import (
    HINGE,
    HUBER,
    LOGISTIC,
    POISSON,
    QUANTILE,
    SQUARED,
    SQUARED_HINGE,
)

__all__ = ["prox_one"]

MOST_STEPS = 200
"""Of Newton's method; a handful to some thirty are needed."""

SETTLED = 4.0 * float(np.finfo(np.float64).eps)
"""Relative change at which an iteration has converged."""

TINY = -37.0
"""Below it ``W(e^c)`` is ``e^c`` to rounding."""


@njit(cache=True, nogil=True, error_model="numpy")
def prox_one(code, parameter, y, v, step):  # type: ignore[no-untyped-def]
    """``argmin_z step f(y, z) + (z - v)^2 / 2`` of one row and one predictor.

    Parameters
    ----------
    code, parameter : int, float
        Of the loss, which is not that of several classes.
    y, v : float
    step : float
        Not negative.
    """
    if step == 0.0:
        return v
    if code == SQUARED:
        return (v + step * y) / (1.0 + step)
    if code == HUBER:
        inside = abs(v - y) <= parameter * (1.0 + step)
        if inside:
            return (v + step * y) / (1.0 + step)
        return v - math.copysign(step * parameter, v - y)
    if code == QUANTILE:
        return max(min(y, v + step * parameter), v - step * (1.0 - parameter))
    if code == POISSON:
        return _poisson(y, v, step)
    sign = 2.0 * y - 1.0
    margin = sign * v
    if code == HINGE:
        return sign * max(margin, min(1.0, margin + step))
    if code == SQUARED_HINGE:
        return v if margin >= 1.0 else sign * (margin + step) / (1.0 + step)
    if code == LOGISTIC:
        return sign * _logistic(margin, step)
    raise ValueError("no loss of one predictor has this code")


@njit(cache=True, nogil=True, error_model="numpy")
def _logistic(v, step):  # type: ignore[no-untyped-def]
    """Root m of ``m - v - step / (1 + e^m)``, between v and v + step.

    Concave above 0 and convex below it, so Newton's method is monotone from 0, or from the end of
    that interval on the way to the root (started at v on the other side of 0 it may cycle).
    """
    upward = v + 0.5 * step > 0.0
    m = max(0.0, v) if upward else min(0.0, v + step)
    for _ in range(MOST_STEPS):
        e = math.exp(-abs(m))
        miss = e / (1.0 + e) if m > 0.0 else 1.0 / (1.0 + e)
        move = (v - m + step * miss) / (1.0 + step * (e / (1.0 + e)) / (1.0 + e))
        m += move
        if not (move if upward else -move) > SETTLED * abs(m):
            break
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def _poisson(y, v, step):  # type: ignore[no-untyped-def]
    """Root z of ``z - v + step (e^z - y)``: with ``a = v + step y`` it is ``a - W(step e^a)``."""
    a, log_step = v + step * y, math.log(step)
    w = _lambert(a + log_step)
    # the same number, where the difference would cancel
    return a - w if w < 1.0 else math.log(w) - log_step


@njit(cache=True, nogil=True, error_model="numpy")
def _lambert(c):  # type: ignore[no-untyped-def]
    """Lambert's ``W(e^c)``: the root w of ``w + log(w) - c``, concave, from its left."""
    if c < TINY:
        return math.exp(c)
    power = math.exp(min(c, 1.0))
    w = c - math.log(c) if c > 1.0 else power / (1.0 + power)
    for _ in range(MOST_STEPS):
        before = w
        w *= (1.0 + c - math.log(w)) / (1.0 + w)
        if not w - before > SETTLED * w:
            break
    return w
