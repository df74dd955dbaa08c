"""What all estimators share: keywords, one fit on the engine, fitted attributes."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator

import distreg
from distreg.cluster import active_client
from distreg.cv import cross_validate
from distreg.data.columns import Columns
from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, make_cells
from distreg.estimators import checks
from distreg.estimators.convergence import status_of, warn_of
from distreg.estimators.inputs import Given, as_dataset, target_name
from distreg.exceptions import InputError
from distreg.model import LinearModel
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

__all__ = ["Estimator", "Fitted"]

MISSING = ("error", "mean", "drop")


@dataclass(frozen=True)
class Fitted:
    """One fit: the engine's result and what it was made of."""

    result: CVResult
    dataset: Dataset
    cells: Cells
    target: str | None


class Estimator(BaseEstimator):
    """Linear model: parameters, fit, fitted attributes. Subclasses name the loss and predict."""

    fit_intercept: bool
    standardize: bool
    penalty_factor: Any
    positive: bool
    lower_bounds: Any
    upper_bounds: Any
    missing: str
    solver: str
    tol: float
    max_passes: int | None
    verbose: int | bool

    coef_: np.ndarray
    intercept_: Any

    _SOLVERS: tuple[str, ...] = ("auto", "newton", "admm", "consensus")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing in ("mean", "drop")
        return tags

    def _loss(self, dataset: Dataset) -> str:
        """Name of the loss."""
        raise NotImplementedError

    def _loss_parameter(self) -> float | None:
        """Parameter of the loss, None if it has none."""
        return None

    def _dataset(self, given: Given, fold_key: Any) -> Dataset:
        """Data set of what `fit` was given."""
        return as_dataset(self, given, self.missing, fold_key)

    def _weighted(self, dataset: Dataset, runner: PassRunner) -> Dataset:
        """Data set with all weights."""
        return dataset

    def _check_common(self) -> None:
        """Check the keywords that all estimators have."""
        checks.flag("fit_intercept", self.fit_intercept)
        checks.flag("standardize", self.standardize)
        checks.choice("missing", self.missing, MISSING)
        checks.choice("solver", self.solver, self._SOLVERS)
        checks.real("tol", self.tol)
        if self.max_passes is not None:
            checks.integer("max_passes", self.max_passes, 1)
        if not isinstance(self.verbose, bool):
            checks.integer("verbose", self.verbose, 0)
        if self.penalty_factor is not None:
            for item in np.asarray(self.penalty_factor, dtype=object).ravel():
                checks.real("penalty_factor", item)
        checks.flag("positive", self.positive)
        if self.positive and self.lower_bounds is not None:
            raise InputError(
                "positive=True is short for lower_bounds=0: give one of positive and lower_bounds"
            )
        for name in ("lower_bounds", "upper_bounds"):
            checks.bounds(name, getattr(self, name))

    def _check_compatible(self) -> None:
        """Check the keywords that only some classes have."""

    def _run(
        self,
        given: Given,
        options: dict[str, Any],
        cells_of: Any = None,
        fold_key: Any = None,
        n_threads: int | None = None,
    ) -> Fitted:
        """Read the data and solve everything. Called by what `fit` calls (for `warn_of`)."""
        dataset = self._dataset(given, fold_key)
        cells = make_cells(None, dataset.n_rows) if cells_of is None else cells_of(dataset)
        runner = PassRunner(
            client=active_client(),
            n_threads=n_threads,
            progress=_Progress() if self.verbose else None,
        )
        dataset = self._weighted(dataset, runner)
        shared = PathOptions(
            penalty_factor=None
            if self.penalty_factor is None
            else np.asarray(self.penalty_factor, dtype=np.float64),
            lower_bounds=0.0 if self.positive else checks.bounds("lower_bounds", self.lower_bounds),
            upper_bounds=checks.bounds("upper_bounds", self.upper_bounds),
            standardize=bool(self.standardize),
            fit_intercept=bool(self.fit_intercept),
            # the engine wants a positive one; nothing is certified below rounding error anyway
            tol=max(float(self.tol), np.finfo(np.float64).tiny),
            loss=self._loss(dataset),
            loss_parameter=self._loss_parameter(),
            max_passes=self.max_passes,
            solver=self.solver,
        )
        result = cross_validate(dataset, cells, replace(shared, **options), runner)
        if not result.converged:
            warn_of(result, float(self.tol))
        return Fitted(result, dataset, cells, target_name(given.y))

    def _store(self, fitted: Fitted, path: int, index: int, selection: str | None = None) -> Self:
        """Set the attributes of the chosen fit."""
        result, chosen = fitted.result, fitted.result.paths[path]
        self._store_coef(chosen.coef[index].copy(), chosen.intercept[index])
        self.alpha_ = float(chosen.alphas[index])
        self.l1_ratio_ = float(chosen.l1_ratio)
        self.gamma_ = float(chosen.gamma)
        self.dual_gap_ = float(chosen.dual_gap[index])
        self.kkt_violation_ = float(chosen.kkt_violation[index])
        self.n_passes_ = int(result.cost.n_passes)
        sweeps = chosen.n_epochs[index] if result.solver == "gram" else self.n_passes_
        self.n_iter_ = max(int(sweeps), 1)
        self.status_ = status_of(result)
        self.model_ = self._model(fitted, path, index, selection)
        return self

    def _store_coef(self, coef: np.ndarray, intercept: Any) -> None:
        """Set `coef_` and `intercept_`."""
        self.coef_ = coef
        self.intercept_ = float(intercept)

    def _model(self, fitted: Fitted, path: int, index: int, selection: str | None) -> LinearModel:
        """The chosen fit as a model."""
        result, dataset, chosen = fitted.result, fitted.dataset, fitted.result.paths[path]
        columns, fill = dataset.columns, result.fill_values
        if columns is None and dataset.missing == "drop":
            # tells the model that a row with a missing value has no prediction
            columns = Columns(dataset.feature_names, (), {}, missing="drop")
        if columns is not None and fill is not None:
            columns = replace(columns, fill=tuple(float(v) for v in fill[: columns.n_dense]))
        return LinearModel(
            coef=chosen.coef[index],
            intercept=chosen.intercept[index],
            feature_names=dataset.feature_names,
            columns=columns,
            loss=result.loss,
            loss_parameter=result.loss_parameter,
            alpha=self.alpha_,
            l1_ratio=self.l1_ratio_,
            target=fitted.target,
            fill=None if columns is not None or fill is None else fill,
            classes=result.classes,
            info={
                "estimator": type(self).__name__,
                "n_samples": int(result.n_samples),
                "dual_gap": self.dual_gap_,
                "kkt_violation": self.kkt_violation_,
                "objective": float(chosen.objective[index]),
                "null_objective": float(chosen.null_objective),
                "tol": float(self.tol),
                "standardize": bool(self.standardize),
                "cv": fitted.cells.description,
                "selection": selection,
                "n_passes": self.n_passes_,
                "versions": _versions(),
            },
        )


class _Progress:
    """Writes what is going on to standard error, one line a stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done == total:
            seconds = time.perf_counter() - self._start
            sys.stderr.write(f"distreg: {stage}, {total} of {total} done, {seconds:.2f} s\n")


def _versions() -> dict[str, str]:
    return {
        "distreg": distreg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
