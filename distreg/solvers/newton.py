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

from distreg.kernels.symmetric import with_unit_diagonal
from distreg.penalties import Box
from distreg.solvers.boxed import descend_boxed
from distreg.solvers.descent import descend_from

__all__ = ["newton_step"]

FLOOR = 1e-12
"""Smallest curvature of a feature beside the largest, or the null model's: a saturated model has
next to none."""


def newton_step(
    hessian: np.ndarray,
    grad: np.ndarray,
    coef: np.ndarray,
    lasso: np.ndarray,
    ridge: np.ndarray,
    usable: np.ndarray,
    size: float,
    slack: float = 0.0,
    box: Box | None = None,
) -> np.ndarray:
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
    size : float
        What a curvature is to be compared with: rounding errors are a tiny part of it.
    slack : float
        Violation of the optimum's conditions that may be left.
    box : Box, optional
        Bounds.
    """
    # profiling the intercepts leaves rounding errors of either sign where there is no curvature
    diagonal = np.maximum(np.diagonal(hessian), 0.0)
    floor = FLOOR * max(float(diagonal.max(initial=0.0)), size)
    lift = np.where(diagonal < floor, floor, 0.0)
    root = np.sqrt(diagonal + lift)
    with_unit_diagonal(hessian, 1.0 / root, usable)
    start = np.where(usable, coef * root, 0.0)
    target = hessian @ start + np.where(usable, grad / root, 0.0)
    lasso, ridge = lasso / root, ridge / root**2
    slack /= float(root.max(initial=FLOOR))
    if box is None:
        descend_from(hessian, target, lasso, ridge, start, slack)
        return np.asarray(start / root)
    inner = box.scaled(root)
    descend_boxed(hessian, target, lasso, ridge, inner.lower, inner.upper, start, slack)
    at_lower, at_upper = inner.active(start)
    new = np.where(at_lower, box.lower, box.clip(start / root))
    return np.where(at_upper, box.upper, new)
