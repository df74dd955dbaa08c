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
from scipy import sparse as sp

from distreg import modelfile
from distreg.data.columns import Columns
from distreg.exceptions import DataError, InputError
from distreg.kernels.predictor import linear_predictor

__all__ = ["LinearModel"]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear model on the scale of the data.

    Attributes
    ----------
    coef : (n_features,) float64 array
        Coefficients: numeric features first, then one-hot ones.
    intercept : float
        Intercept.
    feature_names : tuple of str
        One name for each coefficient.
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
    """

    coef: np.ndarray
    intercept: float
    feature_names: tuple[str, ...]
    columns: Columns | None = None
    loss: str = "squared"
    alpha: float | None = None
    l1_ratio: float | None = None
    target: str | None = None
    fill: np.ndarray | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        coef = np.ascontiguousarray(self.coef, dtype=np.float64)
        names = tuple(str(name) for name in self.feature_names)
        fill = None if self.fill is None else np.ascontiguousarray(self.fill, dtype=np.float64)
        if coef.shape != (len(names),) or (fill is not None and fill.shape != coef.shape):
            raise InputError(
                f"A model needs one coefficient (and one fill value) for each of its "
                f"{len(names)} feature names; coef has shape {coef.shape}"
                + (f", fill {fill.shape}." if fill is not None else ".")
            )
        if not (np.isfinite(coef).all() and np.isfinite(self.intercept)):
            raise InputError("A model's coefficients and intercept must be finite numbers.")
        for name, value in (("coef", coef), ("feature_names", names), ("fill", fill)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "intercept", float(self.intercept))

    @property
    def n_features(self) -> int:
        """Number of coefficients."""
        return len(self.feature_names)

    @property
    def n_nonzero(self) -> int:
        """Number of coefficients that are not zero."""
        return int(np.count_nonzero(self.coef))

    def predict(self, X: Any) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : array, sparse matrix, table, or a Dask array or DataFrame of them
            Tables (pandas, pyarrow, Dask) are matched by column name, whatever their order; other
            columns are ignored. Arrays are matched by position.

        Returns
        -------
        (n,) float64 array
            A lazy Dask array when X is a Dask collection. A row has the same bits whatever the
            chunks, the memory order and the storage. A row with a missing value is NaN when the
            model was fitted with ``missing="drop"``.
        """
        if hasattr(X, "map_partitions"):
            return X.map_partitions(_predict_partition, self, meta=(None, "float64")).values
        if hasattr(X, "map_blocks"):
            self._check_width(X.shape)
            whole = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
            return whole.map_blocks(
                self.predict, drop_axis=1, dtype=np.float64, meta=np.empty(0, dtype=np.float64)
            )
        dense, sparse, incomplete = self._features(X)
        eta = linear_predictor(dense, sparse, self.coef, self.intercept)
        if incomplete is not None:
            eta[incomplete] = np.nan
        return eta

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
            arrays = modelfile.read_arrays(folder, len(names))
            columns = document["columns"]
            return cls(
                coef=arrays["coef"],
                intercept=modelfile.number(document["intercept"]),
                feature_names=names,
                columns=None if columns is None else Columns.from_dict(columns),
                loss=str(document["loss"]),
                alpha=modelfile.optional_number(document["alpha"]),
                l1_ratio=modelfile.optional_number(document["l1_ratio"]),
                target=document["target"],
                fill=arrays.get("fill"),
                info=dict(document["info"]),
            )
        except Exception as error:
            # anyone may have written the files: whatever fails in them is damage
            raise InputError(
                f"The model in {folder} is damaged ({type(error).__name__}: {error}). "
                "Restore it from a copy, or fit it again."
            ) from error

    def _document(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON. Floats survive the round trip to the bit."""
        return {
            "loss": self.loss,
            "alpha": self.alpha,
            "l1_ratio": self.l1_ratio,
            "target": self.target,
            "intercept": self.intercept,
            "feature_names": list(self.feature_names),
            "columns": None if self.columns is None else self.columns.to_dict(),
            "info": modelfile.json_safe(self.info),
        }

    def _features(self, X: Any) -> tuple[np.ndarray, sp.csr_array | None, np.ndarray | None]:
        """Dense and sparse features of X, and which rows are to be NaN."""
        is_table = hasattr(X, "column_names") or hasattr(X, "iloc")
        if is_table and self.columns is not None:
            encoded = self.columns.encode(X)
            return self._filled(encoded.dense), encoded.sparse, encoded.incomplete
        if is_table:
            X = self._select(X)
        if sp.issparse(X):
            self._check_width(X.shape)
            return np.empty((X.shape[0], 0)), self._canonical(X), None
        array = np.asarray(X)
        self._check_width(array.shape)
        if array.dtype != np.float32:
            try:
                if array.dtype.kind not in "biufO":
                    raise TypeError("only numbers can be used")
                array = array.astype(np.float64, copy=False)
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"X holds values of type {array.dtype} that are not numbers ({error}). "
                    "Give numbers, or fit on a table with its categorical columns declared."
                ) from error
        dense = self._filled(array)
        drops = self.columns is not None and self.columns.missing == "drop"
        return dense, None, np.isnan(dense).any(axis=1) if drops else None

    def _select(self, table: Any) -> np.ndarray:
        """Columns of a table for a model fitted on a plain array: by name, or all in order."""
        frame = table.to_pandas() if hasattr(table, "column_names") else table
        labels = [str(label) for label in frame.columns]
        missing = [name for name in self.feature_names if name not in labels]
        positional = len(missing) == self.n_features == len(labels) and labels == [
            str(i) for i in range(len(labels))
        ]
        if missing and not positional:
            shown = ", ".join(repr(name) for name in missing[:10])
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise InputError(f"X lacks {len(missing)} of the model's columns: {shown}{more}.")
        if not positional:
            frame = frame.set_axis(labels, axis=1)[list(self.feature_names)]
        return np.asarray(frame.to_numpy())

    def _canonical(self, X: Any) -> sp.csr_array:
        """CSR with float64 (or float32) values and sorted, unique indices; X is left alone."""
        rows = sp.csr_array(X)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        if rows.dtype not in (np.float64, np.float32):
            rows = rows.astype(np.float64)
        if not np.isfinite(rows.data).all():
            at = int(np.flatnonzero(~np.isfinite(rows.data))[0])
            row = int(np.searchsorted(rows.indptr, at, side="right")) - 1
            raise self._not_finite(row, int(rows.indices[at]), float(rows.data[at]))
        return rows

    def _filled(self, dense: np.ndarray) -> np.ndarray:
        """Replace missing values of the numeric features by their means, or refuse them."""
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(dense.sum()):
                return dense
        missing = np.isnan(dense)
        fill, policy = self.fill, "error"
        if self.columns is not None:
            policy = self.columns.missing
            fill = None if self.columns.fill is None else np.asarray(self.columns.fill)
        bad = ~np.isfinite(dense)
        if fill is not None or policy == "drop":
            bad &= ~missing
        if bad.any():
            row, feature = (int(v) for v in np.argwhere(bad)[0])
            raise self._not_finite(row, feature, float(dense[row, feature]))
        return dense if fill is None else np.where(missing, fill[: dense.shape[1]], dense)

    def _not_finite(self, row: int, feature: int, value: float) -> DataError:
        what = "a missing value (NaN)" if np.isnan(value) else f"{value}"
        return DataError(
            f"X has {what} in column {self.feature_names[feature]!r}, row {row}. Remove such "
            "rows or fill them; a model fitted with missing='mean' fills them itself."
        )

    def _check_width(self, shape: tuple[Any, ...]) -> None:
        if len(shape) != 2:
            raise InputError(f"X must have two dimensions (rows, features); it has {len(shape)}.")
        if self.columns is not None and self.columns.categorical:
            raise InputError(
                "This model has categorical columns "
                f"({', '.join(self.columns.categorical[:10])}): give a table with column names."
            )
        if shape[1] != self.n_features:
            raise InputError(
                f"X has {shape[1]} features; the model was fitted with {self.n_features}."
            )


def _predict_partition(frame: Any, model: LinearModel) -> Any:
    """Predictions for one partition of a Dask DataFrame."""
    return frame.iloc[:, :0].assign(prediction=model.predict(frame))["prediction"]
