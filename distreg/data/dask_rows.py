"""Row arrays beside Dask collections: their chunks are brought into line with the features'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distreg.data import labels
from distreg.data.dataset import digest_of
from distreg.data.rows import RowArrays, as_float_vector, as_keys, check_length
from distreg.data.vectors import ColumnScan, Level
from distreg.exceptions import DataError, InputError

__all__ = [
    "Parts",
    "align_parts",
    "computed_rows",
    "known_chunks",
    "lazy_digest",
    "part_length",
    "rows_like",
    "scan_parts",
    "split_lazy",
]


@dataclass(frozen=True)
class Parts:
    """What is known of a Dask collection once it has been scanned.

    Attributes
    ----------
    lengths : tuple of int
        Rows of its parts.
    lazy : dict
        The row arrays beside it, with known chunks.
    n_scans : int
        0 if everything was known.
    scans : list of ColumnScan
        What the tasks returned.
    classes : tuple or None
        Labels of a target that is a row array.
    """

    lengths: tuple[int, ...]
    lazy: dict[str, Any]
    n_scans: int
    scans: list[Any]
    classes: tuple[Level, ...] | None = None


def split_lazy(
    given: dict[str, Any], classes: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Row arrays that are Dask collections, as one-dimensional Dask arrays, and the others."""
    lazy: dict[str, Any] = {}
    for role, values in given.items():
        if not hasattr(values, "__dask_graph__"):
            continue
        has_labels = classes and role == "y"
        if has_labels and hasattr(values, "to_dask_array") and values.ndim == 1:
            # Dask warns of types of pandas that NumPy does not have
            values = values.map_partitions(_plain, meta=(None, object))
        array = values.to_dask_array() if hasattr(values, "to_dask_array") else values
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise InputError(
                f"{role} has {array.ndim} dimensions; one number for each row is needed. Fit one "
                "target at a time."
            )
        if not has_labels:
            _check_type(role, array.dtype)
        lazy[role] = array
    return lazy, {role: values for role, values in given.items() if role not in lazy}


def _plain(series: Any) -> Any:
    """Values of a partition in a type that NumPy has."""
    values = np.asarray(series)
    return series.__class__(values, index=series.index, dtype=values.dtype)


def _check_type(role: str, dtype: Any) -> None:
    if dtype.kind not in ("bui" if role == "fold_key" else "buifO"):
        allowed = "integers" if role == "fold_key" else "numbers"
        raise DataError(
            f"{role} holds {dtype}, not {allowed}. Convert it first; a fold column of text can be "
            "named when it is a column of a DataFrame."
        )


def scan_parts(
    tasks: Sequence[Any], parts: Sequence[Any], lazy: dict[str, Any], known: Any, classes: bool
) -> Parts:
    """Lengths of the parts and of the chunks of row arrays, and labels, all in one computation.

    Parameters
    ----------
    tasks : sequence of functions
        One for each part; they return what was found, and its length.
    parts : sequence of Delayed
    lazy : dict
        Row arrays.
    known : tuple of int or None
        Lengths of the parts.
    classes : bool
        A target among the row arrays holds labels.
    """
    import dask
    import dask.array as da

    has_labels = classes and "y" in lazy
    scanned = {
        role: array
        for role, array in lazy.items()
        if known_chunks(array) is None or (has_labels and role == "y")
    }
    if known is not None and not scanned:
        return Parts(known, lazy, 0, [])
    wanted: list[Any] = []
    if known is None:
        wanted += [dask.delayed(t, pure=False)(p) for t, p in zip(tasks, parts, strict=True)]
    pieces = {role: list(array.to_delayed()) for role, array in scanned.items()}
    for role in scanned:
        task = _scan_labels if has_labels and role == "y" else part_length
        wanted += [dask.delayed(task, pure=False)(piece) for piece in pieces[role]]
    results = list(dask.compute(*wanted))
    scans: list[Any] = []
    if known is None:
        pairs, results = results[: len(parts)], results[len(parts) :]
        scans, known = [scan for scan, _ in pairs], tuple(int(length) for _, length in pairs)
    aligned, found = dict(lazy), None
    for role, array in scanned.items():
        pairs, results = results[: len(pieces[role])], results[len(pieces[role]) :]
        sizes = tuple(int(length) for _, length in pairs)
        aligned[role] = da.Array(array.dask, array.name, (sizes,), meta=array._meta)
        if has_labels and role == "y":
            found = labels.join_classes([scan for scan, _ in pairs], role)
    return Parts(known, aligned, 1, scans, found)


