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
from distreg.losses import Loss

__all__ = ["prox", "prox_classes", "prox_one", "prox_row"]

MOST_STEPS = 200
"""Of Newton's method; a handful to some thirty are needed."""

SETTLED = 4.0 * float(np.finfo(np.float64).eps)
"""Relative change at which an iteration has converged."""

TINY = -37.0
"""Below it ``W(e^c)`` is ``e^c`` to rounding."""


def prox(loss: Loss, y: np.ndarray, v: np.ndarray, step: np.ndarray | float) -> np.ndarray:
    """``argmin_z step f(y, z) + |z - v|^2 / 2`` of each row.

    Parameters
    ----------
    loss : Loss
    y : (n,) array
        Targets.
    v : (n,) array, (n, C) for C classes
    step : (n,) array or float
        Not negative.

    Returns
    -------
    array of the shape of `v`
    """
    at = np.array(v, dtype=np.float64, order="C")
    target = np.ascontiguousarray(y, dtype=np.float64)
    steps = np.ascontiguousarray(np.broadcast_to(np.asarray(step, dtype=np.float64), target.shape))
    if loss.target == "classes":
        _prox_all_classes(target, at, steps)
    else:
        _prox_all(loss.code, loss.parameter, target, at, steps)
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def prox_one(code, parameter, y, v, step):  # type: ignore[no-untyped-def]
    """The operator of one row and one predictor; not for C classes (`prox_classes`)."""
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
def prox_row(code, parameter, y, v, step, out):  # type: ignore[no-untyped-def]
    """`prox_one` of one row under n fits: v, step and `out`, which may be `v`, are (n,)."""
    for j in range(v.shape[0]):
        out[j] = prox_one(code, parameter, y, v[j], step[j])


@njit(cache=True, nogil=True, error_model="numpy")
def prox_classes(y, v, step, out):  # type: ignore[no-untyped-def]
    """The operator of the multinomial loss for one row: v and `out`, which may be `v`, are (C,).

    With ``a = v + step e_y`` the answer is ``z = a - step p`` with the probabilities p of z. Given
    ``t = log sum e^z`` they are ``step p_c = W(step e^(a_c - t))`` with Lambert's W. The t at which
    they add up to 1 is the root of a convex, falling function; we count it from the largest a, and
    start where that class alone would have the probability 1, which is on the root's left.
    """
    out[:] = v
    if step == 0.0:
        return
    out[y] += step
    top, log_step = out.max(), math.log(step)
    t = -step
    for _ in range(MOST_STEPS):
        excess, slope = -step, 0.0
        for c in range(out.shape[0]):
            w = _lambert(out[c] - top - t + log_step)
            excess += w
            slope += w / (1.0 + w)
        move = excess / slope
        t += move
        if not move > SETTLED * (1.0 + step):
            break
    for c in range(out.shape[0]):
        out[c] -= _lambert(out[c] - top - t + log_step)


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


@njit(cache=True, nogil=True, error_model="numpy")
def _prox_all(code, parameter, y, v, step):  # type: ignore[no-untyped-def]
    for i in range(v.shape[0]):
        v[i] = prox_one(code, parameter, y[i], v[i], step[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _prox_all_classes(y, v, step):  # type: ignore[no-untyped-def]
    for i in range(v.shape[0]):
        prox_classes(int(y[i]), v[i], step[i], v[i])
