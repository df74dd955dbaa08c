"""From data to certified columns: summary pass, start on a sample, then passes in lock step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from distreg.exceptions import DataError, InputError
from distreg.glm.adaptive import adapted_problem
from distreg.glm.anchors import Anchors
from distreg.glm.columns import Columns
from distreg.glm.null import NullModels, null_models, sampled_nulls
from distreg.glm.problem import Problem, make_problem
from distreg.glm.relaxed import Relaxed, relaxed_columns
from distreg.glm.solve import solve
from distreg.glm.start import fitted_nulls
from distreg.glm.where import Where
from distreg.glm.working import is_wide
from distreg.losses import Loss
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.penalties import normalised_factor
from distreg.summary import DataSummary, data_summary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = [
    "Fitted",
    "check_target",
    "fit_columns",
    "null_fits",
    "sample_size",
    "summarised",
]

FEWEST_SAMPLE_ROWS = 20
"""Rows of the sample for each coefficient: enough for a start."""

MOST_SAMPLE_ROWS = 100
"""Rows beyond which more save no pass."""

SAMPLE_SHARE = 0.1
"""Of the rows, between the two: the sample is evaluated twice for each pass."""

SAMPLE_BYTES = 64_000_000

FEWEST_ADAPTIVE = 8
"""Passes below which two fits end nowhere."""

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


def summarised(
    dataset: Dataset,
    cells: Cells,
    loss: Loss,
    n_classes: int,
    runner: PassRunner,
    sample_rows: int | None = None,
) -> DataSummary:
    """The summary pass for a loss, with a sample of `sample_rows`, or as Newton's method needs."""
    reduction = data_summary(
        dataset,
        cells,
        n_classes,
        sample_size(dataset, n_classes) if sample_rows is None else sample_rows,
        nonnegative=loss.target == "count",
        codes={"binary": 2, "classes": n_classes}.get(loss.target, 0),
    )
    return runner.run(reduction, dataset)


def fit_columns(
    dataset: Dataset, cells: Cells, loss: Loss, options: PathOptions, runner: PassRunner
) -> Fitted:
    """Fit every training set, l1_ratio and alpha."""
    n_classes = len(dataset.classes or ()) if loss.target == "classes" else 1
    wide = is_wide(dataset.n_features, n_classes, options.l1_ratios)
    if options.adaptive is not None:
        _check_adaptive(dataset.n_features, n_classes, options)
    if wide and options.gammas:
        raise InputError(
            f"relax needs the curvature of all {dataset.n_features:,} features, which takes too "
            "much memory. Leave relax out, or use fewer features."
        )
    summary = summarised(dataset, cells, loss, n_classes, runner)
    problem = make_problem(loss, n_classes, summary, cells, options, dataset.n_dense)
    check_target(problem)
    where = Where.of(dataset, cells, summary.sample, options, runner)
    nulls = null_fits(problem, dataset.has_offset, options, where, wide)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    if options.adaptive is not None and problem.sets[0].penalty.penalised.any():
        problem, nulls, factor = _adapted(problem, nulls, factor, options, where)
    columns, known, approximate = solve(problem, nulls, options, where, where.n_passes)
    fitted = Fitted(problem, summary, nulls, columns, known, approximate, factor)
    if not options.gammas or known is None:
        return fitted
    found = relaxed_columns(
        columns,
        known,
        nulls,
        options.gammas,
        where.by_pass,
        where.sample,
        where.tolerance,
        runner.n_threads,
        where.n_passes,
    )
    return replace(fitted, relaxed=found)


def _check_adaptive(n_features: int, n_classes: int, options: PathOptions) -> None:
    """Refuse a first fit, an L2 path, that memory or passes do not allow."""
    try:
        is_wide(n_features, n_classes, (0.0,))
    except InputError as error:
        raise InputError(
            f"adaptive={options.adaptive:g} begins with an L2 path of all features: {error} "
            "Or leave adaptive out."
        ) from None
    if options.max_passes is not None and options.max_passes < FEWEST_ADAPTIVE:
        raise InputError(
            f"max_passes={options.max_passes} is too few for adaptive={options.adaptive:g}, which "
            f"fits twice; allow {FEWEST_ADAPTIVE} or more"
        )


def null_fits(
    problem: Problem, has_offset: bool, options: PathOptions, where: Where, wide: bool
) -> NullModels:
    """Null models, from the summary where that determines them."""
    nulls, unknown = null_models(problem), problem.loss.null_eta is None
    if unknown:
        nulls = sampled_nulls(problem, nulls, where.sample, where.runner.n_threads)
    # the summary of a squared loss is of the target less the offset
    shifted = has_offset and problem.loss.name != "squared"
    if unknown or shifted or any((~t.penalty.penalised).any() for t in problem.sets):
        return fitted_nulls(
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
    where: Where,
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
    columns, known, _ = solve(problem, nulls, first, where, where.n_passes // 2)
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


def sample_size(dataset: Dataset, n_classes: int) -> int:
    """Rows of the sample: enough for a start and a guide, little beside all rows."""
    width = dataset.n_features * n_classes
    wanted = np.clip(
        SAMPLE_SHARE * dataset.n_rows, FEWEST_SAMPLE_ROWS * width, MOST_SAMPLE_ROWS * width
    )
    most = SAMPLE_BYTES // (8 * (dataset.n_dense + min(dataset.n_sparse, 64) + 4))
    return int(min(max(wanted, 2000), max(most, 1)))


def check_target(problem: Problem) -> None:
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
