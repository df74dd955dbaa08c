"""Ridge, Lasso and ElasticNet at one alpha."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from distreg.estimators import checks
from distreg.estimators.base import BaseLinear
from distreg.estimators.docs import documented

__all__ = ["ElasticNet", "Lasso", "Ridge"]


class _Single(BaseLinear):
    """One alpha."""

    alpha: float

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, check_input: bool = True
    ) -> Self:
        """Fit the model in one pass over the data.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, Dask collection, or Dataset
            Never copied as a whole and never changed.
        y : (n_samples,) array, Series or Dask collection, or the name of a column of X
            Left out when X is a Dataset.
        sample_weight : float or (n_samples,) array, optional
            Weights of the rows; a weight of 0 is as good as no row.
        check_input : bool
            Of no effect; scikit-learn's keyword.

        Returns
        -------
        self
        """
        self._check_common()
        self._check_compatible()
        options = {
            "l1_ratios": checks.ratios(self._l1_ratio()),
            "alphas": np.array([checks.real("alpha", self.alpha)]),
        }
        fitted = self._run((X, y, sample_weight), options)
        return self._store(fitted, 0, 0)

    def _l1_ratio(self) -> Any:
        raise NotImplementedError

    def _check_compatible(self) -> None:
        """Check the keywords that only some classes have."""


@documented
class Ridge(_Single):
    """Linear regression with an L2 penalty.

    Minimises ``sum_i s_i (y_i - b - x_i'w)^2 / (2 sum_i s_i) + alpha/2 ||w||_2^2``. scikit-learn's
    Ridge has the sum in the place of the mean: its alpha is ``n_samples`` times this one.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is least squares.
    {common}

    Attributes
    ----------
    {fitted}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.verbose = verbose

    def _l1_ratio(self) -> Any:
        return 0.0


class _Sparse(_Single):
    """What scikit-learn's Lasso and ElasticNet have beyond Ridge."""

    precompute: Any
    max_iter: int
    copy_X: bool
    warm_start: bool
    selection: str

    def _check_compatible(self) -> None:
        checks.integer("max_iter", self.max_iter, 1)
        checks.choice("selection", self.selection, ("cyclic", "random"))


@documented
class ElasticNet(_Sparse):
    """Linear regression with an L1 and an L2 penalty.

    Minimises ``sum_i s_i (y_i - b - x_i'w)^2 / (2 sum_i s_i)
    + alpha (l1_ratio ||w||_1 + (1 - l1_ratio)/2 ||w||_2^2)``, as scikit-learn's class does.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is least squares.
    l1_ratio : float
        Share of the L1 penalty, in [0, 1].
    {common}
    {compatible}

    Attributes
    ----------
    {fitted}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        verbose: int | bool = 0,
        precompute: Any = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.verbose = verbose
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.warm_start = warm_start
        self.random_state = random_state
        self.selection = selection

    def _l1_ratio(self) -> Any:
        return self.l1_ratio


@documented
class Lasso(_Sparse):
    """Linear regression with an L1 penalty: most coefficients are exactly 0.

    Minimises ``sum_i s_i (y_i - b - x_i'w)^2 / (2 sum_i s_i) + alpha ||w||_1``, as scikit-learn's
    class does.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is least squares.
    {common}
    {compatible}

    Attributes
    ----------
    {fitted}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        verbose: int | bool = 0,
        precompute: Any = False,
        max_iter: int = 1000,
        copy_X: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        selection: str = "cyclic",
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.verbose = verbose
        self.precompute = precompute
        self.max_iter = max_iter
        self.copy_X = copy_X
        self.warm_start = warm_start
        self.random_state = random_state
        self.selection = selection

    def _l1_ratio(self) -> Any:
        return 1.0
