"""Recipes of data that live in this process: arrays, sparse matrices and tables, cut into rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from distreg.data.block import Block
from distreg.data.dataset import memory_parts, row_cuts
from distreg.data.frames import TableLayout
from distreg.data.rows import RowArrays, make_block
from distreg.exceptions import DataError, InputError

__all__ = [
    "ArrayRecipe",
    "SparseRecipe",
    "TableRecipe",
    "array_block",
    "cut_rows",
    "check_matrix",
    "float_matrix",
    "sample_of",
    "sparse_block",
]

T = TypeVar("T")
SAMPLE_ROWS = 256


@dataclass(frozen=True, eq=False)
class _MemoryRecipe:
    """Rows of something in memory. `data` and `rows` are shared by all recipes of a data set."""

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    data: Any
    rows: RowArrays
    drop: bool = False
    inputs: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        """Rows, for messages."""
        return f"rows {self.row_start} to {self.row_start + self.n_rows - 1}"

    @property
    def _range(self) -> tuple[int, int]:
        return self.row_start, self.row_start + self.n_rows


@dataclass(frozen=True, eq=False)
class ArrayRecipe(_MemoryRecipe):
    """Rows of a NumPy array: views, unless its type or memory order has to change."""

    def load(self, *inputs: Any) -> Block:
        """Make the block."""
        start, stop = self._range
        rows = self.rows.slice(start, stop)
        return array_block(self.data[start:stop], rows, start, self.source, self.drop)


@dataclass(frozen=True, eq=False)
class SparseRecipe(_MemoryRecipe):
    """Rows of a CSR matrix."""

    def load(self, *inputs: Any) -> Block:
        """Make the block."""
        start, stop = self._range
        matrix, rows = self.data, self.rows.slice(start, stop)
        first, last = matrix.indptr[start], matrix.indptr[stop]
        part = sparse.csr_array(
            (
                matrix.data[first:last],
                matrix.indices[first:last],
                matrix.indptr[start : stop + 1] - first,
            ),
            shape=(stop - start, matrix.shape[1]),
        )
        return sparse_block(part, rows, start, self.source, self.drop)


@dataclass(frozen=True, eq=False)
class TableRecipe(_MemoryRecipe):
    """Rows of a pandas DataFrame or a pyarrow Table."""

    layout: TableLayout | None = None

    def load(self, *inputs: Any) -> Block:
        """Make the block."""
        start, stop = self._range
        part = self.data.iloc[start:stop] if hasattr(self.data, "iloc") else self.data[start:stop]
        rows = self.rows.slice(start, stop)
        assert self.layout is not None
        return self.layout.block_of(part, rows=rows, row_start=start, source=self.source)


def cut_rows(n_rows: int, nbytes: int, make: Callable[[int, int, int, int], T]) -> Iterator[T]:
    """Recipes ``make(index, row_start, n_rows, nbytes)`` of data in memory."""
    for index, (start, stop) in enumerate(row_cuts(n_rows, memory_parts(nbytes))):
        yield make(index, start, stop - start, nbytes * (stop - start) // n_rows)


def float_matrix(part: Any) -> np.ndarray:
    """Rows as contiguous float32 (where they are) or float64, C or Fortran order."""
    array = np.asarray(part)
    if array.dtype.kind not in "buifO":
        raise DataError(
            f"X holds {array.dtype}, not numbers. Convert it to numbers, or give a DataFrame whose "
            "text columns are declared categorical."
        )
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    if array.flags.c_contiguous or array.flags.f_contiguous:
        order = "K"
    else:
        order = "F" if array.strides[0] < array.strides[1] else "C"
    try:
        # NumPy's overloads want the order and the type as literals
        return array.astype(dtype, order=order, copy=False)  # type: ignore[call-overload,no-any-return]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"X holds something that is no number: {error}. Convert it to numbers, or give a "
            "DataFrame whose text columns are declared categorical."
        ) from error


def array_block(part: Any, rows: RowArrays, row_start: int, source: str, drop: bool) -> Block:
    """Block of dense features."""
    dense = float_matrix(part)
    incomplete = np.isnan(dense).any(axis=1) if drop else None
    return make_block(dense, None, rows, row_start=row_start, source=source, incomplete=incomplete)


def sparse_block(
    part: sparse.csr_array, rows: RowArrays, row_start: int, source: str, drop: bool
) -> Block:
    """Block of sparse features: duplicates summed, explicit zeros gone, indices sorted."""
    if part.dtype.kind not in "buif":
        raise DataError(f"X holds {part.dtype}, not numbers. Convert it to numbers first.")
    matrix = sparse.csr_array(part)
    if matrix.dtype != np.float64:
        matrix = matrix.astype(np.float64)
    zeros = bool(np.any(matrix.data == 0.0))
    if zeros or not matrix.has_canonical_format:
        matrix = matrix.copy() if matrix.dtype == part.dtype else matrix
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    if matrix.indices.dtype != np.int32 and max(matrix.shape[1], matrix.nnz) < 2**31:
        narrow = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
        matrix = sparse.csr_array(narrow, shape=matrix.shape)
    incomplete = None
    if drop:
        incomplete = np.zeros(matrix.shape[0], dtype=bool)
        at = np.flatnonzero(np.isnan(matrix.data))
        incomplete[np.searchsorted(matrix.indptr, at, side="right") - 1] = True
    dense = np.empty((matrix.shape[0], 0))
    return make_block(
        dense, matrix, rows, row_start=row_start, source=source, incomplete=incomplete
    )


def sample_of(X: Any, rows: RowArrays) -> Iterator[bytes]:
    """Bytes of some rows of X and of all row arrays, for a digest."""
    n_rows = X.shape[0]
    chosen = np.unique(np.linspace(0, n_rows - 1, min(SAMPLE_ROWS, n_rows)).astype(int))
    if sparse.issparse(X):
        part = X[chosen]
        yield from (np.asarray(a).tobytes() for a in (part.data, part.indices, part.indptr))
    elif hasattr(X, "iloc") or hasattr(X, "column_names"):
        part = X.iloc[chosen] if hasattr(X, "iloc") else X.take(chosen).to_pandas()
        yield part.to_csv(index=False).encode()
    elif X.dtype.kind == "O":
        yield repr(X[chosen].tolist()).encode()
    else:
        yield np.ascontiguousarray(X[chosen]).tobytes()
    for values in (rows.y, rows.weight, rows.offset, rows.fold_key):
        if values is not None:
            yield np.ascontiguousarray(values).tobytes()


def check_matrix(X: Any) -> Any:
    """A two-dimensional NumPy array."""
    array = X if isinstance(X, np.ndarray) and type(X) is np.ndarray else np.asarray(X)
    if array.ndim != 2:
        advice = " Reshape it: X.reshape(-1, 1) for one feature." if array.ndim == 1 else ""
        raise InputError(
            f"X has shape {array.shape}; a matrix of rows and features is needed.{advice}"
        )
    if array.dtype.kind not in "buifO":
        raise DataError(
            f"X holds {array.dtype}, not numbers. Convert it to numbers, or give a DataFrame whose "
            "text columns are declared categorical."
        )
    return array
