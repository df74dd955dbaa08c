"""The linear predictor of one block: ``eta = X coef + intercept``.

Every row adds its products one after the other in feature order, in float64, and the intercept
last. Memory order, chunking and sparse storage change neither the products nor their order (a
product that is zero does not change a sum), so they do not change a bit of the answer either;
a BLAS call would promise none of this.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import sparse as sp

__all__ = ["linear_predictor"]

TILE_ROWS = 2048
"""Rows a tile of column sweeps keeps in the first-level cache (16 kB of sums)."""


def linear_predictor(
    dense: np.ndarray, sparse: sp.csr_array | None, coef: np.ndarray, intercept: float
) -> np.ndarray:
    """Linear predictor of ``hstack([dense, sparse])``.

    Parameters
    ----------
    dense : (n, p_dense) float64 or float32 array
        In any memory order. A NaN makes its row NaN, unless its coefficient is zero.
    sparse : (n, p_sparse) csr_array or None
        Sorted, unique column indices.
    coef : (p_dense + p_sparse,) array
        Coefficients of the dense features, then of the sparse ones.
    intercept : float
        Added last.

    Returns
    -------
    (n,) float64 array
        The same bits for any memory order, chunking and storage.
    """
    n_rows, n_dense = dense.shape
    coef = np.ascontiguousarray(coef, dtype=np.float64)
    eta = np.zeros(n_rows)
    active = np.flatnonzero(coef[:n_dense])
    if active.size:
        by_columns = abs(dense.strides[0]) < abs(dense.strides[1])
        (_add_columns if by_columns else _add_rows)(dense, active, coef, eta)
    if sparse is not None and sparse.nnz:
        _add_csr(sparse.data, sparse.indices, sparse.indptr, coef[n_dense:], eta)
    eta += intercept
    return eta


@njit(cache=True, nogil=True)
def _add_columns(dense, active, coef, eta):  # type: ignore[no-untyped-def]
    """Column by column over tiles of rows: the rows of a tile are summed side by side."""
    for start in range(0, dense.shape[0], TILE_ROWS):
        stop = min(start + TILE_ROWS, dense.shape[0])
        for j in active:
            value = coef[j]
            for i in range(start, stop):
                eta[i] += np.float64(dense[i, j]) * value


@njit(cache=True, nogil=True)
def _add_rows(dense, active, coef, eta):  # type: ignore[no-untyped-def]
    """Four rows at a time: each sum is sequential, four of them hide the adder's latency."""
    n_rows = dense.shape[0]
    whole = n_rows - n_rows % 4
    for i in range(0, whole, 4):
        a, b, c, d = eta[i], eta[i + 1], eta[i + 2], eta[i + 3]
        for j in active:
            value = coef[j]
            a += np.float64(dense[i, j]) * value
            b += np.float64(dense[i + 1, j]) * value
            c += np.float64(dense[i + 2, j]) * value
            d += np.float64(dense[i + 3, j]) * value
        eta[i], eta[i + 1], eta[i + 2], eta[i + 3] = a, b, c, d
    for i in range(whole, n_rows):
        for j in active:
            eta[i] += np.float64(dense[i, j]) * coef[j]


@njit(cache=True, nogil=True)
def _add_csr(data, indices, indptr, coef, eta):  # type: ignore[no-untyped-def]
    for i in range(eta.shape[0]):
        total = eta[i]
        for k in range(indptr[i], indptr[i + 1]):
            value = coef[indices[k]]
            if value != 0.0:
                total += np.float64(data[k]) * value
        eta[i] = total
