"""Cross-validation schemes given row by row: fold ids, or the output of any splitter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distreg.exceptions import InputError

__all__ = ["GivenFolds", "Splits", "from_splits"]

MAX_PATTERNS = 64
"""Cells that `from_splits` accepts by default: each costs a Gram matrix."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Any list of training and held-out rows, stored as one cell id a row (see `from_splits`).

    Attributes
    ----------
    ids : (n_rows,) int array
        Cell of each row, from row `start` on.
    train, held_out : (n_folds, n_cells) bool arrays
        What each fold does with a cell.
    description : str
        For reports.
    start : int
        Row number of ``ids[0]``.
    """

    ids: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    description: str
    start: int = 0

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.train.shape[0])

    def check(self, n_rows: int, n_fit: int) -> None:
        """One id for each row."""
        if self.ids.size != n_rows:
            raise InputError(
                f"cv has {self.ids.size} fold ids for {n_rows} rows: give one for each row"
            )

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """As given."""
        return self.train, self.held_out

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Look the rows up."""
        return np.asarray(self.ids[row - self.start])

    def restrict(self, start: int, stop: int) -> Splits:
        """Keep the ids of these rows."""
        low, high = start - self.start, stop - self.start
        return replace(self, ids=self.ids[low:high].copy(), start=start)


def GivenFolds(ids: Any) -> Splits:
    """Folds by one id a row; equal ids share a fold, -1 is never held out (PredefinedSplit).

    Parameters
    ----------
    ids : (n_rows,) int array-like
        Fold ids, in any numbering.

    Returns
    -------
    Splits
        Folds in ascending order of their ids.
    """
    given = np.asarray(ids)
    if given.ndim != 1:
        raise InputError(f"fold ids have shape {given.shape}: give one id for each row")
    try:
        values = given.astype(np.float64) if given.dtype == object else given
        whole = values.dtype.kind in "iub" or bool(np.all(values == np.floor(values)))
        whole = whole and bool(np.all(np.isfinite(values)))
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise InputError("fold ids must be whole numbers without NaN; -1 marks rows never held out")
    levels, cells = np.unique(values.astype(np.int64), return_inverse=True)
    folds = np.flatnonzero(levels != -1)
    if folds.size < 2:
        raise InputError(
            f"{folds.size} fold id given: at least 2 folds are needed (-1 is never held out)"
        )
    held_out = np.arange(levels.size)[None, :] == folds[:, None]
    return Splits(_small(cells, levels.size), ~held_out, held_out, f"{folds.size} given folds")


def from_splits(
    splits: Iterable[tuple[Any, Any]], n_rows: int, max_patterns: int = MAX_PATTERNS
) -> Splits:
    """Turn the output of any scikit-learn splitter into a scheme.

    Rows that all splits treat alike share a cell.

    Parameters
    ----------
    splits : iterable of (train, test)
        Row indices, or boolean masks, of each split.
    n_rows : int
        Number of rows.
    max_patterns : int
        Most different patterns of membership: each needs a Gram matrix of its own.

    Returns
    -------
    Splits

    Raises
    ------
    InputError
        More patterns, or splits that name unknown rows, or one row twice.
    """
    cells = np.zeros(n_rows, dtype=np.int64)
    patterns = np.zeros((0, 1), dtype=np.int64)
    for fold, (train, test) in enumerate(splits):
        code = _members(train, n_rows, fold, "train") + 2 * _members(test, n_rows, fold, "test")
        if not (code & 1).any() or not (code & 2).any():
            raise InputError(f"cv: split {fold} has no training rows or no held-out rows")
        levels, cells = np.unique(4 * cells + code, return_inverse=True)
        if levels.size > max_patterns:
            raise InputError(
                f"cv: the splits treat rows in more than {max_patterns} different ways by split "
                f"{fold}, and each needs a Gram matrix of its own. Use fewer splits or repeats, "
                "or a scheme whose held-out sets do not overlap"
            )
        patterns = np.vstack([patterns[:, levels // 4], levels % 4])
    if patterns.shape[0] == 0:
        raise InputError("cv gives no splits")
    n_folds, n_cells = patterns.shape
    return Splits(
        _small(cells, n_cells),
        (patterns & 1).astype(bool),
        (patterns & 2).astype(bool),
        f"{n_folds} given splits",
    )


def _members(rows: Any, n_rows: int, fold: int, which: str) -> np.ndarray:
    index = np.asarray(rows)
    if index.dtype == bool:
        if index.shape != (n_rows,):
            raise InputError(f"cv: {which} mask {fold} has shape {index.shape} for {n_rows} rows")
        return index.astype(np.int64)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise InputError(f"cv: {which} rows of split {fold} must be a 1-D array of row numbers")
    if index.size and (index.min() < 0 or index.max() >= n_rows):
        raise InputError(f"cv: {which} rows of split {fold} are outside 0 ... {n_rows - 1}")
    count = np.bincount(index.astype(np.int64), minlength=n_rows)
    if count.max(initial=0) > 1:
        raise InputError(
            f"cv: split {fold} names row {int(np.argmax(count > 1))} twice in its {which} rows; "
            "give repeated rows as sample weights"
        )
    return count


def _small(cells: np.ndarray, n_cells: int) -> np.ndarray:
    # ids travel to workers with their blocks
    return cells.astype(np.uint8 if n_cells <= 256 else np.int32)
