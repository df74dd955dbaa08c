"""Compiled work on the symmetric matrices of one column's quadratic model.

A step is a few operations on a matrix of some hundreds of features, for hundreds of columns. In
NumPy half of that is calls that hold Python's lock; these let threads run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "add_low_rank",
    "block_between",
    "corrected",
    "product_of",
    "profiled",
    "with_unit_diagonal",
]

LEAST = 1e-3
"""Smallest ratio of two curvatures that is believed, or of their inverses."""

ROUNDING = 1e-9
"""Share of the curvature that is added to the diagonal: corrections cancel most of it."""


@njit(cache=True, nogil=True)
def block_between(grams, chosen):
    """Rows and columns `chosen` (k,) of ``(1 - share) left + share right``, (k, k).

    `grams` holds `left`, `right` and `share`.
    """
    left, right, share = grams
    k = chosen.shape[0]
    out, keep = np.empty((k, k)), 1.0 - share
    for i in range(k):
        a, b = left[chosen[i]], right[chosen[i]]
        for j in range(k):
            out[i, j] = keep * a[chosen[j]] + share * b[chosen[j]]
    return out


@njit(cache=True, nogil=True)
def product_of(grams, low, move):
    """``((1 - share) left + share right + low[0]' low[1]) move`` for symmetric (p, p) matrices."""
    left, right, share = grams
    out, keep = np.zeros(move.shape[0]), 1.0 - share
    for i in range(move.shape[0]):
        if move[i] != 0.0:
            a, b, first, second = left[i], right[i], keep * move[i], share * move[i]
            for j in range(out.shape[0]):
                out[j] += first * a[j] + second * b[j]
    for r in range(low.shape[1]):
        value = np.sum(low[1, r] * move)
        for j in range(out.shape[0]):
            out[j] += value * low[0, r, j]
    return out


@njit(cache=True, nogil=True)
def add_low_rank(matrix, left, right, chosen):
    """``matrix += left[:, chosen]' right[:, chosen]`` in place; left and right are (r, p)."""
    k = chosen.shape[0]
    row = np.empty(k)
    for r in range(left.shape[0]):
        for j in range(k):
            row[j] = right[r, chosen[j]]
        for i in range(k):
            value = left[r, chosen[i]]
            if value != 0.0:
                for j in range(k):
                    matrix[i, j] += value * row[j]
    if left.shape[0] > 0:
        for i in range(k):
            matrix[i, i] *= 1.0 + ROUNDING


@njit(cache=True, nogil=True)
def corrected(grams, diagonal, corner, cross, low, moves, changes):
    """Correct a curvature for what moves have shown (`glm.secant`), one after the other.

    Parameters
    ----------
    grams, low
        As of `product_of`.
    diagonal : (p,) array
        Without `low`.
    corner, cross : (C, C), (C, p) arrays
        Curvature of the intercepts, and of intercepts and coefficients.
    moves, changes : (k, C + p) arrays
        Of intercepts and coefficients, and what they change in the loss's gradient.

    Returns
    -------
    corner, cross, low
    """
    n_classes, p = cross.shape
    for k in range(moves.shape[0]):
        first, rest = moves[k, :n_classes], moves[k, n_classes:]
        foreseen = np.empty(n_classes + p)
        foreseen[n_classes:] = product_of(grams, low, rest)
        for c in range(n_classes):
            foreseen[c] = np.sum(corner[c] * first) + np.sum(cross[c] * rest)
            foreseen[n_classes:] += first[c] * cross[c]
        size, found = np.sum(foreseen * moves[k]), np.sum(changes[k] * moves[k])
        noise = ROUNDING * np.sum(diagonal * rest**2)
        if not (size > noise and LEAST * size < found < size / LEAST):
            continue
        both = np.empty((2, n_classes + p))
        both[0], both[1] = foreseen / np.sqrt(size), changes[k] / np.sqrt(found)
        corner, cross = corner.copy(), cross.copy()
        for c in range(n_classes):
            corner[c] += both[1, c] * both[1, :n_classes] - both[0, c] * both[0, :n_classes]
            cross[c] += both[1, c] * both[1, n_classes:] - both[0, c] * both[0, n_classes:]
        rank = low.shape[1]
        more = np.empty((2, rank + 2, p))
        more[:, :rank] = low
        more[0, rank:] = both[:, n_classes:]
        more[1, rank], more[1, rank + 1] = -both[0, n_classes:], both[1, n_classes:]
        low = more
    return corner, cross, low


@njit(cache=True, nogil=True)
def profiled(hessian, cross, follow, chosen, lost, damping, lift):
    """Take the intercepts' part from a (k, k) Hessian in place, then damp and lift it.

    Parameters
    ----------
    hessian : (k, k) array
    cross, follow : (C, p) arrays
        Curvature of intercepts and coefficients, and that over the intercepts' own; C may be 0.
    chosen : (k,) int array
    lost : float
        Share of the diagonal that is rounding when the part has been subtracted.
    damping, lift : float
        Times the whole; then added to the diagonal.
    """
    k = chosen.shape[0]
    diagonal = np.empty(k)
    for i in range(k):
        diagonal[i] = hessian[i, i]
    for c in range(cross.shape[0]):
        for i in range(k):
            value = cross[c, chosen[i]]
            for j in range(k):
                hessian[i, j] -= value * follow[c, chosen[j]]
    if cross.shape[0] > 0:
        for i in range(k):
            hessian[i, i] += lost * diagonal[i]
    if damping != 1.0:
        for i in range(k):
            for j in range(k):
                hessian[i, j] *= damping
            hessian[i, i] += lift


@njit(cache=True, nogil=True)
def with_unit_diagonal(matrix, inverse, usable):
    """Multiply by `inverse` (k,) on both sides in place; diagonal 1, or 0 if not `usable` (k,)."""
    for i in range(inverse.shape[0]):
        for j in range(inverse.shape[0]):
            matrix[i, j] *= inverse[i] * inverse[j]
        matrix[i, i] = 1.0 if usable[i] else 0.0
