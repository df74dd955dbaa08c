"""Lower bounds from slopes of the loss, and better points from the rows at its kink.

With weights ``s`` of sum W the dual of ``(1/W) sum s f(x'w + b) + Om(w)`` is ``-(1/W) sum s theta k
- Om*(-X's theta / W)`` for both losses with a kink at k, over slopes theta between those on its two
sides and, for the intercept, ``sum s theta = 0``. The slopes may be shrunk towards 0: those of the
heavier sign until their sum is 0, then all until a pure L1 penalty's conjugate is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.admm.rows import Duals, Kinks
from distreg.penalties import Box

__all__ = ["Strengths", "lower_bounds", "others", "polished"]

REACH = 10.0
"""How far from 0 an unpenalised coefficient may be, in units of what was found (and the target's):
its part of the dual is finite only there."""

MOST_UNKNOWNS = 600
"""Rows near their kink of a system that is solved for one column."""

MOST_SIDES = 100
"""Systems solved for one column."""

PATIENCE = 4
"""Steps that change all sides at once without fewer being wrong, before one changes at a time."""


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
    duals: Duals, n_rows: int, strengths: Strengths, coef: np.ndarray, unit: float, balance: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Lower bounds (R,) of the objectives, and the dual points' negative gradients (R, p).

    Parameters
    ----------
    duals : Duals
    n_rows : int
        What weights add up to in every column.
    strengths : Strengths
    coef : (R, p) array
        Where unpenalised coefficients are.
    unit : float
        Size of such a coefficient when it is 0.
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
    free = fitted & (lasso == 0) & (ridge == 0)
    pure = (ridge == 0) & (lasso > 0)
    if box is not None:
        pure &= np.isinf(penalties.room(grad, box))
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(pure & (np.abs(grad) > lasso), lasso / np.abs(grad), 1.0)
    s = room.min(axis=1, initial=1.0)
    scaled = s[:, None] * grad
    conjugate = penalties.conjugate(np.where(free, 0.0, scaled), lasso, ridge, box)
    reach = REACH * (np.abs(coef) + unit)
    apart = (np.where(free, np.abs(scaled), 0.0) * reach).sum(axis=1)
    return -s * level - conjugate - apart, scaled


def polished(
    kinks: Kinks,
    duals: Duals,
    n_rows: int,
    strengths: Strengths,
    coef: np.ndarray,
    intercept: np.ndarray,
    balance: bool,
    chosen: np.ndarray,
    trial: int,
) -> tuple[np.ndarray, np.ndarray, Duals]:
    """Points and slopes that solve the optimality conditions of the rows near their kink.

    Farther rows keep their slopes. The conditions are linear given the sides of the rows and the
    signs of the coefficients, which are those of the state, then those that the solution asks for.
    Points need not be better: their values tell.

    Returns coefficients (R, p), intercepts (R,) and the sums of the slopes; as they were but for
    the columns `chosen` (R,).
    """
    coef, intercept = coef.copy(), intercept.copy()
    better = duals.copy()
    for j, pairs in enumerate(kinks.by_column(len(coef))):
        if chosen[j] and 0 < pairs.size <= MOST_UNKNOWNS:
            gradient = others(kinks, pairs, duals, j)
            one = strengths.of(np.array([j]))
            system = _System(kinks, pairs, gradient, n_rows, one, balance, trial)
            coef[j], intercept[j], dual = system.solve(coef[j], float(intercept[j]))
            better.move(j, kinks, pairs, n_rows * dual)
    return coef, intercept, better


def others(kinks: Kinks, pairs: np.ndarray, duals: Duals, j: int) -> np.ndarray:
    """Sums of the slopes of all rows but `pairs`, with the features (p,) and alone."""
    dual = kinks.dual[pairs]
    products = duals.products[:, :, j].sum(axis=0) - kinks.features[kinks.row[pairs]].T @ dual
    return np.append(products, duals.total[:, j].sum() - dual.sum())


class _System:
    """The optimality conditions of one column, by the rows near their kink.

    Every such row is below, at or above its kink (-1, 0, 1), every coefficient negative, 0 or
    positive; the others' slopes are fixed.
    """

    def __init__(
        self,
        kinks: Kinks,
        pairs: np.ndarray,
        gradient: np.ndarray,
        n_rows: int,
        strengths: Strengths,
        balance: bool,
        trial: int,
    ) -> None:
        # a choice of rows that led to nothing is not to be made again
        rng = np.random.default_rng(trial)
        self._doubt = rng.uniform(0.5, 1.0, pairs.size) if trial % 2 else np.ones(pairs.size)
        row, weight = kinks.row[pairs], kinks.weight[pairs] / n_rows
        self._features, self._level = kinks.features[row], kinks.level[row]
        self._low, self._high = weight * kinks.low[row], weight * kinks.high[row]
        self._gradient, self._balance = gradient / n_rows, balance
        self._lasso, self._ridge = strengths.lasso[0], strengths.ridge[0]
        self._free = (self._lasso == 0) & (self._ridge == 0)
        self._box = strengths.box
        self._dual = kinks.dual[pairs] / n_rows
        side = np.where(self._dual > 0.5 * (self._low + self._high), 1, -1)
        self._side = np.where(kinks.exact[pairs], 0, side)

    def solve(self, coef: np.ndarray, intercept: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Coefficients, intercept and weighted slopes, by block principal pivoting.

        Starts from the signs of `coef` and the sides that the rows have.
        """
        sign, fewest, patience = np.sign(coef), np.iinfo(np.int64).max, PATIENCE
        for _ in range(MOST_SIDES):
            coef, intercept = self._step(coef, intercept, sign)
            beyond = self._features @ coef + intercept - self._level
            at = self._side == 0
            side = np.where(at, 0, np.where(beyond * self._side < 0.0, 0, self._side))
            side = np.where(at & (self._dual > self._high), 1, side)
            side = np.where(at & (self._dual < self._low), -1, side)
            self._dual = np.clip(self._dual, self._low, self._high)
            pull = -self._gradient[:-1] - self._features.T @ self._dual
            wanted = np.where(np.abs(pull) > self._lasso * (1.0 + 1e-12), np.sign(pull), 0.0)
            new = np.where(sign != 0, np.where(coef * sign < 0.0, 0.0, sign), wanted)
            changed = np.flatnonzero(np.append(side != self._side, new != sign))
            if changed.size == 0:
                break
            if changed.size < fewest:
                fewest, patience = changed.size, PATIENCE
            patience -= 1
            if patience < 0:  # all at once go round in circles
                last, m = changed[-1], side.size
                one = np.zeros(m + new.size, dtype=bool)
                one[last] = True
                side, new = np.where(one[:m], side, self._side), np.where(one[m:], new, sign)
            coef = np.where((new == 0) & ~self._free, 0.0, coef)
            self._side, sign = side, new
        return coef, intercept, self._dual

    def _trim(self, most: int) -> None:
        """Leave as many rows at their kinks as there are unknowns: those farthest from a side."""
        rows = np.flatnonzero(self._side == 0)
        above = (self._dual - self._low)[rows] / (self._high - self._low)[rows]
        order = rows[np.argsort(-self._doubt[rows] * np.minimum(above, 1.0 - above), kind="stable")]
        centre = 0.5 * (self._low + self._high)
        for i in order[most:]:
            self._side[i] = 1 if self._dual[i] > centre[i] else -1

    def _step(
        self, coef: np.ndarray, intercept: float, sign: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The smallest change that solves the linear equations of these sides and signs."""
        moving = (sign != 0) | self._free
        if self._box is not None:
            inside = (coef > self._box.lower[0]) & (coef < self._box.upper[0])
            moving &= inside
        at = np.flatnonzero(moving)
        self._trim(at.size + self._balance)
        rows = np.flatnonzero(self._side == 0)
        self._dual = np.where(self._side > 0, self._high, self._dual)
        self._dual = np.where(self._side < 0, self._low, self._dual)
        k, m = at.size, rows.size
        first = k + self._balance
        system, right = np.zeros((first + m, first + m)), np.zeros(first + m)
        system[np.arange(k), np.arange(k)] = self._ridge[at]
        system[first:, :k] = self._features[np.ix_(rows, at)]
        system[:k, first:] = system[first:, :k].T
        gradient = self._gradient.copy()
        gradient[:-1] += self._features.T @ self._dual
        gradient[-1] += self._dual.sum()
        right[:k] = -gradient[at] - self._ridge[at] * coef[at] - self._lasso[at] * sign[at]
        if self._balance:
            system[first:, k] = system[k, first:] = 1.0
            right[k] = -gradient[-1]
        right[first:] = self._level[rows] - self._features[rows] @ coef - intercept
        change = np.linalg.lstsq(system, right, rcond=1e-13)[0]
        coef = coef.copy()
        coef[at] += change[:k]
        if self._box is not None:
            coef = np.clip(coef, self._box.lower[0], self._box.upper[0])
        self._dual[rows] += change[first:]
        return coef, intercept + (float(change[k]) if self._balance else 0.0)
