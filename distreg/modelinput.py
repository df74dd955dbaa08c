"""What a model predicts for: tables by name, arrays by position, gaps by the policy of the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse as sp

from distreg.data.columns import Columns
from distreg.exceptions import DataError, InputError

__all__ = ["FeatureReader", "by_row", "with_offset"]


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Turns what a user has in memory into the features of a model.

    Attributes
    ----------
    feature_names : tuple of str
    columns : Columns or None
    fill : (n_features,) array or None
        As in `LinearModel`.
    """

    feature_names: tuple[str, ...]
    columns: Columns | None
    fill: np.ndarray | None

    def read(self, X: Any) -> tuple[np.ndarray, sp.csr_array | None, np.ndarray | None]:
        """Dense and sparse features of X, and which rows are to be NaN (None: none)."""
        is_table = hasattr(X, "column_names") or hasattr(X, "iloc")
        if is_table and self.columns is not None:
            encoded = self.columns.encode(X)
            return self._filled(encoded.dense), encoded.sparse, encoded.incomplete
        if is_table:
            X = self._select(X)
        if sp.issparse(X):
            self.check_width(X.shape)
            return np.empty((X.shape[0], 0)), self._canonical(X), None
        array = np.asarray(X)
        self.check_width(array.shape)
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
        positional = len(missing) == len(self.feature_names) == len(labels) and labels == [
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

    def check_width(self, shape: tuple[Any, ...]) -> None:
        """Refuse an array of another width than the model's."""
        if len(shape) != 2:
            raise InputError(f"X must have two dimensions (rows, features); it has {len(shape)}.")
        if self.columns is not None and self.columns.categorical:
            raise InputError(
                "This model has categorical columns "
                f"({', '.join(self.columns.categorical[:10])}): give a table with column names."
            )
        if shape[1] != len(self.feature_names):
            raise InputError(
                f"X has {shape[1]} features; the model was fitted with {len(self.feature_names)}."
            )


def by_row(function: Callable[[Any], Any], rows: Any, dtype: Any, n_columns: int = 0) -> Any:
    """What `function` makes of each row, lazily of a Dask array.

    Parameters
    ----------
    function : function of an array of rows
        Returns one value a row, or `n_columns`.
    rows : (n,) or (n, m) array
    """
    if not hasattr(rows, "map_blocks"):
        return function(rows)
    meta = np.empty((0, 0) if n_columns else 0, dtype=dtype)
    keywords: dict[str, Any] = {"dtype": dtype, "meta": meta}
    if n_columns and rows.ndim == 1:
        keywords |= {"new_axis": 1, "chunks": (*rows.chunks, (n_columns,))}
    elif n_columns:
        keywords["chunks"] = (rows.chunks[0], (n_columns,))
    elif rows.ndim == 2:
        keywords["drop_axis"] = 1
    return rows.map_blocks(function, **keywords)


def with_offset(eta: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Linear predictors with the offset of each row."""
    if not np.isfinite(offset).all():
        row = int(np.argmin(np.isfinite(offset)))
        raise DataError(
            f"offset is {offset.ravel()[row]} at position {row} of {len(offset)}. Give a finite "
            "number for every row."
        )
    if len(offset) != len(eta):
        raise InputError(
            f"A chunk of X has {len(eta)} rows and the one of offset has {len(offset)}. Give one "
            "entry for each row."
        )
    return np.asarray(eta + (offset[:, None] if eta.ndim > offset.ndim else offset))
