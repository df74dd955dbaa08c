"""Row arrays of npy files and zarr stores: where they are, what they hold, labels of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from distreg.data import labels
from distreg.data.frames import check_features, nearest
from distreg.data.rows import ROLES
from distreg.data.storage import reading, retried
from distreg.data.stores import ArrayPart, Matrix, StoreRecipe, StoreSource
from distreg.data.vectors import ColumnScan, Level
from distreg.exceptions import DataError

__all__ = ["check_arrays", "feature_columns", "resolve_roles", "with_classes"]


def resolve_roles(
    given: Mapping[str, str | int | None], matrix: Matrix, beside: Mapping[str, ArrayPart]
) -> tuple[dict[str, int], dict[str, ArrayPart]]:
    """Say whether each role is a column of the matrix (name or number) or an array beside it."""
    columns: dict[str, int] = {}
    arrays: dict[str, ArrayPart] = {}
    for role in ROLES:
        value = given.get(role)
        if value is None:
            if role == "y" and "y" in beside:
                arrays[role] = beside["y"]
            continue
        name = str(value)
        if name in beside or name.removesuffix(".npy") in beside:
            arrays[role] = beside[name if name in beside else name.removesuffix(".npy")]
        elif name in matrix.names:
            columns[role] = matrix.names.index(name)
        else:
            columns[role] = _column_number(role, name, matrix, beside)
    return columns, arrays


def _column_number(role: str, name: str, matrix: Matrix, beside: Mapping[str, ArrayPart]) -> int:
    n = matrix.shape[1]
    label = "target" if role == "y" else role
    try:
        number = int(name)
    except ValueError:
        known = [*beside, *matrix.names]
        raise DataError(f"{label}={name!r}: {nearest(name, known)}") from None
    if not -n <= number < n:
        raise DataError(f"{label}={name}: the matrix has {n} columns, 0 to {n - 1}.")
    return number % n


def check_arrays(shared: StoreSource, classes: bool = False) -> None:
    """Refuse arrays of other lengths than the matrix, or of a wrong type."""
    for role, part in shared.arrays.items():
        with reading(str(part)):
            array = part.open(shared.options)
            length, dtype = int(array.shape[0]), np.dtype(array.dtype)
        allowed = "bui" if role == "fold_key" else "buif"
        if dtype.kind not in allowed and not (classes and role == "y"):
            what = "integers" if role == "fold_key" else "numbers"
            raise DataError(f"{part} ({role}) holds {dtype}; {what} are needed.")
        if length != shared.shape[0]:
            raise DataError(
                f"{shared.X} has {shared.shape[0]} rows and {part} ({role}) has {length}. They "
                "must have the same."
            )


def feature_columns(
    matrix: Matrix,
    taken: Mapping[str, int],
    numeric: Sequence[str] | None,
    exclude: Sequence[str],
) -> tuple[int, ...]:
    """Columns of the matrix that are features."""
    target = matrix.names[taken["y"]] if "y" in taken else None
    check_features(matrix.names, target, {"numeric": numeric or ()}, exclude)
    if numeric is not None:
        return tuple(matrix.names.index(name) for name in numeric)
    left_out = {matrix.names.index(name) for name in exclude} | set(taken.values())
    return tuple(j for j in range(matrix.shape[1]) if j not in left_out)


def with_classes(recipes: Sequence[StoreRecipe]) -> tuple[list[StoreRecipe], tuple[Level, ...]]:
    """Recipes that know the labels of the target, and the labels: one scan, where Dask computes."""
    import dask

    task = dask.delayed(_scan, pure=False)
    scans = list(dask.compute(*[task(recipe) for recipe in recipes]))
    classes = labels.join_classes(scans, "y")
    if not recipes:
        return [], classes
    shared = replace(recipes[0].shared, classes=classes)
    return [replace(recipe, shared=shared) for recipe in recipes], classes


def _scan(recipe: StoreRecipe) -> ColumnScan:
    """Labels of a recipe's rows."""
    shared, rows = recipe.shared, slice(recipe.row_start, recipe.row_start + recipe.n_rows)

    def scan() -> ColumnScan:
        if "y" in shared.arrays:
            values: Any = shared.arrays["y"].open(shared.options)[rows]
        else:
            values = shared.X.open(shared.options)[rows, shared.columns["y"]]
        return labels.scan_labels(np.array(values), "y")

    return retried(scan, str(shared.X))
