"""What the features are: numeric columns as they stand, indicators of the levels of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from distreg.data import vectors
from distreg.data.vectors import MISSING, MISSING_LEVEL, UNKNOWN, Level
from distreg.exceptions import DataError, InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Columns", "Encoded", "Encoder", "check_missing"]

MISSING_POLICIES = ("error", "mean", "drop")
UNKNOWN_POLICIES = ("ignore", "error")


def check_missing(missing: str) -> None:
    """Refuse an unknown policy for missing values."""
    if missing not in MISSING_POLICIES:
        raise InputError(
            f"missing={missing!r} is not a policy. Use 'error' (refuse), 'mean' (fill in the "
            "training mean) or 'drop' (leave the rows out)."
        )


@dataclass(frozen=True)
class Encoded:
    """Features of some rows.

    Attributes
    ----------
    dense : (n, n_dense) array
        Numeric columns, Fortran order, float64 (float32 when every column is). NaN is missing.
    sparse : (n, n_sparse) csr_array of float64, or None
        Indicators of levels; indices ascend within a row. None without categorical columns.
    incomplete : (n,) bool array or None
        Rows with a missing value; only under ``missing="drop"``.
    """

    dense: np.ndarray
    sparse: sparse.csr_array | None
    incomplete: np.ndarray | None = None


@dataclass(frozen=True)
class Columns:
    """Feature columns of a table, the levels of the categorical ones, and two policies.

    Attributes
    ----------
    numeric, categorical : tuple of str
        Column names. Features are the numeric columns, then an indicator for every level.
    levels : mapping from str to tuple
        Levels of every categorical column, ascending, from the training data.
    missing : {"error", "mean", "drop"}
        What a missing value is: an error; the mean of a numeric column and a level of its own
        ("(missing)") of a categorical one; or a reason to leave the row out.
    unknown : {"ignore", "error"}
        What a value that is no level is: a row of zeros, that is no effect of that column, or an
        error.
    fill : tuple of float, or None
        Means of the numeric columns that replace NaN; None leaves NaN in place.
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    levels: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    missing: Literal["error", "mean", "drop"] = "error"
    unknown: Literal["ignore", "error"] = "ignore"
    fill: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check names, policies and sizes."""
        check_missing(self.missing)
        if self.unknown not in UNKNOWN_POLICIES:
            raise InputError(
                f"unknown={self.unknown!r} is not a policy. Use 'ignore' (an unknown level has no "
                "effect) or 'error'."
            )
        twice = vectors.duplicates(self.names)
        if twice:
            raise InputError(f"Columns named more than once: {twice}. Name each column once.")
        without = [name for name in self.categorical if name not in self.levels]
        if without:
            raise InputError(f"Categorical columns without levels: {without}.")
        same = vectors.duplicates(self.feature_names)
        if same:
            raise InputError(
                f"Features with the same name: {same[:10]}. A level is named column=level, which "
                "another column or level is named too. Rename one of the columns."
            )
        if self.fill is not None and len(self.fill) != len(self.numeric):
            raise InputError(
                f"fill has {len(self.fill)} values, but there are {len(self.numeric)} numeric "
                "columns."
            )

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Numeric names, then "column=level"."""
        indicators = (f"{c}={level}" for c in self.categorical for level in self.levels[c])
        return (*self.numeric, *indicators)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that a table must have."""
        return self.numeric + self.categorical

    @property
    def n_dense(self) -> int:
        """Number of numeric features."""
        return len(self.numeric)

    @property
    def n_sparse(self) -> int:
        """Number of indicator features."""
        return sum(len(self.levels[name]) for name in self.categorical)

    def encode(
        self, frame: pd.DataFrame | pa.Table, *, row_start: int = 0, source: str = ""
    ) -> Encoded:
        """Features of a table.

        Parameters
        ----------
        frame : pandas.DataFrame or pyarrow.Table
            Columns are found by name; others are ignored.
        row_start : int
            Number of the first row, for messages.
        source : str
            Where the rows come from, for messages.
        """
        self.check_names(frame, source)
        values = {name: vectors.get_column(frame, name) for name in self.names}
        single = bool(self.numeric) and all(_is_float32(values[name]) for name in self.numeric)
        dtype = np.float32 if single else np.float64
        encoder = Encoder(self, len(frame), dtype=dtype, row_start=row_start, source=source)
        for name in self.names:
            encoder.put(name, values.pop(name))
        return encoder.result()

    def check_names(self, frame: Any, source: str = "") -> None:
        """Refuse a table that lacks columns or has one twice."""
        present = vectors.column_names(frame)
        absent = sorted(set(self.names) - set(present))
        where = f" in {source}" if source else ""
        if absent:
            raise DataError(
                f"Missing columns{where}: {absent}. The model needs {len(self.names)} columns; the "
                f"table has {len(present)}."
            )
        twice = sorted(set(vectors.duplicates(present)) & set(self.names))
        if twice:
            raise DataError(f"Columns that occur more than once{where}: {twice}. Rename them.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe content."""
        return {
            "numeric": list(self.numeric),
            "categorical": list(self.categorical),
            "levels": {name: list(self.levels[name]) for name in self.categorical},
            "missing": self.missing,
            "unknown": self.unknown,
            "fill": None if self.fill is None else [float(value) for value in self.fill],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Columns:
        """Inverse of `to_dict`."""
        fill = content["fill"]
        return cls(
            numeric=tuple(content["numeric"]),
            categorical=tuple(content["categorical"]),
            levels={name: tuple(levels) for name, levels in content["levels"].items()},
            missing=content["missing"],
            unknown=content["unknown"],
            fill=None if fill is None else tuple(fill),
        )


class Encoder:
    """Fills the features of `n_rows` rows, column by column or part by part.

    Only the result is held in memory, besides the piece that is being put.
    """

    def __init__(
        self,
        columns: Columns,
        n_rows: int,
        *,
        dtype: Any = np.float64,
        row_start: int = 0,
        source: str = "",
    ) -> None:
        self._columns = columns
        self._row_start, self._source = row_start, source
        self._numeric = {name: j for j, name in enumerate(columns.numeric)}
        self._categorical = {name: k for k, name in enumerate(columns.categorical)}
        self._lookup = {
            name: {level: code for code, level in enumerate(columns.levels[name])}
            for name in columns.categorical
        }
        self._dense = np.empty((n_rows, columns.n_dense), dtype=dtype, order="F")
        self._codes = np.empty((n_rows, len(columns.categorical)), dtype=np.int32, order="F")

    def put(self, name: str, values: Any, at: int = 0) -> None:
        """Put the values of column `name` from row `at` on."""
        stop = at + len(values)
        if name in self._numeric:
            out = self._dense[at:stop, self._numeric[name]]
            vectors.fill_numeric(out, values, name, self._source)
        else:
            codes = self._codes[at:stop, self._categorical[name]]
            vectors.fill_codes(codes, values, self._lookup[name], name, self._source)
            self._check(name, values, codes, at)

    def result(self) -> Encoded:
        """The features; every column must have been put."""
        columns, dense = self._columns, self._dense
        incomplete = None
        if columns.missing == "drop":
            incomplete = (self._codes == MISSING).any(axis=1)
            for j in range(columns.n_dense):
                incomplete |= np.isnan(dense[:, j])
        if columns.fill is not None:
            for j, value in enumerate(columns.fill):
                column = dense[:, j]
                column[np.isnan(column)] = value
        indicators = self._indicators() if columns.n_sparse else None
        return Encoded(dense, indicators, incomplete)

    def _check(self, name: str, values: Any, codes: np.ndarray, at: int) -> None:
        """Apply the policies to the codes of missing and unknown values, in place."""
        columns = self._columns
        missing = codes == MISSING
        if missing.any():
            row = self._row_start + at + int(np.argmax(missing))
            if columns.missing == "error":
                raise DataError(
                    f"Categorical column {name!r} is missing in row {row}{self._where()} (and in "
                    f"{int(missing.sum()) - 1} more of the rows read with it). Fill it in, or set "
                    "missing='mean' (a level of its own) or missing='drop'."
                )
            if columns.missing == "mean":
                code = self._lookup[name].get(MISSING_LEVEL, UNKNOWN)
                codes[missing] = code
        if columns.unknown == "error" and (codes == UNKNOWN).any():
            at_row = int(np.argmax(codes == UNKNOWN))
            value = values[at_row]
            value = value.as_py() if hasattr(value, "as_py") else value
            raise DataError(
                f"Column {name!r} holds the unknown level {value!r} in row "
                f"{self._row_start + at + at_row}{self._where()}. The training data had "
                f"{len(self._lookup[name])} levels. Use unknown='ignore' to give it no effect."
            )

    def _where(self) -> str:
        return f" ({self._source})" if self._source else ""

    def _indicators(self) -> sparse.csr_array:
        codes = self._codes
        sizes = [len(self._columns.levels[name]) for name in self._columns.categorical]
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
        known = codes >= 0
        # row-major selection keeps the indices of a row ascending
        indices = np.ascontiguousarray(codes + first)[np.ascontiguousarray(known)]
        indptr = np.zeros(len(codes) + 1, dtype=np.int32)
        np.cumsum(known.sum(axis=1), out=indptr[1:])
        ones = np.ones(indices.size)
        shape = (len(codes), self._columns.n_sparse)
        matrix = sparse.csr_array((ones, indices, indptr), shape=shape)
        matrix.has_canonical_format = True
        return matrix


def _is_float32(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return bool(values.dtype == np.float32)
    return str(values.type) == "float"
