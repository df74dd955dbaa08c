"""How much memory a run needs, from sizes alone. The numbers in capitals were measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

from distreg.kernels.curvature import CurvatureSums
from distreg.moments import Layout, Moments

__all__ = ["GlmMemory", "Memory"]

BASE_BYTES = 350_000_000
"""What a Python process with NumPy, SciPy, numba, pandas and Dask holds before any data."""

BLOCK_COPIES = 3
"""Copies of a block that exist at once: as stored, decoded, centred and weighted."""

FULL_COPIES, SET_COPIES, GAP_COPIES = 6, 13, 3
"""Matrices of p x p numbers: for the full data, for each training set that is being fitted, and,
with missing indicators counted in p, for each training set with gaps."""

COLUMN_COPIES = 9
"""Arrays of one number for each fit, class and feature: coefficients, gradients, trial points, and
both sides of three pairs. With sparse features there is one more: the curvature along each."""

SAMPLE_COPIES = 2
"""A sample, and what it was merged of."""

GUIDE_COPIES = 9
"""The same of what a sample says of them: where they stood, gradients, and those of three moves."""

BATCH_COPIES = 12
"""The same for the columns of a batch, with what is computed from them at once."""

STEP_COPIES = 3
"""Matrices of p x p numbers in each thread while it makes a step: mixed, packed, factored."""

KEPT = 1.6
"""What a process holds over what it uses at its peak, with curvature of all features: room between
pieces that were given back (1.2 to 1.6 measured)."""

TILE_BYTES = 4_000_000
"""A tile of rows in a pass: its features and their linear predictors."""


@dataclass(frozen=True)
class Memory:
    """What memory depends on, for Gram matrices.

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

    def with_path(self, n_alphas: int) -> Self:
        """What one path of `n_alphas` needs."""
        return replace(self, n_paths=n_alphas)

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
    """What memory depends on, for Newton's method.

    Attributes
    ----------
    n_classes : int
        Coefficient vectors of a fit: the classes of a multinomial model, else 1.
    n_ratios : int
        Paths (l1_ratios).
    has_ridge : bool
        Whether one of them has no L1 part.
    approximate : bool
        Whether folds take one step.
    """

    n_classes: int = 1
    n_ratios: int = 1
    has_ridge: bool = False
    approximate: bool = False

    def with_path(self, n_alphas: int) -> Self:
        """What one path of `n_alphas` needs."""
        return replace(self, n_paths=n_alphas, n_ratios=1)

    @property
    def wide(self) -> bool:
        """Whether a working set of features has curvature, batch by batch."""
        from distreg.glm.working import is_wide

        ratio = 0.0 if self.has_ridge else 1.0
        return is_wide(self.n_dense + self.n_sparse, self.n_classes, (ratio,) * self.n_ratios)

    @property
    def guided(self) -> bool:
        """Whether a sample of the rows may correct steps, with curvature of its own."""
        return not (self.wide or self.n_sparse or self.n_classes > 1)

    @property
    def set_size(self) -> int:
        """Most features that have curvature."""
        from distreg.glm.working import largest_set

        p = self.n_dense + self.n_sparse
        return min(largest_set(self.n_classes, self.n_ratios, self.n_cells), p) if self.wide else p

    @property
    def columns(self) -> int:
        """Columns that advance in the same passes."""
        from distreg.glm.batches import longest

        n_alphas, per_alpha = self.n_paths // self.n_ratios, self.n_ratios * (self.n_folds + 1)
        if self.wide:
            width = (self.n_dense + self.n_sparse) * self.n_classes
            n_alphas = min(n_alphas, longest(8 * width * per_alpha))
        return n_alphas * per_alpha

    @property
    def gradients(self) -> int:
        """Bytes of the gradients of these columns, and of the curvature along sparse features."""
        width = self.n_dense + self.n_sparse * (1 if self.wide else 2) + self.n_missing
        return 8 * width * self.columns * self.n_classes

    @property
    def anchors(self) -> int:
        """Fits at which curvature is collected: of the full data, and of folds where it fits."""
        from distreg.glm.anchors import FEW, OWN_BYTES
        from distreg.glm.problem import curvature_bytes

        width = self.n_classes * self.set_size
        room = OWN_BYTES // max(curvature_bytes(width, 1, self.n_curvatures), 1)
        all_sets = self._of_full * (self.n_folds + 1)
        return max(all_sets if all_sets <= room else self._of_full, min(FEW, room))

    @property
    def _of_full(self) -> int:
        """Fits of the full data at which curvature is collected."""
        from distreg.glm.anchors import N_ANCHORS, ONE_STEP_ANCHORS
        from distreg.glm.working import BATCH_ANCHORS

        if self.wide:
            return self.n_ratios * BATCH_ANCHORS
        return self.n_ratios * (ONE_STEP_ANCHORS if self.approximate else N_ANCHORS)

    @property
    def n_curvatures(self) -> int:
        """Cells whose curvature is collected apart."""
        from distreg.glm.anchors import FEATURE_BYTES
        from distreg.glm.problem import CURVATURE_BYTES, curvature_bytes

        apart = curvature_bytes(self.n_classes * self.set_size, self._of_full, self.n_cells)
        return self.n_cells if apart <= (FEATURE_BYTES if self.wide else CURVATURE_BYTES) else 1

    @property
    def curvature(self) -> int:
        """Bytes of the curvature: at every anchor one Gram matrix a cell and pair of classes."""
        pairs = self.n_classes * (self.n_classes + 1) // 2
        share = self.set_size / max(self.n_dense + self.n_sparse, 1)
        sparse, missing = math.ceil(share * self.n_sparse), math.ceil(share * self.n_missing)
        dense = self.set_size - sparse
        each = CurvatureSums.n_bytes(dense, sparse, missing, self.n_curvatures)
        return self.anchors * pairs * each

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
        """The merged state, the columns, and the metrics that are kept."""
        from distreg.glm.anchors import METRIC_BYTES

        p, n_sets = self.n_classes * (self.n_dense + self.n_sparse), self.n_folds + 1
        guide = GUIDE_COPIES * self.guided
        columns = (COLUMN_COPIES + guide + bool(self.n_sparse)) * self.n_paths * n_sets * p
        if self.wide:
            columns = self.n_paths * n_sets * p + BATCH_COPIES * self.columns * p
        square = (self.n_classes * self.set_size) ** 2
        metrics = max(min(self.anchors * n_sets * square, METRIC_BYTES // 8), self.anchors * square)
        steps = STEP_COPIES * self.path_threads * square
        if self.guided:
            metrics *= 2
        sampled = self.curvature * self.guided
        used = self.state + sampled + SAMPLE_COPIES * self.sample
        return BASE_BYTES + used + 8 * (columns + metrics + steps)

    @property
    def sample(self) -> int:
        """The sample of the rows, at most."""
        from distreg.glm.fit import MOST_SAMPLE_ROWS, SAMPLE_BYTES

        p = self.n_dense + self.n_sparse
        return min(8 * MOST_SAMPLE_ROWS * self.n_classes * p * p, SAMPLE_BYTES)

    def peaks(self) -> tuple[int, int]:
        """Bytes of each worker and of this process, which keeps its metrics during a pass."""
        if not self.local:
            return self._held(self.worker), self._held(self.client)
        both = self._held(self.worker + self.client - BASE_BYTES - self.state)
        return both, both

    def _held(self, used: int) -> int:
        return BASE_BYTES + math.ceil((1.0 if self.wide else KEPT) * (used - BASE_BYTES))
