"""From data to certified columns: summary pass, start on a sample, then passes in lock step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from distreg.evaluation import Evaluate, Evaluation, Request, evaluation
from distreg.exceptions import DataError, InputError
from distreg.glm.adaptive import adapted_problem
from distreg.glm.anchors import Anchor, Anchors
from distreg.glm.batches import Batches
from distreg.glm.columns import Columns
from distreg.glm.lockstep import Lockstep, Tolerance
from distreg.glm.null import NullModels, alpha_grid, null_models, nulls_of, sampled_nulls
from distreg.glm.onestep import OneStep
from distreg.glm.problem import Fits, Problem, make_problem
from distreg.glm.relaxed import Relaxed, relaxed_columns
from distreg.glm.sample import evaluate_on, weights_of
from distreg.glm.working import check_unpenalised, is_wide
from distreg.losses import Loss
from distreg.options import PathOptions, as_grids
from distreg.passes import PassRunner
from distreg.penalties import normalised_factor
from distreg.summary import DataSummary, Sample, data_summary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["Fitted", "fit_columns"]

ROUGH = Tolerance(violation=1e-3, gap=1e-3)
"""What a start is good for: a sample knows no more."""

LARGEST_LOSS = 1e100
"""Mean loss of a null model beyond which nothing can be computed."""

SAMPLE_ROWS_PER_FEATURE = 20
SAMPLE_BYTES = 64_000_000
SAMPLE_CHUNKS = 5
MANY_SETS = 25
"""Training sets beyond which a sample of all rows is left to the full data: the others then need
fewer evaluations from its answers, in passes, than from alpha to alpha."""

MAX_SAMPLE_EVALUATIONS = 200
DEFAULT_MAX_PASSES = 100
ONE_STEP_ANCHORS = 8
"""More than where steps are repeated: folds that take one have no second to correct it."""

N_FIRST = 20
"""Strengths of the first fit of adaptive penalties."""


@dataclass(frozen=True)
class Fitted:
    """Columns with what they were made of.

    Attributes
    ----------
    problem : Problem
    summary : DataSummary
    nulls : NullModels
    columns : Columns
    anchors : Anchors or None
        The curvature that is known; None with working sets, which keep that of a few features.
    approximate : bool
        The folds' columns took one Newton step.
    penalty_factor : (p,) array
        Of the full data, as used.
    relaxed : tuple of Relaxed
    """

    problem: Problem
    summary: DataSummary
    nulls: NullModels
    columns: Columns
    anchors: Anchors | None
    approximate: bool
    penalty_factor: np.ndarray
    relaxed: tuple[Relaxed, ...] = ()


@dataclass(frozen=True)
class _Where:
    """Rows that requests are evaluated on: all of them by passes, and a sample in memory."""

    by_pass: Evaluate
    sample: Sample
    runner: PassRunner
    tolerance: Tolerance
    most: int

    @property
    def n_passes(self) -> int:
        """Passes that may still be used."""
        return self.most - self.runner.cost.n_passes


def fit_columns(
    dataset: Dataset, cells: Cells, loss: Loss, options: PathOptions, runner: PassRunner
) -> Fitted:
    """Fit every training set, l1_ratio and alpha."""
    n_classes = len(dataset.classes or ()) if loss.target == "classes" else 1
    wide = is_wide(dataset.n_features, n_classes, options.l1_ratios)
    if wide and options.gammas:
        raise InputError(
            f"relax needs the curvature of all {dataset.n_features:,} features, which takes too "
            "much memory. Leave relax out, or use fewer features."
        )
    reduction = data_summary(
        dataset,
        cells,
        n_classes,
        sample_size(dataset, n_classes),
        nonnegative=loss.target == "count",
        codes={"binary": 2, "classes": n_classes}.get(loss.target, 0),
    )
    summary = runner.run(reduction, dataset)
    problem = make_problem(loss, n_classes, summary, cells, options, dataset.n_dense)
    _check_target(problem)

    def by_pass(request: Request) -> Evaluation:
        return runner.run(evaluation(dataset, cells, request), dataset)

    where = _Where(
        by_pass,
        summary.sample,
        runner,
        Tolerance(options.kkt_tolerance, options.tol),
        options.max_passes or DEFAULT_MAX_PASSES,
    )
    nulls = _nulls(problem, dataset.has_offset, options, where, wide)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    if options.adaptive is not None and problem.sets[0].penalty.penalised.any():
        problem, nulls, factor = _adapted(problem, nulls, factor, options, where)
    columns, known, approximate = _solve(problem, nulls, options, where, where.n_passes)
    fitted = Fitted(problem, summary, nulls, columns, known, approximate, factor)
    if not options.gammas or known is None:
        return fitted
    found = relaxed_columns(
        columns,
        known,
        nulls,
        options.gammas,
        by_pass,
        where.sample,
        where.tolerance,
        runner.n_threads,
        where.n_passes,
    )
    return replace(fitted, relaxed=found)


def _nulls(
    problem: Problem, has_offset: bool, options: PathOptions, where: _Where, wide: bool
) -> NullModels:
    """Null models, from the summary where that determines them."""
    nulls, unknown = null_models(problem), problem.loss.null_eta is None
    if unknown:
        nulls = sampled_nulls(problem, nulls, where.sample, where.runner.n_threads)
    if unknown or has_offset or any((~t.penalty.penalised).any() for t in problem.sets):
        return _fitted_nulls(
            problem,
            nulls,
            where.by_pass,
            where.sample,
            where.runner,
            options,
            where.n_passes,
            wide,
        )
    return nulls


def _adapted(
    problem: Problem,
    nulls: NullModels,
    factor: np.ndarray,
    options: PathOptions,
    where: _Where,
) -> tuple[Problem, NullModels, np.ndarray]:
    """The problem with penalty factors from a first fit of every training set, an L2 path."""
    first = replace(
        options,
        l1_ratios=(0.0,),
        alphas=None,
        n_alphas=N_FIRST,
        alpha_min_ratio=None,
        approximate=False,
    )
    columns, known, _ = _solve(problem, nulls, first, where, where.n_passes // 2)
    assert known is not None  # an L2 path has no working set
    return adapted_problem(
        columns,
        known,
        nulls,
        factor,
        options.standardize,
        float(options.adaptive or 0.0),
        where.runner.n_threads,
    )


def _solve(
    problem: Problem, nulls: NullModels, options: PathOptions, where: _Where, n_passes: int
) -> tuple[Columns, Anchors | None, bool]:
    """Every training set, l1_ratio and alpha of one problem.

    Returns the columns, the curvature that is known, and whether the folds are approximate.
    """
    n_threads, sample, tolerance = where.runner.n_threads, where.sample, where.tolerance
    fits = Fits(len(problem.sets), np.array(options.l1_ratios), _grids(problem, nulls, options))
    columns = Columns(problem, fits)
    if is_wide(problem.n_features, problem.n_classes, options.l1_ratios):
        check_unpenalised(problem, fits)
        begun = _start_batches(columns, sample, nulls, where.runner, tolerance)
        batches = Batches(columns, where.by_pass, nulls, n_threads, fits.n_sets, begun)
        batches.run(tolerance, max(n_passes, 1))
        return columns, None, False
    _begin(columns, nulls)
    anchors = _start(columns, sample, nulls, where.runner, tolerance)
    # where the sample is all, so is every fold solved on it
    if options.approximate and not sample.whole and fits.n_sets > 1:
        follower = OneStep(columns, where.by_pass, nulls, n_threads, n_anchors=ONE_STEP_ANCHORS)
        follower.anchors.held = anchors
        follower.start(np.arange(fits.size // fits.n_sets))
        follower.advance_full(tolerance, max(n_passes, 1))
        return columns, follower.anchors, True
    driver = Lockstep(columns, where.by_pass, nulls, n_threads)
    driver.anchors.held = anchors
    solved = sample.whole and fits.n_sets <= MANY_SETS
    _advance(driver, columns, solved, tolerance, n_passes)
    return columns, driver.anchors, False


def sample_size(dataset: Dataset, n_classes: int) -> int:
    """Rows of the sample: enough for a start, little beside the data's blocks."""
    p = dataset.n_features
    most = SAMPLE_BYTES // (8 * (dataset.n_dense + min(dataset.n_sparse, 64) + 4))
    return int(min(max(SAMPLE_ROWS_PER_FEATURE * p * n_classes, 2000), max(most, 1)))


