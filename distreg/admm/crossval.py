"""Cross-validation by the alternating direction method: all folds, alphas and l1_ratios at once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from distreg.admm.batch import Answers, Setting
from distreg.admm.frame import Frame, gram
from distreg.admm.local import numbers_of_parts
from distreg.admm.solve import solve
from distreg.admm.span import make_span
from distreg.admm.trace import Trace
from distreg.blas import single_threaded_blas
from distreg.exceptions import InputError
from distreg.glm.columns import Columns
from distreg.glm.crossval import as_result
from distreg.glm.fit import (
    Fitted,
    check_target,
    null_fits,
    sample_size,
    summarised,
)
from distreg.glm.null import NullModels, evaluated_nulls, kinked_nulls, null_curvature
from distreg.glm.problem import Fits, Problem, make_problem
from distreg.glm.solve import alpha_grids
from distreg.glm.where import Where
from distreg.glm.working import is_wide
from distreg.losses import Loss, get_loss
from distreg.options import PathOptions, most_passes, solver_of
from distreg.passes import PassRunner
from distreg.penalties import normalised_factor
from distreg.result import CVResult, RoundsTrace
from distreg.summary import DataSummary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["cross_validate_admm"]

STATE_BYTES = 1_000_000_000
"""Of the rows' states of one batch, all workers together."""

START = 1.0
"""Times the curvature of the loss: where rho starts."""

MOST_FEATURES = 10_000
"""Whose products are decomposed."""

LEAST_UNIT = 1e-4
"""Objective of a null model in units of that of the full data, below which all rows are asked."""

QUANTILE_ROWS = 2000
"""Rows of which the summary tells quantiles, by consensus."""


