"""All columns of one problem: a start on the sample, then passes in lock step."""

from __future__ import annotations

import numpy as np

from distreg.glm.anchors import ONE_STEP_ANCHORS, Anchors
from distreg.glm.batches import Batches
from distreg.glm.columns import Columns
from distreg.glm.lockstep import Lockstep
from distreg.glm.null import NullModels, alpha_grid
from distreg.glm.onestep import OneStep
from distreg.glm.pace import Tolerance
from distreg.glm.problem import Fits, Problem
from distreg.glm.start import MANY_SETS, begin, start, start_batches
from distreg.glm.surrogate import Surrogate
from distreg.glm.where import Where
from distreg.glm.working import WorkingLockstep, check_unpenalised, is_wide
from distreg.options import PathOptions, as_grids
from distreg.summary import Sample

__all__ = ["alpha_grids", "solve"]

FEWEST_SINGLE = 3
"""Passes that none is of single precision below: there must be one more to certify columns."""

ROUGH_ANCHORS = 3
"""Fits of a path at which the first pass of a cross-validation takes curvature, where a sample
corrects the step: its points are those of the sample, and the next pass takes it anew."""


def alpha_grids(problem: Problem, nulls: NullModels, options: PathOptions) -> np.ndarray:
    """The given alphas, or those from the null model of the full data, (L, A)."""
    if options.alphas is not None:
        return np.array(as_grids(options))
    rule = options.n_alphas, options.alpha_min_ratio
    return np.array([alpha_grid(problem, nulls, ratio, *rule) for ratio in options.l1_ratios])


def solve(
    problem: Problem, nulls: NullModels, options: PathOptions, where: Where, n_passes: int
) -> tuple[Columns, Anchors | None, bool]:
    """Every training set, l1_ratio and alpha of one problem.

    Returns the columns, the curvature that is known, and whether the folds are approximate.
    """
    n_threads, sample, tolerance = where.runner.n_threads, where.sample, where.tolerance
    fits = Fits(
        len(problem.sets), np.array(options.l1_ratios), alpha_grids(problem, nulls, options)
    )
    columns = Columns(problem, fits)
    if is_wide(problem.n_features, problem.n_classes, options.l1_ratios):
        check_unpenalised(problem, fits)
        begun = start_batches(columns, sample, nulls, where.runner, tolerance)
        batches = Batches(columns, where.by_pass, nulls, n_threads, fits.n_sets, begun)
        batches.run(tolerance, max(n_passes, 1))
        return columns, None, False
    begin(columns, nulls)
    anchors = start(columns, sample, nulls, where.runner, tolerance)
    # where the sample is all, so is every fold solved on it
    if options.approximate and not sample.whole and fits.n_sets > 1:
        follower = OneStep(columns, where.by_pass, nulls, n_threads, n_anchors=ONE_STEP_ANCHORS)
        follower.anchors.held = anchors
        follower.start(np.arange(fits.size // fits.n_sets))
        follower.advance_full(tolerance, max(n_passes, 1))
        return columns, follower.anchors, True
    surrogate = Surrogate.of(problem, sample, n_threads)
    driver = Lockstep(columns, where.by_pass, nulls, n_threads, surrogate=surrogate)
    if _may_focus(problem, options, sample):
        kept = np.any([~training.penalty.penalised for training in problem.sets], axis=0)
        driver = WorkingLockstep(columns, where.by_pass, nulls, n_threads, None, kept, surrogate)
    driver.anchors.held = anchors
    solved = sample.whole and fits.n_sets <= MANY_SETS
    _advance(driver, columns, solved, tolerance, n_passes)
    return columns, driver.anchors, False


def _may_focus(problem: Problem, options: PathOptions, sample: Sample) -> bool:
    """Whether curvature of the features that matter will do.

    Not for sparse features, which are corrected for the rows that have them, and not where what is
    made of the answers needs the curvature of all.
    """
    dense = problem.n_dense == problem.n_features
    return dense and min(options.l1_ratios) > 0.0 and not options.gammas and not sample.whole


def _advance(
    driver: Lockstep, columns: Columns, solved: bool, tolerance: Tolerance, n_passes: int
) -> None:
    """The passes over all rows."""
    fits = columns.fits
    every = np.arange(fits.size)
    full = every[: fits.size // fits.n_sets]
    if solved or fits.n_sets == 1:
        driver.start(every)
        single, used = n_passes > 1 and not solved, 0
        if driver.trials.surrogate is not None:
            # where the sample guides, its curvature will do
            used = driver.advance(every, tolerance, 1, n_anchors=0, n_single=int(single))
            single = False
        # what the sample has solved need only be certified
        n_anchors = 0 if solved else None
        n_passes, n_single = n_passes - used, int(single)
        driver.advance(every, tolerance, n_passes, n_anchors, n_single, final=True)
        return
    driver.start(full)
    # these passes are too far from the answers to certify any within a small tolerance
    single = n_passes > FEWEST_SINGLE
    n_anchors = None if driver.trials.surrogate is None else ROUGH_ANCHORS
    used = 0
    if n_passes > 1:
        used = driver.advance(full, tolerance, 1, n_anchors, n_single=int(single))
    driver.seed_folds(full, tolerance, single)
    driver.step(every[~columns.done])
    # else the curvature of the cells is that of a moment ago
    n_anchors = None if driver.widen(every)[1] else 0
    n_passes, n_single = n_passes - used - 1, int(single)
    driver.advance(every, tolerance, n_passes, n_anchors, n_single, final=True)
