"""How the rounds go: what is shown while they run, and kept."""

from __future__ import annotations

import numpy as np

from distreg.admm.batch import Batch
from distreg.result import RoundsTrace

__all__ = ["Trace"]


class Trace:
    """The rounds so far, of all batches."""

    def __init__(self) -> None:
        self._rounds: list[tuple[float, float, float, int]] = []

    def add(self, batch: Batch, waiting: int) -> None:
        """A round that `batch` has taken; `waiting` fits are those of later batches."""
        primal, dual = _largest(batch.primal), _largest(batch.dual)
        rho = float(np.median(batch.rho))
        self._rounds.append((primal, dual, rho, batch.active.size + waiting))

    def title(self, n_left: int) -> str:
        """What is shown while the next round runs."""
        if not self._rounds:
            return f"ADMM, {n_left:,} fits"
        primal, dual, rho, _ = self._rounds[-1]
        return (
            f"ADMM, {n_left:,} fits left, residuals {primal:.0e} (primal) and {dual:.0e} (dual), "
            f"rho {rho:.2g}"
        )

    def result(self) -> RoundsTrace:
        """All rounds."""
        primal, dual, rho, active = zip(*self._rounds, strict=True)
        return RoundsTrace(*map(np.array, (primal, dual, rho, active)))


def _largest(residual: np.ndarray) -> float:
    """Largest one that is known, or NaN: where nothing moves there is nothing to compare with."""
    known = residual[np.isfinite(residual)]
    return float(known.max()) if known.size else np.nan
