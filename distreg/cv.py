"""Cross-validation of all folds, alphas and l1_ratios from the moments of one pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from distreg.adaptive import adapted
from distreg.blas import single_threaded_blas
from distreg.curve import FoldFit, curve
from distreg.exceptions import InputError
from distreg.moments import Layout, Moments
from distreg.options import BY_ROUNDS, PathOptions, as_grids, bounds_of, check_options, solver_of
from distreg.passes import PassRunner
from distreg.path import PathResult, alpha_grid, fit_path
from distreg.penalties import Penalty, normalised_factor
from distreg.relaxed import relaxed_paths, without_undefined
from distreg.result import CVResult
from distreg.training import CellMoments, TrainingMoments, cell_moments

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["CVResult", "cross_validate"]

Driver = Callable[["Dataset", "Cells", PathOptions, PassRunner], CVResult]
"""Fits every fold, l1_ratio and alpha; its options are checked."""

FEWEST_GROUPS = 4
"""Groups that stay for parallel work, however large their states."""

THREAD_MATRICES = 10
"""Matrices of the size of a covariance that one thread holds while it solves a path (measured)."""


def cross_validate(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha, and score the held-out rows.

    The squared loss needs one pass, other smooth losses a handful (`distreg.glm`). Those with a
    kink, and others when asked for, take tens of rounds (`distreg.admm`).

    Parameters
    ----------
    dataset : Dataset
    cells : Cells
        Folds (possibly none) and test rows.
    options : PathOptions
    runner : PassRunner
        Where to run; its cost is added to.

    Returns
    -------
    CVResult

    Raises
    ------
    InputError
        If an option is out of range.
    DataError
        If the data hold NaN or infinity, or a training set has no weight.
    """
    check_options(options, dataset.n_features)
    runner.cost.n_scans += dataset.n_scans
    return _driver_of(solver_of(options))(dataset, cells, options, runner)


def _driver_of(solver: str) -> Driver:
    """What fits by a solver of `options.SOLVERS`; imported only where it is used."""
    if solver in BY_ROUNDS:
        from distreg.admm.crossval import cross_validate_admm

        return cross_validate_admm
    if solver == "newton":
        from distreg.glm.crossval import cross_validate_glm

        return cross_validate_glm
    return _cross_validate_gram


