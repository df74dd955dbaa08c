"""Tables to blocks: which columns are features, which are targets, weights and keys."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distreg.data import labels, vectors
from distreg.data.block import Block
from distreg.data.columns import Columns, Encoder
from distreg.data.rows import Roles, RowArrays, make_block, put_keys
from distreg.data.vectors import MISSING_LEVEL, ColumnScan, Level
from distreg.exceptions import DataError, InputError

__all__ = [
    "BlockBuilder",
    "Chosen",
    "TableLayout",
    "check_features",
    "check_levels",
    "choose_columns",
    "finish_layout",
    "nearest",
    "scan_columns",
]

MAX_LEVELS = 10_000
"""A text column with more values than this is not taken for a category without being asked."""


@dataclass(frozen=True)
class TableLayout:
    """How a table becomes a block. Small and picklable.

    Attributes
    ----------
    columns : Columns
        Features.
    roles : Roles
        Names of the other columns.
    dtype : str
        Type of the dense features.
    """

    columns: Columns
    roles: Roles
    dtype: str = "float64"

    @property
    def names(self) -> tuple[str, ...]:
        """All columns needed, features first, each once."""
        return tuple(dict.fromkeys(self.columns.names + self.roles.names))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a block."""
        dense = np.dtype(self.dtype).itemsize * self.columns.n_dense
        n_categorical = len(self.columns.categorical)
        sparse = 12 * n_categorical + 4 if n_categorical else 0
        return dense + sparse + 8 * len(self.roles.names)

    def block_of(
        self, frame: Any, *, rows: RowArrays | None = None, row_start: int = 0, source: str = ""
    ) -> Block:
        """Block of a pandas DataFrame or pyarrow Table; `rows` overrules its columns."""
        self.columns.check_names(frame, source)
        builder = BlockBuilder(self, len(frame), row_start=row_start, source=source)
        for name in self.names:
            builder.put(name, vectors.get_column(frame, name))
        return builder.block(rows)


class BlockBuilder:
    """Fills a block column by column, or part by part."""

    def __init__(
        self, layout: TableLayout, n_rows: int, *, row_start: int = 0, source: str = ""
    ) -> None:
        self._layout, self._row_start, self._source = layout, row_start, source
        self._encoder = Encoder(
            layout.columns, n_rows, dtype=layout.dtype, row_start=row_start, source=source
        )
        self._features = set(layout.columns.names)
        roles = layout.roles
        has_codes = roles.y is not None and roles.classes is not None
        self._codes = np.empty(n_rows) if has_codes else None
        self._numbers: dict[str, np.ndarray] = {
            name: np.empty(n_rows)
            for name in (None if has_codes else roles.y, roles.weight, roles.offset)
            if name
        }
        self._key = None if roles.fold_key is None else np.empty(n_rows, dtype=np.int64)

    def put(self, name: str, values: Any, at: int = 0) -> None:
        """Put the values of column `name` from row `at` on."""
        stop = at + len(values)
        if name in self._features:
            self._encoder.put(name, values, at)
        roles = self._layout.roles
        if self._codes is not None and name == roles.y:
            codes, classes = self._codes[at:stop], roles.classes or ()
            labels.put_codes(codes, values, classes, name, self._row_start + at, self._source)
        if name in self._numbers:
            out = self._numbers[name][at:stop]
            vectors.fill_numeric(out, values, name, self._source, feature=False)
        if self._key is not None and name == roles.fold_key:
            keys, levels = self._key[at:stop], roles.fold_key_levels
            put_keys(keys, values, levels, name, self._row_start + at, self._source)

    def block(self, rows: RowArrays | None = None) -> Block:
        """The block; every column must have been put."""
        encoded, roles = self._encoder.result(), self._layout.roles
        number = self._numbers.get
        own = RowArrays(
            y=number(roles.y or "") if self._codes is None else self._codes,
            weight=number(roles.weight or ""),
            offset=number(roles.offset or ""),
            fold_key=self._key,
        )
        return make_block(
            encoded.dense,
            encoded.sparse,
            own if rows is None else own.updated(rows),
            row_start=self._row_start,
            source=self._source,
            incomplete=encoded.incomplete,
        )


