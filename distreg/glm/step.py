"""The step of one column: the minimum of its quadratic model, on the features that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.glm.between import Between
from distreg.glm.metric import inverse_of
from distreg.glm.secant import Pair
from distreg.penalties import Box
from distreg.solvers.newton import LIKELY, newton_move
from distreg.summary import TrainingSummary

__all__ = ["LONGEST_STEP", "Point", "Step", "farthest_of", "step_of"]

LEVENBERG = 1e-3
"""Share of the null model's curvature that is added for a refused step."""

LONGEST_STEP = 2.0
"""Root mean square change of the linear predictor in one step; Newton's model is local."""

LONGEST_RARE = 3.0
"""Most that one step may change the linear predictor of a row through a feature that few have: they
may have next to no curvature."""

EQUAL = 1.5
"""Largest value of a rare feature over its mean square by its mean, which is that of its rows where
they have the same: nothing is known of the size of others."""


@dataclass(frozen=True)
class Point:
    """Where a column stands, on w features of C classes (P = C w).

    Attributes
    ----------
    coef, grad : (P,) arrays
        Scaled coefficients and negative gradient.
    grad_intercept : (C,) array
    lasso, ridge : (P,) arrays
        Weights of the penalty.
    usable : (P,) bool array
    box : Box or None
        Bounds of the coefficients.
    bend : (P,) array or None
        Curvature along single coefficients, where it is known for the column itself, else NaN.
    farthest : (P,) array or None
        Longest moves of the coefficients.
    """

    coef: np.ndarray
    grad: np.ndarray
    grad_intercept: np.ndarray
    lasso: np.ndarray
    ridge: np.ndarray
    usable: np.ndarray
    box: Box | None = None
    farthest: np.ndarray | None = None
    bend: np.ndarray | None = None

    @property
    def likely(self) -> np.ndarray:
        """Features that are active, or whose gradient says that they may become so, (P,) bool."""
        large = self.usable & (np.abs(self.grad) > LIKELY * self.lasso)
        free = self.box is None or penalties.room(self.grad, self.box) > 0
        return np.asarray((self.coef != 0.0) | (large & free))


@dataclass(frozen=True)
class Step:
    """New coefficients (P,), the move of the intercepts (C,), and the predicted change (<= 0)."""

    coef: np.ndarray
    intercept_move: np.ndarray
    promised: float


def step_of(
    model: Between,
    point: Point,
    pairs: Sequence[Pair],
    size: float,
    damping: float,
    fit_intercept: bool,
    inexact: float,
    longest: float = LONGEST_STEP,
) -> Step | None:
    """Minimise the quadratic model plus the penalty; None when that cannot be computed.

    Parameters
    ----------
    model : Between
    point : Point
    pairs : sequence of Pair
        What former moves of the column have shown.
    size : float
        Curvature of the null model.
    damping : float
        1, or more after a refused step.
    fit_intercept : bool
    inexact : float
        Share of the violation that the minimum of the model may leave.
    longest : float
        Root mean square change of the linear predictor after which a step ends.
    """
    if not model.is_bounded:
        return None
    if point.bend is not None:
        model.bend(point.bend, point.likely)
    model.correct(pairs)
    box = np.empty((2, 0)) if point.box is None else np.array([point.box.lower, point.box.upper])
    inverse = inverse_of(model.corner) if fit_intercept else np.empty((0, 0))
    # rows that the model leaves out of the curvature may count again after a step
    lift = (damping - 1.0) * LEVENBERG * size
    coef, move, promised = newton_move(
        model.grams,
        model.low,
        (model.corner, model.cross, inverse),
        (point.coef, point.grad, point.grad_intercept),
        (point.lasso, point.ridge),
        point.usable,
        box,
        np.empty(0) if point.farthest is None else point.farthest,
        (size, inexact, damping, lift, longest),
    )
    return Step(coef=np.asarray(coef), intercept_move=np.asarray(move), promised=float(promised))


def farthest_of(summary: TrainingSummary, bend: np.ndarray) -> np.ndarray:
    """Longest moves of the scaled coefficients, (C p,): infinite but for rare features.

    Parameters
    ----------
    summary : TrainingSummary
    bend : (C p,) array
        NaN where a feature is not rare.
    """
    equal = summary.reach * np.abs(summary.mean) <= EQUAL * summary.sd
    with np.errstate(divide="ignore"):
        longest = np.where(equal, LONGEST_RARE / summary.reach, np.inf)
    longest = np.tile(longest, bend.size // longest.size)
    return np.where(np.isnan(bend), np.inf, longest)
