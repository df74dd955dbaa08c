"""Curvature for one column: between two anchors, corrected by what is known of the column itself.

Everything here is of C intercepts and P coefficients. Corrections have low rank, and keep two
things: the curvature is semidefinite, and a direction that it does not bend, because features
depend on each other, stays straight. Without the second the model, unlike the loss, would have no
minimum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg

from distreg.glm.metric import Metric
from distreg.glm.secant import Pair
from distreg.kernels.symmetric import (
    LEAST,
    add_low_rank,
    block_between,
    corrected,
    product_of,
)

__all__ = ["Between"]

OVERFLOW = 1e100
"""Curvature of a point from which no step can be computed."""

UNBENT = 0.2
"""Logarithm of the ratio of two curvatures that need no correction."""

DEPENDENT = 0.05
"""Eigenvalue of the correlations of rare features below which they have rows in common."""

MOST = 400
"""Features that are corrected for together."""


class Between:
    """Curvature between two anchors: ``(1 - share)`` of the left and `share` of the right one.

    Nothing of size (P, P) is made but what is asked for.

    Parameters
    ----------
    left, right : Metric
    share : float

    Attributes
    ----------
    corner : (C, C) array
    cross : (C, P) array
    grams : pair of (P, P) arrays and a float
        Of the two anchors, and `share`.
    low : (2, r, P) array
        The corrections are ``low[0]' low[1]``.
    """

    def __init__(self, left: Metric, right: Metric, share: float) -> None:
        # at an anchor the other one, which may have overflowed, has no part
        left, right = (left if share < 1.0 else right), (right if share > 0.0 else left)
        keep = 1.0 - share
        self.grams = left.gram, right.gram, share
        with np.errstate(invalid="ignore"):  # 0 times infinity: not bounded
            self._diagonal = keep * left.diagonal + share * right.diagonal
            self.corner = keep * left.corner + share * right.corner
            self.cross = keep * left.cross + share * right.cross
        self.low = np.empty((2, 0, self.cross.shape[1]))

    @property
    def is_bounded(self) -> bool:
        """Whether a step can be computed."""
        return bool(self._diagonal.sum() + np.trace(self.corner) < OVERFLOW)

    def bend(self, bend: np.ndarray, matters: np.ndarray) -> None:
        """Correct for the rows that have rare features.

        With M the curvature, J the features, B = M_JJ, and T^2 the ratios of the curvature along
        each of them to that of M, M becomes

            M + M_:J B^-1 (T B T - B) B^-1 M_J:,

        which is exact where each of them has one row, which the others do not have.

        Parameters
        ----------
        bend : (P,) array
            Curvature along single coefficients, where it is known for the column itself, else NaN.
        matters : (P,) bool array
            Features to correct for.
        """
        diagonal = self._diagonal
        known = matters & (diagonal > 0.0) & ~np.isnan(bend)
        ratio = np.divide(bend, diagonal, out=np.ones_like(bend), where=known)
        ratio = np.clip(ratio, LEAST, 1.0 / LEAST)
        wrong = np.abs(np.log(ratio))
        at = np.flatnonzero(wrong > UNBENT)
        if at.size == 0:
            return
        if at.size > MOST:
            at = np.sort(at[np.argpartition(-wrong[at], MOST)[:MOST]])
        side = np.hstack([self.cross[:, at].T, self._rows(at)])
        square = side[:, self.corner.shape[0] + at]
        root = np.sqrt(ratio[at])
        change = square * root[:, None] * root - square
        size = np.sqrt(np.diagonal(square))
        value, vector = linalg.eigh(square / size / size[:, None], check_finite=False, driver="evd")
        kept = value > DEPENDENT
        vector = vector[:, kept] / size[:, None]
        half = (vector / value[kept]) @ (vector.T @ side)
        self._add(half, change @ half)

    def correct(self, pairs: Sequence[Pair]) -> None:
        """Correct for what moves have shown (`secant`)."""
        if pairs:
            moves, changes = (
                np.array([getattr(pair, name) for pair in pairs]) for name in ("move", "change")
            )
            self.corner, self.cross, self.low = corrected(
                self.grams, self._diagonal, self.corner, self.cross, self.low, moves, changes
            )

    def block(self, chosen: np.ndarray) -> np.ndarray:
        """Curvature of some coefficients."""
        block = np.asarray(block_between(self.grams, chosen))
        add_low_rank(block, self.low[0], self.low[1], chosen)
        return block

    def product(self, move: np.ndarray) -> np.ndarray:
        """Curvature times a move of the coefficients."""
        return np.asarray(product_of(self.grams, self.low, move))

    def change_of(self, move: np.ndarray) -> np.ndarray:
        """Change (C + P,) of the loss's gradient by a move of intercepts and coefficients."""
        first, rest = move[: len(self.corner)], move[len(self.corner) :]
        change = np.empty(move.size)
        change[: first.size] = self.corner @ first + self.cross @ rest
        change[first.size :] = self.product(rest) + first @ self.cross
        return change

    def _rows(self, chosen: np.ndarray) -> np.ndarray:
        left, right, share = self.grams
        return np.asarray((1.0 - share) * left[chosen] + share * right[chosen])

    def _add(self, left: np.ndarray, right: np.ndarray) -> None:
        """Add ``left' right``, (k, C + P) each."""
        n_classes = self.corner.shape[0]
        self.corner = self.corner + left[:, :n_classes].T @ right[:, :n_classes]
        self.cross = self.cross + left[:, :n_classes].T @ right[:, n_classes:]
        both = np.array([left[:, n_classes:], right[:, n_classes:]])
        self.low = np.concatenate([self.low, both], axis=1)
