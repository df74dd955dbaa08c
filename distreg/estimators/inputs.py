"""From what a user passes to `fit` or `predict` to what the engine reads.

Arrays in memory are checked as scikit-learn does, except for NaN and infinity: the pass over the
data finds these itself, and names column and row. Nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from distreg.data.arrays import feature_names_of, from_arrays
from distreg.data.dataset import Dataset
from distreg.data.rows import as_float_vector
from distreg.estimators import checks
from distreg.estimators.labels import some
from distreg.exceptions import DataError, InputError

__all__ = ["Given", "as_dataset", "as_features", "as_offset", "is_dask", "target_name"]


@dataclass(frozen=True)
class Given:
    """What `fit` was given.

    Attributes
    ----------
    X, y, sample_weight : as in `fit`
    offset : (n,) array, Series, Dask collection or None
        Known part of the linear predictor.
    """

    X: Any
    y: Any
    sample_weight: Any = None
    offset: Any = None

    def target(self) -> np.ndarray | None:
        """Target as an array if it is in memory, else None."""
        y = self._column()
        return None if y is None or isinstance(y, str) or is_dask(y) else np.asarray(y).ravel()

    def target_type(self) -> Any:
        """NumPy type of the target's values, None if it has none."""
        y = self._column()
        if y is None or isinstance(y, str):
            return None
        return y.dtype if is_dask(y) else np.asarray(y).dtype

    def _column(self) -> Any:
        """Target, taken out of X where it is a column of it."""
        named = isinstance(self.y, str) and hasattr(self.X, "columns") and self.y in self.X.columns
        return self.X[self.y] if named else self.y


def is_dask(X: Any) -> bool:
    """Whether X is a Dask collection."""
    return hasattr(X, "__dask_graph__")


