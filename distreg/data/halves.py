"""Complementary halves of the data, many times over, as sets of the same few cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.data.draws import hash64, random_ranks, windows_of
from distreg.exceptions import InputError

__all__ = ["ComplementaryPairs", "cells_for"]

MOST_CELLS, FEWEST_CELLS = 40, 12
"""Cells of rows; 12 cells have 462 different pairs of halves, 40 have 7e10."""

STATE_BYTES = 2**30
"""Gram matrices of all cells, which the squared loss keeps; more features have fewer cells."""


def cells_for(n_rows: int, n_features: int) -> int:
    """Number of cells (even) that suits a data set; follows from its size alone."""
    fitting = STATE_BYTES // (8 * (n_features + 2) ** 2)
    cells = min(max(fitting, FEWEST_CELLS), MOST_CELLS, max(n_rows, 2))
    return int(cells - cells % 2)


@dataclass(frozen=True)
class ComplementaryPairs:
    """B times two random halves of the rows: 2B training sets, nothing held out.

    Rows are dealt to G cells, exactly balanced in every window of G consecutive rows, in an order
    drawn from a hash of (seed, row). A half is a random set of G/2 of the cells, so that one
    reading of the data serves all halves. Halves 2b and 2b + 1 are a pair.

    Attributes
    ----------
    n_pairs : int
        B.
    n_cells : int
        G, even.
    seed : int
    """

    n_pairs: int
    n_cells: int = MOST_CELLS
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n_pairs < 1:
            raise InputError(f"n_pairs={self.n_pairs} must be at least 1")
        if self.n_cells < 2 or self.n_cells % 2:
            raise InputError(f"n_cells={self.n_cells} must be even, and at least 2")

    @property
    def n_folds(self) -> int:
        """Number of training sets."""
        return 2 * self.n_pairs

    def check(self, n_rows: int, n_fit: int) -> None:
        """Each cell needs a row."""
        if n_fit < self.n_cells:
            raise InputError(
                f"{self.n_cells} cells of rows need as many rows, got n_samples={n_fit}"
            )

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each half's cells, and none held out."""
        # another stream of draws than that of the rows
        seed = int(hash64(self.seed, np.array([-1]))[0])
        first = random_ranks(np.arange(self.n_pairs), self.n_cells, seed) < self.n_cells // 2
        train = np.stack([first, ~first], axis=1).reshape(-1, self.n_cells)
        return train, np.zeros_like(train)

    def assign(
        self, position: np.ndarray, row: np.ndarray, fold_key: np.ndarray | None, n_fit: int
    ) -> np.ndarray:
        """Rank of the row's hash in its window."""
        windows, index = windows_of(position, self.n_cells)
        ranks = random_ranks(windows, self.n_cells, self.seed)
        return np.asarray(ranks[index, position % self.n_cells])

    def restrict(self, start: int, stop: int) -> ComplementaryPairs:
        """Return self: the rule is the same for all rows."""
        return self

    @property
    def description(self) -> str:
        """For reports."""
        return (
            f"{self.n_pairs} pairs of random halves of {self.n_cells} cells of rows "
            f"(seed {self.seed})"
        )
