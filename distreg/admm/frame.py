"""The features as the method sees them, and their products: one frame for all training sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.kernels import dense
from distreg.passes import Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["Frame", "Gram", "gram"]

TILE_ROWS = 2048


@dataclass(frozen=True)
class Frame:
    """Features ``(x - origin) / scale``; dense ones come first.

    Attributes
    ----------
    origin, scale : (p,) arrays
    n_dense : int
    inside : (n_cells,) bool array
        Cells whose rows some training set may use: all but the test rows.
    """

    origin: np.ndarray
    scale: np.ndarray
    n_dense: int
    inside: np.ndarray

    def used(self, block: Block, cells: np.ndarray) -> np.ndarray:
        """Rows inside that have a weight, of rows in `cells`; (n,) bool."""
        inside = self.inside[cells]
        return np.asarray(inside if block.weight is None else inside & (block.weight > 0.0))

    def dense(self, block: Block, rows: np.ndarray) -> np.ndarray:
        """Dense features of some rows, by their numbers."""
        return dense.standardised(block.dense, rows, *self._dense)

    @property
    def _dense(self) -> tuple[np.ndarray, np.ndarray]:
        """Origin and scale of the dense features."""
        return self.origin[: self.n_dense], self.scale[: self.n_dense]

    def times(self, block: Block, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """Linear predictors (n, R) of coefficients (p, R) and intercepts (R,), with the offset."""
        d = self.n_dense
        raw = coef / self.scale[:, None]
        # a row without weight may hold anything
        with np.errstate(over="ignore", invalid="ignore"):
            eta = dense.times(block.dense, *self._dense, coef[:d])
            if block.sparse is not None:
                eta += block.sparse @ raw[d:] - self.origin[d:] @ raw[d:]
            eta += intercept
            if block.offset is not None:
                eta += block.offset[:, None]
        return eta

    def transposed(self, block: Block, values: np.ndarray) -> np.ndarray:
        """Products (p, R) of the features with `values` (n, R).

        Rows whose values are 0 are not looked at: those without a weight may hold anything.
        """
        d, rows = self.n_dense, np.flatnonzero(values.any(axis=1))
        out = np.zeros((self.origin.size, values.shape[1]))
        out[:d] = dense.transposed(block.dense, rows, *self._dense, values)
        if block.sparse is not None:
            products = block.sparse.T @ values
            if not np.isfinite(products).all():
                products = block.sparse[rows].T @ values[rows]
            out[d:] = products - np.outer(self.origin[d:], values.sum(axis=0))
            out[d:] /= self.scale[d:, None]
        return out

    def rows(self, block: Block, chosen: np.ndarray) -> np.ndarray:
        """All features of some rows, (h, p)."""
        d = self.n_dense
        out = np.empty((chosen.size, self.origin.size))
        out[:, :d] = self.dense(block, chosen)
        if block.sparse is not None:
            out[:, d:] = (block.sparse[chosen].toarray() - self.origin[d:]) / self.scale[d:]
        return out

    def columns(self, block: Block, chosen: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Some features, in ascending order, of some rows."""
        d = self.n_dense
        full, hot = features[features < d], features[features >= d]
        part = (block.dense[np.ix_(chosen, full)] - self.origin[full]) / self.scale[full]
        if block.sparse is None or hot.size == 0:
            return np.asarray(part)
        rest = (block.sparse[chosen][:, hot - d].toarray() - self.origin[hot]) / self.scale[hot]
        return np.column_stack([part, rest])

    def products(self, block: Block, chosen: np.ndarray) -> np.ndarray:
        """Products (p + 1, p + 1) of all features and 1 of some rows, with one another."""
        total = np.zeros((self.origin.size + 1, self.origin.size + 1))
        for start in range(0, chosen.size, TILE_ROWS):
            tile = self.rows(block, chosen[start : start + TILE_ROWS])
            tile = np.column_stack([tile, np.ones(len(tile))])
            total += tile.T @ tile
        return total


@dataclass(frozen=True)
class Gram:
    """Sums over the rows inside, each counted once whatever its weight.

    Attributes
    ----------
    n_rows : int
    mean : (p,) array
    values, vectors : (p,), (p, p) arrays
        Eigenvalues and vectors of the mean product about the mean, or about 0 without an intercept.
    """

    n_rows: int
    mean: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    def solve(self, right: np.ndarray, ridge: float) -> np.ndarray:
        """``(C + ridge I)^-1 right`` for (p, R)."""
        turned = self.vectors.T @ right
        return np.asarray(self.vectors @ (turned / (self.values + ridge)[:, None]))


def gram(
    dataset: Dataset, cells: Cells, frame: Frame, fit_intercept: bool
) -> Reduction[np.ndarray, Gram]:
    """The reduction that multiplies the features with one another: one pass."""

    def chunk_of(group: Group) -> Any:
        return partial(_chunk, cells.restrict(*group.row_range), frame)

    return Reduction(
        name="products",
        chunk_of=chunk_of,
        combine=_add,
        finalize=partial(_finish, fit_intercept),
    )


def _add(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left += right
    return left


def _chunk(rule: Any, frame: Frame, blocks: Iterator[Block]) -> np.ndarray:
    p = frame.origin.size
    total = np.zeros((p + 1, p + 1))
    for block in blocks:
        chosen = np.flatnonzero(frame.used(block, rule(block.row, block.fold_key)))
        total += frame.products(block, chosen)
        del block
    return total


def _finish(fit_intercept: bool, total: np.ndarray) -> Gram:
    n = int(total[-1, -1])
    mean, product = total[-1, :-1] / n, total[:-1, :-1] / n
    if fit_intercept:
        product = product - np.outer(mean, mean)
    else:
        mean = np.zeros_like(mean)
    values, vectors = np.linalg.eigh(product)
    return Gram(n, mean, np.maximum(values, 0.0), vectors)
