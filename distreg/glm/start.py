"""Where columns begin: null models, and the path of the full data on a sample in memory."""

from __future__ import annotations

import numpy as np

from distreg.evaluation import Evaluate
from distreg.exceptions import DataError
from distreg.glm.anchors import Anchor
from distreg.glm.batches import Batches
from distreg.glm.columns import Columns, objective_of
from distreg.glm.lockstep import Lockstep
from distreg.glm.null import NullModels, nulls_of
from distreg.glm.pace import Tolerance
from distreg.glm.problem import Fits, Problem
from distreg.glm.sample import evaluate_on, weights_of
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.summary import Sample

__all__ = ["MANY_SETS", "begin", "fitted_nulls", "start", "start_batches"]

ROUGH = Tolerance(violation=3e-3, gap=1.0, single=True)
"""What a start is good for: on all rows the violation there is ten times that, or more."""

LARGEST_LOSS = 1e100
"""Mean loss of a null model beyond which nothing can be computed."""

SAMPLE_CHUNKS = 5

N_SAMPLE = 3
"""Fits of a chunk at which the sample's curvature is taken."""

MAX_SAMPLE_EVALUATIONS = 200

MANY_SETS = 25
"""Training sets beyond which a sample of all rows is left to the full data: the others then need
fewer evaluations from its answers, in passes, than from alpha to alpha."""


def begin(columns: Columns, nulls: NullModels) -> None:
    """Put all columns at the null models of their training sets."""
    sets = np.unravel_index(np.arange(columns.fits.size), columns.fits.shape)[0]
    columns.coef[:] = nulls.coef[sets]
    columns.intercept[:] = nulls.intercept[sets]


def fitted_nulls(
    problem: Problem,
    nulls: NullModels,
    by_pass: Evaluate,
    sample: Sample,
    runner: PassRunner,
    options: PathOptions,
    n_passes: int,
    wide: bool,
) -> NullModels:
    """Null models that the summary does not determine: fitted on the sample, then by passes.

    With unpenalised features, an offset, or a loss whose null model is more than a mean.
    """
    fits = Fits(len(problem.sets), np.ones(1), np.full((1, 1), 1e300))
    every, unknown = np.arange(fits.size), nulls.unknown()
    features = np.arange(problem.n_features)
    if wide:
        # all others stay at 0; curvature of no feature at all is not to be had
        features = np.union1d(np.flatnonzero(~problem.sets[0].penalty.penalised), [0])
    small = Columns(problem.restricted(weights_of(sample, len(problem.role))), fits)
    begin(small, nulls)
    tolerance = Tolerance(0.1 * options.kkt_tolerance, 0.1 * options.tol)
    if all(small.problem.weight(s) > 0.0 for s in range(len(problem.sets))):
        driver = Lockstep(small, evaluate_on(sample, runner.n_threads), unknown, runner.n_threads)
        if wide:
            driver.anchors.watch(features)
        driver.start(every)
        driver.advance(every, tolerance, MAX_SAMPLE_EVALUATIONS)
        _check_nulls(small.loss)
    columns = Columns(problem, fits)
    columns.coef[:], columns.intercept[:] = small.coef, small.intercept
    driver = Lockstep(columns, by_pass, unknown, runner.n_threads)
    if wide:
        driver.anchors.watch(features)
    driver.start(every)
    driver.advance(every, tolerance, max(n_passes, 1))
    _check_nulls(columns.loss)
    return nulls_of(problem, columns.intercept, columns.grad, columns.loss, columns.coef)


def _check_nulls(loss: np.ndarray) -> None:
    if not (np.isfinite(loss).all() and loss.max() < LARGEST_LOSS):
        raise DataError(
            f"the offset is too large (or the target): the mean loss of the model without features "
            f"is {loss.max():.1e}. An offset of a Poisson model is the logarithm of the exposure."
        )


