"""Adds one block to the moments of its cells. The only place that tells dense from sparse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.linalg.blas import dsyrk

from distreg.data.block import Block
from distreg.kernels import tiles
from distreg.moments import Issue, Layout, Moments

__all__ = ["Accumulator"]

TILE_ROWS = 8192
"""Rows sorted by cell at a time: a tile of a few hundred features stays in the last-level cache."""

OFFSET_RATIO = 10.0
"""A sparse column with mean/sd above this loses more than two digits when it is not centred."""


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
        self._moments: Moments | None = None
        self._densify = np.empty(0, dtype=np.int64)

    def add(self, block: Block, cells: np.ndarray) -> None:
        """Add the rows of `block`; `cells` is the (n,) int array of their cells."""
        if block.n_rows == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # reported when the pass ends
            self._add(block, cells)

    def _add(self, block: Block, cells: np.ndarray) -> None:
        target = block.y if block.offset is None else block.y - block.offset
        if self._moments is None:
            self._moments = self._start(block, target)
        state = self._moments
        if _bad_weight(block.weight):
            self._note(block)
            return
        if self._fill and block.dense.shape[1]:
            found = np.flatnonzero(tiles.missing_columns(block.dense))
            if found.size:
                union = np.union1d(state.missing, found).astype(np.int64)
                self._moments = state = state.with_missing(union)
        target = target - state.y_centre
        for start in range(0, block.n_rows, TILE_ROWS):
            self._add_tile(block, target, cells, slice(start, start + TILE_ROWS))
        # the last row holds the sums: NaN and infinity in any column end up there
        if not (np.isfinite(state.dense[:, -1]).all() and np.isfinite(state.cross[:, :, -1]).all()):
            self._note(block)

    def result(self) -> Moments:
        """The moments of all rows added."""
        if self._moments is None:
            return Moments.zeros(self._layout, np.zeros(self._layout.n_dense), 0.0)
        for gram in self._moments.dense:
            tiles.mirror_lower(gram)
        return self._moments

    def _start(self, block: Block, target: np.ndarray) -> Moments:
        """Choose the centre from the first rows; a constant column is centred to exact zeros."""
        head = np.asarray(block.dense[:TILE_ROWS], dtype=np.float64)
        first = np.where(np.isfinite(head[0]), head[0], 0.0)
        deviation = head - first
        usable = np.isfinite(deviation)
        total = np.where(usable, deviation, 0.0).sum(axis=0)
        centre = first + total / np.maximum(usable.sum(axis=0), 1)
        y_head = target[:TILE_ROWS]
        y_first = y_head[0] if np.isfinite(y_head[0]) else 0.0
        y_centre = float(y_first + (y_head - y_first).mean())
        moments = Moments.zeros(
            self._layout,
            np.where(np.isfinite(centre), centre, 0.0),
            y_centre if np.isfinite(y_centre) else 0.0,
        )
        if block.sparse is not None:
            shift = _sparse_offsets(block.sparse[:TILE_ROWS])
            self._densify = np.flatnonzero(shift)
            moments.sparse_centre = shift
        return moments

    def _add_tile(self, block: Block, target: np.ndarray, cells: np.ndarray, where: slice) -> None:
        state = self._result_state()
        tile_cells = cells[where]
        order = np.argsort(tile_cells, kind="stable")
        if block.weight is not None:
            order = order[block.weight[where][order] > 0]
        sorted_cells = tile_cells[order]
        bounds = np.searchsorted(sorted_cells, np.arange(self._layout.n_cells + 1))
        order = order + where.start
        for cell in np.unique(sorted_cells):
            rows = order[bounds[cell] : bounds[cell + 1]]
            state.count[cell] += rows.size
            tile = self._fill_tile(block, target, rows)
            # the C-ordered lower triangle is Fortran's upper one
            c = state.dense[cell].T
            if tile.flags.c_contiguous:
                dsyrk(1.0, tile.T, beta=1.0, c=c, overwrite_c=1, trans=0, lower=0)
            else:
                dsyrk(1.0, tile, beta=1.0, c=c, overwrite_c=1, trans=1, lower=0)
            if block.sparse is not None:
                self._add_sparse(block.sparse, rows, int(cell), tile)

    def _fill_tile(self, block: Block, target: np.ndarray, rows: np.ndarray) -> np.ndarray:
        state = self._result_state()
        weight = np.ones(rows.size) if block.weight is None else block.weight[rows]
        root_weight = np.sqrt(weight)
        by_rows = block.dense.flags.c_contiguous
        tile = np.empty((rows.size, state.dense.shape[1]), order="C" if by_rows else "F")
        fill = tiles.fill_rows if by_rows else tiles.fill_columns
        fill(block.dense, rows, state.centre, target, root_weight, tile)
        for k, feature in enumerate(state.missing, start=self._layout.n_dense):
            absent = np.isnan(tile[:, feature])
            tile[:, feature][absent] = 0.0
            tile[:, k] = np.where(absent, root_weight, 0.0)
        return tile

    def _add_sparse(
        self, matrix: sparse.csr_array, rows: np.ndarray, cell: int, tile: np.ndarray
    ) -> None:
        state = self._result_state()
        if self._densify.size:
            matrix, rows = _subtract(matrix[rows], state.sparse_centre, self._densify)
        tiles.add_one_hot(
            matrix.data, matrix.indices, matrix.indptr, rows, cell, tile, state.cross, state.sparse
        )

    def _result_state(self) -> Moments:
        assert self._moments is not None
        return self._moments

    def _note(self, block: Block) -> None:
        """Name every defect of a block whose sums are not finite or whose weights are not valid."""
        issues = self._result_state().issues
        columns: list[tuple[str, np.ndarray]] = [("target", block.y)]
        if block.weight is not None:
            columns.append(("weight", block.weight))
        if block.offset is not None:
            columns.append(("offset", block.offset))
        for j in np.flatnonzero(~np.isfinite(block.dense.sum(axis=0, dtype=np.float64))):
            columns.append((self._names[j], np.asarray(block.dense[:, j])))
        if block.sparse is not None and not np.isfinite(block.sparse.data).all():
            columns.extend(_sparse_columns(block.sparse, self._names[self._layout.n_dense :]))
        features = set(self._names)
        for name, values in columns:
            found = {"infinite": np.isinf(values)}
            if not (self._fill and name in features):
                found["missing"] = np.isnan(values)
            if name == "weight":
                found["negative"] = values < 0
            for kind, mask in found.items():
                if mask.any():
                    self._record(issues, block, name, kind, mask)

    @staticmethod
    def _record(
        issues: dict[tuple[str, str], Issue], block: Block, name: str, kind: str, mask: np.ndarray
    ) -> None:
        first, count = int(block.row[np.argmax(mask)]), int(mask.sum())
        seen = issues.get((name, kind))
        if seen is None:
            issues[name, kind] = Issue(name, kind, first, count, block.source)
        else:
            issues[name, kind] = Issue(name, kind, seen.first_row, seen.count + count, seen.source)


def _bad_weight(weight: np.ndarray | None) -> bool:
    return weight is not None and not bool(np.all((weight >= 0) & np.isfinite(weight)))


def _sparse_offsets(head: sparse.csr_array) -> np.ndarray:
    """Means of the sparse columns that lie far from 0 for their spread; 0 for the others."""
    n = head.shape[0]
    mean = np.asarray(head.sum(axis=0)).ravel() / n
    second = np.asarray(head.multiply(head).sum(axis=0)).ravel() / n
    far = mean**2 > OFFSET_RATIO**2 * np.maximum(second - mean**2, 0.0)
    far &= np.isfinite(second) & (mean != 0.0)
    # a column that is constant in the head is centred to exact zeros
    top = np.asarray(head.max(axis=0).toarray()).ravel() if n else mean
    low = np.asarray(head.min(axis=0).toarray()).ravel() if n else mean
    return np.where(far, np.where(top == low, top, mean), 0.0)


def _subtract(
    matrix: sparse.csr_array, centre: np.ndarray, columns: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray]:
    """Matrix with `centre` subtracted from `columns` (which become full), and its row numbers."""
    n, k = matrix.shape[0], columns.size
    shift = sparse.csr_array(
        (np.tile(centre[columns], n), np.tile(columns, n), np.arange(0, n * k + 1, k)),
        shape=matrix.shape,
    )
    shifted = sparse.csr_array(matrix - shift)
    shifted.sort_indices()
    return shifted, np.arange(n)


def _sparse_columns(
    matrix: sparse.csr_array, names: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    bad = np.unique(matrix.indices[~np.isfinite(matrix.data)])
    for j in bad:
        yield names[j], matrix[:, [j]].toarray().ravel()
