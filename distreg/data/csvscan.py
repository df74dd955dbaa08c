"""One scan of csv files: pieces of whole lines, their rows, the kinds and values of columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from distreg.data import vectors
from distreg.data.csvfiles import parse_csv
from distreg.data.frames import MAX_LEVELS, ColumnScan
from distreg.data.storage import FileRef, Options, opened, retried
from distreg.data.vectors import Level
from distreg.exceptions import DataError

__all__ = [
    "CsvFile",
    "CsvPiece",
    "join_kinds",
    "read_header",
    "scan_files",
    "text_pieces",
    "typed_scans",
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
    files: Sequence[FileRef], as_text: Collection[str], options: Options
) -> list[CsvFile]:
    """Cut, count and type all files, where Dask computes.

    Parameters
    ----------
    files : sequence of FileRef
    as_text : collection of str
        Columns whose values are collected as they are written (declared categories, fold keys).
    options : mapping
        For remote storage.
    """
    import dask

    task = dask.delayed(_scan_file, pure=False)
    found = dask.compute(*[task(file, tuple(as_text), options) for file in files])
    scanned = [csv_file for csv_file in found if csv_file is not None]
    if not scanned:
        raise DataError(f"{files[0].path} is empty. A csv file needs a line of column names.")
    return scanned


def _scan_file(file: FileRef, as_text: tuple[str, ...], options: Options) -> CsvFile | None:
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
    as_text: tuple[str, ...],
    offset: int,
    source: str,
) -> CsvPiece:
    import pyarrow.types as t

    table = parse_csv(text, names, delimiter, {name: "text" for name in as_text if name in names})
    kinds: dict[str, str] = {}
    levels: dict[str, set[Level]] = {}
    missing, crowded = set(), set()
    for name in names:
        column = table.column(name)
        kinds[name] = _kind(column.type)
        if not (t.is_string(column.type) or t.is_null(column.type)):
            continue
        found, any_missing = vectors.levels_of(column, name, source)
        if len(found) > MAX_LEVELS and name not in as_text:
            crowded.add(name)
            found = set(sorted(found)[:SAMPLE])
        levels[name] = found
        if any_missing:
            missing.add(name)
    scan = ColumnScan(table.num_rows, levels, frozenset(missing))
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


def join_kinds(
    files: Sequence[CsvFile], declared: Collection[str], unused: Collection[str]
) -> dict[str, str]:
    """One kind for every column from all pieces; numbers in one and text in another are refused.

    Columns in `declared` may hold both, and those in `unused` anything.
    """
    order = ["null", "bool", "integer", "real"]
    joined: dict[str, str] = {}
    for csv_file in files:
        for piece in csv_file.pieces:
            for name, kind in piece.kinds.items():
                seen = joined.get(name, "null")
                # 0 and 1 in one piece would not be read as the true and false of another
                clash = kind != seen and "bool" in (kind, seen) and "null" not in (kind, seen)
                if kind in order and seen in order and not clash:
                    joined[name] = max(kind, seen, key=order.index)
                elif "null" in (kind, seen):
                    joined[name] = kind if seen == "null" else seen
                elif kind == seen:
                    continue
                elif name in declared or name in unused:
                    joined[name] = "text"
                else:
                    raise DataError(
                        f"Column {name!r} holds {seen} first and {kind} in {csv_file.file.name}, "
                        f"bytes {piece.offset} to {piece.offset + piece.length - 1}. Make it one "
                        f"kind, or declare it categorical (categorical=[{name!r}])."
                    )
    for name, kind in joined.items():
        if kind == "text" and name not in declared and name not in unused:
            _check_mixture(name, files)
    return joined


def _check_mixture(name: str, files: Sequence[CsvFile]) -> None:
    """Numbers with a comma, or with a few words among them, are no text although read as such."""
    found: set[Any] = set()
    for csv_file in files:
        for piece in csv_file.pieces:
            found.update(piece.scan.levels.get(name, ()))
    commas = sorted(value for value in found if "," in value)
    if commas and all(re.fullmatch(r"-?[0-9]+(,[0-9]+)?", value) for value in found):
        raise DataError(
            f"Column {name!r} holds numbers with a decimal comma such as {commas[0]!r}. Write them "
            f"with a point, or declare it categorical (categorical=[{name!r}])."
        )
    words = sorted(value for value in found if not _is_number(value))
    if words and len(words) < len(found) / 2:
        raise DataError(
            f"Column {name!r} holds numbers and {len(words)} other values such as {words[0]!r}. "
            f"Correct or remove them, or declare it categorical (categorical=[{name!r}])."
        )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def typed_scans(
    files: Sequence[CsvFile], names: Collection[str], asked: Collection[str], key: str | None = None
) -> tuple[list[ColumnScan], dict[str, str]]:
    """Scans of the columns `names`, and their kinds: whole numbers become numbers.

    Columns that were read as text because the user declared them are integers when every value is
    written as one ("7", not "07"). The fold column `key` may write them as numbers with a point
    ("7.0"), as they become where some are missing.
    """
    pieces = [piece for csv_file in files for piece in csv_file.pieces]
    kinds: dict[str, str] = {}
    for name in names:
        crowded = any(name in piece.crowded for piece in pieces)
        if crowded and name not in asked:
            raise DataError(
                f"Column {name!r} holds text with more than {MAX_LEVELS:,} different values, each "
                "of which would become a feature. Name it in `exclude`, or in `categorical` if "
                "that is meant."
            )
        values = {v for piece in pieces for v in piece.scan.levels.get(name, ())}
        whole = bool(values) and all(_is_whole(str(value)) for value in values)
        kinds[name] = "integer" if whole and name in asked else "text"
        if name == key and values and not whole and all(_is_whole_real(str(v)) for v in values):
            kinds[name] = "real"
    scans = [
        ColumnScan(
            piece.n_rows,
            {
                name: {int(v) for v in piece.scan.levels.get(name, ())}
                if kinds[name] == "integer"
                else piece.scan.levels.get(name, ())
                for name in names
            },
            piece.scan.has_missing & frozenset(names),
        )
        for piece in pieces
    ]
    return scans, kinds


def _is_whole_real(value: str) -> bool:
    # more digits than 15 would be rounded
    return re.fullmatch(r"-?[0-9]{1,15}(\.0*)?", value) is not None


def _is_whole(value: str) -> bool:
    digits = value.removeprefix("-")
    return digits.isdigit() and digits.isascii() and len(digits) < 19 and str(int(value)) == value
