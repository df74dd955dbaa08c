"""When columns are done, and whether they get there soon with the curvature in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distreg.glm.columns import Columns

__all__ = ["Tolerance", "slow_sets"]

POOR_CONTRACTION = 0.3
"""Share of the violation that a step with fresh curvature of the full data may leave; training sets
with many worse columns get curvature of their own."""

PATIENCE, SLOW_SHARE = 2.0, 0.1
"""Steps that columns may still need, and the share that may need more, before the curvature is
taken anew."""


@dataclass(frozen=True)
class Tolerance:
    """When a column is done.

    Attributes
    ----------
    violation, gap : float
        KKT violation over the null gradient, gap over the null objective.
    single : bool
        Whether all may be of single precision, and need not hold whatever that has rounded.
    """

    violation: float
    gap: float
    single: bool = False


def slow_sets(
    columns: Columns,
    fits: np.ndarray,
    before: np.ndarray,
    unit: np.ndarray,
    null: np.ndarray,
    tolerance: Tolerance,
) -> tuple[set[int], set[int]]:
    """Training sets with many columns that need more than `PATIENCE` steps at their rate.

    Also those where a step left more than `POOR_CONTRACTION` of the violation.

    Parameters
    ----------
    columns : Columns
    fits, before : (n,) arrays
        Fits that have moved, and their violations before.
    unit, null : (S,) arrays
        Null gradients and objectives of the training sets.
    tolerance : Tolerance
    """
    sets, n_sets = np.unravel_index(fits, columns.fits.shape)[0], columns.fits.n_sets
    # in a neighbour's place a column has no violation yet: there twice, it has made no progress
    kept = ~columns.done[fits]
    left, s = fits[kept], sets[kept]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = np.log(columns.violation[left] / before[kept])
        excess = np.log(columns.violation[left] / (tolerance.violation * unit[s]))
        # the gap is of second order in the violation
        second = 0.5 * np.log(columns.gap[left] / (tolerance.gap * null[s]))
        steps = np.where(rate < 0.0, np.maximum(excess, second) / -rate, np.inf)
    enough = SLOW_SHARE * np.bincount(sets, minlength=n_sets)

    def many(mask: np.ndarray) -> set[int]:
        found = np.bincount(s, mask, n_sets)
        return {int(i) for i in np.flatnonzero(found > enough)}

    return many(steps > PATIENCE), many(rate > np.log(POOR_CONTRACTION))
