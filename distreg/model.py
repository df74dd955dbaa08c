"""A fitted linear model: coefficients with the columns they belong to. Predicts, saves, loads.

On disk a model is a folder of two files that hold no code: ``model.json`` (format version, schema
by name, how it was chosen) and ``coef.npz`` (the numbers, read without pickle).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distreg import modelfile
from distreg.data.columns import Columns
from distreg.data.dask_rows import rows_like
from distreg.data.rows import as_float_vector
from distreg.data.vectors import Level
from distreg.exceptions import InputError
from distreg.kernels.predictor import linear_predictor
from distreg.losses import get_loss
from distreg.modelinput import FeatureReader, by_row, with_offset

__all__ = ["LinearModel"]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear model on the scale of the data.

    Attributes
    ----------
    coef : (n_features,) float64 array, (n_classes, n_features) for the multinomial loss
        Coefficients: numeric features first, then one-hot ones.
    intercept : float, (n_classes,) array for the multinomial loss
        Intercept.
    feature_names : tuple of str
        One name for each feature.
    columns : Columns or None
        How a table becomes features; None for a model fitted on a plain array.
    loss : str
        The loss it minimises.
    alpha, l1_ratio : float or None
        Penalty strength and share of the L1 penalty.
    target : str or None
        Name of the target column.
    fill : (n_features,) array or None
        Means that replace missing values, for a model without `columns`.
    info : mapping
        How it was fitted (n_samples, dual_gap, versions, ...); anything JSON can hold.
    loss_parameter : float or None
        delta of the Huber loss, the quantile of the quantile loss; None for other losses.
    classes : tuple or None
        Labels of a target of classes (text, int, float or bool) in the order of their codes; None
        for other targets.
    """

    coef: np.ndarray
    intercept: Any
    feature_names: tuple[str, ...]
    columns: Columns | None = None
    loss: str = "squared"
    alpha: float | None = None
    l1_ratio: float | None = None
    target: str | None = None
    fill: np.ndarray | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[Level, ...] | None = None
    loss_parameter: float | None = None

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.feature_names)
        classes = _checked_classes(self.loss, self.classes)
        loss = get_loss(self.loss, self.loss_parameter)
        several = loss.target == "classes"
        coef = np.ascontiguousarray(self.coef, dtype=np.float64)
        intercept = np.array(self.intercept, dtype=np.float64)
        fill = None if self.fill is None else np.ascontiguousarray(self.fill, dtype=np.float64)
        n_classes = len(classes or ())
        shape = (n_classes,) if several else ()
        fits = coef.shape == (*shape, len(names)) and intercept.shape == shape
        if not fits or (fill is not None and fill.shape != (len(names),)):
            each = f" of each of {n_classes} classes" if several else ""
            raise InputError(
                f"A model needs one coefficient{each} (and one fill value) for each of its "
                f"{len(names)} feature names; coef has shape {coef.shape}, "
                f"intercept {intercept.shape}"
                + (f", fill {fill.shape}." if fill is not None else ".")
            )
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise InputError("A model's coefficients and intercept must be finite numbers.")
        checked: dict[str, Any] = {"coef": coef, "feature_names": names, "fill": fill}
        checked["classes"] = classes
        checked["loss_parameter"] = loss.parameter if loss.parameter_name else None
        checked["intercept"] = intercept if several else float(intercept)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def n_nonzero(self) -> int:
        """Number of coefficients that are not zero, of all classes together."""
        return int(np.count_nonzero(self.coef))

    @property
    def has_probabilities(self) -> bool:
        """Whether there is `predict_proba`."""
        return self.loss in ("logistic", "multinomial")

    @property
    def label_dtype(self) -> np.dtype[Any] | None:
        """Type of predicted labels; None without classes."""
        if self.classes is None:
            return None
        kinds = {type(label) for label in self.classes}
        if kinds == {float}:
            return np.dtype(np.float64)
        drops = self.columns is not None and self.columns.missing == "drop"
        found = np.array(self.classes).dtype
        # integers that no type of NumPy holds would become floats
        return np.dtype(object) if drops or len(kinds) > 1 or found.kind == "f" else found

    def linear_predictor(self, X: Any, offset: Any = None) -> Any:
        """``X coef + intercept + offset``.

        Parameters
        ----------
        X : array, sparse matrix, table, or a Dask array or DataFrame of them
            Tables (pandas, pyarrow, Dask) are matched by column name, whatever their order; other
            columns are ignored. Arrays are matched by position.
        offset : (n,) array, Series or Dask collection, optional
            Known part of the linear predictor, for a model that was fitted with one.

        Returns
        -------
        (n,) float64 array, (n, n_classes) for the multinomial loss
            A lazy Dask array when X is a Dask collection. A row has the same bits whatever the
            chunks, the memory order and the storage. A row with a missing value is NaN when the
            model was fitted with ``missing="drop"``.
        """
        n_classes = self.coef.shape[0] if self.coef.ndim == 2 else 0
        if hasattr(X, "map_partitions"):
            meta = (None, "float64")
            if n_classes:
                meta = X._meta.__class__(np.empty((0, n_classes)))
            eta = X.map_partitions(_eta_partition, self, meta=meta).values
        elif hasattr(X, "map_blocks"):
            self._reader.check_width(X.shape)
            whole = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
            eta = by_row(self._eta, whole, np.float64, n_classes)
        else:
            eta = self._eta(X)
            known = None if offset is None else as_float_vector(offset, "offset", len(eta))
            return eta if known is None else with_offset(eta, known)
        if offset is None:
            return eta
        known = rows_like(offset, eta, "offset")
        return eta.map_blocks(
            with_offset, known[:, None] if n_classes else known, dtype=eta.dtype, meta=eta._meta
        )

    def predict(self, X: Any, offset: Any = None) -> Any:
        """Predict the target: a number, the expected count, or the label of a class.

        Parameters
        ----------
        X, offset : as of `linear_predictor`

        Returns
        -------
        (n,) array
            Numbers are float64. Labels have the type that NumPy has for them; where a row has no
            prediction (one with a missing value, when the model was fitted with
            ``missing="drop"``) it is NaN, and None for labels that are no floats: their array then
            holds Python objects, as that of such a model always does. A lazy Dask array when X is a
            Dask collection, with the same bits.
        """
        return self.response(self.linear_predictor(X, offset))

    def response(self, eta: Any) -> Any:
        """What linear predictors predict: `predict` is this of `linear_predictor`."""
        if self.loss == "squared":
            return eta
        if self.label_dtype is None:
            return by_row(self._mean, eta, np.float64)
        return by_row(self._labels, eta, self.label_dtype)

    def predict_proba(self, X: Any, offset: Any = None) -> Any:
        """Probabilities of the classes, for the losses logistic and multinomial.

        Parameters
        ----------
        X, offset : as of `linear_predictor`

        Returns
        -------
        (n, n_classes) float64 array
            In the order of `classes`; NaN for a row without a prediction. A lazy Dask array when X
            is a Dask collection, with the same bits.
        """
        return self.probabilities(self.linear_predictor(X, offset))

    def probabilities(self, eta: Any) -> Any:
        """Probabilities of linear predictors: `predict_proba` is this of `linear_predictor`."""
        if not self.has_probabilities:
            raise InputError(
                f"predict_proba: a model with loss {self.loss} has no probabilities, only those "
                "with loss logistic or multinomial have. Use predict or linear_predictor."
            )
        return by_row(self._probabilities, eta, np.float64, len(self.classes or ()))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to the folder `path`, all of it or nothing; a model there is replaced."""
        arrays = {"coef": self.coef} | ({} if self.fill is None else {"fill": self.fill})
        return modelfile.write(Path(path), self._document(), arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearModel:
        """Read a model written by `save`. Never runs code from the files."""
        folder = Path(path)
        document = modelfile.read_document(folder)
        try:
            names = tuple(modelfile.texts(document["feature_names"]))
            # the first format knows the squared loss only
            classes = document["classes"] if document["format"] > 1 else None
            labels = None if classes is None else modelfile.labels(classes)
            several = isinstance(document["intercept"], list)
            shape = (len(labels or ()), len(names)) if several else (len(names),)
            arrays = modelfile.read_arrays(folder, shape)
            columns = document["columns"]
            return cls(
                coef=arrays["coef"],
                intercept=modelfile.numbers(document["intercept"]),
                feature_names=names,
                columns=None if columns is None else Columns.from_dict(columns),
                loss=str(document["loss"]),
                alpha=modelfile.optional_number(document["alpha"]),
                l1_ratio=modelfile.optional_number(document["l1_ratio"]),
                target=document["target"],
                fill=arrays.get("fill"),
                info=dict(document["info"]),
                classes=labels,
                loss_parameter=modelfile.optional_number(document.get("loss_parameter")),
            )
        except Exception as error:
            # anyone may have written the files: whatever fails in them is damage
            raise InputError(
                f"The model in {folder} is damaged ({type(error).__name__}: {error}). "
                "Restore it from a copy, or fit it again."
            ) from error

    def _document(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON. Floats survive the round trip to the bit."""
        several = isinstance(self.intercept, np.ndarray)
        document = {
            "format": 1,
            "loss": self.loss,
            "alpha": self.alpha,
            "l1_ratio": self.l1_ratio,
            "target": self.target,
            "intercept": self.intercept.tolist() if several else self.intercept,
            "feature_names": list(self.feature_names),
            "columns": None if self.columns is None else self.columns.to_dict(),
            "info": modelfile.json_safe(self.info),
        }
        if self.loss == "squared":
            return document
        if self.loss_parameter is not None:
            document["loss_parameter"] = self.loss_parameter
        return document | {"format": 2, "classes": self.classes and list(self.classes)}

    @property
    def _reader(self) -> FeatureReader:
        return FeatureReader(self.feature_names, self.columns, self.fill)

    def _eta(self, X: Any) -> np.ndarray:
        """Linear predictor without offset, of data in memory."""
        dense, sparse, incomplete = self._reader.read(X)
        if self.coef.ndim == 1:
            eta = linear_predictor(dense, sparse, self.coef, self.intercept)
        else:
            eta = np.empty((dense.shape[0], len(self.coef)))
            for c, coef in enumerate(self.coef):
                eta[:, c] = linear_predictor(dense, sparse, coef, self.intercept[c])
        if incomplete is not None:
            eta[incomplete] = np.nan
        return eta

    def _mean(self, eta: np.ndarray) -> np.ndarray:
        """What linear predictors mean."""
        # infinite ones, of features near the largest float, have no mean
        with np.errstate(invalid="ignore"):
            return np.asarray(get_loss(self.loss).mean(np.ascontiguousarray(eta)))

    def _probabilities(self, eta: np.ndarray) -> np.ndarray:
        if eta.ndim == 2:
            return self._mean(eta)
        # not 1 - p, which has no digits left where p is almost 1
        return np.column_stack([self._mean(-eta), self._mean(eta)])

    def _labels(self, eta: np.ndarray) -> np.ndarray:
        """Labels of the classes that linear predictors speak for."""
        several = eta.ndim == 2
        codes = eta.argmax(axis=1) if several else (eta > 0.0).astype(np.intp)
        nothing = np.isnan(eta).any(axis=1) if several else np.isnan(eta)
        dtype = self.label_dtype or np.dtype(object)
        if nothing.any() and dtype.kind != "f":
            dtype = np.dtype(object)
        classes = np.empty(len(self.classes or ()), dtype=dtype)
        classes[:] = self.classes
        labels: np.ndarray = classes[codes]
        if nothing.any():
            labels[nothing] = np.nan if dtype.kind == "f" else None
        return labels


def _checked_classes(loss: str, classes: Any) -> tuple[Level, ...] | None:
    """Labels as Python values, if they fit the loss."""
    needed = {"binary": "2 classes", "classes": "2 or more classes"}.get(get_loss(loss).target)
    if classes is None and needed is None:
        return None
    found = tuple(c.item() if isinstance(c, np.generic) else c for c in classes or ())
    distinct = len(set(found)) == len(found)
    enough = len(found) == 2 if needed == "2 classes" else len(found) >= 2
    known = all(isinstance(c, (str, int, float)) and c == c for c in found)
    if needed is None or not (distinct and enough and known):
        raise InputError(
            f"A model with loss {loss} has {needed or 'no classes'}, of different labels that are "
            f"text, numbers or bool; {len(found)} were given: {list(found[:5])}."
        )
    return found


def _eta_partition(frame: Any, model: LinearModel) -> Any:
    """Linear predictors for one partition of a Dask DataFrame."""
    eta = model.linear_predictor(frame)
    if eta.ndim == 2:
        return frame.__class__(eta, index=frame.index)
    return frame.iloc[:, :0].assign(eta=eta)["eta"]
