"""What a row has besides its features: target, weight, offset and fold key."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from distreg.data import vectors
from distreg.data.block import Block
from distreg.data.vectors import MISSING, UNKNOWN, Level
from distreg.exceptions import DataError, InputError

__all__ = [
    "PREFIX",
    "ROLES",
    "Roles",
    "RowArrays",
    "RowLevels",
    "as_float_vector",
    "as_keys",
    "check_length",
    "make_block",
    "put_keys",
]

T = TypeVar("T", bound=Sized)

ROLES = ("y", "weight", "offset", "fold_key")

PREFIX = "__distreg_"
"""Columns that carry a Series beside the features through one frame."""


@dataclass(frozen=True)
class Roles:
    """Names of the columns that are no features.

    Attributes
    ----------
    y, weight, offset, fold_key : str or None
        Column names; None when there is none, or when it does not come from the table.
    fold_key_levels : tuple or None
        Levels of a fold column that holds text: its key is the position. None for integers.
    classes : tuple or None
        Labels of a target of classes, ascending: its code is the position. None for numbers.
    """

    y: str | None = None
    weight: str | None = None
    offset: str | None = None
    fold_key: str | None = None
    fold_key_levels: tuple[Level, ...] | None = None
    classes: tuple[Level, ...] | None = None

    @classmethod
    def of(cls, named: Mapping[str, str]) -> Roles:
        """Roles of the columns ``named[role]``."""
        # the names of the keywords are those of the fields
        return cls(**{role: named.get(role) for role in ROLES})  # type: ignore[arg-type]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns named."""
        return tuple(name for role in ROLES if (name := getattr(self, role)) is not None)


@dataclass(frozen=True)
class RowLevels:
    """What the keys and codes of row arrays stand for; None for numbers.

    Attributes
    ----------
    fold_key, classes : tuple or None
        As in `Roles`.
    """

    fold_key: tuple[Level, ...] | None = None
    classes: tuple[Level, ...] | None = None

    def joined(self, roles: Roles) -> RowLevels:
        """These levels, and those of columns where there are none."""
        return RowLevels(
            roles.fold_key_levels if self.fold_key is None else self.fold_key,
            roles.classes if self.classes is None else self.classes,
        )


@dataclass(frozen=True, eq=False)
class RowArrays:
    """Arrays of one entry a row; None for what there is not.

    Attributes
    ----------
    y, weight, offset : (n,) float64 array or None
        Target, sample weight, known part of the linear predictor.
    fold_key : (n,) int64 array or None
        Fold or group of the row.
    """

    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    fold_key: np.ndarray | None = None

    def slice(self, start: int, stop: int) -> RowArrays:
        """Rows start:stop (views)."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return RowArrays(**{k: None if v is None else v[start:stop] for k, v in parts.items()})

    def updated(self, other: RowArrays) -> RowArrays:
        """These arrays, with those that `other` has put over them."""
        merged = {
            role: getattr(self, role) if getattr(other, role) is None else getattr(other, role)
            for role in ROLES
        }
        return RowArrays(**merged)


def make_block(
    dense: np.ndarray,
    matrix: sparse.csr_array | None,
    rows: RowArrays,
    *,
    row_start: int,
    source: str,
    incomplete: np.ndarray | None = None,
) -> Block:
    """Block of consecutive rows, without those marked `incomplete`."""
    n_rows = dense.shape[0]
    row = np.arange(row_start, row_start + n_rows, dtype=np.int64)
    y = np.empty(0) if rows.y is None else rows.y
    weight, offset, key = rows.weight, rows.offset, rows.fold_key
    if incomplete is not None and incomplete.any():
        keep = np.flatnonzero(~incomplete)
        dense = _take_rows(dense, keep)
        matrix = None if matrix is None else matrix[keep]
        row = row[keep]
        y = y if rows.y is None else y[keep]
        weight, offset, key = (None if v is None else v[keep] for v in (weight, offset, key))
    return Block(dense, matrix, y, weight, offset, row, key, source)


def _take_rows(dense: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Selected rows in the memory order of `dense`."""
    if dense.flags.c_contiguous:
        return np.take(dense, keep, axis=0)
    out = np.empty((keep.size, dense.shape[1]), dtype=dense.dtype, order="F")
    for j in range(dense.shape[1]):
        out[:, j] = dense[keep, j]
    return out


