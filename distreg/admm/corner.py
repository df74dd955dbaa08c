"""Better points and slopes from the rows near their kink.

Rows farther away are taken to keep their slope, and the coefficients to stay near. What is left of
a column's problem has a few times as many rows as coefficients, and is solved exactly in memory. A
wrong choice of rows costs only that: the point is evaluated on all rows, and the slopes are
feasible.
"""

from __future__ import annotations

import numpy as np

from distreg.admm.dual import Strengths
from distreg.admm.kinks import Duals, Kinks
from distreg.solvers.kinked import KinkedProblem, minimise

__all__ = ["cornered"]

EPS = float(np.finfo(np.float64).eps)

TRUST = 10.0
"""How far coefficients may move, in units of the distance up to which rows are near."""

TINY = (1e-6, 1e-9, 1e-12)
"""Largest coefficients that may be 0, in units of how far they may move."""


def cornered(
    kinks: Kinks,
    duals: Duals,
    n_rows: int,
    strengths: Strengths,
    coef: np.ndarray,
    intercept: np.ndarray,
    balance: bool,
    radius: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, Duals]:
    """Points that solve the problems of the rows near their kink, and the sums of their slopes.

    Parameters
    ----------
    kinks : Kinks
    duals : Duals
        Of the slopes that all rows have now.
    n_rows : int
        What weights add up to in every column.
    strengths : Strengths
    coef, intercept : (R, p), (R,) arrays
        Where the columns are now.
    balance : bool
        Whether there is an intercept.
    radius : (R,) array
        How far the rows of `kinks` may be from their kink.

    Returns
    -------
    coef, intercept : (R, p), (R,) arrays
        As they were in columns without such rows, or with too many.
    duals : Duals
    """
    coef, intercept = coef.copy(), intercept.copy()
    better = duals.copy()
    for j, pairs in enumerate(kinks.by_column()):
        if pairs.size:
            nearby = _Nearby(kinks, pairs, _others(kinks, pairs, duals, j) / n_rows, n_rows)
            start = np.append(coef[j], intercept[j])
            one = strengths.of(np.array([j]))
            end, dual = nearby.solved(one, start, balance, TRUST * float(radius[j]))
            coef[j], intercept[j] = end[:-1], end[-1]
            better.move(j, kinks, pairs, dual)
    return coef, intercept, better


def _others(kinks: Kinks, pairs: np.ndarray, duals: Duals, j: int) -> np.ndarray:
    """Sums of the slopes of all rows but `pairs`, with the features and alone, (p + 1,)."""
    dual = kinks.dual[:, pairs].sum(axis=0)
    products = duals.products[:, :, j].sum(axis=0) - kinks.features[kinks.row[pairs]].T @ dual
    return np.append(products, duals.total[:, j].sum() - dual.sum())


class _Nearby:
    """The rows of one column near their kink, and the gradient (p + 1,) of the others' loss."""

    def __init__(self, kinks: Kinks, pairs: np.ndarray, gradient: np.ndarray, n_rows: int) -> None:
        row, weight = kinks.row[pairs], kinks.weight[pairs] / n_rows
        self._rows = np.column_stack([kinks.features[row], np.ones(row.size)])
        self._level, self._n_rows = kinks.level[row], n_rows
        self._low, self._high = weight * kinks.low[row], weight * (kinks.low[row] + 1.0)
        self._gradient = gradient

    def solved(
        self, strengths: Strengths, start: np.ndarray, balance: bool, trust: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and intercept (p + 1,) up to `trust` from `start`, and the rows' slopes."""
        lasso, ridge = np.append(strengths.lasso[0], 0.0), np.append(strengths.ridge[0], 0.0)
        lower, upper = start - trust, start + trust
        if strengths.box is not None:
            lower[:-1] = np.maximum(lower[:-1], strengths.box.lower[0])
            upper[:-1] = np.minimum(upper[:-1], strengths.box.upper[0])
        moving = np.isfinite(lasso) & (lower < upper)
        moving[-1] &= balance
        free = np.flatnonzero(moving)
        lasso, lower, upper = lasso[free], lower[free], upper[free]
        fixed = np.where(moving, 0.0, start)
        # the absolute value of a coefficient is one more kink, where its range has both signs
        low, high = np.where(lower < 0.0, -lasso, lasso), np.where(upper > 0.0, lasso, -lasso)
        problem = KinkedProblem(
            linear=self._gradient[free],
            ridge=ridge[free],
            rows=np.concatenate([self._rows[:, free], np.eye(free.size)]),
            level=np.concatenate([self._level - self._rows @ fixed, np.zeros(free.size)]),
            low=np.concatenate([self._low, low]),
            high=np.concatenate([self._high, high]),
            lower=lower,
            upper=upper,
        )
        x, slopes = minimise(problem, start[free])
        slopes, own = np.split(slopes, [self._level.size])
        # of a coefficient and the room of its slope one is 0, which is the smaller of the two
        room = np.minimum(own - low, high - own) / np.where(lasso > 0.0, lasso, 1.0)
        room[lasso == 0.0] = 0.0
        fixed[free] = _with_zeros(problem, x, np.concatenate([slopes, own]), room, trust)
        return fixed, self._n_rows * slopes


def _with_zeros(
    problem: KinkedProblem, x: np.ndarray, slopes: np.ndarray, room: np.ndarray, trust: float
) -> np.ndarray:
    """The point with 0 for what is smaller than its `room`, where the objective allows it.

    It does not where a weak penalty is lost in the rounding of the slopes.
    """
    least = problem.bound(slopes)
    most = least + 2.0 * max(problem.value(x) - least, EPS * abs(least))
    for tiny in TINY:
        sparse = np.where(np.abs(x) < trust * np.minimum(room, tiny), 0.0, x)
        if problem.value(sparse) <= most:
            return sparse
    return x
