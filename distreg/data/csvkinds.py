"""What the scanned pieces of csv files make together: one kind and one set of values a column."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from distreg.data import labels
from distreg.data.csvscan import CsvFile
from distreg.data.frames import MAX_LEVELS
from distreg.data.vectors import ColumnScan, Level
from distreg.exceptions import DataError

__all__ = ["check_headers", "join_kinds", "typed_scans"]

BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def check_headers(scanned: Sequence[CsvFile]) -> None:
    """Refuse files whose columns are not those of the first file."""
    first = scanned[0]
    for other in scanned[1:]:
        if set(other.names) != set(first.names):
            lacks = sorted(set(first.names) - set(other.names))
            extra = sorted(set(other.names) - set(first.names))
            raise DataError(
                f"{other.file.path} lacks {lacks} and also has {extra}, compared with "
                f"{first.file.path}. All files must have the same columns."
            )


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
    files: Sequence[CsvFile],
    names: Collection[str],
    asked: Collection[str],
    key: str | None = None,
    target: str | None = None,
) -> tuple[list[ColumnScan], dict[str, str]]:
    """Scans of the columns `names`, and their kinds: whole numbers become numbers.

    Columns that were read as text because the user declared them are integers when every value is
    written as one ("7", not "07"). The fold column `key` may write them as numbers with a point
    ("7.0"), as they become where some are missing. Labels in `target` may be numbers or bool too.
    """
    pieces = [piece for csv_file in files for piece in csv_file.pieces]
    kinds: dict[str, str] = {}
    for name in names:
        values = {str(v) for piece in pieces for v in piece.scan.levels.get(name, ())}
        if any(name in piece.crowded for piece in pieces) and name not in asked:
            if name == target:
                raise labels.too_many(values, name)
            raise DataError(
                f"Column {name!r} holds text with more than {MAX_LEVELS:,} different values, each "
                "of which would become a feature. Name it in `exclude`, or in `categorical` if "
                "that is meant."
            )
        kinds[name] = _label_kind(values) if name == target else "text"
        whole = bool(values) and all(_is_whole(value) for value in values)
        if whole and name in asked:
            kinds[name] = "integer"
        elif name == key and values and not whole and all(_is_whole_real(v) for v in values):
            kinds[name] = "real"
    scans = [
        ColumnScan(
            piece.n_rows,
            {name: _typed(piece.scan.levels.get(name, ()), kinds[name]) for name in names},
            {name: gaps for name, gaps in piece.scan.missing.items() if name in names},
        )
        for piece in pieces
    ]
    return scans, kinds


def _typed(values: Collection[Level], kind: str) -> Collection[Level]:
    """Values of a kind, from the text that they were read as."""
    if kind == "integer":
        return {int(value) for value in values}
    if kind == "real":
        return {float(value) for value in values}
    return {BOOLS[str(value)] for value in values} if kind == "bool" else values


def _label_kind(values: Collection[str]) -> str:
    """Kind of labels: what all of them are, else text."""
    if not values:
        return "text"
    if all(_is_whole(value) for value in values):
        return "integer"
    if all(value in BOOLS for value in values):
        return "bool"
    # more digits would be rounded
    real = re.compile(r"-?(?=[0-9.]{1,16}(e|E|$))(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?")
    return "real" if all(real.fullmatch(value) for value in values) else "text"


def _is_whole_real(value: str) -> bool:
    # more digits than 15 would be rounded
    return re.fullmatch(r"-?[0-9]{1,15}(\.0*)?", value) is not None


def _is_whole(value: str) -> bool:
    digits = value.removeprefix("-")
    return digits.isdigit() and digits.isascii() and len(digits) < 19 and str(int(value)) == value
