"""What is to be fitted: training sets, their penalties, and the columns (fits) of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distreg.data.folds import Cells
from distreg.kernels.rows import HELD_OUT, NONE, TEST, TRAIN
from distreg.losses import Loss
from distreg.options import PathOptions, bounds_of
from distreg.penalties import Box, Penalty, normalised_factor
from distreg.summary import DataSummary, TrainingSummary

__all__ = ["Fits", "Problem", "TrainingSet", "curvature_bytes", "joined_cells", "make_problem"]

CURVATURE_BYTES = 256_000_000
"""Curvature that a task may hold; beyond it all folds share one."""


@dataclass(frozen=True)
class TrainingSet:
    """One training set: the full data, or those of a fold.

    Attributes
    ----------
    cells : (n_cells,) bool array
        Its rows.
    summary : TrainingSummary
        Means, scales and the target.
    penalty : Penalty
        On its scaled features.
    origin : (p,) array
        Where its features are 0: their means, or 0 without an intercept.
    """

    cells: np.ndarray
    summary: TrainingSummary
    penalty: Penalty
    origin: np.ndarray


@dataclass(frozen=True)
class Problem:
    """A cross-validation of one loss. Training set 0 is the full data, k the fold k - 1.

    Attributes
    ----------
    loss : Loss
    n_classes : int
        Coefficient vectors of a fit: the classes of a multinomial model, else 1.
    fit_intercept : bool
    sets : tuple of TrainingSet
    role : (n_cells, n_sets) int8 array
        What the rows of a cell are to a training set.
    cell_weight : (n_cells,) array
        Weight of the rows of a cell.
    missing : (m,) int array
        Features that may be missing.
    n_dense : int
        Dense features.
    """

    loss: Loss
    n_classes: int
    fit_intercept: bool
    sets: tuple[TrainingSet, ...]
    role: np.ndarray
    cell_weight: np.ndarray
    missing: np.ndarray
    n_dense: int

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.sets[0].origin.size)

    @property
    def centre(self) -> np.ndarray:
        """(p,) means of the full data: what the passes subtract from dense features."""
        return np.where(np.arange(self.n_features) < self.n_dense, self.sets[0].summary.mean, 0.0)

    def restricted(self, cell_weight: np.ndarray) -> Problem:
        """The same problem on part of the rows."""
        return Problem(
            self.loss, self.n_classes, self.fit_intercept, self.sets, self.role, cell_weight,
            self.missing, self.n_dense,
        )  # fmt: skip

    def saturated(self, s: int) -> float:
        """Mean loss of the saturated model of a training set."""
        if self.loss.target != "count":
            return 0.0
        return float(self.sets[s].summary.target[0]) - self.sets[s].summary.y_log_y

    def box(self, s: int) -> Box | None:
        """Bounds of the scaled coefficients of a training set, class by class (C p,)."""
        box = self.sets[s].penalty.box
        if box is None or self.n_classes == 1:
            return box
        return Box(np.tile(box.lower, self.n_classes), np.tile(box.upper, self.n_classes))

    def weight(self, s: int) -> float:
        """Weight of a training set."""
        return float(self.cell_weight[self.sets[s].cells].sum())


@dataclass(frozen=True)
class Fits:
    """Which fits there are: n_sets x L l1_ratios x A alphas, in this order.

    Attributes
    ----------
    n_sets : int
    l1_ratios : (L,) array
    alphas : (L, A) array
        Descending.
    """

    n_sets: int
    l1_ratios: np.ndarray
    alphas: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_sets, L, A)."""
        return (self.n_sets, *self.alphas.shape)

    @property
    def size(self) -> int:
        """Number of fits."""
        return int(np.prod(self.shape))

    def of(self, fit: int) -> tuple[int, int, int]:
        """Training set, path and place on it of a fit."""
        _, n_paths, n_alphas = self.shape
        rest, index = divmod(int(fit), n_alphas)
        return *divmod(rest, n_paths), index

    def strengths(self, problem: Problem, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of ``|b|`` and of ``b^2 / 2`` for some fits, each (n, C p)."""
        lasso = np.empty((fits.size, problem.n_classes * problem.n_features))
        ridge = np.empty_like(lasso)
        sets, paths, index = np.unravel_index(fits, self.shape)
        for s in np.unique(sets):
            of = sets == s
            alpha, ratio = self.alphas[paths[of], index[of]], self.l1_ratios[paths[of]]
            penalty = problem.sets[s].penalty
            lasso[of] = np.tile(np.multiply.outer(alpha * ratio, penalty.l1), problem.n_classes)
            ridge[of] = np.tile(
                np.multiply.outer(alpha * (1.0 - ratio), penalty.l2), problem.n_classes
            )
        return lasso, ridge

    def box(self, problem: Problem, fits: np.ndarray) -> Box | None:
        """Bounds of the scaled coefficients of some fits, (n, C p); None without bounds."""
        if problem.sets[0].penalty.box is None:
            return None
        boxes = [problem.box(int(s)) for s in np.unravel_index(fits, self.shape)[0]]
        lower = np.empty((fits.size, problem.n_classes * problem.n_features))
        upper = np.empty_like(lower)
        for i, box in enumerate(boxes):
            assert box is not None
            lower[i], upper[i] = box.lower, box.upper
        return Box(lower, upper)


def make_problem(
    loss: Loss,
    n_classes: int,
    summary: DataSummary,
    cells: Cells,
    options: PathOptions,
    n_dense: int,
) -> Problem:
    """Training sets of the full data and of all folds."""
    factor = normalised_factor(options.penalty_factor, summary.mean.shape[1])
    masks = [cells.full, *cells.train]
    sets = tuple(_training_set(summary, mask, factor, options) for mask in masks)
    return Problem(
        loss=loss,
        n_classes=n_classes,
        fit_intercept=options.fit_intercept,
        sets=sets,
        role=roles(cells),
        cell_weight=summary.weight,
        missing=summary.missing,
        n_dense=n_dense,
    )


def _training_set(
    summary: DataSummary, mask: np.ndarray, factor: np.ndarray, options: PathOptions
) -> TrainingSet:
    of = summary.training(mask, options.fit_intercept, options.standardize)
    bounds = bounds_of(options, of.scale.size)
    penalty = Penalty.of(factor, of.sd, of.scale, options.standardize, bounds)
    origin = of.mean if options.fit_intercept else np.zeros_like(of.mean)
    return TrainingSet(mask, of, penalty, origin)


def joined_cells(
    problem: Problem, n_anchors: int, n_features: int | None = None, most: int | None = None
) -> np.ndarray:
    """Cells that share a curvature: each its own, or one for all where that takes too much memory.

    One curvature for all folds is nearly as good when a fold holds many rows for each feature; test
    rows have none (-1). Returns (n_cells,) int array.

    Parameters
    ----------
    problem : Problem
    n_anchors : int
    n_features : int, optional
        Of the curvature; default: all.
    most : int, optional
        Bytes that a task may hold; default: `CURVATURE_BYTES`.
    """
    full = problem.sets[0].cells
    p = problem.n_features if n_features is None else n_features
    apart = curvature_bytes(problem.n_classes * p, n_anchors, int(full.sum()))
    joined = apart > (CURVATURE_BYTES if most is None else most)
    return np.where(full, 0 if joined else np.cumsum(full) - 1, -1)


def curvature_bytes(width: int, n_anchors: int, n_cells: int) -> int:
    """Bytes of the curvature in `width` coefficients (classes times features)."""
    return 8 * n_anchors * n_cells * width**2


def roles(cells: Cells) -> np.ndarray:
    """What the rows of each cell are to the full data and to each fold, (n_cells, K + 1) int8."""
    held_out: Sequence[np.ndarray] = [cells.test, *cells.held_out]
    role = np.full((cells.n_cells, cells.n_folds + 1), NONE, dtype=np.int8)
    for s, (train, out) in enumerate(zip([cells.full, *cells.train], held_out, strict=True)):
        role[out, s] = HELD_OUT if s else TEST
        role[train, s] = TRAIN
    return role
