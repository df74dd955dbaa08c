"""How much memory a run needs, from sizes alone. The numbers in capitals were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

from distreg.glm.anchors import METRIC_BYTES, OWN_BYTES
from distreg.glm.problem import CURVATURE_BYTES
from distreg.moments import Layout, Moments

__all__ = ["GlmMemory", "Memory", "memory_of_halves"]

BASE_BYTES = 300_000_000
"""What a Python process with NumPy, SciPy, numba, pandas and Dask holds before any data."""

BLOCK_COPIES = 3
"""Copies of a block that exist at once: as stored, decoded, centred and weighted."""

FULL_COPIES, SET_COPIES, GAP_COPIES = 6, 13, 3
"""Matrices of p x p numbers: for the full data, for each training set that is being fitted, and,
with missing indicators counted in p, for each training set with gaps."""

ANCHORS = 8
"""Fits of each path at which a pass collects the curvature."""

OWN_ANCHORS = 0.0
"""Share of the folds, 0 to 1, whose curvature is collected too, beside that of the full data."""

COLUMN_COPIES = 3
"""Arrays of one number for each fit, class and feature: coefficients, gradients, trial points."""

METRIC_COPIES = 1
"""Matrices for each anchor, training set and pair of coefficients, kept between passes."""

STEP_COPIES = 4
"""Matrices of that size in each thread while it makes a step: mixed, profiled, scaled, solved."""

TILE_BYTES = 4_000_000
"""A tile of rows in a pass: its features and their linear predictors."""


@dataclass(frozen=True)
class Memory:
    """What memory depends on, for the squared loss.

    Attributes
    ----------
    n_dense, n_sparse, n_missing : int
        Numeric and one-hot features, and missing indicators.
    n_cells, n_folds, n_paths : int
        Cells of rows, folds, and (l1_ratio, alpha) pairs.
    n_groups, block_bytes, input_bytes : int
        Tasks, the largest block, and the Dask inputs of the largest task.
    threads, path_threads : int
        In each worker, and in this process after the pass.
    local : bool
        True on threads of this process.
    """

    n_dense: int
    n_sparse: int
    n_missing: int
    n_cells: int
    n_folds: int
    n_paths: int
    n_groups: int
    block_bytes: int
    input_bytes: int
    threads: int
    path_threads: int
    local: bool

    @property
    def state(self) -> int:
        """Bytes of the moments that a task returns."""
        return Moments.state_bytes(
            Layout(self.n_cells, self.n_sparse, self.n_dense), self.n_missing
        )

    @property
    def worker(self) -> int:
        """Each thread holds a block and a state; finished states wait for their neighbours."""
        busy = min(self.threads, max(self.n_groups, 1))
        # finished neighbours are combined first, which leaves about half the depth of the tree
        waiting = math.ceil(math.log2(max(self.n_groups, 1)) / 2) + 1
        each = BLOCK_COPIES * self.block_bytes + self.input_bytes + self.state
        return BASE_BYTES + busy * each + waiting * self.state

    @property
    def client(self) -> int:
        """The merged moments, the full covariance, and a training set for each thread."""
        p = self.n_dense + self.n_sparse
        width = p + self.n_missing
        busy = min(self.path_threads, self.n_folds)
        sets = (FULL_COPIES + busy * SET_COPIES) * p**2
        gaps = busy * GAP_COPIES * width**2 if self.n_missing else 0
        coefs = self.n_paths * (self.n_folds + 1) * p
        return BASE_BYTES + self.state + 8 * (sets + gaps + coefs)

    def peaks(self) -> tuple[int, int]:
        """Bytes of each worker and of this process; the same when this process is the worker."""
        if self.local:
            both = max(self.worker, self.client)
            return both, both
        return self.worker, self.client

    def with_folds(self, n_folds: int) -> Self:
        """The same with another number of folds."""
        return replace(self, n_folds=n_folds, n_cells=self.n_cells - self.n_folds + n_folds)

    def with_features(self, n_features: int) -> Self:
        """The same with fewer features of each kind."""
        share = n_features / max(self.n_dense + self.n_sparse, 1)
        return replace(
            self,
            n_dense=math.ceil(self.n_dense * share),
            n_sparse=math.ceil(self.n_sparse * share),
            n_missing=math.ceil(self.n_missing * share),
        )


@dataclass(frozen=True)
class GlmMemory(Memory):
    """What memory depends on, for any other loss.

    Attributes
    ----------
    n_classes : int
        Coefficient vectors of a fit: the classes of a multinomial model, else 1.
    n_ratios : int
        Paths (l1_ratios).
    """

    n_classes: int = 1
    n_ratios: int = 1

    @property
    def gradients(self) -> int:
        """Bytes of the gradients of all fits."""
        width = self.n_dense + self.n_sparse + self.n_missing
        return 8 * width * self.n_paths * (self.n_folds + 1) * self.n_classes

    @property
    def anchors(self) -> tuple[int, int]:
        """Fits at which curvature is collected: of the full data, and of folds."""
        of_full = ANCHORS * self.n_ratios
        return of_full, math.ceil(of_full * OWN_ANCHORS * self.n_folds)

    @property
    def curvature(self) -> int:
        """Bytes of the curvature: at every anchor one Gram matrix a cell and pair of classes."""
        pairs = self.n_classes * (self.n_classes + 1) // 2
        return sum(self.anchors) * pairs * super().state

    @property
    def metrics(self) -> int:
        """Numbers of the metrics of all anchors and training sets."""
        p, (of_full, of_folds) = self.n_classes * (self.n_dense + self.n_sparse), self.anchors
        return METRIC_COPIES * (of_full * (self.n_folds + 1) + of_folds) * p**2

    @property
    def state(self) -> int:
        """Bytes of what a task returns."""
        return self.gradients + self.curvature

    @property
    def worker(self) -> int:
        """As for the squared loss, with the columns' coefficients and a tile for each thread."""
        busy = min(self.threads, max(self.n_groups, 1))
        return super().worker + self.gradients + busy * TILE_BYTES

    @property
    def client(self) -> int:
        """The merged state, the columns, and the metrics of all anchors and training sets."""
        p, n_sets = self.n_classes * (self.n_dense + self.n_sparse), self.n_folds + 1
        columns = COLUMN_COPIES * self.n_paths * n_sets * p
        steps = STEP_COPIES * self.path_threads * p**2
        return BASE_BYTES + self.state + 8 * (columns + self.metrics + steps)

    def peaks(self) -> tuple[int, int]:
        """Bytes of each worker and of this process, which keeps its metrics during a pass."""
        if not self.local:
            return self.worker, self.client
        both = self.worker + self.client - BASE_BYTES - self.state
        return both, both


@dataclass(frozen=True)
class HalvesMemory(GlmMemory):
    """The same with very many training sets.

    Beyond some size their cells share a curvature, and their metrics are made in turn.
    """

    @property
    def curvature(self) -> int:
        """Bytes of the curvature, at most what a task may hold, or one Gram matrix an anchor."""
        shared = super().curvature // max(self.n_cells, 1)
        return min(super().curvature, max(CURVATURE_BYTES + OWN_BYTES, shared))

    @property
    def metrics(self) -> int:
        """Numbers of the metrics that are kept at once."""
        p, of_full = self.n_classes * (self.n_dense + self.n_sparse), self.anchors[0]
        return min(super().metrics, METRIC_COPIES * max(METRIC_BYTES // 8, of_full * p**2))


def memory_of_halves(memory: Memory, n_alphas: int) -> Memory:
    """What stability selection needs, one path of `n_alphas`, from what `memory` says of folds."""
    memory = replace(memory, n_paths=n_alphas)
    if not isinstance(memory, GlmMemory):
        return memory
    known = {f.name: getattr(memory, f.name) for f in fields(memory)}
    return HalvesMemory(**{**known, "n_ratios": 1})
