"""What the cross-validated estimators share: the grid, the folds, the choice, the path."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from distreg.criteria import CRITERIA
from distreg.data.dataset import Dataset
from distreg.data.folds import (
    Cells,
    FoldColumn,
    GroupKFold,
    check_cv,
    make_cells,
    split_approximate,
)
from distreg.data.splits import MAX_PATTERNS
from distreg.estimators import checks
from distreg.estimators.base import Estimator, Fitted
from distreg.estimators.inputs import Given
from distreg.exceptions import InputError
from distreg.selection import CURVE_RULES, RULES, select

__all__ = ["CrossValidated"]

CELL_BYTES = 2**26
"""Gram matrices of this size in all are kept for overlapping splits, such as repeated K-fold."""


class CrossValidated(Estimator):
    """The best of a grid of alphas (and l1_ratios)."""

    l1_ratio: Any
    alphas: Any
    n_alphas: int
    alpha_min_ratio: float | None
    cv: Any
    selection: str
    relax: Any
    adaptive: float | None
    random_state: Any
    n_jobs: int | None

    _ERRORS = "deviance_path_"

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, groups: Any = None) -> Self:
        """Fit all folds, l1_ratios and alphas in the same passes over the data, and choose.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, Dask collection, or Dataset
            Never copied as a whole and never changed.
        y : (n_samples,) array, Series or Dask collection, or the name of a column of X
            Left out when X is a Dataset.
        sample_weight : float or (n_samples,) array, optional
            Weights of the rows, in fits and in held-out errors.
        groups : (n_samples,) array, optional
            For a `cv` that keeps groups together.

        Returns
        -------
        self
        """
        return self._fit_grid(Given(X, y, sample_weight), groups)

    def _fit_grid(self, given: Given, groups: Any) -> Self:
        """Check the keywords, fit and choose. Called by `fit` (for `warn_of`)."""
        self._check_common()
        self._check_compatible()
        checks.choice("selection", self.selection, RULES)
        options = self._grid_options()
        seed = checks.seed(self.random_state)
        by_key = isinstance(self.cv, (GroupKFold, FoldColumn))
        if groups is not None and not by_key and not hasattr(self.cv, "split"):
            raise InputError(
                f"groups are given, but cv={self.cv!r} does not use them: pass a splitter such as "
                "GroupKFold(5)"
            )

        no_folds = checks.is_count(self.cv) and self.cv == 0
        if no_folds and self.selection in CURVE_RULES:
            raise InputError(
                f"cv=0 makes no folds, which selection={self.selection!r} needs: choose by "
                f"{', '.join(CRITERIA)}, or give cv a number of folds"
            )

        def cells_of(dataset: Dataset) -> Cells:
            if no_folds:
                return make_cells(None, dataset.n_rows)
            target, size = given.target(), 8 * (dataset.n_features + 2) ** 2
            scheme = check_cv(
                self._splitter(dataset, target, seed),
                dataset.n_rows,
                groups=groups,
                y=target,
                random_state=seed,
                max_patterns=max(MAX_PATTERNS, CELL_BYTES // size),
            )
            return make_cells(scheme, dataset.n_rows)

        fitted = self._run(
            given,
            options,
            cells_of=cells_of,
            fold_key=groups if by_key else None,
            n_threads=self._n_threads(),
        )
        chosen = select(fitted.result, self.selection)
        self._store_path(fitted)
        return self._store(fitted, chosen.path, chosen.index, self.selection)

    def _splitter(self, dataset: Dataset, target: np.ndarray | None, seed: int | None) -> Any:
        """What divides the rows into folds; `target` is None unless it is in memory."""
        return split_approximate(self.cv)[0]

    def _l1_ratio(self) -> Any:
        """One l1_ratio or several."""
        return self.l1_ratio

    def _eps(self) -> float | None:
        """Value of scikit-learn's name for `alpha_min_ratio`."""
        return None

    def _n_threads(self) -> int | None:
        if self.n_jobs is None or self.n_jobs == -1:
            return None
        return checks.integer("n_jobs", self.n_jobs, 1)

    def _grid_options(self) -> dict[str, Any]:
        """Options of the path; nothing of the data is needed."""
        alphas = checks.grid(self.alphas)
        n_alphas = checks.integer("n_alphas", self.n_alphas, 1)
        if checks.is_count(self.alphas):
            n_alphas = checks.integer("alphas", self.alphas, 1)
        ratio, eps = self.alpha_min_ratio, self._eps()
        if ratio is not None and eps is not None:
            raise InputError("eps is another name of alpha_min_ratio: give one of them")
        if ratio is not None:
            checks.real("alpha_min_ratio", ratio, 0.0, 1.0, "neither")
        elif eps is not None:
            ratio = checks.real("eps", eps, 0.0, 1.0, "right")
        return {
            "l1_ratios": checks.ratios(self._l1_ratio()),
            "approximate": split_approximate(self.cv)[1],
            "adaptive": self.adaptive
            if self.adaptive is None
            else checks.real("adaptive", self.adaptive, 0.0, None, "neither"),
            "relax": checks.gammas(self.relax),
            "alphas": alphas,
            "n_alphas": n_alphas,
            # a grid of one value has no last one
            "alpha_min_ratio": None if n_alphas == 1 else ratio,
        }

    def _store_path(self, fitted: Fitted) -> None:
        """Set the attributes of the whole grid."""
        result = fitted.result
        one = np.ndim(self._l1_ratio()) == 0
        plain = len(checks.ratios(self._l1_ratio()))
        alphas = np.stack([path.alphas for path in result.paths])
        # (folds, l1_ratios, alphas) -> scikit-learn's (l1_ratios, alphas, folds)
        errors = np.moveaxis(result.fold_error, 0, -1)[:plain]
        given = checks.grid(self.alphas) is not None
        self.alphas_ = alphas[0] if one or given else alphas[:plain]
        setattr(self, self._ERRORS, errors[0] if one else errors)
        self.coef_path_ = np.stack([path.coef for path in result.paths])
        self.intercept_path_ = np.stack([path.intercept for path in result.paths])
        columns = ("n_nonzero", "objective", "dual_gap", "kkt_violation")
        information = [path.information for path in result.paths]
        self.cv_results_ = {
            "l1_ratio": np.repeat(result.l1_ratios, alphas.shape[1]),
            "gamma": np.repeat([path.gamma for path in result.paths], alphas.shape[1]),
            "alpha": alphas.ravel(),
            "cv_mean": result.cv_mean.ravel(),
            "cv_se": result.cv_se.ravel(),
            "support_stability": result.support_stability.ravel(),
            "fold_dual_gap": result.fold_dual_gap.ravel(),
            "fold_kkt_violation": np.broadcast_to(result.fold_kkt_violation, alphas.shape).ravel(),
        } | {
            name: np.concatenate([getattr(path, name) for path in result.paths]) for name in columns
        }
        self.cv_results_ |= {
            name: np.concatenate([values[name] for values in information])
            for name in information[0]
        }
