"""Consensus: every part of the rows has coefficients of its own, which rounds bring together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm import local
from distreg.admm.dual import Strengths
from distreg.admm.rows import Orders, Part
from distreg.admm.tie import Tie
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.folds import Cells

__all__ = ["Consensus"]


class Consensus(Tie):
    """Block splitting: w follows from the mean of the parts' coefficients and duals.

    Parameters
    ----------
    n_rows : int
    fit_intercept : bool
    coef, intercept : (R, p), (R,) arrays

    References
    ----------
    Parikh, Boyd: Block splitting for distributed optimization, 2014, for blocks of rows.
    """

    def __init__(
        self, n_rows: int, fit_intercept: bool, coef: np.ndarray, intercept: np.ndarray
    ) -> None:
        super().__init__(coef, intercept)
        self._n_rows, self._fit_intercept = n_rows, fit_intercept
        self._mean: np.ndarray | None = None

    def split(self, strengths: Strengths, before: np.ndarray, rho: np.ndarray) -> None:
        """The step of w, with the penalty for which the parts' duals are scaled."""
        if self._mean is None:
            return
        w = strengths.prox(self._mean[:, :-1], 1.0 / (local.RIDGE * before))
        self.w, self._moved = w, w - self.w
        self.w0 = self._mean[:, -1]

    @property
    def sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Those that the parts are tied to."""
        return self.w, self.w0

    def round(self, orders: Orders, cells: Cells) -> Round[Any, Part, Part]:
        """The round that carries out `orders`."""
        return local.round_of(orders, cells, self._fit_intercept)

    def advance(self, part: Part, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take up the mean."""
        n = self._n_rows
        share = local.RIDGE * n
        self._mean = np.vstack([part.products, part.total]).T / share
        e, change, u, z, square, apart, v = part.sums
        primal = e + apart
        dual = change + share * (self._moved**2).sum(axis=1)
        size = np.maximum(square - z**2 / n, 0.0) + share * (self.w**2).sum(axis=1)
        size = np.maximum(size, n * least**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(primal / size), np.sqrt(dual / (u + v))

    def rescale(self, factor: np.ndarray) -> None:
        """The parts rescale their duals in the next round."""

    def back(self, chosen: np.ndarray) -> None:
        """In the first round the parts stay where they begin."""

    def leave_out(self, stay: np.ndarray) -> None:
        """Keep the columns `stay` only."""
        super().leave_out(stay)
        if self._mean is not None:
            self._mean = self._mean[stay]
