"""How far an answer is from the optimum, from coefficients and moments alone.

No solver grades itself: what is certified are the coefficients that are handed out.

With ``g = X'(y - Xb)/W`` of scaled features and penalty ``Om`` the Fenchel-Young gap is
``Om(b) + Om*(g) - g'b``. It needs ``X_j'u = 0`` for the unpenalised features, so those are refitted
first, which lowers the objective by a known amount that is added back. For a pure L1 penalty
``Om*`` is the indicator of ``|g_j| <= lasso_j`` and the residual is scaled into it.

References
----------
Fercoq, Gramfort, Salmon: Mind the duality gap, ICML 2015. Elastic Net with the conjugate (the
rescaled lasso dual never closes its gap): docs, concepts, equation 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.penalties import Box, Penalty
from distreg.training import TrainingMoments

__all__ = ["Certificate", "certify", "fenchel_gap", "null_model"]


EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Certificate:
    """Objective, duality gap and KKT violation of each of A answers, (A,) arrays."""

    objective: np.ndarray
    dual_gap: np.ndarray
    kkt_violation: np.ndarray


def certify(
    moments: TrainingMoments,
    penalty: Penalty,
    alphas: np.ndarray,
    l1_ratio: float,
    scaled: np.ndarray,
) -> Certificate:
    """Grade (A, p) scaled coefficients, one row for each alpha."""
    lasso, ridge = penalty.strengths(alphas, l1_ratio)
    grad = moments.xty - scaled @ moments.gram
    violation = penalties.distance(scaled, grad, lasso, ridge, penalty.box)
    loss = 0.5 * np.maximum(moments.yty - ((moments.xty + grad) * scaled).sum(axis=1), 0.0)
    objective = loss + penalties.value(scaled, lasso, ridge)
    refitted, drop = _refit_unpenalised(moments, penalty, scaled, grad)
    if refitted is not scaled:
        grad = moments.xty - refitted @ moments.gram
        loss = np.maximum(loss - drop, 0.0)
    inside = penalty.penalised
    gap = drop + _gap(
        loss,
        refitted[:, inside],
        grad[:, inside],
        lasso[:, inside],
        ridge[:, inside],
        None if penalty.box is None else penalty.box.only(inside),
    )
    return Certificate(objective, np.maximum(gap, 0.0), violation.max(axis=1, initial=0.0))


def _gap(
    loss: np.ndarray,
    coef: np.ndarray,
    grad: np.ndarray,
    lasso: np.ndarray,
    ridge: np.ndarray,
    box: Box | None,
) -> np.ndarray:
    """Duality gap of the penalised part: squared loss, where the second order is exact."""
    s, gap = _scaled_gap(coef, grad, lasso, ridge, box)
    return np.asarray(gap + (1.0 - s) ** 2 * loss)


def _scaled_gap(
    coef: np.ndarray,
    grad: np.ndarray,
    lasso: np.ndarray,
    ridge: np.ndarray,
    box: Box | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale s <= 1 of the dual point, and ``Om(b) - s g'b + Om*(s g)``.

    s = 1 where the penalty has a quadratic part or a bound on the gradient's side, and the largest
    feasible one for pure L1.
    """
    pure = (ridge == 0) & (lasso > 0)
    if box is not None:
        pure &= np.isinf(penalties.room(grad, box))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = np.where(pure & (np.abs(grad) > lasso), lasso / np.abs(grad), 1.0)
    s = room.min(axis=1, initial=1.0)
    terms = lasso * np.abs(coef) + 0.5 * ridge * coef**2 - s[:, None] * grad * coef
    conjugate = penalties.conjugate(s[:, None] * grad, lasso, ridge, box)
    return s, terms.sum(axis=1) + conjugate


def fenchel_gap(
    coef: np.ndarray,
    grad: np.ndarray,
    lasso: np.ndarray,
    ridge: np.ndarray,
    chi2: np.ndarray,
    deviance: np.ndarray,
    excess: np.ndarray | float = 0.0,
    box: Box | None = None,
) -> np.ndarray:
    """Duality gap of A points of any of the losses, from the exact gradient alone.

    With the residual as dual point the loss and its conjugate cancel. At the residual times s the
    conjugate is at most its second-order expansion with the curvature of the residual over s, and
    by convexity at most the mean with the conjugate at 0 (docs/decisions/0007).

    Parameters
    ----------
    coef, grad, lasso, ridge : (A, p) arrays
        Scaled coefficients, negative gradient, weights of the penalty. Unpenalised coefficients do
        not count; the caller adds what they leave.
    chi2 : (A,) array
        Weighted mean of ``f'(eta)^2`` times the conjugate's second derivative there.
    deviance : (A,) array
        Mean loss above the saturated one.
    excess : (A,) array or float
        Weighted mean of what the conjugate's domain cuts off (docs/decisions/0011), which adds a
        term of first order in 1 - s; 0 where the slope is strictly inside.
    box : Box, optional
        Bounds of the scaled coefficients.
    """
    free = (lasso == 0) & (ridge == 0)
    s, gap = _scaled_gap(coef, np.where(free, 0.0, grad), lasso, ridge, box)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        second = np.where(s < 1.0, (1.0 - s) ** 2 / (2.0 * s) * chi2, 0.0)
    second = second + (1.0 - s) * excess
    bound = np.fmin(second, (1.0 - s) * np.maximum(deviance, 0.0))
    return np.asarray(np.maximum(gap + bound, 0.0))


def _refit_unpenalised(
    moments: TrainingMoments, penalty: Penalty, scaled: np.ndarray, grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients with the unpenalised ones at their optimum given the others.

    Also the drop of the objective, ``g_U' C_UU^-1 g_U / 2``.
    """
    free = np.flatnonzero(~penalty.penalised & (np.diagonal(moments.gram) > 0))
    if free.size == 0:
        return scaled, np.zeros(len(scaled))
    corner = moments.gram[np.ix_(free, free)]
    inverse = np.linalg.pinv(corner, rtol=free.size * EPS, hermitian=True)
    step = inverse @ grad[:, free].T
    refitted = scaled.copy()
    refitted[:, free] += step.T
    return refitted, 0.5 * np.maximum((grad[:, free] * step.T).sum(axis=1), 0.0)


def null_model(moments: TrainingMoments, penalty: Penalty) -> tuple[float, np.ndarray]:
    """Objective and gradient of the model with the unpenalised features only.

    An objective within the rounding error of the target's second moment counts as 0.
    """
    zero = np.zeros((1, moments.xty.size))
    refitted, drop = _refit_unpenalised(moments, penalty, zero, moments.xty[None, :])
    grad = moments.xty - refitted[0] @ moments.gram
    objective = 0.5 * moments.yty - float(drop[0])
    rounding = 64 * EPS * moments.yty
    return (objective if objective > rounding else 0.0), grad
