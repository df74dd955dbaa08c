"""State of the columns: where each stands, what an evaluation said there, what is certified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg import penalties
from distreg.certificates import fenchel_gap
from distreg.evaluation import Evaluation, Request
from distreg.glm.problem import Fits, Problem
from distreg.kernels.evaluator import Points
from distreg.kernels.rows import HELD_OUT, TEST, RowSums

__all__ = [
    "Columns",
    "Scores",
    "Values",
    "certified",
    "objective_of",
    "request_of",
    "values_in",
    "values_of",
]

RARE = 0.01
"""Squared mean, over the variance, of a feature that few rows have."""


@dataclass
class Scores:
    """What a pass says of each fit besides its gradient, (F,) arrays (`RowSums`)."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray
    chi2: np.ndarray
    correct: np.ndarray
    brier: np.ndarray
    absolute: np.ndarray
    square: np.ndarray

    NAMES = ("train", "held_out", "test", "chi2", "correct", "brier", "absolute", "square")

    @classmethod
    def unknown(cls, n_fits: int) -> Scores:
        """Nothing known yet."""
        return cls(*(np.full(n_fits, np.nan) for _ in cls.NAMES))

    @classmethod
    def of(cls, sums: RowSums) -> Scores:
        """The sums of an evaluation."""
        return cls(*(getattr(sums, name) for name in cls.NAMES))

    def put(self, fits: np.ndarray, other: Scores, chosen: np.ndarray) -> None:
        """Take over the entries `chosen` of `other` as those of `fits`."""
        for name in self.NAMES:
            getattr(self, name)[fits] = getattr(other, name)[chosen]


