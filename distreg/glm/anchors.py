"""Where the curvature is known, and the metric that follows for every column."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distreg.evaluation import Curvature
from distreg.glm.between import Between
from distreg.glm.metric import Metric, edges_of, metric_of
from distreg.glm.problem import Fits, Problem, curvature_bytes, joined_cells
from distreg.threads import mapped

__all__ = ["FEW", "N_ANCHORS", "ONE_STEP_ANCHORS", "Anchor", "Anchors", "Sampled"]

N_ANCHORS = 5
"""Fits of a path at which a pass takes curvature."""

ONE_STEP_ANCHORS = 8
"""The same where folds take one step: they have no second to correct it."""

OWN_BYTES = 256_000_000
"""Curvature that a task may hold when every training set has anchors of its own."""

FEATURE_BYTES = 512_000_000
"""Curvature of all features that a task may hold; beyond it a working set of features has some."""

METRIC_BYTES = 256_000_000
"""Metrics of all training sets that are kept between steps; beyond it they are made again for one
training set after the other."""

FEW = 16
"""Columns that are left to the end have anchors each: a pass costs more than their curvature."""


class Sampled(NamedTuple):
    """Curvature of a sample, and the weight of its rows."""

    curvature: Curvature
    cell_weight: np.ndarray


@dataclass(frozen=True)
class Anchor:
    """Curvature at one fit: training set, path and place on it, and the weight of its rows.

    Also the same of a sample of the rows; None where that is what the curvature is of.
    """

    s: int
    path: int
    index: int
    curvature: Curvature
    cell_weight: np.ndarray
    sampled: Sampled | None = None


class Anchors:
    """Curvature at some fits, and between them.

    Parameters
    ----------
    problem : Problem
    fits : Fits
    n_threads : int
    n_anchors : int
        Fits of a path at which curvature is taken at once.
    few : int
        Fits that have anchors each, where a task may hold them.

    Attributes
    ----------
    held : list of Anchor
        The curvature in use.
    own : set of int
        Training sets for which the full data's curvature is no good guide.
    features : (w,) int array
        Features that curvature is taken of.
    cell_of : (n_cells,) int array
        Cells that share it.
    """

    def __init__(
        self, problem: Problem, fits: Fits, n_threads: int, n_anchors: int, few: int = FEW
    ) -> None:
        self.problem, self.fits = problem, fits
        self.held: list[Anchor] = []
        self.own: set[int] = set()
        self._before: list[Anchor] = []
        self._last: np.ndarray | None = None
        self._n_threads, self._n_anchors, self._few = n_threads, n_anchors, few
        self.features = np.arange(problem.n_features)
        self.cell_of = joined_cells(problem, fits.shape[1] * n_anchors)
        self._metrics: dict[tuple[int, int, bool], Metric] = {}
        self._edges: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._length = np.zeros(fits.shape[1:])
        self._nearby: dict[int, tuple[int, int, float] | None] = {}
        self._places: dict[tuple[int, int], list[tuple[int, int]]] = {}

    @property
    def columns(self) -> np.ndarray | slice:
        """Where the coefficients of the known curvature are among all (class by class)."""
        p, n_classes = self.problem.n_features, self.problem.n_classes
        features = self.held[0].curvature.features if self.held else self.features
        if features.size == p:
            return slice(None)
        return np.add.outer(p * np.arange(n_classes), features).ravel()

    @property
    def many_fit(self) -> bool:
        """Whether every training set may have anchors of its own."""
        return self.room >= self.fits.n_sets * self.fits.shape[1] * self._n_anchors

    @property
    def room(self) -> int:
        """Anchors that a task may hold."""
        width = self.problem.n_classes * self.features.size
        return OWN_BYTES // max(curvature_bytes(width, 1, int(self.cell_of.max()) + 1), 1)

    def watch(self, features: np.ndarray, most: int | None = None) -> None:
        """Take curvature of these features (ascending) from now on.

        Cells share it where that of each would have more than `most` bytes; default:
        `FEATURE_BYTES`.
        """
        self.features = features
        n_anchors = self.fits.shape[1] * self._n_anchors
        most = FEATURE_BYTES if most is None else most
        self.cell_of = joined_cells(self.problem, n_anchors, features.size, most)

    def renew(
        self,
        fits: np.ndarray,
        curvature: Sequence[Curvature],
        sampled: Sequence[Sampled | None],
    ) -> bool:
        """Take new curvature, and that of a sample; what the same training sets had goes.

        Returns whether the former curvature was of other features.
        """
        if self.held:
            self._last = self.held[0].curvature.features
        other = self._last is not None and not np.array_equal(self._last, self.features)
        self._last = self.features
        if other:
            self.held = []
        new = [
            Anchor(*self.fits.of(int(fit)), found, self.problem.cell_weight, of_sample)
            for fit, found, of_sample in zip(fits, curvature, sampled, strict=True)
        ]
        renewed = {anchor.s for anchor in new}
        self._before = self.held
        self.held = [anchor for anchor in self.held if anchor.s not in renewed] + new
        self._metrics, self._edges, self._places = {}, {}, {}
        return other

    def drop(self, fits: np.ndarray) -> None:
        """Go back to the former curvature where nobody moves to the point of the new one."""
        refused = {self.fits.of(int(fit)) for fit in fits}
        if refused:
            kept = [a for a in self.held if (a.s, a.path, a.index) not in refused]
            former = [a for a in self._before if (a.s, a.path, a.index) in refused]
            self.held = kept + former
            self._metrics, self._edges, self._places = {}, {}, {}

    def choose(
        self, fits: np.ndarray, trial: np.ndarray, n_anchors: int | None = None
    ) -> np.ndarray:
        """Fits spread over the range that is being worked on, of the full data.

        Evenly by the length of the path of the coefficients, along which the curvature changes.
        Training sets for which that is no good guide have anchors of their own.

        Parameters
        ----------
        fits : (n,) int array
        trial : (F, C p) array
            Scaled coefficients of all fits.
        n_anchors : int, optional
            Fits of a path; default: as many as always.
        """
        n_anchors = n_anchors or self._n_anchors
        if fits.size <= min(self._few, self.room):
            return fits
        sets, paths, index = np.unravel_index(fits, self.fits.shape)
        chosen = []
        for path in np.unique(paths):
            first, last = index[paths == path].min(), index[paths == path].max()
            start = int(np.ravel_multi_index((0, int(path), 0), self.fits.shape))
            coef = trial[start : start + self.fits.shape[2]]
            self._length[path, 1:] = np.cumsum(np.linalg.norm(np.diff(coef, axis=0), axis=1))
            chosen.append(start + self._spread(int(path), first, last, n_anchors))
            for s in self.own if self.many_fit else ():
                own = index[(paths == path) & (sets == s)]
                if own.size:
                    start = int(np.ravel_multi_index((s, int(path), 0), self.fits.shape))
                    place = int(path), own.min(), own.max(), n_anchors
                    chosen.append(start + self._spread(*place))
        return np.unique(np.concatenate(chosen))

    def _spread(self, path: int, first: int, last: int, n_anchors: int) -> np.ndarray:
        length = self._length[path, first : last + 1]
        marks = np.linspace(length[0], length[-1], n_anchors)
        found: np.ndarray = np.unique(np.searchsorted(length, marks).clip(0, last - first))
        return first + found

    def prepare(self, fits: np.ndarray, sampled: bool = False) -> None:
        """Anchors around `fits`, of one training set, and the metrics that they need.

        Those of the sample, too, if `sampled`.
        """
        s = self.fits.of(int(fits[0]))[0]
        self._places = {}
        self._nearby = {int(fit): self._around(int(fit)) for fit in fits}
        around = {i for found in self._nearby.values() if found is not None for i in found[:2]}
        kinds = (False, True) if sampled else (False,)
        used = {(i, s, kind) for i in around for kind in kinds}
        n_kept = len(self.held) * self.fits.n_sets * len(kinds)
        width = self.problem.n_classes * self.held[0].curvature.features.size if self.held else 0
        if curvature_bytes(width, n_kept, 1) > METRIC_BYTES:
            self._metrics = {key: self._metrics[key] for key in used & self._metrics.keys()}
        keys = sorted(used - self._metrics.keys())
        self._metrics.update(zip(keys, mapped(self._n_threads, self._make, keys), strict=True))

    def _make(self, key: tuple[int, int, bool]) -> Metric:
        anchor, training = self.held[key[0]], self.problem.sets[key[1]]
        found: Anchor | Sampled = anchor
        if key[2] and anchor.sampled is not None:
            found = anchor.sampled
        return metric_of(found.curvature, training, found.cell_weight, self.problem.n_classes)

    def is_at(self, fit: int) -> bool:
        """Whether curvature was taken at this fit."""
        return self.fits.of(fit) in {(a.s, a.path, a.index) for a in self.held}

    def between(self, fit: int, sampled: bool = False) -> Between | None:
        """Curvature for a fit, interpolated between the nearest anchors of its path.

        That of the sample if `sampled`. None where nothing is known. The fit is `prepare`d.
        """
        around = self._nearby[fit]
        if around is None:
            return None
        left, right, share = around
        s = self.fits.of(fit)[0]
        of = self._metrics
        return Between(of[left, s, sampled], of[right, s, sampled], share)

    def edges(self, fit: int) -> tuple[np.ndarray, np.ndarray] | None:
        """What the curvature for a fit says of its intercepts: corner (C, C) and cross (C, P)."""
        around = self._around(fit)
        if around is None:
            return None
        left, right = (self._edge(i, self.fits.of(fit)[0]) for i in around[:2])
        keep, share = 1.0 - around[2], around[2]
        return keep * left[0] + share * right[0], keep * left[1] + share * right[1]

    def _edge(self, i: int, s: int) -> tuple[np.ndarray, np.ndarray]:
        if (i, s) not in self._edges:
            anchor, training = self.held[i], self.problem.sets[s]
            self._edges[i, s] = edges_of(
                anchor.curvature, training, anchor.cell_weight, self.problem.n_classes
            )
        return self._edges[i, s]

    def _around(self, fit: int) -> tuple[int, int, float] | None:
        """Anchors around a fit, and the share of the second."""
        s, path, index = self.fits.of(fit)
        places = self._places.get((s, path))
        if places is None:
            places = self._places[s, path] = self._on_path(s, path)
        if not places:
            return None
        at = bisect_left(places, (index, -1))
        high = places[min(at, len(places) - 1)]
        low = high if high[0] <= index else places[max(at - 1, 0)]
        if low == high:
            return low[1], low[1], 0.0
        length = self._length[path]
        way = length[high[0]] - length[low[0]]
        share = (length[index] - length[low[0]]) / way if way > 0.0 else 0.0
        return low[1], high[1], float(np.clip(share, 0.0, 1.0))

    def _on_path(self, s: int, path: int) -> list[tuple[int, int]]:
        """Places and numbers of the anchors for a path of a training set, in order."""
        usable = [(i, a) for i, a in enumerate(self.held) if a.s in (0, s)]
        on_path = [(i, a) for i, a in usable if a.path == path] or usable
        own = s if any(a.s == s for _, a in on_path) else 0
        return sorted((a.index, i) for i, a in on_path if a.s == own)
