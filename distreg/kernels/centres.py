"""Centres: means of the first rows of a cell, near enough to the true ones to cancel nothing."""

from __future__ import annotations

import numpy as np
from scipy import sparse

__all__ = ["dense_centre", "sparse_centre", "subtract"]

OFFSET_RATIO = 10.0
"""A sparse column with mean/sd above this loses more than two digits when it is not centred."""


def dense_centre(head: np.ndarray) -> np.ndarray:
    """Column means of the finite values; a constant column gives its value, to the last bit.

    NaN, "not known yet", for a column without any value.
    """
    head = np.asarray(head, dtype=np.float64)
    first = np.where(np.isfinite(head[0]), head[0], 0.0)
    deviation = head - first
    usable = np.isfinite(deviation)
    total = np.where(usable, deviation, 0.0).sum(axis=0)
    centre = first + total / np.maximum(usable.sum(axis=0), 1)
    known = ~np.isnan(head).all(axis=0)
    return np.where(known, np.where(np.isfinite(centre), centre, 0.0), np.nan)


def sparse_centre(head: sparse.csr_array) -> np.ndarray:
    """Means of the columns that lie far from 0 for their spread; 0 for the others.

    A sparse column that is centred becomes full; most columns lose nothing uncentred (a binary one
    of density r has mean^2 / variance = r / (1 - r)).
    """
    n = head.shape[0]
    mean = np.asarray(head.sum(axis=0)).ravel() / n
    second = np.asarray(head.multiply(head).sum(axis=0)).ravel() / n
    far = mean**2 > OFFSET_RATIO**2 * np.maximum(second - mean**2, 0.0)
    far &= np.isfinite(second) & (mean != 0.0)
    centre = np.zeros(head.shape[1])
    if far.any():
        centre[far] = dense_centre(head[:, np.flatnonzero(far)].toarray())
    return centre


def subtract(matrix: sparse.csr_array, centre: np.ndarray) -> sparse.csr_array:
    """Matrix less `centre`: the columns with a centre other than 0 become full."""
    columns = np.flatnonzero(centre)
    n, k = matrix.shape[0], columns.size
    shift = sparse.csr_array(
        (np.tile(centre[columns], n), np.tile(columns, n), np.arange(0, n * k + 1, k)),
        shape=matrix.shape,
    )
    shifted = sparse.csr_array(matrix - shift)
    shifted.sort_indices()
    return shifted
