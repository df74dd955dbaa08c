"""The Elastic Net penalty: value, conjugate and subdifferential; knows coefficients only.

For scaled coefficients ``b``: ``alpha * sum_j (l1_ratio * l1_j |b_j| + (1 - l1_ratio)/2 * l2_j
b_j^2)``. With bounds the penalty is infinite outside of a `Box`, which holds 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Box", "Penalty", "normalised_factor"]

AT_BOUND = 1.0 - 8.0 * float(np.finfo(np.float64).eps)
"""A coefficient beyond this share of a bound is at it: a change of scale rounds."""


def normalised_factor(penalty_factor: np.ndarray | None, n_features: int) -> np.ndarray:
    """Penalty factors rescaled to sum to `n_features`, as glmnet does; all 0 stays 0."""
    if penalty_factor is None:
        return np.ones(n_features)
    factor = np.asarray(penalty_factor, dtype=np.float64)
    total = factor.sum()
    return factor * (n_features / total) if total > 0 else factor.copy()


@dataclass(frozen=True)
class Box:
    """Bounds of coefficients: ``lower <= 0 <= upper``, each (p,) or of the shape of them all."""

    lower: np.ndarray
    upper: np.ndarray

    def scaled(self, scale: np.ndarray) -> Box:
        """Bounds of the coefficients times `scale`."""
        return Box(self.lower * scale, self.upper * scale)

    def only(self, chosen: np.ndarray | slice) -> Box:
        """Bounds of some of the features."""
        return Box(self.lower[..., chosen], self.upper[..., chosen])

    def only_columns(self, chosen: np.ndarray) -> Box:
        """Bounds of some of the columns of (R, p) bounds."""
        return Box(self.lower[chosen], self.upper[chosen])

    def clip(self, coef: np.ndarray) -> np.ndarray:
        """The nearest coefficients inside."""
        return np.asarray(np.clip(coef, self.lower, self.upper))

    def active(self, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the coefficients at their lower and at their upper bound."""
        return coef <= self.lower * AT_BOUND, coef >= self.upper * AT_BOUND


@dataclass(frozen=True)
class Penalty:
    """Weights of the penalty on the scaled coefficients of one training set.

    Attributes
    ----------
    l1 : (p,) array
        Weight of ``|b_j|``: penalty factor, times sd_j / scale_j when standardising, else 1 /
        scale_j.
    l2 : (p,) array
        Weight of ``b_j^2 / 2``.
    bounds : Box, optional
        On the scale of the data.
    box : Box, optional
        The same for the scaled coefficients.
    """

    l1: np.ndarray
    l2: np.ndarray
    bounds: Box | None = None
    box: Box | None = None

    @classmethod
    def of(
        cls,
        factor: np.ndarray,
        sd: np.ndarray,
        scale: np.ndarray,
        standardize: bool,
        bounds: Box | None = None,
    ) -> Penalty:
        """Penalty on ``w_j sd_j`` (standardize) or on ``w_j``, with ``b_j = w_j scale_j``.

        A constant feature has no sd to standardise by; it is not fitted, so any weight will do.
        """
        size = np.where(standardize & (sd > 0), sd, 1.0) / scale
        box = None if bounds is None else bounds.scaled(scale)
        return cls(l1=factor * size, l2=factor * size**2, bounds=bounds, box=box)

    @property
    def penalised(self) -> np.ndarray:
        """Mask of the penalised features."""
        return np.asarray(self.l2 > 0)

    def bounded(self, coef: np.ndarray, scaled: np.ndarray) -> np.ndarray:
        """Coefficients on the scale of the data, exactly at the bounds that `scaled` are at."""
        if self.bounds is None or self.box is None:
            return coef
        at_lower, at_upper = self.box.active(scaled)
        coef = np.where(at_lower, self.bounds.lower, self.bounds.clip(coef))
        return np.where(at_upper, self.bounds.upper, coef)

    def strengths(self, alpha: np.ndarray, l1_ratio: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights of ``|b|`` and ``b^2/2`` for each alpha, each (A, p)."""
        lasso = np.multiply.outer(np.asarray(alpha) * l1_ratio, self.l1)
        ridge = np.multiply.outer(np.asarray(alpha) * (1.0 - l1_ratio), self.l2)
        return lasso, ridge


def value(coef: np.ndarray, lasso: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Penalty of each row of `coef` (A, p)."""
    size = np.abs(coef)
    return np.asarray((lasso * size + 0.5 * ridge * size**2).sum(axis=-1))


def conjugate(
    grad: np.ndarray, lasso: np.ndarray, ridge: np.ndarray, box: Box | None = None
) -> np.ndarray:
    """``sum_j max(|g_j| - lasso_j, 0)^2 / (2 ridge_j)``, over the entries with ridge_j > 0.

    In a box the supremum of ``e w - ridge w^2/2`` with ``e = max(|g| - lasso, 0)`` is over
    ``0 <= w <= m``, with m the bound on the side of g: at ``w = min(e / ridge, m)``. Entries whose
    supremum is infinite do not count.
    """
    excess = np.maximum(np.abs(grad) - lasso, 0.0)
    safe = np.where(ridge > 0, ridge, 1.0)
    if box is None:
        return np.asarray(np.where(ridge > 0, excess**2 / (2.0 * safe), 0.0).sum(axis=-1))
    most = room(grad, box)
    free = np.where(ridge > 0, excess / safe, np.inf)
    at = np.where(excess > 0, np.minimum(free, most), 0.0)
    at = np.where(np.isfinite(at), at, 0.0)
    return np.asarray((at * (excess - 0.5 * ridge * at)).sum(axis=-1))


def room(grad: np.ndarray, box: Box) -> np.ndarray:
    """How far each coefficient may go from 0 in the direction of its negative gradient."""
    return np.where(grad > 0, box.upper, -box.lower)


def distance(
    coef: np.ndarray,
    grad: np.ndarray,
    lasso: np.ndarray,
    ridge: np.ndarray,
    box: Box | None = None,
) -> np.ndarray:
    """Distance of each gradient entry from the subdifferential of the penalty, (A, p).

    At a bound the normal cone of the box is added: any gradient that pushes outwards is a minimum.
    """
    if box is None:
        at_zero = np.maximum(np.abs(grad) - lasso, 0.0)
        elsewhere = np.abs(grad - ridge * coef - lasso * np.sign(coef))
        return np.asarray(np.where(coef == 0, at_zero, elsewhere))
    at_lower, at_upper = box.active(coef)
    low = ridge * coef + lasso * np.where(coef == 0, -1.0, np.sign(coef))
    high = ridge * coef + lasso * np.where(coef == 0, 1.0, np.sign(coef))
    below = np.where(at_lower, 0.0, low - grad)
    above = np.where(at_upper, 0.0, grad - high)
    return np.asarray(np.maximum(np.maximum(below, above), 0.0))
