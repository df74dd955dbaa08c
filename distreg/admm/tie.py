"""How the rows are tied to the coefficients that are penalised: by one system of all rows.

Another way is `consensus`: by a system of each part of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm import rows
from distreg.admm.dual import Strengths
from distreg.admm.frame import Gram
from distreg.admm.rows import Orders, Part
from distreg.kernels.splitting import RELAXATION
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.folds import Cells

__all__ = ["Reduced", "Tie"]


class Tie(ABC):
    """Makes the penalised coefficients w of R columns from what the rows return.

    Parameters
    ----------
    coef, intercept : (R, p), (R,) arrays
        Where to start, in the common frame.

    Attributes
    ----------
    w, w0 : (R, p), (R,) arrays
        Coefficients and intercepts that are certified.
    """

    def __init__(self, coef: np.ndarray, intercept: np.ndarray) -> None:
        self.w, self.w0 = coef.copy(), intercept.copy()
        self._moved = np.zeros_like(coef)

    @abstractmethod
    def split(self, strengths: Strengths, before: np.ndarray, rho: np.ndarray) -> None:
        """The step of w; `before` and `rho` (R,) as in `Orders`."""

    @property
    @abstractmethod
    def sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (R, p) and intercepts (R,) that the next round is given."""

    @abstractmethod
    def round(self, orders: Orders, cells: Cells) -> Round[Any, Part, Part]:
        """The round that carries out `orders`."""

    @abstractmethod
    def advance(self, part: Part, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take up what the rows returned.

        Returns the primal and the dual residual (R,), each relative to the size of what it is a
        change of; that of predictors counts as `least` (R,) at least.
        """

    @abstractmethod
    def rescale(self, factor: np.ndarray) -> None:
        """Follow a change of rho by `factor` (R,)."""

    @abstractmethod
    def back(self, chosen: np.ndarray) -> None:
        """Take back the first step of some columns, (R,) bool, for which rho was far off."""

    def leave_out(self, stay: np.ndarray) -> None:
        """Keep the columns `stay` only."""
        self.w, self.w0, self._moved = self.w[stay], self.w0[stay], self._moved[stay]


class Reduced(Tie):
    """Transpose reduction: all rows have the same b, which the eigenvectors of their products give.

    Parameters
    ----------
    gram : Gram
    ridge : float
        Penalty of ``b - w`` over that of ``Xb + b0 - z``, per row.
    fit_intercept : bool
    coef, intercept : (R, p), (R,) arrays
    """

    def __init__(
        self,
        gram: Gram,
        ridge: float,
        fit_intercept: bool,
        coef: np.ndarray,
        intercept: np.ndarray,
    ) -> None:
        super().__init__(coef, intercept)
        self._gram, self._ridge, self._fit_intercept = gram, ridge, fit_intercept
        self._b, self._b0 = coef.copy(), intercept.copy()
        self._previous = self._b, self._b0
        self._v = np.zeros_like(coef)

    def split(self, strengths: Strengths, before: np.ndarray, rho: np.ndarray) -> None:
        """The step of w and v."""
        ahead = RELAXATION * self._b + (1.0 - RELAXATION) * self.w
        w = strengths.prox(ahead + self._v, 1.0 / (self._ridge * rho))
        self._v += ahead - w
        self.w, self._moved = w, w - self.w
        self.w0 = self._b0

    @property
    def sent(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of all rows."""
        return self._b, self._b0

    def round(self, orders: Orders, cells: Cells) -> Round[Any, Part, Part]:
        """The round that carries out `orders`."""
        return rows.round_of(orders, cells)

    def advance(self, part: Part, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The step of b."""
        gram = self._gram
        n = gram.n_rows
        residuals = self._residuals(part.sums, least)
        right = (part.products - np.outer(gram.mean, part.total)) / n
        self._previous = self._b, self._b0
        self._b = gram.solve(right + self._ridge * (self.w - self._v).T, self._ridge).T
        if self._fit_intercept:
            self._b0 = part.total / n - self._b @ gram.mean
        return residuals

    def _residuals(self, sums: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = self._gram.n_rows
        e, change, u, z, square = sums
        share = self._ridge * n
        primal = e + share * ((self._b - self.w) ** 2).sum(axis=1)
        dual = change + share * (self._moved**2).sum(axis=1)
        size = np.maximum(square - z**2 / n, 0.0) + share * (self.w**2).sum(axis=1)
        size = np.maximum(size, n * least**2)
        u = u + share * (self._v**2).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(primal / size), np.sqrt(dual / u)

    def rescale(self, factor: np.ndarray) -> None:
        """The rows rescale their duals in the next round."""
        self._v = self._v / factor[:, None]

    def back(self, chosen: np.ndarray) -> None:
        """The first step of b is not taken."""
        coef, intercept = self._previous
        self._b[chosen], self._b0[chosen] = coef[chosen], intercept[chosen]

    def leave_out(self, stay: np.ndarray) -> None:
        """Keep the columns `stay` only."""
        super().leave_out(stay)
        self._b, self._b0, self._v = self._b[stay], self._b0[stay], self._v[stay]