def cross_validate_admm(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha by rounds; `options` are checked.

    A pass for means, with solver "admm" one for products (and some for null models with unpenalised
    features or an offset), then one a round. Every answer has a duality gap; KKT violations are
    told, but the gap alone counts.

    Raises
    ------
    InputError
        If there are too many features, or missing values.
    """
    start, before = time.perf_counter(), runner.cost.pass_seconds
    solver = solver_of(options)
    if solver == "admm" and dataset.n_features > MOST_FEATURES:
        raise InputError(
            f"solver='admm' (loss={options.loss!r}) decomposes the products of all features, of "
            f"which there may be {MOST_FEATURES:,}, not {dataset.n_features:,}: solver='consensus' "
            "needs no such products"
        )
    loss = get_loss(options.loss, options.loss_parameter)
    with single_threaded_blas():
        summary = _summarised(dataset, cells, loss, solver, runner)
        if summary.missing.size:
            raise InputError(
                f"feature {dataset.feature_names[summary.missing[0]]!r} has missing values, which "
                f"solver={solver!r} (loss={loss.name!r}) cannot replace by means: fill them in the "
                "data"
            )
        problem = make_problem(loss, 1, summary, cells, options, dataset.n_dense)
        check_target(problem)
        nulls = _nulls(problem, dataset, cells, summary, options, runner)
        columns, rounds = _columns(problem, nulls, dataset, cells, options, runner)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    fitted = Fitted(problem, summary, nulls, columns, None, False, factor)
    since = start + runner.cost.pass_seconds - before
    result = as_result(fitted, dataset, cells, options, runner, since, np.inf)
    return replace(result, rounds=rounds)


def _summarised(
    dataset: Dataset, cells: Cells, loss: Loss, solver: str, runner: PassRunner
) -> DataSummary:
    """The summary pass; by consensus the rows stay where they are, as far as that is possible."""
    if solver == "admm":
        return summarised(dataset, cells, loss, 1, runner)
    n_rows = min(QUANTILE_ROWS, sample_size(dataset, 1)) if loss.null_eta is None else 0
    return summarised(dataset, cells, loss, 1, runner, n_rows)


def _nulls(
    problem: Problem,
    dataset: Dataset,
    cells: Cells,
    summary: DataSummary,
    options: PathOptions,
    runner: PassRunner,
) -> NullModels:
    """Null models; those of smooth losses are the ones that Newton's method begins with."""
    if not problem.loss.smooth:
        nulls, sample = kinked_nulls(problem, summary.sample, runner.n_threads), summary.sample
        # where rows with another target than most are rare the sample may have none
        known = sample.whole or np.all(nulls.objective > LEAST_UNIT * nulls.objective[0])
        where = Where.of(dataset, cells, sample, options, runner)
        return nulls if known else evaluated_nulls(problem, nulls, where.by_pass)
    where = Where.of(dataset, cells, summary.sample, options, runner)
    wide = solver_of(options) == "consensus" or is_wide(problem.n_features, 1, (1.0,))
    return null_fits(problem, dataset.has_offset, options, where, wide)


def _columns(
    problem: Problem,
    nulls: NullModels,
    dataset: Dataset,
    cells: Cells,
    options: PathOptions,
    runner: PassRunner,
) -> tuple[Columns, RoundsTrace]:
    """Fit all columns, batch after batch along the path."""
    fits = Fits(
        len(problem.sets), np.array(options.l1_ratios), alpha_grids(problem, nulls, options)
    )
    columns = Columns(problem, fits)
    full = problem.sets[0]
    frame = Frame(full.origin, full.summary.scale, problem.n_dense, full.cells)
    n_rows, products = full.summary.n_rows, None
    if solver_of(options) == "admm":
        products = runner.run(gram(dataset, cells, frame, problem.fit_intercept), dataset)
    span = make_span(problem, fits.alphas, dataset, cells, frame, nulls.objective, runner)
    rho = _first_rho(problem, nulls)
    setting = Setting(
        problem, fits, cells, frame, products, span, n_rows, nulls.objective, rho, options.tol
    )
    numbers_kept = n_rows + (numbers_of_parts(dataset) if products is None else 0)
    batches = _batches(fits, numbers_kept)
    end = most_passes(options)
    coef = np.zeros((*fits.shape[:2], problem.n_features))
    intercept = np.repeat(nulls.intercept[:, :1], fits.shape[1], axis=1)
    numbers = np.arange(fits.size).reshape(fits.shape)
    trace, waiting = Trace(), fits.size
    for i, places in enumerate(batches):
        chosen = numbers[:, :, places].ravel()
        sets, paths, _ = np.unravel_index(chosen, fits.shape)
        most = max((end - runner.cost.n_passes) // (len(batches) - i), 1)
        begin = coef[sets, paths], intercept[sets, paths]
        waiting -= chosen.size
        found = solve(setting, dataset, runner, chosen, *begin, most, waiting, trace)
        _put(columns, chosen, found, frame)
        last = np.arange(chosen.size).reshape(*fits.shape[:2], -1)[:, :, -1]
        coef, intercept = found.coef[last], found.intercept[last]
    return columns, trace.result()


def _batches(fits: Fits, n_numbers: int) -> list[np.ndarray]:
    """Places on the paths that are fitted together; a column takes `n_numbers` on the workers."""
    each = 8 * n_numbers * fits.shape[0] * fits.shape[1]
    n = -(-fits.shape[2] // max(STATE_BYTES // max(each, 1), 1))
    return np.array_split(np.arange(fits.shape[2]), n)


def _first_rho(problem: Problem, nulls: NullModels) -> np.ndarray:
    """Where rho starts in each training set, (S,): about the curvature of the loss."""
    if problem.loss.smooth:
        return np.full(len(problem.sets), START * null_curvature(problem, nulls))
    # that of a loss of this size whose slope is about 1
    return 0.5 * START / np.where(nulls.objective > 0.0, nulls.objective, 1.0)


def _put(columns: Columns, chosen: np.ndarray, found: Answers, frame: Frame) -> None:
    """Hand over what was found, on the scales of the training sets."""
    for i, fit in enumerate(chosen):
        training = columns.problem.sets[columns.fits.of(int(fit))[0]]
        raw = found.coef[i] / frame.scale
        columns.coef[fit] = raw * training.summary.scale
        columns.intercept[fit] = found.intercept[i] + raw @ (training.origin - frame.origin)
    columns.objective[chosen], columns.loss[chosen] = found.objective, found.loss
    columns.gap[chosen], columns.violation[chosen] = found.gap, found.violation
    columns.scores.put(chosen, found.scores, np.arange(chosen.size))
