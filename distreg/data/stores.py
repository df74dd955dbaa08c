"""Arrays on disk, npy files and zarr stores: opened, read and dropped inside the task."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from distreg.data.block import Block
from distreg.data.dataset import BLOCK_BYTES
from distreg.data.labels import coded
from distreg.data.memory import array_block
from distreg.data.rows import RowArrays, as_float_vector, as_keys
from distreg.data.storage import FileRef, Options, is_remote, list_files, reading, retried, walk
from distreg.data.vectors import Level
from distreg.exceptions import DataError, InputError

__all__ = [
    "ArrayPart",
    "Matrix",
    "StoreRecipe",
    "StoreSource",
    "find_npy",
    "find_zarr",
    "open_matrix",
    "plan_store",
]


@dataclass(frozen=True)
class ArrayPart:
    """An array on disk: an npy file, or an array of a zarr store.

    Attributes
    ----------
    path : str
        File or store.
    component : str or None
        Array within a zarr store ("" for the store itself); None for npy.
    """

    path: str
    component: str | None = None

    def __str__(self) -> str:
        """Readable place."""
        return f"{self.path}/{self.component}" if self.component else self.path

    def open(self, options: Options) -> Any:
        """Something with shape, dtype and slices."""
        if self.component is None:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        node = _zarr(self.path, options)
        return node[self.component] if self.component else node

    def chunk_files(self, array: Any, start: int, stop: int) -> Iterator[str]:
        """Where the opened zarr array keeps rows start:stop, if it is a local folder."""
        if self.component is None or is_remote(self.path) or not os.path.isdir(self.path):
            return
        sizes = array.shards or array.chunks
        grid = [range(-(-n // size)) for n, size in zip(array.shape, sizes, strict=True)]
        grid[0] = range(start // sizes[0], -(-stop // sizes[0]))
        for place in product(*grid):
            key = array.metadata.encode_chunk_key(place)
            yield os.path.join(self.path, self.component, key)


@dataclass(frozen=True)
class StoreSource:
    """What all recipes of a data set share.

    Attributes
    ----------
    X : ArrayPart
        Matrix that holds the features.
    shape : tuple of int
        Its shape when the data set was made.
    features : tuple of int
        Columns of it that are features.
    columns : mapping from str to int
        Roles that are columns of it.
    arrays : mapping from str to ArrayPart
        Roles that are arrays of their own.
    classes : tuple or None
        Labels of a target of classes.
    """

    X: ArrayPart
    shape: tuple[int, int]
    features: tuple[int, ...]
    columns: Mapping[str, int]
    arrays: Mapping[str, ArrayPart]
    drop: bool = False
    options: Options = field(default_factory=dict)
    classes: tuple[Level, ...] | None = None

    def open(self) -> dict[ArrayPart, Any]:
        """All arrays, opened."""
        return {part: part.open(self.options) for part in (self.X, *self.arrays.values())}


@dataclass(frozen=True, eq=False)
class StoreRecipe:
    """Rows of arrays on disk.

    Attributes
    ----------
    n_files : int
        Files that held the rows of a zarr store when the data set was made. Zarr takes a chunk
        without a file for one of zeros.
    """

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    shared: StoreSource
    n_files: int = 0
    inputs: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        """Where the rows come from."""
        stop = self.row_start + self.n_rows - 1
        return f"{os.path.basename(str(self.shared.X))}, rows {self.row_start} to {stop}"

    def load(self, *inputs: Any) -> Block:
        """Read the rows; nothing stays open."""
        return retried(self._read, str(self.shared.X))

    def _read(self) -> Block:
        shared, stop = self.shared, self.row_start + self.n_rows
        opened = shared.open()
        X = opened[shared.X]
        if tuple(X.shape) != shared.shape:
            raise DataError(
                f"{shared.X} has shape {tuple(X.shape)} and had {shared.shape} when the data set "
                "was made. Make the data set again."
            )
        part = X[self.row_start : stop]
        values = {role: part[:, column] for role, column in shared.columns.items()}
        if len(shared.features) < shared.shape[1]:
            part = part[:, list(shared.features)]
        # a copy, so that no view keeps the file mapped
        dense = np.array(part, order="K")
        for role, array in shared.arrays.items():
            values[role] = np.array(opened[array][self.row_start : stop])
        n_files = _count_files(opened, self.row_start, stop)
        if n_files != self.n_files:
            raise DataError(
                f"{self.source}: {shared.X.path} has changed: these rows were in {self.n_files} "
                f"files when the data set was made and are in {n_files} now. Make the data set "
                "again."
            )
        rows = RowArrays(**{role: self._role(role, value) for role, value in values.items()})
        del X, opened, part, values
        return array_block(dense, rows, self.row_start, self.source, shared.drop)

    def _role(self, role: str, value: np.ndarray) -> np.ndarray:
        """What a row array means; always a copy."""
        if role == "fold_key":
            return as_keys(value, self.n_rows)[0]
        if role == "y" and self.shared.classes is not None:
            return coded(value, self.shared.classes, role, self.row_start, self.source)
        return np.array(as_float_vector(value, role, self.n_rows))


def find_npy(path: str) -> tuple[ArrayPart, dict[str, ArrayPart], list[FileRef]]:
    """The matrix, the arrays beside it by name, and the files: X.npy of a folder, or the file."""
    if is_remote(path):
        raise InputError(f"{path}: npy files are mapped into memory and must be local.")
    files = list_files(path, (".npy",), {})
    beside = {os.path.splitext(ref.name)[0]: ArrayPart(ref.path) for ref in files}
    if os.path.isdir(path):
        if "X" not in beside:
            raise DataError(f"{path} holds no file X.npy. The files are {sorted(beside)}.")
        return beside.pop("X"), beside, files
    folder = os.path.dirname(path) or "."
    beside = {
        os.path.splitext(name)[0]: ArrayPart(os.path.join(folder, name))
        for name in sorted(os.listdir(folder))
        if name.endswith(".npy") and os.path.join(folder, name) != path
    }
    return ArrayPart(path), beside, files


def find_zarr(path: str, options: Options) -> tuple[ArrayPart, dict[str, ArrayPart], list[FileRef]]:
    """The matrix ("X" of a group, or the store itself), the other arrays by name, and the files."""
    if not is_remote(path) and not os.path.exists(path):
        raise DataError(f"{path} does not exist. Check the path.")
    with reading(path):
        node = _zarr(path, options)
        files = [] if is_remote(path) else _all_files(path)
        if hasattr(node, "shape"):
            return ArrayPart(path, ""), {}, files
        names = sorted(node.array_keys())
    if "X" not in names:
        raise DataError(f"{path} holds no array X. Its arrays are {names}.")
    return (
        ArrayPart(path, "X"),
        {name: ArrayPart(path, name) for name in names if name != "X"},
        files,
    )


def _zarr(path: str, options: Options) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise InputError(
            'Reading zarr stores needs the package zarr. Run: pip install "distreg[zarr]"'
        ) from error
    return zarr.open(path, mode="r", storage_options=dict(options) or None)


def _all_files(path: str) -> list[FileRef]:
    found = []
    for name in walk(path, hidden=True):
        full = os.path.join(path, name)
        info = os.stat(full)
        found.append(FileRef(full, name, info.st_size, info.st_mtime_ns))
    return sorted(found, key=lambda ref: ref.name)


@dataclass(frozen=True)
class Matrix:
    """Shape, type, names and chunk rows of a matrix on disk."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    names: tuple[str, ...]
    chunk_rows: int


