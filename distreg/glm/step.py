"""The step of one column: the minimum of its quadratic model, on the features that matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.glm.metric import Metric, follow_of
from distreg.penalties import Box
from distreg.solvers.newton import newton_step

__all__ = ["Between", "Point", "Step", "step_of"]

LEVENBERG = 1e-3
"""Share of the null model's curvature that is added for a refused step."""

LONGEST_STEP = 2.0
"""Root mean square change of the linear predictor in one step; Newton's model is local."""

OVERFLOW = 1e100
"""Curvature of a point from which no step can be computed."""

LIKELY = 0.9
"""Share of its L1 weight beyond which the gradient of a feature at 0 says that it may become
active."""

ROUNDING = 1e-11
"""Excess of a gradient, beside the largest one, that is rounding."""

INEXACT = 1e-4
"""Share of the violation that the minimum of the model may leave."""

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
    """

    coef: np.ndarray
    grad: np.ndarray
    grad_intercept: np.ndarray
    lasso: np.ndarray
    ridge: np.ndarray
    usable: np.ndarray
    box: Box | None = None

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


class Between:
    """Curvature between two anchors: ``(1 - share)`` of the left and `share` of the right one.

    Nothing of size (P, P) is made but what is asked for.

    Parameters
    ----------
    left, right : Metric
    share : float

    Attributes
    ----------
    corner : (C, C) array
    cross : (C, P) array
    """

    def __init__(self, left: Metric, right: Metric, share: float) -> None:
        self._parts = [(left, 1.0 - share), (right, share)] if share else [(left, 1.0)]
        self.corner = np.asarray(sum(part * metric.corner for metric, part in self._parts))
        self.cross = np.asarray(sum(part * metric.cross for metric, part in self._parts))

    @property
    def is_bounded(self) -> bool:
        """Whether a step can be computed."""
        traces = (part * np.trace(metric.gram) for metric, part in self._parts)
        return bool(sum(traces) + np.trace(self.corner) < OVERFLOW)

    def block(self, chosen: np.ndarray) -> np.ndarray:
        """Curvature of some coefficients."""
        if chosen.size == self.cross.shape[1]:
            return np.asarray(sum(part * metric.gram for metric, part in self._parts))
        at = np.ix_(chosen, chosen)
        return np.asarray(sum(part * metric.gram[at] for metric, part in self._parts))

    def product(self, move: np.ndarray) -> np.ndarray:
        """Curvature times a move of the coefficients."""
        moved = np.flatnonzero(move)
        parts = (part * (move[moved] @ metric.gram[moved]) for metric, part in self._parts)
        return np.asarray(sum(parts))


def step_of(
    model: Between,
    point: Point,
    size: float,
    damping: float,
    fit_intercept: bool,
    longest: float = LONGEST_STEP,
) -> Step | None:
    """Minimise the quadratic model plus the penalty; None when that cannot be computed.

    Parameters
    ----------
    model : Between
    point : Point
    size : float
        Curvature of the null model.
    damping : float
        1, or more after a refused step.
    fit_intercept : bool
    longest : float
        Root mean square change of the linear predictor after which a step ends.
    """
    if not model.is_bounded:
        return None
    follow = own = None
    grad = point.grad
    if fit_intercept:
        follow = follow_of(model.corner, model.cross)
        own = follow_of(model.corner, point.grad_intercept)
        grad = grad - model.cross.T @ own
    lift = (damping - 1.0) * LEVENBERG * size
    new = _minimum(model, point, grad, follow, (damping, lift, size))
    move, intercept_move = new - point.coef, np.zeros(model.corner.shape[0])
    if own is not None and follow is not None:
        intercept_move = own / damping - follow @ move
    share = _shorten(model, move, intercept_move, longest)
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


def _minimum(
    model: Between,
    point: Point,
    grad: np.ndarray,
    follow: np.ndarray | None,
    sizes: tuple[float, float, float],
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
    slack = max(slack, INEXACT * float(violation.max(initial=0.0)))
    inside = (coef != 0.0) | point.may_enter(grad, LIKELY)
    while True:
        if inside.mean() > MOST:
            inside[:] = True
        chosen = np.flatnonzero(inside)
        hessian = model.block(chosen)
        if follow is not None:
            hessian = hessian - model.cross[:, chosen].T @ follow[:, chosen]
        if damping != 1.0:
            hessian = damping * hessian
            hessian[np.diag_indices_from(hessian)] += lift
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


def _shorten(model: Between, move: np.ndarray, intercept_move: np.ndarray, longest: float) -> float:
    """Share of a step after which the linear predictor has moved by `longest`, at most 1."""
    if not np.isfinite(longest):
        return 1.0
    square = move @ model.product(move) + intercept_move @ model.corner @ intercept_move
    square += 2.0 * intercept_move @ model.cross @ move
    total = float(np.trace(model.corner))
    if not (square > 0.0 and total > 0.0):
        return 1.0
    return float(min(1.0, longest / np.sqrt(square / total)))
