"""Reads a whole data set, block by block, for comparison with what went in."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import dask
import numpy as np

from distreg.data.block import Block
from distreg.data.dataset import Dataset


@dataclass(frozen=True)
class Whole:
    """All rows of a data set."""

    X: np.ndarray
    y: np.ndarray
    row: np.ndarray
    weight: np.ndarray | None
    offset: np.ndarray | None
    fold_key: np.ndarray | None
    blocks: tuple[Block, ...]


def read(data: Dataset) -> Whole:
    """Every block once, by way of pickle where blocks would travel to a worker."""
    blocks: list[Block] = []
    for group in data.groups:
        inputs = tuple(tuple(dask.compute(*r.inputs)) for r in group.recipes)
        if not data.in_memory and not any(inputs):
            group = pickle.loads(pickle.dumps(group))  # noqa: S301 - own bytes
        blocks += group.blocks(inputs)
    for block in blocks:
        check_block(block, data)

    def join(name: str) -> np.ndarray | None:
        parts = [getattr(block, name) for block in blocks]
        return None if parts[0] is None else np.concatenate(parts)

    X = np.vstack(
        [b.dense if b.sparse is None else np.hstack([b.dense, b.sparse.toarray()]) for b in blocks]
    )
    y, row = join("y"), join("row")
    assert y is not None
    assert row is not None
    return Whole(X, y, row, join("weight"), join("offset"), join("fold_key"), tuple(blocks))


def check_block(block: Block, data: Dataset) -> None:
    """What every block promises."""
    n = block.n_rows
    assert block.dense.shape == (n, data.n_dense)
    assert block.dense.dtype in (np.float64, np.float32)
    assert block.dense.flags.c_contiguous or block.dense.flags.f_contiguous
    assert type(block.dense) is np.ndarray
    if data.n_sparse:
        assert block.sparse is not None
        assert block.sparse.shape == (n, data.n_sparse)
        assert block.sparse.format == "csr"
        assert block.sparse.dtype == np.float64
        assert block.sparse.indices.dtype == np.int32
        assert block.sparse.has_canonical_format
        assert np.all(block.sparse.data != 0.0)
    else:
        assert block.sparse is None
    assert block.row.dtype == np.int64
    assert np.all(np.diff(block.row) > 0)
    assert block.source
    has = {"y": data.has_y, "weight": data.has_weight, "offset": data.has_offset}
    for name, wanted in has.items():
        values = getattr(block, name)
        if wanted:
            assert values.dtype == np.float64
            assert values.shape == (n,)
        else:
            assert values is None or (name == "y" and values.size == 0)
    if data.fold_key is not None:
        assert block.fold_key is not None
        assert block.fold_key.dtype == np.int64
        assert block.fold_key.shape == (n,)
