"""Evaluates requests on a sample of rows in memory, as a pass does on all of them."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from scipy import sparse as sp

from distreg.data.block import Block
from distreg.evaluation import Evaluate, Evaluation, Request, evaluate, finish, join
from distreg.summary import Sample
from distreg.threads import mapped

__all__ = ["evaluate_on", "weights_of"]

PARTS = 8
"""Parts that a sample is cut into, from its size alone, so that threads change no bit."""

PART_BYTES = 4_000_000
"""Smaller parts would take as long to begin as to evaluate."""


def evaluate_on(sample: Sample, n_threads: int) -> Evaluate:
    """Return a function that evaluates requests on the sample."""
    n_rows = sample.block.n_rows
    n_parts = int(np.clip(sample.block.nbytes // PART_BYTES, 1, PARTS))
    bounds = np.linspace(0, n_rows, n_parts + 1).astype(int)
    parts = [
        (_rows(sample.block, a, b), sample.cells[a:b])
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]

    def run(request: Request) -> Evaluation:
        # one after the other, for each may hold the curvature of many anchors
        states = mapped(n_threads, lambda part: evaluate(request, iter([part])), parts)
        return finish(request, functools.reduce(join, states))

    return run


def weights_of(sample: Sample, n_cells: int) -> np.ndarray:
    """Weight of the sample's rows in each cell, (n_cells,)."""
    weight = sample.block.weight
    return np.bincount(sample.cells, weight, n_cells).astype(np.float64)


def _rows(block: Block, start: int, stop: int) -> Block:
    def cut(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[start:stop]

    return replace(
        block,
        dense=block.dense[start:stop],
        sparse=None if block.sparse is None else sp.csr_array(block.sparse[start:stop]),
        y=block.y[start:stop],
        weight=cut(block.weight),
        offset=cut(block.offset),
        row=block.row[start:stop],
        fold_key=cut(block.fold_key),
    )
