"""Losses and gradients of few columns on dense rows, in one compiled sweep without a copy.

Many columns are worth a copy: a tile is centred once and its products are those of BLAS
(`evaluator`). For few the copy takes longer than the products, and the calls for a tile longer than
the tile: threads wait for Python's lock in between.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from distreg.kernels import tiles
from distreg.kernels.rows import TRAIN, add_residuals, weigh_rows

__all__ = ["MOST_COLUMNS", "sweep", "tile_rows"]

MOST_COLUMNS = 2
"""Columns that need no copy: products of more take less time with BLAS."""

TILE_BYTES, FEWEST_ROWS = 500_000, 256
"""Size of a tile, which is read twice: it stays in the second-level cache. Fewer rows would be
short runs of a feature in Fortran order."""


@njit(cache=True, nogil=True)
def tile_rows(n_features):  # type: ignore[no-untyped-def]
    """Rows of a tile that is read twice."""
    return max(TILE_BYTES // (8 * max(n_features, 1)), FEWEST_ROWS)


@njit(cache=True, nogil=True, error_model="numpy")
def sweep(  # type: ignore[no-untyped-def]
    loss, data, rows, centre, coef, intercept, role, bounds, sums, grad, anchors, root
):
    """Add what some rows of one cell say of R columns.

    Parameters
    ----------
    loss : (int, float, int)
        Code and parameter of the loss, and the classes C of a fit.
    data : (dense (n, p), y (n,), weight, offset)
        Without missing values in these rows. Weights (n,) are empty where all are 1, offsets where
        there are none.
    rows : (h,) int array
        Those to add.
    centre : (p,) array
    coef : (R, p) array
        C-contiguous.
    intercept : (R,) array
    role : (S,) int8 array
        What these rows are to a training set.
    bounds, sums
        As for `rows.residual_rows`; the arrays of the sums.
    grad : (p, R) array
        Added to: ``(dense - centre)'residual``.
    anchors : (A,) int array
        Columns, of one class each, whose curvature weights are wanted.
    root : (A, h) array
        Overwritten by their roots.
    """
    dense, y, weight, offset = data
    n_rows, by_rows = rows.shape[0], dense.flags.c_contiguous
    height = min(tile_rows(centre.shape[0]), n_rows)
    eta, target, scale = np.empty((height, coef.shape[0])), np.empty(height), np.ones(height)
    roles = np.empty((height, role.shape[0]), role.dtype)
    roles[:] = role
    total, trains = np.empty(coef.shape), (role == TRAIN).any()
    for start in range(0, n_rows, height):
        some = rows[start : start + height]
        h = some.shape[0]
        eta[:] = intercept
        for i in range(h):
            target[i] = y[some[i]]
            if offset.size:
                eta[i] += offset[some[i]]
            if weight.size:
                scale[i] = weight[some[i]]
        if by_rows:
            tiles.predict_rows(dense, some, centre, coef, eta)
        else:
            tiles.predict_columns(dense, some, centre, coef, eta)
        for k in range(anchors.shape[0]):
            # the residuals will take the place of the predictors
            of = root[k, start : start + h]
            weigh_rows(loss[0], loss[1], eta[:h], target[:h], scale[:h], anchors[k], of)
            of[:] = np.sqrt(of)
        add_residuals(
            loss[0], loss[1], loss[2], eta[:h], target[:h], scale[:h], roles[:h], bounds, sums,
            eta[:0],
        )  # fmt: skip
        if not trains:
            continue
        total[:] = 0.0
        if by_rows:
            tiles.add_rows(dense, some, centre, eta[:h], total)
        else:
            tiles.add_columns(dense, some, centre, eta[:h], total)
        grad += total.T
