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
        "support_stability": _stability([fold.support for fold in folds], nothing),
        "fold_dual_gap": np.max([fold.gap for fold in folds], axis=0) if folds else nothing,
    }


def _stability(supports: Sequence[np.ndarray], nothing: np.ndarray) -> np.ndarray:
    """Mean Jaccard similarity over pairs of folds of K (L, A, p) supports; empty ones agree."""
    n_folds = len(supports)
    if n_folds < 2:
        return nothing
    support = np.array(supports)
    flags = support.astype(np.float32).transpose(1, 2, 0, 3)
    common = flags @ flags.transpose(0, 1, 3, 2)
    size = np.diagonal(common, axis1=2, axis2=3)
    union = size[..., :, None] + size[..., None, :] - common
    similarity = np.divide(common, union, out=np.ones_like(common), where=union > 0)
    upper = np.triu_indices(n_folds, 1)
    return np.asarray(similarity[..., upper[0], upper[1]].mean(axis=-1), dtype=np.float64)
