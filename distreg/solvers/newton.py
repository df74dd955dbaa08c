"""One step of a proximal Newton method: the penalised minimum of a quadratic model.

With negative gradient g and curvature H at b, minimises over x

    -g'(x - b) + (x - b)'H(x - b)/2 + sum_j (lasso_j |x_j| + ridge_j x_j^2 / 2),

in a box where there are bounds.

References
----------
Lee, Sun, Saunders: Proximal Newton-type methods for minimizing composite functions, SIAM J. Optim.
24(3), 2014.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from distreg.kernels.symmetric import (
    add_low_rank,
    block_between,
    product_of,
    profiled,
    with_unit_diagonal,
)
from distreg.penalties import AT_BOUND
from distreg.solvers.boxed import descend_boxed
from distreg.solvers.descent import descend_from

__all__ = ["newton_minimum", "newton_move", "newton_step"]

FLOOR = 1e-12
"""Smallest curvature of a feature beside the largest, or the null model's: a saturated model has
next to none."""

LIKELY = 0.9
"""Share of its L1 weight beyond which the gradient of a feature at 0 says that it may become
active."""

MOST = 0.7
"""Share of the features that are as well solved for together."""

ROUNDING = 1e-11
"""Excess of a gradient, beside the largest one, that is rounding."""

CANCELLED = 1e-12
"""Share of the diagonal that is rounding when the intercepts' part has been subtracted."""


@njit(cache=True, nogil=True)
def newton_step(hessian, grad, coef, lasso, ridge, usable, box, size, slack):
    """Return the minimum of the quadratic model, (p,); features that are not usable stay 0.

    Parameters
    ----------
    hessian : (p, p) array
        Symmetric, positive semidefinite; overwritten.
    grad : (p,) array
        Negative gradient of the loss.
    coef : (p,) array
        Where the model was made.
    lasso, ridge : (p,) arrays
    usable : (p,) bool array
    box : (2, p) array, or (2, 0)
        Lower and upper bounds.
    size : float
        What a curvature is to be compared with: rounding errors are a tiny part of it.
    slack : float
        Violation of the optimum's conditions that may be left.
    """
    p = coef.shape[0]
    root, start, target = np.empty(p), np.zeros(p), np.zeros(p)
    largest = size
    for i in range(p):
        # profiling the intercepts leaves rounding errors of either sign where there is no curvature
        root[i] = max(hessian[i, i], 0.0)
        largest = max(largest, root[i])
    widest = FLOOR
    for i in range(p):
        root[i] = np.sqrt(root[i] + (FLOOR * largest if root[i] < FLOOR * largest else 0.0))
        widest = max(widest, root[i])
        if usable[i]:
            start[i] = coef[i] * root[i]
    with_unit_diagonal(hessian, 1.0 / root, usable)
    for i in range(p):
        if usable[i]:
            target[i] = grad[i] / root[i]
    for i in range(p):
        if start[i] != 0.0:
            for j in range(p):
                target[j] += hessian[i, j] * start[i]
    lasso, ridge = lasso / root, ridge / root**2
    if box.shape[1] == 0:
        descend_from(hessian, target, lasso, ridge, start, slack / widest)
        return start / root
    lower, upper = box[0] * root, box[1] * root
    descend_boxed(hessian, target, lasso, ridge, lower, upper, start, slack / widest)
    _to_bounds(start, lower, upper, root, box)
    return start


@njit(cache=True, nogil=True)
def _to_bounds(start, lower, upper, root, box):
    """Divide by `root`; what is at a scaled bound is at the bound, exactly."""
    for i in range(start.shape[0]):
        if start[i] <= lower[i] * AT_BOUND:
            start[i] = box[0, i]
        elif start[i] >= upper[i] * AT_BOUND:
            start[i] = box[1, i]
        else:
            start[i] = min(max(start[i] / root[i], box[0, i]), box[1, i])


@njit(cache=True, nogil=True)
def _may_enter(grad, lasso, usable, box, share, slack, out):
    """Write whether gradients exceed a share of the L1 weight, in a direction that is free."""
    for j in range(grad.shape[0]):
        out[j] = usable[j] and abs(grad[j]) > share * lasso[j] + slack
        if out[j] and box.shape[1] > 0:
            out[j] = (box[1, j] if grad[j] > 0.0 else -box[0, j]) > 0.0


@njit(cache=True, nogil=True)
def newton_minimum(grams, low, cross, follow, coef, grad, lasso, ridge, usable, box, sizes):
    """Minimum over the features that are active or likely to be; then all are checked.

    The curvature is ``(1 - share) left + share right + low[0]' low[1]``, less the part of the
    intercepts, which follow; times the damping, plus the lift.

    Parameters
    ----------
    grams : pair of (p, p) arrays and a float
        `left`, `right` and `share`.
    low : (2, r, p) array
    cross, follow : (C, p) arrays
        Curvature of intercepts and coefficients, and that over the intercepts' own; C may be 0.
    coef, grad, lasso, ridge, usable, box
        As of `newton_step`.
    sizes : four floats
        `size` and `slack`, damping and lift.
    """
    size, slack, damping, lift = sizes
    p = coef.shape[0]
    new, now = coef.copy(), grad.copy()
    inside, may, late = np.empty((3, p), dtype=np.bool_)
    _may_enter(now, lasso, usable, box, LIKELY, slack, inside)
    for j in range(p):
        inside[j] |= coef[j] != 0.0
    while True:
        if inside.sum() > MOST * p:
            inside[:] = True
        chosen = np.flatnonzero(inside)
        hessian = block_between(grams, chosen)
        add_low_rank(hessian, low[0], low[1], chosen)
        profiled(hessian, cross, follow, chosen, CANCELLED, damping, lift)
        some = box[:, chosen] if box.shape[1] > 0 else box
        new[chosen] = newton_step(
            hessian, now[chosen], new[chosen], lasso[chosen], ridge[chosen], usable[chosen], some,
            size, slack,
        )  # fmt: skip
        if chosen.shape[0] == p:
            return new
        move = new - coef
        product = product_of(grams, low, move)
        for c in range(cross.shape[0]):
            product -= cross[c] * np.sum(follow[c] * move)
        now = grad - (damping * product + lift * move)
        _may_enter(now, lasso, usable, box, 1.0, slack, late)
        late &= ~inside
        if not late.any():
            return new
        _may_enter(now, lasso, usable, box, LIKELY, slack, may)
        inside |= late | may


