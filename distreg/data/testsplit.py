"""Rows kept for the final scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from distreg.data.draws import random_ranks, windows_of
from distreg.exceptions import InputError

__all__ = ["TestSplit"]

WINDOW = 64
"""Rows among which `TestSplit` draws at a time."""


@dataclass(frozen=True)
class TestSplit:
    """Rows kept out of everything but the final scores.

    Attributes
    ----------
    fraction : float
        Share of the rows, in (0, 1).
    seed : int
        Seed of the draw.
    kind : {"random", "tail"}
        "random" draws the same share of every 64 consecutive rows; "tail" takes the last rows.
    """

    __test__ = False

    fraction: float
    seed: int = 0
    kind: Literal["random", "tail"] = "random"

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0.0 < self.fraction < 1.0:
            raise InputError(f"test fraction={self.fraction} is outside (0, 1)")
        if self.kind not in ("random", "tail"):
            raise InputError(f"test kind={self.kind!r}: allowed are 'random' and 'tail'")

    def n_test(self, n_rows: int) -> int:
        """Return the number of test rows."""
        wanted = round(n_rows * self.fraction)
        if self.kind == "random":
            before = self._before(n_rows // WINDOW)
            wanted = before + min(wanted - before, n_rows % WINDOW)
        if wanted < 1 or wanted >= n_rows:
            raise InputError(
                f"test fraction={self.fraction} of n_samples={n_rows} leaves {wanted} test rows "
                f"and {n_rows - wanted} others: at least 1 of each is needed"
            )
        return wanted

    def _before(self, window: Any) -> Any:
        """Test rows before a window."""
        return np.floor(window * WINDOW * self.fraction).astype(np.int64)

    def divide(self, row: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are test rows, and each row's number among those that are not."""
        n_test = self.n_test(n_rows)
        if self.kind == "tail":
            return row >= n_rows - n_test, row
        windows, index = windows_of(row, WINDOW)
        before = self._before(windows)
        drawn = self._before(windows + 1) - before
        drawn[windows == n_rows // WINDOW] = n_test - self._before(n_rows // WINDOW)
        chosen = random_ranks(windows, WINDOW, self.seed, n_rows) < drawn[:, None]
        earlier = np.cumsum(chosen, axis=1) - chosen + before[:, None]
        place = row % WINDOW
        return chosen[index, place], row - earlier[index, place]
