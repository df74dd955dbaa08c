"""Coordinate descent on a Gram matrix, with a strong set, cache blocking and an exact polish.

Solves, for descending alphas with warm starts,

    min_b  b'Cb/2 - q'b + sum_j (lasso_j |b_j| + ridge_j b_j^2 / 2).

The features that ever passed the sequential strong rule are *members*; their Gram matrix is
packed in order of entry. Sweeps work on members, 32 coordinates at a time on a local gradient,
followed by one deferred update of the others (a rank-32 product). When the signs settle, the
optimum of that sign pattern is computed exactly by Cholesky, walking to the first sign change
where there is one. The KKT conditions of all features, by a fresh gradient, end an alpha.

References
----------
Friedman, Hastie, Tibshirani: Regularization paths for generalized linear models via coordinate
descent, J. Stat. Softw. 33(1), 2010 (covariance updates). Tibshirani et al.: Strong rules for
discarding predictors, JRSS-B 74(2), 2012.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from distreg.solvers.polish import polish

__all__ = ["descend_from", "descend_path"]

EPS = float(np.finfo(np.float64).eps)
BLOCK = 32
MIN_SWEEPS = 3
"""Sweeps before a polish."""

FAR_SWEEPS = 100
"""The same from a start that is far: a polish that meets many sign changes costs hundreds."""

POLISH_COST = 20.0
MAX_ROUNDS = 200


@njit(cache=True, nogil=True)
def _sweep(packed, grad, coef, lasso, ridge, n):
    """One pass over the members; returns the largest change of a coefficient."""
    largest = 0.0
    step = np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        moved = False
        for k in range(start, stop):
            old, diagonal = coef[k], packed[k, k]
            z = grad[k] + diagonal * old
            if z > lasso[k]:
                new = (z - lasso[k]) / (diagonal + ridge[k])
            elif z < -lasso[k]:
                new = (z + lasso[k]) / (diagonal + ridge[k])
            else:
                new = 0.0
            delta = new - old
            step[k - start] = delta
            if delta != 0.0:
                moved = True
                coef[k] = new
                largest = max(largest, abs(delta))
                for m in range(start, stop):
                    grad[m] -= delta * packed[k, m]
        if moved:
            _deferred(packed, grad, step, start, stop, 0, start)
            _deferred(packed, grad, step, start, stop, stop, n)
    return largest


@njit(cache=True, nogil=True, fastmath={"contract"})
def _deferred(packed, grad, step, start, stop, low, high):
    """``grad[low:high] -= packed[start:stop, low:high]' step``, four rows at a time."""
    if low >= high:
        return
    k = start
    while k < stop:
        a = step[k - start]
        b = step[k + 1 - start] if k + 1 < stop else 0.0
        c = step[k + 2 - start] if k + 2 < stop else 0.0
        d = step[k + 3 - start] if k + 3 < stop else 0.0
        if a != 0.0 or b != 0.0 or c != 0.0 or d != 0.0:
            row_a, row_b = packed[k], packed[min(k + 1, stop - 1)]
            row_c, row_d = packed[min(k + 2, stop - 1)], packed[min(k + 3, stop - 1)]
            for m in range(low, high):
                grad[m] -= a * row_a[m] + b * row_b[m] + c * row_c[m] + d * row_d[m]
        k += 4


@njit(cache=True, nogil=True)
def _member_gradient(packed, target, coef, grad, n):
    """``grad = target - packed coef`` over the members, afresh."""
    for m in range(n):
        grad[m] = target[m]
    for k in range(n):
        value = coef[k]
        if value != 0.0:
            for m in range(n):
                grad[m] -= value * packed[k, m]


@njit(cache=True, nogil=True)
def _sweeps(packed, grad, coef, lasso, ridge, n, slack, fewest):
    """Sweep until settled, or until a polish promises to be cheaper.

    The rate of the last two sweeps predicts how many more would be needed. A polish of m non-zero
    members costs about as much as ``m^2 / (20 n)`` sweeps (measured, m from 50 to 1,000).

    Returns the number of sweeps and whether they settled.
    """
    before, epochs = np.inf, 0
    while True:
        change = _sweep(packed, grad, coef, lasso, ridge, n)
        epochs += 1
        if change <= slack:
            return epochs, True
        if epochs >= fewest:
            size = 0
            for k in range(n):
                size += coef[k] != 0.0
            price = 2.0 + size * size / (POLISH_COST * n)
            rate = change / before
            if epochs >= fewest + price or rate >= 1.0:
                return epochs, False
            if np.log(slack / change) / np.log(rate) > price:
                return epochs, False
        before = change


@njit(cache=True, nogil=True)
def _solve_members(
    packed, target, coef, grad, lasso, ridge, n, slack, work, vectors, support, fewest
):
    """Optimum over the members, up to `slack`, after at least `fewest` sweeps or settling."""
    total = 0
    for _ in range(MAX_ROUNDS):
        epochs, settled = _sweeps(packed, grad, coef, lasso, ridge, n, slack, fewest)
        total += epochs
        if settled:
            break
        held = polish(packed, target, coef, lasso, ridge, n, work, vectors, support, slack)
        _member_gradient(packed, target, coef, grad, n)
        if held:
            worst, size = 0.0, 0.0
            for k in range(n):
                size += abs(coef[k])
                if coef[k] == 0.0:
                    excess = abs(grad[k]) - lasso[k]
                else:
                    excess = abs(grad[k] - ridge[k] * coef[k] - lasso[k] * np.sign(coef[k]))
                worst = max(worst, excess)
            # rounding error of a gradient whose Gram entries are at most 1
            if worst <= max(slack, 4.0 * EPS * size):
                break
    return total


