"""Adaptive penalties: factors ``1 / |b_j|^gamma`` from a first fit on the same training set.

The first fit is a ridge path, whose strength has the smallest BIC among those with at most half as
many degrees of freedom as rows: beyond, the residuals of wide data vanish and a BIC says nothing.
Ridge leaves no feature out, so that the adaptive fit alone selects. Nothing but the training set's
own rows is used.

References
----------
Zou: The adaptive lasso and its oracle properties, JASA 101(476), 2006.
Zou, Zhang: On the adaptive elastic-net with a diverging number of parameters, Annals of Statistics
37(4), 2009.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distreg.criteria import Criteria, criteria_of, degrees_of_freedom, squared_fit
from distreg.path import alpha_grid
from distreg.penalties import Penalty
from distreg.solvers.ridge import ridge_path
from distreg.training import TrainingMoments

__all__ = ["N_INITIAL", "adapted", "adaptive_factor", "first_choice"]

N_INITIAL = 50
"""Strengths of the first fit."""

LARGEST = 1e100
"""A factor beyond it leaves a feature out."""


def adaptive_factor(size: np.ndarray, exponent: float, base: np.ndarray) -> np.ndarray:
    """Factors from the sizes (p,) of the first coefficients; infinite for a feature without one.

    Multiplied by the given factors `base` (p,). That of the largest coefficient is 1: rescaled to a
    sum, which the smallest coefficients decide, one alpha would mean another penalty in each fold.
    Unpenalised features stay so. Where no penalised feature has a coefficient, `base` stays.
    """
    penalised = base > 0
    largest = size[penalised].max(initial=0.0)
    if not largest > 0.0:
        return base
    with np.errstate(divide="ignore", over="ignore"):
        factor = np.where(penalised, base * (size / largest) ** -exponent, 0.0)
    stays = factor <= LARGEST
    factor[~stays] = np.inf
    return factor


def first_choice(criteria: Criteria, n_rows: int) -> int:
    """Place of the smallest BIC with at most ``n_rows / 2`` degrees of freedom; else the first."""
    usable = np.isfinite(criteria.bic) & (2.0 * criteria.df <= n_rows)
    return int(np.argmin(np.where(usable, criteria.bic, np.inf))) if usable.any() else 0


def adapted(
    training: TrainingMoments,
    penalty: Penalty,
    base: np.ndarray,
    standardize: bool,
    exponent: float,
) -> tuple[TrainingMoments, Penalty, np.ndarray]:
    """The problem with adaptive factors (p,), without the features that these exclude."""
    if not penalty.penalised.any():
        return training, penalty, base
    grid = alpha_grid(training, penalty, 0.0, N_INITIAL, None)
    scaled = ridge_path(training.gram, training.xty, penalty.l2, grid)
    every = np.ones(scaled.shape, dtype=bool)
    df = degrees_of_freedom(training.gram, penalty.l2, grid, every)
    fit = squared_fit(training, scaled, df)
    chosen = first_choice(criteria_of(fit, df, training.n_rows, df.size), training.n_rows)
    size = np.abs(scaled[chosen]) * np.where(standardize, training.sd, 1.0) / training.scale
    factor = adaptive_factor(size, exponent, base)
    stays = np.isfinite(factor)
    kept = np.where(stays, factor, 1.0)
    gram = np.where(stays & stays[:, None], training.gram, 0.0)
    reduced = replace(training, gram=gram, xty=np.where(stays, training.xty, 0.0))
    return reduced, Penalty.of(kept, training.sd, training.scale, standardize), factor
