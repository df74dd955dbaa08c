"""One data set: block recipes in fixed groups, and what is known of them before they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from distreg.data.block import BlockRecipe, Group
from distreg.data.columns import Columns
from distreg.data.vectors import Level
from distreg.exceptions import DataError

__all__ = ["BLOCK_BYTES", "Dataset", "digest_of", "make_groups", "memory_parts", "row_cuts"]

MB = 1_000_000
BLOCK_BYTES = 64 * MB
"""Largest block, decoded: a task holds one at a time, besides what reading it takes."""

GROUP_COUNT = 16
"""Groups aimed at: enough to share among a few workers, few enough states to combine."""

GROUP_BYTES = 8 * MB
"""Least decoded size of a group, below which a task costs more than its work."""

LARGEST_GROUP = 1_000 * MB
"""Beyond this size there are more than `GROUP_COUNT` groups: more workers, less work lost."""

INPUT_BYTES = 64 * MB
"""Largest group of Dask chunks, because all inputs of a task are in memory together."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Aligned blocks of features, target, weights and fold keys.

    Attributes
    ----------
    name : str
        For messages and reports.
    n_rows : int
        Rows, with those that ``missing="drop"`` leaves out.
    feature_names : tuple of str
        Dense features first.
    n_dense, n_sparse : int
        Numbers of dense and of sparse features.
    groups : tuple of Group
        Block recipes, bundled from the data alone.
    in_memory : bool
        The data live in this process, so that passes run on its threads.
    missing : {"error", "mean", "drop"}
        Policy for missing values.
    columns : Columns or None
        How a table becomes features; None for plain arrays.
    has_y, has_weight, has_offset : bool
        What the blocks hold besides features.
    nbytes : int
        Bytes of all blocks, decoded (an estimate).
    n_scans : int
        Metadata scans that were needed.
    fold_key : str or None
        Name of the column that the blocks' fold keys come from.
    fold_key_levels : tuple or None
        Values of a fold column of text; the key is the position. None for integer keys.
    classes : tuple or None
        Labels of a target of classes, ascending: text, int, float or bool. The blocks' y is the
        position, 0.0 to C - 1. None for a target of numbers.
    digest : str
        Hash of schema, sizes and a sample or the state of the files.
    advice : tuple of str
        What about the storage makes reading slow, and what would help.
    """

    name: str
    n_rows: int
    feature_names: tuple[str, ...]
    n_dense: int
    n_sparse: int
    groups: tuple[Group, ...]
    in_memory: bool
    digest: str
    missing: Literal["error", "mean", "drop"] = "error"
    columns: Columns | None = None
    has_y: bool = False
    has_weight: bool = False
    has_offset: bool = False
    nbytes: int = 0
    n_scans: int = 0
    fold_key: str | None = None
    fold_key_levels: tuple[Level, ...] | None = None
    classes: tuple[Level, ...] | None = None
    advice: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a data set without rows or features."""
        if self.n_rows == 0:
            raise DataError(f"{self.name} has 0 rows. At least one row is needed.")
        if not self.feature_names:
            raise DataError(f"{self.name} has 0 features. At least one feature is needed.")

    def __repr__(self) -> str:
        """Sizes only."""
        return (
            f"Dataset({self.name!r}, {self.n_rows:,} rows x {self.n_features:,} features, "
            f"{self.n_blocks} blocks in {len(self.groups)} groups)"
        )

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def recipes(self) -> tuple[BlockRecipe, ...]:
        """All block recipes in order of rows."""
        return tuple(recipe for group in self.groups for recipe in group.recipes)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return sum(len(group.recipes) for group in self.groups)

    def regroup(self, n_groups: int) -> Dataset:
        """Return the same blocks in at most `n_groups` groups, for states that take much memory.

        Neighbouring groups are joined; the inputs of a group of Dask chunks are then in memory
        together.
        """
        if len(self.groups) <= n_groups:
            return self
        parts = _balanced([group.recipes for group in self.groups], max(n_groups, 1))
        return replace(self, groups=_as_groups(parts))


def row_cuts(n_rows: int, n_parts: int) -> list[tuple[int, int]]:
    """Cut rows into `n_parts` (or n_rows, if fewer) runs whose lengths differ by at most 1."""
    bounds = np.linspace(0, n_rows, min(n_parts, n_rows) + 1).astype(int)
    return [(int(a), int(b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def memory_parts(nbytes: int) -> int:
    """Blocks that data in memory are cut into: 8 to 16 MB each, beyond 128 MB a multiple of 16."""
    if nbytes < 2 * GROUP_BYTES * GROUP_COUNT:
        return min(max(1, nbytes // GROUP_BYTES), GROUP_COUNT)
    return GROUP_COUNT * -(-nbytes // (2 * GROUP_BYTES * GROUP_COUNT))


def make_groups(recipes: Sequence[BlockRecipe]) -> tuple[Group, ...]:
    """Bundle consecutive recipes into groups of about equal size, from the data alone.

    Slices of one storage unit (equal `stream_key`) stay together unless there would be fewer than
    four groups, because a unit is decoded from its start.
    """
    total = sum(recipe.nbytes for recipe in recipes)
    aim = max(GROUP_COUNT, -(-total // LARGEST_GROUP))
    n_groups = int(min(len(recipes), aim, max(1, total // GROUP_BYTES)))
    if recipes and recipes[0].inputs:
        return _as_groups(_bounded(recipes, max(min(INPUT_BYTES, total // max(n_groups, 1)), 1)))
    units = [tuple(run) for _, run in groupby(recipes, key=_unit)]
    if len(units) < min(4, n_groups):
        units = [(recipe,) for recipe in recipes]
        n_groups = min(n_groups, 4)
    return _as_groups(_balanced(units, n_groups))


def _unit(recipe: BlockRecipe) -> Any:
    key = getattr(recipe, "stream_key", None)
    return ("block", recipe.index) if key is None else ("unit", key)


def _as_groups(parts: Iterable[Sequence[BlockRecipe]]) -> tuple[Group, ...]:
    return tuple(Group(index, tuple(part)) for index, part in enumerate(parts))


def _balanced(units: Sequence[Sequence[BlockRecipe]], n_groups: int) -> list[list[BlockRecipe]]:
    """Join neighbouring units; a unit goes where its middle byte falls."""
    sizes = np.array([max(sum(r.nbytes for r in unit), 1) for unit in units], dtype=float)
    middle = np.cumsum(sizes) - sizes / 2
    place = np.minimum((middle * n_groups / sizes.sum()).astype(int), n_groups - 1)
    parts: dict[int, list[BlockRecipe]] = {}
    for unit, group in zip(units, place, strict=True):
        parts.setdefault(int(group), []).extend(unit)
    return list(parts.values())


def _bounded(recipes: Sequence[BlockRecipe], limit: int) -> list[list[BlockRecipe]]:
    """Join neighbours as long as they stay below `limit` bytes."""
    parts: list[list[BlockRecipe]] = []
    size = 0
    for recipe in recipes:
        if parts and size + recipe.nbytes <= limit:
            parts[-1].append(recipe)
        else:
            parts.append([recipe])
            size = 0
        size += recipe.nbytes
    return parts


def digest_of(schema: Any, content: Iterable[bytes | str]) -> str:
    """Hash of a JSON-safe schema and of pieces of content."""
    state = hashlib.sha256(json.dumps(schema, sort_keys=True, default=str).encode())
    for piece in content:
        state.update(piece.encode() if isinstance(piece, str) else piece)
        state.update(b"\0")
    return state.hexdigest()