@njit(cache=True, nogil=True)
def _violation(coef, grad, lasso, ridge, usable, box):
    """Largest distance of a gradient from the subdifferential, as `penalties.distance`."""
    most = 0.0
    for j in range(coef.shape[0]):
        if usable[j]:
            below = ridge[j] * coef[j] + (lasso[j] if coef[j] > 0.0 else -lasso[j]) - grad[j]
            above = grad[j] - ridge[j] * coef[j] - (lasso[j] if coef[j] >= 0.0 else -lasso[j])
            if box.shape[1] > 0 and coef[j] <= box[0, j] * AT_BOUND:
                below = 0.0
            if box.shape[1] > 0 and coef[j] >= box[1, j] * AT_BOUND:
                above = 0.0
            most = max(most, below, above)
    return most


@njit(cache=True, nogil=True)
def _square(grams, low, corner, cross, first, move):
    """Curvature along a move of the intercepts, `first` (C,), and the coefficients."""
    total = np.sum(product_of(grams, low, move) * move)
    for c in range(corner.shape[0]):
        total += first[c] * (np.sum(corner[c] * first) + 2.0 * np.sum(cross[c] * move))
    return total


@njit(cache=True, nogil=True)
def _promised(coef, grad, lasso, ridge, new):
    """Change of the penalty and of the linear part of the loss."""
    total = 0.0
    for j in range(coef.shape[0]):
        total += lasso[j] * (abs(new[j]) - abs(coef[j])) - grad[j] * (new[j] - coef[j])
        total += 0.5 * ridge[j] * (new[j] ** 2 - coef[j] ** 2)
    return total


@njit(cache=True, nogil=True)
def _share(grams, low, corner, cross, first, move, longest):
    """Share of a move after which the linear predictor has changed by `longest`, at most 1."""
    if longest == np.inf:
        return 1.0
    square, total = _square(grams, low, corner, cross, first, move), 0.0
    for c in range(corner.shape[0]):
        total += corner[c, c]
    if not (square > 0.0 and total > 0.0):
        return 1.0
    return min(1.0, longest / np.sqrt(square / total))


@njit(cache=True, nogil=True)
def newton_move(grams, low, edges, point, penalty, usable, box, farthest, sizes):
    """A step of coefficients and intercepts, no longer than the model holds.

    Parameters
    ----------
    grams, low, usable, box
        As of `newton_minimum`.
    edges : (C, C), (C, p) and (C, C) arrays
        Curvature of the intercepts, that of intercepts and coefficients, and the inverse of the
        first one; the inverse is (0, 0) where intercepts stay 0.
    point : (p,), (p,) and (C,) arrays
        Coefficients, and negative gradients in coefficients and intercepts.
    penalty : pair of (p,) arrays
        `lasso` and `ridge`.
    farthest : (p,) array, or (0,)
        Longest moves of the coefficients.
    sizes : five floats
        What a curvature is to be compared with; share of the violation that may be left; damping;
        lift; root mean square change of the linear predictor after which the step ends.

    Returns
    -------
    coef : (p,) array
    move : (C,) array
        Of the intercepts.
    promised : float
        Predicted change of the objective, not above 0.
    """
    (corner, cross, inverse), (coef, grad, grad_intercept) = edges, point
    (lasso, ridge), (size, inexact, damping, lift, longest) = penalty, sizes
    n_free = inverse.shape[0]
    own, follow, reduced = np.zeros(n_free), np.zeros((n_free, coef.shape[0])), grad.copy()
    for c in range(n_free):
        own[c] = np.sum(inverse[c] * grad_intercept)
        reduced -= own[c] * cross[c]
        for d in range(n_free):
            follow[c] += inverse[c, d] * cross[d]
    # the model holds nearby: its exact minimum is not worth having
    slack = inexact * _violation(coef, reduced, lasso, ridge, usable, box)
    slack = max(slack, ROUNDING * np.max(np.abs(reduced)))
    new = newton_minimum(
        grams, low, cross[:n_free], follow, coef, reduced, lasso, ridge, usable, box,
        (size, slack, damping, lift),
    )  # fmt: skip
    if farthest.shape[0] > 0:
        new = np.minimum(np.maximum(new, coef - farthest), coef + farthest)
    move, first = new - coef, np.zeros(corner.shape[0])
    for c in range(n_free):
        first[c] = own[c] / damping - np.sum(follow[c] * move)
    share = _share(grams, low, corner, cross, first, move, longest)
    promised = _promised(coef, grad, lasso, ridge, new) - np.sum(grad_intercept * first)
    if share < 1.0:
        new = coef + share * move
    return new, share * first, share * min(promised, 0.0)
