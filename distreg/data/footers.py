"""What can be known of Parquet files before reading them: footers, and values of some columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distreg.data import labels, vectors
from distreg.data.frames import check_levels, scan_columns
from distreg.data.storage import FileRef, Options, is_remote, opened, retried
from distreg.data.vectors import ColumnScan
from distreg.exceptions import DataError

__all__ = ["Footer", "open_parquet", "read_footers", "scan_levels"]

BUFFER_BYTES = 1 << 18


@dataclass(frozen=True)
class Footer:
    """What the end of a file tells.

    Attributes
    ----------
    file : FileRef
    kinds : mapping from str to str
        Kind of every column: "number", "text" or its Arrow type.
    types : mapping from str to str
        Arrow type of every column.
    rows : tuple of int
        Rows of every row group.
    index : frozenset of str
        Columns that hold a pandas index.
    """

    file: FileRef
    kinds: Mapping[str, str]
    types: Mapping[str, str]
    rows: tuple[int, ...]
    index: frozenset[str]


@contextmanager
def open_parquet(file: FileRef, text: Sequence[str], options: Options) -> Iterator[Any]:
    """Open a file for reading row groups with little memory: page by page, no prefetch."""
    import pyarrow.parquet as pq

    keywords = {
        "read_dictionary": list(text),
        "pre_buffer": False,
        "buffer_size": BUFFER_BYTES,
    }
    if is_remote(file.path):
        with opened(file, options) as stream, pq.ParquetFile(stream, **keywords) as parquet:
            yield parquet
    else:
        file.check()
        with pq.ParquetFile(file.path, **keywords) as parquet:
            yield parquet


def read_footers(files: Sequence[FileRef], options: Options) -> list[Footer]:
    """Footers of all files."""
    with ThreadPoolExecutor(8) as pool:
        return list(
            pool.map(lambda file: retried(lambda: _footer(file, options), file.path), files)
        )


def _footer(file: FileRef, options: Options) -> Footer:
    with open_parquet(file, (), options) as parquet:
        metadata, schema = parquet.metadata, parquet.schema_arrow
        kinds = {
            name: "number"
            if vectors.is_numeric(kind)
            else ("text" if vectors.is_text(kind) else str(kind))
            for name, kind in zip(schema.names, schema.types, strict=True)
        }
        if len(kinds) < len(schema.names):
            twice = vectors.duplicates(schema.names)
            raise DataError(f"{file.path} has columns with the same name: {twice}. Rename them.")
        rows = tuple(metadata.row_group(k).num_rows for k in range(metadata.num_row_groups))
        types = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
        return Footer(file, kinds, types, rows, _pandas_index(schema.metadata))


def _pandas_index(metadata: Mapping[bytes, bytes] | None) -> frozenset[str]:
    """Columns in which pandas or Dask keep the index of a table."""
    try:
        content = json.loads((metadata or {}).get(b"pandas", b"{}"))
        return frozenset(name for name in content["index_columns"] if isinstance(name, str))
    except (ValueError, KeyError, TypeError):
        return frozenset()


def scan_levels(
    footers: Sequence[Footer],
    names: Sequence[str],
    limits: Mapping[str, int],
    options: Options,
    target: str | None = None,
) -> list[ColumnScan]:
    """Values of the columns `names`; reads only these columns, where Dask computes.

    `target` is the one of them that holds labels of classes.
    """
    import dask

    task = dask.delayed(_scan_file, pure=False)
    tasks = [
        task(f.file, f.types, tuple(names), dict(limits), options, target)
        for f in footers
        if f.rows
    ]
    return list(dask.compute(*tasks))


def _scan_file(
    file: FileRef,
    types: Mapping[str, str],
    names: tuple[str, ...],
    limits: Mapping[str, int],
    options: Options,
    target: str | None = None,
) -> ColumnScan:
    import pyarrow as pa

    def scan() -> ColumnScan:
        levels: dict[str, set[Any]] = {name: set() for name in names}
        missing: dict[str, vectors.Gaps] = {}
        n_rows = 0
        text = [name for name in names if types[name] in ("string", "large_string")]
        with open_parquet(file, text, options) as parquet:
            for batch in parquet.iter_batches(65_536, columns=list(names), use_threads=False):
                table = pa.Table.from_batches([batch])
                part = scan_columns(table, names, limits, file.name)
                for name in names:
                    levels[name] |= set(part.levels[name])
                    check_levels(name, levels[name], limits)
                if target is not None:
                    labels.check_count(levels[target], target)
                for name, gaps in part.missing.items():
                    before = missing.get(name, vectors.Gaps(n_rows + gaps.first, 0))
                    missing[name] = before._replace(total=before.total + gaps.total)
                n_rows += part.n_rows
        return ColumnScan(n_rows, levels, missing)

    return retried(scan, file.path)
