"""Ridge, Lasso and ElasticNet at one alpha."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from distreg.data.dataset import Dataset
from distreg.estimators import checks
from distreg.estimators.base import Estimator
from distreg.estimators.docs import documented
from distreg.estimators.inputs import Given, as_features, is_dask
from distreg.estimators.scoring import lazy_r2
from distreg.estimators.single import Single

__all__ = ["BaseLinear", "ElasticNet", "Lasso", "Regression", "Ridge"]


class Regression(RegressorMixin, Estimator):
    """Linear model of a real target."""

    def predict(self, X: Any) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples,) array
            A lazy Dask array for a Dask collection, else a NumPy array.
        """
        check_is_fitted(self)
        return self.model_.predict(as_features(self, X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R2 of the predictions.

        Parameters
        ----------
        X : as in `predict`
        y : (n_samples,) array, Series, or Dask collection
        sample_weight : (n_samples,) array or None

        Returns
        -------
        float
            At most 1; 0 for a model that predicts the mean.
        """
        fitted = self.predict(X)
        if is_dask(fitted):
            return lazy_r2(fitted, y, sample_weight)
        return float(r2_score(y, fitted, sample_weight=sample_weight))


class BaseLinear(Regression):
    """Linear model with squared loss."""

    _SOLVERS = ("auto", "gram", "admm", "consensus")

    def _loss(self, dataset: Dataset) -> str:
        return "squared"


class _Single(Single, BaseLinear):
    """One alpha, squared loss."""

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
        return self._fit_one(Given(X, y, sample_weight))


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
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
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
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
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
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
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
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
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
