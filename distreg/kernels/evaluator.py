"""Losses, gradients and curvature weights of many columns on one block, in one fused sweep.

For every tile of rows ``eta = Z B`` (a matrix product), then losses and weighted residuals in place
(`rows`), then ``Z'E`` (the other product). The rows of a tile belong to one cell, so that a
training set either uses all of them or none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from distreg.data.block import Block
from distreg.kernels import rows, tiles
from distreg.kernels.curvature import CurvatureSums
from distreg.kernels.sweep import MOST_COLUMNS, sweep

__all__ = ["Evaluator", "Points"]

TILE_BYTES = 2_000_000
"""Size of a tile's linear predictors: they stay in the second-level cache."""

WIDE_TILE_BYTES = 64_000_000
"""Size of a tile of many dense features."""

TILE_ROWS, MOST_TILE_ROWS = 512, 2048
"""Most rows of a tile, and of one whose features take no more than `NARROW_TILE_BYTES`."""

NARROW_TILE_BYTES = 4_000_000

FEWEST_ROWS = 64
"""Rows of a tile of many columns: fewer would make the products slow."""


@dataclass(frozen=True)
class Points:
    """Where to evaluate: F fits of C coefficient vectors each, R = F C columns.

    Attributes
    ----------
    loss, parameter, n_classes : int, float, int
        Code and parameter of the loss, and C.
    centre : (p_dense,) array
        Subtracted from the dense features; stands for their missing values.
    missing : (m,) int array
        Dense features that may be missing.
    coef : (p + m, R) array
        Coefficients of the features, and of the indicators of missing values.
    intercept : (R,) array
        Intercepts about `centre`.
    bounds : (S + 1,) int array
        Fits ``bounds[s]:bounds[s+1]`` belong to training set s.
    role : (n_cells, S) int8 array
        What the rows of a cell are to a training set (`rows.TRAIN` and so on).
    by_cell : bool
        Keep the sums and gradients of every cell apart.
    anchors : (A,) int array
        Fits whose curvature weights are wanted.
    rare : (b,) int array
        Columns of the sparse part along which the curvature of every fit is wanted.
    scale : (p_dense,) array or None
        Dense features have this size about `centre`, and products with them are of single
        precision: about 7 digits in half of the time (those of one or two columns are of double
        precision all the same). None: double precision. Sums over rows always
        are. There may be no sparse part, and only one class: what is the same for all classes has
        no curvature, which rounding must not change.
    """

    loss: int
    parameter: float
    n_classes: int
    centre: np.ndarray
    missing: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    bounds: np.ndarray
    role: np.ndarray
    by_cell: bool
    anchors: np.ndarray
    rare: np.ndarray
    scale: np.ndarray | None = None

    @property
    def n_pairs(self) -> int:
        """Pairs of classes that a curvature has."""
        return self.n_classes * (self.n_classes + 1) // 2

    @property
    def n_fits(self) -> int:
        """Number of fits."""
        return int(self.bounds[-1])


