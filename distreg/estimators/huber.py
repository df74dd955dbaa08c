"""HuberRegressor and HuberRegressorCV: the Huber loss, for targets with outliers."""

from __future__ import annotations

from typing import Any

from distreg.data.dataset import Dataset
from distreg.estimators import checks
from distreg.estimators.docs import documented
from distreg.estimators.linear import Regression
from distreg.estimators.search import CrossValidated
from distreg.estimators.single import Single

__all__ = ["HuberRegressor", "HuberRegressorCV"]


class _Huber(Regression):
    """Huber loss."""

    delta: float

    def _loss(self, dataset: Dataset) -> str:
        return "huber"

    def _loss_parameter(self) -> float:
        return checks.real("delta", self.delta, closed="neither")


@documented
class HuberRegressor(Single, _Huber):
    """Linear regression with the Huber loss, which outliers of the target pull with bounded force.

    Minimises ``sum_i s_i h(y_i - b - x_i'w) / sum_i s_i + alpha (l1_ratio ||w||_1 +
    (1 - l1_ratio)/2 ||w||_2^2)`` with the weights s of the rows and ``h(e) = e^2 / 2`` up to
    ``|e| = delta``, ``delta (|e| - delta/2)`` beyond. scikit-learn's class estimates a scale sigma
    beside the coefficients, and its epsilon counts in sigmas: its answer is this one's with
    ``delta = epsilon sigma`` and ``alpha = alpha_sklearn sigma / n_samples``.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is none.
    delta : float
        Where the loss turns from quadratic to linear, in units of y.
    l1_ratio : float
        Share of the L1 penalty: 0 is L2 (the default, as in scikit-learn), 1 is L1.
    {common_glm}

    Attributes
    ----------
    {fitted_counts}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        delta: float = 1.35,
        l1_ratio: float = 0.0,
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
        self.alpha = alpha
        self.delta = delta
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
class HuberRegressorCV(CrossValidated, _Huber):
    """Huber regression whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `HuberRegressor`; the held-out error is twice the mean Huber loss.

    Parameters
    ----------
    delta : float
        Where the loss turns from quadratic to linear, in units of y.
    l1_ratio : float or sequence of float
        Share of the L1 penalty, one value or several to choose from.
    {grid}
    {common_glm}

    Attributes
    ----------
    {fitted_counts}
    {path_glm}
    """

    def __init__(
        self,
        *,
        delta: float = 1.35,
        l1_ratio: Any = 0.0,
        alphas: Any = None,
        n_alphas: int = 100,
        alpha_min_ratio: float | None = None,
        cv: Any = 5,
        selection: str = "min",
        relax: Any = None,
        adaptive: float | None = None,
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
        self.delta = delta
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.cv = cv
        self.selection = selection
        self.relax = relax
        self.adaptive = adaptive
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
