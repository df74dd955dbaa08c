"""The linear programme of the rows near their kink, for columns whose penalty is pure L1.

Rows farther away are taken to keep their slope, and the coefficients to stay near: then what is
left of the problem has a few times as many rows as coefficients, and HiGHS finds its corner.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from distreg.admm.dual import Strengths, others
from distreg.admm.rows import Duals, Kinks

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
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Coefficients, intercept and weighted slopes; None without an optimum.

    Variables are the positive and negative parts of the coefficients, the intercept, and how far
    the rows' predictors are above and below their kinks.
    """
    row, weight = kinks.row[pairs], kinks.weight[pairs]
    fitted = np.flatnonzero(np.isfinite(strengths.lasso[0]))
    features, at = kinks.features[row][:, fitted], coef[fitted]
    lasso, slope = strengths.lasso[0, fitted], gradient[fitted] / n_rows
    k, m = fitted.size, pairs.size
    cost = np.concatenate([
        lasso + slope, lasso - slope, [gradient[-1] / n_rows],
        weight * kinks.high[row] / n_rows, -weight * kinks.low[row] / n_rows,
    ])  # fmt: skip
    lower, upper = at - trust, at + trust
    if strengths.box is not None:
        lower = np.maximum(lower, strengths.box.lower[0, fitted])
        upper = np.minimum(upper, strengths.box.upper[0, fitted])
    move = trust if balance else 0.0
    low = np.concatenate([
        np.maximum(lower, 0.0), np.maximum(-upper, 0.0), [intercept - move], np.zeros(2 * m),
    ])  # fmt: skip
    high = np.concatenate([
        np.maximum(upper, 0.0), np.maximum(-lower, 0.0), [intercept + move],
        np.full(2 * m, np.inf),
    ])  # fmt: skip
    system = np.column_stack([features, -features, np.ones(m), -np.eye(m), np.eye(m)])
    answer = linprog(
        cost, A_eq=system, b_eq=kinks.level[row], bounds=np.column_stack([low, high]),
        method="highs-ds",
    )  # fmt: skip
    if answer.status != 0:
        return None
    out = np.zeros_like(coef)
    out[fitted] = answer.x[:k] - answer.x[k : 2 * k]
    slopes = -n_rows * answer.eqlin.marginals
    return (
        out,
        float(answer.x[2 * k]),
        np.clip(slopes, weight * kinks.low[row], weight * kinks.high[row]),
    )
