"""RidgeCV, LassoCV and ElasticNetCV: alpha and l1_ratio chosen by cross-validation."""

from __future__ import annotations

from typing import Any

from distreg.estimators import checks
from distreg.estimators.docs import documented
from distreg.estimators.linear import BaseLinear
from distreg.estimators.search import CrossValidated

__all__ = ["ElasticNetCV", "LassoCV", "RidgeCV"]


class _SquaredCV(CrossValidated, BaseLinear):
    """Cross-validated, squared loss."""

    _ERRORS = "mse_path_"


@documented
class RidgeCV(_SquaredCV):
    """Linear regression with an L2 penalty whose strength is chosen by cross-validation.

    The objective is that of `Ridge`.

    Parameters
    ----------
    {grid}
    {common}

    Attributes
    ----------
    {fitted}
    {path}
    """

    def __init__(
        self,
        alphas: Any = None,
        *,
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

    def _l1_ratio(self) -> Any:
        return 0.0


class _SparseCV(_SquaredCV):
    """What scikit-learn's LassoCV and ElasticNetCV have beyond RidgeCV."""

    eps: float | None
    precompute: Any
    max_iter: int
    copy_X: bool

    def _check_compatible(self) -> None:
        checks.integer("max_iter", self.max_iter, 1)

    def _eps(self) -> float | None:
        return self.eps


@documented
class ElasticNetCV(_SparseCV):
    """Elastic Net whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `ElasticNet`.

    Parameters
    ----------
    l1_ratio : float or sequence of float
        Share of the L1 penalty, one value or several to choose from.
    {grid}
    {common}
    {compatible_cv}

    Attributes
    ----------
    {fitted}
    {path}
    """

    def __init__(
        self,
        *,
        l1_ratio: Any = 0.5,
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
        eps: float | None = None,
        precompute: Any = "auto",
        max_iter: int = 1000,
        copy_X: bool = True,
    ) -> None:
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
        self.eps = eps
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X


@documented
class LassoCV(_SparseCV):
    """Lasso whose strength is chosen by cross-validation.

    The objective is that of `Lasso`.

    Parameters
    ----------
    {grid}
    {common}
    {compatible_cv}

    Attributes
    ----------
    {fitted}
    {path}
    """

    def __init__(
        self,
        *,
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
        eps: float | None = None,
        precompute: Any = "auto",
        max_iter: int = 1000,
        copy_X: bool = True,
    ) -> None:
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
        self.eps = eps
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X

    def _l1_ratio(self) -> Any:
        return 1.0
