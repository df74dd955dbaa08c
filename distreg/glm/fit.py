"""From data to certified columns: summary pass, start on a sample, then passes in lock step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from distreg.evaluation import Evaluate, Evaluation, Request, evaluation
from distreg.exceptions import DataError
from distreg.glm.adaptive import adapted_problem
from distreg.glm.anchors import Anchor, Anchors
from distreg.glm.columns import Columns
from distreg.glm.lockstep import Lockstep, Tolerance
from distreg.glm.null import NullModels, alpha_grid, null_models, nulls_of
from distreg.glm.problem import Fits, Problem, make_problem
from distreg.glm.relaxed import Relaxed, relaxed_columns
from distreg.glm.sample import evaluate_on, weights_of
from distreg.losses import Loss
from distreg.options import PathOptions, as_grids
from distreg.passes import PassRunner
from distreg.penalties import normalised_factor
from distreg.summary import DataSummary, Sample, data_summary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["Fitted", "fit_columns"]

KKT_TOLERANCE = 1e-6
"""Largest KKT violation of a certified column, over the largest gradient of the null model."""

ROUGH = Tolerance(violation=1e-3, gap=1e-3)
"""What a start is good for: a sample knows no more."""

LARGEST_LOSS = 1e100
"""Mean loss of a null model beyond which nothing can be computed."""

SAMPLE_ROWS_PER_FEATURE = 20
SAMPLE_BYTES = 64_000_000
SAMPLE_CHUNKS = 5
MAX_SAMPLE_EVALUATIONS = 200
DEFAULT_MAX_PASSES = 100
N_FIRST = 20
"""Strengths of the first fit of adaptive penalties."""


@dataclass(frozen=True)
class Fitted:
    """Columns with what they were made of."""

    problem: Problem
    summary: DataSummary
    nulls: NullModels
    columns: Columns
    anchors: Anchors
    penalty_factor: np.ndarray
    relaxed: tuple[Relaxed, ...] = ()


def fit_columns(
    dataset: Dataset, cells: Cells, loss: Loss, options: PathOptions, runner: PassRunner
) -> Fitted:
    """Fit every training set, l1_ratio and alpha."""
    n_classes = len(dataset.classes or ()) if loss.target == "classes" else 1
    reduction = data_summary(
        dataset,
        cells,
        n_classes,
        sample_size(dataset, n_classes),
        nonnegative=loss.target == "count",
    )
    summary = runner.run(reduction, dataset)
    problem = make_problem(loss, n_classes, summary, cells, options, dataset.n_dense)
    _check_target(problem)
    nulls = null_models(problem)

    def by_pass(request: Request) -> Evaluation:
        return runner.run(evaluation(dataset, cells, request), dataset)

    n_passes = (options.max_passes or DEFAULT_MAX_PASSES) - runner.cost.n_passes
    if dataset.has_offset or any((~t.penalty.penalised).any() for t in problem.sets):
        nulls, used = _fitted_nulls(
            problem, nulls, by_pass, summary.sample, runner, options, n_passes
        )
        n_passes -= used
    sample, tolerance = summary.sample, Tolerance(KKT_TOLERANCE, options.tol)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    if options.adaptive is not None and problem.sets[0].penalty.penalised.any():
        first = replace(options, l1_ratios=(0.0,), alphas=None, n_alphas=N_FIRST)
        first = replace(first, alpha_min_ratio=None)
        columns, known = _solve(
            problem, nulls, first, by_pass, sample, runner, tolerance, n_passes // 2
        )
        problem, nulls, factor = adapted_problem(
            columns, known, nulls, factor, options.standardize, options.adaptive, runner.n_threads
        )
    n_passes = (options.max_passes or DEFAULT_MAX_PASSES) - runner.cost.n_passes
    columns, known = _solve(problem, nulls, options, by_pass, sample, runner, tolerance, n_passes)
    fitted = Fitted(problem, summary, nulls, columns, known, factor)
    if not options.gammas:
        return fitted
    n_passes = (options.max_passes or DEFAULT_MAX_PASSES) - runner.cost.n_passes
    found = relaxed_columns(
        columns,
        known,
        nulls,
        options.gammas,
        by_pass,
        sample,
        tolerance,
        runner.n_threads,
        n_passes,
    )
    return replace(fitted, relaxed=found)


def _solve(
    problem: Problem,
    nulls: NullModels,
    options: PathOptions,
    by_pass: Evaluate,
    sample: Sample,
    runner: PassRunner,
    tolerance: Tolerance,
    n_passes: int,
) -> tuple[Columns, Anchors]:
    """Every training set, l1_ratio and alpha of one problem, and the curvature that is known."""
    fits = Fits(len(problem.sets), np.array(options.l1_ratios), _grids(problem, nulls, options))
    columns = Columns(problem, fits)
    _begin(columns, nulls)
    anchors = _start(columns, sample, nulls, runner, tolerance)
    driver = Lockstep(columns, by_pass, nulls, runner.n_threads)
    driver.anchors.held = anchors
    _advance(driver, columns, sample.whole, tolerance, n_passes)
    return columns, driver.anchors


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
            f"the offset is too large: the mean loss of the model without features is "
            f"{loss.max():.1e}. An offset of a Poisson model is the logarithm of the exposure."
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
) -> tuple[NullModels, int]:
    """Null models with unpenalised features or an offset: fitted on the sample, then by passes."""
    fits = Fits(len(problem.sets), np.ones(1), np.full((1, 1), 1e300))
    every, unknown = np.arange(fits.size), nulls.unknown()
    small = Columns(problem.restricted(weights_of(sample, len(problem.role))), fits)
    _begin(small, nulls)
    tolerance = Tolerance(0.1 * KKT_TOLERANCE, 0.1 * options.tol)
    if all(small.problem.weight(s) > 0.0 for s in range(len(problem.sets))):
        driver = Lockstep(small, evaluate_on(sample, runner.n_threads), unknown, runner.n_threads)
        driver.start(every)
        driver.advance(every, tolerance, MAX_SAMPLE_EVALUATIONS)
        _check_nulls(small.loss)
    columns = Columns(problem, fits)
    columns.coef[:], columns.intercept[:] = small.coef, small.intercept
    driver = Lockstep(columns, by_pass, unknown, runner.n_threads)
    driver.start(every)
    used = driver.advance(every, tolerance, max(n_passes, 1))
    _check_nulls(columns.loss)
    fitted = nulls_of(problem, columns.intercept, columns.grad, columns.loss, columns.coef)
    return fitted, used


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
    n_alphas, n_sets = fits.alphas.shape[1], fits.n_sets if sample.whole else 1
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