def as_float_vector(values: Any, what: str, n_rows: int | None = None) -> np.ndarray:
    """One number for each row, as a (n,) float64 array; nulls become NaN.

    Parameters
    ----------
    values : array-like
        NumPy array, pandas Series, list, or a single column of a table.
    what : str
        Name of the argument, for messages.
    n_rows : int or None
        Length that it must have.
    """
    if hasattr(values, "dtype") and hasattr(values, "to_numpy") and hasattr(values, "iloc"):
        values = values.iloc[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if values.ndim == 1:
            column = vectors.series_values(values, what)
            vector = np.empty(len(column))
            vectors.fill_numeric(vector, column, what, feature=False)
            return check_length(vector, what, n_rows)
    array = values.toarray() if sparse.issparse(values) else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(
            f"{what} has shape {array.shape}; one number for each row is needed. Fit one target at "
            "a time."
        )
    if array.dtype.kind not in "buifO":
        raise DataError(f"{what} holds {array.dtype}, not numbers. Convert it to numbers first.")
    try:
        vector = array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} holds something that is no number: {error}.") from error
    return check_length(vector, what, n_rows)


def as_keys(values: Any, n_rows: int) -> tuple[np.ndarray, tuple[Level, ...] | None]:
    """Fold keys as a (n,) int64 array, and the levels when they are not integers."""
    if hasattr(values, "iloc"):
        column = vectors.series_values(values, "fold_key")
    else:
        column = np.asarray(values)
        if column.ndim != 1:
            raise InputError(f"fold_key has shape {column.shape}; one entry a row is needed.")
    levels = None
    if not _holds_integers(column):
        if isinstance(column, np.ndarray) and column.dtype.kind not in "OUS":
            raise DataError(f"fold_key holds {column.dtype}; integers or text are needed.")
        found, _ = vectors.levels_of(_arrow(column), "fold_key")
        levels = vectors.sort_levels(vectors.merge_levels([found], "fold_key"))
    check_length(column, "fold_key", n_rows)
    keys = np.empty(n_rows, dtype=np.int64)
    put_keys(keys, _arrow(column) if levels is not None else column, levels, "fold_key", 0, "")
    return keys, levels


def put_keys(
    out: np.ndarray,
    values: Any,
    levels: tuple[Level, ...] | None,
    name: str,
    row_start: int,
    source: str,
) -> None:
    """Write fold keys to the (n,) int64 array `out`; a missing key is an error."""
    if levels is None:
        numbers = values
        is_array = isinstance(values, np.ndarray)
        if not is_array and values.null_count == 0 and _holds_integers(values):
            # a detour by float64 would round keys beyond 2**53
            numbers = np.asarray(values)
        if not (isinstance(numbers, np.ndarray) and numbers.dtype.kind in "bui"):
            numbers = np.empty(out.size)
            vectors.fill_numeric(numbers, values, name, source, feature=False)
            bad = ~np.isfinite(numbers) | (numbers != np.round(numbers))
        else:
            bad = np.zeros(out.size, dtype=bool)
        if not bad.any():
            out[:] = numbers
    else:
        codes = np.empty(out.size, dtype=np.int32)
        lookup = {level: code for code, level in enumerate(levels)}
        vectors.fill_codes(codes, values, lookup, name, source)
        bad = (codes == MISSING) | (codes == UNKNOWN)
        out[:] = codes
    if bad.any():
        where = f" ({source})" if source else ""
        raise DataError(
            f"Fold column {name!r} is missing or no whole number in row "
            f"{row_start + int(np.argmax(bad))}{where}. Every row needs a key."
        )


def _arrow(values: Any) -> Any:
    import pyarrow as pa

    return pa.array(values, from_pandas=True) if isinstance(values, np.ndarray) else values


def _holds_integers(column: Any) -> bool:
    if isinstance(column, np.ndarray):
        whole = column.dtype.kind == "f" and bool(np.all(column == np.round(column)))
        return column.dtype.kind in "bui" or whole
    return str(column.type).startswith(("int", "uint", "bool"))


def check_length(values: T, what: str, n_rows: int | None) -> T:
    """`values`, if they are as many as the rows."""
    length = len(values)
    if n_rows is not None and length != n_rows:
        raise InputError(
            f"X has {n_rows} rows and {what} has {length}. Give one entry for each row."
        )
    return values
