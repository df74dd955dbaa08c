"""Interior-point method for a quadratic function with kinks, in a box.

Solves, with ``low <= high`` and finite ``lower < upper``,

    min_x  c'x + sum_j ridge_j x_j^2 / 2 + sum_i max(low_i e_i, high_i e_i),  e = Ax - level,
    so that  lower <= x <= upper.

With ``u`` the part of a row's slope above `low`, ``z = high - low - u``, and ``s - t = e`` the
positive and negative parts of e, the conditions of the optimum are

    c + A'(low + u) + ridge x - v_l + v_u = 0,   u t = z s = v_l (x - lower) = v_u (upper - x) = 0.

A Newton step on them, with products mu in place of 0, has one positive definite system of the size
of x, whatever the number of rows; mu follows Mehrotra's predictor and corrector. Twelve to forty
steps end with products that tell the sides of all rows.

References
----------
Portnoy, Koenker: The Gaussian hare and the Laplacian tortoise, Statist. Sci. 12(4), 1997: quantile
regression, here with a quadratic part. Mehrotra: On the implementation of a primal-dual interior
point method, SIAM J. Optim. 2(4), 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

__all__ = ["KinkedProblem", "minimise"]

MOST_STEPS = 100

ACCURACY = 1e-13
"""Sum of the products over the size of the loss. Far below, rounding of the rows at their kink
outweighs what is gained."""

TO_BOUNDARY = 0.995
"""Share of the longest step inside."""

SOFTNESS = 1e-9
"""Distance from its kink, in units of a mean distance, that a step leaves a row for a change of its
slope by all. Without it rows at their kink are so stiff that rounding hides all else; the next step
takes up what is left."""

NEAR = 1e-9
"""Distance from a bound that counts as none, in units of the range."""

INSIDE = 0.1
"""Where variables begin at least, in units of their ranges."""


@dataclass(frozen=True)
class KinkedProblem:
    """A problem of k variables and m rows.

    Attributes
    ----------
    linear, ridge : (k,) arrays
        c, and the curvature along each variable.
    rows : (m, k) array
        A.
    level, low, high : (m,) arrays
        Where the kinks are, and the slopes below and above.
    lower, upper : (k,) arrays
        Bounds, finite and apart.
    """

    linear: np.ndarray
    ridge: np.ndarray
    rows: np.ndarray
    level: np.ndarray
    low: np.ndarray
    high: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def value(self, x: np.ndarray) -> float:
        """Objective at `x` (k,)."""
        e = self.rows @ x - self.level
        kinks = np.maximum(self.low * e, self.high * e).sum()
        return float(self.linear @ x + 0.5 * self.ridge @ x**2 + kinks)

    def bound(self, slopes: np.ndarray) -> float:
        """Lower bound of the minimum from slopes (m,) between `low` and `high`."""
        pull = self.linear + self.rows.T @ slopes
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(self.ridge > 0, -pull / self.ridge, -np.sign(pull) * np.inf)
        x = np.clip(np.where(pull == 0, 0.0, x), self.lower, self.upper)
        return float(pull @ x + 0.5 * self.ridge @ x**2 - self.level @ slopes)


def minimise(problem: KinkedProblem, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minimum (k,) and the slopes (m,) of the rows there, from `start` (k,).

    Variables at a bound and slopes at an end are so exactly.
    """
    state = _State(problem, np.flatnonzero(problem.low < problem.high), start)
    for _ in range(MOST_STEPS):
        if state.settled or not state.step():
            break
    return state.rounded()


