"""Cross-validation of a generalised linear model: the result that the squared loss has, too."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from distreg.blas import single_threaded_blas
from distreg.curve import FoldFit, curve
from distreg.glm.criteria import column_criteria, column_df, criteria_at
from distreg.glm.fit import Fitted, fit_columns
from distreg.glm.relaxed import Relaxed
from distreg.losses import get_loss
from distreg.options import PathOptions, solver_of
from distreg.passes import PassRunner
from distreg.path import PathResult
from distreg.relaxed import masked_criteria, without_undefined
from distreg.result import CVResult

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["as_result", "cross_validate_glm"]


def cross_validate_glm(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha in passes that serve them all; `options` are checked."""
    start, before = time.perf_counter(), runner.cost.pass_seconds
    loss = get_loss(options.loss, options.loss_parameter)
    with single_threaded_blas():
        fitted = fit_columns(dataset, cells, loss, options, runner)
    since = start + runner.cost.pass_seconds - before
    return as_result(fitted, dataset, cells, options, runner, since, options.kkt_tolerance)


def as_result(
    fitted: Fitted,
    dataset: Dataset,
    cells: Cells,
    options: PathOptions,
    runner: PassRunner,
    since: float,
    kkt_tolerance: float,
) -> CVResult:
    """Columns as a result.

    Parameters
    ----------
    since : float
        When the computations between the passes would have begun in one piece.
    kkt_tolerance : float
        What the violations are asked to be within.
    """
    loss = fitted.problem.loss
    problem, summary, fits = fitted.problem, fitted.summary, fitted.columns.fits
    views = _views(fitted, options)
    with single_threaded_blas():
        paths = _paths(views, runner.n_threads)
    folds = [_fold(views, cells.held_out[s - 1], s) for s in range(1, fits.n_sets)]
    full = problem.sets[0].summary
    runner.cost.path_seconds += time.perf_counter() - since
    unit = fitted.nulls.unit
    violation = np.stack([_grid(view.fitted, "violation")[1:, view.row] for view in views], axis=1)
    violation /= np.where(unit > 0, unit, 1.0)[1:, None, None]
    return CVResult(
        paths=paths,
        **without_undefined(paths, curve(folds, len(paths), fits.alphas.shape[1])),
        n_samples=full.n_rows,
        n_test=int(summary.count[cells.test].sum()),
        weight_sum=full.weight,
        # of the squared loss the variance, whatever features are unpenalised
        null_deviance=full.square(options.fit_intercept)
        if loss.name == "squared"
        else 2.0 * float(fitted.nulls.objective[0]),
        feature_names=dataset.feature_names,
        feature_mean=full.mean,
        feature_sd=full.sd,
        fill_values=full.mean if dataset.missing == "mean" else None,
        standardize=options.standardize,
        fit_intercept=options.fit_intercept,
        penalty_factor=fitted.penalty_factor,
        tol=options.tol,
        cost=replace(runner.cost),
        test=_tested(views, cells.test),
        loss=loss.name,
        loss_parameter=loss.parameter if loss.parameter_name else None,
        classes=dataset.classes,
        kkt_tolerance=kkt_tolerance,
        approximate=fitted.approximate,
        solver=solver_of(options),
        fold_kkt_violation=violation.max(axis=0) if len(folds) else np.full((1, 1), np.nan),
    )


def _grid(fitted: Fitted, name: str) -> np.ndarray:
    values: np.ndarray = getattr(fitted.columns, name)
    return values.reshape(fitted.columns.fits.shape)


@dataclass(frozen=True)
class _View:
    """One path of the result: the row of an l1_ratio in the columns of one gamma."""

    fitted: Fitted
    row: int
    relaxed: Relaxed | None = None

    def defined(self, s: int) -> np.ndarray:
        """(A,) where the fits of a training set are what they should be."""
        shape = self.fitted.columns.fits.shape
        if self.relaxed is None:
            return np.ones(shape[2], dtype=bool)
        return np.asarray(self.relaxed.defined.reshape(shape)[s, self.row])


def _views(fitted: Fitted, options: PathOptions) -> list[_View]:
    """The penalised paths, then the relaxed ones."""
    by_gamma = {r.gamma: (replace(fitted, columns=r.columns), r) for r in fitted.relaxed}
    plain = [_View(fitted, i) for i in range(fitted.columns.fits.l1_ratios.size)]
    return plain + [
        _View(by_gamma[gamma][0], i, by_gamma[gamma][1]) for i, gamma in options.relaxations
    ]


def _paths(views: Sequence[_View], n_threads: int) -> tuple[PathResult, ...]:
    """Fits of the full data with their criteria."""
    paths: list[PathResult] = []
    for view in views:
        path, columns = _path(view.fitted, view.row), view.fitted.columns
        fits = np.arange(columns.fits.size).reshape(columns.fits.shape)[0, view.row]
        if view.relaxed is None:
            found = column_criteria(columns, view.fitted.anchors, fits, n_threads)
            paths.append(replace(path, criteria=found))
            continue
        relaxed, defined = view.relaxed, view.defined(0)
        free = column_df(
            columns, relaxed.anchors, fits, relaxed.members[fits], n_threads, relaxed=True
        )
        df = relaxed.gamma * paths[view.row].information["df"] + (1.0 - relaxed.gamma) * free
        found = masked_criteria(criteria_at(columns, fits, columns.loss[fits], df), defined)
        paths.append(replace(path, criteria=found, gamma=relaxed.gamma, defined=defined))
    return tuple(paths)