def _check_target(problem: Problem) -> None:
    """Refuse a target from which nothing can be learned."""
    target, kind = problem.sets[0].summary.target, problem.loss.target
    if kind == "count":
        if target[0] == 0.0:
            raise DataError(
                "the target is 0 in all rows with a positive weight: a Poisson model would have an "
                "intercept of minus infinity. Check the target column and the weights."
            )
        return
    if kind == "real":
        return
    shares = target if kind == "classes" else np.array([1.0 - target[0], target[0]])
    if np.count_nonzero(shares) < 2:
        raise DataError(
            f"the {problem.loss.name} loss needs rows of at least 2 classes with a positive weight,"
            f" but all are of class {int(np.argmax(shares))}. Check the target column and the "
            "weights."
        )


def _check_nulls(loss: np.ndarray) -> None:
    if not (np.isfinite(loss).all() and loss.max() < LARGEST_LOSS):
        raise DataError(
            f"the offset is too large (or the target): the mean loss of the model without features "
            f"is {loss.max():.1e}. An offset of a Poisson model is the logarithm of the exposure."
        )


def _begin(columns: Columns, nulls: NullModels) -> None:
    """Put all columns at the null models of their training sets."""
    sets = np.unravel_index(np.arange(columns.fits.size), columns.fits.shape)[0]
    columns.coef[:] = nulls.coef[sets]
    columns.intercept[:] = nulls.intercept[sets]


