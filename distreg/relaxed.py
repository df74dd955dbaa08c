"""Relaxed refits for the squared loss: the supports of a path, fitted without a penalty.

Coefficients and intercepts are ``gamma`` times the penalised ones plus ``1 - gamma`` times those of
the least squares fit on the same support. A support with as many features as there are rows has no
such fit: there the penalised answer stays, and nothing may choose it (`PathResult.defined`).

References
----------
Meinshausen: Relaxed lasso, Computational Statistics and Data Analysis 52(1), 2007.
Hastie, Tibshirani, Tibshirani: Best subset, forward stepwise or lasso? Statistical Science 35(4),
2020 (the blend).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distreg.criteria import Criteria, criteria_of, degrees_of_freedom, squared_fit
from distreg.path import PathResult
from distreg.penalties import Penalty
from distreg.training import TrainingMoments

__all__ = ["masked_criteria", "relaxed_paths", "without_undefined"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class _Refit:
    """Scaled coefficients (A, p) without a penalty, their certificates (A,), and where they are."""

    scaled: np.ndarray
    gap: np.ndarray
    violation: np.ndarray
    members: np.ndarray
    defined: np.ndarray


def relaxed_paths(
    moments: TrainingMoments,
    penalty: Penalty,
    path: PathResult,
    gammas: Sequence[float],
    information: bool = False,
) -> tuple[PathResult, ...]:
    """One path for each gamma from a penalised one; nothing of the data is read again.

    The gap and the KKT violation of a blend are the larger ones of its two ends: those of the
    penalised problem, and those of the restricted problem without a penalty. Its objective is its
    mean loss.
    """
    refit = _refit(moments, penalty, path)
    return tuple(_blend(moments, penalty, path, refit, g, information) for g in gammas)


def _refit(moments: TrainingMoments, penalty: Penalty, path: PathResult) -> _Refit:
    members = ((path.coef != 0) | ~penalty.penalised) & (np.diagonal(moments.gram) > 0)
    defined = members.sum(axis=1) + int(moments.centred) < moments.n_rows
    scaled = path.coef * moments.scale
    gap, violation = np.zeros(len(scaled)), np.zeros(len(scaled))
    seen: dict[bytes, int] = {}
    for a in np.flatnonzero(defined & members.any(axis=1)):
        first = seen.setdefault(members[a].tobytes(), int(a))
        if first == a:
            scaled[a], gap[a], violation[a] = _least_squares(moments, np.flatnonzero(members[a]))
        else:
            scaled[a], gap[a], violation[a] = scaled[first], gap[first], violation[first]
    return _Refit(scaled, gap, violation, members, defined)


def _least_squares(moments: TrainingMoments, at: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Fit on the features `at`: scaled coefficients (p,), gap ``g'C^-1 g / 2`` and violation.

    Of dependent features the solution of minimum norm.
    """
    gram, xty = moments.gram[np.ix_(at, at)], moments.xty[at]
    inverse = _inverse(gram)
    inner = inverse @ xty
    inner += inverse @ (xty - gram @ inner)
    scaled = np.zeros(moments.xty.size)
    # as handed out: on the scale of the data
    scaled[at] = inner / moments.scale[at] * moments.scale[at]
    grad = xty - gram @ scaled[at]
    return scaled, max(float(0.5 * grad @ inverse @ grad), 0.0), float(np.abs(grad).max())


def _inverse(gram: np.ndarray) -> np.ndarray:
    bound = max(len(gram), 10) * EPS
    try:
        if np.diagonal(np.linalg.cholesky(gram)).min() ** 2 > 1e3 * bound:
            return np.asarray(np.linalg.inv(gram))
    except np.linalg.LinAlgError:
        pass
    return np.asarray(np.linalg.pinv(gram, rtol=bound, hermitian=True))


def _blend(
    moments: TrainingMoments,
    penalty: Penalty,
    path: PathResult,
    refit: _Refit,
    gamma: float,
    information: bool,
) -> PathResult:
    scaled = gamma * path.coef * moments.scale + (1.0 - gamma) * refit.scaled
    coef, intercept = moments.to_features(scaled)
    grad = moments.xty - scaled @ moments.gram
    loss = 0.5 * np.maximum(moments.yty - ((moments.xty + grad) * scaled).sum(axis=1), 0.0)
    return PathResult(
        l1_ratio=path.l1_ratio,
        alphas=path.alphas,
        coef=coef,
        intercept=intercept,
        objective=loss,
        dual_gap=np.maximum(path.dual_gap, refit.gap),
        kkt_violation=np.maximum(path.kkt_violation, refit.violation),
        n_nonzero=np.count_nonzero(coef, axis=1),
        n_epochs=path.n_epochs,
        null_objective=path.null_objective,
        null_gradient=path.null_gradient,
        criteria=_criteria(moments, penalty, path, refit, gamma, scaled) if information else None,
        gamma=gamma,
        defined=refit.defined,
    )


def _criteria(
    moments: TrainingMoments,
    penalty: Penalty,
    path: PathResult,
    refit: _Refit,
    gamma: float,
    scaled: np.ndarray,
) -> Criteria:
    """Criteria with the degrees of freedom of both ends in the same blend: traces are linear."""
    nothing = np.zeros(len(scaled))
    free = degrees_of_freedom(moments.gram, penalty.l2, nothing, refit.members)
    df = gamma * path.information["df"] + (1.0 - gamma) * free
    fit = squared_fit(moments, scaled, df)
    return masked_criteria(criteria_of(fit, df, moments.n_rows, moments.xty.size), refit.defined)


def masked_criteria(criteria: Criteria, defined: np.ndarray) -> Criteria:
    """The criteria, NaN where no refit is defined."""
    known = criteria.columns()
    return Criteria(**{k: np.where(defined, v, np.nan) for k, v in known.items()})


def without_undefined(paths: Sequence[PathResult], numbers: dict[str, Any]) -> dict[str, Any]:
    """The entries of a curve, NaN in its mean where the full data's refit is not defined."""
    defined = np.array([path.is_defined for path in paths])
    mean = np.where(defined, numbers["cv_mean"], np.nan)
    return {**numbers, "cv_mean": mean, "cv_se": np.where(defined, numbers["cv_se"], np.nan)}
