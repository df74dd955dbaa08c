"""Relaxed refits of generalised linear models: further columns of the lock step, and their blends.

Each column's support is fitted without a penalty in the passes that serve all refits, from where
the penalised answer stands (its gradient is known, so the first step costs no pass). One more pass
scores the blends of both ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distreg.evaluation import Evaluate
from distreg.glm.anchors import Anchors
from distreg.glm.columns import Columns, request_of, values_of
from distreg.glm.lockstep import Lockstep
from distreg.glm.metric import follow_of
from distreg.glm.null import NullModels
from distreg.glm.pace import Tolerance
from distreg.glm.problem import Fits, Problem, joined_cells
from distreg.glm.sample import evaluate_on, weights_of
from distreg.summary import Sample

__all__ = ["Relaxed", "relaxed_columns"]

EXCLUDED = 1e200
"""Strength that keeps a coefficient outside the support at 0."""

MAX_SAMPLE_EVALUATIONS, MAX_REFIT_PASSES = 50, 12
"""Evaluations after which a refit counts as undefined: classes that the support separates, or a
count that is 0 wherever a feature is not, have no finite answer."""


@dataclass(frozen=True)
class SupportFits(Fits):
    """Fits without a penalty on their members (F, C p); nothing else may enter."""

    members: np.ndarray

    def strengths(self, problem: Problem, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of ``|b|`` and of ``b^2 / 2`` for some fits, each (n, C p)."""
        lasso = np.where(self.members[fits], 0.0, EXCLUDED)
        return lasso, np.zeros_like(lasso)


@dataclass(frozen=True)
class Relaxed:
    """Columns of one gamma, in the places of the penalised ones they belong to.

    Attributes
    ----------
    gamma : float
    columns : Columns
        The objective is the mean loss; gap and violation are the larger ones of both ends. Where
        `defined` is False the penalised answer stands.
    members : (F, C p) bool array
        Coefficients that were refitted.
    defined : (F,) bool array
        Where a refit exists and was certified: an L1 part, fewer features than rows, and a finite
        answer.
    anchors : Anchors
        Curvature at the refits.
    """

    gamma: float
    columns: Columns
    members: np.ndarray
    defined: np.ndarray
    anchors: Anchors


def relaxed_columns(
    columns: Columns,
    anchors: Anchors,
    nulls: NullModels,
    gammas: Sequence[float],
    by_pass: Evaluate,
    sample: Sample,
    tolerance: Tolerance,
    n_threads: int,
    n_passes: int,
) -> tuple[Relaxed, ...]:
    """Refit and blend; one entry for each gamma.

    Parameters
    ----------
    columns, anchors : Columns, Anchors
        The penalised answers and the curvature that is known.
    by_pass : callable
        Evaluates a request on all rows.
    sample : Sample
        When it holds all rows, the refits are solved there and the passes only certify them.
    n_passes : int
        Most passes that may be used.
    """
    problem = columns.problem
    members = _members(columns)
    defined = _defined(columns, members)
    fits = SupportFits(columns.fits.n_sets, columns.fits.l1_ratios, columns.fits.alphas, members)
    refits = _copied(columns, problem, fits)
    chosen = np.flatnonzero(defined)
    if sample.whole:
        small = _copied(columns, problem.restricted(weights_of(sample, len(problem.role))), fits)
        inner = _begun(small, evaluate_on(sample, n_threads), nulls, n_threads, anchors, chosen)
        aim = Tolerance(0.3 * tolerance.violation, 0.3 * tolerance.gap)
        inner.step(chosen)
        inner.advance(chosen, aim, MAX_SAMPLE_EVALUATIONS)
        refits.coef[chosen], refits.intercept[chosen] = small.coef[chosen], small.intercept[chosen]
        driver = Lockstep(refits, by_pass, nulls, n_threads)
        driver.anchors.held = list(inner.anchors.held)
        driver.start(chosen)
    else:
        driver = _begun(refits, by_pass, nulls, n_threads, anchors, chosen)
        driver.step(chosen)
    # one pass is left for the blends
    allowed = min(n_passes - int(any(0.0 < gamma < 1.0 for gamma in gammas)), MAX_REFIT_PASSES)
    driver.advance(chosen, tolerance, allowed, n_anchors=0 if sample.whole else None)
    lost = chosen[~refits.done[chosen]]
    _copy_answers(refits, columns, lost)
    defined[lost] = False
    chosen = np.flatnonzero(defined)
    refits.gap[chosen] += _decrement(refits, driver.anchors, chosen)
    ends = Relaxed(0.0, refits, members, defined, driver.anchors)
    between = [gamma for gamma in gammas if gamma > 0.0]
    blends = dict(zip(between, _blends(columns, ends, between, by_pass), strict=True))
    both = replace(ends, columns=_worse(columns, refits, chosen))
    return tuple(blends.get(gamma, both) for gamma in gammas)


def _members(columns: Columns) -> np.ndarray:
    problem, fits = columns.problem, columns.fits
    sets = np.unravel_index(np.arange(fits.size), fits.shape)[0]
    free = [~t.penalty.penalised & t.summary.usable for t in problem.sets]
    return np.asarray((columns.coef != 0) | np.tile(np.array(free), problem.n_classes)[sets])