class Columns:
    """All fits: the best point of each, and what is known there. F fits, C classes, p features.

    Attributes
    ----------
    coef : (F, C p) array
        Scaled coefficients, class by class.
    intercept : (F, C) array
        Intercepts about the origin of the training set.
    objective : (F,) array
        Infinite before the first evaluation.
    rounding : (F,) array
        Its error at most, over the sum of its size and that of the null model.
    grad : (F, C p) array
        Negative gradient of the mean loss in the scaled coefficients.
    grad_intercept : (F, C) array
    bend : (F, C p) array or None
        Curvature along single scaled coefficients, of features that few rows have; else NaN.
        None before an evaluation, and where none gives it.
    violation, gap : (F,) arrays
        Certificates.
    loss : (F,) array
        Mean training loss.
    done : (F,) bool array
        Certified.
    """

    def __init__(self, problem: Problem, fits: Fits) -> None:
        n, width = fits.size, problem.n_classes * problem.n_features
        self.problem, self.fits = problem, fits
        self.coef, self.grad = np.zeros((n, width)), np.zeros((n, width))
        self.intercept = np.zeros((n, problem.n_classes))
        self.grad_intercept = np.zeros_like(self.intercept)
        self.bend: np.ndarray | None = None
        self.objective, self.loss = np.full(n, np.inf), np.full(n, np.inf)
        self.rounding = np.zeros(n)
        self.violation, self.gap = np.full(n, np.inf), np.full(n, np.inf)
        self.done = np.zeros(n, dtype=bool)
        self.scores = Scores.unknown(n)

    def raw(self, fit: int) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (C, p) on the scale of the data, and intercepts (C,)."""
        training = self.problem.sets[self.fits.of(fit)[0]]
        scaled = self.coef[fit].reshape(self.problem.n_classes, -1)
        coef = training.penalty.bounded(scaled / training.summary.scale, scaled)
        return coef, self.intercept[fit] - coef @ training.origin

    def copy(self, fit: int, other: int) -> None:
        """Put a fit where another one of its training set stands; all but the penalty is known."""
        for name in ("coef", "intercept", "grad", "grad_intercept", "loss", "rounding"):
            values = getattr(self, name)
            values[fit] = values[other]
        if self.bend is not None:
            self.bend[fit] = self.bend[other]
        at = np.array([fit])
        self.scores.put(at, self.scores, np.array([other]))
        self.violation[fit] = self.gap[fit] = np.inf

    def move_to(self, fit: int, other: int) -> None:
        """Put a fit where another one (of any training set) stands."""
        coef, intercept = self.raw(other)
        self.put_raw(fit, coef, intercept)

    def put_raw(self, fit: int, coef: np.ndarray, intercept: np.ndarray) -> None:
        """Put a fit at coefficients and intercepts on the scale of the data."""
        training = self.problem.sets[self.fits.of(fit)[0]]
        usable = training.summary.usable
        scaled = np.where(usable, coef * training.summary.scale, 0.0)
        box = training.penalty.box
        self.coef[fit] = (scaled if box is None else box.clip(scaled)).ravel()
        if self.problem.fit_intercept:
            self.intercept[fit] = intercept + coef @ training.origin


def request_of(
    problem: Problem,
    sets: np.ndarray,
    coef: np.ndarray,
    intercept: np.ndarray,
    anchors: np.ndarray,
    features: np.ndarray,
    cell_of: np.ndarray,
    by_cell: bool = False,
    single: bool = False,
) -> Request:
    """Ask for an evaluation of points (n, C p), (n, C); their training sets `sets` ascend.

    Products are of single precision if `single`, where `Points` can have them so.
    """
    n_classes, centre = problem.n_classes, problem.centre
    single = single and problem.n_dense == problem.n_features and n_classes == 1
    role = problem.role[:, : sets[-1] + 1] if by_cell else problem.role
    bounds = np.searchsorted(sets, np.arange(role.shape[1] + 1))
    scale = np.array([training.summary.scale for training in problem.sets])[sets][:, None, :]
    origin = np.array([training.origin for training in problem.sets])[sets][:, None, :]
    mean = np.array([training.summary.mean for training in problem.sets])[sets][:, None, :]
    raw = coef.reshape(len(sets), n_classes, -1) / scale
    shifted = intercept + ((centre - origin) * raw).sum(axis=2)
    # a missing value is `centre` in the pass and the training set's mean in the model
    filled = (raw * (mean - centre))[:, :, problem.missing]
    both = np.concatenate([raw, filled], axis=2)
    points = Points(
        loss=problem.loss.code,
        parameter=problem.loss.parameter,
        n_classes=n_classes,
        centre=centre[: problem.n_dense],
        missing=problem.missing,
        coef=np.ascontiguousarray(both.reshape(len(sets) * n_classes, -1).T),
        intercept=shifted.ravel(),
        bounds=bounds.astype(np.int64),
        role=np.ascontiguousarray(role),
        by_cell=by_cell,
        anchors=np.asarray(anchors, dtype=np.int64),
        # a working set holds few of all the features that a pass goes through
        rare=_any_rare(problem)
        if features.size == problem.n_features
        else np.empty(0, dtype=np.int64),
        scale=problem.sets[0].summary.scale if single else None,
    )
    return Request(points, features, cell_of)


@dataclass(frozen=True)
class Values:
    """What an evaluation says of n fits: mean training loss (n,), gradients and scores."""

    loss: np.ndarray
    grad: np.ndarray
    grad_intercept: np.ndarray
    curvature: np.ndarray
    scores: Scores
    bend: np.ndarray | None = None

    def of(self, chosen: np.ndarray) -> Values:
        """Values of some of the fits, those of a mask."""
        parts = (getattr(self.scores, name)[chosen] for name in Scores.NAMES)
        return Values(
            self.loss[chosen],
            self.grad[chosen],
            self.grad_intercept[chosen],
            self.curvature[chosen],
            Scores(*parts),
            None if self.bend is None else self.bend[chosen],
        )


def values_of(problem: Problem, sets: np.ndarray, found: Evaluation) -> Values:
    """Values of fits of the training sets `sets` (n,), ascending."""
    n_classes, sums, n = problem.n_classes, found.sums[0], len(sets)
    width = n_classes * problem.n_features
    grad, grad_intercept = np.empty((n, width)), np.empty((n, n_classes))
    bend = np.full((n, width), np.nan) if found.bend.size else None
    weight = np.array([problem.weight(s) for s in range(len(problem.sets))])
    for s in np.unique(sets):
        of = np.flatnonzero(sets == s)
        columns = slice(of[0] * n_classes, (of[-1] + 1) * n_classes)
        part = found.grad[0][:, columns], sums.residual[columns]
        grad[of], grad_intercept[of] = gradient_of(problem, int(s), *part, float(weight[s]))
        if bend is not None:
            bend[of] = bend_of(
                problem, int(s), found.bend[0][:, columns], sums.curvature[columns], weight[s]
            )
    curvature = sums.curvature.reshape(n, n_classes) / weight[sets, None]
    return Values(sums.train / weight[sets], grad, grad_intercept, curvature, Scores.of(sums), bend)


def values_in(problem: Problem, s: int, found: Evaluation) -> Values:
    """Values for training set `s` of points that were evaluated cell by cell."""
    training, weight = problem.sets[s], problem.weight(s)
    n_classes, role = problem.n_classes, problem.role[:, s]

    def total(name: str, mask: np.ndarray) -> np.ndarray:
        parts = [getattr(found.sums[cell], name) for cell in np.flatnonzero(mask)]
        return np.sum(parts, axis=0) if parts else np.zeros_like(getattr(found.sums[0], name))

    residual = total("residual", training.cells)
    grad, grad_intercept = gradient_of(
        problem, s, found.grad[training.cells].sum(axis=0), residual, weight
    )
    train, test = total("train", training.cells), role == TEST
    scores = Scores(
        train=train,
        held_out=total("train", role == HELD_OUT),
        test=total("test", test),
        chi2=total("chi2", training.cells),
        correct=total("correct", test),
        brier=total("brier", test),
        absolute=total("absolute", test),
        square=total("square", test),
    )
    curvature = total("curvature", training.cells).reshape(-1, n_classes) / weight
    bend = found.bend[training.cells].sum(axis=0)
    bent = bend_of(problem, s, bend, curvature.ravel() * weight, weight) if bend.size else None
    return Values(train / weight, grad, grad_intercept, curvature, scores, bent)


def objective_of(columns: Columns, fits: np.ndarray) -> np.ndarray:
    """Objective (n,) of fits where they stand, by the losses that are known there."""
    lasso, ridge = columns.fits.strengths(columns.problem, fits)
    return np.asarray(columns.loss[fits] + penalties.value(columns.coef[fits], lasso, ridge))


def certified(
    problem: Problem,
    fits: Fits,
    chosen: np.ndarray,
    coef: np.ndarray,
    values: Values,
    lean: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objective, KKT violation and duality gap of the fits `chosen` at `coef` (n, C p).

    The intercepts should have no gradient. What they have is moved into a change of the residuals
    in proportion to their curvature, as a step of the intercepts would do: `lean` (n, C p) is what
    that takes from the gradient, and half the decrease of such a step what it adds to the gap (we
    count twice that).
    """
    lasso, ridge = fits.strengths(problem, chosen)
    sets = np.unravel_index(chosen, fits.shape)[0]
    grad = values.grad - lean
    box = fits.box(problem, chosen)
    violation = penalties.distance(coef, grad, lasso, ridge, box).max(axis=1, initial=0.0)
    objective = values.loss + penalties.value(coef, lasso, ridge)
    weight = np.array([problem.weight(s) for s in sets])
    saturated = np.array([problem.saturated(s) for s in sets])
    chi2 = values.scores.chi2 / weight
    # rows beyond delta: delta (|e| - delta), the loss less half the squared slope
    excess = np.maximum(values.loss - 0.5 * chi2, 0.0) if problem.loss.name == "huber" else 0.0
    gap = fenchel_gap(coef, grad, lasso, ridge, chi2, values.loss - saturated, excess, box)
    if problem.fit_intercept:
        size = np.abs(values.grad_intercept)
        violation = np.maximum(violation, size.max(axis=1))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            drop = np.where(size > 0, size * (size / values.curvature), 0.0)
        gap = gap + problem.n_classes * drop.sum(axis=1)
    return objective, violation, gap