def start(
    columns: Columns,
    sample: Sample,
    nulls: NullModels,
    runner: PassRunner,
    tolerance: Tolerance,
) -> list[Anchor]:
    """Solve on the sample, the path of the full data in chunks of falling alpha.

    A sample of all rows gives the folds too, to full accuracy. Returns the curvature used.
    """
    problem, fits = columns.problem, columns.fits
    every_set = sample.whole and fits.n_sets <= MANY_SETS
    cell_weight = weights_of(sample, len(problem.role))
    anchors: list[Anchor] = []
    if not cell_weight[problem.sets[0].cells].sum() > 0.0:
        return anchors
    small = Columns(problem.restricted(cell_weight), fits)
    small.coef[:], small.intercept[:] = columns.coef, columns.intercept
    evaluate = evaluate_on(sample, runner.n_threads)
    known = nulls if sample.whole else nulls.unknown()
    # one more evaluation of the sample costs less than curvature of many columns
    driver = Lockstep(small, evaluate, known, runner.n_threads, n_anchors=N_SAMPLE, few=N_SAMPLE)
    aim = Tolerance(0.3 * tolerance.violation, 0.3 * tolerance.gap) if sample.whole else ROUGH
    n_alphas, n_sets = fits.alphas.shape[1], fits.n_sets if every_set else 1
    grid = np.arange(fits.size).reshape(fits.shape)
    bounds = np.unique(np.linspace(0, n_alphas, SAMPLE_CHUNKS + 1).astype(int))
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        chunk = grid[:n_sets, :, first:last]
        own = chunk[0].ravel()
        driver.start(own)
        if first:
            # what is known where the last chunk ended does not depend on alpha
            for fit, before in zip(
                own, np.repeat(grid[0, :, first - 1], last - first), strict=True
            ):
                small.copy(int(fit), int(before))
            small.objective[own] = objective_of(small, own)
            driver.step(own)
        driver.advance(own, aim, MAX_SAMPLE_EVALUATIONS)
        if n_sets > 1:
            for fit in chunk[1:].ravel():
                _, path, index = fits.of(int(fit))
                small.move_to(int(fit), int(grid[0, path, index]))
            driver.start(chunk[1:].ravel())
            driver.advance(chunk[1:].ravel(), aim, MAX_SAMPLE_EVALUATIONS)
        anchors += driver.anchors.held
    chosen = grid[:n_sets].ravel()
    # gradients of the sample say which features matter until there are better ones
    for name in ("coef", "intercept", "grad"):
        getattr(columns, name)[chosen] = getattr(small, name)[chosen]
    return anchors


def start_batches(
    columns: Columns,
    sample: Sample,
    nulls: NullModels,
    runner: PassRunner,
    tolerance: Tolerance,
) -> bool:
    """As `start`, by batches with working sets; returns whether the columns were moved.

    A sample with fewer rows than features says little of which ones are active.
    """
    problem, fits = columns.problem, columns.fits
    cell_weight = weights_of(sample, len(problem.role))
    enough = sample.whole or sample.block.n_rows >= problem.n_features
    if not (enough and cell_weight[problem.sets[0].cells].sum() > 0.0):
        return False
    small = Columns(problem.restricted(cell_weight), fits)
    n_sets = fits.n_sets if sample.whole else 1
    known = nulls if sample.whole else nulls.unknown()
    aim = Tolerance(0.3 * tolerance.violation, 0.3 * tolerance.gap) if sample.whole else ROUGH
    evaluate = evaluate_on(sample, runner.n_threads)
    batches = Batches(small, evaluate, known, runner.n_threads, n_sets, begun=False)
    batches.run(aim, MAX_SAMPLE_EVALUATIONS, warn=False)
    columns.coef, columns.intercept = small.coef, small.intercept
    per_set = fits.size // fits.n_sets
    for fit in range(n_sets * per_set, fits.size):
        columns.move_to(fit, fit % per_set)
    return True