def _path(fitted: Fitted, i: int) -> PathResult:
    """Fits of the full data at one l1_ratio."""
    columns, problem, n_classes = fitted.columns, fitted.problem, fitted.problem.n_classes
    fits = columns.fits
    numbers = np.arange(fits.size).reshape(fits.shape)[0, i]
    raw = [columns.raw(int(fit)) for fit in numbers]
    coef, intercept = np.array([c for c, _ in raw]), np.array([b for _, b in raw])
    if n_classes > 1 and problem.fit_intercept:
        # a common shift of all intercepts changes nothing; glmnet's choice is the sum 0
        intercept -= intercept.mean(axis=1, keepdims=True)
    any_class = (coef != 0).any(axis=1) if n_classes > 1 else coef[:, 0] != 0
    return PathResult(
        l1_ratio=float(fits.l1_ratios[i]),
        alphas=fits.alphas[i],
        coef=coef if n_classes > 1 else coef[:, 0],
        intercept=intercept if n_classes > 1 else intercept[:, 0],
        objective=columns.objective[numbers],
        dual_gap=columns.gap[numbers],
        kkt_violation=columns.violation[numbers],
        n_nonzero=any_class.sum(axis=1),
        n_epochs=np.zeros(len(numbers), dtype=np.int64),
        null_objective=max(float(fitted.nulls.objective[0]), 0.0),
        null_gradient=float(fitted.nulls.unit[0]),
    )


def _fold(views: Sequence[_View], held_out: np.ndarray, s: int) -> FoldFit:
    """What a fold says of all paths."""
    errors, gaps, supports = [], [], []
    for view in views:
        fitted, columns = view.fitted, view.fitted.columns
        shape, null = columns.fits.shape, fitted.nulls.objective[s]
        total = columns.scores.held_out.reshape(shape)[s, view.row]
        error = _mean_deviance(fitted, total, held_out)
        errors.append(np.where(view.defined(s), error, np.nan))
        gaps.append(_grid(fitted, "gap")[s, view.row] / (null if null > 0 else 1.0))
        coef = columns.coef.reshape(*shape, fitted.problem.n_classes, -1)[s, view.row]
        supports.append((coef != 0).any(axis=1))
    weight = float(views[0].fitted.summary.weight[held_out].sum())
    return FoldFit(np.array(errors), weight, np.array(gaps), np.array(supports))


def _tested(views: Sequence[_View], cells: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of all paths on the test rows."""
    known = {id(view.fitted): _test_scores(view.fitted, cells) for view in views}
    names = known[id(views[0].fitted)]
    return {
        name: np.array([known[id(view.fitted)][name][view.row] for view in views]) for name in names
    }


def _mean_deviance(fitted: Fitted, total: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Mean deviance on the rows of `cells` from the sums of their losses."""
    summary = fitted.summary
    weight = float(summary.weight[cells].sum())
    if weight == 0.0:
        return np.full(total.shape, np.nan)
    saturated = 0.0
    if fitted.problem.loss.target == "count":
        mean = float(summary.weight[cells] @ summary.target[cells, 0])
        saturated = (mean - float(summary.y_log_y[cells].sum())) / weight
    return np.asarray(2.0 * (total / weight - saturated))


def _test_scores(fitted: Fitted, cells: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of the full data's fits on the test rows."""
    summary, loss, scores = fitted.summary, fitted.problem.loss, fitted.columns.scores
    weight = float(summary.weight[cells].sum())
    if weight == 0.0:
        return {}
    shape = fitted.columns.fits.shape
    deviance = _mean_deviance(fitted, scores.test.reshape(shape)[0], cells)
    if loss.name == "squared":
        spread = summary.variance_of(cells)
        r2 = 1.0 - deviance / spread if spread > 0.0 else np.full_like(deviance, np.nan)
        return {"mse": deviance, "rmse": np.sqrt(deviance), "r2": r2}
    if loss.target == "real":
        mse = scores.square.reshape(shape)[0] / weight
        mae = scores.absolute.reshape(shape)[0] / weight
        return {loss.name: deviance / 2.0, "mae": mae, "mse": mse, "rmse": np.sqrt(mse)}
    mean = summary.weight[cells] @ summary.target[cells] / weight
    null = float(loss.null_loss(mean if fitted.problem.n_classes > 1 else float(mean[0])) or 0.0)
    if loss.target == "count":
        null = null - (mean[0] - float(summary.y_log_y[cells].sum()) / weight)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(null > 0, 1.0 - deviance / (2.0 * null), np.nan)
    if loss.target == "count":
        return {"deviance": deviance, "d2": explained}
    accuracy = scores.correct.reshape(shape)[0] / weight
    if loss.name in ("squared_hinge", "hinge"):
        return {loss.name: deviance / 2.0, "accuracy": accuracy}
    brier = scores.brier.reshape(shape)[0] / weight
    return {"log_loss": deviance / 2.0, "accuracy": accuracy, "brier": brier, "d2": explained}
