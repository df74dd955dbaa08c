"""One column of whatever a user has, as numbers or as level codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distreg.exceptions import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "MISSING",
    "MISSING_LEVEL",
    "UNKNOWN",
    "ColumnScan",
    "Gaps",
    "Level",
    "column_names",
    "duplicates",
    "fill_codes",
    "fill_numeric",
    "get_column",
    "is_numeric",
    "is_text",
    "levels_of",
    "merge_levels",
    "series_values",
    "sort_levels",
]

Level = str | int | float | bool

MISSING = -2
"""Code of a missing value."""

MISSING_LEVEL = "(missing)"
"""Level of missing values under the policy "mean"."""

UNKNOWN = -1
"""Code of a value that is no level."""

PIECE_ROWS = 1 << 20
"""Rows of a plain column that are encoded at a time, so that one with far too many values is found
out early."""


class Gaps(NamedTuple):
    """Missing values of a column: the position of the first, and their number."""

    first: int
    total: int


@dataclass(frozen=True)
class ColumnScan:
    """What a scan of some rows found.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    levels : mapping
        Values of each scanned column.
    missing : mapping
        Missing values of the scanned columns that have some.
    """

    n_rows: int
    levels: Mapping[str, Collection[Level]] = field(default_factory=dict)
    missing: Mapping[str, Gaps] = field(default_factory=dict)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether values of this Arrow type are numbers (an all-null column counts as numbers)."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return False
    return bool(
        t.is_integer(kind)
        or t.is_floating(kind)
        or t.is_boolean(kind)
        or t.is_decimal(kind)
        or t.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this Arrow type are categories without being asked: text, dictionaries."""
    import pyarrow.types as t

    return bool(
        t.is_string(kind)
        or t.is_large_string(kind)
        or t.is_string_view(kind)
        or t.is_dictionary(kind)
    )


def column_names(frame: Any) -> list[str]:
    """Column names of a pandas DataFrame or a pyarrow Table, as text."""
    names = frame.column_names if hasattr(frame, "column_names") else frame.columns
    return [str(name) for name in names]


def duplicates(names: Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def get_column(frame: Any, name: str) -> Any:
    """Column `name` as a NumPy array of numbers or a pyarrow (chunked) array."""
    if hasattr(frame, "column_names"):
        return frame.column(name)
    if name in frame.columns:
        return series_values(frame[name], name)
    position = column_names(frame).index(name)
    return series_values(frame.iloc[:, position], name)


def series_values(series: pd.Series, name: str) -> Any:
    """Values of a pandas Series: its own buffer where NumPy holds numbers, else Arrow."""
    import pyarrow as pa

    if hasattr(series, "sparse"):
        series = series.sparse.to_dense()
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "buif":
        return series.to_numpy()
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"Column {name!r} (dtype {series.dtype}) cannot be read as one kind of value: {error}. "
            "Convert it to numbers or to text first."
        ) from error


def fill_numeric(
    out: np.ndarray, values: Any, name: str, source: str = "", *, feature: bool = True
) -> None:
    """Write the values of one numeric column to the (n,) float array `out`; nulls become NaN."""
    if isinstance(values, np.ndarray):
        out[:] = values
        return
    start = 0
    for chunk in _chunks(values):
        stop = start + len(chunk)
        out[start:stop] = _chunk_numbers(chunk, name, source, feature)
        start = stop


def fill_codes(
    out: np.ndarray, values: Any, levels: Mapping[Level, int], name: str, source: str = ""
) -> None:
    """Write the level codes of one categorical column to the (n,) int array `out`.

    `levels` maps a level to its code. Other values become `UNKNOWN` and nulls and NaN `MISSING`.
    """
    start = 0
    for chunk in _category_chunks(values, name, source):
        stop = start + len(chunk)
        seen = chunk.dictionary.to_pylist()
        _check_kind(seen, levels, name, source)
        table = np.full(len(seen) + 1, MISSING, dtype=np.int32)
        for k, value in enumerate(seen):
            if not _is_missing(value):
                table[k] = levels.get(value, UNKNOWN)
        out[start:stop] = table[_indices(chunk)]
        start = stop


def levels_of(
    column: Any, name: str, source: str = "", most: int | None = None
) -> tuple[set[Level], Gaps | None]:
    """Distinct values that occur in a column, and the missing ones.

    With more values than `most` the search ends early.
    """
    found: set[Level] = set()
    start = count = 0
    first: int | None = None
    for chunk in _category_chunks(column, name, source):
        codes, size = _indices(chunk), len(chunk.dictionary)
        used = np.unique(codes)
        used = used[used < size]
        if most is None:
            values = chunk.dictionary.to_pylist()
            seen = [values[k] for k in used]
        else:
            # one more than allowed tells enough, and one of them may be missing
            used = used[: most + 2]
            seen = [chunk.dictionary[k].as_py() for k in used.tolist()]
        found.update(value for value in seen if not _is_missing(value))
        gone = [k for k, value in zip(used, seen, strict=True) if _is_missing(value)]
        at = np.flatnonzero(np.isin(codes, [*gone, size]))
        if at.size:
            first = start + int(at[0]) if first is None else first
            count += at.size
        if most is not None and len(found) > most:
            break
        start += len(chunk)
    return found, None if first is None else Gaps(first, count)