def _grids(problem: Problem, nulls: NullModels, options: PathOptions) -> np.ndarray:
    if options.alphas is not None:
        return np.array(as_grids(options))
    rule = options.n_alphas, options.alpha_min_ratio
    return np.array([alpha_grid(problem, nulls, ratio, *rule) for ratio in options.l1_ratios])


def _fitted_nulls(
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
    _begin(small, nulls)
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


def _start(
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
    driver = Lockstep(small, evaluate, known, runner.n_threads, n_anchors=3)
    aim = Tolerance(0.3 * tolerance.violation, 0.3 * tolerance.gap) if sample.whole else ROUGH
    n_alphas, n_sets = fits.alphas.shape[1], fits.n_sets if every_set else 1
    grid = np.arange(fits.size).reshape(fits.shape)
    bounds = np.unique(np.linspace(0, n_alphas, SAMPLE_CHUNKS + 1).astype(int))
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        chunk = grid[:n_sets, :, first:last]
        if first:
            for fit, before in zip(
                chunk.ravel(), np.repeat(grid[:n_sets, :, first - 1], last - first), strict=True
            ):
                small.move_to(int(fit), int(before))
        driver.start(chunk.ravel())
        driver.advance(chunk[0].ravel(), aim, MAX_SAMPLE_EVALUATIONS)
        if n_sets > 1:
            for fit in chunk[1:].ravel():
                _, path, index = fits.of(int(fit))
                small.move_to(int(fit), int(grid[0, path, index]))
            driver.start(chunk[1:].ravel())
            driver.advance(chunk[1:].ravel(), aim, MAX_SAMPLE_EVALUATIONS)
        anchors += driver.anchors.held
    chosen = grid[:n_sets].ravel()
    columns.coef[chosen], columns.intercept[chosen] = small.coef[chosen], small.intercept[chosen]
    return anchors


def _start_batches(
    columns: Columns,
    sample: Sample,
    nulls: NullModels,
    runner: PassRunner,
    tolerance: Tolerance,
) -> bool:
    """As `_start`, by batches with working sets; returns whether the columns were moved.

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


def _advance(
    driver: Lockstep, columns: Columns, solved: bool, tolerance: Tolerance, n_passes: int
) -> None:
    """The passes over all rows."""
    fits = columns.fits
    every = np.arange(fits.size)
    full = every[: fits.size // fits.n_sets]
    if solved or fits.n_sets == 1:
        driver.start(every)
        # what the sample has solved need only be certified
        driver.advance(every, tolerance, n_passes, anchors=not solved)
        return
    driver.start(full)
    used = driver.advance(full, tolerance, 1)
    driver.seed_folds(full, tolerance)
    driver.step(every[~columns.done])
    driver.advance(every, tolerance, n_passes - used - 1)
