"""Columns of a smooth loss: certified from the gradient at w, as those of Newton's method."""

from __future__ import annotations

import numpy as np

from distreg.admm.batch import Answers, Batch, Setting
from distreg.admm.rows import Part
from distreg.evaluation import Evaluation
from distreg.glm.columns import Scores, Values, certified, gradient_of, values_of

__all__ = ["Smooth"]

CHECK_EVERY = 5
"""Rounds between certificates."""

ADAPTED_ROUNDS = 40
"""Rounds after which rho stays as it is."""

LARGEST_CHANGE = 4.0
"""Of rho at once; beyond it a first step is not worth taking."""


class Smooth(Batch):
    """As `Batch`. rho follows the root mean square of the loss's curvature at w.

    The mean is too little where few rows have most of the curvature, as those with large counts.
    Balanced residuals ask for ten times too much or too little (docs/decisions/0014).
    """

    _RIDGE = 1.0

    def __init__(
        self, setting: Setting, chosen: np.ndarray, coef: np.ndarray, intercept: np.ndarray
    ) -> None:
        super().__init__(setting, chosen, coef, intercept)
        unknown = np.full(chosen.size, np.inf)
        self._best = Answers(
            coef.copy(), intercept.copy(), unknown.copy(), unknown.copy(), unknown.copy(),
            unknown.copy(), Scores.unknown(chosen.size),
        )  # fmt: skip

    def checks(self, k: int) -> bool:
        """Whether round k certifies columns."""
        return k == 1 or k % CHECK_EVERY == 0

    def adapt(self, part: Part, k: int) -> None:
        """Set rho to the curvature at w; where the first step was far too long, not to take it."""
        if part.slopes is None or k > ADAPTED_ROUNDS:
            return
        weight = self._setting.weight[self._sets[self.active]]
        with np.errstate(over="ignore"):
            factor = np.sqrt(part.slopes.square / weight) / self.rho
        factor = np.where(np.isfinite(factor) & (factor > 0.0), factor, 1.0)
        if k == 1:
            far = (factor > LARGEST_CHANGE) | (factor < 1.0 / LARGEST_CHANGE)
            self._tie.back(far)
        else:
            factor = np.clip(factor, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)
        self._rescale(factor)

    def answers(self) -> Answers:
        """The evaluated points with the smallest gaps."""
        return self._best

    def _point(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._w, self._w0

    def certify(self, part: Part, k: int) -> None:
        """Grade w, keep it where it is better, and leave out what is certified."""
        setting, active = self._setting, self.active
        problem, fits, sets = setting.problem, setting.fits, self._sets[active]
        values, lean = self._values(part)
        scale = np.array([of.summary.scale for of in problem.sets])[sets] / setting.frame.scale
        coef = self._w * scale
        objective, violation, gap = certified(
            problem, fits, self._chosen[active], coef, values, lean
        )
        # by convexity at most the gradient times the way to the optimum
        grad = (values.grad - lean) * scale
        gap = gap + self._apart(grad, self._w)
        saturated = np.array([problem.saturated(s) for s in sets])
        gap = np.minimum(gap, np.maximum(objective - saturated, 0.0))
        best = self._best
        better = gap < best.gap[active]
        better |= ~np.isfinite(best.gap[active]) & (objective < best.objective[active])
        at, which = active[better], np.flatnonzero(better)
        best.coef[at], best.intercept[at] = self._w[which], self._w0[which]
        best.objective[at], best.loss[at] = objective[which], values.loss[which]
        best.gap[at], best.violation[at] = gap[which], violation[which]
        best.scores.put(at, values.scores, which)
        unit = setting.unit[sets]
        self._leave_out((gap <= setting.tol * unit) | (unit == 0.0))

    def _values(self, part: Part) -> tuple[Values, np.ndarray]:
        """What the round says of w, and what an intercept without a gradient takes from that."""
        setting, sums, slopes = self._setting, part.losses, part.slopes
        assert sums is not None
        assert slopes is not None
        problem, sets, frame = setting.problem, self._sets[self.active], setting.frame
        shift = frame.origin - problem.centre

        def about_centre(products: np.ndarray, total: np.ndarray) -> np.ndarray:
            return np.asarray(products * frame.scale[:, None] + np.outer(shift, total))

        grad = about_centre(slopes.residual, sums.residual)
        none = np.empty((1, 0, sets.size))
        values = values_of(problem, sets, Evaluation((sums,), grad[None], none, ()))
        lean = np.zeros_like(values.grad)
        if not problem.fit_intercept:
            return values, lean
        bend = about_centre(slopes.curvature, sums.curvature)
        for s in np.unique(sets):
            of = np.flatnonzero(sets == s)
            at = bend[:, of], sums.curvature[of]
            follow, total = gradient_of(problem, int(s), *at, float(setting.weight[s]))
            with np.errstate(divide="ignore", invalid="ignore"):
                step = np.where(total > 0.0, values.grad_intercept[of] / total, 0.0)
            lean[of] = step * follow
        return values, lean
