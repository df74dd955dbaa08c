"""Which answers are above their tolerances, as a status and as a warning."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning

from distreg import exceptions
from distreg.result import CVResult

__all__ = ["ConvergenceWarning", "status_of", "warn_of"]

STACK_LEVEL = 5
"""From here over `warn_of`, `_run` and what `fit` calls to the line that called `fit`."""


class ConvergenceWarning(exceptions.ConvergenceWarning, SklearnConvergenceWarning):
    """Some answer's certificate is above its tolerance; scikit-learn's warning too."""


def status_of(result: CVResult) -> str:
    """What is above its tolerance in any fit, or "converged"; whether folds are approximate."""
    return _status(result) + (", folds approximate" if result.approximate else "")


def _status(result: CVResult) -> str:
    if result.converged:
        return "converged"
    gap, violation = _counted(result)
    sizes = {
        "dual gap above tol": (_gaps(result), gap, result.tol),
        "KKT violation above its tolerance": (
            _violations(result),
            violation,
            result.kkt_tolerance,
        ),
    }
    above = [
        name for name, (full, folds, bound) in sizes.items() if (_worst(full, folds) > bound).any()
    ]
    return ", ".join(above) or "dual gap above tol"


def warn_of(result: CVResult, tol: float) -> None:
    """Say how many answers are above their tolerances, by how much, and what helps."""
    text = _squared(result, tol) if result.solver == "gram" else _glm(result, tol)
    warnings.warn(text, ConvergenceWarning, stacklevel=STACK_LEVEL)


def _gaps(result: CVResult) -> np.ndarray:
    return np.array([path.relative_gap for path in result.paths])


def _violations(result: CVResult) -> np.ndarray:
    return np.array([path.relative_violation for path in result.paths])


def _worst(full: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Larger one of the full fit and the folds' fits, (n_l1_ratios, n_alphas)."""
    return np.asarray(np.fmax(full, folds))


def _counted(result: CVResult) -> tuple[np.ndarray, np.ndarray]:
    """Dual gaps and KKT violations of the folds, NaN where no tolerance is asked of them."""
    found = result.fold_dual_gap, result.fold_kkt_violation
    if result.approximate:
        return np.full_like(found[0], np.nan), np.full_like(found[1], np.nan)
    return found


def _place(result: CVResult, sizes: np.ndarray) -> str:
    path, index = np.unravel_index(int(np.nanargmax(sizes)), sizes.shape)
    worst = result.paths[path]
    return f"l1_ratio={worst.l1_ratio:g}, alpha={worst.alphas[index]:.3g}"


def _squared(result: CVResult, tol: float) -> str:
    gaps, folds = _gaps(result), result.fold_dual_gap
    in_folds = f", in the folds {np.nanmax(folds):.1e}" if np.isfinite(folds).any() else ""
    return (
        f"{int((gaps > tol).sum())} of {gaps.size} answers have a dual gap above tol={tol:g} of "
        f"the null model's objective; the largest is {gaps.max():.1e} "
        f"({_place(result, gaps)}){in_folds}. "
        "Raise tol or alpha, standardize, or remove nearly dependent features"
    )


def _glm(result: CVResult, tol: float) -> str:
    fold_gap, fold_violation = _counted(result)
    gap = _worst(_gaps(result), fold_gap)
    violation = _worst(_violations(result), fold_violation)
    above = (gap > tol) | (violation > result.kkt_tolerance)
    several = gap.size > 1
    remedy = "alpha_min_ratio or the smallest of alphas" if several else "alpha"
    largest = (
        f"the largest dual gap is {np.nanmax(gap):.1e} of the null model's objective "
        f"({_place(result, gap)}; tol={tol:g})"
    )
    if np.isfinite(result.kkt_tolerance):
        largest += (
            f", the largest KKT violation {np.nanmax(violation):.1e} of its gradient "
            f"({_place(result, violation)}; allowed {result.kkt_tolerance:g})"
        )
    return (
        f"{int(above.sum())} of {gap.size} answers (with their folds) are above their tolerances "
        f"after {result.cost.n_passes} passes: {largest}. "
        f"Raise {remedy}, standardize, or allow more with max_passes"
    )