def is_table(X: Any) -> bool:
    """Whether X is a pandas DataFrame."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def target_name(y: Any) -> str | None:
    """Name of the target, where it has one."""
    name = y if isinstance(y, str) else getattr(y, "name", None)
    return name if isinstance(name, str) and not hasattr(y, "dask") else None


def as_dataset(
    estimator: Any,
    given: Given,
    missing: str,
    fold_key: Any = None,
    check_labels: Callable[[np.ndarray], None] | None = None,
) -> Dataset:
    """Build the data set, and set `n_features_in_` and `feature_names_in_` of the estimator.

    With `check_labels` the target holds labels; those in memory are checked by it.
    """
    X, y = given.X, given.y
    if isinstance(X, Dataset):
        return _check_dataset(estimator, given, missing, fold_key, check_labels is not None)
    if y is None:
        raise InputError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    weight = _constant_weight(given.sample_weight)
    if is_dask(X):
        _note_features(estimator, X, y)
    else:
        X, y, weight = _check_arrays(estimator, X, y, weight, check_labels)
    return from_arrays(
        X,
        y,
        sample_weight=weight,
        offset=given.offset,
        missing=missing,
        fold_key=fold_key,
        classes=check_labels is not None,
    )


def as_features(estimator: Any, X: Any) -> Any:
    """Check the features for a prediction."""
    if is_dask(X):
        width = X.shape[1] if X.ndim == 2 else None
        if not hasattr(X, "map_partitions") and width != estimator.n_features_in_:
            raise InputError(
                f"X has {width} features, but {type(estimator).__name__} is expecting "
                f"{estimator.n_features_in_} features as input."
            )
        return X
    if is_table(X):
        frame = validate_data(estimator, X, reset=False, skip_check_array=True)
        return frame.to_numpy() if _nameless(estimator) else frame
    return validate_data(
        estimator, X, reset=False, accept_sparse=True, dtype="numeric", ensure_all_finite=False
    )


def as_offset(offset: Any, exposure: Any) -> Any:
    """The offset: as given, or the logarithm of the exposure."""
    for name, value in (("offset", offset), ("exposure", exposure)):
        if isinstance(value, str):
            raise InputError(
                f"{name}={value!r} is text: give the values, such as X[{value!r}], and leave this "
                "column out of X"
            )
    if exposure is None:
        return offset
    if offset is not None:
        raise InputError(
            "offset and exposure are both given: exposure means offset=log(exposure); give one of "
            "them"
        )
    if hasattr(exposure, "map_partitions"):
        return exposure.map_partitions(_log_series, meta=(None, "float64"))
    if hasattr(exposure, "map_blocks"):
        return exposure.map_blocks(_log, dtype=np.float64, meta=np.empty(0))
    return _log(as_float_vector(exposure, "exposure"))


def _log(exposure: Any) -> np.ndarray:
    values = np.asarray(exposure, dtype=np.float64)
    good = (values > 0.0) & (values < np.inf)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"exposure must be positive and finite; {int((~good).sum())} of {values.size} values "
            f"are not, first {values[row]:g} at position {row}. Leave such rows out"
        )
    return np.log(values)


def _log_series(part: Any) -> Any:
    """Logarithms of a partition, with its index."""
    return part.__class__(_log(part), index=part.index)


def _nameless(estimator: Any) -> bool:
    """Whether the fit was on an array without names, so that columns are matched by position."""
    default = feature_names_of(None, estimator.n_features_in_)
    named = hasattr(estimator, "feature_names_in_")
    return not named and estimator.model_.feature_names == default


def _constant_weight(sample_weight: Any) -> Any:
    """Turn one number for all rows into None: a common factor changes nothing."""
    if isinstance(sample_weight, Real):
        checks.real("sample_weight", sample_weight, closed="neither")
        return None
    return sample_weight


def _check_dataset(
    estimator: Any, given: Given, missing: str, fold_key: Any, classes: bool
) -> Dataset:
    data: Dataset = given.X
    if any(part is not None for part in (given.y, given.sample_weight, given.offset, fold_key)):
        raise InputError(
            "y, sample_weight, offset and groups are part of a Dataset: name them when it is built"
        )
    if not data.has_y:
        raise InputError(f"data set {data.name!r} has no target: name it when the set is built")
    if classes != (data.classes is not None):
        what = "needs class labels" if classes else "needs numbers"
        held = "numbers" if classes else f"the labels {some(data.classes or ())}"
        raise InputError(
            f"{type(estimator).__name__} {what} as target, but data set {data.name!r} holds "
            f"{held}: build it with classes={classes}"
        )
    if missing != "error" and missing != data.missing:
        raise InputError(
            f"missing={missing!r}, but the data set was built with missing={data.missing!r}: "
            "give it when the set is built"
        )
    _name_features(estimator, data.n_features, data.columns and data.columns.names)
    return data


def _note_features(estimator: Any, X: Any, y: Any) -> None:
    """Features of a Dask collection."""
    if X.ndim != 2:
        raise InputError(f"Expected 2D array, got {X.ndim}D array instead: X needs 2 dimensions")
    names = None
    if hasattr(X, "columns"):
        names = [name for name in X.columns if not (isinstance(y, str) and name == y)]
    _name_features(estimator, int(X.shape[1]), names)


def _name_features(estimator: Any, n_features: int, names: Any) -> None:
    """Set `n_features_in_`, and `feature_names_in_` where there are names."""
    estimator.n_features_in_ = n_features if names is None else len(names)
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def _check_arrays(
    estimator: Any, X: Any, y: Any, weight: Any, check_labels: Callable[[np.ndarray], None] | None
) -> tuple[Any, Any, Any]:
    """Check arrays in memory: shapes, kinds of values, lengths."""
    if isinstance(y, str):
        if not is_table(X) or y not in X.columns:
            raise InputError(f"y={y!r}: X has no such column")
        X, y = X.drop(columns=y), X[y]
    if is_table(X):
        validate_data(estimator, X, skip_check_array=True)
        if X.shape[1] == 0 or X.shape[0] == 0:
            check_array(np.empty(X.shape), estimator=estimator)
    else:
        X = validate_data(
            estimator, X, accept_sparse=True, dtype="numeric", ensure_all_finite=False
        )
    if is_dask(y):
        return X, y, weight
    if sparse.issparse(y):
        raise InputError("y is sparse: a 1-D array is needed")
    y = column_or_1d(y, warn=True)
    if check_labels is None:
        y = check_array(
            y, ensure_2d=False, dtype="numeric", ensure_all_finite=False, input_name="y"
        )
    check_consistent_length(X, y)
    if check_labels is not None:
        check_labels(y)
    if weight is not None and not is_dask(weight):
        weight = _check_sample_weight(weight, X, dtype=np.float64, ensure_non_negative=True)
    return X, y, weight
