"""What a sample of the rows says that the quadratic models leave out.

A model has the exact gradient of the full data, but the curvature of the nearest anchors: it knows
neither that curvature changes along a step, nor that the column's own is another one. The sample
knows both, with an error of about sqrt(p / m) for m rows. So the gradient after a step d from x to z
is foreseen as

    g(z) ~ g(x) - M d - [s(x) - s(z) - M_s d],

with s the negative gradient of the sample and M_s its curvature at the same anchors: a control
variate. The bracket vanishes where the model is right, so that only what the model gets wrong has
the sample's error. From there a column steps once more, without a pass.

References
----------
Shamir, Srebro, Zhang: Communication-efficient distributed optimization using an approximate
Newton-type method, ICML 2014. Jordan, Lee, Yang: Communication-efficient distributed statistical
inference, JASA 114, 2019.
"""

from __future__ import annotations

import numpy as np

from distreg.glm.anchors import Sampled
from distreg.glm.columns import Values, request_of, values_of
from distreg.glm.problem import Problem
from distreg.glm.sample import evaluate_on, weights_of
from distreg.summary import Sample

__all__ = ["Surrogate"]

FEWEST_ROWS = 5
"""Rows of the sample for each coefficient below which its error is too large to be of use."""


class Surrogate:
    """The problem on a sample of the rows.

    Attributes
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem, sample: Sample, n_threads: int) -> None:
        self.problem = problem
        self._evaluate = evaluate_on(sample, n_threads)

    @classmethod
    def of(cls, problem: Problem, sample: Sample, n_threads: int) -> Surrogate | None:
        """The sample as a guide; None where it is none.

        Of sparse features it may hold no row or two, and all rows need no guide.
        """
        small = problem.restricted(weights_of(sample, len(problem.role)))
        enough = sample.block.n_rows >= FEWEST_ROWS * problem.n_features * problem.n_classes
        seen = all(small.weight(s) > 0.0 for s in range(len(small.sets)))
        if sample.whole or not (enough and seen) or problem.n_dense < problem.n_features:
            return None
        return cls(small, sample, n_threads)

    def curvature(
        self,
        sets: np.ndarray,
        coef: np.ndarray,
        intercept: np.ndarray,
        features: np.ndarray,
        cell_of: np.ndarray,
    ) -> list[Sampled]:
        """Curvature at each of the points (n, C p), (n, C)."""
        request = request_of(
            self.problem, sets, coef, intercept, np.arange(len(sets)), features, cell_of
        )
        found = self._evaluate(request).curvature
        return [Sampled(curvature, self.problem.cell_weight) for curvature in found]

    def values(self, sets: np.ndarray, coef: np.ndarray, intercept: np.ndarray) -> Values:
        """Gradients at the points."""
        nothing = np.empty(0, dtype=np.int64)
        features = np.arange(self.problem.n_features)
        cell_of = np.zeros(len(self.problem.role), dtype=np.int64)
        request = request_of(self.problem, sets, coef, intercept, nothing, features, cell_of)
        return values_of(self.problem, sets, self._evaluate(request))
