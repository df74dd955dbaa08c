"""Row arrays beside Dask collections: their chunks are brought into line with the features'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distreg.data.dataset import digest_of
from distreg.data.rows import RowArrays, as_float_vector, as_keys
from distreg.exceptions import DataError, InputError

__all__ = [
    "align_parts",
    "computed_rows",
    "known_chunks",
    "lazy_digest",
    "part_length",
    "scan_parts",
    "split_lazy",
]


def split_lazy(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Row arrays that are Dask collections, as one-dimensional Dask arrays, and the others."""
    lazy: dict[str, Any] = {}
    for role, values in given.items():
        if not hasattr(values, "__dask_graph__"):
            continue
        array = values.to_dask_array() if hasattr(values, "to_dask_array") else values
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            raise InputError(
                f"{role} has {array.ndim} dimensions; one number for each row is needed. Fit one "
                "target at a time."
            )
        if array.dtype.kind not in ("bui" if role == "fold_key" else "buifO"):
            allowed = "integers" if role == "fold_key" else "numbers"
            raise DataError(
                f"{role} holds {array.dtype}, not {allowed}. Convert it first; a fold column of "
                "text can be named when it is a column of a DataFrame."
            )
        lazy[role] = array
    return lazy, {role: values for role, values in given.items() if role not in lazy}


def scan_parts(
    tasks: Sequence[Any], parts: Sequence[Any], lazy: dict[str, Any], known: Any
) -> tuple[tuple[int, ...], dict[str, Any], int, list[Any]]:
    """Lengths of the parts and of the chunks of row arrays, all in one computation.

    Returns
    -------
    lengths : tuple of int
    lazy : dict
        The row arrays, with known chunks.
    n_scans : int
        0 if everything was known.
    found : list
        What `tasks` returned, a pair (scan, length) each.
    """
    import dask
    import dask.array as da

    unknown = {role: array for role, array in lazy.items() if known_chunks(array) is None}
    if known is not None and not unknown:
        return known, lazy, 0, []
    wanted: list[Any] = []
    if known is None:
        wanted += [dask.delayed(t, pure=False)(p) for t, p in zip(tasks, parts, strict=True)]
    length = dask.delayed(part_length, pure=False)
    pieces = {role: list(array.to_delayed()) for role, array in unknown.items()}
    wanted += [length(piece) for role in unknown for piece in pieces[role]]
    results = list(dask.compute(*wanted))
    found: list[Any] = []
    if known is None:
        found, results = results[: len(parts)], results[len(parts) :]
        known = tuple(int(pair[1]) for pair in found)
    aligned = dict(lazy)
    for role, array in unknown.items():
        sizes = tuple(int(pair[1]) for pair in results[: len(pieces[role])])
        results = results[len(pieces[role]) :]
        aligned[role] = da.Array(array.dask, array.name, (sizes,), meta=array._meta)
    return known, aligned, 1, found


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


def computed_rows(roles: tuple[str, ...], values: Sequence[Any], n_rows: int) -> RowArrays:
    """Row arrays of computed pieces."""
    parts = {
        role: as_keys(value, n_rows)[0]
        if role == "fold_key"
        else as_float_vector(value, role, n_rows)
        for role, value in zip(roles, values, strict=True)
    }
    return RowArrays(**parts)


def known_chunks(array: Any) -> tuple[int, ...] | None:
    """Row chunks, or None when any is unknown."""
    sizes = array.chunks[0]
    return None if any(np.isnan(size) for size in sizes) else tuple(int(size) for size in sizes)


def lazy_digest(schema: Any, collections: Sequence[Any], rows: RowArrays) -> str:
    """Hash of names that Dask derives from what the collections are made of."""
    local = (rows.y, rows.weight, rows.offset, rows.fold_key)
    content: list[Any] = [str(getattr(c, "name", None) or c._name) for c in collections]
    return digest_of(schema, content + [v.tobytes() for v in local if v is not None])
