"""Moments of cells of rows: what one pass leaves behind for the squared loss.

For every cell (a set of rows that all folds treat alike) `Moments` holds the weighted Gram matrix
of the augmented row ``a = [features - centre, missing, y - y_centre, 1]``. Sums, cross products and
second moments are its entries, so that adding two Gram matrices adds everything.

The centre is the mean of the first rows of the cell that a group reads, so it differs between
groups and cells. `merge` moves one state to the other's centre: with
``x - c' = (x - c) + (c - c')`` the Gram matrix changes by terms in the known sums, exactly and
without cancellation (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "NO_ROWS",
    "Issue",
    "Layout",
    "Moments",
    "describe_issues",
    "describe_overflow",
    "join_issues",
    "merge",
    "move_centre",
]

NO_ROWS = (
    "a training set has no rows with a positive weight; use fewer folds, or give some of its rows "
    "a weight"
)


@dataclass(frozen=True)
class Issue:
    """A defect of one column, found while reading.

    Attributes
    ----------
    column : str
        Feature name, or "target", "weight", "offset".
    kind : str
        "missing", "infinite" or "negative".
    first_row, count : int
        First offending row number and number of offending rows.
    source : str
        Where the first one was read.
    """

    column: str
    kind: str
    first_row: int
    count: int
    source: str


@dataclass(frozen=True)
class Layout:
    """Sizes of the parts of an augmented row; the last two dense entries are the target and 1."""

    n_cells: int
    n_sparse: int
    n_dense: int


@dataclass
class Moments:
    """Gram matrices of the augmented rows, one for each cell.

    Attributes
    ----------
    layout : Layout
        Sizes.
    centre : (n_cells, n_dense) array
        Subtracted from the dense features of a cell's rows; NaN as long as none had a value.
    sparse_centre : (n_cells, n_sparse) array
        Subtracted from the sparse features; 0 unless a column lies far from 0 for its spread.
    y_centre : (n_cells,) array
        Subtracted from the target.
    missing : (m,) int array
        Dense features that have a missing indicator, ascending.
    dense : (n_cells, r, r) array, r = n_dense + m + 2
        Products of the dense part ``[features, indicators, target, 1]``; symmetric.
    cross : (n_cells, n_sparse, r) array
        Products of sparse features with the dense part.
    sparse : (n_cells, n_sparse, n_sparse) array
        Products of sparse features; lower triangle.
    count : (n_cells,) int array
        Rows with positive weight. A cell without any has no centre yet.
    issues : dict
        Defects by (column, kind).
    """

    layout: Layout
    centre: np.ndarray
    sparse_centre: np.ndarray
    y_centre: np.ndarray
    missing: np.ndarray
    dense: np.ndarray
    cross: np.ndarray
    sparse: np.ndarray
    count: np.ndarray
    issues: dict[tuple[str, str], Issue] = field(default_factory=dict)

    @classmethod
    def zeros(cls, layout: Layout) -> Moments:
        """State of no rows."""
        cells, s, r = layout.n_cells, layout.n_sparse, layout.n_dense + 2
        return cls(
            layout=layout,
            centre=np.zeros((cells, layout.n_dense)),
            sparse_centre=np.zeros((cells, s)),
            y_centre=np.zeros(cells),
            missing=np.empty(0, dtype=np.int64),
            dense=np.zeros((cells, r, r)),
            cross=np.zeros((cells, s, r)),
            sparse=np.zeros((cells, s, s)),
            count=np.zeros(cells, dtype=np.int64),
        )

    @staticmethod
    def state_bytes(layout: Layout, n_missing: int = 0) -> int:
        """Bytes of one state."""
        r = layout.n_dense + n_missing + 2
        return 8 * layout.n_cells * (r * r + layout.n_sparse * r + layout.n_sparse**2)

    def with_missing(self, missing: np.ndarray) -> Moments:
        """Give the features `missing`, a superset of those that have one, an indicator of 0s."""
        if missing.size == self.missing.size:
            return self
        d, r_new = self.layout.n_dense, self.layout.n_dense + missing.size + 2
        old = np.concatenate(
            [np.arange(d), d + np.searchsorted(missing, self.missing), [r_new - 2, r_new - 1]]
        )
        dense = np.zeros((self.layout.n_cells, r_new, r_new))
        dense[:, old[:, None], old[None, :]] = self.dense
        cross = np.zeros((self.layout.n_cells, self.layout.n_sparse, r_new))
        cross[:, :, old] = self.cross
        return Moments(
            self.layout, self.centre, self.sparse_centre, self.y_centre, missing, dense, cross,
            self.sparse, self.count, self.issues,
        )  # fmt: skip

    def move_cell(self, cell: int, other: Moments) -> None:
        """Move one cell to the centre that it has in `other`, in place."""
        delta = np.zeros(self.dense.shape[1])
        delta[: self.layout.n_dense] = np.nan_to_num(self.centre[cell] - other.centre[cell])
        delta[-2] = self.y_centre[cell] - other.y_centre[cell]
        delta_sparse = self.sparse_centre[cell] - other.sparse_centre[cell]
        if np.any(delta_sparse):
            total = self.cross[cell, :, -1].copy()
            half = np.outer(delta_sparse, total + 0.5 * self.dense[cell, -1, -1] * delta_sparse)
            self.sparse[cell] += half + half.T
            self.cross[cell] += np.outer(delta_sparse, self.dense[cell, -1])
        if np.any(delta):
            move_centre(self.dense[cell], delta, self.missing, self.layout.n_dense)
            _move_rows(self.cross[cell].T, delta, self.missing, self.layout.n_dense)

    def add_cell(self, cell: int, other: Moments) -> None:
        """Add a cell of `other`, which is about the same centre."""
        self.dense[cell] += other.dense[cell]
        self.cross[cell] += other.cross[cell]
        self.sparse[cell] += other.sparse[cell]
        self.count[cell] += other.count[cell]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays that `from_arrays` turns into the same state (a state with issues has none)."""
        return {
            "sizes": np.array([self.layout.n_cells, self.layout.n_sparse, self.layout.n_dense]),
            "centre": self.centre,
            "sparse_centre": self.sparse_centre,
            "y_centre": self.y_centre,
            "missing": self.missing,
            "dense": self.dense,
            "cross": self.cross,
            "sparse": self.sparse,
            "count": self.count,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Moments:
        """Inverse of `to_arrays`."""
        n_cells, n_sparse, n_dense = (int(size) for size in arrays["sizes"])
        return cls(
            layout=Layout(n_cells, n_sparse, n_dense),
            y_centre=arrays["y_centre"],
            centre=arrays["centre"],
            sparse_centre=arrays["sparse_centre"],
            missing=arrays["missing"],
            dense=arrays["dense"],
            cross=arrays["cross"],
            sparse=arrays["sparse"],
            count=arrays["count"],
        )


def merge(left: Moments, right: Moments) -> Moments:
    """Moments of the rows of both, about the centres of `left`.

    Neither argument may be used afterwards: their arrays are reused.
    """
    if left.missing.size or right.missing.size:
        union = np.union1d(left.missing, right.missing).astype(np.int64)
        left, right = left.with_missing(union), right.with_missing(union)
    with np.errstate(over="ignore", invalid="ignore"):  # reported when the pass ends
        for cell in np.flatnonzero(right.count):
            if left.count[cell]:
                for one, other in ((left, right), (right, left)):
                    unknown = np.isnan(one.centre[cell])
                    one.centre[cell, unknown] = other.centre[cell, unknown]
                right.move_cell(int(cell), left)
            else:
                left.centre[cell] = right.centre[cell]
                left.sparse_centre[cell] = right.sparse_centre[cell]
                left.y_centre[cell] = right.y_centre[cell]
            left.add_cell(int(cell), right)
    join_issues(left.issues, right.issues)
    return left


def move_centre(gram: np.ndarray, delta: np.ndarray, missing: np.ndarray, n_features: int) -> None:
    """Gram matrix of ``[features, missing, target, 1]`` about another centre, in place.

    With ``delta = old centre - new centre`` a feature becomes ``a_j + delta_j (1 - missing_j)``: a
    linear map of the augmented row, applied to both sides.

    Parameters
    ----------
    gram : (r, r) symmetric array
    delta : (r,) array
        0 for the indicators and the last entry.
    missing : (m,) int array
        Features with an indicator.
    n_features : int
        Where the indicators begin.
    """
    _move_rows(gram, delta, missing, n_features)
    _move_rows(gram.T, delta, missing, n_features)


def _move_rows(matrix: np.ndarray, delta: np.ndarray, missing: np.ndarray, start: int) -> None:
    """``matrix[j] += delta_j (matrix[-1] - matrix[indicator of j])``, in place."""
    absent = delta[missing, None] * matrix[start : start + missing.size]
    matrix += np.multiply.outer(delta, matrix[-1])
    if missing.size:
        matrix[missing] -= absent


def join_issues(left: dict[tuple[str, str], Issue], right: dict[tuple[str, str], Issue]) -> None:
    """Add the defects `right` to `left`."""
    for key, issue in right.items():
        seen = left.get(key)
        left[key] = issue if seen is None else _join(seen, issue)


def _join(a: Issue, b: Issue) -> Issue:
    """One issue for both; `a` and `b` concern the same column and kind."""
    first = a if a.first_row <= b.first_row else b
    return Issue(a.column, a.kind, first.first_row, a.count + b.count, first.source)


def describe_issues(issues: list[Issue]) -> str:
    """One message for all issues; the first ten by name."""
    issues.sort(key=lambda issue: (issue.first_row, issue.column))
    lines = []
    for issue in issues[:10]:
        what = {"missing": "missing (NaN)", "infinite": "infinite", "negative": "negative"}
        where = f" ({issue.source})" if issue.source else ""
        values = "value" if issue.count == 1 else "values"
        lines.append(
            f"{issue.column}: {issue.count} {what[issue.kind]} {values}, "
            f"first in row {issue.first_row}{where}"
        )
    more = f"\n  and {len(issues) - 10} more columns" if len(issues) > 10 else ""
    kinds = {issue.kind for issue in issues}
    columns = {issue.column for issue in issues}
    advice = "Every value must be finite"
    if "missing" in kinds and columns - {"target", "weight", "offset"}:
        advice += '; missing feature values can be filled or dropped: missing="mean" or "drop"'
    weights = "weights"
    if "weight" in columns:
        advice += "; sample weights must be finite and not negative"
    if ("target", "negative") in {(issue.column, issue.kind) for issue in issues}:
        advice += "; a target that counts must not be negative"
        weights = "values"
    return f"the input contains NaN, infinity or negative {weights}.\n  " + (
        "\n  ".join(lines) + more + f"\n{advice}."
    )


def describe_overflow(labels: list[str], overflow: np.ndarray) -> str:
    """Message for columns whose sum of squares is infinite; `overflow` is a mask of `labels`."""
    return (
        f"{labels[int(np.argmax(overflow))]}: the sum of squares overflows, some values are larger "
        f"than about 1e150 ({int(overflow.sum())} such columns). Divide the column by a constant."
    )
