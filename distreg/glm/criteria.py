"""Degrees of freedom and information criteria of the columns, from the curvature that is known.

The curvature is that of the last anchors, interpolated along each path: exact at an anchor, an
approximation between. Without a quadratic part only its rank counts, and df is exact.
"""

from __future__ import annotations

import numpy as np

from distreg.criteria import Criteria, criteria_of, degrees_of_freedom, fit_of_mse
from distreg.glm.anchors import Anchors
from distreg.glm.columns import Columns
from distreg.glm.metric import follow_of
from distreg.threads import mapped

__all__ = ["column_criteria", "column_df", "criteria_at"]


def column_criteria(
    columns: Columns, anchors: Anchors | None, fits: np.ndarray, n_threads: int
) -> Criteria:
    """Criteria of some fits of one training set."""
    df = column_df(columns, anchors, fits, columns.coef[fits] != 0, n_threads)
    return criteria_at(columns, fits, columns.loss[fits], df)


def criteria_at(columns: Columns, fits: np.ndarray, loss: np.ndarray, df: np.ndarray) -> Criteria:
    """Criteria of mean losses and degrees of freedom (n,) on the training set of `fits`."""
    problem, s = columns.problem, columns.fits.of(int(fits[0]))[0]
    summary = problem.sets[s].summary
    n_rows = summary.n_rows
    if problem.loss.name == "squared":
        taken = df + float(problem.fit_intercept)
        fit = fit_of_mse(2.0 * loss, summary.square(problem.fit_intercept), taken, n_rows)
    else:
        fit = 2.0 * n_rows * np.maximum(loss - problem.saturated(s), 0.0)
    return criteria_of(fit, df, n_rows, columns.coef.shape[1])


def column_df(
    columns: Columns,
    anchors: Anchors | None,
    fits: np.ndarray,
    members: np.ndarray,
    n_threads: int,
    relaxed: bool = False,
) -> np.ndarray:
    """Degrees of freedom of `fits` (n,), of one training set, with coefficients `members` (n, C p).

    With `relaxed` those of fits without a penalty. Without curvature their number where there is no
    L2 part, NaN elsewhere.
    """
    problem, shape = columns.problem, columns.fits
    training = problem.sets[shape.of(int(fits[0]))[0]]
    free = np.tile(~training.penalty.penalised & training.summary.usable, problem.n_classes)
    known = np.arange(columns.coef.shape[1])
    if anchors is not None:
        anchors.prepare(fits)
        # the features that curvature was taken of
        known = known[anchors.columns]

    def one(i: int) -> float:
        _, path, index = shape.of(int(fits[i]))
        at = np.flatnonzero(members[i] | free)
        share = 0.0 if relaxed else float(1.0 - shape.l1_ratios[path])
        model = None if anchors is None else anchors.between(int(fits[i]))
        if model is None or not np.isin(at, known).all():
            return float("nan") if share else float(at.size)
        here = np.searchsorted(known, at)
        curvature = model.block(here)
        if problem.fit_intercept:
            cross = model.cross[:, here]
            curvature = curvature - cross.T @ follow_of(model.corner, cross)
        strength = np.array([shape.alphas[path, index] * share])
        l2 = np.tile(training.penalty.l2, problem.n_classes)[at]
        every = np.ones((1, at.size), dtype=bool)
        return float(degrees_of_freedom(curvature, l2, strength, every)[0])

    return np.array(list(mapped(n_threads, one, range(fits.size))))
