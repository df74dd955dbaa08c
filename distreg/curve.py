"""From the folds' held-out errors to one curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FoldFit", "curve"]


@dataclass(frozen=True)
class FoldFit:
    """Held-out error (L, A), weight, relative gaps (L, A) and supports (L, A, p) of one fold."""

    error: np.ndarray
    weight: float
    gap: np.ndarray
    support: np.ndarray


def curve(folds: Sequence[FoldFit], n_paths: int, n_alphas: int) -> dict[str, Any]:
    """Mean and standard error over folds, weighted by the held-out weight, as glmnet does.

    ``cv_se = sqrt(sum_k W_k (e_k - mean)^2 / sum_k W_k / (K - 1))``. A fold whose held-out rows
    have no weight has no error (NaN) and does not count.
    """
    nothing = np.full((n_paths, n_alphas), np.nan)
    error = np.array([fold.error for fold in folds]).reshape(-1, n_paths, n_alphas)
    weight = np.array([fold.weight for fold in folds], dtype=np.float64)
    scored = weight > 0
    mean, se = nothing, nothing
    if scored.any():
        mean = np.average(error[scored], axis=0, weights=weight[scored])
    if scored.sum() > 1:
        spread = (error[scored] - mean) ** 2
        variance = np.average(spread, axis=0, weights=weight[scored])
        se = np.sqrt(variance / (scored.sum() - 1))
    return {
        "cv_mean": mean,
        "cv_se": se,
        "fold_error": error,
        "fold_weight": weight,
        **_supports([fold.support for fold in folds], nothing),
        "fold_dual_gap": np.max([fold.gap for fold in folds], axis=0) if folds else nothing,
    }


def _supports(supports: Sequence[np.ndarray], nothing: np.ndarray) -> dict[str, np.ndarray]:
    """What K (L, A, p) supports have in common; NaN without folds."""
    found = {
        "support_stability": _stability(supports, nothing),
        "support_frequency": nothing[..., None],
        "fold_entry": np.empty((0, len(nothing), 1), dtype=np.int32),
    }
    if supports:
        total = np.zeros(supports[0].shape)
        for support in supports:
            total += support
        found["support_frequency"] = total / len(supports)
        found["fold_entry"] = np.array([_entry(support) for support in supports])
    return found


def _entry(support: np.ndarray) -> np.ndarray:
    """Index of the first alpha at which a feature is in an (L, A, p) support; A for none."""
    first = np.where(support.any(axis=1), support.argmax(axis=1), support.shape[1])
    return np.asarray(first, dtype=np.int32)


def _stability(supports: Sequence[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    """Mean Jaccard similarity over pairs of folds of K (L, A, p) supports; empty ones agree."""
    n_folds = len(supports)
    if n_folds < 2:
        return nothing
    upper, mean = np.triu_indices(n_folds, 1), np.empty_like(nothing)
    for place in np.ndindex(nothing.shape):
        flags = np.array([support[place] for support in supports], dtype=np.float32)
        common = flags @ flags.T
        size = np.diagonal(common)
        union = size[:, None] + size - common
        similarity = np.divide(common, union, out=np.ones_like(common), where=union > 0)
        mean[place] = similarity[upper].mean(dtype=np.float64)
    return mean
