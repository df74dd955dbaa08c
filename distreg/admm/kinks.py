"""Slopes of the rows of a loss with a kink, and the rows that are near it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Duals", "Kinks", "most_kinks"]

MOST_KINKS = 6
"""Different rows near their kink that are kept for a column, in units of the features and one,"""

MANY_KINKS = 1000
"""or this many, when there are few features."""


def most_kinks(n_features: int) -> int:
    """Different rows near their kink that are kept for a column."""
    return max(MOST_KINKS * (n_features + 1), MANY_KINKS)


@dataclass
class Duals:
    """Sums over the training rows of ``weight * slope``, for positive and for negative slopes.

    Attributes
    ----------
    total, level : (2, R) arrays
        The sums, and those of the products with the place of the kink less the offset.
    products : (2, p, R) array
        With the features.
    """

    total: np.ndarray
    level: np.ndarray
    products: np.ndarray

    def copy(self) -> Duals:
        """A copy that may be changed."""
        return Duals(self.total.copy(), self.level.copy(), self.products.copy())

    def move(self, j: int, kinks: Kinks, pairs: np.ndarray, new: np.ndarray) -> None:
        """Give the rows `pairs` of column j the weighted slopes `new`."""
        row = kinks.row[pairs]
        for half, part in enumerate((np.maximum, np.minimum)):
            moved = part(new, 0.0) - kinks.dual[half, pairs]
            self.total[half, j] += moved.sum()
            self.level[half, j] += moved @ kinks.level[row]
            self.products[half, :, j] += kinks.features[row].T @ moved


@dataclass(frozen=True)
class Kinks:
    """Pairs of a row whose z is at the kink or near it, and a column.

    Equal rows are one, so that data of few values have few rows at their kink, too.

    Attributes
    ----------
    features : (m, p) array
        Of the rows, all different.
    level, low : (m,) arrays
        Where the predictor without the offset has its kink, and the slope below: that above is 1
        more.
    row, column : (k,) int arrays
        The pairs: place in `features`, and column.
    weight : (k,) array
        Weight in the column.
    dual : (2, k) array
        Sums of weight times slope, of positive and of negative slopes.
    count : (R,) int array
        Such rows of each column.
    crowded : (R,) bool array
        Columns with too many, which are not here.
    """

    features: np.ndarray
    level: np.ndarray
    low: np.ndarray
    row: np.ndarray
    column: np.ndarray
    weight: np.ndarray
    dual: np.ndarray
    count: np.ndarray
    crowded: np.ndarray

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        level: np.ndarray,
        low: np.ndarray,
        near: np.ndarray,
        weight: np.ndarray,
        dual: np.ndarray,
        count: np.ndarray,
        crowded: np.ndarray,
    ) -> Kinks:
        """Those of some rows: `near` and `weight` are (m, R), `dual` is (2, m, R)."""
        row, column = np.nonzero(near)
        pairs = weight[row, column], dual[:, row, column]
        return cls(features, level, low, row, column, *pairs, count, crowded)._merged()

    def by_column(self) -> list[np.ndarray]:
        """The pairs of each column."""
        order = np.argsort(self.column, kind="stable")
        return np.split(order, np.searchsorted(self.column[order], np.arange(1, self.count.size)))

    def joined(self, other: Kinks) -> Kinks:
        """Those of two groups."""
        both = {
            name: np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)
            for name in ("level", "low", "column", "weight", "dual")
        }
        return Kinks(
            **both,
            features=np.concatenate([self.features, other.features]),
            row=np.concatenate([self.row, other.row + self.level.size]),
            count=self.count + other.count,
            crowded=self.crowded | other.crowded,
        )._merged()

    def _merged(self) -> Kinks:
        """The same with equal rows as one, and without the pairs of crowded columns."""
        # adding 0 makes one of its two signs; equal bytes are then equal numbers
        table = np.column_stack([self.features, self.level, self.low]) + 0.0
        _, first, place = np.unique(_as_bytes(table), return_index=True, return_inverse=True)
        n_columns = self.count.size
        pairs, pair = np.unique(place[self.row] * n_columns + self.column, return_inverse=True)
        row, column = np.divmod(pairs, n_columns)
        different = np.bincount(column, minlength=n_columns)
        crowded = self.crowded | (different > most_kinks(self.features.shape[1]))
        kept = np.flatnonzero(~crowded[column])
        used, row = np.unique(row[kept], return_inverse=True)
        weight, *dual = (np.bincount(pair, v, pairs.size)[kept] for v in (self.weight, *self.dual))
        return Kinks(
            features=self.features[first[used]],
            level=self.level[first[used]],
            low=self.low[first[used]],
            row=row,
            column=column[kept],
            weight=weight,
            dual=np.array(dual),
            count=np.where(crowded, self.count, different),
            crowded=crowded,
        )


def _as_bytes(table: np.ndarray) -> np.ndarray:
    """Rows of an (m, d) array as one item each, (m,)."""
    return np.ascontiguousarray(table).view(np.dtype((np.void, table.strides[0])))[:, 0]
