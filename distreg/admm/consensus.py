"""Consensus: every part of the rows has coefficients of its own, which rounds bring together."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from distreg.admm.crossval import _batches, _strengths
from distreg.admm.dual import Strengths
from distreg.admm.frame import Frame
from distreg.admm.local import RIDGE, Reply, round_of
from distreg.admm.rows import Orders
from distreg.evaluation import evaluation
from distreg.glm.columns import Columns, certified, request_of, values_of
from distreg.glm.crossval import as_result
from distreg.glm.fit import Fitted, alpha_grids, check_target, sample_size
from distreg.glm.null import NullModels, null_curvature, null_models, sampled_nulls
from distreg.glm.problem import Fits, Problem, make_problem
from distreg.glm.start import fitted_nulls
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner, single_threaded_blas
from distreg.penalties import normalised_factor
from distreg.result import CVResult
from distreg.rounds import held_rounds
from distreg.summary import data_summary

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

CHECK_EVERY = 10
ADAPTED_ROUNDS = 60
LARGEST_CHANGE = 4.0
RHO_FACTOR = 0.5
TRACE: list = []


def cross_validate_consensus(
    dataset: Dataset, cells: Cells, options: PathOptions, runner: PassRunner
) -> CVResult:
    """Fit every fold, l1_ratio and alpha by consensus."""
    start, before = time.perf_counter(), runner.cost.pass_seconds
    loss = get_loss(options.loss, options.loss_parameter)
    with single_threaded_blas():
        summary = runner.run(
            data_summary(
                dataset, cells, 1, sample_size(dataset, 1), nonnegative=loss.target == "count",
                codes=2 if loss.target == "binary" else 0,
            ),
            dataset,
        )
        problem = make_problem(loss, 1, summary, cells, options, dataset.n_dense)
        check_target(problem)
        nulls = null_models(problem)
        unknown = loss.null_eta is None or loss.name == "squared"
        if unknown:
            nulls = sampled_nulls(problem, nulls, summary.sample, runner.n_threads)
        if unknown or dataset.has_offset or any((~t.penalty.penalised).any() for t in problem.sets):
            nulls = fitted_nulls(
                problem, nulls, lambda r: runner.run(evaluation(dataset, cells, r), dataset),
                summary.sample, runner, options, 50, False,
            )
        columns = _columns(problem, nulls, dataset, cells, options, runner)
    factor = normalised_factor(options.penalty_factor, problem.n_features)
    fitted = Fitted(problem, summary, nulls, columns, None, False, factor)
    since = start + runner.cost.pass_seconds - before
    return as_result(fitted, dataset, cells, options, runner, since, np.inf)


def _columns(
    problem: Problem, nulls: NullModels, dataset: Dataset, cells: Cells, options: PathOptions,
    runner: PassRunner,
) -> Columns:
    fits = Fits(
        len(problem.sets), np.array(options.l1_ratios), alpha_grids(problem, nulls, options)
    )
    columns = Columns(problem, fits)
    full = problem.sets[0]
    frame = Frame(full.origin, full.summary.scale, problem.n_dense, full.cells)
    end = runner.cost.n_passes + (options.max_passes or 1000)
    numbers = np.arange(fits.size).reshape(fits.shape)
    batches = _batches(fits, dataset.n_rows)
    coef = np.zeros((*fits.shape[:2], problem.n_features))
    intercept = np.repeat(nulls.intercept[:, :1], fits.shape[1], axis=1)
    for places in batches:
        chosen = numbers[:, :, places].ravel()
        sets, paths, _ = np.unravel_index(chosen, fits.shape)
        batch = _Batch(columns, nulls, frame, chosen, coef[sets, paths], intercept[sets, paths], options.tol)
        batch.run(dataset, cells, runner, end - runner.cost.n_passes)
        last = np.arange(chosen.size).reshape(*fits.shape[:2], -1)[:, :, -1]
        coef, intercept = batch.final[0][last], batch.final[1][last]
    return columns


class _Batch:
    def __init__(self, columns, nulls, frame, chosen, coef, intercept, tol):
        self.columns, self.nulls, self.frame, self.tol = columns, nulls, frame, tol
        self.problem = columns.problem
        self.chosen = chosen
        self.sets = np.unravel_index(chosen, columns.fits.shape)[0]
        self.strengths = _strengths(columns.problem, columns.fits, chosen, frame)
        self.active = np.arange(chosen.size)
        self.keep = self.active.copy()
        self.w, self.w0 = coef.copy(), intercept.copy()
        self.moved = np.zeros_like(coef)
        self.rho = np.full(chosen.size, RHO_FACTOR * null_curvature(self.problem, nulls))
        self.before = self.rho.copy()
        self.lower = np.full(chosen.size, -np.inf)
        self.final = coef.copy(), intercept.copy()

    def run(self, dataset, cells, runner, most):
        problem = self.problem
        weight = np.array([problem.weight(s) for s in range(len(problem.sets))])
        n = int(problem_rows(problem))
        with held_rounds(runner, dataset) as rounds:
            for k in range(1, most + 1):
                orders = Orders(
                    loss=problem.loss, frame=self.frame, role=problem.role,
                    sets=self.sets[self.active], unit=n / weight,
                    coef=np.ascontiguousarray(self.w.T), intercept=self.w0,
                    before=self.before, rho=self.rho, keep=self.keep, points=[],
                    radius=np.zeros(self.active.size),
                )
                reply = rounds.run(round_of(orders, cells, problem.fit_intercept))
                self.keep, self.before = np.arange(self.active.size), self.rho.copy()
                self.average(reply, n)
                if k <= ADAPTED_ROUNDS and k % 10 == 5:
                    self.adapt(reply, n)
                if k % CHECK_EVERY == 0 or k == most:
                    self.certify(dataset, cells, runner, k)
                    if not self.active.size:
                        break
        self.n_rounds = k

    def average(self, reply: Reply, n):
        near = (reply.total / reply.weight).T
        step = n / (self.rho * reply.weight)
        w = self.strengths.of(self.active).prox(near[:, :-1], step)
        self.moved, self.previous = w - self.w, self.w
        self.w, self.w0 = w, near[:, -1]

    def adapt(self, reply, n):
        e, change, u, z, square, apart, v = reply.sums
        primal = e + apart
        dual = change + reply.weight * (self.moved**2).sum(axis=1)
        size = np.maximum(square - z**2 / n, 0.0) + reply.weight * (self.w**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(np.sqrt((primal / size) / (dual / (u + v))))
        factor = np.clip(ratio, 1.0 / LARGEST_CHANGE, LARGEST_CHANGE)
        factor = np.where(np.isfinite(ratio) & (ratio > 0.0), factor, 1.0)
        self.rho = self.rho * factor

    def certify(self, dataset, cells, runner, k):
        columns, problem = self.columns, self.problem
        fits = self.chosen[self.active]
        sets = self.sets[self.active]
        coef, intercept = [], []
        for w, w0, s in zip(self.w, self.w0, sets):
            training = problem.sets[s]
            raw = w / self.frame.scale
            coef.append(raw * training.summary.scale)
            intercept.append(w0 + raw @ (training.origin - self.frame.origin))
        coef, intercept = np.array(coef), np.array(intercept)[:, None]
        none = np.empty(0, dtype=np.int64)
        request = request_of(problem, sets, coef, intercept, none, np.arange(problem.n_features),
                             np.full(len(problem.role), -1))
        values = values_of(problem, sets, runner.run(evaluation(dataset, cells, request), dataset))
        objective, violation, gap = certified(problem, columns.fits, fits, coef, values, np.zeros_like(coef))
        self.lower[self.active] = np.fmax(self.lower[self.active], objective - gap)
        better = np.flatnonzero(objective < columns.objective[fits])
        at = fits[better]
        columns.coef[at], columns.intercept[at] = coef[better], intercept[better]
        columns.objective[at], columns.loss[at] = objective[better], values.loss[better]
        columns.grad[at], columns.violation[at] = values.grad[better], violation[better]
        columns.scores.put(at, values.scores, better)
        columns.gap[fits] = np.maximum(columns.objective[fits] - self.lower[self.active], 0.0)
        unit = self.nulls.objective[sets]
        TRACE.append((k, columns.gap[fits] / unit, self.rho.copy(), np.abs(values.grad_intercept[:, 0]), objective.copy()))
        self.final[0][self.active], self.final[1][self.active] = self.w, self.w0
        stay = np.flatnonzero(columns.gap[fits] > self.tol * unit)
        self.keep, self.active = stay, self.active[stay]
        for name in ("w", "w0", "moved", "rho", "before"):
            setattr(self, name, getattr(self, name)[stay])


def problem_rows(problem):
    return problem.sets[0].summary.n_rows