def _scan_labels(chunk: Any) -> tuple[ColumnScan, int]:
    """Labels of a chunk, as a task of `scan_parts`."""
    scan = labels.scan_labels(chunk, "y")
    return scan, scan.n_rows


def align_parts(
    lengths: tuple[int, ...], lazy: dict[str, Any]
) -> list[tuple[int, int, int, tuple[Any, ...]]]:
    """Position, first row, length and pieces of the row arrays of every part that has rows."""
    kept = [position for position, length in enumerate(lengths) if length]
    sizes = tuple(lengths[position] for position in kept)
    columns = []
    for role, array in lazy.items():
        if array.shape[0] != sum(sizes):
            raise InputError(
                f"X has {sum(sizes)} rows and {role} has {array.shape[0]}. Give one entry for each "
                "row."
            )
        if array.chunks[0] != sizes:
            array = array.rechunk((sizes,), method="tasks")
        columns.append(list(array.to_delayed()))
    starts = np.cumsum([0, *sizes])
    return [
        (position, int(starts[k]), sizes[k], tuple(column[k] for column in columns))
        for k, position in enumerate(kept)
    ]


def part_length(chunk: Any) -> tuple[None, int]:
    """Rows of a chunk, as a task of `scan_parts`."""
    return None, int(chunk.shape[0])


def computed_rows(
    roles: tuple[str, ...],
    values: Sequence[Any],
    n_rows: int,
    classes: tuple[Level, ...] | None = None,
    where: tuple[int, str] = (0, ""),
) -> RowArrays:
    """Row arrays of computed pieces.

    Parameters
    ----------
    roles : tuple of str
    values : sequence of arrays
    n_rows : int
        Length that they must have.
    classes : tuple or None
        Labels of the target.
    where : pair of int and str
        First row and source, for messages.
    """
    parts = {}
    for role, value in zip(roles, values, strict=True):
        if role == "fold_key":
            parts[role] = as_keys(value, n_rows)[0]
        elif role == "y" and classes is not None:
            parts[role] = check_length(labels.coded(value, classes, role, *where), role, n_rows)
        else:
            parts[role] = as_float_vector(value, role, n_rows)
    return RowArrays(**parts)


def known_chunks(array: Any) -> tuple[int, ...] | None:
    """Row chunks, or None when any is unknown."""
    sizes = array.chunks[0]
    return None if any(np.isnan(size) for size in sizes) else tuple(int(size) for size in sizes)


def rows_like(values: Any, like: Any, what: str) -> Any:
    """One number for each row of the Dask array `like`, as a Dask array with the same chunks.

    Where lengths are unknown, chunks go by position; nothing is computed.
    """
    import dask.array as da

    is_lazy = hasattr(values, "__dask_graph__")
    if is_lazy:
        array = split_lazy({what: values})[0][what]
    else:
        array = da.from_array(as_float_vector(values, what), chunks=-1)
    wanted, given = known_chunks(like), known_chunks(array)
    if wanted is not None and given is not None:
        if sum(wanted) != sum(given):
            raise InputError(
                f"X has {sum(wanted)} rows and {what} has {sum(given)}. Give one entry for each "
                "row."
            )
        return array.rechunk((wanted,), method="tasks").astype(np.float64)
    if not is_lazy or array.numblocks[0] != like.numblocks[0]:
        raise InputError(
            f"{what} ({array.numblocks[0]} chunks) cannot be matched with X ({like.numblocks[0]} "
            f"chunks of unknown lengths). Give {what} as a Dask collection with the partitions of "
            "X, or predict partition by partition."
        )
    array = da.Array(array.dask, array.name, like.chunks[:1], meta=array._meta)
    return array.astype(np.float64)


def lazy_digest(schema: Any, collections: Sequence[Any], rows: RowArrays) -> str:
    """Hash of names that Dask derives from what the collections are made of."""
    local = (rows.y, rows.weight, rows.offset, rows.fold_key)
    content: list[Any] = [str(getattr(c, "name", None) or c._name) for c in collections]
    return digest_of(schema, content + [v.tobytes() for v in local if v is not None])
