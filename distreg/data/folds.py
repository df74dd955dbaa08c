"""Folds as cells of rows: every row has one cell, and all folds treat the rows of a cell alike.

A training set, a held-out set, the full data and the test rows are sets of cells. Which cell a row
belongs to follows from its row number (or its fold key) and a seed alone, never from how the data
are cut into blocks; rules need no memory that grows with the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distreg.data.schemes import (
    FoldColumn,
    GroupKFold,
    KFold,
    Rule,
    Scheme,
    ShuffledKFold,
    TimeSeriesSplit,
)
from distreg.data.splits import MAX_PATTERNS, GivenFolds, Splits, from_splits
from distreg.data.testsplit import TestSplit
from distreg.exceptions import InputError

__all__ = [
    "CellRule",
    "Cells",
    "FoldColumn",
    "GivenFolds",
    "GroupKFold",
    "KFold",
    "Scheme",
    "ShuffledKFold",
    "Splits",
    "TestSplit",
    "TimeSeriesSplit",
    "check_cv",
    "from_splits",
    "make_cells",
    "split_approximate",
]


@dataclass(frozen=True, eq=False)
class CellRule:
    """Gives every row its cell. Small and picklable.

    Attributes
    ----------
    scheme : Scheme or None
        Folds; None puts all rows in cell 0.
    test : TestSplit or None
        Its rows get the last cell, `test_cell`.
    n_rows, n_fit, test_cell : int
        Rows in all, rows that are no test rows, and the test rows' cell.
    """

    scheme: Scheme | None
    test: TestSplit | None
    n_rows: int
    n_fit: int
    test_cell: int

    def __call__(self, row: np.ndarray, fold_key: np.ndarray | None = None) -> np.ndarray:
        """Cells of the rows with these numbers.

        Parameters
        ----------
        row : (n,) int array
            Row numbers.
        fold_key : (n,) int array or None
            Content of the fold column.

        Returns
        -------
        (n,) int32 array
        """
        row = np.asarray(row, dtype=np.int64)
        cells = np.zeros(row.size, dtype=np.int32)
        if row.size == 0:
            return cells
        position = row
        if self.test is None:
            return cells if self.scheme is None else self._assign(row, row, fold_key)
        held_back, position = self.test.divide(row, self.n_rows)
        cells[held_back] = self.test_cell
        fit = ~held_back
        if self.scheme is not None and fit.any():
            key = None if fold_key is None else fold_key[fit]
            cells[fit] = self._assign(position[fit], row[fit], key)
        return cells

    def _assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None
    ) -> np.ndarray:
        assert self.scheme is not None
        return self.scheme.assign(position, row, fold_key, self.n_fit).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Cells:
    """Folds, test rows and full data as sets of cells. K folds.

    Attributes
    ----------
    n_cells : int
        Number of cells.
    train, held_out : (K, n_cells) bool arrays
        Cells that each fold trains on and holds out.
    full, test : (n_cells,) bool arrays
        Cells of the fitting rows, and of the test rows.
    rule : CellRule
        Row number -> cell.
    description : str
        For reports.
    """

    n_cells: int
    train: np.ndarray
    held_out: np.ndarray
    full: np.ndarray
    test: np.ndarray
    rule: CellRule
    description: str

    @property
    def n_folds(self) -> int:
        """Number of folds; 0 without cross-validation."""
        return int(self.train.shape[0])

    def restrict(self, start: int, stop: int) -> CellRule:
        """Return the rule for rows from `start` to before `stop`, holding only what they need."""
        scheme = self.rule.scheme
        return self.rule if scheme is None else replace(
            self.rule, scheme=scheme.restrict(start, stop)
        )  # fmt: skip


def make_cells(scheme: Scheme | None, n_rows: int, test: TestSplit | None = None) -> Cells:
    """Lay out the cells of a scheme and a test split.

    Folds are made of the rows that are no test rows, as if these were not there.

    Parameters
    ----------
    scheme : Scheme or None
        None means no cross-validation.
    n_rows : int
        Rows of the data set.
    test : TestSplit or None
        Rows to keep for the final scores.

    Returns
    -------
    Cells
    """
    if n_rows < 1:
        raise InputError(f"the data have {n_rows} rows: at least 1 is needed")
    n_fit = n_rows if test is None else n_rows - test.n_test(n_rows)
    if scheme is None:
        train = held_out = np.zeros((0, 1), dtype=bool)
        text = "no cross-validation"
    else:
        scheme.check(n_rows, n_fit)
        train, held_out = scheme.layout()
        text = scheme.description
    n_scheme = train.shape[1]
    extra = 0 if test is None else 1
    if test is not None:
        text += f"; {n_rows - n_fit} {'last' if test.kind == 'tail' else 'random'} rows for testing"
    pad = ((0, 0), (0, extra))
    return Cells(
        n_cells=n_scheme + extra,
        train=np.pad(train, pad),
        held_out=np.pad(held_out, pad),
        full=np.arange(n_scheme + extra) < n_scheme,
        test=np.arange(n_scheme + extra) >= n_scheme,
        rule=CellRule(scheme, test, n_rows, n_fit, n_scheme),
        description=text,
    )


def check_cv(
    cv: Any,
    n_rows: int,
    *,
    groups: Any = None,
    y: Any = None,
    random_state: int | None = None,
    max_patterns: int = MAX_PATTERNS,
) -> Scheme:
    """Turn what a user may pass as `cv` into a scheme that suits `n_rows` rows.

    Parameters
    ----------
    cv : int, array, splitter, iterable of splits, scheme or None
        Number of folds (None: 5); fold ids, one for each row, -1 = never held out; an object with
        a `split` method; (train, test) row numbers.
    n_rows : int
        Rows of the data set.
    groups, y : arrays or None
        Passed to a splitter's `split`.
    random_state : int or None
        Seed that shuffles the folds when `cv` is a number.
    max_patterns : int
        As in `from_splits`.

    Returns
    -------
    Scheme
    """
    cv = 5 if cv is None else cv
    splits = _splits(cv, n_rows, groups, y)
    if splits is not None:
        scheme: Scheme = from_splits(splits, n_rows, max_patterns)
    else:
        scheme = _as_scheme(cv, random_state)
    scheme.check(n_rows, n_rows)
    return scheme


def split_approximate(cv: Any) -> tuple[Any, bool]:
    """The folds that `cv` asks for, and whether an approximate cross-validation will do.

    "approx" is 5 folds, "approx-10" is 10; anything else is exact.
    """
    found = re.fullmatch(r"approx(?:-(\d+))?", cv) if isinstance(cv, str) else None
    return (cv, False) if found is None else (int(found[1] or 5), True)


def _splits(cv: Any, n_rows: int, groups: Any, y: Any) -> Iterable[Any] | None:
    """(train, test) row numbers, if that is what `cv` holds or makes."""
    if hasattr(cv, "split") and not isinstance(cv, (str, bytes)):
        if _known_splitter(cv) is not None:
            return None
        made: Iterable[Any] = cv.split(np.zeros((n_rows, 1)), y, groups)
        return made
    if isinstance(cv, Iterator):
        return cv
    if isinstance(cv, (list, tuple)) and cv and all(_is_pair(item) for item in cv):
        return cv
    return None


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


def _as_scheme(cv: Any, random_state: int | None) -> Scheme:
    if isinstance(cv, (Rule, Splits)):
        # Rule is the base of the schemes, which have what it lacks
        return cv  # type: ignore[return-value]
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, (bool, np.bool_)):
        n_folds = int(cv)
        return KFold(n_folds) if random_state is None else ShuffledKFold(n_folds, int(random_state))
    known = _known_splitter(cv)
    if known is not None:
        return known
    if isinstance(cv, (bool, str, bytes, dict)) or not isinstance(cv, Iterable):
        raise InputError(
            f"cv={cv!r}: allowed are a number of folds, an array with one fold id for each row, "
            "a splitter, or a list of (train, test) row numbers; an estimator also takes 'approx' "
            "and 'approx-10' (number of folds)"
        )
    return GivenFolds(cv)


def _known_splitter(cv: Any) -> Scheme | None:
    """Return the rule of scikit-learn's own contiguous splitters, which need no row numbers."""
    kind = type(cv)
    if not kind.__module__.startswith("sklearn.model_selection"):
        return None
    if kind.__name__ == "KFold" and not cv.shuffle:
        return KFold(cv.n_splits)
    options = ("max_train_size", "test_size", "gap")
    if kind.__name__ == "TimeSeriesSplit" and not any(getattr(cv, name) for name in options):
        return TimeSeriesSplit(cv.n_splits)
    return None
