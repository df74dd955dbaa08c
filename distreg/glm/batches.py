"""A path in batches of alphas, each with a working set of features (`working`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from distreg.evaluation import Evaluate
from distreg.exceptions import ConvergenceWarning
from distreg.glm.anchors import Anchor
from distreg.glm.columns import Columns, Values, certified, objective_of
from distreg.glm.null import NullModels
from distreg.glm.pace import Tolerance
from distreg.glm.problem import Fits
from distreg.glm.working import GROWTH, WorkingLockstep, largest_set_of, scores_of

__all__ = ["Batches", "longest"]

STATE_BYTES = 64_000_000
"""Gradients of the columns of a batch."""

MOST_ALPHAS = 25
"""Alphas of a batch that begins where the one before it ended: the last of them must not be far."""


def longest(n_bytes: int, begun: bool = True) -> int:
    """Most alphas of a batch, whose gradients have `n_bytes` for one alpha."""
    alphas = max(STATE_BYTES // max(n_bytes, 1), 1)
    return alphas if begun else min(alphas, MOST_ALPHAS)


@dataclass
class _Known:
    """The last columns that were certified: one for each training set and l1_ratio."""

    columns: Columns
    anchors: list[Anchor]


class Batches:
    """Solves the path of a problem batch by batch.

    Parameters
    ----------
    columns : Columns
        All of them; gradients are not kept here.
    evaluate : callable
    nulls : NullModels
    n_threads : int
    n_sets : int
        Training sets that are fitted: 1 or all.
    begun : bool
        The columns stand at a good start; otherwise each batch begins where the last one ended.
    """

    def __init__(
        self,
        columns: Columns,
        evaluate: Evaluate,
        nulls: NullModels,
        n_threads: int,
        n_sets: int,
        begun: bool,
    ) -> None:
        self.columns, self.problem, self.fits = columns, columns.problem, columns.fits
        self._evaluate, self._nulls, self._n_threads = evaluate, nulls, n_threads
        self._n_sets, self._begun = n_sets, begun
        self._most = largest_set_of(self.problem, self.fits)
        kept = [~training.penalty.penalised for training in self.problem.sets]
        self._kept = np.any(kept, axis=0)
        width = self.problem.n_classes * self.problem.n_features
        self._length = longest(8 * width * n_sets * self.fits.shape[1], begun)

    def run(self, tolerance: Tolerance, n_passes: int, warn: bool = True) -> None:
        """Use at most `n_passes` evaluations (of each batch, when nobody is to be warned)."""
        first, n_alphas, left = 0, self.fits.shape[2], n_passes
        known = self._nothing()
        while first < n_alphas and left > 0:
            last = min(first + self._length, n_alphas)
            part, features = self._part(first, last, known)
            last = first + part.fits.shape[2]
            driver = WorkingLockstep(
                part, self._evaluate, self._nulls, self._n_threads, features, self._kept
            )
            every = np.arange(part.fits.size)
            driver.start(every)
            if known.anchors and not self._begun:
                driver.anchors.held = known.anchors
                part.objective[:] = objective_of(part, every)
                driver.step(every)
            used = driver.advance(every, tolerance, left)
            left = left - used if warn else n_passes
            finished = last - driver.postponed
            if driver.is_full:
                finished = first + _first_open(part)
            self._keep(part, first, finished)
            if finished > first:
                known = self._known(part, finished - first, driver)
            first, self._length = finished, max(min(self._length, finished - first), 1)
            if driver.is_full:
                self._tell(first, warn)
                break
        self._fill(first, known)

    def _part(self, first: int, last: int, known: _Known) -> tuple[Columns, np.ndarray]:
        """Columns of a batch where they begin, and their working set."""
        while True:
            fits = Fits(self._n_sets, self.fits.l1_ratios, self.fits.alphas[:, first:last])
            part = Columns(self.problem, fits)
            numbers = self._numbers(first, last)
            if self._begun:
                part.coef[:], part.intercept[:] = (
                    self.columns.coef[numbers], self.columns.intercept[numbers]
                )  # fmt: skip
            else:
                _begin(part, known.columns)
            inside = self._kept | _features_of(part)
            if inside.sum() <= self._most:
                break
            if last == first + 1:
                inside = self._largest(part)
                break
            last = first + (last - first) // 2
        if not self._begun:
            # as by the strong rule, but no more than the set is likely to need
            score = scores_of(part, np.arange(fits.size))
            limit = min(max(GROWTH, int(inside.sum())), self._most - int(inside.sum()))
            best = np.argsort(-np.where(inside, 0.0, score), kind="stable")[: max(limit, 0)]
            inside[best[score[best] > 1.0]] = True
        if not inside.any():
            inside[0] = True
        return part, np.flatnonzero(inside)

    def _largest(self, part: Columns) -> np.ndarray:
        """Leave only the largest coefficients, as many as a working set holds."""
        size = np.abs(part.coef).max(axis=0).reshape(self.problem.n_classes, -1).max(axis=0)
        size[self._kept] = np.inf
        inside = np.zeros(size.size, dtype=bool)
        inside[np.argsort(-size, kind="stable")[: self._most]] = True
        part.coef[:, ~np.tile(inside, self.problem.n_classes)] = 0.0
        return inside

    def _numbers(self, first: int, last: int) -> np.ndarray:
        """Numbers of the columns of some alphas among all, (n,)."""
        grid = np.arange(self.fits.size).reshape(self.fits.shape)
        return np.asarray(grid[: self._n_sets, :, first:last].ravel())

    def _nothing(self) -> _Known:
        """The null models, as the end of a batch."""
        fits = Fits(self._n_sets, self.fits.l1_ratios, self.fits.alphas[:, :1])
        columns, nulls = Columns(self.problem, fits), self._nulls
        sets = np.unravel_index(np.arange(fits.size), fits.shape)[0]
        columns.coef[:], columns.intercept[:] = nulls.coef[sets], nulls.intercept[sets]
        columns.grad[:], columns.loss[:] = nulls.grad[sets], nulls.loss[sets]
        return _Known(columns, [])

    def _known(self, part: Columns, length: int, driver: WorkingLockstep) -> _Known:
        """The columns of alpha number `length - 1` of a batch, and its curvature."""
        fits = Fits(self._n_sets, self.fits.l1_ratios, part.fits.alphas[:, length - 1 : length])
        columns = Columns(self.problem, fits)
        ends = np.arange(part.fits.size).reshape(part.fits.shape)[:, :, length - 1].ravel()
        _copy(columns, np.arange(fits.size), part, ends)
        held = [replace(a, index=a.index - length) for a in driver.anchors.held]
        return _Known(columns, [a for a in held if a.s == 0 and a.index < 0])

    def _keep(self, part: Columns, first: int, last: int) -> None:
        """Take over what a batch has found."""
        count, shape = last - first, part.fits.shape
        chosen = np.arange(part.fits.size).reshape(shape)[:, :, :count].ravel()
        numbers = self._numbers(first, last)
        for name in ("coef", "intercept", "objective", "loss", "violation", "gap", "done"):
            getattr(self.columns, name)[numbers] = getattr(part, name)[chosen]
        self.columns.scores.put(numbers, part.scores, chosen)

    def _tell(self, first: int, warn: bool) -> None:
        if warn:
            ratio = float((self.fits.alphas[:, first] / self.fits.alphas[:, 0]).max())
            warnings.warn(
                f"the models from alpha number {first + 1} on (alpha / largest alpha "
                f"{ratio:.2g}) have more than {self._most:,} active features, of which memory "
                "holds the curvature: they have not converged. Use a larger alpha_min_ratio, or a "
                "larger l1_ratio.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _fill(self, first: int, known: _Known) -> None:
        """Columns that were not reached stand where the last certified one does."""
        end, problem = known.columns, self.problem
        if not np.isfinite(end.scores.train).all():
            # no alpha at all was certified: the null models, without scores
            for index in range(first, self.fits.shape[2]):
                numbers = self._numbers(index, index + 1)
                self.columns.coef[numbers] = end.coef
                self.columns.intercept[numbers] = end.intercept
            return
        for index in range(first, self.fits.shape[2]):
            numbers = self._numbers(index, index + 1)
            _copy(self.columns, numbers, end, np.arange(end.fits.size), grad=False)
            values = Values(
                end.loss, end.grad, end.grad_intercept, np.ones_like(end.grad_intercept), end.scores
            )
            found = certified(
                problem, self.fits, numbers, end.coef, values, np.zeros_like(end.grad)
            )
            self.columns.objective[numbers], self.columns.violation[numbers] = found[:2]
            self.columns.gap[numbers] = np.inf
            self.columns.done[numbers] = False


def _begin(part: Columns, end: Columns) -> None:
    """Put all columns of a batch where the last ones of their paths stand."""
    n_alphas = part.fits.shape[2]
    _copy(part, np.arange(part.fits.size), end, np.repeat(np.arange(end.fits.size), n_alphas))


def _copy(
    to: Columns, numbers: np.ndarray, other: Columns, chosen: np.ndarray, grad: bool = True
) -> None:
    """Put columns where others of the same training sets stand."""
    names = ("coef", "intercept", "loss", *(("grad", "grad_intercept") if grad else ()))
    for name in names:
        getattr(to, name)[numbers] = getattr(other, name)[chosen]
    to.scores.put(numbers, other.scores, chosen)


def _features_of(columns: Columns) -> np.ndarray:
    """Features with a coefficient in any column, (p,) bool."""
    used = columns.coef.any(axis=0).reshape(columns.problem.n_classes, -1)
    return np.asarray(used.any(axis=0))


def _first_open(part: Columns) -> int:
    """Alphas at the beginning of a batch of which all columns are certified."""
    done = part.done.reshape(part.fits.shape).all(axis=(0, 1))
    return int(np.argmin(np.append(done, False)))
