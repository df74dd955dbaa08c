"""Rows of the alternating direction method: proximal steps of many columns, and their duals.

A row keeps ``t`` for each column: with ``z = prox(t)`` the scaled dual is ``u = t - z``, and ``rho
u`` is the weight of the row times a slope of the loss at z. A row that does not train a column has
the step 0: z is t.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from distreg.kernels.losses import QUANTILE, fill
from distreg.kernels.prox import prox_one

__all__ = ["RELAXATION", "advance", "begin", "duals"]

RELAXATION = 1.7
"""How far beyond the new predictor the next step looks; 1.5 to 1.8 is usual."""


@njit(cache=True, nogil=True, error_model="numpy")
def begin(code, parameter, e, y, weight, rho, t):
    """Write the t at which z is the predictor `e` and the dual the slope there (0 at a kink)."""
    n_columns = e.shape[1]
    loss, chi2 = np.empty(n_columns), np.empty(n_columns)
    slope, curvature = np.empty(n_columns), np.empty(n_columns)
    work = np.empty((4, n_columns))
    for i in range(e.shape[0]):
        fill(code, parameter, 1, e[i], y[i], loss, chi2, slope, curvature, work)
        for j in range(n_columns):
            t[i, j] = e[i, j] + weight[i, j] * slope[j] / rho[j]


@njit(cache=True, nogil=True, error_model="numpy")
def advance(code, parameter, e, t, y, weight, inside, before, rho, sums):
    """One step of all rows: `t` moves on, and `e` becomes ``z - u``.

    Parameters
    ----------
    code, parameter : int, float
        Of the loss.
    e, t : (n, R) arrays
        Linear predictors, and the states.
    y : (n,) array
    weight : (n, R) array
        Weights of the rows in the columns; 0 for rows that do not train one.
    inside : (n,) bool array
        Rows of no training set are left out.
    before, rho : (R,) arrays
        Penalties of the last step, and of this one.
    sums : (5, R) array
        Squares of ``e - z``, of the change of z, of u, and z and its squares are added.
    """
    for i in range(e.shape[0]):
        for j in range(e.shape[1]):
            if not inside[i]:
                e[i, j] = 0.0
                continue
            s = weight[i, j]
            old = prox_one(code, parameter, y[i], t[i, j], s / before[j])
            u = (t[i, j] - old) * before[j] / rho[j]
            new = RELAXATION * e[i, j] + (1.0 - RELAXATION) * old + u
            z = prox_one(code, parameter, y[i], new, s / rho[j])
            u = new - z
            sums[0, j] += (e[i, j] - z) ** 2
            sums[1, j] += (z - old) ** 2
            sums[2, j] += u * u
            sums[3, j] += z
            sums[4, j] += z * z
            t[i, j] = new
            e[i, j] = z - u


@njit(cache=True, nogil=True, error_model="numpy")
def duals(code, parameter, t, y, weight, inside, rho, positive, negative, apart):
    """Split ``weight * slope`` of each row by its sign; say how far z is from the kink."""
    for i in range(t.shape[0]):
        kink = y[i] if code == QUANTILE else 2.0 * y[i] - 1.0
        for j in range(t.shape[1]):
            positive[i, j] = negative[i, j] = 0.0
            apart[i, j] = math.inf
            if not inside[i] or weight[i, j] == 0.0:
                continue
            z = prox_one(code, parameter, y[i], t[i, j], weight[i, j] / rho[j])
            slope = rho[j] * (t[i, j] - z) / weight[i, j]
            if code == QUANTILE:
                slope = min(max(slope, -parameter), 1.0 - parameter)
            elif kink > 0.0:
                slope = min(max(slope, -1.0), 0.0)
            else:
                slope = min(max(slope, 0.0), 1.0)
            apart[i, j] = abs(z - kink)
            if slope > 0.0:
                positive[i, j] = weight[i, j] * slope
            else:
                negative[i, j] = weight[i, j] * slope
