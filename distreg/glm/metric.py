"""The quadratic model of one training set, from the curvature that a pass collected."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from distreg.evaluation import Curvature
from distreg.glm.problem import TrainingSet
from distreg.kernels.products import add_edges, add_scaled

__all__ = ["Metric", "edges_of", "follow_of", "inverse_of", "metric_of"]

TINY = float(np.finfo(np.float64).tiny)
"""Smallest number with a finite inverse, about."""


@dataclass(frozen=True)
class Metric:
    """Curvature of the mean loss in C intercepts and P = C w scaled coefficients (class by class).

    Attributes
    ----------
    corner : (C, C) array
        Of the intercepts.
    cross : (C, P) array
        Of intercepts and coefficients.
    gram : (P, P) array
        Of the coefficients.
    """

    corner: np.ndarray
    cross: np.ndarray
    gram: np.ndarray

    @cached_property
    def diagonal(self) -> np.ndarray:
        """Of `gram`, (P,): side by side in memory, because every column asks for it."""
        return np.diagonal(self.gram).copy()


def inverse_of(corner: np.ndarray) -> np.ndarray:
    """``corner^-1`` (C, C); 0 where there is no curvature."""
    if corner.size == 1:
        value = float(corner[0, 0])
        return np.array([[1.0 / value if value > TINY else 0.0]])
    # a common shift of all classes changes nothing, so the corner is singular
    return np.asarray(np.linalg.pinv(corner, rtol=1e-12, hermitian=True))


def follow_of(corner: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``corner^-1 right``; 0 where there is no curvature."""
    return np.asarray(inverse_of(corner) @ right)


def metric_of(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> Metric:
    """Metric of one training set.

    Where the curvature joins cells that the training set does not all hold, the mean over the
    joined cells stands for the mean over the training set.
    """
    w = curvature.features.size
    used, weight = _used_cells(curvature, training, cell_weight)
    change = _change(curvature, training)
    gram = np.zeros((n_classes * w, n_classes * w))
    for (i, j), of_cells in _pairs(curvature, n_classes):
        total = of_cells[used[0]] if used.size == 1 else of_cells[used].sum(axis=0)
        factor = (1.0 if i == j else -1.0) / weight
        for a, b in {(i, j), (j, i)}:
            add_scaled(total, *change, factor, gram[a * w : a * w + w, b * w : b * w + w])
    return Metric(*edges_of(curvature, training, cell_weight, n_classes), gram)


def edges_of(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """`corner` and `cross` of the metric of one training set."""
    w = curvature.features.size
    used, weight = _used_cells(curvature, training, cell_weight)
    change = _change(curvature, training)
    corner, cross = np.zeros((n_classes, n_classes)), np.zeros((n_classes, n_classes * w))
    for (i, j), of_cells in _pairs(curvature, n_classes):
        sums, factor = of_cells[used, -1].sum(axis=0), (1.0 if i == j else -1.0) / weight
        for a, b in {(i, j), (j, i)}:
            add_edges(sums, *change, factor, corner[a, b : b + 1], cross[a, b * w : b * w + w])
    return corner, cross


def _pairs(curvature: Curvature, n_classes: int) -> Iterable[tuple[tuple[int, int], np.ndarray]]:
    pairs = itertools.combinations_with_replacement(range(n_classes), 2)
    return zip(pairs, curvature.grams, strict=True)


def _used_cells(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray
) -> tuple[np.ndarray, float]:
    """Joined cells that a training set has part in, and the weight of their rows."""
    used = np.unique(curvature.cell_of[training.cells])
    used = used[used >= 0]
    return used, float(cell_weight[np.isin(curvature.cell_of, used)].sum())


def _change(
    curvature: Curvature, training: TrainingSet
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fill, row of the indicator (or -1), shift and 1 / scale of each feature.

    ``x - origin = u + (mean - centre) * indicator + (centre - origin)``, with u = 0 where missing.
    """
    features, centre = curvature.features, curvature.centre
    mean, origin = training.summary.mean[features], training.origin[features]
    indicator = np.full(features.size, -1)
    indicator[curvature.missing] = features.size + np.arange(curvature.missing.size)
    return mean - centre, indicator, centre - origin, 1.0 / training.summary.scale[features]
