"""Parquet files: blocks are row groups; small ones are joined and large ones cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from distreg.data.block import Block
from distreg.data.dataset import BLOCK_BYTES
from distreg.data.footers import Footer, open_parquet
from distreg.data.frames import BlockBuilder, TableLayout
from distreg.data.storage import FileRef, Options, reading, retried
from distreg.exceptions import DataError

__all__ = ["ParquetRecipe", "ParquetSource", "Piece", "plan_blocks"]

JOIN_BYTES = 8_000_000
"""Row groups are joined until a block has this size."""

BUNCH_BYTES = 16_000_000
"""Decoded columns read at a time, besides the block that they fill."""

BATCH_BYTES = 8_000_000
"""Decoded rows read at a time from a row group that is cut."""

PAGE_BYTES = 2_200_000
"""What the reader holds of a column that is read in parts: a page and a dictionary, at most."""

STREAM_BYTES = 128_000_000
"""Pages that may be held to decode a large row group once instead of once a slice."""


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of a row group of `n_rows` rows."""

    file: FileRef
    row_group: int
    start: int
    stop: int
    n_rows: int

    @property
    def is_slice(self) -> bool:
        """Whether the row group is cut."""
        return self.stop - self.start < self.n_rows

    def __str__(self) -> str:
        """Readable place."""
        rows = f", rows {self.start} to {self.stop - 1}" if self.is_slice else ""
        return f"{self.file.name}, row group {self.row_group}{rows}"


@dataclass(frozen=True)
class ParquetSource:
    """What all recipes of a data set share.

    Attributes
    ----------
    layout : TableLayout
    text : tuple of str
        Columns of text, which are read as dictionaries.
    options : mapping
        For remote storage.
    """

    layout: TableLayout
    text: tuple[str, ...]
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ParquetRecipe:
    """Some row groups, or some rows of one."""

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    pieces: tuple[Piece, ...]
    shared: ParquetSource
    streams: bool = False
    inputs: tuple[Any, ...] = ()

    @property
    def source(self) -> str:
        """Where the rows come from."""
        first, last = str(self.pieces[0]), str(self.pieces[-1])
        return first if len(self.pieces) == 1 else f"{first} to {last}"

    @property
    def stream_key(self) -> tuple[str, int] | None:
        """The row group that this is a slice of, if it can be decoded once for all slices."""
        piece = self.pieces[0]
        return (piece.file.path, piece.row_group) if self.streams and piece.is_slice else None

    def load(self, *inputs: Any) -> Block:
        """Read, decode and close."""
        return retried(self._read, self.source)

    def load_run(self, recipes: Sequence[ParquetRecipe]) -> Iterator[Block]:
        """Blocks of consecutive slices of one row group, decoded once."""
        done = 0
        with reading(self.source):
            try:
                for block in _stream(recipes):
                    done += 1
                    yield block
                    del block  # the next one is made before the loop would let go of it
            except (FileNotFoundError, PermissionError):
                raise
            except OSError:
                # once more, slice by slice
                yield from (recipe.load() for recipe in recipes[done:])

    def builder(self) -> BlockBuilder:
        """An empty block of this size."""
        return BlockBuilder(
            self.shared.layout, self.n_rows, row_start=self.row_start, source=self.source
        )

    def _read(self) -> Block:
        builder, at = self.builder(), 0
        for _, pieces in groupby(self.pieces, key=lambda piece: piece.file.path):
            run = list(pieces)
            with open_parquet(run[0].file, self.shared.text, self.shared.options) as parquet:
                for piece in run:
                    _fill(builder, parquet, piece, self.shared.layout, at)
                    at += piece.stop - piece.start
        return builder.block()


