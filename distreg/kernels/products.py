"""Compiled change of a Gram matrix to the scaled features of a training set.

Free of Python's lock, so that threads run side by side; writes into place without a copy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_edges", "add_scaled"]


@njit(cache=True, nogil=True)
def add_edges(sums, fill, indicator, shift, inverse, factor, corner, cross):
    """Add `factor` times the sums of 1 and z over some rows.

    With u a feature about a centre (0 where missing) and m its indicator,
    ``z = inverse (u + fill m + shift)``.

    Parameters
    ----------
    sums : (w + m + 1,) array
        Of ``[u, m, 1]``.
    fill, shift, inverse : (w,) arrays
    indicator : (w,) int array
        Row of the indicator of each feature, or -1.
    factor : float
    corner : (1,) array
        Added to.
    cross : (w,) array
        Added to.
    """
    total = sums[sums.shape[0] - 1]
    corner[0] += factor * total
    for a in range(shift.shape[0]):
        level = sums[a] + total * shift[a]
        if indicator[a] >= 0:
            level += fill[a] * sums[indicator[a]]
        cross[a] += factor * inverse[a] * level


@njit(cache=True, nogil=True)
def add_scaled(gram, fill, indicator, shift, inverse, factor, out):
    """Add `factor` times the sum of zz' over some rows to `out` (w, w).

    `gram` (w + m + 1, w + m + 1) holds products of ``[u, m, 1]``; the other parameters are those of
    `add_edges`.
    """
    width, last = shift.shape[0], gram.shape[0] - 1
    total, line, sums = gram[last, last], np.empty(gram.shape[0]), np.empty(width)
    for a in range(width):
        sums[a] = gram[last, a]
        if indicator[a] >= 0:
            sums[a] += fill[a] * gram[last, indicator[a]]
    for a in range(width):
        for b in range(gram.shape[0]):
            line[b] = gram[a, b]
        if indicator[a] >= 0:
            for b in range(gram.shape[0]):
                line[b] += fill[a] * gram[indicator[a], b]
        for b in range(width):
            if indicator[b] >= 0:
                line[b] += fill[b] * line[indicator[b]]
        scale, level = factor * inverse[a], sums[a] + total * shift[a]
        for b in range(width):
            moved = line[b] + (shift[a] * sums[b] + level * shift[b])
            out[a, b] += scale * inverse[b] * moved