class Evaluator:
    """Adds up what the blocks of one group say about the points.

    Parameters
    ----------
    points : Points
    curvature : CurvatureSums or None
        Takes the weighted products at the anchors.
    cell_of : (n_cells,) int array
        Where a cell's products go; -1 leaves them out.

    Attributes
    ----------
    sums : list of RowSums
        One for each part; a part is a cell (`by_cell`) or all rows.
    grad : (n_parts, p + m, R) array
        ``Z'E``: the negative gradients of the training loss, times the weight of the rows.
    bend : (n_parts, b, R) array
        Sums of ``weight f'' x^2`` of the rare features.
    """

    def __init__(
        self, points: Points, curvature: CurvatureSums | None, cell_of: np.ndarray
    ) -> None:
        n_parts = len(points.role) if points.by_cell else 1
        self._points, self.curvature, self._cell_of = points, curvature, cell_of
        self.sums = [rows.RowSums.zeros(points.n_fits, points.n_classes) for _ in range(n_parts)]
        self.grad = np.zeros((n_parts, *points.coef.shape))
        self.bend = np.zeros((n_parts, points.rare.size, points.coef.shape[1]))
        width = max(points.coef.shape[1], 1)
        n_dense, n_missing = points.centre.size, points.missing.size
        few = NARROW_TILE_BYTES // (8 * max(n_dense, 1))
        height = int(np.clip(few, TILE_ROWS, MOST_TILE_ROWS))
        self._height = int(np.clip(TILE_BYTES // (8 * width), FEWEST_ROWS, height))
        last = len(points.coef) - n_missing
        most = WIDE_TILE_BYTES // (8 * max(n_dense, 1))
        self._height = min(self._height, max(most, FEWEST_ROWS))
        self._dense_rows = np.r_[0:n_dense, last : last + n_missing]
        self._sparse_rows = slice(n_dense, last)
        self._place = np.full(last - n_dense, -1)
        self._place[points.rare] = np.arange(points.rare.size)
        first = points.anchors * points.n_classes
        self._anchor_columns = np.add.outer(first, np.arange(points.n_classes)).ravel()
        used = np.flatnonzero(points.coef[self._dense_rows].any(axis=1))
        few = 2 * used.size <= self._dense_rows.size
        self._used: np.ndarray | slice = used if few else slice(None)
        self._unit = np.ones(self._dense_rows.size)
        if points.scale is not None:
            self._unit[:n_dense] = points.scale
        self._inverse = 1.0 / self._unit[:n_dense]
        self._memory: np.ndarray | None = None
        self._dtype = np.dtype(np.float64 if points.scale is None else np.float32)
        coef = points.coef[self._dense_rows[self._used]] * self._unit[self._used, None]
        with np.errstate(over="ignore"):
            self._dense_coef = np.ascontiguousarray(coef, self._dtype)

    def add(self, block: Block, cells: np.ndarray) -> None:
        """Add the rows of a block."""
        points = self._points
        if self.curvature is not None:
            self.curvature.begin(block)
        nothing = np.empty(0)
        weight = nothing if block.weight is None else block.weight
        order, bounds = tiles.order_by_cell(cells, weight, 0, block.n_rows, len(points.role))
        # points may be out of range, of single precision more so: what is not finite is refused
        with np.errstate(over="ignore", invalid="ignore"):
            for cell in np.flatnonzero(np.diff(bounds)):
                if not points.role[cell].any():
                    continue
                if self._may_sweep(block, int(cell)):
                    self._sweep(block, order[bounds[cell] : bounds[cell + 1]], int(cell))
                    continue
                for start in range(bounds[cell], bounds[cell + 1], self._height):
                    stop = min(start + self._height, bounds[cell + 1])
                    self._add_tile(block, order[start:stop], int(cell))

    def finish(self) -> None:
        """Give the sums the units of the features; no block comes after this."""
        single = self._points.scale is not None
        if single:
            self.grad *= self._unit[:, None]
        if self.curvature is not None:
            self.curvature.finish()
            if single:
                self.curvature.finish_single(self._unit)

    def _watched(self, cell: int) -> bool:
        """Whether the curvature of a cell's rows is wanted."""
        return self.curvature is not None and bool(self._cell_of[cell] >= 0)

    def _may_sweep(self, block: Block, cell: int) -> bool:
        """Whether there is no use for a copy of the rows."""
        points = self._points
        few = points.coef.shape[1] <= MOST_COLUMNS and points.missing.size == 0
        # the curvature of several classes has a weighting for each pair of them
        simple = points.n_classes == 1 or not self._watched(cell)
        return few and block.sparse is None and simple

    def _sweep(self, block: Block, chosen: np.ndarray, cell: int) -> None:
        """Add rows of one cell without a copy."""
        points, part, nothing = self._points, cell if self._points.by_cell else 0, np.empty(0)
        grad, coef = np.zeros(points.coef.shape), np.ascontiguousarray(points.coef.T)
        weight = nothing if block.weight is None else block.weight
        offset = nothing if block.offset is None else block.offset
        anchors = points.anchors if self._watched(cell) else points.anchors[:0]
        # rows that are read again for their curvature are still in the second-level cache
        step = self._height if anchors.size else chosen.size
        for start in range(0, chosen.size, step):
            some = chosen[start : start + step]
            root = np.zeros((anchors.size, some.size))
            sweep(
                (points.loss, points.parameter, points.n_classes),
                (block.dense, block.y, weight, offset),
                some,
                points.centre,
                coef,
                points.intercept,
                points.role[cell],
                points.bounds,
                self.sums[part].arrays(),
                grad,
                anchors,
                root,
            )
            if self.curvature is not None and anchors.size:
                units, into = (points.centre, self._inverse), int(self._cell_of[cell])
                self.curvature.add_rows(block.dense, some, units, root, into, self._dtype)
        # `finish` gives all gradients the units of the features
        self.grad[part] += grad / self._unit[:, None]

    def _add_tile(self, block: Block, chosen: np.ndarray, cell: int) -> None:
        points, part = self._points, cell if self._points.by_cell else 0
        tile = self._dense_tile(block, chosen)
        eta = tile[:, self._used] @ self._dense_coef
        eta = np.add(eta, points.intercept, out=eta if self._dtype == np.float64 else None)
        matrix = block.sparse
        if matrix is not None:
            entries = matrix.data, matrix.indices, matrix.indptr
            _add_product(*entries, chosen, points.coef[self._sparse_rows], eta)
        if block.offset is not None:
            eta += block.offset[chosen, None]
        y = block.y[chosen]
        weight = np.ones(chosen.size) if block.weight is None else block.weight[chosen]
        if self.curvature is not None and self._watched(cell):
            at = np.ascontiguousarray(eta[:, self._anchor_columns])
            of = rows.curvature_weights(
                points.loss, points.parameter, points.n_classes, at, y, weight
            )
            into = int(self._cell_of[cell])
            self.curvature.add(tile, chosen, of.reshape(chosen.size, -1), into)
        role = np.repeat(points.role[cell][None, :], chosen.size, axis=0)
        bend = np.empty(eta.shape if points.rare.size else (0, 0))
        rows.residual_rows(
            points.loss, points.parameter, points.n_classes, eta, y, weight, role, points.bounds,
            self.sums[part], bend,
        )  # fmt: skip
        residual = eta.astype(self._dtype, copy=False)
        for low, high in self._trained(cell):
            product = tile.T @ residual[:, low:high]
            if matrix is None:
                self.grad[part, :, low:high] += product
            else:
                self.grad[part, self._dense_rows, low:high] += product
        if matrix is not None:
            _add_transposed(*entries, chosen, eta, self.grad[part, self._sparse_rows])
            if points.rare.size:
                _add_squares(*entries, chosen, bend, self._place, self.bend[part])

    def _trained(self, cell: int) -> list[tuple[int, int]]:
        """Runs of columns that train on a cell."""
        points, runs = self._points, []
        trains = points.role[cell] == rows.TRAIN
        edges = np.flatnonzero(np.diff(np.r_[False, trains, False].astype(np.int8)))
        for first, last in edges.reshape(-1, 2):
            low, high = points.bounds[first], points.bounds[last]
            if high > low:
                runs.append((int(low) * points.n_classes, int(high) * points.n_classes))
        return runs

    def _dense_tile(self, block: Block, chosen: np.ndarray) -> np.ndarray:
        """Centred dense features and indicators of some rows, (h, p_dense + m)."""
        points, n_dense = self._points, block.dense.shape[1]
        if self._memory is None:
            # used again and again: fresh pages cost as much as filling them
            self._memory = np.empty((self._height, n_dense + points.missing.size), self._dtype)
        tile = self._memory[: chosen.size]
        fill = tiles.centre_rows if block.dense.flags.c_contiguous else tiles.centre_columns
        fill(block.dense, chosen, points.centre, self._inverse, tile)
        if points.missing.size:
            tile[:, n_dense:] = np.isnan(block.dense[np.ix_(chosen, points.missing)])
        return tile


@njit(cache=True, nogil=True)
def _add_product(data, indices, indptr, chosen, coef, eta):  # type: ignore[no-untyped-def]
    """``eta += S[chosen] coef``."""
    for i in range(chosen.shape[0]):
        for k in range(indptr[chosen[i]], indptr[chosen[i] + 1]):
            value, row = data[k], coef[indices[k]]
            for r in range(eta.shape[1]):
                eta[i, r] += value * row[r]


@njit(cache=True, nogil=True)
def _add_transposed(data, indices, indptr, chosen, residual, grad):  # type: ignore[no-untyped-def]
    """``grad += S[chosen]' residual``."""
    for i in range(chosen.shape[0]):
        for k in range(indptr[chosen[i]], indptr[chosen[i] + 1]):
            value, row = data[k], grad[indices[k]]
            for r in range(residual.shape[1]):
                row[r] += value * residual[i, r]


@njit(cache=True, nogil=True)
def _add_squares(data, indices, indptr, chosen, bend, place, total):  # type: ignore[no-untyped-def]
    """``total[place] += (S * S)[chosen]' bend`` of the columns that have a place."""
    for i in range(chosen.shape[0]):
        for k in range(indptr[chosen[i]], indptr[chosen[i] + 1]):
            if place[indices[k]] >= 0:
                value, row = data[k] * data[k], total[place[indices[k]]]
                for r in range(bend.shape[1]):
                    row[r] += value * bend[i, r]
