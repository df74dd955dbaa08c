"""Anything in memory or in a Dask collection becomes a `Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from distreg.data import labels, vectors
from distreg.data.block import BlockRecipe
from distreg.data.columns import check_missing
from distreg.data.dataset import Dataset, digest_of, make_groups
from distreg.data.frames import Chosen, choose_columns, finish_layout, nearest, scan_columns
from distreg.data.memory import (
    ArrayRecipe,
    SparseRecipe,
    TableRecipe,
    check_matrix,
    cut_rows,
    sample_of,
)
from distreg.data.rows import ROLES, Roles, RowArrays, RowLevels, as_float_vector, as_keys
from distreg.exceptions import DataError, InputError

__all__ = ["from_arrays"]


def from_arrays(
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    offset: Any = None,
    feature_names: Sequence[str] | None = None,
    missing: str = "error",
    fold_key: Any = None,
    categorical: Sequence[str] | None = None,
    classes: bool = False,
) -> Dataset:
    """Make a data set of arrays, tables or Dask collections.

    Parameters
    ----------
    X : (n, p) array, sparse matrix, DataFrame or Table, Dask array or Dask DataFrame
        Features. Nothing is copied as a whole. Tables: numeric columns as they stand, columns of
        type category (and those named in `categorical`) as indicators of their levels.
    y, sample_weight, offset, fold_key : (n,) array, Series, Dask array or Series, or str, optional
        Target, weights, known part of the linear predictor, fold or group of each row. With a
        table X a column can be named; it is then no feature. Rows are matched by position.
    feature_names : sequence of str, optional
        Names of the columns of an array; default x0, x1, ...
    missing : {"error", "mean", "drop"}
        What to do about NaN in the features: refuse, fill in the training mean, or leave out the
        row. NaN elsewhere is always refused.
    categorical : sequence of str, optional
        Columns of a table to treat as categories, besides those of type category.
    classes : bool
        The target holds labels of classes: text, numbers or bool of any type. The blocks then hold
        codes, positions among the sorted labels in `Dataset.classes`.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        The shapes, types or names do not fit.

    Notes
    -----
    Dask collections with unknown chunk sizes, Dask DataFrames, and labels in a Dask collection need
    one metadata scan, which is counted in `n_scans`.
    """
    check_missing(missing)
    labels.check_target(classes, y is not None)
    given = {"y": y, "weight": sample_weight, "offset": offset, "fold_key": fold_key}
    if _is_dask(X):
        from distreg.data import dask_input

        make = dask_input.from_frame if hasattr(X, "columns") else dask_input.from_dask_array
        return make(X, given, feature_names, missing, categorical, classes)
    given = {role: _computed(values) for role, values in given.items()}
    if hasattr(X, "iloc") or hasattr(X, "column_names"):
        if feature_names is not None:
            raise InputError("feature_names is for arrays; a table has its own column names.")
        return _from_table(X, given, missing, categorical, classes)
    if categorical is not None:
        raise InputError("categorical names columns of a table, but X is an array.")
    return _from_matrix(X, given, feature_names, missing, classes)


def feature_names_of(names: Sequence[str] | None, n_features: int) -> tuple[str, ...]:
    """Names of the columns of an array."""
    if names is None:
        return tuple(f"x{j}" for j in range(n_features))
    checked = tuple(str(name) for name in names)
    if len(checked) != n_features or len(set(checked)) != n_features:
        raise InputError(
            f"feature_names has {len(checked)} entries ({len(set(checked))} different ones), but X "
            f"has {n_features} columns. Give one name for each column."
        )
    return checked


def row_arrays(
    given: dict[str, Any], n_rows: int, classes: bool = False
) -> tuple[RowArrays, RowLevels]:
    """Checked arrays of one entry a row, and what the fold keys and class codes stand for."""
    names = {"y": "y", "weight": "sample_weight", "offset": "offset"}
    parts: dict[str, Any] = {}
    found = None
    for role, name in names.items():
        values = given.get(role)
        if isinstance(values, str):
            raise InputError(
                f"{name}={values!r} names a column, but X is an array. Give the values."
            )
        if role == "y" and classes and values is not None:
            parts[role], found = labels.as_codes(values, name, n_rows)
        else:
            parts[role] = None if values is None else as_float_vector(values, name, n_rows)
    key, levels = given.get("fold_key"), None
    if key is not None:
        parts["fold_key"], levels = as_keys(key, n_rows)
    return RowArrays(**parts), RowLevels(levels, found)


def _from_matrix(
    X: Any,
    given: dict[str, Any],
    feature_names: Sequence[str] | None,
    missing: Any,
    classes: bool,
) -> Dataset:
    is_sparse = sparse.issparse(X)
    if is_sparse:
        if X.ndim != 2:
            raise InputError(f"X has shape {X.shape}; a matrix of rows and features is needed.")
        # CSC and COO have no row slices: one conversion instead of one a block
        data = X if X.format == "csr" else X.tocsr()
        nbytes = int(data.nnz * 12 + data.shape[0] * 4)
        recipe: type[SparseRecipe] | type[ArrayRecipe] = SparseRecipe
    else:
        data, recipe = check_matrix(X), ArrayRecipe
        nbytes = data.size * (4 if data.dtype == np.float32 else 8)
    n_rows, n_features = data.shape
    names = feature_names_of(feature_names, n_features)
    rows, levels = row_arrays(given, n_rows, classes)
    drop = missing == "drop"
    recipes: list[BlockRecipe] = list(
        cut_rows(n_rows, nbytes, lambda i, s, n, b: recipe(i, s, n, b, data, rows, drop))
    )
    schema = [names, data.shape, str(data.dtype), missing, is_sparse, *class_schema(levels)]
    return Dataset(
        name="array",
        n_rows=n_rows,
        feature_names=names,
        n_dense=0 if is_sparse else n_features,
        n_sparse=n_features if is_sparse else 0,
        groups=make_groups(recipes),
        in_memory=True,
        digest=digest_of(schema, sample_of(data, rows) if data.size else ()),
        missing=missing,
        nbytes=nbytes,
        **described(given, levels),
    )


def class_schema(levels: RowLevels) -> list[Any]:
    """What the classes add to the schema that a digest is made of."""
    return [] if levels.classes is None else [levels.classes]


def described(given: dict[str, Any], levels: RowLevels) -> dict[str, Any]:
    """Fields of a Dataset that say what its blocks hold besides features."""
    key = given.get("fold_key")
    name = key if isinstance(key, str) else getattr(key, "name", None)
    return {
        "has_y": given.get("y") is not None,
        "has_weight": given.get("weight") is not None,
        "has_offset": given.get("offset") is not None,
        "fold_key": None if key is None else str(name or "fold_key"),
        "fold_key_levels": levels.fold_key,
        "classes": levels.classes,
    }


def _from_table(
    X: Any,
    given: dict[str, Any],
    missing: Any,
    categorical: Sequence[str] | None,
    classes: bool,
) -> Dataset:
    named, arrays = split_names(given, vectors.column_names(X))
    rows, levels = row_arrays(arrays, len(X), classes)
    head = X[:1]
    first = {name: vectors.get_column(head, name) for name in vectors.column_names(X)}
    kinds = {name: _kind(column) for name, column in first.items()}
    chosen = choose_table_columns(kinds, named, categorical)
    scanned = list(chosen.categorical)
    key = named.get("fold_key")
    if key is not None and _kind(first[key]) != "number":
        scanned.append(key)
    target = named.get("y") if classes else None
    if target is not None:
        scanned.append(target)
    scan = scan_columns(X, dict.fromkeys(scanned), {}, target=target)
    dtype = table_dtype(first[name] for name in chosen.numeric)
    layout = finish_layout(
        chosen, Roles.of(named), [scan], missing=missing, dtype=dtype, classes=classes
    )
    columns, nbytes = layout.columns, len(X) * layout.row_bytes
    recipes: list[BlockRecipe] = list(
        cut_rows(len(X), nbytes, lambda i, s, n, b: TableRecipe(i, s, n, b, X, rows, layout=layout))
    )
    levels = levels.joined(layout.roles)
    schema = [columns.to_dict(), X.shape, missing, sorted(named.items()), *class_schema(levels)]
    return Dataset(
        name="table",
        n_rows=len(X),
        feature_names=columns.feature_names,
        n_dense=columns.n_dense,
        n_sparse=columns.n_sparse,
        groups=make_groups(recipes),
        in_memory=True,
        digest=digest_of(schema, sample_of(X, rows) if len(X) else ()),
        missing=missing,
        columns=columns,
        nbytes=nbytes,
        **described(given, levels),
    )


def split_names(
    given: dict[str, Any], names: Sequence[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Roles that name a column, and roles with values."""
    repeated = vectors.duplicates(names)
    if repeated:
        raise InputError(f"Column names that occur more than once: {repeated}. Rename them.")
    named = {role: given[role] for role in ROLES if isinstance(given[role], str)}
    for role, name in named.items():
        if name not in names:
            raise InputError(f"{role}={name!r}: {nearest(name, names)}")
    return named, {role: values for role, values in given.items() if role not in named}


