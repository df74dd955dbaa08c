"""Cross-validation of all folds, alphas and l1_ratios from the moments of one pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from distreg.passes import Cost
from distreg.path import PathResult

__all__ = ["CVResult"]


@dataclass(frozen=True)
class CVResult:
    """Everything a cross-validation learned. L l1_ratios, A alphas, K folds, p features.

    Attributes
    ----------
    paths : tuple of L PathResult
        Fits on the full training data (all rows but the test rows), one for each l1_ratio.
    cv_mean, cv_se : (L, A) arrays
        Fold-weighted mean of the held-out deviance (squared loss: MSE) and its standard error;
        NaN without folds.
    fold_error : (K, L, A) array
        Held-out deviance of each fold.
    fold_weight : (K,) array
        Weight of each fold's held-out rows.
    support_stability : (L, A) array
        Mean Jaccard similarity of the folds' supports.
    fold_dual_gap : (L, A) array
        Largest dual gap of the folds' fits, relative to each fold's null objective.
    test : dict of (L, A) arrays
        Scores on the test rows ("mse", "rmse", "r2"); empty without test rows.
    n_samples, n_test : int
        Rows used for fitting, and test rows.
    weight_sum : float
        Sum of the sample weights of the fitting rows.
    null_deviance : float
        Weighted variance of the target (deviance of the intercept-only model).
    feature_names : tuple of str
        Names of the p features.
    feature_mean, feature_sd : (p,) arrays
        Weighted mean and standard deviation on the fitting rows.
    fill_values : (p,) array or None
        Means that replace missing values, when missing="mean".
    standardize, fit_intercept : bool
        As asked for.
    penalty_factor : (p,) array
        As used (rescaled to sum to p).
    tol : float
        Tolerance on dual_gap / null_objective.
    cost : Cost
        Passes, block reads, bytes and seconds.
    """

    paths: tuple[PathResult, ...]
    cv_mean: np.ndarray
    cv_se: np.ndarray
    fold_error: np.ndarray
    fold_weight: np.ndarray
    support_stability: np.ndarray
    fold_dual_gap: np.ndarray
    n_samples: int
    n_test: int
    weight_sum: float
    null_deviance: float
    feature_names: tuple[str, ...]
    feature_mean: np.ndarray
    feature_sd: np.ndarray
    fill_values: np.ndarray | None
    standardize: bool
    fit_intercept: bool
    penalty_factor: np.ndarray
    tol: float
    cost: Cost
    test: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def l1_ratios(self) -> np.ndarray:
        """The l1_ratios, one for each path."""
        return np.array([path.l1_ratio for path in self.paths])

    @property
    def converged(self) -> bool:
        """True when every certificate, of the full fits and of the folds, is within `tol`."""
        full = all(np.all(p.dual_gap <= self.tol * p.null_objective) for p in self.paths)
        folds = self.fold_dual_gap
        return full and bool(np.all(np.isnan(folds) | (folds <= self.tol)))