class _State:
    """A point with its positive pairs, stacked: rows, rows, bounds, bounds.

    `force` is ``u, z, v_l, v_u`` and `room` is ``t, s, x - lower, upper - x``. Rows without a kink
    are part of the linear function.
    """

    def __init__(self, problem: KinkedProblem, kept: np.ndarray, start: np.ndarray) -> None:
        self._problem, self._kept = problem, kept
        self._rows, self._level = problem.rows[kept], problem.level[kept]
        self._linear = problem.linear + problem.rows.T @ problem.low
        self._width = (problem.high - problem.low)[kept]
        self._span = problem.upper - problem.lower
        inside = INSIDE * self._span
        self._x = np.clip(start, problem.lower + inside, problem.upper - inside)
        e = self._rows @ self._x - self._level
        m, half = e.size, 0.5 * self._width
        reach = np.abs(self._rows) @ inside
        # units are those of the predictor and of the objective, whatever those of a variable
        apart = float(np.abs(e).sum() + reach.sum()) / max(m, 1) or 1.0
        loss = apart * half.sum() + (np.abs(self._linear) + problem.ridge * inside) @ inside
        sides = np.concatenate([np.maximum(-e, 0.0), np.maximum(e, 0.0)]) + apart
        bounds = np.concatenate([self._x - problem.lower, problem.upper - self._x])
        self._room = np.concatenate([sides, bounds])
        self._force = np.concatenate([half, half, (loss / (m + inside.size) or 1.0) / bounds])
        self._soft = SOFTNESS * apart / self._width
        self._floor = ACCURACY * float(self._force @ self._room)

    @property
    def settled(self) -> bool:
        """Whether the products are as small as they are to be."""
        return bool(self._force @ self._room <= 2.0 * self._floor)

    def step(self) -> bool:
        """One step; False if there is none."""
        force, room = self._force, self._room
        ratio = room / force
        m = self._width.size
        curvature = 1.0 / (ratio[:m] + ratio[m : 2 * m] + self._soft)
        walls = (1.0 / ratio[2 * m :]).reshape(2, -1).sum(axis=0)
        root = self._rows * np.sqrt(curvature)[:, None]
        matrix = root.T @ root
        own = self._problem.ridge + walls
        matrix.flat[:: own.size + 1] += own
        try:
            factor = cho_factor(matrix, overwrite_a=True)
        except (LinAlgError, ValueError):
            return False
        total = float(force @ room)
        _, push, move = self._move(factor, curvature, own, -force * room)
        share = min(self._longest(push, move), 1.0)
        ahead = float((force + share * push) @ (room + share * move))
        aim = max(total * (ahead / total) ** 3, self._floor) / force.size
        dx, push, move = self._move(factor, curvature, own, aim - force * room - push * move)
        share = min(TO_BOUNDARY * self._longest(push, move), 1.0)
        self._x = self._x + share * dx
        self._force, self._room = force + share * push, room + share * move
        return True

    def _move(
        self,
        factor: tuple[np.ndarray, bool],
        curvature: np.ndarray,
        own: np.ndarray,
        aim: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Changes of x, force and room that change the products by `aim`, to first order."""
        force, room, rows, m = self._force, self._room, self._rows, self._width.size
        one, two = slice(m), slice(m, 2 * m)
        low, high = np.split(aim[2 * m :] / room[2 * m :], 2)
        off = rows @ self._x - self._level - room[two] + room[one]
        shift = off - aim[two] / force[two] + aim[one] / force[one]
        right = low - high - self._residual() - rows.T @ (curvature * shift)
        dx = cho_solve(factor, right)
        # what is left, by products with the rows: the factor is rounded where curvatures differ
        dx = dx + cho_solve(factor, right - own * dx - rows.T @ (curvature * (rows @ dx)))
        du = curvature * (rows @ dx + shift)
        sides = np.concatenate([du, -du])
        bounds = np.concatenate([dx, -dx])
        move = np.concatenate([(aim[: 2 * m] - room[: 2 * m] * sides) / force[: 2 * m], bounds])
        push = np.concatenate([sides, (aim[2 * m :] - force[2 * m :] * bounds) / room[2 * m :]])
        return dx, push, move

    def _residual(self) -> np.ndarray:
        """Gradient of the Lagrangian."""
        m = self._width.size
        low, high = np.split(self._force[2 * m :], 2)
        slopes = self._rows.T @ self._force[:m]
        return np.asarray(self._linear + self._problem.ridge * self._x + slopes - low + high)

    def _longest(self, push: np.ndarray, move: np.ndarray) -> float:
        """How many times the step goes into the distance to the boundary."""
        return 1.0 / max(
            float(np.max(-push / self._force)), float(np.max(-move / self._room)), 1e-3
        )

    def rounded(self) -> tuple[np.ndarray, np.ndarray]:
        """The point, at a bound where it is next to it, and the slopes."""
        problem, m = self._problem, self._width.size
        near = self._room[2 * m :].reshape(2, -1) <= NEAR * self._span
        x = np.where(near[0], problem.lower, np.where(near[1], problem.upper, self._x))
        slopes = problem.low.copy()
        slopes[self._kept] += self._force[:m]
        return x, np.minimum(slopes, problem.high)
