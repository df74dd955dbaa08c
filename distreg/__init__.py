"""Cross-validated L1, L2 and Elastic Net regression on Dask that counts its passes over the data.

Names are imported when they are first used, so that ``import distreg`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "Dataset",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "HuberRegressorCV",
    "Lasso",
    "LassoCV",
    "LinearModel",
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
    "__version__",
    "cross_validate",
    "from_arrays",
    "read_dataset",
]

_HOME = {
    "Dataset": "distreg.data.dataset",
    "ElasticNet": "distreg.estimators",
    "ElasticNetCV": "distreg.estimators",
    "HuberRegressor": "distreg.estimators",
    "HuberRegressorCV": "distreg.estimators",
    "Lasso": "distreg.estimators",
    "LassoCV": "distreg.estimators",
    "LinearModel": "distreg.model",
    "LinearSVC": "distreg.estimators",
    "LinearSVCCV": "distreg.estimators",
    "LogisticRegression": "distreg.estimators",
    "LogisticRegressionCV": "distreg.estimators",
    "PoissonRegressor": "distreg.estimators",
    "PoissonRegressorCV": "distreg.estimators",
    "QuantileRegressor": "distreg.estimators",
    "QuantileRegressorCV": "distreg.estimators",
    "Ridge": "distreg.estimators",
    "RidgeCV": "distreg.estimators",
    "StabilitySelection": "distreg.estimators",
    "cross_validate": "distreg.cv",
    "from_arrays": "distreg.data.arrays",
    "read_dataset": "distreg.data.files",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'distreg' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(set(globals()) | set(__all__))
