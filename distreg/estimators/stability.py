"""StabilitySelection: features that the fits to many random halves of the data agree on."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted

from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, make_cells
from distreg.data.halves import ComplementaryPairs, cells_for
from distreg.estimators import checks
from distreg.estimators.base import Estimator, Fitted
from distreg.estimators.convergence import status_of
from distreg.estimators.docs import documented
from distreg.estimators.inputs import Given, as_dataset, as_features, as_offset, is_dask
from distreg.estimators.labels import check_labels, distinct
from distreg.exceptions import InputError
from distreg.losses import get_loss
from distreg.result import CVResult
from distreg.stability import stability

__all__ = ["StabilitySelection"]

LOSSES = ("squared", "logistic", "multinomial", "poisson", "squared_hinge")
LAST_ALPHA = 0.05
"""Default of alpha_min_ratio: later alphas select far more than `max_features`."""


@documented
class StabilitySelection(SelectorMixin, Estimator):
    """Select the features that fits to random halves of the data agree on.

    The path of an L1 or Elastic Net model is fitted to both halves of `n_pairs` random splits of
    the rows (complementary pairs, Shah & Samworth 2013); a feature is selected when the share of
    the halves that select it reaches `threshold` at some alpha (Meinshausen & Buehlmann 2010). The
    number of false selections is bounded in expectation, whatever alpha a cross-validation would
    choose. All halves are fitted in the same passes over the data: one for the squared loss.

    Parameters
    ----------
    loss : {"squared", "logistic", "multinomial", "poisson", "squared_hinge"}
        Of the model: a number as target, two classes, several classes, a count, two classes.
    l1_ratio : float
        Share of the L1 penalty, above 0.
    n_pairs : int
        Splits into halves; there are twice as many training sets.
    threshold : float
        Least share of the halves, in (0.5, 1]. Results depend on it little between 0.6 and 0.9: a
        higher one with more `max_features` has the same bound.
    max_features : float, optional
        Only that part of the path is used on which a half selects at most so many features on
        average (q); no more than ``max_features / threshold`` can be selected in all. None:
        ``sqrt((2 threshold - 1) p)``, which bounds the expected number of false selections by 1.
    alphas : int, sequence of float, or None
        Strengths of the path, or how many; None: `n_alphas`.
    n_alphas : int
        Size of the grid, which falls from the smallest alpha without features.
    alpha_min_ratio : float, optional
        Last alpha over the first; default 0.05. If all of the path is used (`n_alphas_used_`), a
        smaller one may select more.
    {penalty}
    tol : float
        Tolerance on the dual gap, relative to the objective of the model without features; and on
        the KKT violation, relative to that model's largest gradient (other losses than the
        squared). Supports need less accuracy than coefficients.
    max_passes : int, optional
        Most passes over the data; default 100 (the squared loss needs one).
    random_state : int, RandomState or None
        Seed of the halves; None is 0. They follow from it and the rows' numbers alone.
    {verbose}
    {threads}

    Attributes
    ----------
    selection_probability_ : (p,) array
        Largest share of the halves that select a feature, on the part of the path in use. Features
        are those of the model, `feature_names_`: one for each level of a categorical column.
    stability_path_ : (n_alphas, p) array
        Share of the halves that select a feature at each alpha, on the whole path.
    alphas_ : (n_alphas,) array
        The grid, descending.
    n_alphas_used_ : int
        Alphas of the part in use, the first ones.
    mean_selected_ : float
        Features that a half selects there on average, q of the bounds.
    expected_false_selections_ : float
        Bound ``q^2 / ((2 threshold - 1) p)`` on the expected number of false selections (of p
        penalised features that vary), without assumptions on the distribution of the data: it
        counts selected features that a half selects no more often than one at random.
    expected_false_selections_unimodal_ : float
        Tighter bound of Shah & Samworth for unimodal shares; NaN where it does not hold.
    feature_names_ : tuple of p str
        Names of the model's features.
    largest_gap_, largest_violation_ : float
        Largest dual gap and KKT violation of all fits, as in `tol`.
    status_ : str
        "converged", or what is above its tolerance in some fit.
    n_passes_ : int
        Passes over the data.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : (n_features,) array of str
        Their names, if X has any.
    """

    solver = "auto"

    def __init__(
        self,
        loss: str = "squared",
        *,
        l1_ratio: float = 1.0,
        n_pairs: int = 50,
        threshold: float = 0.75,
        max_features: float | None = None,
        alphas: Any = None,
        n_alphas: int = 50,
        alpha_min_ratio: float | None = None,
        fit_intercept: bool = True,
        standardize: bool = True,
        penalty_factor: Any = None,
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        missing: str = "error",
        tol: float = 1e-4,
        max_passes: int | None = None,
        random_state: Any = None,
        verbose: int | bool = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.loss = loss
        self.l1_ratio = l1_ratio
        self.n_pairs = n_pairs
        self.threshold = threshold
        self.max_features = max_features
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.missing = missing
        self.tol = tol
        self.max_passes = max_passes
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
    ) -> Self:
        """Fit the path to all halves, in the same passes over the data, and select.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, Dask collection, or Dataset
            Never copied as a whole and never changed.
        y : (n_samples,) array, Series or Dask collection, or the name of a column of X
            Left out when X is a Dataset.
        sample_weight : float or (n_samples,) array, optional
            Weights of the rows in the fits; halves are of equally many rows.
        offset, exposure : (n_samples,) array, Series or Dask collection, optional
            Known part of the linear predictor, or its exponential.

        Returns
        -------
        self
        """
        return self._fit(Given(X, y, sample_weight, as_offset(offset, exposure)))

    def transform(self, X: Any) -> Any:
        """Keep the selected columns.

        Parameters
        ----------
        X : (n_samples, n_features) array, sparse matrix, DataFrame, or a Dask collection

        Returns
        -------
        (n_samples, n_selected) array
            A lazy Dask collection of the kind of X for a Dask collection.
        """
        check_is_fitted(self)
        if not is_dask(X):
            return super().transform(X)
        X, chosen = as_features(self, X), self.get_support(indices=True)
        if not hasattr(X, "columns"):
            return X[:, chosen]
        names = getattr(self, "feature_names_in_", X.columns)
        return X[[names[i] for i in chosen]]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    def _get_support_mask(self) -> np.ndarray:
        """Columns of X of which a feature is selected, (n_features_in_,)."""
        check_is_fitted(self)
        return self._column_selected

    def _fit(self, given: Given) -> Self:
        """Check the keywords, fit and select. Called by `fit` (for `warn_of`)."""
        self._check_common()
        options = self._options()
        seed = checks.seed(self.random_state) or 0

        def cells_of(dataset: Dataset) -> Cells:
            n_cells = cells_for(dataset.n_rows, dataset.n_features)
            scheme = ComplementaryPairs(int(self.n_pairs), n_cells, seed)
            scheme.check(dataset.n_rows, dataset.n_rows)
            return make_cells(scheme, dataset.n_rows)

        n_threads = None
        if self.n_jobs is not None and self.n_jobs != -1:
            n_threads = checks.integer("n_jobs", self.n_jobs, 1)
        fitted = self._run(given, options, cells_of=cells_of, n_threads=n_threads)
        return self._select(fitted)

    def _options(self) -> dict[str, Any]:
        """Options of the path; nothing of the data is needed."""
        checks.choice("loss", self.loss, LOSSES)
        checks.integer("n_pairs", self.n_pairs, 1)
        checks.real("threshold", self.threshold, 0.5, 1.0, "right")
        if self.max_features is not None:
            checks.real("max_features", self.max_features, 0.0, None, "neither")
        ratio = checks.real("l1_ratio", self.l1_ratio, 0.0, 1.0, "right")
        last = LAST_ALPHA
        if self.alpha_min_ratio is not None:
            last = checks.real("alpha_min_ratio", self.alpha_min_ratio, 0.0, 1.0, "neither")
        n_alphas = checks.integer("n_alphas", self.n_alphas, 1)
        if checks.is_count(self.alphas):
            n_alphas = checks.integer("alphas", self.alphas, 1)
        checks.real("tol", self.tol, 0.0, None, "neither")
        return {
            "l1_ratios": (ratio,),
            "alphas": checks.grid(self.alphas),
            "n_alphas": n_alphas,
            "alpha_min_ratio": last,
        }

    def _loss(self, dataset: Dataset) -> str:
        return self.loss

    def _dataset(self, given: Given, fold_key: Any) -> Dataset:
        kind, name = get_loss(self.loss).target, f"{type(self).__name__}(loss={self.loss!r})"
        if kind not in ("binary", "classes"):
            return super()._dataset(given, fold_key)
        binary = kind == "binary"

        def check(target: np.ndarray) -> None:
            check_labels(distinct(target), binary, name)

        dataset = as_dataset(self, given, self.missing, fold_key, check)
        check_labels(dataset.classes or (), binary, name)
        return dataset

    def _select(self, fitted: Fitted) -> Self:
        """Set the fitted attributes."""
        result, dataset = fitted.result, fitted.dataset
        found = stability(result, float(self.threshold), self.max_features)
        self.selection_probability_ = found.probability
        self.stability_path_ = found.frequency
        self.alphas_ = result.paths[0].alphas
        self.n_alphas_used_ = found.n_used
        self.mean_selected_ = found.n_selected
        self.expected_false_selections_ = found.expected_false
        self.expected_false_selections_unimodal_ = found.expected_false_unimodal
        self.feature_names_ = result.feature_names
        self.largest_gap_, self.largest_violation_ = _largest(result)
        self.status_ = status_of(result)
        self.n_passes_ = int(result.cost.n_passes)
        column = _columns_of(dataset, self.n_features_in_, getattr(self, "feature_names_in_", None))
        counts = np.bincount(column, found.selected, self.n_features_in_)
        self._column_selected = np.asarray(counts > 0)
        return self


def _largest(result: CVResult) -> tuple[float, float]:
    """Largest dual gap and KKT violation of all fits, both relative."""
    path = result.paths[0]
    gap = max(path.relative_gap.max(), np.nanmax(result.fold_dual_gap))
    violations = path.relative_violation, result.fold_kkt_violation
    return float(gap), max(float(np.nan_to_num(part).max()) for part in violations)


def _columns_of(dataset: Dataset, n_columns: int, names: Any) -> np.ndarray:
    """Column of X that each feature of the model comes from, (p,) int."""
    columns = dataset.columns
    if columns is None or not columns.categorical:
        if dataset.n_features != n_columns:
            raise InputError(
                f"X has {n_columns} columns, but the model {dataset.n_features} features: encode "
                "the columns that are not numbers"
            )
        return np.arange(n_columns)
    order = list(columns.names if names is None else names)
    place = {name: i for i, name in enumerate(order)}
    indicators = [place[c] for c in columns.categorical for _ in columns.levels[c]]
    return np.array([*(place[c] for c in columns.numeric), *indicators], dtype=np.intp)
