"""The quadratic model of one training set, from the curvature that a pass collected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.evaluation import Curvature
from distreg.glm.problem import TrainingSet

__all__ = ["Metric", "follow_of", "metric_of", "mixed"]


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

    def profiled(self) -> tuple[np.ndarray, np.ndarray]:
        """Curvature (P, P) with the intercepts at their optimum, and how these follow, (C, P).

        The intercepts move by ``-follow @ step`` when the coefficients move by `step`.
        """
        follow = follow_of(self.corner, self.cross)
        return self.gram - self.cross.T @ follow, follow

    def intercept_step(self, grad: np.ndarray) -> np.ndarray:
        """Newton step (C,) of the intercepts alone, for their negative gradient."""
        return follow_of(self.corner, grad)


def follow_of(corner: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``corner^-1 right``; 0 where there is no curvature."""
    if corner.size == 1:
        value = float(corner[0, 0])
        return right / value if value > 0.0 else np.zeros_like(right)
    # a common shift of all classes changes nothing, so the corner is singular
    return np.asarray(np.linalg.pinv(corner, rtol=1e-12, hermitian=True) @ right)


def mixed(left: Metric, right: Metric, share: float) -> Metric:
    """``(1 - share) left + share right``."""
    if share == 0.0:
        return left
    keep = 1.0 - share
    return Metric(
        keep * left.corner + share * right.corner,
        keep * left.cross + share * right.cross,
        keep * left.gram + share * right.gram,
    )


def metric_of(
    curvature: Curvature, training: TrainingSet, cell_weight: np.ndarray, n_classes: int
) -> Metric:
    """Metric of one training set.

    Where the curvature joins cells that the training set does not all hold, the mean over the
    joined cells stands for the mean over the training set.
    """
    used = np.unique(curvature.cell_of[training.cells])
    used = used[used >= 0]
    joined = np.zeros(int(curvature.cell_of.max(initial=0)) + 1, dtype=bool)
    joined[used] = True
    weight = float(cell_weight[np.isin(curvature.cell_of, used)].sum())
    w, c = curvature.features.size, n_classes
    corner, cross = np.zeros((c, c)), np.zeros((c, c, w))
    gram = np.zeros((c, w, c, w))
    for pair, gram_of in zip(zip(*np.triu_indices(c), strict=True), curvature.grams, strict=True):
        i, j = int(pair[0]), int(pair[1])
        sign = (1.0 if i == j else -1.0) / weight
        s0, s1, s2 = _products(gram_of[joined].sum(axis=0), curvature, training)
        for a, b in {(i, j), (j, i)}:
            corner[a, b], cross[a, b], gram[a, :, b] = sign * s0, sign * s1, sign * s2
    return Metric(corner, cross.reshape(c, c * w), gram.reshape(c * w, c * w))


def _products(
    total: np.ndarray, curvature: Curvature, training: TrainingSet
) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted sums of 1, z and zz' for the scaled features z of a training set."""
    features, missing, centre = curvature.features, curvature.missing, curvature.centre
    p, m = features.size, missing.size
    mean, scale = training.summary.mean[features], training.summary.scale[features]
    # x - c = u + (mean - c) * indicator, with u = 0 where missing
    fill = (mean - centre)[missing]
    total[missing] += fill[:, None] * total[p : p + m]
    total[:, missing] += fill * total[:, p : p + m]
    shift = centre - training.origin[features]
    s0, s1, s2 = float(total[-1, -1]), total[:p, -1], total[:p, :p]
    moved = s2 + np.outer(shift, s1) + np.outer(s1, shift) + s0 * np.outer(shift, shift)
    return s0, (s1 + s0 * shift) / scale, moved / scale / scale[:, None]
