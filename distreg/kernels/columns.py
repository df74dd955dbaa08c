"""Sums over rows, feature by feature: means, spreads and products with the target.

All are about means. The rows of a tile stay in the cache, so that a first sweep gives their means
and a second one the sums about them; with ``d = mean_b - mean_a`` two sets of rows join by

    mean = mean_a + d W_b / W,   m2 = m2_a + m2_b + d^2 W_a W_b / W,

products with the target likewise (Chan, Golub and LeVeque). A constant stays one to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import sparse
from scipy.special import xlogy

from distreg.data.block import Block
from distreg.exceptions import DataError
from distreg.kernels import spreads, tiles
from distreg.kernels.issues import bad_weight, note
from distreg.moments import Issue, Layout

__all__ = ["ColumnAccumulator", "ColumnSums"]

_NOTHING = np.empty(0)


@dataclass
class ColumnSums:
    """Sums of k cells of rows, p features (dense ones first), Q targets.

    Attributes
    ----------
    count : (k,) int array
        Rows with positive weight.
    weight : (k,) array
    y_log_y : (k,) array
        Sum of ``s y log y``.
    target : (k, Q) array
        Means of the targets.
    spread : (k,) array
        Sum of ``s (y - mean)^2`` where Q is 1; else 0.
    present, mean, m2, low, high : (k, p) arrays
        Of the rows where a feature is present: weight, mean, squares about it, range.
    level, cross : (k, Q, p) arrays
        Of the same rows: means of the targets, and their products with the feature.
    """

    count: np.ndarray
    weight: np.ndarray
    y_log_y: np.ndarray
    target: np.ndarray
    spread: np.ndarray
    present: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: np.ndarray
    cross: np.ndarray

    @classmethod
    def zeros(cls, n_cells: int, n_features: int, n_targets: int) -> ColumnSums:
        """No rows yet."""
        one, two = (n_cells, n_features), (n_cells, n_targets, n_features)
        return cls(
            count=np.zeros(n_cells, dtype=np.int64),
            weight=np.zeros(n_cells),
            y_log_y=np.zeros(n_cells),
            target=np.zeros((n_cells, n_targets)),
            spread=np.zeros(n_cells),
            present=np.zeros(one),
            mean=np.zeros(one),
            m2=np.zeros(one),
            low=np.full(one, np.inf),
            high=np.full(one, -np.inf),
            level=np.zeros(two),
            cross=np.zeros(two),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """The sums by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def features(self) -> tuple[np.ndarray, ...]:
        """What the kernels add to."""
        return self.present, self.mean, self.m2, self.low, self.high, self.level, self.cross

    def add(self, other: ColumnSums) -> None:
        """Add the rows of `other`, cell by cell."""
        for cell in np.flatnonzero(other.count):
            self.add_cell(int(cell), other, int(cell))

    def add_cell(self, cell: int, other: ColumnSums, source: int) -> None:
        """Add the rows of the cell `source` of `other` to `cell`."""
        self.add_target(cell, other, source)
        part = tuple(values[source] for values in other.features)
        spreads.merge(tuple(values[cell] for values in self.features), 0, part)

    def add_target(self, cell: int, other: ColumnSums, source: int) -> None:
        """Add what does not concern features."""
        self.count[cell] += other.count[source]
        self.weight[cell] += other.weight[source]
        self.y_log_y[cell] += other.y_log_y[source]
        share = other.weight[source] / self.weight[cell]
        apart = other.target[source] - self.target[cell]
        self.spread[cell] += other.spread[source]
        if apart.size == 1:
            self.spread[cell] += apart[0] ** 2 * other.weight[source] * (1.0 - share)
        self.target[cell] += apart * share


