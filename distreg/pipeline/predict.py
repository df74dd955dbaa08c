"""Predictions for files, block by block: memory does not grow with their length."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from distreg.data.storage import list_files
from distreg.data.vectors import MISSING_LEVEL
from distreg.exceptions import ConfigError, DataError
from distreg.model import LinearModel

__all__ = ["predict_file"]

BLOCK_BYTES = 32_000_000
MAX_HEADER = 64_000_000
PREDICTION = "prediction"


def predict_file(model_path: Path, data: str, out: Path, *, keep: Sequence[str] = ()) -> int:
    """Write the predictions for the rows of `data`, in their order.

    Parameters
    ----------
    model_path : Path
        A model's folder, or the output folder of a run.
    data : str
        Parquet or csv: a file, a folder or a glob.
    out : Path
        ".parquet" or ".csv"; appears when it is complete.
    keep : sequence of str
        Columns of `data` to copy.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    InputError
        The model, the data or the output cannot be used.
    """
    inner = model_path / "model"
    model = LinearModel.load(inner if inner.is_dir() else model_path)
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise ConfigError(f"--out {out}: the name must end in .parquet or .csv")
    files = [file.path for file in list_files(data, (".parquet", ".csv"), {})]
    if any(os.path.exists(out) and os.path.samefile(out, file) for file in files):
        raise ConfigError(f"--out {out}: is the data file itself; give another name")
    if PREDICTION in keep:
        raise ConfigError(f"--keep: the name {PREDICTION} is taken by the result")
    draft = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        n_rows = _write(draft, out.suffix.lower(), _predicted(model, files, list(keep)))
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return n_rows


def _predicted(model: LinearModel, files: list[str], keep: list[str]) -> Iterator[pa.Table]:
    """Predictions, and the kept columns, of one block after the other."""
    needed = _columns_of(model)
    n_rows = max(1_000, min(65_536, BLOCK_BYTES // (8 * max(len(needed), 1))))
    for file in files:
        try:
            for batch in _batches(model, file, list(dict.fromkeys([*needed, *keep])), n_rows):
                table = pa.Table.from_batches([batch])
                values = pa.array(model.predict(table.select(needed)))
                yield table.select(keep).append_column(PREDICTION, values)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())})") from None


def _columns_of(model: LinearModel) -> list[str]:
    """Raw columns that the model reads."""
    if model.columns is None:
        return list(model.feature_names)
    return [*model.columns.numeric, *model.columns.categorical]


def _batches(
    model: LinearModel, file: str, wanted: list[str], n_rows: int
) -> Iterator[pa.RecordBatch]:
    """Blocks of the wanted columns of one file."""
    if file.lower().endswith(".parquet"):
        with pq.ParquetFile(file) as parquet:
            _check_columns(file, wanted, parquet.schema_arrow.names)
            yield from parquet.iter_batches(batch_size=n_rows, columns=wanted)
        return
    names, parse = _csv_header(file)
    _check_columns(file, wanted, names)
    convert = pc.ConvertOptions(
        column_types=_csv_types(model), include_columns=wanted, strings_can_be_null=True
    )
    read = pc.ReadOptions(block_size=BLOCK_BYTES // 8)
    with pc.open_csv(
        file, read_options=read, parse_options=parse, convert_options=convert
    ) as reader:
        yield from reader


def _csv_header(file: str) -> tuple[list[str], pc.ParseOptions]:
    """Column names, and how to parse: the delimiter is the most frequent one of the first line."""
    with open(file, encoding="utf-8-sig", newline="") as stream:
        line = stream.readline(MAX_HEADER).rstrip("\r\n")
    if not line.strip():
        raise DataError(f"{file}: is empty; a csv file needs a line of column names")
    delimiter = max(",;\t|", key=lambda mark: (line.count(mark), mark == ","))
    names = next(csv.reader([line], delimiter=delimiter))
    return names, pc.ParseOptions(delimiter=delimiter, newlines_in_values=True)


def _csv_types(model: LinearModel) -> dict[str, pa.DataType]:
    """Types that do not depend on what the first block of a csv file happens to hold."""
    if model.columns is None:
        return dict.fromkeys(model.feature_names, pa.float64())
    types: dict[str, pa.DataType] = dict.fromkeys(model.columns.numeric, pa.float64())
    for name in model.columns.categorical:
        kinds = {type(level) for level in model.columns.levels[name] if level != MISSING_LEVEL}
        if kinds == {bool}:
            types[name] = pa.bool_()
        elif kinds == {int}:
            types[name] = pa.int64()
        elif kinds <= {int, float}:
            types[name] = pa.float64()
        else:
            types[name] = pa.string()
    return types


def _check_columns(file: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """Name all missing columns at once."""
    missing = [name for name in wanted if name not in names]
    if missing:
        close = difflib.get_close_matches(missing[0], names, n=1)
        hint = f"; did you mean {close[0]!r} for {missing[0]!r}?" if close else ""
        shown = ", ".join(repr(name) for name in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise DataError(f"{file}: lacks {len(missing)} of the needed columns: {shown}{more}{hint}")


def _write(path: Path, suffix: str, tables: Iterator[pa.Table]) -> int:
    """Write tables of one schema to a file; returns the number of rows."""
    writer: Any = None
    n_rows = 0
    try:
        for table in tables:
            if writer is None:
                kind = pq.ParquetWriter if suffix == ".parquet" else pc.CSVWriter
                writer = kind(path, table.schema)
            # another file may store a kept column in another type
            writer.write_table(table.cast(writer.schema) if suffix == ".parquet" else table)
            n_rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise DataError("the data hold no rows to predict")
    return n_rows
