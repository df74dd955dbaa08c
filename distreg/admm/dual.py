"""Lower bounds of the objective from slopes of the loss.

With weights ``s`` of sum W the dual of ``(1/W) sum s f(x'w + b) + Om(w)`` is ``-(1/W) sum s theta k
- Om*(-X's theta / W)`` for both losses with a kink at k, over slopes theta between those on its two
sides and, for the intercept, ``sum s theta = 0``. The slopes may be shrunk towards 0: those of the
heavier sign until their sum is 0, then all until a pure L1 penalty's conjugate is finite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.admm.kinks import Duals
from distreg.penalties import Box

__all__ = ["Strengths", "lower_bounds"]


@dataclass(frozen=True)
class Strengths:
    """Weights of ``|b|`` and ``b^2 / 2`` of R columns in the common frame, (R, p), and bounds.

    Coefficients that are not fitted have an infinite weight.
    """

    lasso: np.ndarray
    ridge: np.ndarray
    box: Box | None

    def of(self, chosen: np.ndarray) -> Strengths:
        """Those of some columns."""
        box = None if self.box is None else self.box.only_columns(chosen)
        return Strengths(self.lasso[chosen], self.ridge[chosen], box)

    @property
    def free(self) -> np.ndarray:
        """Coefficients (R, p) that are fitted and not penalised."""
        return np.asarray((self.lasso == 0.0) & (self.ridge == 0.0))

    def value(self, coef: np.ndarray) -> np.ndarray:
        """Penalty of (R, p) coefficients."""
        lasso = np.where(np.isinf(self.lasso), 0.0, self.lasso)
        return penalties.value(coef, lasso, self.ridge)

    def prox(self, coef: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Proximal step (R,) of the penalty from (R, p) coefficients."""
        size = step[:, None]
        shrunk = np.sign(coef) * np.maximum(np.abs(coef) - size * self.lasso, 0.0)
        shrunk = shrunk / (1.0 + size * self.ridge)
        return shrunk if self.box is None else self.box.clip(shrunk)


def lower_bounds(
    duals: Duals,
    n_rows: int,
    strengths: Strengths,
    apart: Callable[[np.ndarray], np.ndarray],
    balance: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Lower bounds (R,) of the objectives, and the dual points' negative gradients (R, p).

    Parameters
    ----------
    duals : Duals
    n_rows : int
        What weights add up to in every column.
    strengths : Strengths
    apart : callable
        What negative gradients of unpenalised coefficients leave open, (R,) of (R, p).
    balance : bool
        Whether there is an intercept.
    """
    share = np.ones_like(duals.total)
    if balance:
        size = np.abs(duals.total)
        least = size.min(axis=0)
        share = np.divide(least, size, out=np.ones_like(size), where=size > 0)
    level = (share * duals.level).sum(axis=0) / n_rows
    grad = -(share[:, None, :] * duals.products).sum(axis=0).T / n_rows
    lasso, ridge, box = strengths.lasso, strengths.ridge, strengths.box
    fitted = np.isfinite(lasso)
    grad = np.where(fitted, grad, 0.0)
    lasso = np.where(fitted, lasso, 1.0)
    free = strengths.free
    pure = (ridge == 0) & (lasso > 0)
    if box is not None:
        pure &= np.isinf(penalties.room(grad, box))
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(pure & (np.abs(grad) > lasso), lasso / np.abs(grad), 1.0)
    s = room.min(axis=1, initial=1.0)
    scaled = s[:, None] * grad
    conjugate = penalties.conjugate(np.where(free, 0.0, scaled), lasso, ridge, box)
    return -s * level - conjugate - apart(scaled), scaled
