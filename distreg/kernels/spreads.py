"""Compiled sums of features over rows: means, then spreads and products with the target about them.

Free of Python's lock, so that threads run side by side. `mine`, `part` and `sums` hold the arrays
of `columns.ColumnSums.features`, of one cell or of all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from distreg.kernels import tiles

__all__ = ["add_dense", "add_whole", "gather", "merge", "sum_sparse"]

LINE = 8
"""Values of a cache line."""

STRIP = 128
"""Features of a tile: more would leave few rows to each cell."""

TILE = 2**16
"""Values of a tile: half a second-level cache."""

ROWS_PER_CELL = 64
"""Fewer would make joining cost more than adding."""


@njit(cache=True, nogil=True, error_model="numpy")
def merge(mine, first, part):
    """Add the sums `part` of other rows to the features from `first` on, in place."""
    present, mean, m2, low, high, level, cross = mine
    present_b, mean_b, m2_b, low_b, high_b, level_b, cross_b = part
    for k in range(mean_b.shape[0]):
        if present_b[k] > 0.0:
            j = first + k
            share = present_b[k] / (present[j] + present_b[k])
            common = present[j] * share
            gap = mean_b[k] - mean[j]
            m2[j] += m2_b[k] + gap * common * gap
            for q in range(level.shape[0]):
                step = level_b[q, k] - level[q, j]
                cross[q, j] += cross_b[q, k] + gap * common * step
                level[q, j] += step * share
            mean[j] += gap * share
            present[j] += present_b[k]
            low[j] = min(low[j], low_b[k])
            high[j] = max(high[j], high_b[k])


@njit(cache=True, nogil=True)
def add_dense(dense, y, weight, cells, sums, missing):
    """Add the rows of positive weight; `weight` is empty where all are 1.

    Returns whether all sums are finite. One call for all tiles: between two of them threads would
    wait for Python's lock.
    """
    n_rows, n_dense = dense.shape
    n_cells, strip = sums[0].shape[0], min(n_dense, STRIP)
    height = max(TILE // strip, ROWS_PER_CELL * n_cells)
    by_rows = dense.flags.c_contiguous
    memory, sound = np.empty(min(height, n_rows) * strip), True
    for start in range(0, n_rows, height):
        stop = min(start + height, n_rows)
        rows, bounds = tiles.order_by_cell(cells, weight, start, stop, n_cells)
        target, scale = y[rows], weight[rows] if weight.size else np.ones(rows.size)
        for first in range(0, n_dense, strip):
            width = min(strip, n_dense - first)
            tile = memory[: rows.size * width].reshape((rows.size, width))
            gather(dense, rows, first, by_rows, tile)
            sound &= add_tile(tile, target, scale, bounds, first, sums, missing)
    return sound


@njit(cache=True, nogil=True)
def add_whole(dense, y, sums, missing):
    """As `add_dense`, where all rows are of one cell and weigh 1: no copy of a C-ordered array."""
    height, sound = max(TILE // dense.shape[1], ROWS_PER_CELL), True
    for start in range(0, dense.shape[0], height):
        tile, target = dense[start : start + height], y[start : start + height]
        bounds = np.array([0, target.size])
        sound &= add_tile(tile, target, np.ones(target.size), bounds, 0, sums, missing)
    return sound


@njit(cache=True, nogil=True)
def gather(dense, rows, first, by_rows, out):
    """Copy features from `first` on of `rows` to the C-ordered `out`."""
    if by_rows:
        for i in range(out.shape[0]):
            row, to = dense[rows[i], first : first + out.shape[1]], out[i]
            for k in range(out.shape[1]):
                to[k] = row[k]
    else:
        for start in range(0, out.shape[1], LINE):
            stop = min(start + LINE, out.shape[1])
            some = dense[:, first + start : first + stop]
            for i in range(out.shape[0]):
                for k in range(stop - start):
                    out[i, start + k] = some[rows[i], k]


@njit(cache=True, nogil=True)
def add_tile(tile, y, weight, bounds, first, sums, missing):
    """Add rows of positive weight, ``bounds[c]:bounds[c + 1]`` those of cell c.

    Returns whether all sums are finite.
    """
    sound = True
    present, mean, m2, low, high, level, cross = sums
    for c in range(bounds.shape[0] - 1):
        a, b = bounds[c], bounds[c + 1]
        if b > a:
            mine = present[c], mean[c], m2[c], low[c], high[c], level[c], cross[c]
            sound &= _add_run(tile[a:b], y[a:b], weight[a:b], first, mine, missing)
    return sound


@njit(cache=True, nogil=True, error_model="numpy")
def _add_run(x, y, weight, first, mine, missing):
    """Add the rows of one cell."""
    n_rows, width = x.shape
    n_targets = mine[5].shape[0]
    total = weight.sum()
    code, value, base = _targets(y, weight, total, n_targets)
    origin, mean, low, high = x[0], np.zeros(width), x[0].copy(), x[0].copy()
    whole = n_rows - n_rows % 4
    for i in range(0, whole, 4):
        four = x[i], x[i + 1], x[i + 2], x[i + 3]
        _sum_four(four, origin, weight[i : i + 4], mean)
        _range_four(four, low, high)
    for i in range(whole, n_rows):
        _sum_row(x[i], origin, weight[i], mean)
        _range_row(x[i], low, high)
    for k in range(width):
        mean[k] = origin[k] + mean[k] / total
    m2, cross = np.zeros(width), np.zeros((n_targets, width))
    level, share = np.empty((n_targets, width)), np.full(n_targets, base)
    whole = whole if n_targets == 1 else 0
    for i in range(0, whole, 4):
        four, scale = (x[i], x[i + 1], x[i + 2], x[i + 3]), weight[i : i + 4]
        _spread_four(four, mean, scale, scale * value[i : i + 4], m2, cross[0])
    for i in range(whole, n_rows):
        _spread_row(x[i], mean, weight[i], weight[i] * value[i], m2, cross[code[i]])
    for i in range(n_rows):
        share[code[i]] += weight[i] * value[i] / total
    for q in range(n_targets):
        level[q] = share[q]
    part = np.full(width, total), mean, m2, low, high, level, cross
    sound = True
    for k in range(width):
        if not np.isfinite(mean[k]):
            missing[first + k] |= _some_present(x[:, k].copy(), weight, code, value, base, k, part)
            sound &= bool(np.isfinite(mean[k]))
    merge(mine, first, part)
    return sound


@njit(cache=True, nogil=True, error_model="numpy")
def _targets(y, weight, total, n_targets):
    """Row i adds ``value[i]`` to target ``code[i]``, beyond `base`."""
    code, value, base = np.zeros(y.shape[0], np.int64), np.ones(y.shape[0]), 0.0
    if n_targets > 1:
        for i in range(y.shape[0]):
            code[i] = int(y[i])
        return code, value, base
    for i in range(y.shape[0]):
        base += weight[i] * (y[i] - y[0])
    base = y[0] + base / total
    for i in range(y.shape[0]):
        value[i] = y[i] - base
    return code, value, base


@njit(cache=True, nogil=True, fastmath={"contract"})
def _sum_four(four, origin, weight, total):
    """As `_sum_row`, of four rows: the sums are loaded and stored once."""
    a, b, c, d = four
    of_a, of_b, of_c, of_d = weight[0], weight[1], weight[2], weight[3]
    for k in range(total.shape[0]):
        o = origin[k]
        total[k] += (of_a * (a[k] - o) + of_b * (b[k] - o)) + (
            of_c * (c[k] - o) + of_d * (d[k] - o)
        )


@njit(cache=True, nogil=True)
def _range_four(four, low, high):
    """As `_range_row`, of four rows."""
    a, b, c, d = four
    for k in range(low.shape[0]):
        below, above = low[k], high[k]
        x = a[k]
        below, above = x if x < below else below, x if x > above else above
        x = b[k]
        below, above = x if x < below else below, x if x > above else above
        x = c[k]
        below, above = x if x < below else below, x if x > above else above
        x = d[k]
        below, above = x if x < below else below, x if x > above else above
        low[k], high[k] = below, above


@njit(cache=True, nogil=True, fastmath={"contract"})
def _spread_four(four, mean, weight, product, m2, cross):
    """As `_spread_row`, of four rows."""
    a, b, c, d = four
    of_a, of_b, of_c, of_d = weight[0], weight[1], weight[2], weight[3]
    y_a, y_b, y_c, y_d = product[0], product[1], product[2], product[3]
    for k in range(mean.shape[0]):
        m = mean[k]
        e, f, g, h = a[k] - m, b[k] - m, c[k] - m, d[k] - m
        m2[k] += (of_a * e * e + of_b * f * f) + (of_c * g * g + of_d * h * h)
        cross[k] += (y_a * e + y_b * f) + (y_c * g + y_d * h)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _sum_row(x, origin, weight, total):
    for k in range(x.shape[0]):
        total[k] += weight * (x[k] - origin[k])


@njit(cache=True, nogil=True)
def _range_row(x, low, high):
    for k in range(x.shape[0]):
        low[k] = x[k] if x[k] < low[k] else low[k]
        high[k] = x[k] if x[k] > high[k] else high[k]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _spread_row(x, mean, weight, product, m2, cross):
    for k in range(x.shape[0]):
        d = x[k] - mean[k]
        m2[k] += weight * d * d
        cross[k] += product * d


@njit(cache=True, nogil=True, error_model="numpy")
def _some_present(x, weight, code, value, base, k, part):
    """Sums of a feature with missing or infinite values; returns whether some are missing."""
    present, mean, m2, low, high, level, cross = part
    level[:, k], cross[:, k] = 0.0, 0.0
    origin, total, moment, below, above, missing = 0.0, 0.0, 0.0, np.inf, -np.inf, False
    for i in range(x.shape[0]):
        if np.isnan(x[i]):
            missing = True
            continue
        if total == 0.0:
            origin = x[i]
        total += weight[i]
        moment += weight[i] * (x[i] - origin)
        below = x[i] if x[i] < below else below
        above = x[i] if x[i] > above else above
        level[code[i], k] += weight[i] * value[i]
    present[k], low[k], high[k] = total, below, above
    centre, square = origin + moment / total if total > 0.0 else 0.0, 0.0
    for q in range(level.shape[0]):
        level[q, k] = base + level[q, k] / total if total > 0.0 else 0.0
    for i in range(x.shape[0]):
        if not np.isnan(x[i]):
            d = x[i] - centre
            square += weight[i] * d * d
            cross[code[i], k] += weight[i] * d * value[i]
    mean[k], m2[k] = centre, square
    return missing


@njit(cache=True, nogil=True, error_model="numpy")
def sum_sparse(data, indices, indptr, y, cells, weight, of_cells, sums):
    """Sums of sparse features; returns whether they are finite.

    The zeros join at the end: their weight is that of the rows less that of the entries, 0 for a
    full column (the two then round alike), and the products with a target are those about 0.
    """
    count, total, target = of_cells
    present, mean, m2, low, high, level, cross = sums
    n_cells, n_targets, width = level.shape
    entries, filled = np.zeros(mean.shape, np.int64), np.zeros(mean.shape)
    rest = np.zeros((n_cells, n_targets))
    for i in range(y.shape[0]):
        if weight[i] > 0.0:
            c = cells[i]
            for at in range(indptr[i], indptr[i + 1]):
                j = indices[at]
                entries[c, j] += 1
                filled[c, j] += weight[i]
                mean[c, j] += weight[i] * data[at]
                low[c, j] = min(low[c, j], data[at])
                high[c, j] = max(high[c, j], data[at])
    for c in range(n_cells):
        mean[c] /= total[c] if count[c] else 1.0
    for i in range(y.shape[0]):
        if weight[i] > 0.0:
            c = cells[i]
            q = int(y[i]) if n_targets > 1 else 0
            product = weight[i] * (1.0 if n_targets > 1 else y[i] - target[c, 0])
            rest[c, q] += product
            for at in range(indptr[i], indptr[i + 1]):
                j = indices[at]
                d = data[at] - mean[c, j]
                m2[c, j] += weight[i] * d * d
                cross[c, q, j] += product * data[at]
    for c in range(n_cells):
        for j in range(width):
            present[c, j] = total[c]
            if entries[c, j] < count[c]:
                low[c, j], high[c, j] = min(low[c, j], 0.0), max(high[c, j], 0.0)
                m2[c, j] += max(total[c] - filled[c, j], 0.0) * mean[c, j] ** 2
            for q in range(n_targets):
                level[c, q, j] = target[c, q]
                cross[c, q, j] -= rest[c, q] * mean[c, j]
    return bool(np.isfinite(mean).all())
