"""The models without penalised features: where paths begin, the unit of certificates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from distreg.evaluation import Evaluate
from distreg.glm.columns import request_of, values_of
from distreg.glm.problem import Problem
from distreg.glm.sample import evaluate_on, weights_of
from distreg.path import LOWEST, RESOLUTION, geometric_grid, movable
from distreg.path import LOWEST_L2 as SQUARED_LOWEST_L2
from distreg.summary import Sample, TrainingSummary

__all__ = [
    "NullModels",
    "alpha_grid",
    "evaluated_nulls",
    "kinked_nulls",
    "null_curvature",
    "null_models",
    "nulls_of",
    "sampled_nulls",
]

LOWEST_L2 = (1e-6, 1e-7)
"""Last alpha of a pure L2 penalty over its first, with few and with many rows."""


@dataclass(frozen=True)
class NullModels:
    """Null model of each training set; S sets, C classes, p features.

    Attributes
    ----------
    intercept : (S, C) array
    grad : (S, C p) array
        Negative gradient of the mean loss in the scaled coefficients.
    objective : (S,) array
        Mean loss above that of the saturated model.
    loss : (S,) array
        Mean loss.
    coef : (S, C p) array
        Scaled coefficients; only those of unpenalised features are not 0.
    """

    intercept: np.ndarray
    grad: np.ndarray
    objective: np.ndarray
    loss: np.ndarray
    coef: np.ndarray

    @property
    def unit(self) -> np.ndarray:
        """(S,) largest gradient entry: the unit of KKT violations.

        A fold that nothing can be learned from (one class alone) has the full data's, times 1e-5.
        """
        largest = np.abs(self.grad).max(axis=1, initial=0.0)
        return np.asarray(np.maximum(largest, 1e-5 * largest[0]))

    def unknown(self) -> NullModels:
        """The same without losses: for other rows, or an offset that was left out."""
        return replace(self, loss=np.full_like(self.loss, np.inf))


def null_models(problem: Problem) -> NullModels:
    """Intercept-only models of all training sets, from the summary alone.

    The residual of a constant predictor is an affine function of the target (or of the indicators
    of its classes), so its products with the features follow from those of the target.
    """
    intercept, grads, losses = [], [], []
    for training in problem.sets:
        of = training.summary
        if problem.n_classes > 1:
            eta, base, slope = _classes(problem, of.target)
        else:
            eta, base, slope = _single(problem, float(of.target[0]))
        grad = slope * of.cross
        if not problem.fit_intercept:
            grad = grad + np.outer(of.mean, base + slope * of.target)
        grad = np.where(of.usable[:, None], grad / of.scale[:, None], 0.0)
        intercept.append(eta)
        grads.append(grad.T.ravel())
        losses.append(_loss(problem, of, eta))
    return nulls_of(problem, np.array(intercept), np.array(grads), np.array(losses))


def sampled_nulls(
    problem: Problem, nulls: NullModels, sample: Sample, n_threads: int
) -> NullModels:
    """Where to begin the fit of null models that the mean does not determine.

    Their constants are the medians of a sample (the quantiles of that loss), loss and gradient
    those of the sample there.
    """
    small = problem.restricted(weights_of(sample, len(problem.role)))
    sets = np.array([s for s in range(len(problem.sets)) if small.weight(s) > 0.0], dtype=int)
    if sets.size == 0:
        return nulls
    intercept, block, loss = nulls.intercept.copy(), sample.block, problem.loss
    if problem.fit_intercept:
        level = block.y if block.offset is None else block.y - block.offset
        weight = np.ones(block.n_rows) if block.weight is None else block.weight
        for s in sets:
            rows = problem.sets[s].cells[sample.cells] & (weight > 0.0)
            share = loss.parameter if loss.name == "quantile" else 0.5
            intercept[s] = _quantile(level[rows], weight[rows], share)
    none, every = np.empty(0, dtype=np.int64), np.arange(problem.n_features)
    no_cell = np.full(len(problem.role), -1)
    at = nulls.coef[sets], intercept[sets]
    request = request_of(small, sets, *at, none, every, no_cell)
    found = values_of(small, sets, evaluate_on(sample, n_threads)(request))
    # a training set without rows in the sample is taken to be like the first
    like = np.searchsorted(sets, np.arange(len(problem.sets)))
    like = np.where(np.isin(np.arange(len(problem.sets)), sets), like, 0)
    return nulls_of(problem, intercept, found.grad[like], found.loss[like], nulls.coef)


def kinked_nulls(problem: Problem, sample: Sample, n_threads: int) -> NullModels:
    """Null models of the losses with a kink, without unpenalised features and offset.

    They are the unit of gaps and say where a grid begins, so those of the quantile loss are taken
    from a sample (all rows, when there are few). The hinge loss has the larger class at its kink,
    with slopes that balance those of the other class.
    """
    nulls = null_models(problem)
    if problem.loss.null_eta is None:
        return sampled_nulls(problem, nulls, sample, n_threads)
    if not problem.fit_intercept:
        return nulls
    grads = []
    for training in problem.sets:
        of = training.summary
        share = float(of.target[0])
        slope = 1.0 / max(share, 1.0 - share)
        grads.append(np.where(of.usable, slope * of.cross[:, 0] / of.scale, 0.0))
    intercept = np.where(nulls.intercept == 0.0, 1.0, nulls.intercept)
    return nulls_of(problem, intercept, np.array(grads), nulls.loss)


def evaluated_nulls(problem: Problem, nulls: NullModels, evaluate: Evaluate) -> NullModels:
    """The same null models with losses and gradients by `evaluate`."""
    sets = np.arange(len(problem.sets))
    none, every = np.empty(0, dtype=np.int64), np.arange(problem.n_features)
    no_cell = np.full(len(problem.role), -1)
    at = nulls.coef, nulls.intercept
    found = values_of(problem, sets, evaluate(request_of(problem, sets, *at, none, every, no_cell)))
    return nulls_of(problem, nulls.intercept, found.grad, found.loss, nulls.coef)


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Weighted quantile, one of the values."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, share * total[-1])]])


def nulls_of(
    problem: Problem,
    intercept: np.ndarray,
    grad: np.ndarray,
    loss: np.ndarray,
    coef: np.ndarray | None = None,
) -> NullModels:
    """Null models with their objectives above the saturated ones."""
    saturated = np.array([problem.saturated(s) for s in range(len(problem.sets))])
    objective = np.maximum(loss - saturated, 0.0)
    objective = np.maximum(objective, 1e-5 * objective[0])
    return NullModels(
        intercept, grad, objective, loss, np.zeros_like(grad) if coef is None else coef
    )


def _single(problem: Problem, mean: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Predictor, and residual ``base + slope * target`` there."""
    loss = problem.loss
    # where the mean does not determine the null model it is where its fit begins
    start = mean if loss.null_eta is None else loss.null_eta(mean)
    eta = float(np.asarray(start)) if problem.fit_intercept else 0.0
    residual = -loss.slope(np.array([0.0, 1.0]), np.array([eta, eta]))
    return np.array([eta]), residual[:1], float(residual[1] - residual[0])


