"""What a pass reads: blocks, the recipes that make them, and groups of recipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from scipy import sparse

__all__ = ["Block", "BlockRecipe", "Group"]


@dataclass(frozen=True)
class Block:
    """Some consecutive rows of the data set, in memory.

    The feature matrix is ``hstack([dense, sparse])``: all dense features first.

    Attributes
    ----------
    dense : (n, p_dense) float64 or float32 array
        C or Fortran order. NaN is a missing value.
    sparse : (n, p_sparse) csr_array of float64, or None
        Rows hold sorted, unique column indices.
    y : (n,) float64 array
        Target. Empty (length 0) when the data set has none.
    weight : (n,) float64 array or None
        Sample weights; None means 1.
    offset : (n,) float64 array or None
        Known part of the linear predictor.
    row : (n,) int64 array
        Row numbers in the data set, from 0, ascending.
    fold_key : (n,) int64 array or None
        Content of the fold or group column, when folds are built from a column.
    source : str
        Where the rows come from, for messages ("flights.parquet, row group 3").
    """

    dense: np.ndarray
    sparse: sparse.csr_array | None
    y: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    row: np.ndarray
    fold_key: np.ndarray | None = None
    source: str = ""

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.dense.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes held by the feature matrix and the per-row arrays."""
        total = self.dense.nbytes + self.y.nbytes
        if self.sparse is not None:
            s = self.sparse
            total += s.data.nbytes + s.indices.nbytes + s.indptr.nbytes
        for part in (self.weight, self.offset, self.fold_key):
            total += 0 if part is None else part.nbytes
        return int(total)


class BlockRecipe(Protocol):
    """How to make one block. Small and picklable, unless the data are already in this process.

    `inputs` holds the Dask objects (delayed) that must be computed first; `load` receives their
    values. Most recipes need none: they open a file, read and close it.
    """

    @property
    def index(self) -> int:
        """Position in the data set."""
        ...

    @property
    def row_start(self) -> int:
        """Number of the first row."""
        ...

    @property
    def n_rows(self) -> int:
        """Rows, with those that are left out because something is missing."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the block, decoded (an estimate)."""
        ...

    @property
    def source(self) -> str:
        """Where the rows come from, for messages."""
        ...

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Dask objects to compute first."""
        ...

    def load(self, *inputs: Any) -> Block:
        """Make the block."""
        ...


@dataclass(frozen=True)
class Group:
    """Consecutive blocks that one task reads, one after the other.

    Groups follow from the data alone, never from the workers, so that every cluster adds the same
    numbers in the same order.
    """

    index: int
    recipes: tuple[BlockRecipe, ...]

    @property
    def row_range(self) -> tuple[int, int]:
        """First row and the row after the last."""
        last = self.recipes[-1]
        return self.recipes[0].row_start, last.row_start + last.n_rows

    def blocks(self, inputs: tuple[tuple[Any, ...], ...]) -> Iterator[Block]:
        """Make the blocks in order, holding one at a time.

        Recipes that share a `stream_key` are slices of one storage unit, which `load_run` decodes
        once for all of them.
        """
        pairs = zip(self.recipes, inputs, strict=True)
        for key, run in groupby(pairs, key=lambda pair: getattr(pair[0], "stream_key", None)):
            if key is None:
                for recipe, values in run:
                    yield recipe.load(*values)
            else:
                recipes: tuple[Any, ...] = tuple(recipe for recipe, _ in run)
                yield from recipes[0].load_run(recipes)
