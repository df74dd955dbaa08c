"""Approximate cross-validation: every fold takes one Newton step from the full data's answer.

Only the columns of the full data are iterated. Their passes keep the cells apart, so that at each
point the gradients of all folds, exact, are sums of what the pass has anyway. When the full data's
columns are certified, every fold's column takes one proximal Newton step from there, with the
curvature of its own training set, and one more pass scores its held-out rows.
"""

from __future__ import annotations

import numpy as np

from distreg.evaluation import Evaluation
from distreg.glm.columns import Values, values_in
from distreg.glm.lockstep import Lockstep, Tolerance

__all__ = ["OneStep"]


class OneStep(Lockstep):
    """A driver whose folds follow the full data."""

    _found: tuple[np.ndarray, Evaluation] | None = None

    def step_folds(self, tolerance: Tolerance) -> None:
        """One step of every fold, and the pass that says what it was worth."""
        per_set = self.fits.size // self.fits.n_sets
        folds = np.arange(per_set, self.fits.size)
        left = folds[~self.columns.done[folds]]
        if left.size == 0:
            return
        self.step(left)
        nothing = np.empty(0, dtype=np.int64)
        values = super()._look(left, nothing)
        self._take(left, values, tolerance)

    def _look(self, fits: np.ndarray, anchors: np.ndarray) -> Values:
        found = self._ask(fits, anchors=anchors, by_cell=True)
        self._found = fits, found
        return values_in(self.problem, 0, found)

    def _take(self, fits: np.ndarray, values: Values, tolerance: Tolerance) -> None:
        super()._take(fits, values, tolerance)
        if self._found is not None:
            evaluated, found = self._found
            self._found = None
            self._follow(evaluated, found, tolerance)

    def _adopt(self, fits: np.ndarray) -> None:
        # a fold's column is one step from the full data's, not where its neighbours stand
        if fits[0] < self.fits.size // self.fits.n_sets:
            super()._adopt(fits)

    def _slow_sets(
        self, fits: np.ndarray, before: np.ndarray, tolerance: Tolerance
    ) -> tuple[set[int], set[int]]:
        # few columns are evaluated, so that fresh curvature costs little beside a pass
        return {0}, set()

    def _follow(self, fits: np.ndarray, found: Evaluation, tolerance: Tolerance) -> None:
        """Put the folds' columns where those of the full data have just been accepted."""
        columns, per_set = self.columns, self.fits.size // self.fits.n_sets
        accepted = (columns.coef[fits] == self._trial[fits]).all(axis=1)
        accepted &= (columns.intercept[fits] == self._trial_intercept[fits]).all(axis=1)
        taken = fits[accepted]
        for s in range(1, self.fits.n_sets):
            own = taken + s * per_set
            for fit, other in zip(own, taken, strict=True):
                columns.put_raw(int(fit), *self._raw_trial(int(other)))
            self.start(own)
            values = values_in(self.problem, s, found).of(accepted)
            super()._take(own, values, tolerance)
