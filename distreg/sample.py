"""A random sample of rows, drawn by row number alone: how blocks are cut changes no bit of it.

Every row has a random number that follows from its row number. A row is in the sample when that is
below the share of rows asked for; and, of a target of classes, when it is among the smallest ones
of its class, so that a rare class has enough rows, too. Such samples of parts can be merged: the
smallest numbers of all are among the smallest ones of a part. Weights make up for what a class has
more than its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse as sp

from distreg.data.block import Block
from distreg.data.draws import hash64
from distreg.kernels.spreads import gather

__all__ = ["Draw", "Part", "Sample", "join_sample", "sample_from_arrays", "sample_to_arrays"]

Part = tuple[Block, np.ndarray]
"""Some rows in their order, and their cells."""

_VECTORS = ("y", "weight", "offset", "row")


@dataclass(frozen=True)
class Sample:
    """Some rows in memory, none of them of weight 0 or for testing.

    Attributes
    ----------
    block : Block
        The rows in their order: dense features float64 in C order.
    cells : (m,) int32 array
        Their cells.
    whole : bool
        It holds all rows that a model is fitted to.
    """

    block: Block
    cells: np.ndarray
    whole: bool


@dataclass(frozen=True)
class Draw:
    """Which rows are in the sample.

    Attributes
    ----------
    share : float
        Of the rows; 1 or more takes all.
    seed : int
    test : (n_cells,) bool array
        Cells to leave out.
    n_classes : int
        Classes whose codes the target holds; 0 for other targets.
    least : int
        Rows of each class, if there are so many.
    """

    share: float
    seed: int
    test: np.ndarray
    n_classes: int = 0
    least: int = 0

    @property
    def whole(self) -> bool:
        """Whether all rows are in."""
        return self.share >= 1.0

    def __call__(self, block: Block, cells: np.ndarray) -> tuple[Part, np.ndarray]:
        """The rows of `block` that may be in the sample, and how many of each class it has."""
        eligible = ~self.test[cells]
        if block.weight is not None:
            # such a row has no influence, but may hold anything
            eligible &= block.weight > 0
        found = np.flatnonzero(eligible)
        rows = found[self._kept(block.row[found], block.y[found])]
        weight, offset = block.weight, block.offset
        part = Block(
            dense=_dense_rows(block.dense, rows),
            sparse=None if block.sparse is None else sp.csr_array(block.sparse[rows]),
            y=block.y[rows],
            weight=None if weight is None else weight[rows],
            offset=None if offset is None else offset[rows],
            row=block.row[rows],
            source="sample",
        )
        return (part, cells[rows].astype(np.int32)), self._counts(block.y[found])

    def trim(self, parts: list[Part]) -> list[Part]:
        """Drop rows that are not in the sample of all parts together, where these are many.

        To drop a few would mean to copy all others.
        """
        rows = self._rows(parts)
        if 2 * sum(map(len, rows)) > sum(len(cells) for _, cells in parts):
            return parts
        return [
            (_take(block, some), cells[some])
            for (block, cells), some in zip(parts, rows, strict=True)
        ]

    def sample(self, parts: list[Part], counts: np.ndarray) -> Sample:
        """The sample of all parts, in order of rows.

        Weights give each class its share of the rows, of which there are so many: `counts`.
        """
        sample = join_sample(parts, self.whole, self._rows(parts))
        return self._weighted(sample, counts)

    def _rows(self, parts: list[Part]) -> list[np.ndarray]:
        """Which rows of each part are in the sample of all parts together."""
        sizes = [len(cells) for _, cells in parts]
        if self.whole or not self.n_classes or not parts:
            return [np.arange(size) for size in sizes]
        row, y = (np.concatenate([getattr(block, n) for block, _ in parts]) for n in ("row", "y"))
        masks = np.split(self._kept(row, y), np.cumsum(sizes)[:-1])
        return [np.flatnonzero(mask) for mask in masks]

    def _weighted(self, sample: Sample, counts: np.ndarray) -> Sample:
        if self.whole or not self.n_classes:
            return sample
        block = sample.block
        drawn = np.maximum(self._counts(block.y), 1)
        factor = (self.share * counts / drawn)[block.y.astype(np.intp)]
        weight = factor if block.weight is None else block.weight * factor
        return replace(sample, block=replace(block, weight=weight))

    def _kept(self, row: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Which of some rows are in a sample of them, (n,) bool."""
        if self.whole:
            return np.ones(row.size, dtype=bool)
        drawn = hash64(self.seed, row)
        kept = np.asarray(drawn * 2.0**-64 < self.share)
        for code in range(self.n_classes):
            of = np.flatnonzero(y == code)
            if of.size > self.least:
                of = of[np.argpartition(drawn[of], self.least)[: self.least]]
            kept[of] = True
        return kept

    def _counts(self, y: np.ndarray) -> np.ndarray:
        """Rows of each class, (n_classes,); a target that is no code is named elsewhere."""
        known = (y >= 0) & (y < self.n_classes)
        return np.bincount(y[known].astype(np.int64), minlength=self.n_classes)


