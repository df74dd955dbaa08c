"""The Elastic Net penalty: value, conjugate and subdifferential; knows coefficients only.

For scaled coefficients ``b``: ``alpha * sum_j (l1_ratio * l1_j |b_j| + (1 - l1_ratio)/2 * l2_j
b_j^2)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Penalty", "normalised_factor"]


def normalised_factor(penalty_factor: np.ndarray | None, n_features: int) -> np.ndarray:
    """Penalty factors rescaled to sum to `n_features`, as glmnet does; all 0 stays 0."""
    if penalty_factor is None:
        return np.ones(n_features)
    factor = np.asarray(penalty_factor, dtype=np.float64)
    total = factor.sum()
    return factor * (n_features / total) if total > 0 else factor.copy()


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
    """

    l1: np.ndarray
    l2: np.ndarray

    @classmethod
    def of(
        cls, factor: np.ndarray, sd: np.ndarray, scale: np.ndarray, standardize: bool
    ) -> Penalty:
        """Penalty on ``w_j sd_j`` (standardize) or on ``w_j``, with ``b_j = w_j scale_j``.

        A constant feature has no sd to standardise by; it is not fitted, so any weight will do.
        """
        size = np.where(standardize & (sd > 0), sd, 1.0) / scale
        return cls(l1=factor * size, l2=factor * size**2)

    @property
    def penalised(self) -> np.ndarray:
        """Mask of the penalised features."""
        return np.asarray(self.l2 > 0)

    def strengths(self, alpha: np.ndarray, l1_ratio: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights of ``|b|`` and ``b^2/2`` for each alpha, each (A, p)."""
        lasso = np.multiply.outer(np.asarray(alpha) * l1_ratio, self.l1)
        ridge = np.multiply.outer(np.asarray(alpha) * (1.0 - l1_ratio), self.l2)
        return lasso, ridge


def value(coef: np.ndarray, lasso: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Penalty of each row of `coef` (A, p)."""
    size = np.abs(coef)
    return np.asarray((lasso * size + 0.5 * ridge * size**2).sum(axis=-1))


def conjugate(grad: np.ndarray, lasso: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """``sum_j max(|g_j| - lasso_j, 0)^2 / (2 ridge_j)``, over the entries with ridge_j > 0."""
    excess = np.maximum(np.abs(grad) - lasso, 0.0)
    safe = np.where(ridge > 0, ridge, 1.0)
    return np.asarray(np.where(ridge > 0, excess**2 / (2.0 * safe), 0.0).sum(axis=-1))


def distance(
    coef: np.ndarray, grad: np.ndarray, lasso: np.ndarray, ridge: np.ndarray
) -> np.ndarray:
    """Distance of each gradient entry from the subdifferential of the penalty, (A, p)."""
    at_zero = np.maximum(np.abs(grad) - lasso, 0.0)
    elsewhere = np.abs(grad - ridge * coef - lasso * np.sign(coef))
    return np.asarray(np.where(coef == 0, at_zero, elsewhere))
