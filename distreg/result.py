"""What a cross-validation learned."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from distreg.passes import Cost
from distreg.path import PathResult

__all__ = ["CVResult", "RoundsTrace"]


@dataclass(frozen=True)
class RoundsTrace:
    """How the rounds of a fit by alternating directions went; (T,) arrays, one entry a round.

    Attributes
    ----------
    primal_residual, dual_residual : (T,) arrays
        Largest residual of the fits that took part, each relative to the size of what differs.
        NaN where none is known.
    rho : (T,) array
        Median penalty of these fits.
    n_active : (T,) int array
        Fits that were not certified when the round began.
    """

    primal_residual: np.ndarray
    dual_residual: np.ndarray
    rho: np.ndarray
    n_active: np.ndarray

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


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
        Scores on the test rows (squared loss: "mse", "rmse", "r2"); empty without test rows.
    n_samples, n_test : int
        Rows used for fitting, and test rows.
    weight_sum : float
        Sum of the sample weights of the fitting rows.
    null_deviance : float
        Mean deviance of the null model (squared loss: weighted variance of the target).
    feature_names : tuple of str
        Names of the p features.
    feature_mean, feature_sd : (p,) arrays
        Weighted mean and standard deviation on the fitting rows.
    fill_values : (p,) array or None
        Means that replace missing values, when missing="mean".
    standardize, fit_intercept : bool
        As asked for.
    penalty_factor : (p,) array
        As used on the full data (rescaled to sum to p); adaptive ones are infinite where they
        exclude a feature, and sum to the number of the others.
    tol : float
        Tolerance on dual_gap / null_objective.
    cost : Cost
        Passes, block reads, bytes and seconds.
    loss : str
        Name of the loss.
    classes : tuple or None
        Labels of a class target.
    loss_parameter : float or None
        delta, or the quantile; None for a loss without a parameter.
    kkt_tolerance : float
        Tolerance on kkt_violation / null_gradient; infinite where the gap alone counts.
    fold_kkt_violation : (L, A) array
        Largest KKT violation of the folds' fits, over the largest gradient of their null models.
    support_frequency : (L, A, p) array
        Share of the folds whose support holds a feature (of a multinomial model that of any
        class); NaN without folds.
    approximate : bool
        The fits of the folds, and so the curve, are one Newton step from the full data's answer;
        their certificates are told, but no tolerance is asked of them.
    fold_entry : (K, L, p) int array
        Index of the first alpha at which a fold's support holds a feature; A where none does.
    solver : str
        What has fitted: "gram", "newton", "admm" or "consensus".
    rounds : RoundsTrace or None
        Of a fit by alternating directions.
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
    loss: str = "squared"
    classes: tuple[Any, ...] | None = None
    kkt_tolerance: float = np.inf
    fold_kkt_violation: np.ndarray = field(default_factory=lambda: np.full((1, 1), np.nan))
    support_frequency: np.ndarray = field(default_factory=lambda: np.full((1, 1, 1), np.nan))
    approximate: bool = False
    fold_entry: np.ndarray = field(default_factory=lambda: np.empty((0, 1, 1), dtype=np.int32))
    loss_parameter: float | None = None
    solver: str = "gram"
    rounds: RoundsTrace | None = None

    @property
    def l1_ratios(self) -> np.ndarray:
        """The l1_ratios, one for each path."""
        return np.array([path.l1_ratio for path in self.paths])

    def criterion(self, name: str) -> np.ndarray:
        """(L, A) values of "aic", "bic", "ebic" or "df" on the full training data."""
        return np.array([path.information[name] for path in self.paths])

    @property
    def converged(self) -> bool:
        """True when every certificate, of the full fits and of the folds, is within `tol`.

        With an approximate cross-validation only those of the full fits count.
        """
        full = all(
            np.all(path.relative_gap <= self.tol)
            and np.all(path.relative_violation <= self.kkt_tolerance)
            for path in self.paths
        )
        if self.approximate:
            return full
        bounds = ((self.fold_dual_gap, self.tol), (self.fold_kkt_violation, self.kkt_tolerance))
        return full and all(np.all(np.isnan(size) | (size <= bound)) for size, bound in bounds)