def _classes(problem: Problem, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    n_classes = problem.n_classes
    if not problem.fit_intercept:
        return np.zeros(n_classes), np.full(n_classes, -1.0 / n_classes), 1.0
    assert problem.loss.null_eta is not None
    return np.asarray(problem.loss.null_eta(share)), -share, 1.0


def _loss(problem: Problem, of: TrainingSummary, eta: np.ndarray) -> float:
    """Mean loss of a constant predictor."""
    loss, n_classes, target = problem.loss, problem.n_classes, of.target
    if loss.name == "squared":
        return 0.5 * (of.variance + float(target[0] - eta[0]) ** 2)
    if n_classes > 1:
        values = loss.value(np.arange(n_classes, dtype=float), np.tile(eta, (n_classes, 1)))
        return float(target @ values)
    at = np.array([0.0, 1.0])
    zero, one = loss.value(at, np.full(2, eta[0]))
    # affine in the target for all losses whose null model the mean determines
    return float(zero + (one - zero) * target[0])


def alpha_grid(
    problem: Problem,
    nulls: NullModels,
    l1_ratio: float,
    n_alphas: int,
    alpha_min_ratio: float | None,
) -> np.ndarray:
    """Geometric grid from the smallest alpha without penalised features downwards.

    Parameters
    ----------
    n_alphas : int
    alpha_min_ratio : float or None
        Last alpha over the first; None: 1e-4 with more rows than features, else 1e-2 (less where
        the L2 part at the first alpha exceeds the curvature); for a pure L2 penalty 1e-7 and 1e-6
        (the squared loss: `path.LOWEST_L2`).
    """
    full, n_classes = problem.sets[0], problem.n_classes
    many_rows = full.summary.n_rows > problem.n_features
    lowest_l2 = SQUARED_LOWEST_L2 if problem.loss.name == "squared" else LOWEST_L2
    curvature = null_curvature(problem, nulls)
    # the size of a residual, for targets that have units
    unit = float(np.sqrt(2.0 * nulls.objective[0])) if problem.loss.target == "real" else 1.0
    return geometric_grid(
        movable(nulls.grad[0].reshape(n_classes, -1), full.penalty).max(axis=0),
        full.penalty,
        full.summary.usable,
        l1_ratio,
        n_alphas,
        alpha_min_ratio,
        lowest=lowest_l2[many_rows] if l1_ratio == 0.0 else LOWEST[many_rows],
        nothing=RESOLUTION * max(curvature, RESOLUTION) * unit,
        curvature=max(curvature, RESOLUTION),
        unit=unit if l1_ratio == 0.0 else 1.0,
    )


def null_curvature(problem: Problem, nulls: NullModels) -> float:
    """Curvature of the loss at the null model of the full data; its largest for a real target.

    A loss with a kink has none, and 1 stands for the slope of the kink.
    """
    if problem.loss.target == "real" or not problem.loss.smooth:
        return 1.0
    eta = nulls.intercept[:1] if problem.n_classes > 1 else nulls.intercept[:1, 0]
    return float(np.max(problem.loss.curvature(np.array([1.0]), eta)))