def _cross_validate_gram(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """All training sets of the squared loss from the moments of one pass."""
    moments = runner.run(
        cell_moments(dataset, cells), _fitted_groups(dataset, cells, runner.n_threads)
    )
    start = time.perf_counter()
    if cells.n_folds > cells.n_cells:
        moments = moments.about_one_centre()
    factor = normalised_factor(options.penalty_factor, dataset.n_features)
    with single_threaded_blas():
        full, full_penalty, factor = _problem(moments, cells.full, options, factor)
        grids = _grids(full, full_penalty, options)
        n_folds = cells.train.shape[0]
        runner.progress("path", 0, n_folds + 1)
        with ThreadPoolExecutor(runner.n_threads) as pool:
            whole = pool.submit(_fit_paths, full, full_penalty, grids, options, True)
            folds = [
                pool.submit(_fit_fold, moments, cells.train[k], cells.held_out[k], options, grids)
                for k in range(n_folds)
            ]
            paths, fitted = _collected(pool, whole, folds, runner)
        test = _test_scores(moments, cells.test, full, paths)
    runner.cost.path_seconds += time.perf_counter() - start
    return CVResult(
        paths=paths,
        **without_undefined(paths, curve(fitted, len(paths), grids[0].size)),
        n_samples=full.n_rows,
        n_test=int(moments.count[cells.test].sum()),
        weight_sum=full.weight,
        null_deviance=full.yty,
        feature_names=dataset.feature_names,
        feature_mean=full.mean,
        feature_sd=full.sd,
        fill_values=full.mean if dataset.missing == "mean" else None,
        standardize=options.standardize,
        fit_intercept=options.fit_intercept,
        penalty_factor=factor,
        tol=options.tol,
        cost=replace(runner.cost),
        test=test,
    )


def _fitted_groups(dataset: Dataset, cells: Cells, n_threads: int) -> Dataset:
    """The data set in so few groups that their states stay small beside the data.

    Raises
    ------
    InputError
        If the states of a few groups do not fit into memory.
    """
    p, layout = dataset.n_features, Layout(cells.n_cells, dataset.n_sparse, dataset.n_dense)
    state = Moments.state_bytes(layout)
    needed = 2 * state + n_threads * THREAD_MATRICES * 8 * p**2
    available = int(psutil.virtual_memory().available)
    if needed > available:
        raise InputError(
            f"{p:,} features in {cells.n_cells} cells (folds and test rows) need about "
            f"{needed / 1e9:.1f} GB for Gram matrices; {available / 1e9:.1f} GB are free. Use at "
            f"most about {int(p * (available / needed) ** 0.5):,} features, or fewer folds."
        )
    return dataset.regroup(max(FEWEST_GROUPS, dataset.nbytes // (4 * max(state, 1))))


def _grids(full: TrainingMoments, penalty: Penalty, options: PathOptions) -> tuple[np.ndarray, ...]:
    if options.alphas is not None:
        return tuple(as_grids(options))
    return tuple(
        alpha_grid(full, penalty, ratio, options.n_alphas, options.alpha_min_ratio)
        for ratio in options.l1_ratios
    )


def _problem(
    moments: CellMoments, cells: np.ndarray, options: PathOptions, factor: np.ndarray
) -> tuple[TrainingMoments, Penalty, np.ndarray]:
    """Moments, penalty and penalty factors (p,) of one training set."""
    training = moments.training(cells, options.fit_intercept, options.standardize)
    bounds = bounds_of(options, moments.n_features)
    penalty = Penalty.of(factor, training.sd, training.scale, options.standardize, bounds)
    if options.adaptive is None:
        return training, penalty, factor
    return adapted(training, penalty, factor, options.standardize, options.adaptive)


def _collected(
    pool: ThreadPoolExecutor,
    whole: Future[tuple[PathResult, ...]],
    folds: Sequence[Future[FoldFit]],
    runner: PassRunner,
) -> tuple[tuple[PathResult, ...], list[FoldFit]]:
    """Results of all tasks; an interrupt or a failure drops the tasks that have not begun."""
    tasks: list[Future[Any]] = [whole, *folds]
    try:
        for done, task in enumerate(as_completed(tasks), start=1):
            task.result()
            runner.progress("path", done, len(tasks))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    return whole.result(), [fold.result() for fold in folds]


def _fit_paths(
    training: TrainingMoments,
    penalty: Penalty,
    grids: Sequence[np.ndarray],
    options: PathOptions,
    information: bool = False,
) -> tuple[PathResult, ...]:
    """One path for each l1_ratio, then the relaxed ones."""
    paths = [
        fit_path(training, penalty, grid, ratio, information)
        for grid, ratio in zip(grids, options.l1_ratios, strict=True)
    ]
    for path in [path for path in paths if path.l1_ratio > 0.0 and options.gammas]:
        paths += relaxed_paths(training, penalty, path, options.gammas, information)
    return tuple(paths)


def _fit_fold(
    moments: CellMoments,
    train: np.ndarray,
    held_out: np.ndarray,
    options: PathOptions,
    grids: Sequence[np.ndarray],
) -> FoldFit:
    """All paths of one training set, scored on its held-out cells."""
    factor = normalised_factor(options.penalty_factor, moments.n_features)
    training, penalty, _ = _problem(moments, train, options, factor)
    errors, gaps, supports, weight = [], [], [], 0.0
    for path in _fit_paths(training, penalty, grids, options):
        total, weight = moments.squared_error(held_out, path.coef, path.intercept, training.fill)
        known = path.is_defined & (weight > 0)
        errors.append(np.where(known, total / (weight or 1.0), np.nan))
        gaps.append(path.relative_gap)
        supports.append(path.coef != 0)
    return FoldFit(np.array(errors), weight, np.array(gaps), np.array(supports))


def _test_scores(
    moments: CellMoments,
    cells: np.ndarray,
    full: TrainingMoments,
    paths: Sequence[PathResult],
) -> dict[str, np.ndarray]:
    """Scores of the full fits on the test cells, from the test rows' own moments."""
    if not moments.count[cells].sum():
        return {}
    mse = []
    for path in paths:
        total, weight = moments.squared_error(cells, path.coef, path.intercept, full.fill)
        mse.append(total / weight)
    spread = moments.target_variance(cells)
    scores = np.array(mse)
    r2 = 1.0 - scores / spread if spread > 0 else np.full_like(scores, np.nan)
    return {"mse": scores, "rmse": np.sqrt(scores), "r2": r2}
