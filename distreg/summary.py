"""The first pass of a generalised linear model: what one reading says of every training set.

Means and spreads of the features, their products with the target, and a sample of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.exceptions import DataError
from distreg.kernels.columns import ColumnAccumulator, ColumnSums
from distreg.moments import (
    NO_ROWS,
    Issue,
    Layout,
    describe_issues,
    describe_overflow,
    join_issues,
)
from distreg.passes import Reduction
from distreg.sample import (
    Draw,
    Part,
    Sample,
    join_sample,
    sample_from_arrays,
    sample_to_arrays,
)

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["DataSummary", "Sample", "TrainingSummary", "data_summary"]

TRIMMED_ROWS = 2000
"""New rows after which a group drops those that are not in its sample."""

FEWEST_OF_CLASSES = 10
"""Rows for each feature that classes share evenly, if they have as many: more than that is copied
in vain by groups that cannot know which classes are rare."""

FEWEST_SAMPLE = 1000
"""The same, for few features."""

SAMPLE_SEED = -2
"""Of the draw of the sample; no split has it. With the seed of a random test split the sample would
be test rows alone, of which it may keep none."""


@dataclass(frozen=True)
class TrainingSummary:
    """One training set, p features, Q targets. A missing value counts as the mean of its feature.

    Attributes
    ----------
    weight : float
        Sum of the sample weights.
    n_rows : int
        Rows with positive weight.
    mean : (p,) array
        Weighted means of the rows where a feature is present; 0 where it never is.
    sd : (p,) array
        Weighted standard deviations (1/weight); exactly 0 for a constant feature.
    scale : (p,) array
        Root mean square about the mean, or about 0 without an intercept; 1 where that is 0.
    usable : (p,) bool array
        Features that can be fitted: those whose root mean square is not 0, and without an intercept
        but standardised, that are not constant.
    target : (Q,) array
        Weighted means of the targets.
    variance : float
        Weighted variance of the target; 0 of class codes of several classes.
    y_log_y : float
        Weighted mean of ``y log y``.
    cross : (p, Q) array
        Weighted means of ``(x - mean)(target - target mean)``.
    fill : (m,) array
        What replaces the missing values of the features that have some.
    reach : (p,) array
        Largest size of the scaled features about their mean, or about 0 without an intercept.
    """

    weight: float
    n_rows: int
    mean: np.ndarray
    sd: np.ndarray
    scale: np.ndarray
    usable: np.ndarray
    target: np.ndarray
    variance: float
    y_log_y: float
    cross: np.ndarray
    fill: np.ndarray
    reach: np.ndarray

    def square(self, fit_intercept: bool) -> float:
        """Mean square of a target that is a number, about its mean or without an intercept."""
        return self.variance + (0.0 if fit_intercept else float(self.target[0]) ** 2)


@dataclass(frozen=True)
class DataSummary:
    """Result of the pass, one entry a cell; p features, Q targets.

    Attributes
    ----------
    count : (n_cells,) int array
        Rows with positive weight.
    weight : (n_cells,) array
        Sums of weights.
    present : (n_cells, p) array
        Weight of the rows where the feature is present; sparse features always are.
    mean : (n_cells, p) array
        Weighted means over these rows.
    m2 : (n_cells, p) array
        Weighted sums of squares about them.
    low, high : (n_cells, p) arrays
        Smallest and largest value, the zeros of sparse features too; inf and -inf where none is.
    target : (n_cells, Q) array
        Weighted means of the targets: the number, or the indicators of Q classes.
    spread : (n_cells,) array
        Weighted sums of squares of the target about its mean, where Q is 1.
    level : (n_cells, p, Q) array
        The same over the rows where the feature is present.
    cross : (n_cells, p, Q) array
        Sums of ``s (x - mean)(target - level)`` over these rows.
    y_log_y : (n_cells,) array
        Sums of ``s y log y`` for targets that count; else 0.
    missing : (m,) int array
        Dense features that have a NaN anywhere.
    sample : Sample
        Some of the rows.
    """

    count: np.ndarray
    weight: np.ndarray
    present: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    target: np.ndarray
    spread: np.ndarray
    level: np.ndarray
    cross: np.ndarray
    y_log_y: np.ndarray
    missing: np.ndarray
    sample: Sample

    def training(
        self, cells: np.ndarray, fit_intercept: bool, standardize: bool
    ) -> TrainingSummary:
        """The training set of the rows of `cells` (boolean mask): their sum, never a difference."""
        total = self._total(cells)
        mean, weight = total.mean[0], float(total.weight[0])
        varies = total.low[0] < total.high[0]
        variance = np.where(varies, total.m2[0] / weight, 0.0)
        square = variance
        if not fit_intercept:
            square = variance + mean**2
            if standardize:
                square = np.where(variance > 0, square, 0.0)
        scale = np.sqrt(np.where(square > 0, square, 1.0))
        origin = mean if fit_intercept else 0.0
        ends = np.abs([total.low[0] - origin, total.high[0] - origin])
        return TrainingSummary(
            weight=weight,
            n_rows=int(total.count[0]),
            mean=mean,
            sd=np.sqrt(variance),
            scale=scale,
            usable=square > 0,
            target=total.target[0],
            variance=float(total.spread[0]) / weight,
            y_log_y=float(total.y_log_y[0]) / weight,
            cross=np.where(varies, total.cross[0] / weight, 0.0).T.copy(),
            fill=mean[self.missing],
            reach=np.where(np.isfinite(ends), ends, 0.0).max(axis=0) / scale,
        )

    def variance_of(self, cells: np.ndarray) -> float:
        """Weighted variance of a target that is a number on the rows of `cells`."""
        total = self._total(cells)
        return float(total.spread[0] / total.weight[0])

    def _total(self, cells: np.ndarray) -> ColumnSums:
        """Sums of the rows of `cells`, as one cell."""
        chosen = np.flatnonzero(cells & (self.count > 0))
        if chosen.size == 0:
            raise DataError(NO_ROWS)
        one = ColumnSums.zeros(1, self.mean.shape[1], self.target.shape[1])
        all_cells = ColumnSums(
            self.count, self.weight, self.y_log_y, self.target, self.spread, self.present,
            self.mean, self.m2, self.low, self.high, self.level.transpose(0, 2, 1),
            self.cross.transpose(0, 2, 1),
        )  # fmt: skip
        for cell in chosen:
            one.add_cell(0, all_cells, int(cell))
        return one


def data_summary(
    dataset: Dataset,
    cells: Cells,
    n_classes: int,
    sample_rows: int,
    *,
    nonnegative: bool = False,
    codes: int = 0,
    seed: int = SAMPLE_SEED,
) -> Reduction[Any, DataSummary]:
    """The reduction that summarises every cell and draws a sample: one pass.

    A target that is neither a count nor a class is taken less the offset.

    Parameters
    ----------
    dataset : Dataset
    cells : Cells
    n_classes : int
        1: the target is a number. C > 1: it holds class codes 0 to C - 1, and the C targets are
        the indicators of the classes.
    sample_rows : int
        Rows of the sample, about.
    nonnegative : bool
        The target counts: a negative one is a defect.
    codes : int
        Classes of which each has at least its part of half the sample, or of 10 rows a feature (and
        1000 in all); 0 for other targets.
    seed : int
        Of the sample.
    """
    layout = Layout(cells.n_cells, dataset.n_sparse, dataset.n_dense)
    fewest = max(FEWEST_OF_CLASSES * dataset.n_features, FEWEST_SAMPLE)
    least = min(sample_rows // 2, fewest) // codes if codes else 0
    draw = Draw(sample_rows / dataset.n_rows, seed, cells.test, codes, least)
    fill = dataset.missing == "mean"

    def chunk_of(group: Group) -> Any:
        rule = cells.restrict(*group.row_range)
        make = partial(
            ColumnAccumulator, layout, dataset.feature_names,
            fill=fill, n_targets=n_classes, nonnegative=nonnegative,
            shifted=not (nonnegative or codes),
        )  # fmt: skip
        return partial(_chunk, rule, make, draw)

    return Reduction(
        name="summary",
        chunk_of=chunk_of,
        combine=partial(_join, draw),
        finalize=partial(_finalize, dataset.feature_names, draw),
        to_arrays=_to_arrays,
        from_arrays=_from_arrays,
        keep=lambda state: not state.issues,
    )


@dataclass
class _State:
    """Sums, where a NaN was seen, defects, the parts of the sample, and rows of each class."""

    sums: ColumnSums
    missing: np.ndarray
    issues: dict[tuple[str, str], Issue]
    sample: list[Part]
    counts: np.ndarray


def _chunk(rule: Any, make: Any, draw: Draw, blocks: Iterator[Block]) -> _State:
    accumulator: ColumnAccumulator = make()
    sample: list[Part] = []
    counts, untrimmed = np.zeros(draw.n_classes, dtype=np.int64), 0
    for block in blocks:
        cells = rule(block.row, block.fold_key)
        accumulator.add(block, cells)
        part, found = draw(block, cells)
        sample.append(part)
        counts, untrimmed = counts + found, untrimmed + len(part[1])
        if untrimmed > TRIMMED_ROWS:
            sample, untrimmed = draw.trim(sample), 0
        del block  # or it would live while the next one is made
    sample = draw.trim(sample)
    return _State(accumulator.sums, accumulator.missing, accumulator.issues, sample, counts)


def _join(draw: Draw, left: _State, right: _State) -> _State:
    with np.errstate(over="ignore", invalid="ignore"):  # reported when the pass ends
        left.sums.add(right.sums)
    left.missing |= right.missing
    join_issues(left.issues, right.issues)
    left.sample = draw.trim(left.sample + right.sample)
    left.counts = left.counts + right.counts
    return left


def _finalize(names: tuple[str, ...], draw: Draw, state: _State) -> DataSummary:
    if state.issues:
        raise DataError(describe_issues(list(state.issues.values())))
    sums = state.sums
    overflow = ~np.isfinite([*sums.m2, *sums.cross.sum(axis=1)]).all(axis=0)
    if overflow.any() or not np.isfinite(sums.weight).all():
        labels = [*names, "weight"]
        raise DataError(describe_overflow(labels, np.append(overflow, not overflow.any())))
    return DataSummary(
        count=sums.count,
        weight=sums.weight,
        present=sums.present,
        mean=sums.mean,
        m2=sums.m2,
        low=sums.low,
        high=sums.high,
        target=sums.target,
        spread=sums.spread,
        level=sums.level.transpose(0, 2, 1),
        cross=sums.cross.transpose(0, 2, 1),
        y_log_y=sums.y_log_y,
        missing=np.flatnonzero(state.missing),
        sample=draw.sample(state.sample, state.counts),
    )


def _to_arrays(state: _State) -> dict[str, Any]:
    """Arrays that `_from_arrays` turns into the same state (one with issues has none)."""
    return {
        "missing": state.missing,
        "counts": state.counts,
        **{f"sums_{name}": values for name, values in state.sums.arrays().items()},
        **sample_to_arrays(join_sample(state.sample)),
    }


def _from_arrays(arrays: dict[str, Any]) -> _State:
    sums = {name[5:]: values for name, values in arrays.items() if name.startswith("sums_")}
    sample = sample_from_arrays(arrays)
    return _State(
        ColumnSums(**sums), arrays["missing"], {}, [(sample.block, sample.cells)], arrays["counts"]
    )