def _take(block: Block, rows: np.ndarray) -> Block:
    """Some rows of a block."""
    vectors: dict[str, Any] = {}
    for name in _VECTORS:
        values = getattr(block, name)
        vectors[name] = None if values is None else values[rows]
    return Block(
        dense=_dense_rows(block.dense, rows),
        sparse=None if block.sparse is None else sp.csr_array(block.sparse[rows]),
        source=block.source,
        **vectors,
    )


def _dense_rows(dense: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows, float64 in C order; NumPy would keep Python's lock while it copies."""
    out = np.empty((rows.size, dense.shape[1]))
    gather(dense, rows, 0, dense.flags.c_contiguous, out)
    return out


def join_sample(
    parts: Sequence[Part], whole: bool = False, chosen: Sequence[np.ndarray] | None = None
) -> Sample:
    """One sample of all rows of the parts, or of those chosen, in the order of the parts."""
    rows = chosen or [np.arange(len(cells)) for _, cells in parts]
    blocks = [block for block, _ in parts]
    vectors: dict[str, Any] = {}
    for name in _VECTORS:
        values = [getattr(block, name) for block in blocks]
        vectors[name] = None if values[0] is None else _joined(values, rows)
    dense = np.empty((sum(map(len, rows)), blocks[0].dense.shape[1]))
    ends = np.cumsum([len(some) for some in rows])
    for block, some, end in zip(blocks, rows, ends, strict=True):
        gather(block.dense, some, 0, block.dense.flags.c_contiguous, dense[end - len(some) : end])
    matrices = [block.sparse for block in blocks]
    some_rows = [
        m if len(some) == m.shape[0] else m[some]
        for m, some in zip(matrices, rows, strict=True)
        if m is not None
    ]
    sparse = sp.csr_array(sp.vstack(some_rows, format="csr")) if some_rows else None
    block = Block(dense=dense, sparse=sparse, source="sample", **vectors)
    return Sample(block, _joined([cells for _, cells in parts], rows), whole)


def _joined(values: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([of[some] for of, some in zip(values, rows, strict=True)])


def sample_to_arrays(sample: Sample) -> dict[str, np.ndarray]:
    """Arrays for a checkpoint."""
    block = sample.block
    arrays = {"dense": block.dense, "cells": sample.cells}
    arrays |= {name: getattr(block, name) for name in _VECTORS if getattr(block, name) is not None}
    if block.sparse is not None:
        matrix = block.sparse
        arrays |= {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
        arrays["shape"] = np.array(matrix.shape)
    return {f"sample_{name}": values for name, values in arrays.items()}


def sample_from_arrays(arrays: Mapping[str, np.ndarray]) -> Sample:
    """Inverse of `sample_to_arrays`, but for `whole`."""
    of = {name[7:]: values for name, values in arrays.items() if name.startswith("sample_")}
    matrix = None
    if "data" in of:
        parts = of["data"], of["indices"], of["indptr"]
        matrix = sp.csr_array(parts, shape=tuple(int(size) for size in of["shape"]))
    vectors: dict[str, Any] = {name: of.get(name) for name in _VECTORS}
    block = Block(dense=of["dense"], sparse=matrix, source="sample", **vectors)
    return Sample(block, of["cells"], whole=False)
