"""Products of centred and scaled dense features of all rows of a block.

Of many columns by tiles that are copied and multiplied with BLAS; of few without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from distreg.kernels import tiles
from distreg.kernels.sweep import MOST_COLUMNS, tile_rows

__all__ = ["standardised", "times", "transposed"]

TILE_BYTES, FEWEST_TILE_ROWS, MOST_TILE_ROWS = 1_000_000, 64, 2048
"""Size of a copied tile: half a second-level cache."""


def standardised(
    dense: np.ndarray, rows: np.ndarray, origin: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """``(dense[rows] - origin) / scale``, 0 for a missing value; (h, p) float64."""
    out = np.empty((rows.size, dense.shape[1]))
    fill = tiles.centre_rows if dense.flags.c_contiguous else tiles.centre_columns
    fill(dense, rows, origin, 1.0 / scale, out)
    return out


def times(dense: np.ndarray, origin: np.ndarray, scale: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """Products (n, R) of the rows with coefficients (p, R)."""
    out, rows = np.zeros((len(dense), coef.shape[1])), np.arange(len(dense))
    if coef.shape[1] <= MOST_COLUMNS:
        predict = tiles.predict_rows if dense.flags.c_contiguous else tiles.predict_columns
        predict(dense, rows, origin, np.ascontiguousarray((coef / scale[:, None]).T), out)
        return out
    for some, tile in _copies(dense, rows, origin, scale):
        np.matmul(tile, coef, out=out[some])
    return out


def transposed(
    dense: np.ndarray,
    rows: np.ndarray,
    origin: np.ndarray,
    scale: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """Products (p, R) of the features of some rows with the `values` (n, R) of these.

    `rows` (h,) are ascending, and `values` C-contiguous.
    """
    every = rows.size == len(values)
    if values.shape[1] > MOST_COLUMNS:
        out = np.zeros((dense.shape[1], values.shape[1]))
        for some, tile in _copies(dense, rows, origin, scale):
            out += tile.T @ values[some if every else rows[some]]
        return out
    add = tiles.add_rows if dense.flags.c_contiguous else tiles.add_columns
    total = np.zeros((values.shape[1], dense.shape[1]))
    height = tile_rows(dense.shape[1])
    # sums of tiles: one long sum would round more
    for start in range(0, rows.size, height):
        part, some = np.zeros_like(total), slice(start, start + height)
        add(dense, rows[some], origin, values[some if every else rows[some]], part)
        total += part
    return np.asarray(total.T / scale[:, None])


def _copies(
    dense: np.ndarray, rows: np.ndarray, origin: np.ndarray, scale: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Parts of the rows and their standardised features, in memory that is used again."""
    p = dense.shape[1]
    height = int(np.clip(TILE_BYTES // (8 * max(p, 1)), FEWEST_TILE_ROWS, MOST_TILE_ROWS))
    memory, inverse = np.empty((min(height, rows.size), p)), 1.0 / scale
    fill = tiles.centre_rows if dense.flags.c_contiguous else tiles.centre_columns
    for start in range(0, rows.size, height):
        some = rows[start : start + height]
        fill(dense, some, origin, inverse, memory[: some.size])
        yield slice(start, start + some.size), memory[: some.size]
