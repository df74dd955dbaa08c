"""Curvature for one column: between two anchors, corrected by what is known of the column itself.

Everything here is of C intercepts and P coefficients. Corrections have low rank, and keep two
things: the curvature is semidefinite, and a direction that it does not bend, because features
depend on each other, stays straight. Without the second the model, unlike the loss, would have no
minimum.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from distreg.glm.metric import Metric
from distreg.glm.secant import Pair
from distreg.kernels.symmetric import add_low_rank, block_between, product_between

__all__ = ["Between"]

OVERFLOW = 1e100
"""Curvature of a point from which no step can be computed."""

UNBENT = 0.2
"""Logarithm of the ratio of two curvatures that need no correction."""

DEPENDENT = 0.05
"""Eigenvalue of the correlations of rare features below which they have rows in common."""

LEAST = 1e-3
"""Smallest ratio of two curvatures that is believed, or of their inverses."""

MOST = 400
"""Features that are corrected for together."""

ROUNDING = 1e-9
"""Share of the curvature that is added to the diagonal: corrections cancel most of it."""


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
    """

    def __init__(self, left: Metric, right: Metric, share: float) -> None:
        # at an anchor the other one, which may have overflowed, has no part
        left, right = (left if share < 1.0 else right), (right if share > 0.0 else left)
        keep = 1.0 - share
        self._grams, self._share = (left.gram, right.gram), share
        with np.errstate(invalid="ignore"):  # 0 times infinity: not bounded
            self._diagonal = keep * np.diagonal(left.gram) + share * np.diagonal(right.gram)
            self.corner = keep * left.corner + share * right.corner
            self.cross = keep * left.cross + share * right.cross
        # the correction is left' right
        self._left, self._right = np.empty((2, 0, self.cross.shape[1]))

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

    def correct(self, pair: Pair) -> None:
        """Correct for what a move has shown (`secant`)."""
        foreseen_intercept, foreseen = self.change_of(pair.intercept, pair.coef)
        size = float(pair.coef @ foreseen + pair.intercept @ foreseen_intercept)
        found, noise = pair.curvature, ROUNDING * float(self._diagonal @ pair.coef**2)
        if not (size > noise and LEAST * size < found < size / LEAST):
            return
        both = np.array(
            [
                np.append(foreseen_intercept, foreseen) / np.sqrt(size),
                np.append(pair.change_intercept, pair.change) / np.sqrt(found),
            ]
        )
        self._add(both, both * np.array([[-1.0], [1.0]]))

    def block(self, chosen: np.ndarray) -> np.ndarray:
        """Curvature of some coefficients."""
        block = np.asarray(block_between(*self._grams, self._share, chosen))
        if len(self._left):
            add_low_rank(block, self._left, self._right, chosen)
            block[np.diag_indices_from(block)] *= 1.0 + ROUNDING
        return block

    def product(self, move: np.ndarray) -> np.ndarray:
        """Curvature times a move of the coefficients."""
        product = np.asarray(product_between(*self._grams, self._share, move))
        if len(self._left):
            product = product + (self._right @ move) @ self._left
        return product

    def change_of(
        self, intercept_move: np.ndarray, move: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Change of the loss's gradient in the intercepts (C,) and coefficients (P,)."""
        return (
            self.corner @ intercept_move + self.cross @ move,
            self.product(move) + intercept_move @ self.cross,
        )

    def _rows(self, chosen: np.ndarray) -> np.ndarray:
        left, right = self._grams
        return np.asarray((1.0 - self._share) * left[chosen] + self._share * right[chosen])

    def _add(self, left: np.ndarray, right: np.ndarray) -> None:
        """Add ``left' right``, (k, C + P) each."""
        n_classes = self.corner.shape[0]
        self.corner = self.corner + left[:, :n_classes].T @ right[:, :n_classes]
        self.cross = self.cross + left[:, :n_classes].T @ right[:, n_classes:]
        self._left = np.vstack([self._left, left[:, n_classes:]])
        self._right = np.vstack([self._right, right[:, n_classes:]])
