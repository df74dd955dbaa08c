"""All columns advance in lock step: evaluate all, certify, step where needed, evaluate again."""

from __future__ import annotations

import numpy as np

from distreg.evaluation import Evaluate, Evaluation
from distreg.glm.adoption import adopt
from distreg.glm.anchors import FEW, N_ANCHORS, Anchors
from distreg.glm.columns import (
    Columns,
    Values,
    certified,
    request_of,
    values_in,
    values_of,
)
from distreg.glm.metric import follow_of
from distreg.glm.null import NullModels
from distreg.glm.pace import Tolerance, slow_sets
from distreg.glm.rounding import DOUBLE, SINGLE, surely
from distreg.glm.surrogate import Surrogate
from distreg.glm.trials import Trials

__all__ = ["Lockstep"]

DECREASE = 0.01
"""Share of the predicted decrease that a step must bring."""


class Lockstep:
    """The driver. Holds what steps need beside the columns.

    Parameters
    ----------
    columns : Columns
    evaluate : callable
        Evaluates a request: one pass.
    nulls : NullModels
        Where every path begins, and the units of the certificates.
    n_threads : int
        For the computations between passes.
    n_anchors : int
        Fits of a path at which curvature is taken at once.
    surrogate : Surrogate, optional
        Corrects the steps.
    few : int
        Columns that have anchors each.

    Attributes
    ----------
    anchors : Anchors
        The curvature in use.
    trials : Trials
        Where columns are evaluated next.
    """

    def __init__(
        self,
        columns: Columns,
        evaluate: Evaluate,
        nulls: NullModels,
        n_threads: int,
        n_anchors: int = N_ANCHORS,
        surrogate: Surrogate | None = None,
        few: int = FEW,
    ) -> None:
        self.columns, self.problem, self.fits = columns, columns.problem, columns.fits
        self._evaluate, self._nulls = evaluate, nulls
        self._unit, self._null = nulls.unit, nulls.objective
        self.anchors = Anchors(self.problem, self.fits, n_threads, n_anchors, few)
        self.trials = Trials(columns, nulls, self.anchors, n_threads, surrogate)
        self._asked, self._single = np.empty(0, dtype=np.int64), False
        n = columns.fits.size
        self._settled, self._sure = np.zeros((2, n), dtype=bool)
        self._sets = np.unravel_index(np.arange(n), self.fits.shape)[0]

    def start(self, fits: np.ndarray) -> None:
        """Begin `fits` where their columns stand."""
        self.trials.stand(fits)
        self.trials.forget(fits)
        self._settled[fits] = False
        self.columns.objective[fits] = np.inf
        self.columns.done[fits] = False

    def seed_folds(self, fits: np.ndarray, tolerance: Tolerance, single: bool) -> None:
        """Evaluate fits of the full data cell by cell, and begin every fold's there."""
        columns, problem = self.columns, self.problem
        self.focus(fits)
        anchors = self.anchors.choose(fits, self.trials.coef)
        found = self._ask(fits, anchors, by_cell=True, single=single)
        self._take(fits, values_in(problem, 0, found), tolerance, single)
        per_set = self.fits.size // self.fits.n_sets
        for s in range(1, self.fits.n_sets):
            own = fits + s * per_set
            for fit, other in zip(own, fits, strict=True):
                # where the full data's trial stood when it was evaluated
                columns.put_raw(int(fit), *self.trials.raw(int(other)))
            self.start(own)
            self._take(own, values_in(problem, s, found), tolerance, single)

    def advance(
        self,
        fits: np.ndarray,
        tolerance: Tolerance,
        max_evaluations: int,
        n_anchors: int | None = None,
        n_single: int = 0,
        final: bool = False,
    ) -> int:
        """Evaluate and step until `fits` are done, or `max_evaluations` are used up.

        The first evaluation takes curvature at `n_anchors` fits of a path (None: as many as
        always); the first `n_single` of them are of single precision. If they are the `final` ones,
        the last of them prepares no step.
        """
        wanted, fresh, used = n_anchors != 0, n_anchors == 0, 0
        while used < max_evaluations:
            active = fits[~self.columns.done[fits]]
            if active.size == 0:
                break
            before = self.columns.violation[active].copy()
            chosen, ends = np.empty(0, dtype=np.int64), final and used + 1 == max_evaluations
            if wanted and not (ends and self.anchors.held):
                self.focus(active)
                chosen = self.anchors.choose(active, self.trials.coef, n_anchors)
            n_anchors = None
            evaluated = np.union1d(active, chosen)
            single = tolerance.single or used < n_single
            found = self._ask(evaluated, chosen, single=single)
            values = values_of(self.problem, self._sets[evaluated], found)
            used += 1
            self._take(active, values.of(np.isin(evaluated, active)), tolerance, single)
            if ends:
                break
            slow, misled = slow_sets(
                self.columns, active, before, self._unit, self._null, tolerance
            )
            if fresh:
                self.anchors.own.update(misled - {0})
            wanted, fresh = bool(slow) or not self.anchors.held, wanted
            self.step(fits[~self.columns.done[fits]])
            fits, widened = self.widen(fits)
            wanted |= widened
        return used

    def focus(self, fits: np.ndarray) -> None:
        """Before curvature is taken: choose the features that it is taken of."""

    def widen(self, fits: np.ndarray) -> tuple[np.ndarray, bool]:
        """Fits to go on with, and whether curvature of other features is wanted."""
        return fits, False

    def step(self, fits: np.ndarray) -> None:
        """Make a trial point for each fit, from its best point.

        What needs its values in double precision stays where it is.
        """
        settled = self._settled[fits]
        self.trials.stand(fits[settled])
        self.trials.step(fits[~settled], self._single)

    def _ask(
        self, fits: np.ndarray, anchors: np.ndarray, by_cell: bool = False, single: bool = False
    ) -> Evaluation:
        """Evaluate the trial points of `fits` (ascending), and keep the anchors' curvature."""
        request = request_of(
            self.problem,
            self._sets[fits],
            self.trials.coef[fits],
            self.trials.intercept[fits],
            np.searchsorted(fits, anchors),
            self.anchors.features,
            self.anchors.cell_of,
            by_cell,
            single,
        )
        found = self._evaluate(request)
        self._asked, self._single = anchors, single
        if anchors.size:
            sampled = self.trials.sampled(anchors, single)
            if self.anchors.renew(anchors, found.curvature, sampled):
                self.trials.forget_moves()
        return found

    def _take(
        self, fits: np.ndarray, values: Values, tolerance: Tolerance, single: bool = False
    ) -> None:
        """Accept the trial points that lower the objective enough; shorten the others' steps."""
        columns, trials = self.columns, self.trials
        lean = self._lean(fits, values)
        objective, violation, gap = certified(
            self.problem, self.fits, fits, self.trials.coef[fits], values, lean
        )
        best, rounding = columns.objective[fits], SINGLE if single else DOUBLE
        with np.errstate(invalid="ignore"):
            size = np.abs(best) + self._null[self._sets[fits]]
            slack = np.maximum(rounding, columns.rounding[fits]) * size
            enough = best + DECREASE * trials.promised[fits] + slack
            accept = np.isfinite(objective) & ~(objective > enough)
        # the same point is as good as it was, whatever the order of sums has made of it
        accept |= (trials.stands(fits) & np.isfinite(objective)) | ~np.isfinite(best)
        taken = fits[accept]
        trials.learn(fits, values, accept)
        columns.coef[taken], columns.intercept[taken] = trials.coef[taken], trials.intercept[taken]
        columns.objective[taken], columns.loss[taken] = objective[accept], values.loss[accept]
        columns.rounding[taken] = rounding
        columns.grad[taken] = values.grad[accept]
        columns.grad_intercept[taken] = values.grad_intercept[accept]
        if values.bend is not None:
            if columns.bend is None:
                columns.bend = np.full(columns.coef.shape, np.nan)
            columns.bend[taken] = values.bend[accept]
        columns.violation[taken], columns.gap[taken] = violation[accept], gap[accept]
        columns.scores.put(taken, values.scores, np.flatnonzero(accept))
        sure = np.ones_like(accept)
        if single and not tolerance.single:
            at = trials.coef[fits]
            sure = surely(columns, self._nulls, fits, at, values, lean, tolerance)
        self._sure[taken] = sure[accept]
        moved = taken[trials.promised[taken] < 0.0]
        trials.damping[moved] = np.maximum(1.0, trials.damping[moved] / 2.0)
        trials.damping[fits[~accept]] *= 4.0
        self.anchors.drop(np.intersect1d(fits[~accept], self._asked))
        self._adopt(fits)
        unit, null = self._unit[self._sets[fits]], self._null[self._sets[fits]]
        certain = columns.violation[fits] <= tolerance.violation * unit
        certain &= columns.gap[fits] <= tolerance.gap * null
        self._settled[fits] = certain
        certain &= tolerance.single | self._sure[fits]
        columns.done[fits] = certain
        trials.forget(fits[certain])

    def _adopt(self, fits: np.ndarray) -> None:
        """Put columns where a neighbour on the path, or the null model, is better for them, too."""
        self.trials.forget(adopt(self.columns, self._nulls, fits))

    def _lean(self, fits: np.ndarray, values: Values) -> np.ndarray:
        """What an intercept without a gradient would take from the gradients, (n, C p)."""
        lean = np.zeros_like(values.grad)
        if self.problem.fit_intercept and self.anchors.held:
            for i, fit in enumerate(fits):
                known = self.anchors.edges(int(fit))
                if known is not None:
                    lean[i, self.anchors.columns] = values.grad_intercept[i] @ follow_of(*known)
        return lean
