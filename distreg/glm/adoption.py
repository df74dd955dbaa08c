"""Columns that take the place of a neighbour on their path.

What was evaluated for one alpha is known for all: loss and gradient do not depend on it.
"""

from __future__ import annotations

import numpy as np

from distreg import penalties
from distreg.glm.columns import Columns, objective_of
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
    moved = np.zeros(columns.fits.size, dtype=bool)
    for step in (-1, 1):
        better, latest = _better(columns, nulls, fits, step), -1
        for i in range(fits.size)[::-step] if better.any() else ():
            at = fits[i : i + 1]
            if at[0] + step == latest:
                better[i] = _better(columns, nulls, at, step)[0]
            if better[i]:
                latest = int(at[0])
                s, _, index = columns.fits.of(latest)
                if step < 0 and index == 0:
                    _put_null(columns, nulls, latest, s)
                else:
                    columns.copy(latest, latest + step)
                columns.objective[at] = objective_of(columns, at)
                moved[latest] = True
    return np.flatnonzero(moved)


def _better(columns: Columns, nulls: NullModels, fits: np.ndarray, step: int) -> np.ndarray:
    """Which columns are better off where their neighbour stands, (n,) bool.

    `step` is -1 for the one before, which of the first alpha is the null model, or 1.
    """
    sets, _, index = np.unravel_index(fits, columns.fits.shape)
    ends = index == (0 if step < 0 else columns.fits.shape[2] - 1)
    other = np.where(ends, fits, fits + step)
    loss, coef, rounding = columns.loss[other], columns.coef[other], columns.rounding[other]
    if step < 0:
        loss[ends], coef[ends], rounding[ends] = nulls.loss[sets[ends]], nulls.coef[sets[ends]], 0.0
    lasso, ridge = columns.fits.strengths(columns.problem, fits)
    best, null = columns.objective[fits], nulls.objective[sets]
    gain = np.maximum(np.maximum(rounding, columns.rounding[fits]), ADOPTION)
    with np.errstate(invalid="ignore", over="ignore"):
        limit = best - gain * (np.abs(best) + null)
        better = loss + penalties.value(coef, lasso, ridge) < limit
    return np.asarray(better & (~ends | (step < 0)))


def _put_null(columns: Columns, nulls: NullModels, fit: int, s: int) -> None:
    columns.coef[fit], columns.intercept[fit] = nulls.coef[s], nulls.intercept[s]
    columns.grad[fit], columns.grad_intercept[fit] = nulls.grad[s], 0.0
    columns.loss[fit], columns.rounding[fit] = nulls.loss[s], DOUBLE
    if columns.bend is not None:
        columns.bend[fit] = np.nan
    columns.violation[fit] = columns.gap[fit] = np.inf
