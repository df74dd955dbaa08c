"""The step of one column: the minimum of its quadratic model, on the features that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.glm.between import Between
from distreg.glm.metric import follow_of
from distreg.glm.secant import Pair
from distreg.kernels.symmetric import profiled
from distreg.penalties import Box
from distreg.solvers.newton import newton_step
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

LIKELY = 0.9
"""Share of its L1 weight beyond which the gradient of a feature at 0 says that it may become
active."""

ROUNDING = 1e-11
"""Excess of a gradient, beside the largest one, that is rounding."""

CANCELLED = 1e-12
"""Share of the diagonal that is rounding when the intercepts' part has been subtracted."""

MOST = 0.7
"""Share of the features that are as well solved for together."""


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

    def may_enter(self, grad: np.ndarray, share: float, slack: float = 0.0) -> np.ndarray:
        """Whether gradients exceed a share of the L1 weight, in a direction that is free."""
        large = self.usable & (np.abs(grad) > share * self.lasso + slack)
        return np.asarray(large & (self.box is None or penalties.room(grad, self.box) > 0))


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
        active = (point.coef != 0.0) | point.may_enter(point.grad, LIKELY)
        model.bend(point.bend, active)
    for pair in pairs:
        model.correct(pair)
    follow = own = None
    grad = point.grad
    if fit_intercept:
        follow = follow_of(model.corner, model.cross)
        own = follow_of(model.corner, point.grad_intercept)
        grad = grad - model.cross.T @ own
    lift = (damping - 1.0) * LEVENBERG * size
    new = _minimum(model, point, grad, follow, (damping, lift, size), inexact)
    if point.farthest is not None:
        new = np.clip(new, point.coef - point.farthest, point.coef + point.farthest)
    move, intercept_move = new - point.coef, np.zeros(model.corner.shape[0])
    if own is not None and follow is not None:
        intercept_move = own / damping - follow @ move
    change_intercept, change = model.change_of(intercept_move, move)
    square = float(move @ change + intercept_move @ change_intercept)
    share = _shorten(model, square, longest)
    lasso, ridge = point.lasso, point.ridge
    promised = -(point.grad @ move) - point.grad_intercept @ intercept_move
    promised += np.sum(
        lasso * (np.abs(new) - np.abs(point.coef)) + 0.5 * ridge * (new**2 - point.coef**2)
    )
    return Step(
        coef=point.coef + share * move if share < 1.0 else new,
        intercept_move=share * intercept_move,
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
    follow: np.ndarray | None,
    sizes: tuple[float, float, float],
    inexact: float,
) -> np.ndarray:
    """Coefficients (P,): solved for those that are active or likely to be, then all are checked.

    The curvature is that with the intercepts at their optimum, times the damping, plus the lift:
    rows that the model leaves out of the curvature may count again after the step.
    """
    damping, lift, size = sizes
    coef, now = point.coef.copy(), grad
    slack = ROUNDING * float(np.abs(grad).max(initial=0.0))
    # the model holds nearby: its exact minimum is not worth having
    violation = penalties.distance(coef, grad, point.lasso, point.ridge, point.box)[point.usable]
    slack = max(slack, inexact * float(violation.max(initial=0.0)))
    inside = (coef != 0.0) | point.may_enter(grad, LIKELY)
    cross = model.cross if follow is not None else model.cross[:0]
    follows = cross if follow is None else follow
    while True:
        if inside.mean() > MOST:
            inside[:] = True
        chosen = np.flatnonzero(inside)
        hessian = model.block(chosen)
        profiled(hessian, cross, follows, chosen, CANCELLED, damping, lift)
        box = None if point.box is None else point.box.only(chosen)
        coef[chosen] = newton_step(
            hessian, now[chosen], coef[chosen], point.lasso[chosen], point.ridge[chosen],
            point.usable[chosen], size, slack, box,
        )  # fmt: skip
        if chosen.size == coef.size:
            return coef
        move = coef - point.coef
        product = model.product(move)
        if follow is not None:
            product = product - model.cross.T @ (follow @ move)
        now = grad - (damping * product + lift * move)
        late = ~inside & point.may_enter(now, 1.0, slack)
        if not late.any():
            return coef
        inside |= late | point.may_enter(now, LIKELY)


def _shorten(model: Between, square: float, longest: float) -> float:
    """Share of a step after which the linear predictor has moved by `longest`, at most 1."""
    if not np.isfinite(longest):
        return 1.0
    total = float(np.trace(model.corner))
    if not (square > 0.0 and total > 0.0):
        return 1.0
    return float(min(1.0, longest / np.sqrt(square / total)))
