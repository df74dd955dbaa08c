"""Columns that take the place of a neighbour on their path.

What was evaluated for one alpha is known for all: loss and gradient do not depend on it.
"""

from __future__ import annotations

import numpy as np

from distreg import penalties
from distreg.glm.columns import Columns
from distreg.glm.null import NullModels
from distreg.glm.rounding import DOUBLE

__all__ = ["adopt"]

ADOPTION = 1e-9
"""Gain, of the null objective, for which a column moves to where a neighbour stands."""


def adopt(columns: Columns, nulls: NullModels, fits: np.ndarray) -> np.ndarray:
    """Put columns where a neighbour on the path, or the null model, is better for them, too.

    Parameters
    ----------
    columns : Columns
    nulls : NullModels
    fits : (n,) int array
        Ascending.

    Returns
    -------
    (m,) int array
        Those that have moved.
    """
    last, moved = columns.fits.shape[2] - 1, set()
    lasso, ridge = columns.fits.strengths(columns.problem, fits)
    if not _any_gains(columns, nulls, fits, lasso, ridge):
        return np.empty(0, dtype=np.int64)

    def is_better(i: int, loss: float, coef: np.ndarray, rounding: float) -> bool:
        fit = int(fits[i])
        objective = loss + float(penalties.value(coef, lasso[i], ridge[i]))
        best, null = columns.objective[fit], nulls.objective[columns.fits.of(fit)[0]]
        gain = max(ADOPTION, rounding, columns.rounding[fit])
        if not objective < best - gain * (abs(best) + null):
            return False
        columns.objective[fit] = objective
        moved.add(fit)
        return True

    for step, order in ((-1, range(fits.size)), (1, range(fits.size - 1, -1, -1))):
        for i in order:
            fit = int(fits[i])
            s, _, index = columns.fits.of(fit)
            if step < 0 and index == 0:
                if is_better(i, float(nulls.loss[s]), nulls.coef[s], DOUBLE):
                    _put_null(columns, nulls, fit, s)
            elif 0 <= index + step <= last:
                loss, coef = columns.loss[fit + step], columns.coef[fit + step]
                if is_better(i, float(loss), coef, float(columns.rounding[fit + step])):
                    columns.copy(fit, fit + step)
    return np.array(sorted(moved), dtype=np.int64)


def _any_gains(
    columns: Columns, nulls: NullModels, fits: np.ndarray, lasso: np.ndarray, ridge: np.ndarray
) -> bool:
    """Whether any column is better off where a neighbour stands now: mostly none is."""
    sets, _, index = np.unravel_index(fits, columns.fits.shape)
    best, null = columns.objective[fits], nulls.objective[sets]
    for step, ends in ((-1, index == 0), (1, index == columns.fits.shape[2] - 1)):
        other, possible = np.where(ends, fits, fits + step), ~ends | (step < 0)
        loss, coef, rounding = columns.loss[other], columns.coef[other], columns.rounding[other]
        if step < 0:
            at = sets[ends]
            loss[ends], coef[ends], rounding[ends] = nulls.loss[at], nulls.coef[at], DOUBLE
        gain = np.maximum(np.maximum(rounding, columns.rounding[fits]), ADOPTION)
        with np.errstate(invalid="ignore", over="ignore"):
            limit = best - gain * (np.abs(best) + null)
            better = loss + penalties.value(coef, lasso, ridge) < limit
        if (better & possible).any():
            return True
    return False


def _put_null(columns: Columns, nulls: NullModels, fit: int, s: int) -> None:
    columns.coef[fit], columns.intercept[fit] = nulls.coef[s], nulls.intercept[s]
    columns.grad[fit], columns.grad_intercept[fit] = nulls.grad[s], 0.0
    columns.loss[fit], columns.rounding[fit] = nulls.loss[s], DOUBLE
    if columns.bend is not None:
        columns.bend[fit] = np.nan
    columns.violation[fit] = columns.gap[fit] = np.inf