class ColumnAccumulator:
    """Collects the sums of one group of blocks.

    Parameters
    ----------
    layout : Layout
        Number of cells, sparse and dense features.
    feature_names : tuple of str
        Dense features first; for the names in issues.
    fill : bool
        Dense features may be missing (NaN); otherwise that is an issue.
    n_targets : int
        Q. For Q > 1 the target holds class codes.
    nonnegative : bool
        A negative target is an issue, and ``y log y`` is summed up.
    shifted : bool
        The target is taken less the offset.

    Attributes
    ----------
    sums : ColumnSums
    missing : (n_dense,) bool array
        Where a NaN was seen.
    issues : dict
        Defects by (column, kind).
    """

    def __init__(
        self,
        layout: Layout,
        feature_names: tuple[str, ...],
        *,
        fill: bool,
        n_targets: int,
        nonnegative: bool,
        shifted: bool = False,
    ) -> None:
        self._layout = layout
        self._names = feature_names
        self._fill = fill
        self._n_targets = n_targets
        self._nonnegative = nonnegative
        self._shifted = shifted
        self._sound = True
        n_features = layout.n_dense + layout.n_sparse
        self.sums = ColumnSums.zeros(layout.n_cells, n_features, n_targets)
        self.missing = np.zeros(layout.n_dense, dtype=np.bool_)
        self.issues: dict[tuple[str, str], Issue] = {}

    def add(self, block: Block, cells: np.ndarray) -> None:
        """Add the rows of `block`; `cells` is the (n,) int array of their cells."""
        if block.n_rows == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # reported when the pass ends
            if bad_weight(block.weight):
                self._sound = False
            else:
                self._add(block, cells)
            if not self._sound:
                note(
                    self.issues, block, self._names,
                    fill=self._fill, nonnegative=self._nonnegative,
                )  # fmt: skip

    def _add(self, block: Block, cells: np.ndarray) -> None:
        weight = np.ones(block.n_rows) if block.weight is None else block.weight
        used = np.flatnonzero(weight > 0)
        y = block.y[used]
        offset = 0.0 if block.offset is None else block.offset[used].sum()
        if not np.isfinite(y.sum() + offset) or (self._nonnegative and (y < 0).any()):
            self._sound = False
            return
        if self._shifted and block.offset is not None:
            block = replace(block, y=block.y - block.offset)
            y = block.y[used]
        if self._n_targets > 1 and y.size and not (y.min() >= 0 and y.max() < self._n_targets):
            raise DataError(f"target: class codes must be 0 to {self._n_targets - 1}")
        part = self._target(y, weight[used], cells[used])
        if self._fill and used.size < block.n_rows:
            self.missing |= tiles.missing_columns(block.dense[weight == 0])
        self._add_dense(block, cells)
        if block.sparse is not None:
            self._add_sparse(block.sparse, block.y, cells, weight, part)
        for cell in np.flatnonzero(part.count):
            self.sums.add_target(int(cell), part, int(cell))
        if self.missing.any() and not self._fill:
            self._sound = False

    def _target(self, y: np.ndarray, weight: np.ndarray, cells: np.ndarray) -> ColumnSums:
        """Sums of a block that do not concern features; all weights are positive."""
        k, n_targets = self._layout.n_cells, self._n_targets
        part = ColumnSums.zeros(k, 0, n_targets)
        part.count += np.bincount(cells, minlength=k)
        part.weight += np.bincount(cells, weight, k)
        total = np.where(part.count > 0, part.weight, 1.0)[:, None]
        if n_targets > 1:
            code = cells * np.int64(n_targets) + y.astype(np.int64)
            part.target[:] = np.bincount(code, weight, k * n_targets).reshape(k, -1) / total
        elif y.size:
            part.target[:] = y[0] + np.bincount(cells, weight * (y - y[0]), k)[:, None] / total
            part.spread += np.bincount(cells, weight * (y - part.target[cells, 0]) ** 2, k)
        if self._nonnegative:
            part.y_log_y += np.bincount(cells, weight * xlogy(y, y), k)
        return part

    def _add_dense(self, block: Block, cells: np.ndarray) -> None:
        if self._layout.n_dense == 0:
            return
        of = self.sums.features, self.missing
        dense, weight = block.dense, _NOTHING if block.weight is None else block.weight
        doubles = dense.flags.c_contiguous and dense.dtype == np.float64
        if doubles and not weight.size and self._layout.n_cells == 1:
            self._sound &= spreads.add_whole(dense, block.y, *of)
        else:
            self._sound &= spreads.add_dense(dense, block.y, weight, cells, *of)

    def _add_sparse(
        self,
        matrix: sparse.csr_array,
        y: np.ndarray,
        cells: np.ndarray,
        weight: np.ndarray,
        part: ColumnSums,
    ) -> None:
        entries = matrix.data, matrix.indices, matrix.indptr
        sums = ColumnSums.zeros(self._layout.n_cells, self._layout.n_sparse, self._n_targets)
        of_cells = part.count, part.weight, part.target
        self._sound &= spreads.sum_sparse(*entries, y, cells, weight, of_cells, sums.features)
        for cell in np.flatnonzero(part.count):
            mine = tuple(values[cell] for values in self.sums.features)
            spreads.merge(
                mine, self._layout.n_dense, tuple(values[cell] for values in sums.features)
            )
