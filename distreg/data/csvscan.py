"""One scan of csv files: pieces of whole lines, their rows, the kinds and values of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from distreg.data import vectors
from distreg.data.csvfiles import parse_csv
from distreg.data.frames import MAX_LEVELS
from distreg.data.storage import FileRef, Options, opened, retried
from distreg.data.vectors import ColumnScan, Level
from distreg.exceptions import DataError

__all__ = [
    "CsvFile",
    "CsvPiece",
    "read_header",
    "scan_files",
    "text_pieces",
]

PIECE_BYTES = 16_000_000
"""Text of a block; decoded it is one to four times as much."""

LINE_BYTES = 64_000_000
"""A longer line is a quote that never ends."""

HEADER_BYTES = 1 << 16
"""Read at a time in search of the end of the first line."""

SAMPLE = 100
"""Values kept of a column with too many, to say what they look like."""

BLANK = b" \t\r\n\xef\xbb\xbf"
"""What a line without content holds: white space, and a mark of the byte order."""


@dataclass(frozen=True)
class CsvPiece:
    """Whole lines of a file.

    Attributes
    ----------
    offset, length : int
        Bytes of the file.
    n_rows : int
        Rows in them.
    kinds : mapping from str to str
        Kind of every column: "null", "bool", "integer", "real", "text" or its Arrow type.
    scan : ColumnScan
        Values of the text columns.
    crowded : frozenset of str
        Columns with too many values to be categories; a few of them are in `scan`.
    """

    offset: int
    length: int
    n_rows: int
    kinds: Mapping[str, str]
    scan: ColumnScan
    crowded: frozenset[str]


@dataclass(frozen=True)
class CsvFile:
    """A file, its header and its pieces."""

    file: FileRef
    names: tuple[str, ...]
    delimiter: str
    pieces: tuple[CsvPiece, ...]


def scan_files(
    files: Sequence[FileRef], as_text: Mapping[str, float], options: Options
) -> list[CsvFile]:
    """Cut, count and type all files, where Dask computes.

    Parameters
    ----------
    files : sequence of FileRef
    as_text : mapping from str to number
        Columns whose values are collected as they are written (declared categories, fold keys,
        labels), and the number of values above which a few are enough.
    options : mapping
        For remote storage.
    """
    import dask

    task = dask.delayed(_scan_file, pure=False)
    found = dask.compute(*[task(file, dict(as_text), options) for file in files])
    scanned = [csv_file for csv_file in found if csv_file is not None]
    if not scanned:
        raise DataError(f"{files[0].path} is empty. A csv file needs a line of column names.")
    return scanned


def _scan_file(file: FileRef, as_text: Mapping[str, float], options: Options) -> CsvFile | None:
    """Scan of one file; None for a file without content, as a writer without rows leaves it."""

    def scan() -> CsvFile | None:
        with opened(file, options) as stream:
            header = read_header(stream, file)
            if header is None:
                return None
            names, delimiter, offset = header
            pieces = []
            for text in text_pieces(stream, offset, file):
                piece = _scan_piece(text, names, delimiter, as_text, offset, file.name)
                pieces.append(piece)
                offset += len(text)
        return CsvFile(file, names, delimiter, tuple(pieces))

    return retried(scan, file.path)


def read_header(stream: IO[bytes], file: FileRef) -> tuple[tuple[str, ...], str, int] | None:
    """Column names, delimiter and offset of the line after; blank lines before are skipped."""
    offset, line = 0, b""
    while not line.strip(BLANK):
        line = _first_line(stream, offset)
        offset += len(line)
        if not line:
            return None
    text = line.decode("utf-8-sig").rstrip("\r\n")
    delimiter = max(",;\t|", key=lambda mark: (text.count(mark), mark == ","))
    names = tuple(next(csv.reader(io.StringIO(text), delimiter=delimiter)))
    twice = vectors.duplicates(names)
    if twice:
        raise DataError(f"{file.path} has columns with the same name: {twice}. Rename them.")
    return names, delimiter, offset


def _first_line(stream: IO[bytes], offset: int) -> bytes:
    """The line that begins at `offset`, with its end; remote files have no `readline`."""
    stream.seek(offset)
    line = b""
    while b"\n" not in line and len(line) < LINE_BYTES:
        more = stream.read(HEADER_BYTES)
        if not more:
            return line
        line += more
    return line[: line.find(b"\n") + 1 or None]


def text_pieces(stream: IO[bytes], offset: int, file: FileRef) -> Iterator[bytes]:
    """Runs of whole lines; a line end within quotes is none."""
    stream.seek(offset)
    buffer = b""
    while True:
        more = stream.read(PIECE_BYTES)
        buffer += more
        if not more:
            if buffer.count(b'"') % 2:
                raise DataError(
                    f'{file.path} opens a quote (") and never closes it. Correct the file, or '
                    "write it as parquet."
                )
            if buffer.strip():
                yield buffer
            return
        cut = _last_line_end(buffer)
        if cut:
            yield buffer[:cut]
            buffer = buffer[cut:]
        elif len(buffer) > LINE_BYTES:
            raise DataError(
                f'{file.path} has a line of more than {LINE_BYTES:,} bytes. A quote (") is opened '
                "and never closed; correct the file, or write it as parquet."
            )


def _last_line_end(buffer: bytes) -> int:
    """Bytes up to the last line end outside of quotes (an even number of them before it)."""
    end = buffer.rfind(b"\n")
    quotes = buffer.count(b'"', 0, max(end, 0))
    while end >= 0 and quotes % 2:
        earlier = buffer.rfind(b"\n", 0, end)
        quotes -= buffer.count(b'"', max(earlier, 0), end)
        end = earlier
    return end + 1


def _scan_piece(
    text: bytes,
    names: tuple[str, ...],
    delimiter: str,
    as_text: Mapping[str, float],
    offset: int,
    source: str,
) -> CsvPiece:
    import pyarrow.types as t

    table = parse_csv(text, names, delimiter, {name: "text" for name in as_text if name in names})
    kinds: dict[str, str] = {}
    levels: dict[str, set[Level]] = {}
    missing: dict[str, vectors.Gaps] = {}
    crowded = set()
    for name in names:
        column = table.column(name)
        kinds[name] = _kind(column.type)
        if not (t.is_string(column.type) or t.is_null(column.type)):
            continue
        found, gaps = vectors.levels_of(column, name, source)
        if len(found) > as_text.get(name, MAX_LEVELS):
            crowded.add(name)
            found = set(sorted(found)[:SAMPLE])
        levels[name] = found
        if gaps is not None:
            missing[name] = gaps
    scan = ColumnScan(table.num_rows, levels, missing)
    return CsvPiece(offset, len(text), table.num_rows, kinds, scan, frozenset(crowded))


def _kind(kind: Any) -> str:
    import pyarrow.types as t

    for name, test in (
        ("null", t.is_null), ("bool", t.is_boolean), ("integer", t.is_integer),
        ("real", t.is_floating), ("text", t.is_string),
    ):  # fmt: skip
        if test(kind):
            return name
    return "text that is not UTF-8" if t.is_binary(kind) else str(kind)