@njit(cache=True, nogil=True)
def _admit(gram, xty, grad, bound, l1, place, members, packed, target, coef, n):
    """Make members of the features with a gradient above the bound; returns their number."""
    for j in range(grad.shape[0]):
        if place[j] < 0 and gram[j, j] != 0.0 and abs(grad[j]) > bound[0] * l1[j] + bound[1]:
            for m in range(n):
                packed[n, m] = gram[j, members[m]]
                packed[m, n] = packed[n, m]
            packed[n, n] = gram[j, j]
            place[j], members[n], target[n], coef[n] = n, j, xty[j], 0.0
            n += 1
    return n


@njit(cache=True, nogil=True)
def _full_gradient(gram, xty, members, coef, n, grad):
    """``grad = xty - gram b`` over all features, afresh."""
    for j in range(grad.shape[0]):
        grad[j] = xty[j]
    for k in range(n):
        value = coef[k]
        if value != 0.0:
            row = gram[members[k]]
            for j in range(grad.shape[0]):
                grad[j] -= value * row[j]


@njit(cache=True, nogil=True)
def descend_path(gram, xty, l1, l2, alphas, l1_ratio, coef, epochs):
    """Fill `coef` (A, p) and `epochs` (A,) for descending `alphas`.

    Parameters
    ----------
    gram : (p, p) array
        C-ordered, symmetric; unit diagonal, or 0 for a constant feature.
    xty : (p,) array
    l1, l2 : (p,) arrays
        Weights of the penalty; ``lasso_j = alpha l1_ratio l1_j``,
        ``ridge_j = alpha (1 - l1_ratio) l2_j``.
    alphas : (A,) array
    l1_ratio : float
    coef, epochs : arrays
        Written to.
    """
    p = xty.shape[0]
    slack = 1e-13 * np.max(np.abs(xty)) if p else 0.0
    grad = xty.copy()
    place = np.full(p, -1, dtype=np.int64)
    members, support = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    packed, work = np.empty((p, p)), np.empty(p * p)
    target, b, g, vectors = np.empty(p), np.zeros(p), np.empty(p), np.empty((4, p))
    lasso, ridge = np.empty(p), np.empty(p)
    n = 0
    for step in range(alphas.shape[0]):
        strength = alphas[step] * l1_ratio
        previous = alphas[max(step - 1, 0)] * l1_ratio
        # the sequential strong rule first, then whatever still violates the KKT conditions
        bound = (min(2.0 * strength - previous, strength), 0.0)
        epochs[step] = 0
        for _ in range(MAX_ROUNDS):
            known = n
            n = _admit(gram, xty, grad, bound, l1, place, members, packed, target, b, n)
            bound = (strength, slack)
            if n == known and epochs[step] > 0:
                break
            for k in range(n):
                j = members[k]
                lasso[k], ridge[k] = strength * l1[j], alphas[step] * (1.0 - l1_ratio) * l2[j]
                g[k] = grad[j]
            epochs[step] += _solve_members(
                packed, target, b, g, lasso, ridge, n, slack, work, vectors, support, MIN_SWEEPS
            )
            _full_gradient(gram, xty, members, b, n, grad)
        for k in range(n):
            coef[step, members[k]] = b[k]


@njit(cache=True, nogil=True)
def descend_from(gram, xty, lasso, ridge, coef, slack):
    """Minimise one problem from where `coef` (p,) stands, in place.

    Parameters
    ----------
    gram : (p, p) array
        C-ordered, symmetric; unit diagonal, or 0 for a feature that is not fitted.
    xty, lasso, ridge : (p,) arrays
    coef : (p,) array
        Written to.
    slack : float
        Violation of the KKT conditions that may be left; rounding is allowed in any case.
    """
    p = xty.shape[0]
    slack = max(slack, 1e-13 * np.max(np.abs(xty))) if p else slack
    place = np.full(p, -1, dtype=np.int64)
    members, support = np.empty(p, dtype=np.int64), np.empty(p, dtype=np.int64)
    packed, work = np.empty((p, p)), np.empty(p * p)
    target, b, g, vectors = np.empty(p), np.zeros(p), np.empty(p), np.empty((4, p))
    l1, l2, grad = np.empty(p), np.empty(p), np.empty(p)
    n = 0
    for j in range(p):
        if coef[j] != 0.0 and gram[j, j] != 0.0:
            for m in range(n):
                packed[n, m] = gram[j, members[m]]
                packed[m, n] = packed[n, m]
            packed[n, n] = gram[j, j]
            place[j], members[n], target[n], b[n] = n, j, xty[j], coef[j]
            n += 1
    _full_gradient(gram, xty, members, b, n, grad)
    for round_ in range(MAX_ROUNDS):
        known = n
        n = _admit(gram, xty, grad, (1.0, slack), lasso, place, members, packed, target, b, n)
        if n == known and round_ > 0:
            break
        for k in range(n):
            j = members[k]
            l1[k], l2[k], g[k] = lasso[j], ridge[j], grad[j]
        _solve_members(packed, target, b, g, l1, l2, n, slack, work, vectors, support, FAR_SWEEPS)
        _full_gradient(gram, xty, members, b, n, grad)
    coef[:] = 0.0
    for k in range(n):
        coef[members[k]] = b[k]
