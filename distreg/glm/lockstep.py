"""All columns advance in lock step: evaluate all, certify, step where needed, evaluate again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from distreg.evaluation import Evaluate, Evaluation
from distreg.glm.adoption import adopt
from distreg.glm.anchors import FEW, N_ANCHORS, Anchors, Sampled
from distreg.glm.columns import (
    Columns,
    Values,
    certified,
    request_of,
    values_in,
    values_of,
)
from distreg.glm.metric import follow_of
from distreg.glm.null import NullModels, null_curvature
from distreg.glm.pace import Tolerance, slow_sets
from distreg.glm.rounding import DOUBLE, SINGLE, surely
from distreg.glm.secant import Pair, Secants
from distreg.glm.step import LONGEST_STEP, Point, Step, farthest_of, step_of
from distreg.glm.surrogate import Surrogate, change_of

__all__ = ["Lockstep"]

DECREASE = 0.01
"""Share of the predicted decrease that a step must bring."""

INEXACT = 1e-2
"""Share of the violation that the minimum of the model may leave: the next pass corrects it."""


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
    surrogate : Surrogate or None
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
        self._n_threads, self.surrogate = n_threads, surrogate
        self.anchors = Anchors(self.problem, self.fits, n_threads, n_anchors, few)
        n = columns.fits.size
        self._trial = columns.coef.copy()
        self._trial_intercept = columns.intercept.copy()
        # a loss in units of y has curvature up to 1, though no row of the null model may have any
        real = self.problem.loss.target == "real"
        self._size = 1.0 if real else null_curvature(self.problem, nulls)
        self._promised = np.zeros(n)
        self._asked, self._single = np.empty(0, dtype=np.int64), False
        self._secants = Secants()
        self._damping = np.ones(n)
        self._settled, self._sure = np.zeros((2, n), dtype=bool)
        self._sets = np.unravel_index(np.arange(n), self.fits.shape)[0]

    def start(self, fits: np.ndarray) -> None:
        """Begin `fits` where their columns stand."""
        columns = self.columns
        self._trial[fits] = columns.coef[fits]
        self._trial_intercept[fits] = columns.intercept[fits]
        self._promised[fits] = 0.0
        self._secants.forget(fits)
        self._damping[fits] = 1.0
        self._settled[fits] = False
        columns.objective[fits] = np.inf
        columns.done[fits] = False

    def seed_folds(self, fits: np.ndarray, tolerance: Tolerance, single: bool) -> None:
        """Evaluate fits of the full data cell by cell, and begin every fold's there."""
        columns, problem = self.columns, self.problem
        self.focus(fits)
        anchors = self.anchors.choose(fits, self._trial)
        found = self._ask(fits, anchors, by_cell=True, single=single)
        self._take(fits, values_in(problem, 0, found), tolerance, single)
        per_set = self.fits.size // self.fits.n_sets
        for s in range(1, self.fits.n_sets):
            own = fits + s * per_set
            for fit, other in zip(own, fits, strict=True):
                # where the full data's trial stood when it was evaluated
                columns.put_raw(int(fit), *self._raw_trial(int(other)))
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
                chosen = self.anchors.choose(active, self._trial, n_anchors)
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
        settled = fits[self._settled[fits]]
        self._trial[settled] = self.columns.coef[settled]
        self._trial_intercept[settled] = self.columns.intercept[settled]
        self._promised[settled] = 0.0
        fits = fits[~self._settled[fits]]
        for s in np.unique(self._sets[fits]):
            own = fits[self._sets[fits] == s]
            self.anchors.prepare(own)
            strengths = self.fits.strengths(self.problem, own)
            with ThreadPoolExecutor(self._n_threads) as pool:
                list(pool.map(self._step, own.tolist(), *strengths))
        if self.surrogate is not None:
            self._correct(self.surrogate, fits)

    def _step(self, fit: int, lasso: np.ndarray, ridge: np.ndarray) -> None:
        columns = self.columns
        self._trial[fit] = columns.coef[fit]
        self._trial_intercept[fit] = columns.intercept[fit]
        self._promised[fit] = 0.0
        found = self._step_from(fit, columns.grad[fit], columns.grad_intercept[fit], lasso, ridge)
        if found is not None:
            self._promised[fit] = found.promised

    def _step_from(
        self,
        fit: int,
        grad: np.ndarray,
        grad_intercept: np.ndarray,
        lasso: np.ndarray,
        ridge: np.ndarray,
    ) -> Step | None:
        """Move a fit's trial point, where the loss has these negative gradients."""
        columns, at = self.columns, self.anchors.columns
        model = self.anchors.between(fit)
        if model is None:
            return None
        s = int(self._sets[fit])
        summary, box = self.problem.sets[s].summary, self.problem.box(s)
        bend = None if columns.bend is None else columns.bend[fit]
        real = self.problem.loss.target == "real"
        point = Point(
            coef=self._trial[fit, at],
            grad=grad[at],
            grad_intercept=grad_intercept,
            lasso=lasso[at],
            ridge=ridge[at],
            usable=np.tile(summary.usable, self.problem.n_classes)[at],
            box=None if box is None else box.only(at),
            bend=None if bend is None else bend[at],
            farthest=None if bend is None or real else farthest_of(summary, bend)[at],
        )
        damping, intercept = float(self._damping[fit]), self.problem.fit_intercept
        # without an exponential or a margin there is no length beyond which the model is wrong
        longest = np.inf if real else LONGEST_STEP
        # where the curvature is its own, that of a former move is none the better
        pairs = [] if self.anchors.is_at(fit) else self._secants.of(fit)
        inexact = self._inexact(fit)
        found = step_of(model, point, pairs, self._size, damping, intercept, inexact, longest)
        if found is not None:
            self._trial[fit, at] = found.coef
            self._trial_intercept[fit] += found.intercept_move
        return found

    def _correct(self, surrogate: Surrogate, fits: np.ndarray) -> None:
        """Step again from the trial points, by what the sample says of the gradients there."""
        columns, at = self.columns, self.anchors.columns
        n_classes = self.problem.n_classes
        inside = np.arange(n_classes), n_classes + np.arange(columns.coef.shape[1])[at]
        known_of = np.concatenate(inside)
        moves = (self._promised[fits] < 0.0) & (self._damping[fits] == 1.0)
        fits = fits[moves]
        if fits.size == 0:
            return
        sets = self._sets[fits]
        here, there = (
            surrogate.gradients(sets, coef[fits], intercept[fits], self._single)[:, known_of]
            for coef, intercept in (
                (columns.coef, columns.intercept),
                (self._trial, self._trial_intercept),
            )
        )

        def step(i: int, lasso: np.ndarray, ridge: np.ndarray) -> None:
            fit = int(fits[i])
            model, sampled = (self.anchors.between(fit, of_sample) for of_sample in (False, True))
            if model is None or sampled is None:
                return
            point = np.append(columns.intercept[fit], columns.coef[fit, at])
            pairs = surrogate.pairs(fit, self._secants.of(fit), point, here[i])
            move = np.append(self._trial_intercept[fit], self._trial[fit, at]) - point
            own = self.anchors.is_at(fit)
            change = change_of(model, sampled, pairs, own, move, here[i] - there[i])
            grad = columns.grad[fit].copy()
            grad[at] -= change[n_classes:]
            grad_intercept = columns.grad_intercept[fit] - change[:n_classes]
            self._step_from(fit, grad, grad_intercept, lasso, ridge)

        known = np.isfinite(here).all(axis=1) & np.isfinite(there).all(axis=1)
        for s in np.unique(sets[known]):
            chosen = np.flatnonzero((sets == s) & known)
            self.anchors.prepare(fits[chosen], sampled=True)
            strengths = self.fits.strengths(self.problem, fits[chosen])
            with ThreadPoolExecutor(self._n_threads) as pool:
                list(pool.map(step, chosen.tolist(), *strengths))

    def _inexact(self, fit: int) -> float:
        """Share of a fit's violation that its step may leave."""
        return INEXACT

    def _ask(
        self, fits: np.ndarray, anchors: np.ndarray, by_cell: bool = False, single: bool = False
    ) -> Evaluation:
        """Evaluate the trial points of `fits` (ascending), and keep the anchors' curvature."""
        request = request_of(
            self.problem,
            self._sets[fits],
            self._trial[fits],
            self._trial_intercept[fits],
            np.searchsorted(fits, anchors),
            self.anchors.features,
            self.anchors.cell_of,
            by_cell,
            single,
        )
        found = self._evaluate(request)
        self._asked, self._single = anchors, single
        if anchors.size and self.anchors.renew(anchors, found.curvature, self._sampled(anchors)):
            self._secants = Secants()
            if self.surrogate is not None:
                self.surrogate.forget()
        return found

    def _sampled(self, anchors: np.ndarray) -> Sequence[Sampled | None]:
        """Curvature of the sample at the trial points of the anchors."""
        if self.surrogate is None:
            return [None] * anchors.size
        return self.surrogate.curvature(
            self._sets[anchors],
            self._trial[anchors],
            self._trial_intercept[anchors],
            self.anchors.features,
            self.anchors.cell_of,
            self._single,
        )

    def _take(
        self, fits: np.ndarray, values: Values, tolerance: Tolerance, single: bool = False
    ) -> None:
        """Accept the trial points that lower the objective enough; shorten the others' steps."""
        columns = self.columns
        lean = self._lean(fits, values)
        objective, violation, gap = certified(
            self.problem, self.fits, fits, self._trial[fits], values, lean
        )
        best, rounding = columns.objective[fits], SINGLE if single else DOUBLE
        with np.errstate(invalid="ignore"):
            size = np.abs(best) + self._null[self._sets[fits]]
            slack = np.maximum(rounding, columns.rounding[fits]) * size
            enough = best + DECREASE * self._promised[fits] + slack
            accept = np.isfinite(objective) & ~(objective > enough)
        # the same point is as good as it was, whatever the order of sums has made of it
        stands = (self._trial[fits] == columns.coef[fits]).all(axis=1)
        stands &= (self._trial_intercept[fits] == columns.intercept[fits]).all(axis=1)
        accept |= (stands & np.isfinite(objective)) | ~np.isfinite(best)
        taken = fits[accept]
        self._learn(fits, values, accept)
        columns.coef[taken], columns.intercept[taken] = (
            self._trial[taken],
            self._trial_intercept[taken],
        )
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
            trial = self._trial[fits]
            sure = surely(columns, self._nulls, fits, trial, values, lean, tolerance)
        self._sure[taken] = sure[accept]
        moved = taken[self._promised[taken] < 0.0]
        self._damping[moved] = np.maximum(1.0, self._damping[moved] / 2.0)
        self._damping[fits[~accept]] *= 4.0
        self.anchors.drop(np.intersect1d(fits[~accept], self._asked))
        self._adopt(fits)
        unit, null = self._unit[self._sets[fits]], self._null[self._sets[fits]]
        certain = columns.violation[fits] <= tolerance.violation * unit
        certain &= columns.gap[fits] <= tolerance.gap * null
        self._settled[fits] = certain
        certain &= tolerance.single | self._sure[fits]
        columns.done[fits] = certain
        self._secants.forget(fits[certain])

    def _learn(self, fits: np.ndarray, values: Values, accept: np.ndarray) -> None:
        """Remember what the moves to accepted trial points have shown."""
        columns, at = self.columns, self.anchors.columns
        for i in np.flatnonzero(accept & (self._promised[fits] < 0.0)):
            fit = int(fits[i])
            move = self._trial[fit] - columns.coef[fit]
            if np.count_nonzero(move) > np.count_nonzero(move[at]):
                continue  # made with another working set
            intercept = self._trial_intercept[fit] - columns.intercept[fit]
            change = columns.grad[fit, at] - values.grad[i, at]
            change_intercept = columns.grad_intercept[fit] - values.grad_intercept[i]
            pair = Pair(np.append(intercept, move[at]), np.append(change_intercept, change))
            self._secants.learn(fit, pair)

    def _adopt(self, fits: np.ndarray) -> None:
        """Put columns where a neighbour on the path, or the null model, is better for them, too."""
        moved = adopt(self.columns, self._nulls, fits)
        self._damping[moved] = 1.0
        self._secants.forget(moved)

    def _lean(self, fits: np.ndarray, values: Values) -> np.ndarray:
        """What an intercept without a gradient would take from the gradients, (n, C p)."""
        lean = np.zeros_like(values.grad)
        if self.problem.fit_intercept and self.anchors.held:
            for i, fit in enumerate(fits):
                known = self.anchors.edges(int(fit))
                if known is not None:
                    lean[i, self.anchors.columns] = values.grad_intercept[i] @ follow_of(*known)
        return lean

    def _raw_trial(self, fit: int) -> tuple[np.ndarray, np.ndarray]:
        training = self.problem.sets[int(self._sets[fit])]
        coef = self._trial[fit].reshape(self.problem.n_classes, -1) / training.summary.scale
        return coef, self._trial_intercept[fit] - coef @ training.origin