def choose_table_columns(
    kinds: dict[str, str], named: dict[str, str], categorical: Sequence[str] | None
) -> Chosen:
    """Features of a table: category columns and those named are categories, the rest numbers."""
    declared = [n for n, k in kinds.items() if k == "category" and n not in set(named.values())]
    asked = tuple(dict.fromkeys([*declared, *(categorical or ())]))
    for name in asked:
        if name not in kinds:
            raise InputError(f"categorical names {name!r}, but {nearest(name, kinds)}")
    taken = set(asked) | set(named.values())
    numeric = [name for name in kinds if name not in taken]
    return choose_columns(kinds, named, numeric, asked)


def table_dtype(columns: Any) -> str:
    """float32 when every numeric column is, else float64."""
    kinds = {str(c.dtype) if isinstance(c, np.ndarray) else str(c.type) for c in columns}
    return "float32" if kinds and kinds <= {"float32", "float"} else "float64"


def _kind(column: Any) -> str:
    if isinstance(column, np.ndarray):
        return "number"
    if vectors.is_numeric(column.type):
        return "number"
    return "category" if str(column.type).startswith("dictionary") else str(column.type)


def _is_dask(values: Any) -> bool:
    return hasattr(values, "__dask_graph__") and hasattr(values, "dask")


def _computed(values: Any) -> Any:
    """Row arrays of data in memory that are themselves Dask collections."""
    return values.compute() if _is_dask(values) else values


def refuse_object(dtype: Any) -> None:
    """Refuse a Dask array whose type is no number before anything is read."""
    if np.dtype(dtype).kind not in "buifO":
        raise DataError(f"X holds {dtype}, not numbers. Convert it to numbers first.")
