"""Choosing one alpha from a cross-validation curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.criteria import CRITERIA
from distreg.exceptions import InputError
from distreg.result import CVResult

__all__ = ["CURVE_RULES", "RULES", "Selected", "select"]

CURVE_RULES = ("min", "1se")
"""Rules that need folds."""

RULES = (*CURVE_RULES, *CRITERIA)


@dataclass(frozen=True)
class Selected:
    """One entry of the grid: `path` counts l1_ratios, `index` counts alphas."""

    path: int
    index: int
    alpha: float
    l1_ratio: float
    cv_mean: float
    cv_se: float


def select(result: CVResult, rule: str = "min", path: int | None = None) -> Selected:
    """Apply a selection rule to the curve.

    Parameters
    ----------
    result : CVResult
    rule : {"min", "1se", "aic", "bic", "ebic"}
        "min": lowest mean held-out deviance (of equal ones the largest alpha). "1se": the largest
        alpha, at the l1_ratio of the minimum, whose mean is within one standard error of it. The
        others: lowest information criterion of the fits on the full training data, without folds.
    path : int, optional
        Only this l1_ratio; default: all.

    Raises
    ------
    InputError
        If the rule is unknown, or has nothing to choose from.
    """
    if rule not in RULES:
        raise InputError(f"selection={rule!r} is not a rule; use one of {', '.join(RULES)}")
    values = result.criterion(rule) if rule in CRITERIA else result.cv_mean
    curve = values if path is None else values[path : path + 1]
    if not np.isfinite(curve).any():
        raise InputError(
            f"{rule} is not known for any of the fits: they have as many degrees of freedom as "
            "there are rows (use larger alphas), or an L2 part and more features than curvature is "
            "kept of (use l1_ratio 1, or select by min or 1se)"
            if rule in CRITERIA
            else "there is no cross-validation curve to select from: fit with folds, or select by "
            f"{', '.join(CRITERIA)}"
        )
    row, column = np.unravel_index(int(np.nanargmin(curve)), curve.shape)
    best_path, index = (int(row) if path is None else path), int(column)
    if rule == "1se":
        line = result.cv_mean[best_path]
        limit = line[index] + result.cv_se[best_path, index]
        if np.isfinite(limit):
            index = int(np.flatnonzero(line <= limit)[0])
    return Selected(
        path=best_path,
        index=index,
        alpha=float(result.paths[best_path].alphas[index]),
        l1_ratio=float(result.paths[best_path].l1_ratio),
        cv_mean=float(result.cv_mean[best_path, index]),
        cv_se=float(result.cv_se[best_path, index]),
    )