def _fill(builder: BlockBuilder, parquet: Any, piece: Piece, layout: TableLayout, at: int) -> None:
    """Put the rows of one piece, some columns at a time."""
    # the smaller of what a whole column and what its pages need
    held = max(min(8 * piece.n_rows, PAGE_BYTES), 1)
    width = max(1, BUNCH_BYTES // held)
    for first in range(0, len(layout.names), width):
        names = layout.names[first : first + width]
        rows = max(1024, BATCH_BYTES // (8 * len(names)))
        seen = 0
        for batch in parquet.iter_batches(
            rows, row_groups=[piece.row_group], columns=list(names), use_threads=False
        ):
            low, high = max(piece.start - seen, 0), min(piece.stop - seen, batch.num_rows)
            if high > low:
                for name in names:
                    values = batch.column(name).slice(low, high - low)
                    builder.put(name, values, at + seen + low - piece.start)
            seen += batch.num_rows
            if seen >= piece.stop and piece.is_slice:
                break
        _check_rows(piece, seen)


def _stream(recipes: Sequence[ParquetRecipe]) -> Iterator[Block]:
    """Blocks of the slices of one row group, in one sweep over its rows."""
    shared, first = recipes[0].shared, recipes[0].pieces[0]
    names = list(shared.layout.names)
    rows = max(1024, BATCH_BYTES // (8 * len(names)))
    waiting = iter(recipes)
    recipe = next(waiting)
    builder: BlockBuilder | None = recipe.builder()
    seen = 0
    with open_parquet(first.file, shared.text, shared.options) as parquet:
        for batch in parquet.iter_batches(
            rows, row_groups=[first.row_group], columns=names, use_threads=False
        ):
            low = max(recipe.pieces[0].start - seen, 0)
            while low < batch.num_rows and builder is not None:
                piece = recipe.pieces[0]
                high = min(piece.stop - seen, batch.num_rows)
                for name in names:
                    values = batch.column(name).slice(low, high - low)
                    builder.put(name, values, seen + low - piece.start)
                low = high
                if seen + high == piece.stop:
                    block, builder = builder.block(), None
                    yield block
                    del block
                    following = next(waiting, None)
                    if following is not None:
                        recipe, builder = following, following.builder()
            seen += batch.num_rows
            if builder is None:
                return
    _check_rows(recipe.pieces[0], seen)


def _check_rows(piece: Piece, seen: int) -> None:
    if seen < piece.stop:
        raise DataError(
            f"{piece.file.path}, row group {piece.row_group} holds {seen} rows, but its footer "
            f"says {piece.n_rows}. Write the file again."
        )


def plan_blocks(
    footers: Sequence[Footer], shared: ParquetSource
) -> tuple[list[ParquetRecipe], tuple[str, ...]]:
    """Recipes of all row groups in order, and advice about their sizes."""
    row_bytes = max(shared.layout.row_bytes, 1)
    recipes: list[ParquetRecipe] = []
    pending: list[Piece] = []
    repeated: list[Piece] = []
    row = 0

    def flush(pieces: list[Piece], streams: bool = False) -> None:
        nonlocal row
        n_rows = sum(piece.stop - piece.start for piece in pieces)
        if n_rows:
            recipes.append(
                ParquetRecipe(
                    len(recipes), row, n_rows, n_rows * row_bytes, tuple(pieces), shared, streams
                )
            )
        row += n_rows

    for footer in footers:
        for k, n_rows in enumerate(footer.rows):
            nbytes, held = n_rows * row_bytes, sum(p.stop - p.start for p in pending) * row_bytes
            if pending and (held >= JOIN_BYTES or held + nbytes > BLOCK_BYTES):
                flush(pending)
                pending = []
            if nbytes <= BLOCK_BYTES:
                pending.append(Piece(footer.file, k, 0, n_rows, n_rows))
                continue
            slices = _slices(footer.file, k, n_rows, nbytes)
            streams = len(shared.layout.names) * PAGE_BYTES <= STREAM_BYTES
            for piece in slices:
                flush([piece], streams)
            if not streams:
                repeated.append(slices[-1])
    flush(pending)
    return recipes, _advice(repeated, row_bytes)


def _slices(file: FileRef, row_group: int, n_rows: int, nbytes: int) -> list[Piece]:
    count = -(-nbytes // BLOCK_BYTES)
    bounds = [n_rows * k // count for k in range(count + 1)]
    return [
        Piece(file, row_group, a, b, n_rows) for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def _advice(repeated: Sequence[Piece], row_bytes: int) -> tuple[str, ...]:
    if not repeated:
        return ()
    largest = max(repeated, key=lambda piece: piece.n_rows)
    times = largest.n_rows / (largest.stop - largest.start)
    message = (
        f"{len(repeated)} row groups are larger than a block (up to "
        f"{largest.n_rows * row_bytes / 1e6:,.0f} MB decoded, {largest.file.name}) and are decoded "
        f"about {(times + 1) / 2:.1f} times over. Files written with row groups of at most "
        f"{BLOCK_BYTES // row_bytes:,} rows are read faster."
    )
    return (message,)