@dataclass(frozen=True)
class Chosen:
    """Columns of a table by use, before their levels are known.

    Attributes
    ----------
    numeric, categorical : tuple of str
        Features.
    asked : frozenset of str
        Categorical columns that the user named.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    asked: frozenset[str] = frozenset()


def scan_columns(
    frame: Any,
    names: Iterable[str],
    limits: Mapping[str, int],
    source: str = "",
    target: str | None = None,
) -> ColumnScan:
    """Count the rows of a table and collect the values of the columns `names`.

    Parameters
    ----------
    frame : pandas.DataFrame or pyarrow.Table
    names : iterable of str
        Columns.
    limits : mapping
        Number of values above which a column is refused.
    source : str
        For messages.
    target : str or None
        The column that holds labels of classes.
    """
    levels: dict[str, Collection[Level]] = {}
    missing = {}
    for name in names:
        most = labels.MAX_CLASSES if name == target else None
        column = vectors.get_column(frame, name)
        levels[name], gaps = vectors.levels_of(column, name, source, most)
        if name == target:
            labels.check_count(levels[name], name)
        check_levels(name, levels[name], limits)
        if gaps is not None:
            missing[name] = gaps
    return ColumnScan(len(frame), levels, missing)


def check_levels(name: str, found: Collection[Level], limits: Mapping[str, int]) -> None:
    """Refuse a column that is more likely an identifier than a category."""
    if len(found) > limits.get(name, len(found)):
        raise DataError(
            f"Column {name!r} holds text with more than {limits[name]:,} different values, each "
            "of which would become a feature. Name it in `exclude`, or in `categorical` if that "
            "is meant."
        )


def choose_columns(
    kinds: Mapping[str, str],
    roles: Mapping[str, str],
    numeric: Sequence[str] | None,
    categorical: Sequence[str] | None,
    exclude: Sequence[str] = (),
) -> Chosen:
    """Decide which columns are features.

    Parameters
    ----------
    kinds : mapping from str to {"number", "text", anything else}
        Kind of every column, in their order.
    roles : mapping from str to str
        Columns with another use, by role.
    numeric, categorical : sequence of str, or None
        As the user named them; None means every column of that kind.
    exclude : sequence of str
        Columns to leave out.
    """
    asked = tuple(categorical or ())
    named = {"numeric": numeric or (), "categorical": asked}
    check_features(kinds, roles.get("y"), named, exclude)
    given = {*(numeric or ()), *asked}
    taken = {*roles.values(), *exclude}
    free = [name for name in kinds if name not in given and name not in taken]
    if numeric is None:
        numeric = [name for name in free if kinds[name] == "number"]
    if categorical is None:
        categorical = [name for name in free if kinds[name] == "text"]
        strange = {n: kinds[n] for n in free if kinds[n] not in ("number", "text")}
        if strange:
            raise DataError(
                "Columns that are neither numbers nor text: "
                + ", ".join(f"{name!r} ({kind})" for name, kind in strange.items())
                + ". Name them in `categorical` or in `exclude`, or convert them."
            )
    for name in numeric:
        if kinds[name] != "number":
            raise DataError(
                f"Column {name!r} holds {kinds[name]}, not numbers. Declare it categorical "
                f"(categorical=[{name!r}]), convert it to numbers, or leave it out."
            )
    return Chosen(tuple(numeric), tuple(categorical), frozenset(asked))


def check_features(
    known: Collection[str],
    target: str | None,
    named: Mapping[str, Sequence[str]],
    exclude: Sequence[str],
) -> None:
    """Refuse features that do not exist, are named twice or left out, or are the target.

    Parameters
    ----------
    known : collection of str
        All columns.
    target : str or None
        Column to be predicted; weights, offsets and fold keys may be features too.
    named : mapping from str to sequence of str
        Features, by the argument that names them.
    exclude : sequence of str
        Columns to leave out.
    """
    for what, names in (*named.items(), ("exclude", exclude)):
        for name in names:
            if name not in known:
                raise DataError(f"{what} names {name!r}, but {nearest(name, known)}")
    for what, names in named.items():
        twice = vectors.duplicates(names)
        if twice:
            raise InputError(f"Columns named more than once in {what}: {twice}. Name each once.")
    features = [name for names in named.values() for name in names]
    both = vectors.duplicates(features)
    if both:
        raise InputError(f"Columns in both {' and '.join(named)}: {both}. Choose one.")
    clash = sorted(set(features) & set(exclude))
    if clash:
        raise InputError(f"Columns both used and excluded: {clash}. Choose one.")
    if target in features:
        raise InputError(
            f"Column {target!r} is the target and named as a feature too, which would predict it "
            "from itself. Choose one."
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Describe the column that comes closest to one that does not exist."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"there is no such column; did you mean {close[0]!r}?"
    shown = ", ".join(repr(n) for n in names[:10]) + (", ..." if len(names) > 10 else "")
    return f"there is no such column. The columns are {shown}."


def finish_layout(
    chosen: Chosen,
    roles: Roles,
    scans: Sequence[ColumnScan],
    *,
    missing: Any,
    unknown: Any = "ignore",
    dtype: str = "float64",
    classes: bool = False,
) -> TableLayout:
    """Join the scans of all parts: levels in order, keys of a text fold column, labels."""
    limits = {name: MAX_LEVELS for name in chosen.categorical if name not in chosen.asked}
    levels: dict[str, tuple[Level, ...]] = {}
    for name in chosen.categorical:
        found = vectors.merge_levels((s.levels[name] for s in scans if name in s.levels), name)
        check_levels(name, found, limits)
        ordered = vectors.sort_levels(found)
        absent = any(name in scan.missing for scan in scans)
        if missing == "mean" and absent and MISSING_LEVEL not in found:
            ordered = (*ordered, MISSING_LEVEL)
        levels[name] = ordered
    key = roles.fold_key
    if key is not None and any(key in scan.levels for scan in scans):
        found = vectors.merge_levels((s.levels[key] for s in scans if key in s.levels), key)
        if key not in chosen.categorical or any(isinstance(value, str) for value in found):
            roles = replace(roles, fold_key_levels=vectors.sort_levels(found))
    if classes and roles.y is not None:
        roles = replace(roles, classes=labels.join_classes(scans, roles.y))
    columns = Columns(chosen.numeric, chosen.categorical, levels, missing, unknown)
    return TableLayout(columns, roles, dtype)
