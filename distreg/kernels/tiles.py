"""Tiles: some rows of a block, centred and weighted, ready for one symmetric rank-k update.

Compiled, and free of Python's lock, so that threads run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "add_columns",
    "add_one_hot",
    "add_rows",
    "centre_columns",
    "centre_rows",
    "fill_columns",
    "fill_rows",
    "mirror_lower",
    "missing_columns",
    "order_by_cell",
    "predict_columns",
    "predict_rows",
    "weight_block_columns",
    "weight_block_rows",
    "weight_rows",
]


@njit(cache=True, nogil=True)
def order_by_cell(cells, weight, start, stop, n_cells):
    """Rows `start` to `stop` of positive weight, cell after cell, each cell's in their order.

    `weight` may be empty, for weights of 1. Returns the rows and the (n_cells + 1,) bounds: those
    of cell c are ``rows[bounds[c]:bounds[c + 1]]``. A counting sort.
    """
    bounds = np.zeros(n_cells + 1, dtype=np.int64)
    for i in range(start, stop):
        if weight.size == 0 or weight[i] > 0:
            bounds[cells[i] + 1] += 1
    for c in range(n_cells):
        bounds[c + 1] += bounds[c]
    rows = np.empty(bounds[n_cells], dtype=np.int64)
    free = bounds[:-1].copy()
    for i in range(start, stop):
        if weight.size == 0 or weight[i] > 0:
            rows[free[cells[i]]] = i
            free[cells[i]] += 1
    return rows, bounds


@njit(cache=True, nogil=True)
def fill_rows(dense, rows, bounds, centre, target, y_centre, root_weight, out):
    """Write ``sqrt(w) [x - centre, target - y_centre, 1]`` of `rows` to the C-ordered `out`.

    Rows ``bounds[c]`` to ``bounds[c + 1]`` of `rows` belong to cell c and have its centre.
    """
    n_dense, last = centre.shape[1], out.shape[1] - 1
    for c in range(centre.shape[0]):
        for i in range(bounds[c], bounds[c + 1]):
            row, scale = rows[i], root_weight[i]
            for j in range(n_dense):
                out[i, j] = (dense[row, j] - centre[c, j]) * scale
            out[i, last - 1] = (target[row] - y_centre[c]) * scale
            out[i, last] = scale


@njit(cache=True, nogil=True)
def fill_columns(dense, rows, bounds, centre, target, y_centre, root_weight, out):
    """As `fill_rows`, for Fortran-ordered blocks and tiles."""
    n_dense, last = centre.shape[1], out.shape[1] - 1
    for j in range(n_dense):
        for c in range(centre.shape[0]):
            shift = centre[c, j]
            for i in range(bounds[c], bounds[c + 1]):
                out[i, j] = (dense[rows[i], j] - shift) * root_weight[i]
    for c in range(centre.shape[0]):
        for i in range(bounds[c], bounds[c + 1]):
            out[i, last - 1] = (target[rows[i]] - y_centre[c]) * root_weight[i]
            out[i, last] = root_weight[i]


@njit(cache=True, nogil=True)
def centre_rows(dense, rows, centre, inverse, out):
    """Write ``(x - centre) inverse`` of `rows` to the C-ordered `out`, 0 for a missing value."""
    for i in range(rows.shape[0]):
        row = dense[rows[i]]
        for j in range(centre.shape[0]):
            value = (row[j] - centre[j]) * inverse[j]
            out[i, j] = value if value == value else 0.0


@njit(cache=True, nogil=True)
def centre_columns(dense, rows, centre, inverse, out):
    """As `centre_rows`, for Fortran-ordered blocks."""
    for j in range(centre.shape[0]):
        for i in range(rows.shape[0]):
            value = (dense[rows[i], j] - centre[j]) * inverse[j]
            out[i, j] = value if value == value else 0.0


@njit(cache=True, nogil=True)
def weight_rows(tile, columns, factor, out):
    """Write `factor` (n,) times some columns (k,) of a tile, and times 1, to `out` (n, k + 1)."""
    last = columns.shape[0]
    for i in range(tile.shape[0]):
        for j in range(last):
            out[i, j] = tile[i, columns[j]] * factor[i]
        out[i, last] = factor[i]


@njit(cache=True, nogil=True)
def weight_block_rows(dense, rows, columns, centre, inverse, factor, out):
    """Write ``factor [(x - centre) inverse, 1]`` of some rows and columns to `out`.

    Parameters
    ----------
    dense : (n, p) array
        Without missing values in these rows and columns.
    rows, columns : (h,), (k,) int arrays
    centre, inverse : (p,) arrays
    factor : (h,) array
    out : (h, k + 1) array
    """
    last = columns.shape[0]
    whole = last == centre.shape[0]
    for i in range(rows.shape[0]):
        row, scale = dense[rows[i]], factor[i]
        if whole:
            for j in range(last):
                out[i, j] = (row[j] - centre[j]) * inverse[j] * scale
        else:
            for j in range(last):
                c = columns[j]
                out[i, j] = (row[c] - centre[c]) * inverse[c] * scale
        out[i, last] = scale


@njit(cache=True, nogil=True)
def weight_block_columns(dense, rows, columns, centre, inverse, factor, out):
    """As `weight_block_rows`, for Fortran-ordered blocks."""
    last = columns.shape[0]
    for j in range(last):
        c = columns[j]
        for i in range(rows.shape[0]):
            out[i, j] = (dense[rows[i], c] - centre[c]) * inverse[c] * factor[i]
    for i in range(rows.shape[0]):
        out[i, last] = factor[i]


@njit(cache=True, nogil=True)
def mirror_lower(matrix):
    """Copy the lower triangle to the upper one, in place, a tile of 64 at a time."""
    n, step = matrix.shape[0], 64
    for row in range(0, n, step):
        for column in range(0, row + 1, step):
            for i in range(row, min(row + step, n)):
                for j in range(column, min(column + step, i)):
                    matrix[j, i] = matrix[i, j]


@njit(cache=True, nogil=True)
def missing_columns(dense):
    """Columns that hold a NaN, as a boolean (n_columns,) array."""
    found = np.zeros(dense.shape[1], dtype=np.bool_)
    for i in range(dense.shape[0]):
        for j in range(dense.shape[1]):
            if dense[i, j] != dense[i, j]:
                found[j] = True
    return found


@njit(cache=True, nogil=True)
def add_one_hot(data, indices, indptr, rows, cell, weighted, cross, products):
    """Add the sparse products of `rows` to one cell: ``S'S`` (lower triangle) and ``S'Z``.

    `weighted` is the tile of the same rows; its last column is sqrt(w), so a sparse value times
    it is the weighted value. Column indices ascend within a row, which fills the lower triangle.
    """
    width, last = weighted.shape[1], weighted.shape[1] - 1
    for i in range(rows.shape[0]):
        start, stop = indptr[rows[i]], indptr[rows[i] + 1]
        scale = weighted[i, last]
        for a in range(start, stop):
            column, value = indices[a], data[a] * scale
            for j in range(width):
                cross[cell, column, j] += value * weighted[i, j]
            for b in range(start, a + 1):
                products[cell, column, indices[b]] += value * (data[b] * scale)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _dot(row, centre, coef):
    total = 0.0
    for j in range(coef.shape[0]):
        total += (row[j] - centre[j]) * coef[j]
    return total


@njit(cache=True, nogil=True)
def predict_rows(dense, rows, centre, coef, eta):
    """``eta += (dense[rows] - centre) coef'``, of a block in C order."""
    for i in range(rows.shape[0]):
        for r in range(coef.shape[0]):
            eta[i, r] += _dot(dense[rows[i]], centre, coef[r])


