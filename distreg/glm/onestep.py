"""Approximate cross-validation: every fold takes one Newton step from the full data's path.

Only the columns of the full data are iterated. Their passes keep the cells apart, so that at each
point the gradients of all folds, exact, are sums of what the pass has anyway. When a column of the
full data is near its answer, the same column of every fold takes one proximal Newton step from
there, with the curvature of its own training set, and the next pass, which the full data need for
their certificates, says where that led.
"""

from __future__ import annotations

import numpy as np

from distreg.evaluation import Evaluation
from distreg.glm.columns import values_in, values_of
from distreg.glm.lockstep import Lockstep
from distreg.glm.pace import Tolerance

__all__ = ["OneStep"]

NEAR = 1e-4
"""KKT violation of the full data's column, over the null gradient, from which folds take their
step. It corrects what is left of this violation, too, to second order."""

FOLD_INEXACT = 1e-4
"""Share of the violation that the minimum of a fold's model may leave."""


class OneStep(Lockstep):
    """A driver of the full data, which the folds follow."""

    def advance_full(self, tolerance: Tolerance, max_evaluations: int) -> int:
        """Evaluate and step until the full data's columns are done; returns evaluations used."""
        columns, per_set = self.columns, self.fits.size // self.fits.n_sets
        full, used = np.arange(per_set), 0
        # no pass corrects a fold's step
        self.trials.inexact[per_set:] = FOLD_INEXACT
        followed, pending = np.zeros(per_set, dtype=bool), np.empty(0, dtype=np.int64)
        while used < max_evaluations:
            active = full[~columns.done[full]]
            if active.size + pending.size == 0:
                break
            anchors = self._spread_anchors(active, full)
            asked = np.concatenate([np.union1d(active, anchors), pending])
            found = self._ask(asked, anchors=anchors, by_cell=True)
            values = values_of(self.problem, self._sets[asked], found.joined())
            used += 1
            for fits in (active, pending):
                if fits.size:
                    self._take(fits, values.of(np.isin(asked, fits)), tolerance)
            last = used >= max_evaluations - 1
            size = max(NEAR, tolerance.violation)
            near = active[(self._is_near(active, size) | last) & ~followed[active]]
            followed[near] = True
            pending = self._follow(near, asked, found, tolerance)
            self.step(np.concatenate([active[~columns.done[active]], pending]))
        return used

    def _spread_anchors(self, active: np.ndarray, full: np.ndarray) -> np.ndarray:
        """Where to take curvature: close to what moves, and along all of the path for the folds.

        It is taken anew each time, since few columns are evaluated beside it.
        """
        if active.size == 0:
            return np.empty(0, dtype=np.int64)
        # the second choice sets the lengths by which anchors are interpolated
        close = self.anchors.choose(active, self.trials.coef)
        spread = self.anchors.choose(full, self.trials.coef)
        return np.union1d(close, spread) if self.anchors.many_fit else spread

    def _is_near(self, fits: np.ndarray, size: float) -> np.ndarray:
        """Whether columns stand where they were just evaluated, near their answers."""
        columns = self.columns
        near = self.trials.stands(fits)
        return np.asarray(near & (columns.violation[fits] <= size * self._unit[0]))

    def _follow(
        self, near: np.ndarray, asked: np.ndarray, found: Evaluation, tolerance: Tolerance
    ) -> np.ndarray:
        """Put the folds' columns where those of the full data were evaluated; who has to step."""
        columns, per_set = self.columns, self.fits.size // self.fits.n_sets
        left = []
        for s in range(1, self.fits.n_sets) if near.size else ():
            own = near + s * per_set
            for fit, other in zip(own, near, strict=True):
                columns.put_raw(int(fit), *self.trials.raw(int(other)))
            self.start(own)
            values = values_in(self.problem, s, found).of(np.isin(asked, near))
            self._take(own, values, tolerance)
            left.append(own[~columns.done[own]])
        return np.concatenate([np.empty(0, dtype=np.int64), *left])

    def _adopt(self, fits: np.ndarray) -> None:
        # a fold's column is one step from the full data's, not where its neighbours stand
        if fits[0] < self.fits.size // self.fits.n_sets:
            super()._adopt(fits)
