"""A random sample of rows, drawn by row number alone: how blocks are cut changes no bit of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse as sp

from distreg.data.block import Block
from distreg.data.draws import hash64

__all__ = ["Draw", "Sample", "join_sample", "sample_from_arrays", "sample_to_arrays"]

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
    """

    share: float
    seed: int
    test: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether all rows are in."""
        return self.share >= 1.0

    def __call__(self, block: Block, cells: np.ndarray) -> tuple[Block, np.ndarray]:
        """The rows of `block` that are in the sample, and their cells."""
        chosen = ~self.test[cells]
        if not self.whole:
            chosen &= hash64(self.seed, block.row) * 2.0**-64 < self.share
        if block.weight is not None:
            # such a row has no influence, but may hold anything
            chosen &= block.weight > 0
        rows = np.flatnonzero(chosen)
        part = Block(
            dense=np.ascontiguousarray(block.dense[rows], dtype=np.float64),
            sparse=None if block.sparse is None else sp.csr_array(block.sparse[rows]),
            y=block.y[rows],
            weight=None if block.weight is None else block.weight[rows],
            offset=None if block.offset is None else block.offset[rows],
            row=block.row[rows],
            source="sample",
        )
        return part, cells[rows].astype(np.int32)


def join_sample(parts: Sequence[tuple[Block, np.ndarray]], whole: bool) -> Sample:
    """One sample of parts in order of rows."""
    blocks = [block for block, _ in parts]
    vectors: dict[str, Any] = {}
    for name in _VECTORS:
        values = [getattr(block, name) for block in blocks]
        vectors[name] = None if values[0] is None else np.concatenate(values)
    matrices = [block.sparse for block in blocks]
    block = Block(
        dense=np.concatenate([block.dense for block in blocks]),
        sparse=None if matrices[0] is None else sp.csr_array(sp.vstack(matrices, format="csr")),
        source="sample",
        **vectors,
    )
    return Sample(block, np.concatenate([cells for _, cells in parts]), whole)


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
