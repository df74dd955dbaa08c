"""The step of one column: the minimum of its quadratic model, on the features that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.glm.between import Between
from distreg.glm.metric import follow_of
from distreg.glm.secant import Pair
from distreg.penalties import Box
from distreg.solvers.newton import LIKELY, newton_minimum
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

ROUNDING = 1e-11
"""Excess of a gradient, beside the largest one, that is rounding."""


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
    n_classes = model.corner.shape[0]
    grad, cross = point.grad, model.cross[:0]
    follow, own = cross, np.zeros(n_classes)
    if fit_intercept:
        cross, follow = model.cross, follow_of(model.corner, model.cross)
        own = follow_of(model.corner, point.grad_intercept)
        grad = grad - model.cross.T @ own
    lift = (damping - 1.0) * LEVENBERG * size
    new = _minimum(model, point, grad, cross, follow, (damping, lift, size), inexact)
    if point.farthest is not None:
        new = np.clip(new, point.coef - point.farthest, point.coef + point.farthest)
    move = np.zeros(n_classes + new.size)
    move[n_classes:] = new - point.coef
    if fit_intercept:
        move[:n_classes] = own / damping - follow @ move[n_classes:]
    share = _shorten(model, move, longest)
    lasso, ridge = point.lasso, point.ridge
    promised = -(point.grad @ move[n_classes:]) - point.grad_intercept @ move[:n_classes]
    promised += lasso @ (np.abs(new) - np.abs(point.coef))
    promised += 0.5 * (ridge @ (new**2 - point.coef**2))
    return Step(
        coef=point.coef + share * move[n_classes:] if share < 1.0 else new,
        intercept_move=share * move[:n_classes],
        promised=share * min(float(promised), 0.0),
    )


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


def _minimum(
    model: Between,
    point: Point,
    grad: np.ndarray,
    cross: np.ndarray,
    follow: np.ndarray,
    sizes: tuple[float, float, float],
    inexact: float,
) -> np.ndarray:
    """Coefficients (P,), with the intercepts at their optimum.

    The curvature is multiplied by the damping, and lifted: rows that the model leaves out of it may
    count again after the step.
    """
    damping, lift, size = sizes
    slack = ROUNDING * float(np.abs(grad).max(initial=0.0))
    # the model holds nearby: its exact minimum is not worth having
    violation = penalties.distance(point.coef, grad, point.lasso, point.ridge, point.box)
    slack = max(slack, inexact * float((violation * point.usable).max(initial=0.0)))
    box = np.empty((2, 0)) if point.box is None else np.array([point.box.lower, point.box.upper])
    new = newton_minimum(
        model.grams, model.low, cross, follow, point.coef, grad, point.lasso, point.ridge,
        point.usable, box, (size, slack, damping, lift),
    )  # fmt: skip
    return np.asarray(new)


def _shorten(model: Between, move: np.ndarray, longest: float) -> float:
    """Share of a step after which the linear predictor has moved by `longest`, at most 1."""
    if not np.isfinite(longest):
        return 1.0
    square, total = float(move @ model.change_of(move)), float(np.trace(model.corner))
    if not (square > 0.0 and total > 0.0):
        return 1.0
    return float(min(1.0, longest / np.sqrt(square / total)))
