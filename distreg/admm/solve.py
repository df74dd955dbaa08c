"""Rounds of one batch of columns, from a start to certificates.

For each column, with features X of n rows in the common frame, ``z = Xb + b0`` and ``w = b`` are
split off and tied by scaled duals u and v with the penalties rho and ``RIDGE rho n``. A round makes
z and u in the rows; b follows from one eigendecomposition of the products of all rows, whatever rho
and the training set are: rows that do not train a column have no loss, and keep ``z = Xb + b0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distreg import penalties
from distreg.admm.corner import cornered
from distreg.admm.dual import Strengths, lower_bounds, polished
from distreg.admm.frame import Frame, Gram
from distreg.admm.rows import Duals, Kinks, Orders, Part, round_of
from distreg.glm.columns import Scores
from distreg.glm.problem import Problem
from distreg.kernels.rows import RowSums
from distreg.kernels.splitting import RELAXATION
from distreg.passes import PassRunner
from distreg.rounds import held_rounds

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["Found", "Setting", "solve", "violation"]

RIDGE = 0.3
"""Penalty of ``b - w`` over that of ``Xb - z``, per row."""

CHECK_EVERY = 10
"""Rounds between certificates."""

CORNER_EVERY = 30
"""Rounds between linear programmes."""

MOST_CORNER = 300
"""Features of a linear programme."""

ADAPTED_ROUNDS = 60
"""Rounds after which rho stays as it is."""

LARGEST_CHANGE = 4.0
"""Of rho at once."""


@dataclass(frozen=True)
class Setting:
    """What all batches share.

    Attributes
    ----------
    problem : Problem
    cells : Cells
    frame : Frame
    gram : Gram
    unit : (S,) array
        Objective of the null model of each training set.
    tol : float
        Largest gap over that.
    """

    problem: Problem
    cells: Cells
    frame: Frame
    gram: Gram
    unit: np.ndarray
    tol: float


class Found:
    """The best points and lower bounds of R columns so far, in the common frame."""

    def __init__(self, n_columns: int, n_features: int) -> None:
        self.coef = np.zeros((n_columns, n_features))
        self.intercept = np.zeros(n_columns)
        self.objective = np.full(n_columns, np.inf)
        self.loss = np.full(n_columns, np.inf)
        self.lower = np.full(n_columns, -np.inf)
        self.grad = np.zeros((n_columns, n_features))
        self.scores = Scores.unknown(n_columns)

    @property
    def gap(self) -> np.ndarray:
        """How far the points are at most above the optimum."""
        return np.asarray(np.maximum(self.objective - self.lower, 0.0))

    def offer(
        self,
        columns: np.ndarray,
        coef: np.ndarray,
        intercept: np.ndarray,
        loss: np.ndarray,
        penalty: np.ndarray,
        sums: RowSums,
    ) -> None:
        """Take what is better."""
        objective = loss + penalty
        chosen = np.flatnonzero(objective < self.objective[columns])
        at = columns[chosen]
        self.coef[at], self.intercept[at] = coef[chosen], intercept[chosen]
        self.objective[at], self.loss[at] = objective[chosen], loss[chosen]
        self.scores.put(at, Scores.of(sums), chosen)

    def bound(self, columns: np.ndarray, lower: np.ndarray, grad: np.ndarray) -> None:
        """Take the lower bounds that are larger."""
        chosen = np.flatnonzero(lower > self.lower[columns])
        self.lower[columns[chosen]] = lower[chosen]
        self.grad[columns[chosen]] = grad[chosen]


def solve(
    setting: Setting,
    dataset: Dataset,
    runner: PassRunner,
    sets: np.ndarray,
    strengths: Strengths,
    coef: np.ndarray,
    intercept: np.ndarray,
    most: int,
) -> Found:
    """Fit columns of the ascending training sets `sets` (R,), from a start (R, p), (R,).

    Returns when all gaps are within the tolerance, or after `most` rounds.
    """
    batch = _Batch(setting, sets, strengths, coef, intercept)
    with held_rounds(runner, dataset) as rounds:
        for k in range(1, most + 1):
            check = k == most or (k >= CHECK_EVERY and k % CHECK_EVERY < 2)
            batch.split()
            part = rounds.run(round_of(batch.orders(check), setting.cells))
            batch.advance(part)
            if check:
                batch.certify(part, k)
                if batch.active.size == 0:
                    break
            elif k <= ADAPTED_ROUNDS and k % CHECK_EVERY == CHECK_EVERY // 2:
                batch.adapt(part)
    return batch.found


class _Batch:
    """The columns that are not certified. Coefficients are (R, p)."""

    def __init__(
        self,
        setting: Setting,
        sets: np.ndarray,
        strengths: Strengths,
        coef: np.ndarray,
        intercept: np.ndarray,
    ) -> None:
        self._setting, self._sets, self._strengths = setting, sets, strengths
        n = sets.size
        self.found = Found(n, coef.shape[1])
        self.active = np.arange(n)
        self._keep = np.arange(n)
        self._b, self._b0 = coef.copy(), intercept.copy()
        self._w, self._v = coef.copy(), np.zeros_like(coef)
        self._moved = np.zeros_like(coef)
        # the curvature of a loss of this size whose slope is about 1
        unit = setting.unit[sets]
        self._rho = 0.5 / np.where(unit > 0.0, unit, 1.0)
        self._before = self._rho.copy()
        self._candidate = coef.copy(), intercept.copy()
        # so that about as many rows are near their kink as a corner needs, and some more
        self._enough = 2.5 * (coef.shape[1] + 1)
        share = min(1.0, self._enough / setting.gram.n_rows)
        self._radius = np.where(unit > 0.0, unit, 1.0) * share

    @property
    def _now(self) -> Strengths:
        return self._strengths.of(self.active)

    def split(self) -> None:
        """The step of w and v."""
        ahead = RELAXATION * self._b + (1.0 - RELAXATION) * self._w
        w = self._now.prox(ahead + self._v, 1.0 / (RIDGE * self._rho))
        self._v += ahead - w
        self._w, self._moved = w, w - self._w

    def orders(self, check: bool) -> Orders:
        """What the next round does."""
        setting, problem = self._setting, self._setting.problem
        points = [(self._w, self._b0), self._candidate] if check else []
        weight = np.array([problem.weight(s) for s in range(len(problem.sets))])
        orders = Orders(
            loss=problem.loss,
            frame=setting.frame,
            role=problem.role,
            sets=self._sets[self.active],
            unit=setting.gram.n_rows / weight,
            coef=np.ascontiguousarray(self._b.T),
            intercept=self._b0,
            before=self._before,
            rho=self._rho,
            keep=self._keep,
            points=[(np.ascontiguousarray(coef.T), b0) for coef, b0 in points],
            radius=self._radius,
        )
        self._keep, self._before = np.arange(self.active.size), self._rho.copy()
        return orders

    def advance(self, part: Part) -> None:
        """The step of b, from what the rows returned."""
        gram = self._setting.gram
        n = gram.n_rows
        right = (part.products - np.outer(gram.mean, part.total)) / n
        self._previous = self._b, self._b0
        self._b = gram.solve(right + RIDGE * (self._w - self._v).T, RIDGE).T
        if self._setting.problem.fit_intercept:
            self._b0 = part.total / n - self._b @ gram.mean

    def adapt(self, part: Part) -> None:
        """Bring primal and dual residuals, each relative to its own size, together."""
        n = self._setting.gram.n_rows
        e, change, u, z, square = part.sums
        share = RIDGE * n
        primal = e + share * ((self._previous[0] - self._w) ** 2).sum(axis=1)
        dual = change + share * (self._moved**2).sum(axis=1)
        size = np.maximum(square - z**2 / n, 0.0) + share * (self._w**2).sum(axis=1)
        u = u + share * (self._v**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(np.sqrt((primal / size) / (dual / u)))
        factor = np.clip(ratio, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)
        factor = np.where(np.isfinite(ratio) & (ratio > 0.0), factor, 1.0)
        self._rho = self._rho * factor
        self._v /= factor[:, None]

    def certify(self, part: Part, k: int) -> None:
        """Take up values and bounds, look for better points, and leave out what is certified."""
        setting, now = self._setting, self._now
        problem, n = setting.problem, setting.gram.n_rows
        duals, kinks = part.duals, part.kinks
        assert duals is not None
        assert kinks is not None
        sets = self._sets[self.active]
        weight = np.array([problem.weight(s) for s in range(len(problem.sets))])[sets]
        evaluated = (self._w, self._previous[1]), self._candidate
        for (coef, b0), sums in zip(evaluated, part.points, strict=True):
            self.found.offer(self.active, coef, b0, sums.train / weight, now.value(coef), sums)
        rule = problem.fit_intercept
        unit = float(setting.unit[0])
        best = self.found.coef[self.active]
        self.found.bound(self.active, *lower_bounds(duals, n, now, best, unit, rule))
        if k % CHECK_EVERY == 0:
            self._improve(duals, kinks, k)
        factor = self._enough / np.maximum(kinks.count, 1)
        self._radius = self._radius * np.clip(factor, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)
        done = self.found.gap[self.active] <= setting.tol * setting.unit[sets]
        self._leave_out(done)

    def _improve(self, duals: Duals, kinks: Kinks, k: int) -> None:
        """Better points, which the next round evaluates, and better bounds."""
        now, n, rule = self._now, self._setting.gram.n_rows, self._setting.problem.fit_intercept
        linear = ~now.ridge.any(axis=1) & (self._b.shape[1] <= MOST_CORNER)
        at = kinks, duals, n, now, self._w, self._previous[1], rule
        found = [polished(*at, ~linear, k // CHECK_EVERY)]
        if k % CORNER_EVERY == 0:
            found.append(cornered(*at, linear, self._radius))
        self._candidate = self._w.copy(), self._previous[1].copy()
        best, unit = self.found.coef[self.active], float(self._setting.unit[0])
        for (coef, intercept, better), chosen in zip(found, (~linear, linear), strict=False):
            self._candidate[0][chosen] = coef[chosen]
            self._candidate[1][chosen] = intercept[chosen]
            self.found.bound(self.active, *lower_bounds(better, n, now, best, unit, rule))

    def _leave_out(self, done: np.ndarray) -> None:
        stay = np.flatnonzero(~done)
        self._keep, self.active = stay, self.active[stay]
        for name in ("_b", "_b0", "_w", "_v", "_moved", "_rho", "_before", "_radius"):
            setattr(self, name, getattr(self, name)[stay])
        self._candidate = self._candidate[0][stay], self._candidate[1][stay]


def violation(found: Found, strengths: Strengths) -> np.ndarray:
    """Distance of the best dual points' gradients from the subdifferential of the penalty, (R,)."""
    fitted = np.isfinite(strengths.lasso)
    lasso = np.where(fitted, strengths.lasso, 0.0)
    distance = penalties.distance(found.coef, found.grad, lasso, strengths.ridge, strengths.box)
    return np.asarray(np.where(fitted, distance, 0.0).max(axis=1, initial=0.0))
