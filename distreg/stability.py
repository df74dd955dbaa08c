"""Stability selection: which features the fits to many random halves of the data agree on.

Meinshausen & Buehlmann (2010), Stability selection, JRSS B 72; with complementary pairs of halves:
Shah & Samworth (2013), Variable selection with error control, JRSS B 75.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.result import CVResult

__all__ = ["Stability", "most_features", "stability", "unimodal_bound", "worst_case_bound"]


@dataclass(frozen=True)
class Stability:
    """What the halves say of the features at one l1_ratio. A alphas, p features.

    Attributes
    ----------
    frequency : (A, p) array
        Share of the halves whose support holds a feature, at each alpha.
    n_used : int
        Alphas in use: the longest part of the path, from its start, on which a half selects at most
        `max_features` features on average.
    probability : (p,) array
        Largest frequency on the part in use; 1 for unpenalised features, 0 where no alpha is in
        use.
    selected : (p,) bool array
        ``probability >= threshold``.
    threshold, max_features : float
        As used.
    n_selected : float
        Features that a half selects on the part in use, on average: q of the bounds.
    n_candidates : int
        Features that may be selected: penalised, and not constant. p of the bounds.
    expected_false : float
        Bound on the expected number of false selections, `worst_case_bound`.
    expected_false_unimodal : float
        The same by `unimodal_bound`; NaN where that does not hold.
    """

    frequency: np.ndarray
    n_used: int
    probability: np.ndarray
    selected: np.ndarray
    threshold: float
    max_features: float
    n_selected: float
    n_candidates: int
    expected_false: float
    expected_false_unimodal: float


def stability(
    result: CVResult, threshold: float, max_features: float | None = None, path: int = 0
) -> Stability:
    """Selection probabilities from fits to the halves of `data.halves.ComplementaryPairs`.

    Parameters
    ----------
    result : CVResult
    threshold : float
        In (1/2, 1].
    max_features : float, optional
        Most features that a half selects on average; None: `most_features`.
    path : int
        Which l1_ratio.
    """
    entry, frequency = result.fold_entry[:, path], result.support_frequency[path]
    n_alphas = len(frequency)
    penalised = result.penalty_factor > 0
    varies = (result.feature_sd > 0) | (entry < n_alphas).any(axis=0)
    candidates = penalised & varies
    n_candidates = int(candidates.sum())
    if max_features is None:
        max_features = most_features(threshold, n_candidates)
    # a half has selected a feature once it has entered: size of the union of its supports so far
    counts = np.bincount(entry[:, candidates].ravel(), minlength=n_alphas + 1)[:n_alphas]
    size = np.cumsum(counts) / len(entry)
    n_used = int(np.searchsorted(size, max_features, side="right"))
    probability = frequency[:n_used].max(axis=0, initial=0.0)
    probability[~penalised & varies] = 1.0
    q = float(size[n_used - 1]) if n_used else 0.0
    n_pairs = len(entry) // 2
    return Stability(
        frequency=frequency,
        n_used=n_used,
        probability=probability,
        # a share of the halves is exact but for rounding
        selected=probability >= threshold - 1e-9,
        threshold=threshold,
        max_features=float(max_features),
        n_selected=q,
        n_candidates=n_candidates,
        expected_false=worst_case_bound(q, threshold, n_candidates),
        expected_false_unimodal=unimodal_bound(q, threshold, n_candidates, n_pairs),
    )


def most_features(threshold: float, n_features: int) -> float:
    """Features a half may select for a `worst_case_bound` of 1: ``sqrt((2 threshold - 1) p)``."""
    return float(np.sqrt((2.0 * threshold - 1.0) * n_features))


def worst_case_bound(q: float, threshold: float, n_features: int) -> float:
    """Bound on the expected number of false selections, ``q^2 / ((2 threshold - 1) p)``.

    Meinshausen & Buehlmann, theorem 1, when noise features are exchangeable and the selection is no
    worse than a random one; Shah & Samworth, theorem 1, without assumptions, for the features that
    a half selects with a probability of at most q / p.
    """
    if n_features == 0:
        return 0.0
    return q * q / ((2.0 * threshold - 1.0) * n_features)


def unimodal_bound(q: float, threshold: float, n_features: int, n_pairs: int) -> float:
    """Tighter bound of Shah & Samworth, theorem 2; NaN where it does not hold.

    It assumes that the number of pairs of which both halves select a feature has a unimodal
    distribution for the features that a half selects with a probability of at most theta = q / p,
    and holds for ``theta <= 1 / sqrt(3)`` and thresholds that are not too low.
    """
    if n_features == 0:
        return 0.0
    theta, b = q / n_features, float(n_pairs)
    # shares of halves are multiples of 1 / (2 B): a threshold between two acts as the larger one
    tau = np.ceil(2.0 * b * threshold - 1e-9) / (2.0 * b)
    lowest = min(0.5 + theta**2, 0.5 + 0.5 / b + 0.75 * theta**2)
    if theta > 1.0 / np.sqrt(3.0) or not lowest < tau <= 1.0 or tau <= 0.5 + 0.5 / b:
        return float("nan")
    if tau <= 0.75:
        factor = 1.0 / (2.0 * (2.0 * tau - 1.0 - 0.5 / b))
    else:
        factor = 4.0 * (1.0 - tau + 0.5 / b) / (1.0 + 1.0 / b)
    return float(factor * theta * q)
