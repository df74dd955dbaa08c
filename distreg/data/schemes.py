"""Cross-validation schemes whose folds follow from a rule, so that they need no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from distreg.data.draws import hash64, random_ranks, windows_of
from distreg.exceptions import DataError, InputError

__all__ = [
    "FoldColumn",
    "GroupKFold",
    "KFold",
    "Rule",
    "Scheme",
    "ShuffledKFold",
    "TimeSeriesSplit",
]


class Scheme(Protocol):
    """A cross-validation scheme.

    `position` counts the rows that are not test rows, from 0; it equals `row` without a test split.
    """

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        ...

    def check(self, n_rows: int, n_fit: int) -> None:
        """Raise InputError unless the scheme suits `n_rows` rows, `n_fit` of them no test rows."""
        ...

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each fold's training and held-out cells: two (n_folds, n_cells) bool arrays."""
        ...

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Cells of rows, (n,) int."""
        ...

    def restrict(self, start: int, stop: int) -> Scheme:
        """Return a scheme that serves the rows from `start` to before `stop`, and holds no more."""
        ...

    @property
    def description(self) -> str:
        """For reports."""
        ...


@dataclass(frozen=True)
class Rule:
    """Schemes that hold nothing that grows with the data."""

    n_folds: int

    def __post_init__(self) -> None:
        """Check the number."""
        if self.n_folds < 2:
            raise InputError(f"cv={self.n_folds}: at least 2 folds are needed")

    def check(self, n_rows: int, n_fit: int) -> None:
        """Each fold needs a row."""
        _check_enough(self.n_folds, n_fit)

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """One cell a fold."""
        held_out = np.eye(self.n_folds, dtype=bool)
        return ~held_out, held_out


class _RestrictsToItself:
    def restrict(self, start: int, stop: int) -> Any:
        """Return self: the rule is the same for all rows."""
        return self


@dataclass(frozen=True)
class KFold(_RestrictsToItself, Rule):
    """Contiguous folds by row number, as scikit-learn's KFold without shuffling."""

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Give the first ``n_fit % n_folds`` folds one row more."""
        size, larger = divmod(n_fit, self.n_folds)
        cut = larger * (size + 1)
        late = larger + (position - cut) // max(size, 1)
        return np.where(position < cut, position // (size + 1), late)

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.n_folds} contiguous folds"


@dataclass(frozen=True)
class ShuffledKFold(_RestrictsToItself, Rule):
    """Random folds, exactly balanced.

    In every window of `n_folds` consecutive rows each fold appears once, in an order drawn from a
    hash of (seed, row), so that neither the number of rows nor the blocks matter.
    """

    seed: int = 0

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Rank of the row's hash in its window."""
        windows, index = windows_of(position, self.n_folds)
        ranks = random_ranks(windows, self.n_folds, self.seed)
        return np.asarray(ranks[index, position % self.n_folds])

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.n_folds} random folds (seed {self.seed})"


@dataclass(frozen=True)
class GroupKFold(_RestrictsToItself, Rule):
    """All rows with one fold key share a fold, drawn from a hash of (seed, key).

    Balanced as far as many groups of similar size are: a fold may stay empty when groups are few.
    """

    seed: int = 0

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Hash of the key, modulo the number of folds."""
        key = _need_key(fold_key)
        return (hash64(self.seed, key) % np.uint64(self.n_folds)).astype(np.int64)

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.n_folds} folds of whole groups (seed {self.seed})"


@dataclass(frozen=True)
class TimeSeriesSplit(_RestrictsToItself, Rule):
    """Expanding window, as scikit-learn's: fold k trains on all rows before those it holds out."""

    def check(self, n_rows: int, n_fit: int) -> None:
        """One part more than folds: the first is never held out."""
        _check_enough(self.n_folds + 1, n_fit)

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """Cell 0 is the first training set, cell k + 1 is held out by fold k."""
        fold, cell = np.arange(self.n_folds)[:, None], np.arange(self.n_folds + 1)
        return cell <= fold, cell == fold + 1

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Give the remainder of the division to the first training set."""
        size = max(n_fit // (self.n_folds + 1), 1)
        first = n_fit - self.n_folds * size
        return np.where(position < first, 0, 1 + (position - first) // size)

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.n_folds} folds of an expanding window"


@dataclass(frozen=True)
class FoldColumn(_RestrictsToItself, Rule):
    """Fold keys are the fold ids; -1 is never held out.

    `levels` lists the ids of the folds when they are not 0 ... n_folds - 1.
    """

    levels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Count the ids."""
        super().__post_init__()
        if self.levels is not None and len(set(self.levels) - {-1}) != self.n_folds:
            raise InputError(
                f"{len(set(self.levels) - {-1})} fold ids given for {self.n_folds} folds: "
                f"{_some(sorted(self.levels))}"
            )

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """One cell a fold, and one for the rows that are never held out."""
        held_out = np.eye(self.n_folds, self.n_folds + 1, dtype=bool)
        return ~held_out, held_out

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Index of the id; rows with another id are an error."""
        key = _need_key(fold_key)
        if self.levels is None:
            known = np.arange(self.n_folds)
        else:
            known = np.array(sorted(set(self.levels) - {-1}), dtype=np.int64)
        index = np.minimum(np.searchsorted(known, key), self.n_folds - 1)
        wrong = (known[index] != key) & (key != -1)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise DataError(
                f"fold column: row {int(row[first])} holds {int(key[first])}; allowed are "
                f"{_some(known)} and -1 (never held out)"
            )
        return np.where(key == -1, self.n_folds, index)

    @property
    def description(self) -> str:
        """For reports."""
        return f"{self.n_folds} folds given by a column"


def _need_key(fold_key: np.ndarray | None) -> np.ndarray:
    if fold_key is None:
        raise InputError("this cv needs a fold column: give fold_key when building the data set")
    return fold_key


def _check_enough(n_parts: int, n_fit: int) -> None:
    if n_fit < n_parts:
        raise InputError(
            f"cv needs at least {n_parts} rows, got n_samples={n_fit}: use fewer folds"
        )


def _some(values: Any) -> str:
    shown = [str(value) for value in list(values)[:8]]
    return ", ".join(shown) + (", ..." if len(values) > 8 else "")
