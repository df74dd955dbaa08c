"""Rows to predict, read block by block as a run reads them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from distreg.data.csvfiles import parse_csv
from distreg.data.csvscan import read_header, text_pieces
from distreg.data.files import SUFFIXES
from distreg.data.storage import FileRef, list_files, opened, reading
from distreg.exceptions import DataError
from distreg.model import LinearModel

__all__ = ["columns_of", "find_files", "read_blocks"]

BLOCK_BYTES = 32_000_000

Block = tuple[LinearModel, pa.Table, pa.Table]


def find_files(data: str) -> list[FileRef]:
    """Parquet and csv files that a path, folder or glob names."""
    return list_files(data, (*SUFFIXES["parquet"], *SUFFIXES["csv"]), {})


def columns_of(model: LinearModel) -> list[str]:
    """Columns that a prediction reads: the features', and the offset's if there was one."""
    names: Sequence[str] = model.feature_names if model.columns is None else model.columns.names
    offset = model.info.get("offset")
    return [*names, *([str(offset)] if offset is not None and offset not in names else [])]


def read_blocks(model: LinearModel, file: FileRef, keep: Sequence[str]) -> Iterator[Block]:
    """Blocks of one file: the model that understands it, the columns it reads, the kept ones."""
    with reading(file.path), opened(file, {}) as stream:
        if file.path.lower().endswith(SUFFIXES["parquet"]):
            yield from _parquet_blocks(model, file, stream, keep)
        else:
            yield from _csv_blocks(model, file, stream, keep)


def _parquet_blocks(
    model: LinearModel, file: FileRef, stream: Any, keep: Sequence[str]
) -> Iterator[Block]:
    needed = columns_of(model)
    wanted = list(dict.fromkeys([*needed, *keep]))
    n_rows = max(1_000, min(65_536, BLOCK_BYTES // (8 * max(len(needed), 1))))
    with pq.ParquetFile(stream) as parquet:
        _check_columns(file, wanted, parquet.schema_arrow.names, model)
        for batch in parquet.iter_batches(batch_size=n_rows, columns=wanted):
            table = pa.Table.from_batches([batch])
            yield model, table.select(needed), table.select(list(keep))


def _csv_blocks(
    model: LinearModel, file: FileRef, stream: Any, keep: Sequence[str]
) -> Iterator[Block]:
    """Categories are read as text, kept columns as they are written."""
    needed = columns_of(model)
    header = read_header(stream, file)
    if header is None:  # a part without content
        return
    names, delimiter, offset = header
    _check_columns(file, [*needed, *keep], names, model)
    categorical = () if model.columns is None else model.columns.categorical
    reader = _text_model(model)
    for text in text_pieces(stream, offset, file):
        table = parse_csv(text, names, delimiter, dict.fromkeys(categorical, "text"), needed)
        for name in categorical:
            at, levels = table.column_names.index(name), _numbers(model, name)
            if levels:
                table = table.set_column(at, name, _named(table.column(name), levels))
        yield reader, table, _kept(text, names, delimiter, keep, table.num_rows)


def _text_model(model: LinearModel) -> LinearModel:
    """The same model for columns of text: levels that are numbers become their names."""
    if model.columns is None:
        return model
    levels = {name: tuple(map(str, found)) for name, found in model.columns.levels.items()}
    return dataclasses.replace(model, columns=dataclasses.replace(model.columns, levels=levels))


def _numbers(model: LinearModel, name: str) -> dict[Any, str]:
    """Names of the levels of a column that are no text, by value."""
    levels = () if model.columns is None else model.columns.levels[name]
    return {level: str(level) for level in levels if not isinstance(level, str)}


def _named(column: pa.ChunkedArray, numbers: Mapping[Any, str]) -> pa.Array:
    """Write every way to write a level ("7", "7.0", "true") as its name; leave other text."""
    encoded = column.combine_chunks().dictionary_encode()
    names = [_name_of(text, numbers) for text in encoded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(encoded.indices)


def _name_of(text: str, numbers: Mapping[Any, str]) -> str:
    truth = {"true": True, "false": False}.get(text.strip().lower())
    if truth is not None and numbers.get(truth) == str(truth):
        return str(truth)
    for kind in (int, float):
        try:
            return numbers.get(kind(text), text)
        except ValueError:
            continue
    return text


def _kept(
    text: bytes, names: Sequence[str], delimiter: str, keep: Sequence[str], n_rows: int
) -> pa.Table:
    """Columns as text: a post code keeps its zeros, and NA stays NA."""
    if not keep:
        return pa.table({"": pa.nulls(n_rows)}).select([])
    table: pa.Table = pc.read_csv(
        pa.BufferReader(text),
        read_options=pc.ReadOptions(use_threads=False, column_names=list(names)),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict.fromkeys(keep, pa.string()), include_columns=list(keep)
        ),
    )
    return table


def _check_columns(
    file: FileRef, wanted: Sequence[str], names: Sequence[str], model: LinearModel
) -> None:
    """Name all missing columns at once."""
    missing = [name for name in dict.fromkeys(wanted) if name not in names]
    if missing:
        close = difflib.get_close_matches(missing[0], names, n=1)
        hint = f"; did you mean {close[0]!r} for {missing[0]!r}?" if close else ""
        shown = ", ".join(repr(name) for name in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        offset = model.info.get("offset")
        if offset in missing:
            hint += f". {offset!r} is the offset of the fit: add the column (0 is no offset)"
        raise DataError(
            f"{file.path}: lacks {len(missing)} of the needed columns: {shown}{more}{hint}"
        )
