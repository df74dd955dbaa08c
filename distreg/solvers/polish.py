"""The optimum of one sign pattern on a Gram matrix, by Cholesky: how coordinate descent ends.

Compiled, and free of Python's lock.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["constrained_step", "polish", "residual", "triangular_solves"]

DAMPING = 1e-10
MAX_DROPS = 64
REFINEMENTS = 2


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def triangular_solves(factor, rhs):
    """Solve ``L L' x = rhs`` in place; `factor` is in Fortran order."""
    size = rhs.shape[0]
    for k in range(size):
        rhs[k] /= factor[k, k]
        value = rhs[k]
        for i in range(k + 1, size):
            rhs[i] -= factor[i, k] * value
    for k in range(size - 1, -1, -1):
        total = 0.0
        for i in range(k + 1, size):
            total += factor[i, k] * rhs[i]
        rhs[k] = (rhs[k] - total) / factor[k, k]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def residual(matrix, rhs, coef, out):
    """``out = rhs - matrix coef``."""
    for i in range(rhs.shape[0]):
        row, total = matrix[i], 0.0
        for j in range(rhs.shape[0]):
            total += row[j] * coef[j]
        out[i] = rhs[i] - total


@njit(cache=True, nogil=True)
def constrained_step(factor, step, inverse, dropped, n_dropped):
    """Turn `step` (a residual) into the Newton step that keeps the dropped coefficients at 0.

    With M the factored matrix, V = M^-1 E its columns of the dropped ones and x = M^-1 residual:
    ``x - V (E'V)^-1 E'x``.
    """
    triangular_solves(factor, step)
    if n_dropped == 0:
        return
    corner, side = np.empty((n_dropped, n_dropped)), np.empty(n_dropped)
    for a in range(n_dropped):
        side[a] = step[dropped[a]]
        for b in range(n_dropped):
            corner[a, b] = inverse[a, dropped[b]]
    multiplier = np.linalg.solve(corner, side)
    for a in range(n_dropped):
        for i in range(step.shape[0]):
            step[i] -= multiplier[a] * inverse[a, i]
    for a in range(n_dropped):
        step[dropped[a]] = 0.0


@njit(cache=True, nogil=True)
def _walk(matrix, factor, rhs, now, signs, vectors, slack):
    """Walk from `now` to the minimum on its orthant's face, dropping what reaches 0.

    Every drop costs two triangular solves; the factor stays. Returns whether the walk ended at the
    minimum rather than at `MAX_DROPS`.
    """
    size = rhs.shape[0]
    step = vectors[:size]
    inverse = np.empty((MAX_DROPS, size))
    dropped = np.empty(MAX_DROPS, dtype=np.int64)
    n_dropped, full_steps = 0, 0
    while full_steps < REFINEMENTS:
        residual(matrix, rhs, now, step)
        if full_steps > 0 and np.max(np.abs(step)) <= slack:
            break
        constrained_step(factor, step, inverse, dropped, n_dropped)
        t, first = 1.0, -1
        for i in range(size):
            if signs[i] != 0.0 and now[i] != 0.0 and (now[i] + step[i]) * signs[i] <= 0.0:
                bound = -now[i] / step[i]
                if bound < t or first < 0:
                    t, first = bound, i
        for i in range(size):
            now[i] += t * step[i]
        if first < 0:
            full_steps += 1
            continue
        now[first] = 0.0
        full_steps = 0
        if n_dropped == MAX_DROPS:
            return False
        dropped[n_dropped] = first
        for i in range(size):
            inverse[n_dropped, i] = 0.0
        inverse[n_dropped, first] = 1.0
        triangular_solves(factor, inverse[n_dropped])
        n_dropped += 1
    return True


@njit(cache=True, nogil=True)
def polish(packed, target, coef, lasso, ridge, n, work, vectors, support, slack):
    """Move to the minimum over the faces of the current signs; returns whether it was reached.

    Proximal-point steps, ``(C_AA + ridge + DAMPING) d = residual``: the damping makes dependent
    features solvable (along their null space the walk runs into 0 and drops one of them), and
    refinement with the same factor removes its effect elsewhere.
    """
    size = 0
    for k in range(n):
        if coef[k] != 0.0:
            support[size] = k
            size += 1
    if size == 0:
        return True
    matrix = work[: size * size].reshape((size, size))
    rhs, now, signs = vectors[0, :size], vectors[1, :size], vectors[2, :size]
    for i in range(size):
        k = support[i]
        row = packed[k]
        for j in range(size):
            matrix[i, j] = row[support[j]]
        matrix[i, i] += ridge[k] + DAMPING
        now[i] = coef[k]
        signs[i] = np.sign(coef[k]) if lasso[k] > 0.0 else 0.0
        rhs[i] = target[k] - lasso[k] * signs[i]
    factor = np.linalg.cholesky(matrix)
    for i in range(size):
        matrix[i, i] -= DAMPING
    reached = _walk(matrix, factor, rhs, now, signs, vectors[3], slack)
    for i in range(size):
        coef[support[i]] = now[i]
    return reached
