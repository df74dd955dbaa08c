"""The squared-loss problem of one training set, taken from the moments of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.exceptions import DataError
from distreg.kernels.accumulate import Accumulator
from distreg.kernels.tiles import mirror_lower
from distreg.moments import Issue, Layout, Moments, merge
from distreg.passes import Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["CellMoments", "TrainingMoments", "cell_moments"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class TrainingMoments:
    """Mean, covariance and scale of one training set, p features.

    Coefficients ``b`` of the scaled features and ``w`` of the features obey ``b = w * scale``.

    Attributes
    ----------
    weight : float
        Sum of the sample weights.
    n_rows : int
        Rows with positive weight.
    mean : (p,) array
        Weighted means; of the features with missing values, the mean of the present ones.
    y_mean : float
        Weighted mean of the target.
    sd : (p,) array
        Weighted standard deviations about the mean (1/weight); exactly 0 for a constant feature.
    scale : (p,) array
        What the scaled features were divided by: root mean square about the mean, or about 0
        without an intercept; 1 where that is 0.
    gram : (p, p) array
        Second moments of the scaled features, unit diagonal (0 for a constant feature).
    xty : (p,) array
        Products of the scaled features with the target.
    yty : float
        Second moment of the target.
    centred : bool
        Whether moments are about the mean (a model with an intercept) or about 0.
    fill : (m,) array
        What replaces the missing values of the features that have some, less the features' centres.
    """

    weight: float
    n_rows: int
    mean: np.ndarray
    y_mean: float
    sd: np.ndarray
    scale: np.ndarray
    gram: np.ndarray
    xty: np.ndarray
    yty: float
    centred: bool
    fill: np.ndarray

    def to_features(self, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients on the scale of the data, and intercepts, of (A, p) scaled coefficients."""
        coef = scaled / self.scale
        if not self.centred:
            return coef, np.zeros(len(coef))
        return coef, self.y_mean - coef @ self.mean


