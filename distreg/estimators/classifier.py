"""What the classifiers share: labels, weights of classes, decisions, accuracy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted

from distreg.data.dataset import Dataset
from distreg.estimators import checks
from distreg.estimators.base import Estimator
from distreg.estimators.inputs import Given, as_dataset, as_features
from distreg.estimators.labels import check_labels, class_array, distinct, label_codes, lazy_codes
from distreg.estimators.scoring import accuracy
from distreg.estimators.search import CrossValidated
from distreg.estimators.weights import check_class_weight, class_factors, with_class_weights
from distreg.exceptions import InputError
from distreg.modelinput import by_row
from distreg.passes import PassRunner

__all__ = ["Classifier", "ClassifierSearch"]


class Classifier(ClassifierMixin, Estimator):
    """Linear classifier: labels in, labels out."""

    class_weight: Any
    classes_: np.ndarray

    _BINARY = False

    def decision_function(self, X: Any) -> Any:
        """Linear predictor.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples,) or (n_samples, n_classes) array
            Above 0 for the second of two classes, largest for the class predicted of several. A
            lazy Dask array for a Dask collection.
        """
        check_is_fitted(self)
        return self.model_.linear_predictor(as_features(self, X))

    def predict(self, X: Any) -> Any:
        """Predict labels.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples,) array
            A lazy Dask array for a Dask collection, else a NumPy array. With ``missing="drop"`` a
            row with a missing value has NaN among floats, else None among Python objects.
        """
        decision, labels = self.decision_function(X), self.classes_
        columns = self.model_.columns
        if columns is not None and columns.missing == "drop" and labels.dtype.kind != "f":
            labels = labels.astype(object)
        return by_row(partial(_labels, labels=labels), decision, labels.dtype)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy: the weighted share of rows whose label is predicted.

        Parameters
        ----------
        X : as in `predict`
        y : (n_samples,) array, Series, or Dask collection
        sample_weight : (n_samples,) array or None

        Returns
        -------
        float
            Between 0 and 1.
        """
        codes = by_row(_codes, self.decision_function(X), np.float64)
        return accuracy(codes, lazy_codes(y, self.classes_.tolist()), sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = not self._BINARY
        return tags

    def _check_compatible(self) -> None:
        check_class_weight(self.class_weight)

    def _dataset(self, given: Given, fold_key: Any) -> Dataset:
        def check(target: np.ndarray) -> None:
            check_labels(distinct(target), self._BINARY, type(self).__name__)

        dataset = as_dataset(self, given, self.missing, fold_key, check)
        classes = dataset.classes or ()
        check_labels(classes, self._BINARY, type(self).__name__)
        self.classes_ = class_array(classes, given.target_type())
        return dataset

    def _weighted(self, dataset: Dataset, runner: PassRunner) -> Dataset:
        factors = class_factors(self.class_weight, dataset.classes or (), dataset, runner)
        return dataset if factors is None else with_class_weights(dataset, factors)

    def _store_coef(self, coef: np.ndarray, intercept: Any) -> None:
        self.coef_ = np.atleast_2d(coef)
        self.intercept_ = np.array(intercept, dtype=np.float64, ndmin=1)


class ClassifierSearch(CrossValidated, Classifier):
    """Cross-validated classifier: a number of folds makes stratified ones."""

    def _splitter(self, dataset: Dataset, target: np.ndarray | None, seed: int | None) -> Any:
        cv = super()._splitter(dataset, target, seed)
        n_folds = 5 if cv is None else cv
        if target is None or not checks.is_count(n_folds) or n_folds < 2:
            return cv
        codes = label_codes(target, dataset.classes or ()).astype(np.int64)
        largest = int(np.bincount(codes).max())
        if largest < n_folds:
            raise InputError(
                f"cv={n_folds}, but the largest class has {largest} rows, so that no fold could "
                "hold the classes in proportion: use fewer folds, or a splitter such as KFold"
            )
        splitter = StratifiedKFold(int(n_folds), shuffle=seed is not None, random_state=seed)
        return splitter.split(codes, codes)


def _codes(decision: np.ndarray) -> np.ndarray:
    """Classes predicted, (n,) floats; NaN where there is no prediction."""
    several = decision.ndim == 2
    codes = decision.argmax(axis=1) if several else decision > 0
    nothing = np.isnan(decision).any(axis=1) if several else np.isnan(decision)
    return np.where(nothing, np.nan, codes.astype(np.float64))


def _labels(decision: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels predicted, (n,); NaN among floats, else None, where there is no prediction."""
    codes = _codes(decision)
    nothing = np.isnan(codes)
    found = labels.take(np.where(nothing, 0, codes).astype(np.intp))
    if nothing.any():
        found[nothing] = np.nan if labels.dtype.kind == "f" else None
    return found
