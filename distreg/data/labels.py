"""Targets of classes: labels of any kind are found once and then read as codes, their positions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from distreg.data import vectors
from distreg.data.rows import PREFIX, check_length
from distreg.data.vectors import MISSING, UNKNOWN, ColumnScan, Level
from distreg.exceptions import DataError, InputError

__all__ = [
    "MAX_CLASSES",
    "as_codes",
    "check_count",
    "check_target",
    "coded",
    "join_classes",
    "label_column",
    "put_codes",
    "scan_labels",
    "too_many",
]

MAX_CLASSES = 1_000
"""A target with more different values than this is taken for a number."""


def check_target(classes: bool, has_target: bool) -> None:
    """Refuse classes of no target."""
    if classes and not has_target:
        raise InputError("classes=True says that the target holds labels, but there is no target.")


def check_count(found: Collection[Level], name: str) -> None:
    """Refuse a target that looks like a number."""
    if len(found) > MAX_CLASSES:
        raise too_many(found, name)


def too_many(found: Collection[Level], name: str) -> InputError:
    """Say that a target, `found` being some of its values, looks like a number."""
    some = ", ".join(repr(value) for value in vectors.sort_levels(found)[:3])
    return InputError(
        f"Target {_shown(name)!r} holds more than {MAX_CLASSES:,} different values ({some}, ...), "
        "so that it looks like a number and not like a class. Use loss squared, or poisson for "
        "counts; or join classes until there are fewer."
    )


def join_classes(scans: Sequence[ColumnScan], name: str) -> tuple[Level, ...]:
    """Sorted labels of a target, of the scans of all rows in their order."""
    row = count = 0
    first: int | None = None
    for scan in scans:
        if name in scan.missing:
            gaps = scan.missing[name]
            first = row + gaps.first if first is None else first
            count += gaps.total
        row += scan.n_rows
    if first is not None:
        raise _missing(name, first, count)
    found = _alike(vectors.merge_levels((scan.levels[name] for scan in scans), _shown(name)))
    check_count(found, name)
    endless = [value for value in found if isinstance(value, float) and np.isinf(value)]
    if endless:
        raise DataError(f"Target {_shown(name)!r} holds {endless[0]}, which is no class.")
    # no rows at all are another error
    if len(found) == 1:
        raise DataError(
            f"Target {_shown(name)!r} needs at least 2 classes, got 1: {next(iter(found))!r}. "
            "Check how it was made, or which rows were selected."
        )
    return vectors.sort_levels(found)


def as_codes(
    values: Any, what: str, n_rows: int | None = None
) -> tuple[np.ndarray, tuple[Level, ...]]:
    """Codes of labels in memory, (n,) float64, and their sorted labels.

    Parameters
    ----------
    values : array, Series, pyarrow array or list
    what : str
        Name of the argument, for messages.
    n_rows : int or None
        Length that it must have.
    """
    column = check_length(label_column(values, what), what, n_rows)
    classes = join_classes([scan_labels(column, what)], what)
    return coded(column, classes, what), classes


def scan_labels(values: Any, name: str) -> ColumnScan:
    """Labels of some rows."""
    column = label_column(values, name)
    found, gaps = vectors.levels_of(column, name, most=MAX_CLASSES)
    check_count(found, name)
    return ColumnScan(len(column), {name: found}, {} if gaps is None else {name: gaps})


def coded(
    values: Any, classes: tuple[Level, ...], name: str, row_start: int = 0, source: str = ""
) -> np.ndarray:
    """Codes of labels that are known, (n,) float64."""
    column = label_column(values, name)
    codes = np.empty(len(column))
    put_codes(codes, column, classes, name, row_start, source)
    return codes


def put_codes(
    out: np.ndarray,
    values: Any,
    classes: tuple[Level, ...],
    name: str,
    row_start: int,
    source: str,
) -> None:
    """Write the codes of labels to the (n,) float64 array `out`."""
    codes = np.empty(out.size, dtype=np.int32)
    lookup = {label: code for code, label in enumerate(classes)}
    vectors.fill_codes(codes, values, lookup, _shown(name), source)
    bad = (codes == MISSING) | (codes == UNKNOWN)
    if bad.any():
        at = int(np.argmax(bad))
        what = "no label" if codes[at] == MISSING else f"the label {_value(values, at)!r}"
        where = f" ({source})" if source else ""
        raise DataError(
            f"Target {_shown(name)!r} has {what} in row {row_start + at}{where}, which was not so "
            "when its labels were collected. The data have changed; make the data set again."
        )
    out[:] = codes


def label_column(values: Any, what: str) -> Any:
    """One label for each row, as a NumPy array or a pyarrow (chunked) array."""
    import pyarrow as pa

    if hasattr(values, "null_count") and hasattr(values, "type"):
        return values
    if hasattr(values, "iloc"):
        one = values.ndim == 2 and values.shape[1] == 1
        series = values.iloc[:, 0] if one else values
        if series.ndim == 1:
            return vectors.series_values(series, what)
    dense = values.toarray() if hasattr(values, "toarray") else values
    # NumPy would make text of all entries of a list that holds some
    array = np.asarray(dense, dtype=None if hasattr(dense, "dtype") else object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(
            f"{what} has shape {array.shape}; one label for each row is needed. Fit one target at "
            "a time."
        )
    if array.dtype.kind in "buif":
        return array
    if array.dtype.kind == "T":
        array = array.astype(object)
    try:
        return pa.array(array, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{what} (dtype {array.dtype}) cannot be read as labels of one kind: {error}. Convert "
            "it to numbers or to text first."
        ) from error


def _missing(name: str, first: int, count: int) -> DataError:
    more = f" and in {count - 1:,} more" if count > 1 else ""
    return DataError(
        f"Target {_shown(name)!r} has no label (None, NaN or empty) in row {first}{more}. Fill it "
        "in, or leave such rows out."
    )


def _alike(found: set[Level]) -> set[Level]:
    """Numbers of one type, where parts of the data have several."""
    kinds = {type(value) for value in found}
    if len(kinds) < 2:
        return found
    kind = float if float in kinds else int
    return {kind(value) for value in found}


def _shown(name: str) -> str:
    return name.removeprefix(PREFIX)


def _value(values: Any, at: int) -> Any:
    value = values[at]
    return value.as_py() if hasattr(value, "as_py") else value
