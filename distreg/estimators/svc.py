"""LinearSVC and LinearSVCCV: the squared hinge and the hinge loss of two classes."""

from __future__ import annotations

from typing import Any

from distreg.data.dataset import Dataset
from distreg.estimators import checks
from distreg.estimators.classifier import Classifier, ClassifierSearch
from distreg.estimators.docs import documented
from distreg.estimators.single import Single
from distreg.options import check_solver

__all__ = ["LinearSVC", "LinearSVCCV"]


class _Hinge(Classifier):
    """Squared hinge or hinge loss of two classes."""

    loss: str

    _BINARY = True

    def _check_compatible(self) -> None:
        super()._check_compatible()
        checks.choice("loss", self.loss, ("squared_hinge", "hinge"))
        check_solver(self.loss, self.solver)

    def _loss(self, dataset: Dataset) -> str:
        return self.loss


@documented
class LinearSVC(Single, _Hinge):
    """Linear support vector classifier of two classes, with squared hinge or hinge loss.

    Minimises ``sum_i s_i max(0, 1 - z_i (b + x_i'w))^2 / (2 sum_i s_i) + alpha (l1_ratio ||w||_1 +
    (1 - l1_ratio)/2 ||w||_2^2)`` with the weights s of the rows, and z = 1 for the second class, -1
    for the first; with ``loss="hinge"`` the mean of ``max(0, 1 - z_i (b + x_i'w))`` in its place.
    scikit-learn's LinearSVC has the sum in the place of the mean and penalises the intercept:
    without one, its ``C`` is ``1 / (2 n_samples alpha)``, ``1 / (n_samples alpha)`` for the hinge.
    For more than two classes use `LogisticRegression`.

    Parameters
    ----------
    alpha : float
        Strength of the penalty; 0 is none.
    l1_ratio : float
        Share of the L1 penalty: 0 is L2 (the default, as in scikit-learn), 1 is L1.
    loss : {"squared_hinge", "hinge"}
        The hinge has a kink, which takes the solver "admm" and more passes.
    {class_weight}
    {common_glm}

    Attributes
    ----------
    {fitted_binary}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.0,
        loss: str = "squared_hinge",
        class_weight: Any = None,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.loss = loss
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.verbose = verbose


@documented
class LinearSVCCV(ClassifierSearch, _Hinge):
    """Linear support vector classifier whose alpha and l1_ratio are chosen by cross-validation.

    The objective is that of `LinearSVC`; the held-out error is the deviance: the mean of the
    squared hinges, or twice the mean of the hinges.

    Parameters
    ----------
    l1_ratio : float or sequence of float
        Share of the L1 penalty, one value or several to choose from.
    {grid_classes}
    loss : {"squared_hinge", "hinge"}
        The hinge has a kink, which takes the solver "admm" and more passes.
    {class_weight}
    {common_glm}

    Attributes
    ----------
    {fitted_binary}
    {path_glm}
    """

    def __init__(
        self,
        *,
        l1_ratio: Any = 0.0,
        alphas: Any = None,
        n_alphas: int = 100,
        alpha_min_ratio: float | None = None,
        cv: Any = 5,
        selection: str = "min",
        relax: Any = None,
        adaptive: float | None = None,
        loss: str = "squared_hinge",
        class_weight: Any = None,
        fit_intercept: bool = True,
        standardize: bool = False,
        penalty_factor: Any = None,
        positive: bool = False,
        lower_bounds: Any = None,
        upper_bounds: Any = None,
        missing: str = "error",
        solver: str = "auto",
        tol: float = 1e-6,
        max_passes: int | None = None,
        random_state: Any = None,
        verbose: int | bool = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.alpha_min_ratio = alpha_min_ratio
        self.cv = cv
        self.selection = selection
        self.relax = relax
        self.adaptive = adaptive
        self.loss = loss
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.penalty_factor = penalty_factor
        self.positive = positive
        self.lower_bounds = lower_bounds
        self.upper_bounds = upper_bounds
        self.missing = missing
        self.solver = solver
        self.tol = tol
        self.max_passes = max_passes
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
