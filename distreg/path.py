"""One regularisation path: every alpha on one training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.certificates import certify, null_model
from distreg.criteria import Criteria, criteria_of, degrees_of_freedom, squared_fit
from distreg.penalties import Penalty, room
from distreg.solvers.boxed import descend_boxed
from distreg.solvers.descent import descend_path
from distreg.solvers.ridge import least_squares, ridge_path
from distreg.training import TrainingMoments

__all__ = [
    "LOWEST",
    "PathResult",
    "RESOLUTION",
    "alpha_grid",
    "fit_path",
    "geometric_grid",
    "movable",
]

LOWEST, LOWEST_L2 = (1e-2, 1e-4), (1e-6, 1e-8)
"""Last alpha over the first, with few rows and with more rows than features."""

RESOLUTION = float(np.finfo(np.float64).resolution)

SMALLEST_L1_RATIO = 1e-3
"""Stands in for l1_ratio = 0 in alpha_max, where no alpha makes all coefficients 0 (as glmnet)."""


@dataclass(frozen=True)
class PathResult:
    """All alphas of one l1_ratio on one training set, each with its certificate.

    Attributes
    ----------
    l1_ratio : float
        Share of the L1 penalty.
    alphas : (n_alphas,) array
        Penalty strengths, descending.
    coef : (n_alphas, n_features) or (n_alphas, n_classes, n_features) array
        Coefficients on the scale of the data; of a multinomial model for each class.
    intercept : (n_alphas,) or (n_alphas, n_classes) array
        Intercepts.
    objective : (n_alphas,) array
        Penalised objective (docs, concepts, equation 1).
    dual_gap : (n_alphas,) array
        Upper bound on the objective's distance from its minimum, in units of the objective.
    kkt_violation : (n_alphas,) array
        Largest distance of a gradient entry from the subdifferential, in units of the gradient of
        the standardised features.
    n_nonzero : (n_alphas,) int array
        Non-zero coefficients.
    n_epochs : (n_alphas,) int array
        Sweeps of coordinate descent; 0 for a direct solution and where passes count instead.
    null_objective : float
        Objective of the model without penalised features (above the saturated model's); 0 when that
        is all rounding.
    null_gradient : float
        Largest gradient entry of that model: the unit of `kkt_violation`. NaN if not known.
    criteria : Criteria or None
        Degrees of freedom and information criteria; None if they were not computed.
    gamma : float
        1: penalised. Less: that share of the penalised fit and the rest of a refit of its support
        without a penalty (`distreg.relaxed`); then `objective` is the mean loss.
    defined : (n_alphas,) bool array or None
        Where the refit exists; elsewhere the penalised fit stands for it. None: everywhere.
    """

    l1_ratio: float
    alphas: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    objective: np.ndarray
    dual_gap: np.ndarray
    kkt_violation: np.ndarray
    n_nonzero: np.ndarray
    n_epochs: np.ndarray
    null_objective: float
    null_gradient: float = np.nan
    criteria: Criteria | None = None
    gamma: float = 1.0
    defined: np.ndarray | None = None

    @property
    def is_defined(self) -> np.ndarray:
        """(n_alphas,) bool array: `defined`, all True where that is None."""
        return np.ones(len(self.alphas), dtype=bool) if self.defined is None else self.defined

    @property
    def information(self) -> dict[str, np.ndarray]:
        """aic, bic, ebic and df by name, (n_alphas,) arrays; NaN where they are not known."""
        return (self.criteria or Criteria.unknown(len(self.alphas))).columns()

    @property
    def relative_gap(self) -> np.ndarray:
        """Dual gaps over the null objective; 0 where the null model already fits to rounding."""
        if self.null_objective == 0.0:
            return np.zeros_like(self.dual_gap)
        return np.asarray(self.dual_gap / self.null_objective)

    @property
    def relative_violation(self) -> np.ndarray:
        """KKT violations over the null gradient; 0 where that is not known or 0."""
        if not self.null_gradient > 0.0:
            return np.zeros_like(self.kkt_violation)
        return np.asarray(self.kkt_violation / self.null_gradient)


def alpha_grid(
    moments: TrainingMoments,
    penalty: Penalty,
    l1_ratio: float,
    n_alphas: int,
    alpha_min_ratio: float | None,
) -> np.ndarray:
    """Geometric grid from the smallest alpha without penalised features downwards.

    With g the gradient of the null model, ``alpha_max = max_j |g_j| / (l1_j l1_ratio)``. A pure L2
    penalty has no such alpha; there it is ``max_j |r_j| / (1e-3 l2_j)`` with r_j the correlation
    of a feature and the null model's residual, which does not change with the units of the target
    (docs/decisions/0006).

    Parameters
    ----------
    n_alphas : int
    alpha_min_ratio : float or None
        Last alpha over the first; None: 1e-4 with more rows than features, else 1e-2, divided by
        the L2 strength at the first alpha if that is above 1 (a target with large units); for a
        pure L2 penalty 1e-8 and 1e-6.
    """
    null, grad = null_model(moments, penalty)
    if null == 0.0:
        return np.full(n_alphas, RESOLUTION)
    many_rows = moments.n_rows > moments.xty.size
    usable = np.diagonal(moments.gram) > 0
    return geometric_grid(
        movable(grad, penalty),
        penalty,
        usable,
        l1_ratio,
        n_alphas,
        alpha_min_ratio,
        lowest=LOWEST_L2[many_rows] if l1_ratio == 0.0 else LOWEST[many_rows],
        nothing=RESOLUTION * float(np.sqrt(moments.yty)),
        unit=float(np.sqrt(2.0 * null)) if l1_ratio == 0.0 else 1.0,
    )


def movable(grad: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Sizes of the gradient entries (..., p); 0 where the box lets no coefficient follow them."""
    size = np.abs(grad)
    return size if penalty.box is None else np.where(room(grad, penalty.box) > 0, size, 0.0)


def geometric_grid(
    grad: np.ndarray,
    penalty: Penalty,
    usable: np.ndarray,
    l1_ratio: float,
    n_alphas: int,
    alpha_min_ratio: float | None,
    *,
    lowest: float,
    nothing: float,
    curvature: float = 1.0,
    unit: float = 1.0,
) -> np.ndarray:
    """Grid from where the gradient sizes `grad` (p,) of the null model set all coefficients to 0.

    Parameters
    ----------
    usable : (p,) bool array
        Features that can be fitted.
    lowest : float
        Default of `alpha_min_ratio`; less where the L2 part at the first alpha is above
        `curvature`.
    nothing : float
        Gradients up to this are rounding errors: any alpha gives the null model.
    curvature : float
        Of the loss: what an L2 strength is to be compared with.
    unit : float
        What the first alpha is divided by.
    """
    inside = penalty.penalised & usable
    size = grad[inside]
    if l1_ratio == 0.0:
        strength = size / penalty.l2[inside] / SMALLEST_L1_RATIO
    else:
        strength = size / penalty.l1[inside] / max(l1_ratio, SMALLEST_L1_RATIO)
    largest = float(strength.max(initial=0.0))
    if not largest > nothing:
        return np.full(n_alphas, RESOLUTION)
    if 0.0 < l1_ratio < 1.0:
        l2_strength = largest * (1.0 - l1_ratio) * float(np.median(penalty.l2[inside]))
        lowest /= max(1.0, l2_strength / curvature)
    # a hair above, so that rounding leaves no coefficient of 1e-17 at the first alpha
    alpha_max = largest / unit * (1.0 + 8.0 * float(np.finfo(np.float64).eps))
    return np.asarray(np.geomspace(alpha_max, alpha_max * (alpha_min_ratio or lowest), n_alphas))


def fit_path(
    moments: TrainingMoments,
    penalty: Penalty,
    alphas: np.ndarray,
    l1_ratio: float,
    information: bool = False,
) -> PathResult:
    """Solve and certify every alpha; `alphas` descend. A single alpha = 0 is least squares.

    With `information`, degrees of freedom and information criteria too.
    """
    alphas = np.asarray(alphas, dtype=np.float64)
    if alphas.size == 1 and alphas[0] == 0.0:
        penalty = Penalty(np.zeros_like(penalty.l1), np.zeros_like(penalty.l2))
    epochs = np.zeros(alphas.size, dtype=np.int64)
    if penalty.box is not None:
        scaled = _boxed_path(moments, penalty, alphas, l1_ratio, epochs)
    elif not penalty.penalised.any():
        solution = least_squares(moments.gram, moments.xty)
        scaled = np.tile(solution, (alphas.size, 1))
    elif l1_ratio == 0.0:
        scaled = ridge_path(moments.gram, moments.xty, penalty.l2, alphas)
    else:
        scaled = np.zeros((alphas.size, moments.xty.size))
        descend_path(
            moments.gram, moments.xty, penalty.l1, penalty.l2, alphas, l1_ratio, scaled, epochs
        )
    coef, intercept = moments.to_features(scaled)
    coef = penalty.bounded(coef, scaled)
    if penalty.box is not None and moments.centred:
        intercept = moments.y_mean - coef @ moments.mean
    certificate = certify(moments, penalty, alphas, l1_ratio, coef * moments.scale)
    return PathResult(
        l1_ratio=float(l1_ratio),
        alphas=alphas,
        coef=coef,
        intercept=intercept,
        objective=certificate.objective,
        dual_gap=certificate.dual_gap,
        kkt_violation=certificate.kkt_violation,
        n_nonzero=np.count_nonzero(coef, axis=1),
        n_epochs=epochs,
        null_objective=null_model(moments, penalty)[0],
        criteria=_criteria(moments, penalty, alphas, l1_ratio, coef) if information else None,
    )


def _criteria(
    moments: TrainingMoments,
    penalty: Penalty,
    alphas: np.ndarray,
    l1_ratio: float,
    coef: np.ndarray,
) -> Criteria:
    members = (coef != 0) | ~penalty.penalised
    df = degrees_of_freedom(moments.gram, penalty.l2, alphas * (1.0 - l1_ratio), members)
    fit = squared_fit(moments, coef * moments.scale, df)
    return criteria_of(fit, df, moments.n_rows, moments.xty.size)


def _boxed_path(
    moments: TrainingMoments,
    penalty: Penalty,
    alphas: np.ndarray,
    l1_ratio: float,
    epochs: np.ndarray,
) -> np.ndarray:
    """Scaled coefficients (A, p) inside the box; each alpha starts from the one before."""
    assert penalty.box is not None
    lasso, ridge = penalty.strengths(alphas, l1_ratio)
    scaled = np.zeros((alphas.size, moments.xty.size))
    coef = np.zeros(moments.xty.size)
    for i in range(alphas.size):
        epochs[i] = descend_boxed(
            moments.gram, moments.xty, lasso[i], ridge[i], penalty.box.lower, penalty.box.upper,
            coef,
        )  # fmt: skip
        scaled[i] = coef
    return scaled