@dataclass(frozen=True)
class CellMoments:
    """Result of the pass: symmetric Gram matrices of ``[features, missing, target, 1]`` by cell."""

    centre: np.ndarray
    y_centre: float
    missing: np.ndarray
    gram: np.ndarray
    count: np.ndarray

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.centre.size)

    def fill_values(self, total: np.ndarray) -> np.ndarray:
        """Means of the present values of the `missing` features, less the centre."""
        p, m = self.n_features, self.missing.size
        sums, absent = total[self.missing, -1], total[p : p + m, -1]
        present = total[-1, -1] - absent
        return np.asarray(np.divide(sums, present, out=np.zeros(m), where=present > 0))

    def training(self, cells: np.ndarray, fit_intercept: bool) -> TrainingMoments:
        """The problem of the rows of `cells` (boolean mask).

        Sums the cells; never subtracts a fold from the total, which would cancel when the fold
        holds an outlier. A missing value counts as this set's own mean of its feature.
        """
        p = self.n_features
        total = self.gram[np.flatnonzero(cells)].sum(axis=0)
        fill = self.fill_values(total)
        if self.missing.size:
            # x - c = u + (fill) * indicator, with u = 0 where missing
            indicator = np.arange(p, p + self.missing.size)
            total[self.missing] += fill[:, None] * total[indicator]
            total[:, self.missing] += fill[None, :] * total[:, indicator]
        keep = np.r_[0:p, p + self.missing.size : total.shape[0]]
        total = total if not self.missing.size else total[np.ix_(keep, keep)]
        weight = float(total[-1, -1])
        if weight <= 0:
            raise DataError("all sample weights of a training set are 0; give some row a weight")
        shift = total[: p + 1, -1] / weight
        second = total[: p + 1, : p + 1] / weight
        raw_diagonal = np.diagonal(second)[:p].copy()
        second -= np.outer(shift, shift)
        variance = np.diagonal(second)[:p].copy()
        # below its own rounding error a variance is no evidence of variation
        variance[variance <= 64 * EPS * raw_diagonal] = 0.0
        mean, y_mean = self.centre + shift[:p], self.y_centre + float(shift[p])
        if not fit_intercept:
            full_mean = np.append(mean, y_mean)
            second += np.outer(full_mean, full_mean)
        square = variance if fit_intercept else np.diagonal(second)[:p].copy()
        scale = np.sqrt(np.where(square > 0, square, 1.0))
        gram, xty = _scaled(second, square > 0, scale)
        return TrainingMoments(
            weight=weight,
            n_rows=int(self.count[cells].sum()),
            mean=mean,
            y_mean=y_mean,
            sd=np.sqrt(variance),
            scale=scale,
            gram=gram,
            xty=xty,
            yty=max(float(second[p, p]), 0.0),
            centred=fit_intercept,
            fill=fill,
        )

    def target_variance(self, cells: np.ndarray) -> float:
        """Weighted variance of the target on the rows of `cells`."""
        total = self.gram[np.flatnonzero(cells)].sum(axis=0)
        weight, mean = total[-1, -1], total[-2, -1] / total[-1, -1]
        return float(total[-2, -2] / weight - mean**2)

    def squared_error(
        self, cells: np.ndarray, coef: np.ndarray, intercept: np.ndarray, fill: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Weighted sums of squared errors on the rows of `cells`, and the sum of weights.

        Parameters
        ----------
        cells : (n_cells,) bool array
        coef : (A, p) array
        intercept : (A,) array
        fill : (m,) array
            Centred values that replace the missing ones.

        Notes
        -----
        With ``a = [x - c, missing, y - d, 1]`` the residual is ``r'a``,
        ``r = [-w, -w_missing fill, 1, d - b0 - c'w]``, so the sum is ``r' (sum of a a') r``.
        """
        total = self.gram[np.flatnonzero(cells)].sum(axis=0)
        shift = self.y_centre - intercept - coef @ self.centre
        ones = np.ones_like(shift)
        row = np.column_stack([-coef, -coef[:, self.missing] * fill, ones, shift])
        return np.einsum("aj,aj->a", row @ total, row).clip(min=0.0), float(total[-1, -1])


def _scaled(
    second: np.ndarray, usable: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrix and target products of the features divided by `scale`; 0 where not usable."""
    p = scale.size
    gram = second[:p, :p] / scale[:, None]
    gram /= scale[None, :]
    xty = second[:p, p] / scale
    if not usable.all():
        gram[~usable] = 0.0
        gram[:, ~usable] = 0.0
        xty[~usable] = 0.0
    np.fill_diagonal(gram, usable.astype(float))
    return gram, xty


def cell_moments(dataset: Dataset, cells: Cells) -> Reduction[Moments, CellMoments]:
    """The reduction that collects the moments of every cell: one pass for a cross-validation."""
    layout = Layout(cells.n_cells, dataset.n_sparse, dataset.n_dense)

    def chunk_of(group: Group) -> Any:
        rule = cells.restrict(*group.row_range)
        return partial(_chunk, rule, layout, dataset.feature_names, dataset.missing)

    return Reduction(
        name="fold moments",
        chunk_of=chunk_of,
        combine=merge,
        finalize=_finalize,
        to_arrays=Moments.to_arrays,
        from_arrays=Moments.from_arrays,
    )


def _chunk(
    rule: Any, layout: Layout, names: tuple[str, ...], missing: str, blocks: Iterator[Block]
) -> Moments:
    accumulator = Accumulator(layout, names, missing)
    for block in blocks:
        accumulator.add(block, rule(block.row, block.fold_key))
    return accumulator.result()


def _finalize(state: Moments) -> CellMoments:
    """Check the state and put its parts together, dense features first."""
    if state.issues:
        raise DataError(_describe(list(state.issues.values())))
    gram = _assemble(state) if state.layout.n_sparse else state.dense
    if not np.isfinite(gram).all():
        raise DataError(
            "the sums of squares of the data overflow: some values are larger than about 1e150. "
            "Divide the column by a constant."
        )
    return CellMoments(
        centre=np.concatenate([state.centre, state.sparse_centre]),
        y_centre=state.y_centre,
        missing=state.missing,
        gram=gram,
        count=state.count,
    )


def _assemble(state: Moments) -> np.ndarray:
    """One symmetric matrix a cell from the dense, cross and sparse parts."""
    s, d, r = state.layout.n_sparse, state.layout.n_dense, state.dense.shape[1]
    gram = np.empty((state.layout.n_cells, s + r, s + r))
    dense_at = np.r_[0:d, d + s : s + r]
    for cell in range(state.layout.n_cells):
        gram[cell][np.ix_(dense_at, dense_at)] = state.dense[cell]
        gram[cell, d : d + s, dense_at] = state.cross[cell].T
        gram[cell, dense_at, d : d + s] = state.cross[cell].T
        mirror_lower(state.sparse[cell])
        gram[cell, d : d + s, d : d + s] = state.sparse[cell]
    return gram


def _describe(issues: list[Issue]) -> str:
    """One message for all issues; the first ten by name."""
    issues.sort(key=lambda issue: (issue.first_row, issue.column))
    lines = []
    for issue in issues[:10]:
        what = {"missing": "missing (NaN)", "infinite": "infinite", "negative": "negative"}
        where = f" ({issue.source})" if issue.source else ""
        values = "value" if issue.count == 1 else "values"
        lines.append(
            f"{issue.column}: {issue.count} {what[issue.kind]} {values}, "
            f"first in row {issue.first_row}{where}"
        )
    more = f"\n  and {len(issues) - 10} more columns" if len(issues) > 10 else ""
    kinds = {issue.kind for issue in issues}
    columns = {issue.column for issue in issues}
    advice = "Every value must be finite"
    if "missing" in kinds and columns - {"target", "weight", "offset"}:
        advice += '; missing feature values can be filled or dropped: missing="mean" or "drop"'
    if "weight" in columns:
        advice += "; sample weights must be finite and not negative"
    return "the input contains NaN, infinity or negative weights.\n  " + (
        "\n  ".join(lines) + more + f"\n{advice}."
    )
