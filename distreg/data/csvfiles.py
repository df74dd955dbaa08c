"""CSV files: blocks are pieces of whole lines, found and typed by one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from distreg.data.block import Block
from distreg.data.frames import TableLayout
from distreg.data.storage import FileRef, Options, opened, retried
from distreg.exceptions import DataError

if TYPE_CHECKING:
    from distreg.data.csvscan import CsvFile

__all__ = ["CsvRecipe", "CsvSource", "parse_csv", "plan_blocks"]


@dataclass(frozen=True)
class CsvSource:
    """What all recipes of a data set share: layout, Arrow types of the columns needed, options."""

    layout: TableLayout
    types: Mapping[str, str]
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CsvRecipe:
    """Whole lines of one file."""

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    file: FileRef
    names: tuple[str, ...]
    delimiter: str
    offset: int
    length: int
    shared: CsvSource
    inputs: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        """Where the rows come from."""
        return f"{self.file.name}, bytes {self.offset} to {self.offset + self.length - 1}"

    def load(self, *inputs: Any) -> Block:
        """Read, parse and close."""
        return retried(self._read, self.source)

    def _read(self) -> Block:
        with opened(self.file, self.shared.options) as stream:
            stream.seek(self.offset)
            text = stream.read(self.length)
        wanted = tuple(self.shared.types)
        table = parse_csv(text, self.names, self.delimiter, self.shared.types, wanted)
        if table.num_rows != self.n_rows:
            raise DataError(
                f"{self.source} holds {table.num_rows} rows, but {self.n_rows} when it was "
                "scanned. The file has changed; make the data set again."
            )
        layout = self.shared.layout
        return layout.block_of(table, row_start=self.row_start, source=self.source)


def parse_csv(
    text: bytes,
    names: Sequence[str],
    delimiter: str,
    types: Mapping[str, str],
    wanted: Sequence[str] | None = None,
) -> Any:
    """Table of whole lines without a header; `types` fixes the kinds of columns."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    if not text.strip():
        return pa.table({name: pa.nulls(0) for name in wanted or names})
    arrow = {"text": pa.string(), "integer": pa.int64(), "real": pa.float64(), "bool": pa.bool_()}
    return pacsv.read_csv(
        pa.BufferReader(text),
        read_options=pacsv.ReadOptions(use_threads=False, column_names=list(names)),
        parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types={name: arrow[kind] for name, kind in types.items()},
            include_columns=list(wanted or ()),
            strings_can_be_null=True,
        ),
    )


def plan_blocks(files: Sequence[CsvFile], shared: CsvSource) -> list[CsvRecipe]:
    """Recipes of all pieces in order."""
    recipes: list[CsvRecipe] = []
    row = 0
    for csv_file in files:
        for piece in csv_file.pieces:
            if piece.n_rows:
                recipes.append(
                    CsvRecipe(
                        len(recipes),
                        row,
                        piece.n_rows,
                        piece.n_rows * shared.layout.row_bytes,
                        csv_file.file,
                        csv_file.names,
                        csv_file.delimiter,
                        piece.offset,
                        piece.length,
                        shared,
                    )
                )
            row += piece.n_rows
    return recipes
