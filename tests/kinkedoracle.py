"""The smallest objective of the hinge and the quantile loss, by linear programmes of HiGHS."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

MOST_PROGRAMMES = 60

EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def lowest(
    X: np.ndarray, y: np.ndarray, s: np.ndarray, loss: str, q: float | None, l1: np.ndarray,
    l2: np.ndarray, intercept: bool = True, lower: float | None = None, tol: float = 1e-9,
) -> float:  # fmt: skip
    """Minimum of the mean loss plus ``sum l1_j |w_j| + l2_j w_j^2 / 2``, and at most `tol` less.

    The square is replaced by its tangents, which are lower everywhere; those at the solution are
    added until they say what it does.
    """
    p = X.shape[1]
    k, share = np.flatnonzero(l2 > 0), s / s.sum()
    sides, bound, n_slacks = _rows(X, y, loss)
    slack = share if q is None else np.r_[share * q, share * (1 - q)]
    free = (None, None) if intercept else (0, 0)
    minus = (0, None) if lower is None else (0, -lower)
    bounds = [free] + [(0, None)] * p + [minus] * p + [(0, None)] * (n_slacks + k.size)
    cost = np.r_[0.0, l1, l1, slack, np.ones(k.size)]
    rows = np.c_[sides, np.zeros((len(sides), k.size))]
    for _ in range(MOST_PROGRAMMES):
        found = linprog(cost, A_ub=-rows, b_ub=-bound, bounds=bounds, options=EXACT)
        assert found.status == 0
        w = found.x[1 : p + 1] - found.x[p + 1 : 2 * p + 1]
        if l2 @ w**2 / 2 - found.x[cost.size - k.size :].sum() <= tol:
            return float(found.fun)
        # l2 w^2 / 2 >= l2 (c w - c^2 / 2) for c = w
        tangents = np.zeros((k.size, cost.size))
        at = np.arange(k.size)
        tangents[at, 1 + k], tangents[at, 1 + p + k] = -l2[k] * w[k], l2[k] * w[k]
        tangents[at, cost.size - k.size + at] = 1.0
        rows, bound = np.r_[rows, tangents], np.r_[bound, -l2[k] * w[k] ** 2 / 2]
    raise AssertionError("the tangents do not come near")


def _rows(X: np.ndarray, y: np.ndarray, loss: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Left and right sides of ``rows (b, w+, w-, slacks) >= bound``, and how many slacks."""
    n = len(y)
    design, one = np.c_[np.ones(n), X, -X], np.eye(n)
    if loss == "hinge":
        return np.c_[(2 * y - 1)[:, None] * design, one], np.ones(n), n
    none = np.zeros((n, n))
    return np.r_[np.c_[design, one, none], np.c_[-design, none, one]], np.r_[y, -y], 2 * n
