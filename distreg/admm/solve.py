"""Rounds of one batch of columns, from a start to certificates; columns of a loss with a kink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from distreg import penalties
from distreg.admm.batch import Answers, Batch, Setting
from distreg.admm.corner import cornered
from distreg.admm.dual import Strengths, lower_bounds
from distreg.admm.kinks import Duals, Kinks
from distreg.admm.rows import Part
from distreg.admm.smooth import Smooth
from distreg.admm.trace import Trace
from distreg.glm.columns import Scores
from distreg.kernels.rows import RowSums
from distreg.passes import PassRunner
from distreg.rounds import held_rounds

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset

__all__ = ["solve"]

ASK_EVERY = 5
"""Rounds from one in which the rows near their kink are those of the state to the next; in those
between they are those of the point found last."""

FARTHEST = 100.0
"""Distance in units of the null objective at which no row is near its kink, however few are."""

MOST_CORNER = 1000
"""Features up to which the problem of the rows near their kink is solved."""

KINK_BYTES = 500_000_000
"""Of the features of those rows, of all columns together."""

ADAPTED_ROUNDS = 60
"""Rounds after which rho stays as it is."""

LARGEST_CHANGE = 4.0
"""Of rho at once, and of the distance from a kink."""

FIRST_CHANGE = 10.0
"""Of rho at once, in the rounds before the state is asked first."""


INVALID = 1e-12
"""By how much a bound may be above an objective that was found, in units of what is added up."""


class Found:
    """The best points and lower bounds of R columns so far, in the common frame.

    Parameters
    ----------
    n_columns, n_features : int
    unit : (R,) array
        Objective of the null models.
    """

    def __init__(self, n_columns: int, n_features: int, unit: np.ndarray) -> None:
        self._unit = unit
        self.coef = np.zeros((n_columns, n_features))
        self.intercept = np.zeros(n_columns)
        self.objective = np.full(n_columns, np.inf)
        self.loss = np.full(n_columns, np.inf)
        self.lower = np.zeros(n_columns)  # neither loss nor penalty is negative
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
        self._drop_invalid()

    def bound(self, columns: np.ndarray, lower: np.ndarray, grad: np.ndarray) -> None:
        """Take the lower bounds that are larger."""
        chosen = np.flatnonzero(lower > self.lower[columns])
        self.lower[columns[chosen]] = lower[chosen]
        self.grad[columns[chosen]] = grad[chosen]
        self._drop_invalid()

    def _drop_invalid(self) -> None:
        """Forget bounds that an objective is below: the optimum was farther than was assumed."""
        size = np.abs(self.objective) + np.abs(self.intercept) + self._unit
        with np.errstate(invalid="ignore"):
            self.lower[self.lower - self.objective > INVALID * size] = 0.0


def solve(
    setting: Setting,
    dataset: Dataset,
    runner: PassRunner,
    chosen: np.ndarray,
    coef: np.ndarray,
    intercept: np.ndarray,
    most: int,
    waiting: int,
    trace: Trace,
) -> Answers:
    """Fit columns, the fits `chosen` of ascending training sets, from a start (R, p), (R,).

    Returns when all gaps are within the tolerance, or after `most` rounds. `waiting` fits of later
    batches are counted as left in `trace`, to which every round is added.
    """
    kind = Smooth if setting.problem.loss.smooth else Kinked
    batch = kind(setting, chosen, coef, intercept)
    with held_rounds(runner, dataset) as rounds:
        for k in range(1, most + 1):
            check = k == most or batch.checks(k)
            title = trace.title(batch.active.size + waiting)
            part = rounds.run(batch.round(k, check, title))
            batch.advance(part)
            trace.add(batch, waiting)
            batch.adapt(part, k)
            if check:
                batch.certify(part, k)
            if batch.active.size == 0:
                break
    return batch.answers()


class Kinked(Batch):
    """Columns of a loss with a kink: bounds from the rows' slopes, points from rows at the kink."""

    _RIDGE = 0.3

    def __init__(
        self, setting: Setting, chosen: np.ndarray, coef: np.ndarray, intercept: np.ndarray
    ) -> None:
        super().__init__(setting, chosen, coef, intercept)
        self.found = Found(chosen.size, coef.shape[1], setting.unit[self._sets])
        self._candidate = coef.copy(), intercept.copy()
        # so that about as many rows are near their kink as a corner needs, and some more
        rows = np.array([of.summary.n_rows for of in setting.problem.sets])[self._sets]
        self._enough = np.minimum(3.0 * (coef.shape[1] + 1), 0.75 * rows)
        share = self._enough / setting.n_rows
        unit = setting.unit[self._sets]
        self._radius = np.where(unit > 0.0, unit, 1.0) * share

    def checks(self, k: int) -> bool:
        """Whether round k certifies columns."""
        return k % ASK_EVERY == 0 or self._follows(k)

    def _follows(self, k: int) -> bool:
        """Whether round k is about the points that were found in the last, or begun with."""
        return k % ASK_EVERY != 0 and self._w.shape[1] <= MOST_CORNER

    def adapt(self, part: Part, k: int) -> None:
        """Bring primal and dual residuals together, at first at once."""
        first = k < ASK_EVERY
        if k > ADAPTED_ROUNDS or not (first or k % ASK_EVERY == ASK_EVERY // 2):
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.primal / self.dual
        ratio, most = (ratio, FIRST_CHANGE) if first else (np.sqrt(ratio), LARGEST_CHANGE)
        factor = np.clip(ratio, 1.0 / most, most)
        self._rescale(np.where(np.isfinite(ratio) & (ratio > 0.0), factor, 1.0))

    def answers(self) -> Answers:
        """The best points so far, with the best lower bounds."""
        found = self.found
        distance = violation(found, self._strengths)
        return Answers(
            found.coef, found.intercept, found.objective, found.loss, found.gap, distance,
            found.scores,
        )  # fmt: skip

    @property
    def _least(self) -> np.ndarray:
        # from a null model z is small as long as rho is too large, and would not say so
        return self._setting.unit[self._sets[self.active]]

    def _point(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._candidate if self._follows(k) else (self._w, self._w0)

    def _near(self, k: int) -> np.ndarray:
        return np.where(self._asks(k), self._radius, -1.0)

    def _asks(self, k: int) -> np.ndarray:
        """Which columns' rows near their kink are returned: as many as memory allows, in turn."""
        p, asks = self._w.shape[1], np.zeros(self.active.size, dtype=bool)
        if p > MOST_CORNER:
            return asks
        most = max(KINK_BYTES // (8 * p * int(self._enough.max(initial=1.0))), 1)
        turn = (self.active - k // ASK_EVERY * most) % self._chosen.size
        asks[np.argsort(turn)[:most]] = True
        return asks

    def certify(self, part: Part, k: int) -> None:
        """Take up values and bounds, look for better points, and leave out what is certified."""
        setting, now = self._setting, self._now
        duals, kinks, sums = part.duals, part.kinks, part.losses
        assert duals is not None
        assert kinks is not None
        assert sums is not None
        sets = self._sets[self.active]
        weight = setting.weight[sets]
        coef, b0 = self._point(k)
        self.found.offer(self.active, coef, b0, sums.train / weight, now.value(coef), sums)
        self._bound(duals)
        if self._follows(k + 1):
            self._improve(duals, kinks, coef, b0)
        factor = self._enough[self.active] / np.maximum(kinks.count, 1)
        factor = np.clip(factor, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)
        radius = np.minimum(self._radius * factor, FARTHEST * setting.unit[sets])
        self._radius = np.where(self._asks(k), radius, self._radius)
        done = self.found.gap[self.active] <= setting.tol * setting.unit[sets]
        self._leave_out(done)

    def _improve(self, duals: Duals, kinks: Kinks, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Better points, which the next round evaluates, and better bounds."""
        now, n, rule = self._now, self._setting.n_rows, self._setting.problem.fit_intercept
        coef, intercept, better = cornered(
            kinks, duals, n, now, coef, intercept, rule, self._radius
        )
        self._candidate = coef, intercept
        self._bound(better)

    def _bound(self, duals: Duals) -> None:
        """Take up the bounds that slopes give."""
        now, setting = self._now, self._setting
        best = self.found.coef[self.active]

        def apart(grad: np.ndarray) -> np.ndarray:
            return self._apart(grad, best)

        rule = setting.problem.fit_intercept
        self.found.bound(self.active, *lower_bounds(duals, setting.n_rows, now, apart, rule))

    def _leave_out(self, done: np.ndarray) -> np.ndarray:
        stay = super()._leave_out(done)
        self._radius = self._radius[stay]
        self._candidate = self._candidate[0][stay], self._candidate[1][stay]
        return stay


def violation(found: Found, strengths: Strengths) -> np.ndarray:
    """Distance of the best dual points' gradients from the subdifferential of the penalty, (R,)."""
    fitted = np.isfinite(strengths.lasso)
    lasso = np.where(fitted, strengths.lasso, 0.0)
    distance = penalties.distance(found.coef, found.grad, lasso, strengths.ridge, strengths.box)
    return np.asarray(np.where(fitted, distance, 0.0).max(axis=1, initial=0.0))
