"""Trials: where each column is evaluated next, and the steps that lead there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distreg.glm.anchors import Anchors, Sampled
from distreg.glm.columns import Columns, Values
from distreg.glm.null import NullModels, null_curvature
from distreg.glm.secant import Pair, Secants
from distreg.glm.step import LONGEST_STEP, Point, Step, farthest_of, step_of
from distreg.glm.surrogate import Surrogate, change_of
from distreg.threads import mapped

__all__ = ["Trials"]

INEXACT = 1e-2
"""Share of the violation that the minimum of the model may leave: the next pass corrects it."""


class Trials:
    """Trial points of all columns. F fits, C classes, p features.

    Parameters
    ----------
    columns : Columns
        The best points so far.
    nulls : NullModels
    anchors : Anchors
        The curvature in use.
    n_threads : int
    surrogate : Surrogate or None
        Corrects the steps.

    Attributes
    ----------
    coef, intercept : (F, C p), (F, C) arrays
    promised : (F,) array
        Change of the objective that the step to the trial point has promised, at most 0.
    damping : (F,) array
        1, or more after refused steps.
    inexact : (F,) array
        Share of the violation that the minimum of the model may leave.
    """

    def __init__(
        self,
        columns: Columns,
        nulls: NullModels,
        anchors: Anchors,
        n_threads: int,
        surrogate: Surrogate | None,
    ) -> None:
        self._columns, self.problem, self.fits = columns, columns.problem, columns.fits
        self._anchors, self._n_threads, self.surrogate = anchors, n_threads, surrogate
        n = columns.fits.size
        self.coef, self.intercept = columns.coef.copy(), columns.intercept.copy()
        self.promised, self.damping = np.zeros(n), np.ones(n)
        self.inexact = np.full(n, INEXACT)
        self._secants = Secants()
        # a loss in units of y has curvature up to 1, though no row of the null model may have any
        self._real = self.problem.loss.target == "real"
        self._size = 1.0 if self._real else null_curvature(self.problem, nulls)
        self._sets = np.unravel_index(np.arange(n), self.fits.shape)[0]

    def stand(self, fits: np.ndarray) -> None:
        """Put trial points where the columns stand."""
        self.coef[fits] = self._columns.coef[fits]
        self.intercept[fits] = self._columns.intercept[fits]
        self.promised[fits] = 0.0

    def stands(self, fits: np.ndarray) -> np.ndarray:
        """Whether trial points are where the columns stand, (n,) bool."""
        columns = self._columns
        same = (self.coef[fits] == columns.coef[fits]).all(axis=1)
        return np.asarray(same & (self.intercept[fits] == columns.intercept[fits]).all(axis=1))

    def forget(self, fits: np.ndarray) -> None:
        """Columns begin anew."""
        self._secants.forget(fits)
        self.damping[fits] = 1.0

    def forget_moves(self) -> None:
        """The curvature is of other features from now on."""
        self._secants = Secants()
        if self.surrogate is not None:
            self.surrogate.forget()

    def raw(self, fit: int) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (C, p) on the scale of the data, and intercepts (C,)."""
        training = self.problem.sets[int(self._sets[fit])]
        coef = self.coef[fit].reshape(self.problem.n_classes, -1) / training.summary.scale
        return coef, self.intercept[fit] - coef @ training.origin

    def step(self, fits: np.ndarray, single: bool) -> None:
        """Make a trial point for each fit, from its best point.

        What the sample says is of single precision if `single`.
        """
        self.stand(fits)
        for s in np.unique(self._sets[fits]):
            own = fits[self._sets[fits] == s]
            self._anchors.prepare(own)
            strengths = self.fits.strengths(self.problem, own)
            list(mapped(self._n_threads, self._step, own.tolist(), *strengths))
        if self.surrogate is not None:
            self._correct(self.surrogate, fits, single)

    def sampled(self, fits: np.ndarray, single: bool) -> Sequence[Sampled | None]:
        """Curvature of the sample at trial points."""
        if self.surrogate is None:
            return [None] * fits.size
        features, cell_of = self._anchors.features, self._anchors.cell_of
        at = self._sets[fits], self.coef[fits], self.intercept[fits]
        return self.surrogate.curvature(*at, features, cell_of, single)

    def learn(self, fits: np.ndarray, values: Values, accept: np.ndarray) -> None:
        """Remember what the moves to accepted trial points have shown."""
        columns, at = self._columns, self._anchors.columns
        for i in np.flatnonzero(accept & (self.promised[fits] < 0.0)):
            fit = int(fits[i])
            move = self.coef[fit] - columns.coef[fit]
            if np.count_nonzero(move) > np.count_nonzero(move[at]):
                continue  # made with another working set
            intercept = self.intercept[fit] - columns.intercept[fit]
            change = columns.grad[fit, at] - values.grad[i, at]
            change_intercept = columns.grad_intercept[fit] - values.grad_intercept[i]
            pair = Pair(np.append(intercept, move[at]), np.append(change_intercept, change))
            self._secants.learn(fit, pair)

    def _step(self, fit: int, lasso: np.ndarray, ridge: np.ndarray) -> None:
        columns = self._columns
        found = self._step_from(fit, columns.grad[fit], columns.grad_intercept[fit], lasso, ridge)
        if found is not None:
            self.promised[fit] = found.promised

    def _step_from(
        self,
        fit: int,
        grad: np.ndarray,
        grad_intercept: np.ndarray,
        lasso: np.ndarray,
        ridge: np.ndarray,
    ) -> Step | None:
        """Move a fit's trial point, where the loss has these negative gradients."""
        columns, at = self._columns, self._anchors.columns
        model = self._anchors.between(fit)
        if model is None:
            return None
        s = int(self._sets[fit])
        summary, box = self.problem.sets[s].summary, self.problem.box(s)
        bend = None if columns.bend is None else columns.bend[fit]
        point = Point(
            coef=self.coef[fit, at],
            grad=grad[at],
            grad_intercept=grad_intercept,
            lasso=lasso[at],
            ridge=ridge[at],
            usable=np.tile(summary.usable, self.problem.n_classes)[at],
            box=None if box is None else box.only(at),
            bend=None if bend is None else bend[at],
            farthest=None if bend is None or self._real else farthest_of(summary, bend)[at],
        )
        damping, intercept = float(self.damping[fit]), self.problem.fit_intercept
        # without an exponential or a margin there is no length beyond which the model is wrong
        longest = np.inf if self._real else LONGEST_STEP
        # where the curvature is its own, that of a former move is none the better
        pairs = [] if self._anchors.is_at(fit) else self._secants.of(fit)
        inexact = float(self.inexact[fit])
        found = step_of(model, point, pairs, self._size, damping, intercept, inexact, longest)
        if found is not None:
            self.coef[fit, at] = found.coef
            self.intercept[fit] += found.intercept_move
        return found

    def _correct(self, surrogate: Surrogate, fits: np.ndarray, single: bool) -> None:
        """Step again from the trial points, by what the sample says of the gradients there."""
        columns, at = self._columns, self._anchors.columns
        n_classes = self.problem.n_classes
        inside = np.arange(n_classes), n_classes + np.arange(columns.coef.shape[1])[at]
        known_of = np.concatenate(inside)
        moves = (self.promised[fits] < 0.0) & (self.damping[fits] == 1.0)
        fits = fits[moves]
        if fits.size == 0:
            return
        sets = self._sets[fits]
        # both in one evaluation of the sample
        coef, intercept = (
            np.stack([best[fits], trial[fits]], axis=1).reshape(2 * fits.size, -1)
            for best, trial in ((columns.coef, self.coef), (columns.intercept, self.intercept))
        )
        both = surrogate.gradients(np.repeat(sets, 2), coef, intercept, single)[:, known_of]
        here, there = both[::2], both[1::2]

        def step(i: int, lasso: np.ndarray, ridge: np.ndarray) -> None:
            fit = int(fits[i])
            model, sampled = (self._anchors.between(fit, of_sample) for of_sample in (False, True))
            if model is None or sampled is None:
                return
            point = np.append(columns.intercept[fit], columns.coef[fit, at])
            pairs = surrogate.pairs(fit, self._secants.of(fit), point, here[i])
            move = np.append(self.intercept[fit], self.coef[fit, at]) - point
            own = self._anchors.is_at(fit)
            change = change_of(model, sampled, pairs, own, move, here[i] - there[i])
            grad = columns.grad[fit].copy()
            grad[at] -= change[n_classes:]
            grad_intercept = columns.grad_intercept[fit] - change[:n_classes]
            self._step_from(fit, grad, grad_intercept, lasso, ridge)

        known = np.isfinite(here).all(axis=1) & np.isfinite(there).all(axis=1)
        for s in np.unique(sets[known]):
            chosen = np.flatnonzero((sets == s) & known)
            self._anchors.prepare(fits[chosen], sampled=True)
            strengths = self.fits.strengths(self.problem, fits[chosen])
            list(mapped(self._n_threads, step, chosen.tolist(), *strengths))
