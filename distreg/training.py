"""The squared-loss problem of one training set, taken from the moments of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.exceptions import DataError
from distreg.kernels.accumulate import Accumulator
from distreg.kernels.tiles import mirror_lower
from distreg.moments import (
    NO_ROWS,
    Layout,
    Moments,
    describe_issues,
    describe_overflow,
    merge,
    move_centre,
)
from distreg.passes import Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["CellMoments", "TrainingMoments", "cell_moments", "finalize_moments"]

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
        What replaces the missing values of the features that have some.
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
    """Result of the pass: Gram matrices of ``[features, missing, target, 1]``, one a cell.

    Attributes
    ----------
    centre : (n_cells, p) array
    y_centre : (n_cells,) array
        What the rows of a cell were centred by.
    missing : (m,) int array
        Features with a missing indicator.
    gram : (n_cells, p + m + 2, p + m + 2) array
    count : (n_cells,) int array
        Rows with positive weight.
    """

    centre: np.ndarray
    y_centre: np.ndarray
    missing: np.ndarray
    gram: np.ndarray
    count: np.ndarray

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.centre.shape[1])

    def training(
        self, cells: np.ndarray, fit_intercept: bool, standardize: bool
    ) -> TrainingMoments:
        """The problem of the rows of `cells` (boolean mask).

        Sums the cells; never subtracts a fold from the total, which would cancel when the fold
        holds an outlier. A missing value counts as this set's own mean of its feature.
        """
        total, centre = self.total(cells)
        p, m, weight = self.n_features, self.missing.size, float(total[-1, -1])
        present = weight - total[p : p + m, -1]
        fill = np.divide(total[self.missing, -1], present, out=np.zeros(m), where=present > 0)
        # x - c = u + fill * indicator, with u = 0 where missing
        total[self.missing] += fill[:, None] * total[p : p + m]
        total[:, self.missing] += fill * total[:, p : p + m]
        total = np.delete(np.delete(total, np.s_[p : p + m], axis=0), np.s_[p : p + m], axis=1)
        shift = total[: p + 1, -1] / weight
        second = total[: p + 1, : p + 1] / weight
        about_centre = np.diagonal(second)[:p].copy()
        second -= np.outer(shift, shift)
        variance = np.diagonal(second)[:p].copy()
        # below its own rounding error a variance is no evidence of variation
        variance[variance <= 64 * EPS * about_centre] = 0.0
        mean = centre + shift
        square = variance
        if not fit_intercept:
            second += np.outer(mean, mean)
            square = np.diagonal(second)[:p].copy()
            if standardize:
                square[variance == 0] = 0.0
        scale = np.sqrt(np.where(square > 0, square, 1.0))
        gram, xty = _scaled(second, square > 0, scale)
        return TrainingMoments(
            weight=weight,
            n_rows=int(self.count[cells].sum()),
            mean=mean[:p],
            y_mean=float(mean[p]),
            sd=np.sqrt(variance),
            scale=scale,
            gram=gram,
            xty=xty,
            yty=max(float(second[p, p]), 0.0),
            centred=fit_intercept,
            fill=centre[self.missing] + fill,
        )

    def total(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gram matrix of the rows of `cells`, and the centre of features and target it is about.

        The centre is the cells' common mean, from the first cell's centre, so that equal centres
        stay equal to the last bit.
        """
        p, chosen = self.n_features, np.flatnonzero(cells & (self.count > 0))
        if chosen.size == 0:
            raise DataError(NO_ROWS)
        centres = np.column_stack([self.centre[chosen], self.y_centre[chosen]])
        weight = self.gram[chosen, -1, -1]
        sums = np.column_stack([self.gram[chosen, :p, -1], self.gram[chosen, -2, -1]])
        offset = ((centres - centres[0]) * weight[:, None] + sums).sum(axis=0) / weight.sum()
        centre = centres[0] + offset
        delta = np.zeros(self.gram.shape[1])
        if (centres == centres[0]).all():
            total = self.gram[chosen].sum(axis=0)
            delta[:p], delta[-2] = centres[0, :p] - centre[:p], centres[0, p] - centre[p]
            move_centre(total, delta, self.missing, p)
            return total, centre
        total = np.zeros_like(self.gram[0])
        for cell, own in zip(chosen, centres, strict=True):
            part = self.gram[cell].copy()
            delta[:p], delta[-2] = own[:p] - centre[:p], own[p] - centre[p]
            move_centre(part, delta, self.missing, p)
            total += part
        return total, centre

    def about_one_centre(self) -> CellMoments:
        """The same with one centre for all cells: many training sets are then plain sums."""
        present = self.count > 0
        if not present.any():
            return self
        p, n_cells = self.n_features, len(self.count)
        first = int(np.argmax(present))
        centre = np.append(self.centre[first], self.y_centre[first])
        delta = np.zeros(self.gram.shape[:2])
        delta[:, :p], delta[:, -2] = self.centre - centre[:p], self.y_centre - centre[p]
        gram = self.gram.copy()
        for cell in np.flatnonzero(present):
            move_centre(gram[cell], delta[cell], self.missing, p)
        return replace(
            self,
            centre=np.tile(centre[:p], (n_cells, 1)),
            y_centre=np.full(n_cells, centre[p]),
            gram=gram,
        )

    def target_variance(self, cells: np.ndarray) -> float:
        """Weighted variance of the target on the rows of `cells`."""
        total, _ = self.total(cells)
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
            What replaces the missing values.

        Notes
        -----
        With ``a = [x - c, missing, y - d, 1]`` the residual is ``r'a``,
        ``r = [-w, -w_missing (fill - c), 1, d - b0 - c'w]``, so the sum is
        ``r' (sum of a a') r``.
        """
        error, weight = np.zeros(len(coef)), 0.0
        for cell in np.flatnonzero(cells & (self.count > 0)):
            centre = self.centre[cell]
            shift = self.y_centre[cell] - intercept - coef @ centre
            filled = -coef[:, self.missing] * (fill - centre[self.missing])
            row = np.column_stack([-coef, filled, np.ones_like(shift), shift])
            error += np.einsum("aj,aj->a", row @ self.gram[cell], row).clip(min=0.0)
            weight += float(self.gram[cell, -1, -1])
        return error, weight


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
        finalize=partial(finalize_moments, dataset.feature_names),
        to_arrays=Moments.to_arrays,
        from_arrays=Moments.from_arrays,
        keep=lambda state: not state.issues,
    )


def _chunk(
    rule: Any, layout: Layout, names: tuple[str, ...], missing: str, blocks: Iterator[Block]
) -> Moments:
    accumulator = Accumulator(layout, names, missing)
    for block in blocks:
        accumulator.add(block, rule(block.row, block.fold_key))
        del block  # or it would live while the next one is made
    return accumulator.result()


def finalize_moments(names: tuple[str, ...], state: Moments) -> CellMoments:
    """Check the state and put its parts together, dense features first."""
    if state.issues:
        raise DataError(describe_issues(list(state.issues.values())))
    gram = _assemble(state) if state.layout.n_sparse else state.dense
    overflow = ~np.isfinite(np.diagonal(gram, axis1=1, axis2=2)).all(axis=0)
    if overflow.any():
        labels = [*names, *(names[j] for j in state.missing), "target", "weight"]
        raise DataError(describe_overflow(labels, overflow))
    return CellMoments(
        centre=np.concatenate([np.nan_to_num(state.centre), state.sparse_centre], axis=1),
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
