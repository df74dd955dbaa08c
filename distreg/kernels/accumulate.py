"""Adds one block to the moments of its cells. The only place that tells dense from sparse."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from distreg.data.block import Block
from distreg.kernels import centres, tiles
from distreg.kernels.issues import bad_weight, note
from distreg.moments import Layout, Moments

__all__ = ["Accumulator"]

TILE_BYTES = 16_000_000
"""Size of a tile, the rows that are gathered and multiplied together: half a last-level cache."""

FEWEST_ROWS = 2048
"""Rows of a tile of many features: fewer would make the product slow."""

HEAD_ROWS = 512
"""Rows whose mean is the centre of a cell: near enough, and next to nothing to read."""

_NOTHING = np.empty(0)


class Accumulator:
    """Collects the moments of one group of blocks.

    Parameters
    ----------
    layout : Layout
        Number of cells, sparse and dense features.
    feature_names : tuple of str
        Dense features first; for the names in issues.
    missing : {"error", "mean", "drop"}
        With "mean" every feature that has missing values gets an indicator column, so that any
        training set's own mean can be filled in afterwards; otherwise NaN is an issue.
    """

    def __init__(self, layout: Layout, feature_names: tuple[str, ...], missing: str) -> None:
        self._layout = layout
        self._names = feature_names
        self._fill = missing == "mean"
        self._moments = Moments.zeros(layout)
        self._memories: dict[str, np.ndarray] = {}

    def add(self, block: Block, cells: np.ndarray) -> None:
        """Add the rows of `block`; `cells` is the (n,) int array of their cells."""
        if block.n_rows == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # reported when the pass ends
            self._add(block, cells)

    def _add(self, block: Block, cells: np.ndarray) -> None:
        if bad_weight(block.weight):
            self._note(block)
            return
        if self._fill and block.dense.shape[1]:
            found = np.flatnonzero(tiles.missing_columns(block.dense))
            if found.size:
                union = np.union1d(self._moments.missing, found).astype(np.int64)
                self._moments = self._moments.with_missing(union)
        target = block.y if block.offset is None else block.y - block.offset
        height = max(FEWEST_ROWS, TILE_BYTES // (8 * self._moments.dense.shape[1]))
        for start in range(0, block.n_rows, height):
            self._add_tile(block, target, cells, start, min(start + height, block.n_rows))
        # the last row holds the sums: NaN and infinity in any column end up there
        state = self._moments
        if not (np.isfinite(state.dense[:, -1]).all() and np.isfinite(state.cross[:, :, -1]).all()):
            self._note(block)

    def result(self) -> Moments:
        """The moments of all rows added."""
        return self._moments

    def _add_tile(
        self, block: Block, target: np.ndarray, cells: np.ndarray, start: int, stop: int
    ) -> None:
        weight = _NOTHING if block.weight is None else block.weight
        rows, bounds = tiles.order_by_cell(cells, weight, start, stop, self._layout.n_cells)
        if rows.size == 0:
            return
        present = np.flatnonzero(np.diff(bounds))
        for cell in present:
            self._begin(block, target, int(cell), rows[bounds[cell] : bounds[cell + 1]])
        tile = self._fill_tile(block, target, rows, bounds)
        state = self._moments
        for cell in present:
            part = slice(bounds[cell], bounds[cell + 1])
            # NumPy's product of a matrix with itself is a symmetric rank-k update that lets other
            # threads run; SciPy's dsyrk keeps Python's lock (measured)
            product = self._memory("product", (tile.shape[1], tile.shape[1]))
            state.dense[cell] += np.matmul(tile[part].T, tile[part], out=product)
            state.count[cell] += part.stop - part.start
            if block.sparse is not None:
                self._add_sparse(block.sparse, rows[part], int(cell), tile[part])

    def _begin(self, block: Block, target: np.ndarray, cell: int, rows: np.ndarray) -> None:
        """Choose the centre of a cell that has had no rows, or of columns that had no values.

        A missing value is 0 about any centre, so that it can be chosen when the first one comes.
        """
        state, head = self._moments, rows[:HEAD_ROWS]
        if state.count[cell] == 0:
            state.centre[cell] = centres.dense_centre(block.dense[head])
            state.y_centre[cell] = np.nan_to_num(centres.dense_centre(target[head, None]))[0]
            if block.sparse is not None:
                state.sparse_centre[cell] = centres.sparse_centre(block.sparse[head])
        late = np.flatnonzero(np.isnan(state.centre[cell]))
        if late.size:
            state.centre[cell, late] = centres.dense_centre(block.dense[np.ix_(rows, late)])

    def _add_sparse(
        self, matrix: sparse.csr_array, rows: np.ndarray, cell: int, tile: np.ndarray
    ) -> None:
        state = self._moments
        if state.sparse_centre[cell].any():
            matrix = centres.subtract(matrix[rows], state.sparse_centre[cell])
            rows = np.arange(rows.size)
        parts = matrix.data, matrix.indices, matrix.indptr
        tiles.add_one_hot(*parts, rows, cell, tile, state.cross, state.sparse)

    def _fill_tile(
        self, block: Block, target: np.ndarray, rows: np.ndarray, bounds: np.ndarray
    ) -> np.ndarray:
        state = self._moments
        weight = np.ones(rows.size) if block.weight is None else block.weight[rows]
        root_weight = np.sqrt(weight)
        by_rows = block.dense.flags.c_contiguous
        tile = self._memory("tile", (rows.size, state.dense.shape[1]), "C" if by_rows else "F")
        fill = tiles.fill_rows if by_rows else tiles.fill_columns
        centre, y_centre = state.centre, state.y_centre
        fill(block.dense, rows, bounds, centre, target, y_centre, root_weight, tile)
        for k, feature in enumerate(state.missing, start=self._layout.n_dense):
            absent = np.isnan(tile[:, feature])
            tile[:, feature][absent] = 0.0
            tile[:, k] = np.where(absent, root_weight, 0.0)
        return tile

    def _memory(
        self, use: str, shape: tuple[int, int], order: Literal["C", "F"] = "C"
    ) -> np.ndarray:
        """An array in memory that is used again: fresh pages cost as much as filling them."""
        size = shape[0] * shape[1]
        if self._memories.get(use, _NOTHING).size < size:
            self._memories[use] = np.empty(size)
        return self._memories[use][:size].reshape(shape, order=order)

    def _note(self, block: Block) -> None:
        note(self._moments.issues, block, self._names, fill=self._fill)
