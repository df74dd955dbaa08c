"""Cross-validation by the alternating direction method: all folds, alphas and l1_ratios at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from distreg.admm.dual import Strengths
from distreg.admm.frame import Frame, gram
from distreg.admm.solve import Found, Setting, solve, violation
from distreg.exceptions import InputError
from distreg.glm.columns import Columns
from distreg.glm.crossval import as_result
from distreg.glm.fit import Fitted, alpha_grids, check_target, sample_size
from distreg.glm.null import NullModels, kinked_nulls
from distreg.glm.problem import Fits, Problem, make_problem
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner, single_threaded_blas
from distreg.penalties import Box, normalised_factor
from distreg.result import CVResult
from distreg.summary import data_summary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["cross_validate_admm"]

MAX_PASSES = 1000
"""Default; a round is cheap, and there are some tens to hundreds."""

STATE_BYTES = 1_000_000_000
"""Of the rows' states of one batch, all workers together."""

MOST_FEATURES = 10_000
"""Whose products are decomposed."""


def cross_validate_admm(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha of a loss with a kink; `options` are checked.

    Two passes for means and products, then one a round. Every answer has a duality gap; KKT
    violations are told, but the gap alone counts.

    Raises
    ------
    InputError
        If an option is one that this method does not have.
    """
    start, before = time.perf_counter(), runner.cost.pass_seconds
    _check(dataset, options)
    loss = get_loss(options.loss, options.loss_parameter)
    with single_threaded_blas():
        summary = runner.run(
            data_summary(
                dataset,
                cells,
                1,
                sample_size(dataset, 1),
                codes=2 if loss.target == "binary" else 0,
            ),
            dataset,
        )
        if summary.missing.size:
            raise InputError(
                f"feature {dataset.feature_names[summary.missing[0]]!r} has missing values, which "
                f"loss={loss.name!r} cannot replace by means: fill them in the data"
            )
        problem = make_problem(loss, 1, summary, cells, options, dataset.n_dense)
        check_target(problem)
        nulls = kinked_nulls(problem, summary.sample, runner.n_threads)
        columns = _columns(problem, nulls, dataset, cells, options, runner)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    fitted = Fitted(problem, summary, nulls, columns, None, False, factor)
    since = start + runner.cost.pass_seconds - before
    return as_result(fitted, dataset, cells, options, runner, since, np.inf)


def _check(dataset: Dataset, options: PathOptions) -> None:
    for name, used in (("relax", options.gammas), ("adaptive", options.adaptive is not None)):
        if used:
            raise InputError(f"{name} is not known to loss={options.loss!r}: leave {name} out")
    if dataset.n_features > MOST_FEATURES:
        raise InputError(
            f"loss={options.loss!r} decomposes the products of all features, of which there may be "
            f"{MOST_FEATURES:,}, not {dataset.n_features:,}"
        )


def _columns(
    problem: Problem,
    nulls: NullModels,
    dataset: Dataset,
    cells: Cells,
    options: PathOptions,
    runner: PassRunner,
) -> Columns:
    """Fit all columns, batch after batch along the path."""
    fits = Fits(
        len(problem.sets), np.array(options.l1_ratios), alpha_grids(problem, nulls, options)
    )
    columns = Columns(problem, fits)
    full = problem.sets[0]
    frame = Frame(full.origin, full.summary.scale, problem.n_dense, full.cells)
    products = runner.run(gram(dataset, cells, frame, problem.fit_intercept), dataset)
    setting = Setting(problem, cells, frame, products, nulls.objective, options.tol)
    batches = _batches(fits, products.n_rows)
    end = runner.cost.n_passes + (options.max_passes or MAX_PASSES) - 2
    coef = np.zeros((*fits.shape[:2], problem.n_features))
    intercept = np.repeat(nulls.intercept[:, :1], fits.shape[1], axis=1)
    numbers = np.arange(fits.size).reshape(fits.shape)
    for i, places in enumerate(batches):
        chosen = numbers[:, :, places].ravel()
        sets, paths, _ = np.unravel_index(chosen, fits.shape)
        strengths = _strengths(problem, fits, chosen, frame)
        most = max((end - runner.cost.n_passes) // (len(batches) - i), 1)
        begin = coef[sets, paths], intercept[sets, paths]
        found = solve(setting, dataset, runner, sets, strengths, *begin, most)
        _put(columns, chosen, found, strengths, frame)
        last = np.arange(chosen.size).reshape(*fits.shape[:2], -1)[:, :, -1]
        coef, intercept = found.coef[last], found.intercept[last]
    return columns


def _batches(fits: Fits, n_rows: int) -> list[np.ndarray]:
    """Places on the paths that are fitted together."""
    each = 8 * n_rows * fits.shape[0] * fits.shape[1]
    n = -(-fits.shape[2] // max(STATE_BYTES // max(each, 1), 1))
    return np.array_split(np.arange(fits.shape[2]), n)


def _strengths(problem: Problem, fits: Fits, chosen: np.ndarray, frame: Frame) -> Strengths:
    """Penalties of some fits on the coefficients of the common frame."""
    sets = np.unravel_index(chosen, fits.shape)[0]
    scale = np.array([training.summary.scale for training in problem.sets])[sets] / frame.scale
    usable = np.array([training.summary.usable for training in problem.sets])[sets]
    lasso, ridge = fits.strengths(problem, chosen)
    box = fits.box(problem, chosen)
    return Strengths(
        np.where(usable, lasso * scale, np.inf),
        ridge * scale**2,
        None if box is None else Box(box.lower / scale, box.upper / scale),
    )


def _put(
    columns: Columns, chosen: np.ndarray, found: Found, strengths: Strengths, frame: Frame
) -> None:
    """Hand over what was found, on the scales of the training sets."""
    distance = violation(found, strengths)
    for i, fit in enumerate(chosen):
        training = columns.problem.sets[columns.fits.of(int(fit))[0]]
        raw = found.coef[i] / frame.scale
        columns.coef[fit] = raw * training.summary.scale
        columns.intercept[fit] = found.intercept[i] + raw @ (training.origin - frame.origin)
    columns.objective[chosen], columns.loss[chosen] = found.objective, found.loss
    columns.gap[chosen], columns.violation[chosen] = found.gap, distance
    columns.scores.put(chosen, found.scores, np.arange(chosen.size))
