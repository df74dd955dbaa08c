"""One regularisation path: every alpha on one training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["PathResult"]


@dataclass(frozen=True)
class PathResult:
    """All alphas of one l1_ratio on one training set, each with its certificate.

    Attributes
    ----------
    l1_ratio : float
        Share of the L1 penalty.
    alphas : (n_alphas,) array
        Penalty strengths, descending.
    coef : (n_alphas, n_features) array
        Coefficients on the scale of the data.
    intercept : (n_alphas,) array
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
        Sweeps of coordinate descent; 0 for a direct solution.
    null_objective : float
        Objective of the model without penalised features.
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
