"""What the estimators with a given alpha share."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from distreg.estimators import checks
from distreg.estimators.base import Estimator
from distreg.estimators.inputs import Given

__all__ = ["Single"]


class Single(Estimator):
    """One alpha."""

    alpha: float
    l1_ratio: Any

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, Dask collection, or Dataset
            Never copied as a whole and never changed.
        y : (n_samples,) array, Series or Dask collection, or the name of a column of X
            Left out when X is a Dataset.
        sample_weight : float or (n_samples,) array, optional
            Weights of the rows; a weight of 0 is as good as no row.

        Returns
        -------
        self
        """
        return self._fit_one(Given(X, y, sample_weight))

    def _l1_ratio(self) -> Any:
        """One l1_ratio or several."""
        return self.l1_ratio

    def _fit_one(self, given: Given) -> Self:
        """Check the keywords and fit. Called by `fit` (for `warn_of`)."""
        self._check_common()
        self._check_compatible()
        options = {
            "l1_ratios": checks.ratios(self._l1_ratio()),
            "alphas": np.array([checks.real("alpha", self.alpha)]),
        }
        return self._store(self._run(given, options), 0, 0)
