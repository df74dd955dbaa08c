"""Compiled work on the symmetric matrices of one column's quadratic model.

A step is a few operations on a matrix of some hundreds of features, for hundreds of columns. In
NumPy half of that is calls that hold Python's lock; these let threads run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_low_rank", "block_between", "product_between", "profiled", "with_unit_diagonal"]


@njit(cache=True, nogil=True)
def block_between(left, right, share, chosen):
    """Rows and columns `chosen` (k,) of ``(1 - share) left + share right``, (k, k)."""
    k = chosen.shape[0]
    out, keep = np.empty((k, k)), 1.0 - share
    for i in range(k):
        a, b = left[chosen[i]], right[chosen[i]]
        for j in range(k):
            out[i, j] = keep * a[chosen[j]] + share * b[chosen[j]]
    return out


@njit(cache=True, nogil=True)
def product_between(left, right, share, move):
    """``((1 - share) left + share right) move`` for symmetric (p, p) matrices."""
    out, keep = np.zeros(move.shape[0]), 1.0 - share
    for i in range(move.shape[0]):
        if move[i] != 0.0:
            a, b, first, second = left[i], right[i], keep * move[i], share * move[i]
            for j in range(out.shape[0]):
                out[j] += first * a[j] + second * b[j]
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
