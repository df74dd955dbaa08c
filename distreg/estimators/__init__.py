"""Estimators with the face of scikit-learn: NumPy, pandas, SciPy sparse, Dask or a `Dataset` in."""

from __future__ import annotations

from distreg.estimators.convergence import ConvergenceWarning
from distreg.estimators.huber import HuberRegressor, HuberRegressorCV
from distreg.estimators.linear import ElasticNet, Lasso, Ridge
from distreg.estimators.linear_cv import ElasticNetCV, LassoCV, RidgeCV
from distreg.estimators.logistic import LogisticRegression, LogisticRegressionCV
from distreg.estimators.poisson import PoissonRegressor, PoissonRegressorCV
from distreg.estimators.quantile import QuantileRegressor, QuantileRegressorCV
from distreg.estimators.stability import StabilitySelection
from distreg.estimators.svc import LinearSVC, LinearSVCCV

__all__ = [
    "ConvergenceWarning",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "HuberRegressorCV",
    "Lasso",
    "LassoCV",
    "LinearSVC",
    "LinearSVCCV",
    "LogisticRegression",
    "LogisticRegressionCV",
    "PoissonRegressor",
    "PoissonRegressorCV",
    "QuantileRegressor",
    "QuantileRegressorCV",
    "Ridge",
    "RidgeCV",
    "StabilitySelection",
]