@njit(cache=True, nogil=True)
def predict_columns(dense, rows, centre, coef, eta):
    """As `predict_rows`, of a block in Fortran order."""
    total = np.zeros((coef.shape[0], rows.shape[0]))
    for j in range(centre.shape[0]):
        if coef[:, j].any():
            x = _column(dense, rows, j, centre[j])
            for r in range(coef.shape[0]):
                _add_times(x, coef[r, j], total[r])
    for i in range(rows.shape[0]):
        for r in range(coef.shape[0]):
            eta[i, r] += total[r, i]


@njit(cache=True, nogil=True)
def add_rows(dense, rows, centre, residual, total):
    """``total += residual' (dense[rows] - centre)``, of a block in C order, four rows at a time."""
    whole = rows.shape[0] - rows.shape[0] % 4
    for r in range(total.shape[0]):
        for i in range(0, whole, 4):
            four = dense[rows[i]], dense[rows[i + 1]], dense[rows[i + 2]], dense[rows[i + 3]]
            _add_four(four, residual[i : i + 4, r], centre, total[r])
        for i in range(whole, rows.shape[0]):
            for j in range(centre.shape[0]):
                total[r, j] += residual[i, r] * (dense[rows[i], j] - centre[j])


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_four(four, residual, centre, total):
    a, b, c, d = four
    of_a, of_b, of_c, of_d = residual[0], residual[1], residual[2], residual[3]
    for j in range(total.shape[0]):
        m = centre[j]
        total[j] += (of_a * (a[j] - m) + of_b * (b[j] - m)) + (
            of_c * (c[j] - m) + of_d * (d[j] - m)
        )


@njit(cache=True, nogil=True)
def add_columns(dense, rows, centre, residual, total):
    """As `add_rows`, of a block in Fortran order."""
    of = residual.T.copy()
    for j in range(centre.shape[0]):
        x = _column(dense, rows, j, centre[j])
        for r in range(total.shape[0]):
            total[r, j] += _product(of[r], x)


@njit(cache=True, nogil=True)
def _column(dense, rows, j, centre):
    """A feature of some rows less its centre."""
    n, out = rows.shape[0], np.empty(rows.shape[0])
    if n and rows[n - 1] - rows[0] == n - 1:
        some = dense[rows[0] : rows[0] + n, j]
        for i in range(n):
            out[i] = some[i] - centre
    else:
        for i in range(n):
            out[i] = dense[rows[i], j] - centre
    return out


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_times(x, factor, out):
    for i in range(x.shape[0]):
        out[i] += x[i] * factor


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _product(x, y):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total