def gradient_of(
    problem: Problem, s: int, grad: np.ndarray, residual: np.ndarray, weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """Negative gradient of training set `s`: coefficients (n, C p) and intercepts (n, C).

    Parameters
    ----------
    grad : (p + m, n C) array
        As evaluated.
    residual : (n C,) array
    weight : float
    """
    training, p = problem.sets[s], problem.n_features
    centre, mean = problem.centre, training.summary.mean
    main = grad[:p].copy()
    main[problem.missing] += (mean - centre)[problem.missing, None] * grad[p:]
    main += np.outer(centre - training.origin, residual)
    main *= (training.summary.usable / training.summary.scale / weight)[:, None]
    n_classes = problem.n_classes
    coef = np.ascontiguousarray(main.T).reshape(-1, n_classes * p)
    return coef, (residual / weight).reshape(-1, n_classes)


def bend_of(
    problem: Problem, s: int, bend: np.ndarray, curvature: np.ndarray, weight: float
) -> np.ndarray:
    """Curvature of training set `s` along single coefficients (n, C p); NaN if not a rare feature.

    Parameters
    ----------
    bend : (b, n C) array
        As evaluated, about 0. Where the mean is small, so is what it has in common with the rows
        that have the feature, but not with all others.
    curvature : (n C,) array
        Sums of ``weight f''``.
    weight : float
    """
    summary = problem.sets[s].summary
    out = np.full((problem.n_features, bend.shape[1]), np.nan)
    known = problem.n_dense + _any_rare(problem)
    here = _rare(problem, s)[known]
    at = known[here]
    square = np.multiply.outer(problem.sets[s].origin[at] ** 2, curvature)
    out[at] = (bend[here] + square) / (summary.scale[at] ** 2 * weight)[:, None]
    n_classes = problem.n_classes
    return np.ascontiguousarray(out.T).reshape(-1, n_classes * problem.n_features)


def _rare(problem: Problem, s: int) -> np.ndarray:
    """Sparse features that few rows of a training set have, (p,) bool."""
    summary = problem.sets[s].summary
    rare = summary.usable & (summary.mean**2 <= RARE * summary.sd**2)
    rare[: problem.n_dense] = False
    return np.asarray(rare)


def _any_rare(problem: Problem) -> np.ndarray:
    """Numbers, among the sparse features, of those that are rare in any training set."""
    rare = np.any([_rare(problem, s) for s in range(len(problem.sets))], axis=0)
    return np.asarray(np.flatnonzero(rare[problem.n_dense :]))
