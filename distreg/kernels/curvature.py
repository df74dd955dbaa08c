"""Weighted products of the features of some rows, under many weightings at once.

A weighting is the second derivative of the loss at one anchor, for one pair of classes. All of them
use the tiles of `evaluator` as they are: gathered, centred and of one cell each. A metric needs few
digits, so one centre serves all cells, unlike the moments of the squared loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse as sp

from distreg.data.block import Block
from distreg.kernels import tiles

__all__ = ["CurvatureSums", "Watched"]

LIFT = 16 * float(np.finfo(np.float32).eps)
"""Of the diagonal: more than the rounding of the sum of a tile in single precision."""


@dataclass(frozen=True)
class Watched:
    """Features that products are wanted of.

    Attributes
    ----------
    columns : (r - 1,) int array
        Columns of a tile ``[dense features, indicators of missing values]``.
    sparse : (s,) int array
        Columns of the sparse part.
    missing : (m,) int array
        Places, among the dense watched features, of those that the indicators belong to.
    """

    columns: np.ndarray
    sparse: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, n_dense: int, missing: np.ndarray) -> Watched:
        """From feature numbers (ascending, dense ones first) and those that may be missing."""
        dense = features[features < n_dense]
        known = np.isin(missing, dense)
        return cls(
            columns=np.concatenate([dense, n_dense + np.flatnonzero(known)]),
            sparse=features[features >= n_dense] - n_dense,
            missing=np.searchsorted(dense, missing[known]),
        )


class CurvatureSums:
    """Sums over rows of ``weight z z'`` with ``z = [dense, indicators, sparse, 1]``.

    Parameters
    ----------
    watched : Watched
    n_weightings, n_cells : int

    Attributes
    ----------
    dense : (n_weightings, n_cells, r, r) array
        Products of ``[dense, indicators, 1]``.
    cross : (n_weightings, n_cells, s, r) array
    sparse : (n_weightings, n_cells, s, s) array
        Lower triangle.
    """

    def __init__(self, watched: Watched, n_weightings: int, n_cells: int) -> None:
        self._watched = watched
        r, s = watched.columns.size + 1, watched.sparse.size
        self.dense = np.zeros((n_weightings, n_cells, r, r))
        self.cross = np.zeros((n_weightings, n_cells, s, r))
        self.sparse = np.zeros((n_weightings, n_cells, s, s))
        self._matrix: sp.csr_array | None = None
        self._memory = np.empty((0, r))

    @staticmethod
    def n_bytes(n_dense: int, n_sparse: int, n_missing: int, n_cells: int) -> int:
        """Bytes of one weighting."""
        r = n_dense + n_missing + 1
        return 8 * n_cells * (r * r + n_sparse * r + n_sparse**2)

    def begin(self, block: Block) -> None:
        """Take up the sparse part of the block whose rows come next."""
        watched = self._watched
        self._matrix = None
        if block.sparse is not None and watched.sparse.size:
            whole = watched.sparse.size == block.sparse.shape[1]
            self._matrix = block.sparse if whole else sp.csr_array(block.sparse[:, watched.sparse])

    def add(self, tile: np.ndarray, chosen: np.ndarray, weight: np.ndarray, cell: int) -> None:
        """Add the rows `chosen` of the block, of one cell.

        Parameters
        ----------
        tile : (h, n_columns) array
            Their centred dense features and indicators.
        chosen : (h,) int array
        weight : (h, n_weightings) array
            Not negative.
        cell : int
        """
        root = np.sqrt(weight).astype(tile.dtype, copy=False)
        weighted = self._room(len(tile), tile.dtype)
        for k in range(weight.shape[1]):
            tiles.weight_rows(tile, self._watched.columns, root[:, k], weighted)
            # a symmetric rank-k update that lets other threads run
            self.dense[k, cell] += weighted.T @ weighted
            if self._matrix is not None:
                entries = self._matrix.data, self._matrix.indices, self._matrix.indptr
                parts = self.cross[k], self.sparse[k]
                tiles.add_one_hot(*entries, chosen, cell, weighted, *parts)

    def add_rows(
        self,
        dense: np.ndarray,
        chosen: np.ndarray,
        units: tuple[np.ndarray, np.ndarray],
        root: np.ndarray,
        cell: int,
        dtype: np.dtype[Any],
    ) -> None:
        """As `add`, from a block without a tile: there is neither a sparse part nor an indicator.

        Parameters
        ----------
        dense : (n, p) array
        chosen : (h,) int array
        units : tuple of (p,) arrays
            The centre, and what the features about it are multiplied by.
        root : (n_weightings, h) array
            Roots of the weights.
        cell : int
        dtype : dtype
            Of the products of these rows.
        """
        weighted = self._room(chosen.size, dtype)
        by_rows = dense.flags.c_contiguous
        fill = tiles.weight_block_rows if by_rows else tiles.weight_block_columns
        for k, factor in enumerate(root):
            fill(dense, chosen, self._watched.columns, *units, factor, weighted)
            self.dense[k, cell] += weighted.T @ weighted

    def _room(self, n_rows: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Memory for weighted rows: fresh pages cost as much as filling them."""
        if len(self._memory) < n_rows:
            self._memory = np.empty((n_rows, self._watched.columns.size + 1), dtype)
        return self._memory[:n_rows]

    def finish(self) -> None:
        """Let go of what only blocks need."""
        self._matrix, self._memory = None, np.empty((0, self._watched.columns.size + 1))

    def finish_single(self, unit: np.ndarray) -> None:
        """Multiply dense features, whose products are of single precision, by `unit` (n_columns,).

        The diagonal is raised so that the products are those of a semidefinite matrix again.
        """
        both = np.append(unit[self._watched.columns], 1.0)
        self.dense *= np.multiply.outer(both, both)
        at = np.arange(both.size)
        self.dense[:, :, at, at] *= 1.0 + LIFT

    def __iadd__(self, other: CurvatureSums) -> CurvatureSums:
        self.dense += other.dense
        self.cross += other.cross
        self.sparse += other.sparse
        return self

    def gram(self, weighting: int) -> np.ndarray:
        """Products of ``[dense, sparse, indicators, 1]``, (n_cells, w + m + 1, w + m + 1)."""
        dense = self.dense[weighting]
        s, m = self._watched.sparse.size, self._watched.missing.size
        if not s:
            return np.asarray(dense)
        r = dense.shape[1]
        d = r - m - 1
        gram = np.empty((len(dense), s + r, s + r))
        at = np.r_[0:d, d + s : s + r]
        for cell in range(len(dense)):
            gram[cell][np.ix_(at, at)] = dense[cell]
            gram[cell, d : d + s, at] = self.cross[weighting, cell].T
            gram[cell, at, d : d + s] = self.cross[weighting, cell].T
            tiles.mirror_lower(self.sparse[weighting, cell])
            gram[cell, d : d + s, d : d + s] = self.sparse[weighting, cell]
        return gram
