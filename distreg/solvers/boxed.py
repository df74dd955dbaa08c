"""Coordinate descent on a Gram matrix inside a box, with an exact polish.

Solves, with ``lower <= 0 <= upper``,

    min_b  b'Cb/2 - q'b + sum_j (lasso_j |b_j| + ridge_j b_j^2 / 2)   so that  lower <= b <= upper.

In one coordinate the minimum of a convex function over an interval is the free minimum, clipped.
When sweeps converge slowly, the optimum of the current pattern (signs, and coefficients at 0 or at
a bound, which stay there) is computed by Cholesky, walking to the first coefficient that leaves its
face where there is one. A fresh gradient and the KKT conditions of all features end the descent.
Compiled apart from `descent`, which has nothing to clip.

References
----------
Friedman, Hastie, Tibshirani: Regularization paths for generalized linear models via coordinate
descent, J. Stat. Softw. 33(1), 2010. Tseng: Convergence of a block coordinate descent method for
nondifferentiable minimization, J. Optim. Theory Appl. 109, 2001.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from distreg.solvers.polish import constrained_step, residual, triangular_solves

__all__ = ["descend_boxed"]

EPS = float(np.finfo(np.float64).eps)
SWEEPS = 10
MAX_ROUNDS = 500
DAMPING = 1e-10
MAX_STOPS = 64
REFINEMENTS = 2


@njit(cache=True, nogil=True)
def _gradient(gram, xty, coef, grad):
    """``grad = xty - gram coef``, afresh."""
    for j in range(xty.shape[0]):
        grad[j] = xty[j]
    for k in range(xty.shape[0]):
        value = coef[k]
        if value != 0.0:
            for j in range(xty.shape[0]):
                grad[j] -= value * gram[k, j]


@njit(cache=True, nogil=True)
def _sweep(gram, grad, coef, lasso, ridge, lower, upper):
    """One pass over all features; returns the largest change of a coefficient."""
    largest = 0.0
    for k in range(coef.shape[0]):
        diagonal, old = gram[k, k], coef[k]
        if diagonal == 0.0:
            continue
        z = grad[k] + diagonal * old
        if z > lasso[k]:
            new = min((z - lasso[k]) / (diagonal + ridge[k]), upper[k])
        elif z < -lasso[k]:
            new = max((z + lasso[k]) / (diagonal + ridge[k]), lower[k])
        else:
            new = 0.0
        delta = new - old
        if delta != 0.0:
            coef[k] = new
            largest = max(largest, abs(delta))
            row = gram[k]
            for j in range(coef.shape[0]):
                grad[j] -= delta * row[j]
    return largest


@njit(cache=True, nogil=True)
def _violation(gram, grad, coef, lasso, ridge, lower, upper):
    """Largest distance of a gradient entry from the subdifferential in the box."""
    worst = 0.0
    for k in range(coef.shape[0]):
        if gram[k, k] == 0.0:
            continue
        value = coef[k]
        low = ridge[k] * value + (lasso[k] if value > 0.0 else -lasso[k])
        high = ridge[k] * value + (-lasso[k] if value < 0.0 else lasso[k])
        if value > lower[k]:
            worst = max(worst, low - grad[k])
        if value < upper[k]:
            worst = max(worst, grad[k] - high)
    return worst


@njit(cache=True, nogil=True)
def _face(gram, coef, lasso, lower, upper, support, low, high, signs):
    """Coefficients that may move without a change of the pattern, and how far; their number."""
    size = 0
    for k in range(coef.shape[0]):
        value = coef[k]
        inside = gram[k, k] != 0.0 and lower[k] < value < upper[k]
        if not inside or (value == 0.0 and lasso[k] > 0.0):
            continue
        support[size] = k
        low[size], high[size] = lower[k], upper[k]
        signs[size] = 0.0
        if lasso[k] > 0.0:
            signs[size] = np.sign(value)
            if value > 0.0:
                low[size] = 0.0
            else:
                high[size] = 0.0
        size += 1
    return size


@njit(cache=True, nogil=True)
def _walk(matrix, factor, rhs, now, low, high):
    """Walk from `now` to the minimum on its face; what reaches an end stays there.

    Every stop costs two triangular solves; the factor stays.
    """
    size = rhs.shape[0]
    step = np.empty(size)
    inverse = np.empty((MAX_STOPS, size))
    stopped = np.empty(MAX_STOPS, dtype=np.int64)
    still = np.zeros(size, dtype=np.bool_)
    n_stopped, full_steps = 0, 0
    while full_steps < REFINEMENTS:
        residual(matrix, rhs, now, step)
        constrained_step(factor, step, inverse, stopped, n_stopped)
        t, first, end = 1.0, -1, 0.0
        for i in range(size):
            if still[i]:
                continue
            aim = now[i] + step[i]
            limit = high[i] if step[i] > 0.0 else low[i]
            if (step[i] > 0.0 and aim >= limit) or (step[i] < 0.0 and aim <= limit):
                share = (limit - now[i]) / step[i]
                if share < t or first < 0:
                    t, first, end = share, i, limit
        for i in range(size):
            if not still[i]:
                now[i] = min(max(now[i] + t * step[i], low[i]), high[i])
        if first < 0:
            full_steps += 1
            continue
        now[first] = end
        full_steps = 0
        if n_stopped == MAX_STOPS:
            return
        stopped[n_stopped], still[first] = first, True
        for i in range(size):
            inverse[n_stopped, i] = 0.0
        inverse[n_stopped, first] = 1.0
        triangular_solves(factor, inverse[n_stopped])
        n_stopped += 1


@njit(cache=True, nogil=True)
def _polish(gram, grad, coef, lasso, ridge, lower, upper):
    """Move to the minimum over the face of the current pattern; `grad` must be fresh."""
    p = coef.shape[0]
    support, ends, signs = np.empty(p, dtype=np.int64), np.empty((2, p)), np.empty(p)
    size = _face(gram, coef, lasso, lower, upper, support, ends[0], ends[1], signs)
    if size == 0:
        return
    matrix, now, rhs = np.empty((size, size)), np.empty(size), np.empty(size)
    for i in range(size):
        k = support[i]
        now[i] = coef[k]
        for j in range(size):
            matrix[i, j] = gram[k, support[j]]
        # dependent features become solvable; refinement removes the effect elsewhere
        matrix[i, i] += ridge[k] + DAMPING
    factor = np.linalg.cholesky(matrix)
    for i in range(size):
        k = support[i]
        matrix[i, i] -= DAMPING
        # the residual, and what is on the face already; `matrix` holds the ridge, `grad` does not
        rhs[i] = grad[k] - lasso[k] * signs[i]
        for j in range(size):
            rhs[i] += gram[k, support[j]] * now[j]
    _walk(matrix, factor, rhs, now, ends[0, :size], ends[1, :size])
    for i in range(size):
        coef[support[i]] = now[i]


@njit(cache=True, nogil=True)
def descend_boxed(gram, xty, lasso, ridge, lower, upper, coef, slack=0.0):
    """Minimise from where `coef` (p,) stands, in place; returns the number of sweeps.

    Parameters
    ----------
    gram : (p, p) array
        C-ordered, symmetric; unit diagonal, or 0 for a feature that is not fitted.
    xty, lasso, ridge : (p,) arrays
    lower, upper : (p,) arrays
        Bounds, not above and not below 0; they may be infinite.
    coef : (p,) array
        Written to.
    slack : float
        Violation of the KKT conditions that may be left; rounding is allowed in any case.
    """
    p = xty.shape[0]
    slack = max(slack, 1e-13 * np.max(np.abs(xty))) if p else slack
    grad = np.empty(p)
    epochs = 0
    for k in range(p):
        coef[k] = 0.0 if gram[k, k] == 0.0 else min(max(coef[k], lower[k]), upper[k])
    _gradient(gram, xty, coef, grad)
    for _ in range(MAX_ROUNDS):
        settled = False
        for _ in range(SWEEPS):
            epochs += 1
            if _sweep(gram, grad, coef, lasso, ridge, lower, upper) <= slack:
                settled = True
                break
        _gradient(gram, xty, coef, grad)
        if not settled:
            _polish(gram, grad, coef, lasso, ridge, lower, upper)
            _gradient(gram, xty, coef, grad)
        # rounding error of a gradient whose Gram entries are at most 1
        enough = max(slack, 4.0 * EPS * np.sum(np.abs(coef)))
        if _violation(gram, grad, coef, lasso, ridge, lower, upper) <= enough:
            break
    return epochs
