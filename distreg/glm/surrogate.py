"""What a sample of the rows says that the quadratic models leave out.

A model has the exact gradient of the full data, but the curvature of the nearest anchors: it knows
neither that curvature changes along a step, nor that the column's own is another one. The sample
knows both, with an error of about sqrt(p / m) for m rows. So the gradient after a step d from x to
z is foreseen as

    g(z) ~ g(x) - M d - c [s(x) - s(z) - M_s d],

with s the negative gradient of the sample and M_s its curvature at the same anchors, corrected by
the same moves: a control variate. The bracket vanishes where the model is right, so that only what
the model gets wrong has the sample's error. The coefficient c is 1 for the first step of a column,
then that which would have been the best for its last move, between 0 and 1: over short moves few
rows of the sample cross the kink of a slope, and say more or less than all rows would. From there a
column steps once more, without a pass.

References
----------
Shamir, Srebro, Zhang: Communication-efficient distributed optimization using an approximate
Newton-type method, ICML 2014. Jordan, Lee, Yang: Communication-efficient distributed statistical
inference, JASA 114, 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distreg.glm.anchors import Sampled
from distreg.glm.between import Between
from distreg.glm.columns import request_of, values_of
from distreg.glm.problem import Problem
from distreg.glm.sample import evaluate_on, weights_of
from distreg.glm.secant import Pair
from distreg.summary import Sample

__all__ = ["Surrogate", "change_of"]

FEWEST_ROWS = 5
"""Rows of the sample for each coefficient below which its error is too large to be of use."""

SAME = 1e-9
"""Distance of two points, over their size, that is rounding."""


class Surrogate:
    """The problem on a sample of the rows.

    Attributes
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem, sample: Sample, n_threads: int) -> None:
        self.problem = problem
        self._evaluate = evaluate_on(sample, n_threads)
        self._seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._pairs: dict[int, list[tuple[Pair, Pair]]] = {}

    @classmethod
    def of(cls, problem: Problem, sample: Sample, n_threads: int) -> Surrogate | None:
        """The sample as a guide; None where it is none.

        Of sparse features it may hold no row or two, all rows need no guide, and with several
        classes it saved passes as often as it cost some.
        """
        small = problem.restricted(weights_of(sample, len(problem.role)))
        enough = sample.block.n_rows >= FEWEST_ROWS * problem.n_features
        seen = all(small.weight(s) > 0.0 for s in range(len(small.sets)))
        other = problem.n_dense < problem.n_features or problem.n_classes > 1
        if sample.whole or other or not (enough and seen):
            return None
        return cls(small, sample, n_threads)

    def curvature(
        self,
        sets: np.ndarray,
        coef: np.ndarray,
        intercept: np.ndarray,
        features: np.ndarray,
        cell_of: np.ndarray,
        single: bool,
    ) -> list[Sampled]:
        """Curvature at each of the points (n, C p), (n, C)."""
        anchors = np.arange(len(sets))
        request = request_of(
            self.problem, sets, coef, intercept, anchors, features, cell_of, single=single
        )
        found = self._evaluate(request).curvature
        return [Sampled(curvature, self.problem.cell_weight) for curvature in found]

    def gradients(
        self, sets: np.ndarray, coef: np.ndarray, intercept: np.ndarray, single: bool
    ) -> np.ndarray:
        """Negative gradients (n, C + C p) in intercepts and coefficients at the points."""
        nothing = np.empty(0, dtype=np.int64)
        features = np.arange(self.problem.n_features)
        cell_of = np.zeros(len(self.problem.role), dtype=np.int64)
        request = request_of(
            self.problem, sets, coef, intercept, nothing, features, cell_of, single=single
        )
        found = values_of(self.problem, sets, self._evaluate(request))
        return np.hstack([found.grad_intercept, found.grad])

    def forget(self) -> None:
        """Columns go on with other features."""
        self._seen, self._pairs = {}, {}

    def pairs(
        self, fit: int, pairs: Sequence[Pair], point: np.ndarray, grad: np.ndarray
    ) -> list[tuple[Pair, Pair]]:
        """What the last moves of a column have shown, of the full data and of the sample.

        Those that are known of both.

        Parameters
        ----------
        fit : int
        pairs : sequence of Pair
            Of the full data.
        point, grad : (C + P,) arrays
            Where the column stands, and the sample's negative gradient there.
        """
        both = [known for known in self._pairs.get(fit, []) if any(known[0] is p for p in pairs)]
        before, self._seen[fit] = self._seen.get(fit), (point, grad)
        if before is not None and len(pairs) and not any(pairs[-1] is p for p, _ in both):
            move = pairs[-1].move
            apart = np.abs(before[0] + move - point).max()
            if apart <= SAME * np.abs(point).max():
                both.append((pairs[-1], Pair(move, before[1] - grad)))
        self._pairs[fit] = both
        return both


def change_of(
    model: Between,
    sampled: Between,
    pairs: Sequence[tuple[Pair, Pair]],
    own: bool,
    move: np.ndarray,
    change: np.ndarray,
) -> np.ndarray:
    """Foreseen change (C + P,) of the full data's gradient over a move.

    Parameters
    ----------
    model, sampled : Between
        Curvature between anchors, of the full data and of the sample; corrected for `pairs` here.
    pairs : sequence of pairs of Pair
    own : bool
        Whether the curvature is the column's own, which needs no correction.
    move, change : (C + P,) arrays
        The change is that of the sample's gradient.
    """
    trust = 1.0
    if pairs:
        full, part = pairs[-1]
        missed = full.change - model.change_of(full.move)
        seen = part.change - sampled.change_of(full.move)
        size = float(seen @ seen)
        trust = float(np.clip(missed @ seen / size, 0.0, 1.0)) if size > 0.0 else 0.0
    if not own:
        model.correct([pair for pair, _ in pairs])
        sampled.correct([pair for _, pair in pairs])
    rest = trust * (change - sampled.change_of(move))
    return np.asarray(model.change_of(move) + rest)
