"""Predictions for files, block by block: memory does not grow with their length."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from distreg.data.storage import FileRef
from distreg.data.vectors import fill_numeric
from distreg.exceptions import ConfigError, DataError, InputError
from distreg.model import LinearModel
from distreg.pipeline.inputs import find_files, read_blocks

__all__ = ["predict_file"]

PREDICTION, PROBABILITY = "prediction", "probability_"


def predict_file(model_path: Path, data: str, out: Path, *, keep: Sequence[str] = ()) -> int:
    """Write the predictions for the rows of `data`, in their order.

    The column "prediction" holds numbers, expected counts or labels; "probability_LABEL" the
    probability of each class where the loss has probabilities.

    Parameters
    ----------
    model_path : Path
        A model's folder, or the output folder of a run.
    data : str
        Parquet or csv: a file, a folder or a glob.
    out : Path
        ".parquet" or ".csv"; appears when it is complete.
    keep : sequence of str
        Columns of `data` to copy; those of csv files as the text that they are.

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
    files = find_files(data)
    existing = [file.path for file in files if out.exists() and os.path.exists(file.path)]
    if any(os.path.samefile(out, path) for path in existing):
        raise ConfigError(f"--out {out}: is the data file itself; give another name")
    taken = [name for name in (PREDICTION, *_probability_names(model)) if name in keep]
    if taken:
        raise ConfigError(f"--keep: the name {taken[0]} is taken by the result")
    draft = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        n_rows = _write(
            draft, out.suffix.lower(), _predicted(model, files, list(dict.fromkeys(keep)))
        )
        if n_rows == 0:
            raise DataError(f"{data} holds no rows to predict")
        os.replace(draft, out)
    finally:
        draft.unlink(missing_ok=True)
    return n_rows


def _predicted(model: LinearModel, files: list[FileRef], keep: list[str]) -> Iterator[pa.Table]:
    """Predictions, and the kept columns, of one block after the other."""
    for file in files:
        row = 0
        for reader, table, kept in read_blocks(model, file, keep):
            try:
                eta = reader.linear_predictor(table, _offset(model, table))
            except InputError as error:
                raise DataError(f"{file.path}, block from row {row} on: {error}") from None
            # a table without columns has no rows: the predictions come first
            whole = _answers(model, eta)
            for name in reversed(keep):
                whole = whole.add_column(0, kept.schema.field(name), kept.column(name))
            yield whole
            row += table.num_rows


def _answers(model: LinearModel, eta: np.ndarray) -> pa.Table:
    """The columns of the result."""
    kind = None if model.classes is None else pa.array(model.classes).type
    columns: dict[str, Any] = {PREDICTION: pa.array(model.response(eta), type=kind)}
    if model.has_probabilities:
        columns |= zip(_probability_names(model), model.probabilities(eta).T, strict=True)
    return pa.table(columns)


def _probability_names(model: LinearModel) -> list[str]:
    """A column for each class of a model with probabilities."""
    labels = model.classes if model.has_probabilities else None
    return [f"{PROBABILITY}{label}" for label in labels or ()]


def _offset(model: LinearModel, table: pa.Table) -> np.ndarray | None:
    """What the offset column adds, if there is one."""
    name = model.info.get("offset")
    if name is None:
        return None
    values = np.empty(table.num_rows)
    fill_numeric(values, table.column(str(name)), str(name), feature=False)
    if not np.isfinite(values).all():
        at = int(np.argmin(np.isfinite(values)))
        raise DataError(
            f"the offset column {name!r} is {values[at]} in row {at}. Give a finite number in "
            "every row."
        )
    return values


def _write(path: Path, suffix: str, tables: Iterator[pa.Table]) -> int:
    """Write tables to a file, with the types of the first; returns the number of rows."""
    writer: Any = None
    n_rows = 0
    try:
        for table in tables:
            try:
                if writer is None:
                    kind = pq.ParquetWriter if suffix == ".parquet" else pc.CSVWriter
                    schema = table.schema if suffix == ".parquet" else _plain(table.schema)
                    writer = kind(path, schema)
                # another file may store a kept column in another type
                writer.write_table(table.cast(schema))
            except (pa.ArrowException, ValueError) as error:
                reason = " ".join(str(error).split())
                raise DataError(
                    f"a kept column cannot be written ({reason}). Its type may differ between "
                    "the files: leave it out of --keep, or store it with one type."
                ) from None
            n_rows += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return n_rows


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with values in the place of dictionaries, which csv does not have."""
    return pa.schema(
        [
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in schema
        ]
    )
