"""Adaptive penalties of generalised linear models: first columns, then a problem with factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from distreg.adaptive import adaptive_factor, first_choice
from distreg.glm.anchors import Anchors
from distreg.glm.columns import Columns
from distreg.glm.criteria import column_df, criteria_at
from distreg.glm.null import NullModels
from distreg.glm.problem import Problem, TrainingSet
from distreg.penalties import Penalty

__all__ = ["adapted_problem"]


def adapted_problem(
    columns: Columns,
    anchors: Anchors,
    nulls: NullModels,
    base: np.ndarray,
    standardize: bool,
    exponent: float,
    n_threads: int,
) -> tuple[Problem, NullModels, np.ndarray]:
    """Training sets with factors from their own first columns, a pure L2 path.

    Returns the problem, its null models and the full data's factors (p,). The size of a feature of
    several classes is the norm of its coefficients.
    """
    problem = columns.problem
    sets, grads, factors = [], nulls.grad.copy(), []
    per_set = columns.fits.size // columns.fits.n_sets
    for s, training in enumerate(problem.sets):
        fits = np.arange(s * per_set, (s + 1) * per_set)
        usable = np.tile(training.summary.usable, problem.n_classes)
        members = np.broadcast_to(usable, (fits.size, usable.size))
        df = column_df(columns, anchors, fits, members, n_threads)
        criteria = criteria_at(columns, fits, columns.loss[fits], df)
        chosen = fits[first_choice(criteria, training.summary.n_rows)]
        scaled = columns.coef[chosen].reshape(problem.n_classes, -1)
        of = training.summary
        size = np.linalg.norm(scaled, axis=0) * np.where(standardize, of.sd, 1.0) / of.scale
        factor = adaptive_factor(size, exponent, base)
        stays = np.isfinite(factor)
        penalty = Penalty.of(np.where(stays, factor, 1.0), of.sd, of.scale, standardize)
        reduced = replace(of, usable=of.usable & stays)
        sets.append(TrainingSet(training.cells, reduced, penalty, training.origin))
        grads[s] *= np.tile(stays, problem.n_classes)
        factors.append(factor)
    return replace(problem, sets=tuple(sets)), replace(nulls, grad=grads), factors[0]
