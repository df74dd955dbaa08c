"""LogisticRegression and LogisticRegressionCV: two classes or several."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from distreg.data.dataset import Dataset
from distreg.estimators.classifier import Classifier, ClassifierSearch
from distreg.estimators.docs import documented
from distreg.estimators.inputs import as_features
from distreg.estimators.single import Single
from distreg.modelinput import by_row

__all__ = ["LogisticRegression", "LogisticRegressionCV"]


class _Logistic(Classifier):
    """Logistic loss of two classes, multinomial loss of several."""

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples, n_classes) array
            In the order of `classes_`. A lazy Dask array for a Dask collection.
        """
        check_is_fitted(self)
        return self.model_.predict_proba(as_features(self, X))

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities, which do not vanish where these do.

        Parameters
        ----------
        X : as in `predict_proba`

        Returns
        -------
        (n_samples, n_classes) array
        """
        return by_row(_log_proba, self.decision_function(X), np.float64, self.classes_.size)

    def _loss(self, dataset: Dataset) -> str:
        return "logistic" if len(dataset.classes or ()) == 2 else "multinomial"


@documented
class LogisticRegression(Single, _Logistic):
    """Logistic regression of two classes, multinomial regression of several.

    Minimises ``sum_i s_i f(y_i, b + x_i'w) / sum_i s_i + alpha (l1_ratio ||w||_1 + (1 - l1_ratio)/2
    ||w||_2^2)`` with the weights s of the rows and f = -log of the probability of the row's class:
    ``1 / (1 + exp(-b - x'w))`` for the second of two classes. Several classes have an intercept and
    coefficients each, and the softmax of ``b_c + x'w_c`` as probabilities. scikit-learn has the sum
    of the losses in the place of the mean: its ``C`` is ``1 / (n_samples alpha)``.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is none.
    l1_ratio : float
        Share of the L1 penalty: 0 is L2 (the default, as in scikit-learn), 1 is L1.
    {class_weight}
    {common_glm}

    Attributes
    ----------
    {fitted_classes}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.0,
        class_weight: Any = None,
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
        self.class_weight = class_weight
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
class LogisticRegressionCV(ClassifierSearch, _Logistic):
    """Logistic regression whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `LogisticRegression`; the held-out error is the mean deviance.

    Parameters
    ----------
    l1_ratio : float or sequence of float
        Share of the L1 penalty, one value or several to choose from.
    {grid_classes}
    {class_weight}
    {common_glm}

    Attributes
    ----------
    {fitted_classes}
    {path_classes}
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
        class_weight: Any = None,
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
        self.class_weight = class_weight
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


def _log_proba(decision: np.ndarray) -> np.ndarray:
    """Log-probabilities, (n, n_classes); NaN where there is no decision."""
    if decision.ndim == 1:
        with np.errstate(invalid="ignore"):
            return np.asarray(-np.logaddexp(0.0, np.stack([decision, -decision], axis=1)))
    shifted = decision - decision.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
