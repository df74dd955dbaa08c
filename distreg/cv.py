"""Cross-validation of all folds, alphas and l1_ratios from the moments of one pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import psutil

from distreg.exceptions import InputError
from distreg.moments import Layout, Moments
from distreg.passes import Cost, PassRunner, single_threaded_blas
from distreg.path import PathResult, alpha_grid, fit_path
from distreg.penalties import Penalty, normalised_factor
from distreg.training import CellMoments, TrainingMoments, cell_moments

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["CVResult", "PathOptions", "cross_validate"]

FEWEST_GROUPS = 4
"""Groups that stay for parallel work, however large their states."""

LIVE_STATES = 3
"""States that exist together at the least: two being merged, and the training sets' sums."""


@dataclass(frozen=True)
class CVResult:
    """Everything a cross-validation learned. L l1_ratios, A alphas, K folds, p features.

    Attributes
    ----------
    paths : tuple of L PathResult
        Fits on the full training data (all rows but the test rows), one for each l1_ratio.
    cv_mean, cv_se : (L, A) arrays
        Fold-weighted mean of the held-out deviance (squared loss: MSE) and its standard error;
        NaN without folds.
    fold_error : (K, L, A) array
        Held-out deviance of each fold.
    fold_weight : (K,) array
        Weight of each fold's held-out rows.
    support_stability : (L, A) array
        Mean Jaccard similarity of the folds' supports.
    fold_dual_gap : (L, A) array
        Largest dual gap of the folds' fits, relative to each fold's null objective.
    test : dict of (L, A) arrays
        Scores on the test rows ("mse", "rmse", "r2"); empty without test rows.
    n_samples, n_test : int
        Rows used for fitting, and test rows.
    weight_sum : float
        Sum of the sample weights of the fitting rows.
    null_deviance : float
        Weighted variance of the target (deviance of the intercept-only model).
    feature_names : tuple of str
        Names of the p features.
    feature_mean, feature_sd : (p,) arrays
        Weighted mean and standard deviation on the fitting rows.
    fill_values : (p,) array or None
        Means that replace missing values, when missing="mean".
    standardize, fit_intercept : bool
        As asked for.
    penalty_factor : (p,) array
        As used (rescaled to sum to p).
    tol : float
        Tolerance on dual_gap / null_objective.
    cost : Cost
        Passes, block reads, bytes and seconds.
    """

    paths: tuple[PathResult, ...]
    cv_mean: np.ndarray
    cv_se: np.ndarray
    fold_error: np.ndarray
    fold_weight: np.ndarray
    support_stability: np.ndarray
    fold_dual_gap: np.ndarray
    n_samples: int
    n_test: int
    weight_sum: float
    null_deviance: float
    feature_names: tuple[str, ...]
    feature_mean: np.ndarray
    feature_sd: np.ndarray
    fill_values: np.ndarray | None
    standardize: bool
    fit_intercept: bool
    penalty_factor: np.ndarray
    tol: float
    cost: Cost
    test: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def l1_ratios(self) -> np.ndarray:
        """The l1_ratios, one for each path."""
        return np.array([path.l1_ratio for path in self.paths])

    @property
    def converged(self) -> bool:
        """True when every certificate, of the full fits and of the folds, is within `tol`."""
        full = all(np.all(path.relative_gap <= self.tol) for path in self.paths)
        folds = self.fold_dual_gap
        return full and bool(np.all(np.isnan(folds) | (folds <= self.tol)))


@dataclass(frozen=True)
class PathOptions:
    """What to fit on every training set.

    Attributes
    ----------
    l1_ratios : sequence of float
        One path each; 1 is L1, 0 is L2.
    alphas : array or sequence of arrays, optional
        Penalty strengths, one array for all l1_ratios or one for each; default: a geometric grid
        from the full data, the same for all folds.
    n_alphas : int
        Size of the default grid.
    alpha_min_ratio : float, optional
        Last alpha of the default grid over its first; default 1e-4 with more rows than features,
        else 1e-2.
    penalty_factor : (p,) array, optional
        Multiplies alpha for each feature, rescaled to sum to p; 0 is unpenalised. Default 1.
    standardize : bool
        The penalty acts on ``w_j sd_j``, with the standard deviation of each training set.
    fit_intercept : bool
        Whether to fit an (unpenalised) intercept.
    tol : float
        Tolerance on dual_gap / null_objective above which an answer counts as not converged.
    """

    l1_ratios: Sequence[float] = (1.0,)
    alphas: np.ndarray | Sequence[np.ndarray] | None = None
    n_alphas: int = 100
    alpha_min_ratio: float | None = None
    penalty_factor: np.ndarray | None = None
    standardize: bool = False
    fit_intercept: bool = True
    tol: float = 1e-6


