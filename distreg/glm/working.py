"""Working sets: curvature of some features only, for problems with too many of them.

Consecutive alphas make a *batch*, whose columns advance in the same passes. Coefficients outside of
the working set W, shared by all columns, are 0; gradients are those of all features, so that
certificates are, too. Features whose gradient exceeds their L1 weight join W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distreg.evaluation import Evaluate
from distreg.exceptions import InputError
from distreg.glm import anchors
from distreg.glm.anchors import N_ANCHORS
from distreg.glm.columns import Columns, Values
from distreg.glm.lockstep import Lockstep
from distreg.glm.metric import follow_of
from distreg.glm.null import NullModels
from distreg.glm.problem import CURVATURE_BYTES, Fits, Problem, curvature_bytes
from distreg.glm.surrogate import Surrogate
from distreg.penalties import room

__all__ = [
    "WorkingLockstep",
    "check_unpenalised",
    "is_wide",
    "largest_set_of",
    "scores_of",
]

RIDGE_BYTES = 4_000_000_000
"""Curvature of all features that a task may hold where nothing less will do."""

BATCH_ANCHORS = 3
"""Fits of a path at which a batch has curvature: a batch is a short path."""

FEW = 10
"""Cells that have curvature of their own: few folds differ much, many folds little."""

GROWTH = 200
"""Features that may join the working set at once, or as many as there are in it."""

FEW_FEATURES = 0.5
"""Share of the features that matter below which curvature is taken of these only: its cost is of
the second order."""

LIKELY = 0.9
"""Share of its L1 weight beyond which the gradient says that a feature may become active."""


def is_wide(n_features: int, n_classes: int, l1_ratios: Sequence[float]) -> bool:
    """Whether curvature of all features takes too much memory, so that a working set has some.

    Raises
    ------
    InputError
        It does, and some path has no L1 part, which would make coefficients 0.
    """
    need = curvature_bytes(n_classes * n_features, len(l1_ratios) * N_ANCHORS, 1)
    if min(l1_ratios) > 0.0:
        return need > anchors.FEATURE_BYTES
    if need > RIDGE_BYTES:
        most = int(n_features * np.sqrt(RIDGE_BYTES / need))
        raise InputError(
            f"a pure L2 penalty (l1_ratio 0) makes no coefficient 0, so it needs the curvature of "
            f"all {n_features:,} features: {need / 1e9:,.1f} GB a task, where "
            f"{RIDGE_BYTES / 1e9:,.1f} GB are allowed. Use l1_ratios above 0 (0.1 for instance), "
            f"or at most {most:,} features."
        )
    return False


def largest_set(n_classes: int, n_ratios: int, n_cells: int) -> int:
    """Most features of a working set: few cells have curvature of their own."""
    one = curvature_bytes(n_classes, n_ratios * BATCH_ANCHORS, n_cells if n_cells <= FEW else 1)
    return max(int(np.sqrt(anchors.FEATURE_BYTES / one)), 1)


def largest_set_of(problem: Problem, fits: Fits) -> int:
    """Most features of a working set of a problem."""
    n_cells = int(problem.sets[0].cells.sum())
    return largest_set(problem.n_classes, fits.shape[1], n_cells)


def check_unpenalised(problem: Problem, fits: Fits) -> None:
    """Raise InputError when unpenalised features alone are too many for a working set."""
    n_free = int((~problem.sets[0].penalty.penalised).sum())
    limit = largest_set_of(problem, fits)
    if n_free > limit:
        raise InputError(
            f"{n_free:,} features are not penalised (penalty_factor 0), but memory holds the "
            f"curvature of {limit:,} features. Penalise more of them."
        )


def scores_of(columns: Columns, fits: np.ndarray, grads: np.ndarray | None = None) -> np.ndarray:
    """How near each feature is to being active in any of `fits`, (p,): 1 is the limit.

    By the negative gradients `grads` (n, C p); default: where the columns stand.
    """
    problem = columns.problem
    score = np.zeros(problem.n_features)
    for fit, grad in zip(fits, columns.grad[fits] if grads is None else grads, strict=True):
        lasso, _ = columns.fits.strengths(problem, np.array([fit]))
        box = problem.box(columns.fits.of(int(fit))[0])
        if box is not None:
            grad = np.where(room(grad, box) > 0, grad, 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.abs(grad) / lasso[0]
        ratio = np.nan_to_num(ratio).reshape(problem.n_classes, -1)
        np.maximum(score, ratio.max(axis=0), out=score)
    return score


class WorkingLockstep(Lockstep):
    """The driver of one batch, or of all columns where few features may matter.

    Parameters
    ----------
    columns : Columns
        Of the batch.
    evaluate : callable
    nulls : NullModels
    n_threads : int
    features : (w,) int array or None
        The first working set of a batch; holds all features with a coefficient. None: the columns
        are no batch, memory holds the curvature of all features, and they begin with these.
    kept : (p,) bool array
        Features that stay in it.
    surrogate : Surrogate, optional
        Corrects the steps.

    Attributes
    ----------
    postponed : int
        Alphas at the end of the batch that were given up because the working set was full.
    is_full : bool
        Not even the first alpha that is left fits.
    """

    def __init__(
        self,
        columns: Columns,
        evaluate: Evaluate,
        nulls: NullModels,
        n_threads: int,
        features: np.ndarray | None,
        kept: np.ndarray,
        surrogate: Surrogate | None = None,
    ) -> None:
        n_anchors = N_ANCHORS if features is None else BATCH_ANCHORS
        super().__init__(columns, evaluate, nulls, n_threads, n_anchors, surrogate)
        self._kept, self._most = kept, self.problem.n_features
        self._most_bytes = CURVATURE_BYTES
        if features is not None:
            self._most = largest_set_of(self.problem, self.fits)
            self._most_bytes = anchors.FEATURE_BYTES
            self.anchors.watch(features, self._most_bytes)
        self.postponed, self.is_full = 0, False

    def focus(self, fits: np.ndarray) -> None:
        """From all features go on with those that may matter, if they are few.

        Those at the trial points, for where the columns stand there may be far more, and those of
        columns that are done.
        """
        columns, features = self.columns, self.anchors.features
        active = fits[~columns.done[fits]]
        known = columns.grad[active].any(axis=1).all()
        if features.size < self.problem.n_features or not known:
            return
        score = scores_of(columns, active, self._foreseen(active))
        used = self.trials.coef[active].any(axis=0) | columns.coef[columns.done].any(axis=0)
        used = used.reshape(self.problem.n_classes, -1).any(axis=0)
        needed = np.asarray(self._kept | used | (score > LIKELY))
        if 0 < needed.sum() <= FEW_FEATURES * needed.size:
            self.anchors.watch(np.flatnonzero(needed), self._most_bytes)

    def _foreseen(self, fits: np.ndarray) -> np.ndarray:
        """Negative gradients (n, C p) at the trial points, as the models say."""
        columns, at, n_classes = self.columns, self.anchors.columns, self.problem.n_classes
        grads, sets = np.array(columns.grad[fits]), self._sets[fits]
        for s in np.unique(sets) if self.anchors.held else ():
            of = np.flatnonzero(sets == s)
            self.anchors.prepare(fits[of])
            for i in of:
                fit = int(fits[i])
                model = self.anchors.between(fit)
                if model is not None:
                    move = self.trials.coef[fit, at] - columns.coef[fit, at]
                    first = self.trials.intercept[fit] - columns.intercept[fit]
                    grads[i][at] -= model.change_of(np.append(first, move))[n_classes:]
        return grads

    def widen(self, fits: np.ndarray) -> tuple[np.ndarray, bool]:
        """Let features join the working set; also returns the fits that are not given up."""
        now = np.zeros(self.problem.n_features, dtype=bool)
        now[self.anchors.features] = True
        while True:
            active = fits[~self.columns.done[fits]]
            score = scores_of(self.columns, active)
            score[self._support(active) & ~now] = np.inf
            late = int((~now & (score > 1.0)).sum())
            if not late:
                break
            inside, limit = now.copy(), max(GROWTH, self.anchors.features.size)
            if inside.sum() + min(limit, late) > self._most:
                inside &= self._kept | self._support(None) | (score > LIKELY)
            room = self._most - int(inside.sum())
            if room >= min(GROWTH, late):
                joining = np.flatnonzero(~inside & (score > LIKELY))
                joining = joining[np.argsort(-score[joining], kind="stable")]
                inside[joining[: min(limit, room)]] = True
                self.anchors.watch(np.flatnonzero(inside), self._most_bytes)
                return fits, True
            fits = self._postpone(fits)
        return fits, False

    def _support(self, fits: np.ndarray | None) -> np.ndarray:
        """Features with a coefficient in any of `fits` (None: of all), (p,) bool."""
        chosen = slice(None) if fits is None else fits
        used = self.columns.coef[chosen].any(axis=0) | self.trials.coef[chosen].any(axis=0)
        return np.asarray(used.reshape(self.problem.n_classes, -1).any(axis=0))

    def _postpone(self, fits: np.ndarray) -> np.ndarray:
        """Give up the second half of the alphas that are left."""
        index = np.unravel_index(fits, self.fits.shape)[2]
        left = np.unique(index[~self.columns.done[fits]])
        if left.size == 1:
            self.is_full = True
            return fits[:0]
        first = left[left.size // 2]
        self.postponed = self.fits.shape[2] - int(first)
        given_up = fits[(index >= first) & ~self.columns.done[fits]]
        # nobody may move to where these stand
        self.columns.loss[given_up] = np.inf
        self.columns.coef[given_up], self.trials.coef[given_up] = 0.0, 0.0
        return np.asarray(fits[index < first])

    def _lean(self, fits: np.ndarray, values: Values) -> np.ndarray:
        """Outside of the working set the most that it can be, so that certificates hold."""
        lean = super()._lean(fits, values)
        outside = np.ones(lean.shape[1], dtype=bool)
        outside[self.anchors.columns] = False
        if not outside.any():
            return lean
        for i, fit in enumerate(fits):
            known = self.anchors.edges(int(fit)) if self.problem.fit_intercept else None
            if known is None:
                continue
            size = np.abs(known[0]) @ np.abs(follow_of(known[0], values.grad_intercept[i]))
            reach = self.problem.sets[int(self._sets[fit])].summary.reach
            most = np.multiply.outer(size, reach).ravel()[outside]
            lean[i, outside] = -np.sign(values.grad[i, outside]) * most
        return lean
