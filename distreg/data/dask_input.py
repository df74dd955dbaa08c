"""Dask arrays and Dask DataFrames become a `Dataset`: a block for each chunk or partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from distreg.data.arrays import (
    choose_table_columns,
    class_schema,
    described,
    feature_names_of,
    refuse_object,
    row_arrays,
    split_names,
)
from distreg.data.block import Block, BlockRecipe
from distreg.data.dask_rows import (
    align_parts,
    computed_rows,
    known_chunks,
    lazy_digest,
    part_length,
    scan_parts,
    split_lazy,
)
from distreg.data.dataset import Dataset, make_groups
from distreg.data.frames import TableLayout, finish_layout, scan_columns
from distreg.data.memory import array_block, sparse_block
from distreg.data.rows import PREFIX, Roles, RowArrays
from distreg.data.vectors import ColumnScan, Level
from distreg.exceptions import DataError, InputError

__all__ = ["ChunkRecipe", "PartitionRecipe", "from_dask_array", "from_frame"]

SPARSE_DENSITY = 0.05
"""Assumed for the size of sparse chunks, which is unknown before they are made."""


@dataclass(frozen=True, eq=False)
class ChunkRecipe:
    """A row of chunks of a Dask array, with the pieces of row arrays that go with it.

    Attributes
    ----------
    n_columns : int
        Leading `inputs` that are chunks of features, side by side.
    roles : tuple of str
        Which row arrays the other `inputs` are.
    rows : RowArrays
        Row arrays that are no Dask collections.
    classes : tuple or None
        Labels of a target among the `inputs`.
    """

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    source: str
    inputs: tuple[Any, ...]
    n_features: int
    n_columns: int
    roles: tuple[str, ...]
    rows: RowArrays
    is_sparse: bool
    drop: bool
    classes: tuple[Level, ...] | None = None

    def load(self, *inputs: Any) -> Block:
        """Make the block of the computed inputs."""
        chunks, vectors = inputs[: self.n_columns], inputs[self.n_columns :]
        if self.is_sparse:
            parts = [_as_csr(chunk) for chunk in chunks]
            whole: Any = parts[0] if len(parts) == 1 else sparse.hstack(parts, format="csr")
        else:
            parts = [_in_order(np.asarray(chunk)) for chunk in chunks]
            whole = parts[0] if len(parts) == 1 else np.hstack(parts)
        if whole.shape != (self.n_rows, self.n_features):
            raise DataError(
                f"{self.source} has shape {whole.shape}, but {(self.n_rows, self.n_features)} was "
                "announced. The chunk must be the same whenever it is computed."
            )
        where = self.row_start, self.source
        found = computed_rows(self.roles, vectors, self.n_rows, self.classes, where)
        rows = self.rows.updated(found)
        make = sparse_block if self.is_sparse else array_block
        return make(whole, rows, self.row_start, self.source, self.drop)


@dataclass(frozen=True, eq=False)
class PartitionRecipe:
    """A partition of a Dask DataFrame; `roles` and `rows` as in `ChunkRecipe`."""

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    source: str
    inputs: tuple[Any, ...]
    layout: TableLayout
    roles: tuple[str, ...]
    rows: RowArrays

    def load(self, *inputs: Any) -> Block:
        """Make the block of the computed partition."""
        frame, *vectors = inputs
        if len(frame) != self.n_rows:
            raise DataError(
                f"{self.source} has {len(frame)} rows, but had {self.n_rows} when it was scanned. "
                "The partition must be the same whenever it is computed."
            )
        where, classes = (self.row_start, self.source), self.layout.roles.classes
        found = computed_rows(self.roles, vectors, self.n_rows, classes, where)
        rows = self.rows.updated(found)
        return self.layout.block_of(frame, rows=rows, row_start=self.row_start, source=self.source)


def from_dask_array(
    X: Any,
    given: dict[str, Any],
    feature_names: Sequence[str] | None,
    missing: Any,
    categorical: Sequence[str] | None,
    classes: bool,
) -> Dataset:
    """Data set of a Dask array of NumPy or sparse chunks, whatever its chunks."""
    if categorical is not None:
        raise InputError("categorical names columns of a table, but X is an array.")
    if X.ndim != 2 or np.isnan(X.shape[1]):
        raise InputError(
            f"X has shape {X.shape}; a matrix of rows and a known number of features is needed. "
            "For one feature use X[:, None]; for unknown features X.compute_chunk_sizes()."
        )
    is_sparse = _holds_sparse(X)
    if not is_sparse:
        refuse_object(X.dtype)
    n_features = int(X.shape[1])
    names = feature_names_of(feature_names, n_features)
    chunks = X.to_delayed()
    lazy, local = split_lazy(given, classes)
    found = scan_parts(
        [part_length] * len(chunks), [row[0] for row in chunks], lazy, known_chunks(X), classes
    )
    lengths, lazy = found.lengths, found.lazy
    n_rows = sum(lengths)
    rows, levels = row_arrays(local, n_rows, classes)
    if found.classes is not None:
        levels = replace(levels, classes=found.classes)
    row_bytes = _row_bytes(X.dtype, n_features, is_sparse)
    recipes: list[BlockRecipe] = []
    for position, start, length, pieces in align_parts(lengths, lazy):
        recipe = ChunkRecipe(
            index=len(recipes),
            row_start=start,
            n_rows=length,
            nbytes=int(length * row_bytes),
            source=f"chunk {position} of the Dask array",
            inputs=(*chunks[position], *pieces),
            n_features=n_features,
            n_columns=len(chunks[position]),
            roles=tuple(lazy),
            rows=rows.slice(start, start + length),
            is_sparse=is_sparse,
            drop=missing == "drop",
            classes=found.classes,
        )
        recipes.append(recipe)
    return Dataset(
        name="Dask array",
        n_rows=n_rows,
        feature_names=names,
        n_dense=0 if is_sparse else n_features,
        n_sparse=n_features if is_sparse else 0,
        groups=make_groups(recipes),
        in_memory=False,
        digest=lazy_digest(
            [names, lengths, missing, is_sparse, *class_schema(levels)], [X, *lazy.values()], rows
        ),
        missing=missing,
        nbytes=sum(recipe.nbytes for recipe in recipes),
        n_scans=found.n_scans,
        **described(given, levels),
    )


def from_frame(
    X: Any,
    given: dict[str, Any],
    feature_names: Sequence[str] | None,
    missing: Any,
    categorical: Sequence[str] | None,
    classes: bool,
) -> Dataset:
    """Data set of a Dask DataFrame; Series beside it become columns of the same frame.

    Only so do features and target have the same partitions: Dask may read two selections of one
    source with different ones.
    """
    if feature_names is not None:
        raise InputError("feature_names is for arrays; a table has its own column names.")
    named, arrays = split_names(given, [str(name) for name in X.columns])
    frame, roles = _with_series(X, named, arrays)
    lazy, local = split_lazy({r: v for r, v in arrays.items() if r not in roles}, classes)
    kinds = {str(n): _dtype_kind(X.dtypes.iloc[j]) for j, n in enumerate(X.columns)}
    chosen = choose_table_columns(kinds, named, categorical)
    key, scanned = roles.get("fold_key"), list(chosen.categorical)
    if key is not None and not _is_number(frame.dtypes[key]):
        scanned.append(key)
    target = roles.get("y") if classes else None
    if target is not None:
        scanned.append(target)
    parts = frame.to_delayed()
    task = partial(_scan_frame, names=tuple(dict.fromkeys(scanned)), target=target)
    found = scan_parts([task] * len(parts), list(parts), lazy, None, classes)
    lengths, lazy = found.lengths, found.lazy
    rows, levels = row_arrays(local, sum(lengths), classes)
    types = {str(name): str(X.dtypes.iloc[j]).lower() for j, name in enumerate(X.columns)}
    single = bool(chosen.numeric) and all(types[name] == "float32" for name in chosen.numeric)
    layout = finish_layout(
        chosen,
        Roles.of(roles),
        found.scans,
        missing=missing,
        dtype="float32" if single else "float64",
        classes=classes,
    )
    if found.classes is not None:
        layout = replace(layout, roles=replace(layout.roles, classes=found.classes))
    levels = levels.joined(layout.roles)
    recipes: list[BlockRecipe] = []
    for position, start, length, pieces in align_parts(lengths, lazy):
        recipe = PartitionRecipe(
            index=len(recipes),
            row_start=start,
            n_rows=length,
            nbytes=length * layout.row_bytes,
            source=f"partition {position} of the Dask DataFrame",
            inputs=(parts[position], *pieces),
            layout=layout,
            roles=tuple(lazy),
            rows=rows.slice(start, start + length),
        )
        recipes.append(recipe)
    columns = layout.columns
    schema = [columns.to_dict(), lengths, roles, *class_schema(levels)]
    return Dataset(
        name="Dask DataFrame",
        n_rows=sum(lengths),
        feature_names=columns.feature_names,
        n_dense=columns.n_dense,
        n_sparse=columns.n_sparse,
        groups=make_groups(recipes),
        in_memory=False,
        digest=lazy_digest(schema, [frame, *lazy.values()], rows),
        missing=missing,
        columns=columns,
        nbytes=sum(recipe.nbytes for recipe in recipes),
        n_scans=found.n_scans,
        **described(given, levels),
    )


def _with_series(
    X: Any, named: dict[str, str], arrays: dict[str, Any]
) -> tuple[Any, dict[str, str]]:
    """Frame with the Series that share its partitions as columns, and the column of each role."""
    roles, beside = dict(named), {}
    for role, values in arrays.items():
        if hasattr(values, "to_dask_array") and values.ndim == 1 and _shares_partitions(X, values):
            roles[role] = f"{PREFIX}{role}"
            beside[roles[role]] = values
    if not beside:
        return X, roles
    meta = X._meta.assign(**{name: series._meta.to_numpy() for name, series in beside.items()})
    frame = X.map_partitions(
        _put_beside, *beside.values(), names=tuple(beside), meta=meta, align_dataframes=False
    )
    return frame, roles


def _put_beside(frame: Any, *series: Any, names: tuple[str, ...]) -> Any:
    """Partition with Series as further columns, row by row whatever their index."""
    for name, values in zip(names, series, strict=True):
        if len(values) != len(frame):
            role = name.removeprefix(PREFIX)
            raise InputError(
                f"A partition of X has {len(frame)} rows and the one of {role} has {len(values)}. "
                "Give one entry for each row."
            )
    beside = {name: values.array for name, values in zip(names, series, strict=True)}
    return frame.assign(**beside)


def _shares_partitions(X: Any, series: Any) -> bool:
    """Whether both come from one source by steps that keep partitions; else rows go by position."""
    try:
        from dask.dataframe.dask_expr._expr import are_co_aligned
    except ImportError:
        return False
    return X.npartitions == series.npartitions and bool(are_co_aligned(X.expr, series.expr))


def _scan_frame(frame: Any, names: tuple[str, ...], target: str | None) -> tuple[ColumnScan, int]:
    return scan_columns(frame, names, {}, target=target), len(frame)


def _holds_sparse(X: Any) -> bool:
    meta = X._meta
    return sparse.issparse(meta) or hasattr(meta, "to_scipy_sparse")


def _in_order(chunk: np.ndarray) -> np.ndarray:
    """The chunk itself, or a copy in C order of rows that lie apart.

    So it arrives from another process: sums in another order would round otherwise.
    """
    ordered = chunk.flags.c_contiguous or chunk.flags.f_contiguous
    return chunk if ordered else np.ascontiguousarray(chunk)


def _as_csr(chunk: Any) -> sparse.csr_array:
    """Convert a chunk of any sparse kind (or a dense one among them) to CSR."""
    if hasattr(chunk, "to_scipy_sparse"):
        chunk = chunk.to_scipy_sparse()
    return sparse.csr_array(chunk)


def _row_bytes(dtype: Any, n_features: int, is_sparse: bool) -> float:
    if is_sparse:
        return 4 + 12 * SPARSE_DENSITY * n_features
    return n_features * (4.0 if dtype == np.float32 else 8.0)


def _dtype_kind(dtype: Any) -> str:
    """Kind of a pandas type: "number", "category", or its own name."""
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    # an object column may hold numbers; reading it tells
    return "number" if _is_number(dtype) or np.dtype(object) == dtype else str(dtype)


def _is_number(dtype: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(dtype))
