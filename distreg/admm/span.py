"""What gradients of unpenalised features leave open, whatever basis these features are given in.

An unpenalised feature asks slopes for a gradient of exactly 0, which rounding denies. What is left
times the way to the optimum is at most ``sqrt(g' G^+ g) r``, with G the features' products over a
training set and r the root mean square of what they predict. Coefficients say nothing of that way:
those of ``year`` and ``year^2`` are large, opposite, and far from where they begin.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm.frame import TILE_ROWS, Frame
from distreg.data.block import Block, Group
from distreg.kernels.rows import TRAIN
from distreg.passes import PassRunner, Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells
    from distreg.glm.problem import Problem

__all__ = ["Span", "make_span"]

REACH = 10.0
"""How far from 0 the optimum's predictor may be, in units of that found and of the target's."""

RESOLVED = 1e-13
"""Share of the largest eigenvalue of G above which an eigenvector is known to be in its range,"""

SMALLEST = 1e-15
"""and that below which none is taken to be."""

ROUNDING = 1e-13
"""Gradient, in units of the slopes, that may be rounding where G says nothing of its vector."""

PRODUCT_BYTES = 500_000_000
"""Of products of all cells; features with more of them get no bound while they have a gradient."""

CACHE_BYTES = 100_000_000


class Span:
    """The space of the unpenalised features in each training set.

    Parameters
    ----------
    features : (u,) int array
        Those that some fit does not penalise.
    products : (S, u, u) array or None
        Mean products in each training set, about the mean with an intercept. Without them only a
        gradient of exactly 0 is good for anything.
    size : (S,) array
        Of the target in units of a predictor.
    """

    def __init__(self, features: np.ndarray, products: np.ndarray | None, size: np.ndarray) -> None:
        self._features, self._products, self._size = features, products, size
        self._known: dict[tuple[int, bytes], tuple[np.ndarray, np.ndarray]] = {}

    def apart(
        self,
        sets: np.ndarray,
        free: np.ndarray,
        grad: np.ndarray,
        coef: np.ndarray,
    ) -> np.ndarray:
        """What gradients leave open of n columns, (n,).

        Parameters
        ----------
        sets : (n,) int array
        free : (n, p) bool array
            Unpenalised features.
        grad, coef : (n, p) arrays
            Negative gradients, and the coefficients that were found.
        """
        out = np.zeros(len(grad))
        if self._products is None:
            out[(free & (grad != 0.0)).any(axis=1)] = np.inf
            return out
        free = free[:, self._features]
        kinds, kind = np.unique(np.column_stack([sets, free]), axis=0, return_inverse=True)
        for i, one in enumerate(kinds):
            s, chosen = int(one[0]), one[1:].astype(bool)
            of, at = np.flatnonzero(kind.ravel() == i), self._features[chosen]
            if at.size:
                values, vectors = self._vectors(s, chosen)
                g, b = grad[np.ix_(of, at)] @ vectors, coef[np.ix_(of, at)] @ vectors
                size = np.sqrt(b**2 @ np.maximum(values, 0.0)) + self._size[s]
                out[of] = REACH * size * _norm(g, values, self._size[s])
        return out

    def _vectors(self, s: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and vectors of the products of some features in training set s."""
        key = s, chosen.tobytes()
        if key not in self._known:
            assert self._products is not None
            at = np.flatnonzero(chosen)
            if sum(v.nbytes for _, v in self._known.values()) > CACHE_BYTES:
                self._known.clear()
            self._known[key] = np.linalg.eigh(self._products[s][np.ix_(at, at)])
        return self._known[key]


def _norm(grad: np.ndarray, values: np.ndarray, size: float) -> np.ndarray:
    """``sqrt(g' G^+ g)`` of gradients (n, u) along the eigenvectors; infinite out of the range."""
    largest = max(float(values[-1]), np.finfo(np.float64).tiny)
    square = (grad**2 / np.maximum(values, SMALLEST * largest)).sum(axis=1)
    outside = np.abs(grad[:, values <= RESOLVED * largest]).max(axis=1, initial=0.0)
    return np.where(outside > ROUNDING * max(size, 1.0), np.inf, np.sqrt(square))


def make_span(
    problem: Problem,
    alphas: np.ndarray,
    dataset: Dataset,
    cells: Cells,
    frame: Frame,
    unit: np.ndarray,
    runner: PassRunner,
) -> Span:
    """The span of the features that a fit does not penalise: a pass, where there are any.

    `unit` (S,) are the objectives of the null models.
    """
    free = np.any([~of.penalty.penalised for of in problem.sets], axis=0)
    if np.any(alphas == 0.0):
        free = np.ones_like(free)
    features, size = np.flatnonzero(free), _size(problem, unit)
    n_cells = len(problem.role)
    if features.size and 8 * n_cells * (features.size + 1) ** 2 > PRODUCT_BYTES:
        return Span(features, None, size)
    n_sets, u = len(problem.sets), features.size
    if u == 0:
        return Span(features, np.zeros((n_sets, 0, 0)), size)
    total = runner.run(_products(dataset, cells, frame, features, n_cells), dataset)
    mean = np.array([total[problem.role[:, s] == TRAIN].sum(axis=0) for s in range(n_sets)])
    mean /= np.maximum(mean[:, -1:, -1:], np.finfo(np.float64).tiny)
    product = mean[:, :-1, :-1]
    if problem.fit_intercept:
        product = product - mean[:, :-1, -1:] * mean[:, -1:, :-1]
    return Span(features, product, size)


def _size(problem: Problem, unit: np.ndarray) -> np.ndarray:
    """Size (S,) of what a target asks of the predictor."""
    loss = problem.loss
    if loss.target != "real":
        # a margin is a kink for the hinge loss alone: with weak features it is far from 0
        return np.full(len(problem.sets), 10.0 if loss.name == "hinge" else 1.0)
    square = [of.summary.square(problem.fit_intercept) for of in problem.sets]
    # predictors whose loss is not above that of the null model
    share = min(loss.parameter, 1.0 - loss.parameter) if loss.name == "quantile" else 1.0
    far = unit / share if loss.name == "quantile" else np.sqrt(2.0 * unit)
    return np.asarray(np.maximum(np.sqrt(square), far))


def _products(
    dataset: Dataset, cells: Cells, frame: Frame, features: np.ndarray, n_cells: int
) -> Reduction[np.ndarray, np.ndarray]:
    """The reduction to weighted products of some features and 1 in each cell."""

    def chunk_of(group: Group) -> Any:
        return partial(_chunk, cells.restrict(*group.row_range), frame, features, n_cells)

    return Reduction(
        name="products of unpenalised features",
        chunk_of=chunk_of,
        combine=_add,
        finalize=lambda total: total,
    )


def _add(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left += right
    return left


def _chunk(
    rule: Any, frame: Frame, features: np.ndarray, n_cells: int, blocks: Iterator[Block]
) -> np.ndarray:
    total = np.zeros((n_cells, features.size + 1, features.size + 1))
    for block in blocks:
        cell = rule(block.row, block.fold_key)
        used = frame.used(block, cell)
        for c in np.unique(cell[used]):
            rows = np.flatnonzero(used & (cell == c))
            for start in range(0, rows.size, TILE_ROWS):
                some = rows[start : start + TILE_ROWS]
                tile = np.column_stack([frame.columns(block, some, features), np.ones(some.size)])
                right = tile if block.weight is None else tile * block.weight[some, None]
                total[c] += tile.T @ right
        del block
    return total