def cross_validate(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha, and score the held-out rows, from one pass.

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
    moments = runner.run(cell_moments(dataset, cells), _fitted_groups(dataset, cells))
    start = time.perf_counter()
    factor = normalised_factor(options.penalty_factor, dataset.n_features)
    with single_threaded_blas():
        full, full_penalty = _problem(moments, cells.full, options, factor)
        grids = _grids(full, full_penalty, options)
        n_folds = cells.train.shape[0]
        runner.progress("path", 0, n_folds + 1)
        with ThreadPoolExecutor(runner.n_threads) as pool:
            folds = [
                pool.submit(_fit_fold, moments, cells.train[k], cells.held_out[k], options, grids)
                for k in range(n_folds)
            ]
            paths = tuple(
                fit_path(full, full_penalty, grid, ratio)
                for grid, ratio in zip(grids, options.l1_ratios, strict=True)
            )
            runner.progress("path", 1, n_folds + 1)
            fitted = []
            for future in folds:
                fitted.append(future.result())
                runner.progress("path", 1 + len(fitted), n_folds + 1)
        test = _test_scores(moments, cells.test, full, paths)
    runner.cost.path_seconds += time.perf_counter() - start
    return CVResult(
        paths=paths,
        **_curve(fitted, len(paths), grids[0].size),
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


def _fitted_groups(dataset: Dataset, cells: Cells) -> Dataset:
    """The data set in so few groups that their states stay small beside the data.

    Raises
    ------
    InputError
        If the states of a few groups do not fit into memory.
    """
    state = Moments.state_bytes(Layout(cells.n_cells, dataset.n_sparse, dataset.n_dense))
    available = int(psutil.virtual_memory().available)
    if LIVE_STATES * state > available:
        fitting = int(dataset.n_features * (available / (LIVE_STATES * state)) ** 0.5)
        raise InputError(
            f"{dataset.n_features:,} features in {cells.n_cells} cells (folds and test rows) make "
            f"Gram matrices of {state / 1e9:.1f} GB, and a fit holds {LIVE_STATES} of them; "
            f"{available / 1e9:.1f} GB are free. Use at most about {fitting:,} features, or fewer "
            "folds."
        )
    return dataset.regroup(max(FEWEST_GROUPS, dataset.nbytes // (4 * max(state, 1))))


def check_options(options: PathOptions, n_features: int) -> None:
    """Raise InputError for an option out of range; reads no data."""
    for ratio in options.l1_ratios:
        if not 0.0 <= ratio <= 1.0:
            raise InputError(
                f"l1_ratio={ratio} is outside [0, 1]; 1 is L1 (lasso), 0 is L2 (ridge)"
            )
    if len(options.l1_ratios) == 0:
        raise InputError("no l1_ratio was given; give at least one value in [0, 1]")
    if options.alphas is None:
        if options.n_alphas < 1:
            raise InputError(f"n_alphas={options.n_alphas} is not positive")
        ratio_given = options.alpha_min_ratio
        if ratio_given is not None and not 0.0 < ratio_given < 1.0:
            raise InputError(f"alpha_min_ratio={ratio_given} is outside (0, 1)")
    else:
        _check_alphas(options)
    if not options.tol > 0:
        raise InputError(f"tol={options.tol} is not positive")
    if options.penalty_factor is not None:
        factor = np.asarray(options.penalty_factor, dtype=np.float64)
        if factor.shape != (n_features,):
            raise InputError(
                f"penalty_factor has shape {factor.shape}; it needs one value for each of the "
                f"{n_features} features"
            )
        if not np.all(np.isfinite(factor) & (factor >= 0)):
            raise InputError("penalty_factor must be finite and not negative; 0 means unpenalised")


def _check_alphas(options: PathOptions) -> None:
    grids = _as_grids(options)
    if len({grid.size for grid in grids}) != 1 or grids[0].size == 0:
        raise InputError("alphas must hold the same number of values, at least one, per l1_ratio")
    for grid in grids:
        single_zero = grid.size == 1 and grid[0] == 0.0
        if not np.all(np.isfinite(grid)) or (np.any(grid <= 0) and not single_zero):
            bad = grid[~(np.isfinite(grid) & (grid > 0))][0]
            raise InputError(f"alpha={bad} is not positive and finite; every alpha must be > 0")


def _as_grids(options: PathOptions) -> list[np.ndarray]:
    """The given alphas, one descending array for each l1_ratio."""
    alphas = options.alphas
    assert alphas is not None
    several = len(alphas) > 0 and np.ndim(alphas[0]) == 1
    given = list(alphas) if several else [alphas] * len(options.l1_ratios)
    if len(given) != len(options.l1_ratios):
        raise InputError(
            f"alphas has {len(given)} rows; it needs one for each of the {len(options.l1_ratios)} "
            "l1_ratios, or be one-dimensional"
        )
    return [np.sort(np.asarray(grid, dtype=np.float64))[::-1] for grid in given]


def _grids(full: TrainingMoments, penalty: Penalty, options: PathOptions) -> tuple[np.ndarray, ...]:
    if options.alphas is not None:
        return tuple(_as_grids(options))
    return tuple(
        alpha_grid(full, penalty, ratio, options.n_alphas, options.alpha_min_ratio)
        for ratio in options.l1_ratios
    )


def _problem(
    moments: CellMoments, cells: np.ndarray, options: PathOptions, factor: np.ndarray
) -> tuple[TrainingMoments, Penalty]:
    training = moments.training(cells, options.fit_intercept, options.standardize)
    penalty = Penalty.of(factor, training.sd, training.scale, options.standardize)
    return training, penalty


@dataclass(frozen=True)
class _FoldFit:
    """Held-out error (L, A), weight, relative gaps (L, A) and supports (L, A, p) of one fold."""

    error: np.ndarray
    weight: float
    gap: np.ndarray
    support: np.ndarray


def _fit_fold(
    moments: CellMoments,
    train: np.ndarray,
    held_out: np.ndarray,
    options: PathOptions,
    grids: Sequence[np.ndarray],
) -> _FoldFit:
    """All paths of one training set, scored on its held-out cells."""
    factor = normalised_factor(options.penalty_factor, moments.n_features)
    training, penalty = _problem(moments, train, options, factor)
    errors, gaps, supports, weight = [], [], [], 0.0
    for grid, ratio in zip(grids, options.l1_ratios, strict=True):
        path = fit_path(training, penalty, grid, ratio)
        total, weight = moments.squared_error(held_out, path.coef, path.intercept, training.fill)
        errors.append(total / weight if weight > 0 else np.full(grid.size, np.nan))
        gaps.append(path.relative_gap)
        supports.append(path.coef != 0)
    return _FoldFit(np.array(errors), weight, np.array(gaps), np.array(supports))


def _curve(folds: Sequence[_FoldFit], n_paths: int, n_alphas: int) -> dict[str, np.ndarray]:
    """Mean and standard error over folds, weighted by the held-out weight, as glmnet computes them.

    ``cv_se = sqrt(sum_k W_k (e_k - mean)^2 / sum_k W_k / (K - 1))``.
    """
    nothing = np.full((n_paths, n_alphas), np.nan)
    scored = [fold for fold in folds if fold.weight > 0]
    if not scored:
        return {
            "cv_mean": nothing,
            "cv_se": nothing,
            "fold_error": np.empty((0, n_paths, n_alphas)),
            "fold_weight": np.empty(0),
            "support_stability": nothing,
            "fold_dual_gap": nothing,
        }
    error = np.array([fold.error for fold in scored])
    weight = np.array([fold.weight for fold in scored])
    mean = np.average(error, axis=0, weights=weight)
    se = nothing
    if len(scored) > 1:
        variance = np.average((error - mean) ** 2, axis=0, weights=weight)
        se = np.sqrt(variance / (len(scored) - 1))
    return {
        "cv_mean": mean,
        "cv_se": se,
        "fold_error": error,
        "fold_weight": weight,
        "support_stability": _stability(np.array([fold.support for fold in scored])),
        "fold_dual_gap": np.max([fold.gap for fold in scored], axis=0),
    }


def _stability(support: np.ndarray) -> np.ndarray:
    """Mean Jaccard similarity over pairs of folds of (K, L, A, p) supports; empty ones agree."""
    n_folds = support.shape[0]
    if n_folds < 2:
        return np.full(support.shape[1:3], np.nan)
    flags = support.astype(np.float32).transpose(1, 2, 0, 3)
    common = flags @ flags.transpose(0, 1, 3, 2)
    size = np.diagonal(common, axis1=2, axis2=3)
    union = size[..., :, None] + size[..., None, :] - common
    similarity = np.divide(common, union, out=np.ones_like(common), where=union > 0)
    upper = np.triu_indices(n_folds, 1)
    return np.asarray(similarity[..., upper[0], upper[1]].mean(axis=-1), dtype=np.float64)


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