def open_matrix(X: ArrayPart, options: Options) -> Matrix:
    """Look at a matrix without reading it."""
    with reading(str(X)):
        array = X.open(options)
        shape, dtype = tuple(int(size) for size in array.shape), np.dtype(array.dtype)
        chunks = getattr(array, "chunks", None)
        given = list(getattr(array, "attrs", {}).get("feature_names", ()))
    if len(shape) != 2:
        raise DataError(f"{X} has shape {shape}; a matrix of rows and features is needed.")
    if dtype.kind not in "buif":
        raise DataError(f"{X} holds {dtype}, not numbers. Write it as float64 or float32.")
    names = tuple(str(n) for n in given) if given else tuple(f"x{j}" for j in range(shape[1]))
    if len(names) != shape[1] or len(set(names)) != shape[1]:
        raise DataError(
            f"{X} has {shape[1]} columns and {len(names)} feature_names. Give one name a column."
        )
    return Matrix((shape[0], shape[1]), dtype, names, int(chunks[0]) if chunks else 1)


def plan_store(shared: StoreSource, matrix: Matrix) -> list[StoreRecipe]:
    """Recipes of whole zarr chunks (where they fit), or of equal runs of rows."""
    n_rows, n_features = matrix.shape[0], len(shared.features)
    row_bytes = n_features * (4 if matrix.dtype == np.float32 else 8) + 8 * (
        len(shared.columns) + len(shared.arrays)
    )
    # what is read includes the columns that are no features
    stored = matrix.shape[1] * max(matrix.dtype.itemsize, 8)
    rows = max(1, min(BLOCK_BYTES // 2 // max(stored, 1), n_rows))
    if matrix.chunk_rows <= rows < n_rows:
        rows -= rows % matrix.chunk_rows
    recipes = []
    with reading(str(shared.X)):
        opened = shared.open()
        for index, start in enumerate(range(0, n_rows, rows)):
            size = min(rows, n_rows - start)
            n_files = _count_files(opened, start, start + size)
            recipes.append(StoreRecipe(index, start, size, size * row_bytes, shared, n_files))
    return recipes


def _count_files(opened: Mapping[ArrayPart, Any], start: int, stop: int) -> int:
    """Files of zarr chunks that hold rows start:stop of the opened arrays."""
    return sum(
        os.path.exists(file)
        for part, array in opened.items()
        for file in part.chunk_files(array, start, stop)
    )
