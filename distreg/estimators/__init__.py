"""Estimators with the face of scikit-learn: NumPy, pandas, SciPy sparse, Dask or a `Dataset` in."""

from __future__ import annotations

from distreg.estimators.convergence import ConvergenceWarning
from distreg.estimators.linear import ElasticNet, Lasso, Ridge
from distreg.estimators.linear_cv import ElasticNetCV, LassoCV, RidgeCV

__all__ = [
    "ConvergenceWarning",
    "ElasticNet",
    "ElasticNetCV",
    "Lasso",
    "LassoCV",
    "Ridge",
    "RidgeCV",
]
