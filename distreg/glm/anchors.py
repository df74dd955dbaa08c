"""Where the curvature is known, and the metric that follows for every column."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from distreg.evaluation import Curvature
from distreg.glm.metric import Metric, metric_of, mixed
from distreg.glm.problem import Fits, Problem, joined_cells

__all__ = ["Anchor", "Anchors"]

OWN_BYTES = 256_000_000
"""Curvature that a task may hold when every training set has anchors of its own."""

METRIC_BYTES = 512_000_000
"""Metrics that are kept at once; more training sets than that have theirs made in turn."""

FEW = 16
"""Columns that are left to the end have anchors each."""


@dataclass(frozen=True)
class Anchor:
    """Curvature at one fit: training set, path and place on it, and the weight of its rows."""

    s: int
    path: int
    index: int
    curvature: Curvature
    cell_weight: np.ndarray


class Anchors:
    """Curvature at some fits, and between them.

    Parameters
    ----------
    problem : Problem
    fits : Fits
    n_threads : int
    n_anchors : int
        Fits of a path at which curvature is taken at once.

    Attributes
    ----------
    held : list of Anchor
        The curvature in use.
    own : set of int
        Training sets for which the full data's curvature is no good guide.
    """

    def __init__(self, problem: Problem, fits: Fits, n_threads: int, n_anchors: int) -> None:
        self.problem, self.fits = problem, fits
        self.held: list[Anchor] = []
        self.own: set[int] = set()
        self._before: list[Anchor] = []
        self._n_threads, self._n_anchors = n_threads, n_anchors
        width = problem.n_classes * problem.n_features
        n_cells = int(joined_cells(problem, fits.shape[1] * n_anchors).max()) + 1
        # folds may have anchors of their own where memory allows
        most = 8 * fits.n_sets * fits.shape[1] * n_anchors * n_cells * width**2
        self._many_fit = most <= OWN_BYTES
        self._metrics: dict[tuple[int, int], Metric] = {}
        self._length = np.zeros(fits.shape[1:])

    def renew(self, fits: np.ndarray, curvature: Sequence[Curvature]) -> None:
        """Take new curvature; what the same training sets had goes."""
        new = [
            Anchor(*self.fits.of(int(fit)), found, self.problem.cell_weight)
            for fit, found in zip(fits, curvature, strict=True)
        ]
        renewed = {anchor.s for anchor in new}
        self._before = self.held
        self.held = [anchor for anchor in self.held if anchor.s not in renewed] + new
        self._metrics = {}

    def drop(self, fits: np.ndarray) -> None:
        """Go back to the former curvature where nobody moves to the point of the new one."""
        refused = {self.fits.of(int(fit)) for fit in fits}
        if refused:
            kept = [a for a in self.held if (a.s, a.path, a.index) not in refused]
            former = [a for a in self._before if (a.s, a.path, a.index) in refused]
            self.held, self._metrics = kept + former, {}

    def choose(self, fits: np.ndarray, trial: np.ndarray) -> np.ndarray:
        """Fits spread over the range that is being worked on, of the full data.

        Evenly by the length of the path of the coefficients, along which the curvature changes.
        Training sets for which that is no good guide have anchors of their own.

        Parameters
        ----------
        fits : (n,) int array
        trial : (F, C p) array
            Scaled coefficients of all fits.
        """
        if fits.size <= FEW and self._many_fit:
            return fits
        sets, paths, index = np.unravel_index(fits, self.fits.shape)
        chosen = []
        for path in np.unique(paths):
            first, last = index[paths == path].min(), index[paths == path].max()
            start = int(np.ravel_multi_index((0, int(path), 0), self.fits.shape))
            coef = trial[start : start + self.fits.shape[2]]
            self._length[path, 1:] = np.cumsum(np.linalg.norm(np.diff(coef, axis=0), axis=1))
            chosen.append(start + self._spread(int(path), first, last))
            for s in self.own if self._many_fit else ():
                own = index[(paths == path) & (sets == s)]
                if own.size:
                    start = int(np.ravel_multi_index((s, int(path), 0), self.fits.shape))
                    chosen.append(start + self._spread(int(path), own.min(), own.max()))
        return np.unique(np.concatenate(chosen))

    def _spread(self, path: int, first: int, last: int) -> np.ndarray:
        length = self._length[path, first : last + 1]
        marks = np.linspace(length[0], length[-1], self._n_anchors)
        found: np.ndarray = np.unique(np.searchsorted(length, marks).clip(0, last - first))
        return first + found

    def batches(self, fits: np.ndarray) -> list[np.ndarray]:
        """`fits` (ascending) in parts of whole training sets whose metrics may be kept at once."""
        width = self.problem.n_classes * (self.problem.n_features + 1)
        most = max(1, METRIC_BYTES // (8 * max(len(self.held), 1) * width**2))
        sets, first = np.unique(np.unravel_index(fits, self.fits.shape)[0], return_index=True)
        return np.split(fits, first[most : sets.size : most])

    def prepare(self, fits: np.ndarray) -> None:
        """Metrics of all anchors for the training sets of `fits`, one of `batches`."""
        if len(self.batches(np.arange(self.fits.size))) > 1:
            wanted = set(np.unravel_index(fits, self.fits.shape)[0].tolist())
            self._metrics = {k: metric for k, metric in self._metrics.items() if k[1] in wanted}
        keys = [
            (i, int(s))
            for i in range(len(self.held))
            for s in np.unique(np.unravel_index(fits, self.fits.shape)[0])
            if (i, int(s)) not in self._metrics and self.held[i].s in (0, s)
        ]

        def make(key: tuple[int, int]) -> Metric:
            training = self.problem.sets[key[1]]
            anchor = self.held[key[0]]
            return metric_of(anchor.curvature, training, anchor.cell_weight, self.problem.n_classes)

        with ThreadPoolExecutor(self._n_threads) as pool:
            self._metrics.update(zip(keys, pool.map(make, keys), strict=True))

    def metric(self, fit: int) -> Metric | None:
        """Curvature for a fit, interpolated between the nearest anchors of its path.

        None where nothing is known.
        """
        around = self._between(fit)
        return None if around is None else mixed(*around)

    def intercept_metric(self, fit: int) -> tuple[np.ndarray, np.ndarray] | None:
        """What the metric of a fit says of its intercepts: corner (C, C) and cross (C, P)."""
        around = self._between(fit)
        if around is None:
            return None
        left, right, share = around
        keep = 1.0 - share
        return keep * left.corner + share * right.corner, keep * left.cross + share * right.cross

    def _between(self, fit: int) -> tuple[Metric, Metric, float] | None:
        """Metrics of the anchors around a fit, and the share of the second."""
        s, path, index = self.fits.of(fit)
        usable = [(a.s, a.index, i, a.path) for i, a in enumerate(self.held) if a.s in (0, s)]
        near = [a[:3] for a in usable if a[3] == path]
        on_path = near or [a[:3] for a in usable]
        if not on_path:
            return None
        own = s if any(a == s for a, _, _ in on_path) else 0
        places = [(place, i) for a, place, i in on_path if a == own]
        low = max((p for p in places if p[0] <= index), default=min(places))
        high = min((p for p in places if p[0] >= index), default=max(places))
        left = self._metrics[low[1], s]
        if low == high:
            return left, left, 0.0
        length = self._length[path]
        way = length[high[0]] - length[low[0]]
        share = (length[index] - length[low[0]]) / way if way > 0.0 else 0.0
        return left, self._metrics[high[1], s], float(np.clip(share, 0.0, 1.0))