def _defined(columns: Columns, members: np.ndarray) -> np.ndarray:
    problem, fits = columns.problem, columns.fits
    sets, paths, _ = np.unravel_index(np.arange(fits.size), fits.shape)
    used = members.reshape(fits.size, problem.n_classes, -1).any(axis=1).sum(axis=1)
    n_rows = np.array([training.summary.n_rows for training in problem.sets])[sets]
    some = used + int(problem.fit_intercept) < n_rows
    return np.asarray(some & (fits.l1_ratios[paths] > 0.0))


def _copied(columns: Columns, problem: Problem, fits: Fits) -> Columns:
    """New columns in the same places, without a penalty."""
    new = Columns(problem, fits)
    _copy_answers(new, columns, np.arange(fits.size))
    new.bend = None if columns.bend is None else columns.bend.copy()
    return new


def _copy_answers(new: Columns, columns: Columns, fits: np.ndarray) -> None:
    """Put some fits where those of `columns` stand."""
    for name in ("coef", "intercept", "grad", "grad_intercept", "loss", "violation", "gap"):
        getattr(new, name)[fits] = getattr(columns, name)[fits]
    new.objective[fits] = columns.loss[fits]
    new.scores.put(fits, columns.scores, fits)


def _begun(
    columns: Columns,
    evaluate: Evaluate,
    nulls: NullModels,
    n_threads: int,
    anchors: Anchors,
    chosen: np.ndarray,
) -> Lockstep:
    """A driver whose columns stand where loss and gradient are known already."""
    driver = Lockstep(columns, evaluate, nulls, n_threads)
    driver.anchors.held = list(anchors.held)
    driver.start(chosen)
    columns.objective[chosen] = columns.loss[chosen]
    return driver


def _decrement(columns: Columns, anchors: Anchors, fits: np.ndarray) -> np.ndarray:
    """``g'H^-1 g`` over the members: twice what a Newton step would still gain, (n,)."""
    assert isinstance(columns.fits, SupportFits)
    out = np.zeros(fits.size)
    sets = np.unravel_index(fits, columns.fits.shape)[0]
    for s in np.unique(sets):
        of = np.flatnonzero(sets == s)
        anchors.prepare(fits[of])
        for i in of:
            model, at = anchors.between(int(fits[i])), np.flatnonzero(columns.fits.members[fits[i]])
            if model is None or not at.size:
                continue
            hessian = model.block(at)
            if columns.problem.fit_intercept:
                cross = model.cross[:, at]
                hessian = hessian - cross.T @ follow_of(model.corner, cross)
            largest = float(np.diagonal(hessian).max(initial=0.0))
            hessian = hessian + 1e-12 * largest * np.eye(at.size)
            grad = columns.grad[fits[i], at]
            if largest > 0.0:
                out[i] = abs(float(grad @ np.linalg.lstsq(hessian, grad, rcond=None)[0]))
    return out


def _worse(penalised: Columns, refits: Columns, chosen: np.ndarray) -> Columns:
    """The refits with the larger certificates of both ends."""
    for name in ("gap", "violation"):
        mine = getattr(refits, name)
        mine[chosen] = np.maximum(mine[chosen], getattr(penalised, name)[chosen])
    return refits


def _blends(
    columns: Columns, ends: Relaxed, gammas: Sequence[float], by_pass: Evaluate
) -> list[Relaxed]:
    """Blends of both ends for gammas between 0 and 1, scored by one pass."""
    chosen = np.flatnonzero(ends.defined)
    if not gammas:
        return []
    made = []
    for gamma in gammas:
        blend = _copied(columns, columns.problem, ends.columns.fits)
        for name in ("coef", "intercept"):
            one, other = getattr(columns, name)[chosen], getattr(ends.columns, name)[chosen]
            getattr(blend, name)[chosen] = gamma * one + (1.0 - gamma) * other
        made.append(blend)
    if chosen.size:
        _score(made, chosen, by_pass)
    for blend in made:
        for name in ("gap", "violation"):
            getattr(blend, name)[chosen] = np.maximum(
                getattr(columns, name)[chosen], getattr(ends.columns, name)[chosen]
            )
    return [
        replace(ends, gamma=gamma, columns=blend) for gamma, blend in zip(gammas, made, strict=True)
    ]


def _score(blends: Sequence[Columns], chosen: np.ndarray, by_pass: Evaluate) -> None:
    """Evaluate the fits `chosen` of all blends in one pass."""
    problem, fits = blends[0].problem, blends[0].fits
    which = np.repeat(np.arange(len(blends)), chosen.size)
    of = np.tile(chosen, len(blends))
    order = np.argsort(np.unravel_index(of, fits.shape)[0], kind="stable")
    which, of = which[order], of[order]
    sets = np.unravel_index(of, fits.shape)[0]
    coef = np.array([blends[int(b)].coef[fit] for b, fit in zip(which, of, strict=True)])
    intercept = np.array([blends[int(b)].intercept[fit] for b, fit in zip(which, of, strict=True)])
    nothing, features = np.empty(0, dtype=np.int64), np.arange(problem.n_features)
    request = request_of(
        problem, sets, coef, intercept, nothing, features, joined_cells(problem, 1)
    )
    values = values_of(problem, sets, by_pass(request))
    for b, blend in enumerate(blends):
        mine = np.flatnonzero(which == b)
        at = of[mine]
        blend.loss[at] = blend.objective[at] = values.loss[mine]
        blend.scores.put(at, values.scores, mine)
