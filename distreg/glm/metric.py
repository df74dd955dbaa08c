"""The quadratic model of one training set, from the curvature that a pass collected."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from distreg.evaluation import Curvature
from distreg.glm.problem import TrainingSet
from distreg.kernels.products import add_edges, add_scaled

__all__ = ["Metric", "edges_of", "follow_of", "metric_of"]


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


def follow_of(corner: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``corner^-1 right``; 0 where there is no curvature."""
    if corner.size == 1:
        value = float(corner[0, 0])
        return right / value if value > 0.0 else np.zeros_like(right)
    # a common shift of all classes changes nothing, so the corner is singular
    return np.asarray(np.linalg.pinv(corner, rtol=1e-12, hermitian=True) @ right)


def metric_of(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> Metric:
    """Metric of one training set.

    Where the curvature joins cells that the training set does not all hold, the mean over the
    joined cells stands for the mean over the training set.
    """
    w = curvature.features.size
    gram = np.zeros((n_classes * w, n_classes * w))
    for (i, j), *cell, factor in _cells(curvature, training, cell_weight, n_classes):
        for a, b in {(i, j), (j, i)}:
            to: Any = (factor, gram[a * w : a * w + w, b * w : b * w + w])
            add_scaled(*cell, *to)
    return Metric(*edges_of(curvature, training, cell_weight, n_classes), gram)


def edges_of(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """`corner` and `cross` of the metric of one training set."""
    w = curvature.features.size
    corner, cross = np.zeros((n_classes, n_classes)), np.zeros((n_classes, n_classes * w))
    for (i, j), *cell, factor in _cells(curvature, training, cell_weight, n_classes):
        for a, b in {(i, j), (j, i)}:
            to: Any = (factor, corner[a, b : b + 1], cross[a, b * w : b * w + w])
            add_edges(*cell, *to)
    return corner, cross


def _cells(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> Iterator[tuple[Any, ...]]:
    """Pair of classes, Gram matrix, fill, indicators, shift, 1 / scale and factor of each cell.

    ``x - origin = u + (mean - centre) * indicator + (centre - origin)``, with u = 0 where missing.
    """
    used = np.unique(curvature.cell_of[training.cells])
    used = used[used >= 0]
    weight = float(cell_weight[np.isin(curvature.cell_of, used)].sum())
    features = curvature.features
    mean, origin = training.summary.mean[features], training.origin[features]
    inverse = 1.0 / training.summary.scale[features]
    pairs = itertools.combinations_with_replacement(range(n_classes), 2)
    for pair, moments in zip(pairs, curvature.pairs, strict=True):
        factor = (1.0 if pair[0] == pair[1] else -1.0) / weight
        indicator = np.full(features.size, -1)
        indicator[moments.missing] = features.size + np.arange(moments.missing.size)
        for cell in used[moments.count[used] > 0]:
            centre = moments.centre[cell]
            yield (
                pair, moments.gram[cell], mean - centre, indicator, centre - origin, inverse, factor
            )  # fmt: skip
