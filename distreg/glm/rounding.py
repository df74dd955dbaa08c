"""Rounding: what it may do to objectives and certificates."""

from __future__ import annotations

import numpy as np

from distreg.glm.columns import Columns, Values, certified
from distreg.glm.null import NullModels
from distreg.glm.pace import Tolerance

__all__ = ["DOUBLE", "SINGLE", "SINGLE_GRADIENT", "surely"]

DOUBLE = 64 * float(np.finfo(np.float64).eps)
"""Rounding of an objective, over the sum of its size and the null model's: products with features
are of double precision."""

SINGLE = 16 * float(np.finfo(np.float32).eps)
"""The same of single precision."""

SINGLE_GRADIENT = 4 * float(np.finfo(np.float32).eps)
"""Rounding of a gradient in scaled coefficients, over the root mean square of the rows' slopes, of
single precision and for targets of two classes. There it was at most 2.1 machine epsilons; losses
whose predictors may be far larger than their slopes had up to 4,000."""


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
    if problem.loss.target != "binary" or bounded or tolerance.gap <= SINGLE:
        return np.zeros(fits.size, dtype=bool)
    lasso, ridge = columns.fits.strengths(problem, fits)
    weight = np.array([problem.weight(s) for s in range(len(problem.sets))])[sets]
    size = SINGLE_GRADIENT * np.sqrt(values.scores.chi2 / weight)
    grad = values.grad - lean
    away = np.where(coef == 0.0, grad, grad - ridge * coef - lasso * np.sign(coef))
    worst = lean - np.sign(away) * size[:, None]
    objective, violation, gap = certified(problem, columns.fits, fits, coef, values, worst)
    unit, null = nulls.unit[sets], nulls.objective[sets]
    with np.errstate(invalid="ignore"):
        gap = gap + SINGLE * (np.abs(objective) + null)
        sure = (violation <= tolerance.violation * unit) & (gap <= tolerance.gap * null)
    return np.asarray(sure)
