"""What all estimators share: one fit on the engine, predictions, scores."""

from __future__ import annotations

import platform
import sys
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

import distreg
from distreg import exceptions
from distreg.cluster import active_client
from distreg.cv import cross_validate
from distreg.result import CVResult
from distreg.data.columns import Columns
from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, make_cells
from distreg.estimators import checks
from distreg.estimators.inputs import as_dataset, as_features, is_dask, target_name
from distreg.estimators.scoring import lazy_r2
from distreg.model import LinearModel
from distreg.options import PathOptions
from distreg.passes import PassRunner

__all__ = ["BaseLinear", "ConvergenceWarning", "Fitted"]

SOLVERS = ("auto", "gram")
MISSING = ("error", "mean", "drop")


class ConvergenceWarning(exceptions.ConvergenceWarning, SklearnConvergenceWarning):
    """Some answer's certificate is above its tolerance; scikit-learn's warning too."""


@dataclass(frozen=True)
class Fitted:
    """One fit: the engine's result and what it was made of."""

    result: CVResult
    dataset: Dataset
    cells: Cells
    target: str | None


class BaseLinear(RegressorMixin, BaseEstimator):
    """Linear model with squared loss: parameters, fit, predictions."""

    fit_intercept: bool
    standardize: bool
    penalty_factor: Any
    missing: str
    solver: str
    tol: float
    max_passes: int | None
    verbose: int | bool

    def predict(self, X: Any) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples,) array
            A lazy Dask array for a Dask collection, else a NumPy array.
        """
        check_is_fitted(self)
        return self.model_.predict(as_features(self, X))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R2 of the predictions.

        Parameters
        ----------
        X : as in `predict`
        y : (n_samples,) array, Series, or Dask collection
        sample_weight : (n_samples,) array or None

        Returns
        -------
        float
            At most 1; 0 for a model that predicts the mean.
        """
        fitted = self.predict(X)
        if is_dask(fitted):
            return lazy_r2(fitted, y, sample_weight)
        return float(r2_score(y, fitted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing in ("mean", "drop")
        return tags

    def _check_common(self) -> None:
        """Check the keywords that all estimators have."""
        checks.flag("fit_intercept", self.fit_intercept)
        checks.flag("standardize", self.standardize)
        checks.choice("missing", self.missing, MISSING)
        checks.choice("solver", self.solver, SOLVERS)
        checks.real("tol", self.tol)
        if self.max_passes is not None:
            checks.integer("max_passes", self.max_passes, 1)
        if not isinstance(self.verbose, bool):
            checks.integer("verbose", self.verbose, 0)
        if self.penalty_factor is not None:
            for item in np.asarray(self.penalty_factor, dtype=object).ravel():
                checks.real("penalty_factor", item)

    def _run(
        self,
        data: tuple[Any, Any, Any],
        options: dict[str, Any],
        cells_of: Any = None,
        fold_key: Any = None,
        n_threads: int | None = None,
    ) -> Fitted:
        """Read the data once and solve everything."""
        X, y, sample_weight = data
        dataset = as_dataset(self, X, y, sample_weight, self.missing, fold_key)
        cells = make_cells(None, dataset.n_rows) if cells_of is None else cells_of(dataset, y)
        shared = PathOptions(
            penalty_factor=None
            if self.penalty_factor is None
            else np.asarray(self.penalty_factor, dtype=np.float64),
            standardize=bool(self.standardize),
            fit_intercept=bool(self.fit_intercept),
            # the engine wants a positive one; nothing is certified below rounding error anyway
            tol=max(float(self.tol), np.finfo(np.float64).tiny),
        )
        runner = PassRunner(
            client=active_client(),
            n_threads=n_threads,
            progress=_Progress() if self.verbose else None,
        )
        result = cross_validate(dataset, cells, replace(shared, **options), runner)
        if not result.converged:
            _warn(result, float(self.tol))
        return Fitted(result, dataset, cells, target_name(y))

    def _store(self, fitted: Fitted, path: int, index: int, selection: str | None = None) -> Self:
        """Set the attributes of the chosen fit."""
        result, dataset = fitted.result, fitted.dataset
        chosen = result.paths[path]
        self.coef_ = chosen.coef[index].copy()
        self.intercept_ = float(chosen.intercept[index])
        self.alpha_ = float(chosen.alphas[index])
        self.l1_ratio_ = float(chosen.l1_ratio)
        self.dual_gap_ = float(chosen.dual_gap[index])
        self.n_iter_ = max(int(chosen.n_epochs[index]), 1)
        self.n_passes_ = int(result.cost.n_passes)
        self.status_ = "converged" if result.converged else "dual gap above tol"
        columns, fill = dataset.columns, result.fill_values
        if columns is None and dataset.missing == "drop":
            # tells the model that a row with a missing value has no prediction
            columns = Columns(dataset.feature_names, (), {}, missing="drop")
        if columns is not None and fill is not None:
            columns = replace(columns, fill=tuple(float(v) for v in fill[: columns.n_dense]))
        self.model_ = LinearModel(
            coef=self.coef_,
            intercept=self.intercept_,
            feature_names=dataset.feature_names,
            columns=columns,
            alpha=self.alpha_,
            l1_ratio=self.l1_ratio_,
            target=fitted.target,
            fill=None if columns is not None or fill is None else fill,
            info={
                "estimator": type(self).__name__,
                "n_samples": int(result.n_samples),
                "dual_gap": self.dual_gap_,
                "kkt_violation": float(chosen.kkt_violation[index]),
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
        return self


class _Progress:
    """Writes what is going on to standard error, one line a stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done == total:
            seconds = time.perf_counter() - self._start
            sys.stderr.write(f"distreg: {stage}, {total} of {total} done, {seconds:.2f} s\n")


def _warn(result: CVResult, tol: float) -> None:
    """Say which answers are above the tolerance, and by how much."""
    gaps = np.array([path.relative_gap for path in result.paths])
    path, index = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    worst, folds = result.paths[path], result.fold_dual_gap
    in_folds = f", in the folds {np.nanmax(folds):.1e}" if np.isfinite(folds).any() else ""
    warnings.warn(
        f"{int((gaps > tol).sum())} of {gaps.size} answers have a dual gap above tol={tol:g} of "
        f"the null model's objective; the largest is {gaps[path, index]:.1e} "
        f"(l1_ratio={worst.l1_ratio:g}, alpha={worst.alphas[index]:.3g}){in_folds}. "
        "Raise tol or alpha, standardize, or remove nearly dependent features",
        ConvergenceWarning,
        stacklevel=4,
    )


def _versions() -> dict[str, str]:
    return {
        "distreg": distreg.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
