"""What the last steps of a column have shown of its curvature.

Columns share the curvature of a few anchors. Along a direction where that of a column is another
one, step after step leaves the same share of the way. The change y of the gradient over a move d is
exact there: the update of Broyden, Fletcher, Goldfarb and Shanno,

    M - (M d)(M d)' / (d'M d) + y y' / (y'd),

keeps the curvature semidefinite and maps d to y. It bends nothing that neither M nor the loss does.

References
----------
Nocedal, Wright: Numerical Optimization, 2nd ed., 2006, eq. 6.19.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Pair", "Secants"]

MOST_PAIRS = 3
"""Moves that are remembered."""


@dataclass(frozen=True)
class Pair:
    """A move of C intercepts and P coefficients, and the change (y) of the loss's gradient."""

    move: np.ndarray
    change: np.ndarray

    @property
    def curvature(self) -> float:
        """``y'd``."""
        return float(self.move @ self.change)


class Secants:
    """The last pairs of each column, latest last; all about the same coefficients."""

    def __init__(self) -> None:
        self._pairs: dict[int, list[Pair]] = {}

    def of(self, fit: int) -> list[Pair]:
        """Pairs of a column."""
        return self._pairs.get(fit, [])

    def learn(self, fit: int, pair: Pair) -> None:
        """Remember a move, unless rounding or overflow hides what it shows."""
        found = pair.curvature
        if np.isfinite(found) and found > 0.0:
            self._pairs[fit] = [*self.of(fit), pair][-MOST_PAIRS:]

    def forget(self, fits: np.ndarray) -> None:
        """Columns begin anew."""
        for fit in fits:
            self._pairs.pop(int(fit), None)
