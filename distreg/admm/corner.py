"""The linear programme of the rows near their kink, for columns whose penalty is pure L1.

Rows farther away are taken to keep their slope, and the coefficients to stay near: then what is
left of the problem has a few times as many rows as coefficients, and HiGHS finds its corner.
"""

from __future__ import annotations

import numpy as np

from distreg.admm.dual import Strengths, others
from distreg.admm.rows import Duals, Kinks
from distreg.solvers.kinked import Kinked, minimise

__all__ = ["cornered"]

TRUST = 5.0
"""How far coefficients may move, in units of the distance up to which rows are near."""


def cornered(
    kinks: Kinks,
    duals: Duals,
    n_rows: int,
    strengths: Strengths,
    coef: np.ndarray,
    intercept: np.ndarray,
    balance: bool,
    chosen: np.ndarray,
    radius: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, Duals]:
    """Points and slopes of the programmes about `coef` (R, p), `intercept` (R,).

    As `dual.polished`; `radius` (R,) is how far rows may be from their kink.
    """
    coef, intercept = coef.copy(), intercept.copy()
    better = duals.copy()
    for j, pairs in enumerate(kinks.by_column(len(coef))):
        if not pairs.size or not chosen[j]:
            continue
        gradient = others(kinks, pairs, duals, j)
        found = _programme(
            kinks, pairs, gradient, n_rows, strengths.of(np.array([j])), coef[j],
            float(intercept[j]), balance, TRUST * float(radius[j]),
        )  # fmt: skip
        if found is not None:
            coef[j], intercept[j], dual = found
            better.move(j, kinks, pairs, dual)
    return coef, intercept, better


def _programme(
    kinks: Kinks,
    pairs: np.ndarray,
    gradient: np.ndarray,
    n_rows: int,
    strengths: Strengths,
    coef: np.ndarray,
    intercept: float,
    balance: bool,
    trust: float,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Coefficients, intercept and weighted slopes.

    Variables are the coefficients that may move, and the intercept; a pure L1 part is a kink at 0.
    """
    row, weight = kinks.row[pairs], kinks.weight[pairs] / n_rows
    lasso, ridge = strengths.lasso[0], strengths.ridge[0]
    lower, upper = coef - trust, coef + trust
    if strengths.box is not None:
        lower = np.maximum(lower, strengths.box.lower[0])
        upper = np.minimum(upper, strengths.box.upper[0])
    free = np.flatnonzero(np.isfinite(lasso) & (lower < upper))
    m, k = pairs.size, free.size
    rows = np.zeros((m + k, k + 1))
    rows[:m, :k], rows[:m, k] = kinks.features[row][:, free], 1.0
    rows[m:, :k] = np.eye(k)
    if not balance:
        rows = rows[:, :k]
    def ext(v, last):
        return np.append(v[free], last) if balance else v[free]
    problem = Kinked(
        linear=(gradient if balance else gradient[:-1])[np.r_[free, [-1] * balance].astype(int)] / n_rows,
        ridge=ext(ridge, 0.0),
        rows=rows,
        level=np.append(kinks.level[row] - (0.0 if balance else intercept), np.zeros(k)),
        low=np.append(weight * kinks.low[row], -lasso[free]),
        high=np.append(weight * kinks.high[row], lasso[free]),
        lower=ext(lower, intercept - trust),
        upper=ext(upper, intercept + trust),
    )
    x, slopes = minimise(problem, ext(coef, intercept))
    coef = coef.copy()
    coef[free] = np.where((np.abs(x[:k]) <= 1e-9 * trust) & (lasso[free] > 0), 0.0, x[:k])
    return coef, float(x[k]) if balance else intercept, n_rows * slopes[:m]
