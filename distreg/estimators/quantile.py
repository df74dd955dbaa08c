"""QuantileRegressor and QuantileRegressorCV: conditional quantiles, by the pinball loss."""

from __future__ import annotations

from typing import Any

from distreg.data.dataset import Dataset
from distreg.estimators import checks
from distreg.estimators.docs import documented
from distreg.estimators.linear import Regression
from distreg.estimators.search import CrossValidated
from distreg.estimators.single import Single

__all__ = ["QuantileRegressor", "QuantileRegressorCV"]


class _Quantile(Regression):
    """Quantile loss."""

    quantile: float

    _SOLVERS = ("auto", "admm", "consensus")

    def _loss(self, dataset: Dataset) -> str:
        return "quantile"

    def _loss_parameter(self) -> float:
        return checks.real("quantile", self.quantile, 0.0, 1.0, "neither")


@documented
class QuantileRegressor(Single, _Quantile):
    """Linear regression of a quantile of the target given the features.

    Minimises ``sum_i s_i r(y_i - b - x_i'w) / sum_i s_i + alpha (l1_ratio ||w||_1 +
    (1 - l1_ratio)/2 ||w||_2^2)`` with the weights s of the rows and ``r(e) = q e`` above 0,
    ``(q - 1) e`` below, as scikit-learn's class does for L1.

    Parameters
    ----------
    quantile : float
        Between 0 and 1; 0.5 is the median.
    alpha : float
        Strength of the penalty; 0 is none.
    l1_ratio : float
        Share of the L1 penalty: 1 is L1 (the default, as in scikit-learn), 0 is L2.
    {common_kinked}

    Attributes
    ----------
    {fitted_counts}
    """

    def __init__(
        self,
        quantile: float = 0.5,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 1.0,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.quantile = quantile
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.verbose = verbose


@documented
class QuantileRegressorCV(CrossValidated, _Quantile):
    """Quantile regression whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `QuantileRegressor`; the held-out error is twice the mean pinball loss.

    Parameters
    ----------
    quantile : float
        Between 0 and 1; 0.5 is the median.
    l1_ratio : float or sequence of float
        Share of the L1 penalty, one value or several to choose from.
    {grid}
    {common_kinked}

    Attributes
    ----------
    {fitted_counts}
    {path_glm}
    """

    # rounds know no relatives of the penalty
    relax = None
    adaptive = None

    def __init__(
        self,
        quantile: float = 0.5,
        *,
        l1_ratio: Any = 1.0,
        alphas: Any = None,
        n_alphas: int = 100,
        alpha_min_ratio: float | None = None,
        cv: Any = 5,
        selection: str = "min",
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        random_state: Any = None,
        verbose: int | bool = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.quantile = quantile
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.cv = cv
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
