"""Rounding: what it may do to objectives and certificates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distreg.glm.columns import Columns, Values, certified
from distreg.glm.null import NullModels
from distreg.glm.pace import Tolerance

__all__ = ["DOUBLE", "SINGLE", "gradient_rounding", "surely"]

DOUBLE = 4096 * float(np.finfo(np.float64).eps)
"""Rounding of an objective, over the sum of its size and the null model's: products with features
are of double precision. The rows of a tile, and the tiles of a group, are summed one by one."""

SINGLE = 16 * float(np.finfo(np.float32).eps)
"""The same of single precision."""

SINGLE_SLOPES, SINGLE_PREDICTORS = np.array([4.0, 1.0]) * float(np.finfo(np.float32).eps)
"""Rounding of a gradient in scaled coefficients, of single precision: times the root mean square of
the rows' slopes, plus times the largest second derivative and the sum of the sizes of the
coefficients. A coefficient's own rounding moves the predictors of all rows to the same side."""

CURVED = {"logistic": 0.25, "squared_hinge": 1.0}
"""Largest second derivative of losses for which that was measured: at most 2.1 machine epsilons of
the slopes. Those whose predictors may be far larger than their slopes had up to 4,000."""


def gradient_rounding(name: str, chi2: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """What single precision may do to gradients, (n,), of a loss in `CURVED`.

    Parameters
    ----------
    name : str
    chi2 : (n,) array
        Means of the squared slopes over the second derivatives.
    coef : (n, p) array
        Scaled coefficients.
    """
    curved = CURVED[name]
    slope = SINGLE_SLOPES * np.sqrt(curved * chi2)
    return np.asarray(slope + SINGLE_PREDICTORS * curved * np.abs(coef).sum(axis=1))


def surely(
    columns: Columns,
    nulls: NullModels,
    fits: np.ndarray,
    coef: np.ndarray,
    values: Values,
    lean: np.ndarray,
    tolerance: Tolerance,
) -> np.ndarray:
    """Whether fits are certain whatever single precision has done to their values, (n,) bool.

    Certificates are largest where all rounding of the gradient points away from the
    subdifferential. Bounds, which know other directions, are left to double precision.

    Parameters
    ----------
    columns : Columns
    nulls : NullModels
        The units of the certificates.
    fits, coef : (n,) int and (n, C p) arrays
        Where they were evaluated.
    values : Values
        Of single precision.
    lean : (n, C p) array
        As of `certified`.
    tolerance : Tolerance
    """
    problem, sets = columns.problem, np.unravel_index(fits, columns.fits.shape)[0]
    bounded = columns.fits.box(problem, fits) is not None
    if problem.loss.name not in CURVED or bounded or tolerance.gap <= SINGLE:
        return np.zeros(fits.size, dtype=bool)
    lasso, ridge = columns.fits.strengths(problem, fits)
    weight = np.array([problem.weight(s) for s in range(len(problem.sets))])[sets]
    size = gradient_rounding(problem.loss.name, values.scores.chi2 / weight, coef)[:, None]
    grad = values.grad - lean
    away = np.where(coef == 0.0, grad, grad - ridge * coef - lasso * np.sign(coef))
    worst = replace(
        values,
        grad=values.grad + np.sign(away) * size,
        grad_intercept=values.grad_intercept + np.sign(values.grad_intercept) * size,
    )
    objective, violation, gap = certified(problem, columns.fits, fits, coef, worst, lean)
    unit, null = nulls.unit[sets], nulls.objective[sets]
    with np.errstate(invalid="ignore"):
        gap = gap + SINGLE * (np.abs(objective) + null)
        sure = (violation <= tolerance.violation * unit) & (gap <= tolerance.gap * null)
    return np.asarray(sure)
