"""PoissonRegressor and PoissonRegressorCV: counts, with exposures."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from distreg.data.dataset import Dataset
from distreg.estimators.base import Estimator
from distreg.estimators.docs import documented
from distreg.estimators.inputs import Given, as_features, as_offset
from distreg.estimators.scoring import deviance_explained
from distreg.estimators.search import CrossValidated
from distreg.estimators.single import Single

__all__ = ["PoissonRegressor", "PoissonRegressorCV"]


class _Poisson(RegressorMixin, Estimator):
    """Poisson loss: ``log E[y] = b + x'w + offset``."""

    def predict(self, X: Any, offset: Any = None, exposure: Any = None) -> Any:
        """Expected counts.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection
        offset, exposure : (n_samples,) array, Series or Dask collection, optional
            As in `fit`; without them the exposure is 1.

        Returns
        -------
        (n_samples,) array
            A lazy Dask array for a Dask collection, else a NumPy array.
        """
        check_is_fitted(self)
        return self.model_.predict(as_features(self, X), offset=as_offset(offset, exposure))

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> float:
        """D2, the share of the deviance that is explained.

        Parameters
        ----------
        X : as in `predict`
        y : (n_samples,) array, Series, or Dask collection
        sample_weight : (n_samples,) array or None
        offset, exposure : as in `predict`

        Returns
        -------
        float
            At most 1; 0 for a model that predicts the mean, or with exposures one rate.
        """
        known = as_offset(offset, exposure)
        fitted = self.predict(X, offset=known)
        return deviance_explained(fitted, y, sample_weight, known)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def _loss(self, dataset: Dataset) -> str:
        return "poisson"


@documented
class PoissonRegressor(Single, _Poisson):
    """Poisson regression of counts, or of rates with exposures.

    Minimises ``sum_i s_i (exp(eta_i) - y_i eta_i) / sum_i s_i + alpha (l1_ratio ||w||_1 +
    (1 - l1_ratio)/2 ||w||_2^2)`` with ``eta_i = b + x_i'w + offset_i`` and the weights s of the
    rows, as scikit-learn's class does for L2 and without an offset.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is none.
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

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, Dask collection, or Dataset
            Never copied as a whole and never changed.
        y : (n_samples,) array, Series or Dask collection, or the name of a column of X
            Counts, or any numbers that are not negative. Left out when X is a Dataset.
        sample_weight : float or (n_samples,) array, optional
            Weights of the rows; a weight of 0 is as good as no row.
        offset : (n_samples,) array, Series or Dask collection, optional
            Known part of the linear predictor.
        exposure : (n_samples,) array, Series or Dask collection, optional
            Time or population that a count belongs to, above 0: an offset of log(exposure).

        Returns
        -------
        self
        """
        return self._fit_one(Given(X, y, sample_weight, as_offset(offset, exposure)))


@documented
class PoissonRegressorCV(CrossValidated, _Poisson):
    """Poisson regression whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `PoissonRegressor`; the held-out error is the mean deviance.

    Parameters
    ----------
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

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        offset: Any = None,
        exposure: Any = None,
    ) -> Self:
        """Fit all folds, l1_ratios and alphas in the same passes over the data, and choose.

        Parameters
        ----------
        X, y, sample_weight, offset, exposure : as in `PoissonRegressor.fit`
        groups : (n_samples,) array, optional
            For a `cv` that keeps groups together.

        Returns
        -------
        self
        """
        return self._fit_grid(Given(X, y, sample_weight, as_offset(offset, exposure)), groups)