def merge_levels(parts: Iterable[Collection[Level]], name: str) -> set[Level]:
    """Union of level sets; text in one part and numbers in another are an error."""
    union: set[Level] = set()
    for part in parts:
        union.update(part)
    texts = sum(isinstance(value, str) for value in union)
    if 0 < texts < len(union):
        raise DataError(
            f"Categorical column {name!r} holds text in one part of the data and numbers in "
            "another. Store it with one type."
        )
    return union


def sort_levels(levels: Collection[Level]) -> tuple[Level, ...]:
    """Levels in ascending order: numbers by value, text by code point."""
    return tuple(sorted(levels))


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _chunks(values: Any) -> Iterator[Any]:
    yield from (values.chunks if hasattr(values, "chunks") else (values,))


def _pieces(values: Any) -> Iterator[Any]:
    """Chunks, those that are no dictionaries cut."""
    for chunk in _chunks(values):
        step = max(len(chunk), 1) if hasattr(chunk, "dictionary") else PIECE_ROWS
        yield from (chunk[at : at + step] for at in range(0, max(len(chunk), 1), step))


def _chunk_numbers(chunk: pa.Array, name: str, source: str, feature: bool) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.types as t

    kind = chunk.type
    if t.is_dictionary(kind):
        return _chunk_numbers(chunk.dictionary_decode(), name, source, feature)
    if not is_numeric(kind):
        where = f" ({source})" if source else ""
        remedy = (
            f"Declare it categorical (categorical=[{name!r}]), convert it to numbers, or leave it "
            "out."
            if feature
            else "Convert it to numbers first."
        )
        raise DataError(f"Column {name!r}{where} holds {kind}, not numbers. {remedy}")
    if t.is_null(kind):
        return np.full(len(chunk), np.nan)
    if not (t.is_integer(kind) or t.is_float32(kind) or t.is_float64(kind)):
        chunk = chunk.cast(pa.float64())
    numbers: np.ndarray = chunk.to_numpy(zero_copy_only=chunk.null_count == 0)
    return numbers


def _category_chunks(values: Any, name: str, source: str) -> Iterator[Any]:
    """Dictionary arrays whose dictionary holds str, int, float, bool or None."""
    import pyarrow as pa
    import pyarrow.types as t

    if isinstance(values, np.ndarray):
        values = pa.array(values, from_pandas=True)
    for chunk in _pieces(values):
        if t.is_float16(chunk.type):
            chunk = chunk.cast(pa.float32())
        kind = chunk.type.value_type if t.is_dictionary(chunk.type) else chunk.type
        plain = is_text(kind) or (is_numeric(kind) and not t.is_decimal(kind))
        if not plain:
            if not (t.is_temporal(kind) or t.is_decimal(kind)):
                where = f" ({source})" if source else ""
                raise DataError(
                    f"Column {name!r}{where} holds {kind}, which cannot be a category. Allowed are "
                    "text, numbers, bool, dates and times. Convert it or leave it out."
                )
            coded = chunk if t.is_dictionary(chunk.type) else chunk.dictionary_encode()
            chunk = pa.DictionaryArray.from_arrays(coded.indices, _as_text(coded.dictionary))
        elif t.is_null(kind):
            chunk = chunk.cast(pa.string())
        yield chunk if t.is_dictionary(chunk.type) else chunk.dictionary_encode()


def _as_text(values: Any) -> Any:
    """Text of dates, times and decimals, the same whatever the unit or scale they are stored in."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_decimal(values.type):
        numbers = [None if v is None else f"{v:f}" for v in values.to_pylist()]
        short = [v.rstrip("0").rstrip(".") if v and "." in v else v for v in numbers]
        return pa.array(short, pa.string())
    if t.is_duration(values.type):
        values = values.cast(pa.duration("ns"))
    text = values.cast(pa.string())
    if t.is_timestamp(values.type) or t.is_time(values.type):
        # the end of a fraction, with a time zone behind it
        text = pc.replace_substring_regex(text, r"(\.\d*?)0+(Z|[+-]\d+)?$", r"\1\2")
        text = pc.replace_substring_regex(text, r"\.(Z|[+-]\d+)?$", r"\1")
    return text


def _indices(chunk: Any) -> np.ndarray:
    """Dictionary indices; a null is the index after the last."""
    import pyarrow as pa

    indices: np.ndarray = chunk.indices.cast(pa.int32()).fill_null(len(chunk.dictionary)).to_numpy()
    return indices


def _check_kind(seen: Sequence[Any], levels: Mapping[Level, int], name: str, source: str) -> None:
    """Text against numeric levels (or the reverse) would quietly make every value unknown."""
    values = [value for value in seen if not _is_missing(value)]
    if not values or not levels or tuple(levels) == (MISSING_LEVEL,):
        return
    text_levels = isinstance(next(iter(levels)), str)
    if isinstance(values[0], str) != text_levels:
        where = f" ({source})" if source else ""
        raise DataError(
            f"Categorical column {name!r}{where} holds {'numbers' if text_levels else 'text'} such "
            f"as {values[0]!r}, but its levels are {'text' if text_levels else 'numbers'} such as "
            f"{next(iter(levels))!r}. Store it with the type of the training data."
        )
