"""What all columns of a batch do from round to round, whatever their loss.

For each column, with features X of n rows in the common frame, ``z = Xb + b0`` and ``w = b`` are
split off and tied by scaled duals u and v with the penalties rho and ``ridge rho n``. A round makes
z and u in the rows; b follows by a `Tie`. Rows that do not train a column have no loss, and keep
``z = Xb + b0``, so that the systems are the same whatever rho and the training set are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm.consensus import Consensus
from distreg.admm.dual import Strengths
from distreg.admm.frame import Frame, Gram
from distreg.admm.rows import Orders, Part
from distreg.admm.span import Span
from distreg.admm.tie import Reduced, Tie
from distreg.glm.columns import Scores
from distreg.glm.problem import Fits, Problem
from distreg.penalties import Box
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.folds import Cells

__all__ = ["Answers", "Batch", "Setting"]


@dataclass(frozen=True)
class Setting:
    """What all batches share.

    Attributes
    ----------
    problem : Problem
    fits : Fits
    cells : Cells
    frame : Frame
    gram : Gram or None
        Products of the features; without them the columns are fitted by consensus.
    span : Span
        The space of unpenalised features.
    n_rows : int
        Rows that are used, each counted once.
    unit : (S,) array
        Objective of the null model of each training set.
    rho : (S,) array
        Where rho starts: about the curvature of the loss.
    tol : float
        Largest gap over the unit.
    """

    problem: Problem
    fits: Fits
    cells: Cells
    frame: Frame
    gram: Gram | None
    span: Span
    n_rows: int
    unit: np.ndarray
    rho: np.ndarray
    tol: float

    @property
    def weight(self) -> np.ndarray:
        """(S,) weights of the training sets."""
        return np.array([self.problem.weight(s) for s in range(len(self.problem.sets))])

    def strengths(self, chosen: np.ndarray) -> Strengths:
        """Penalties of some fits on the coefficients of the common frame."""
        problem = self.problem
        sets = np.unravel_index(chosen, self.fits.shape)[0]
        scale = np.array([of.summary.scale for of in problem.sets])[sets] / self.frame.scale
        usable = np.array([of.summary.usable for of in problem.sets])[sets]
        lasso, ridge = self.fits.strengths(problem, chosen)
        box = self.fits.box(problem, chosen)
        return Strengths(
            np.where(usable, lasso * scale, np.inf),
            ridge * scale**2,
            None if box is None else Box(box.lower / scale, box.upper / scale),
        )


@dataclass(frozen=True)
class Answers:
    """The best points of R columns in the common frame, and what is known of them.

    Attributes
    ----------
    coef, intercept : (R, p), (R,) arrays
    objective, loss, gap, violation : (R,) arrays
    scores : Scores
    """

    coef: np.ndarray
    intercept: np.ndarray
    objective: np.ndarray
    loss: np.ndarray
    gap: np.ndarray
    violation: np.ndarray
    scores: Scores


class Batch(ABC):
    """Columns that share rounds: their variables, and which of them are not certified yet.

    Parameters
    ----------
    setting : Setting
    chosen : (R,) int array
        Numbers of the fits; their training sets ascend.
    coef, intercept : (R, p), (R,) arrays
        Where to start, in the common frame.

    Attributes
    ----------
    active : (n,) int array
        Places of the columns that are left.
    rho : (n,) array
        Their penalties of ``Xb + b0 - z``.
    primal, dual : (n,) arrays
        Their residuals in the last round, each relative to the size of what it is a change of.
    """

    _RIDGE: float
    """Penalty of ``b - w`` over that of ``Xb + b0 - z``, per row."""

    def __init__(
        self, setting: Setting, chosen: np.ndarray, coef: np.ndarray, intercept: np.ndarray
    ) -> None:
        self._setting, self._chosen = setting, chosen
        self._sets = np.unravel_index(chosen, setting.fits.shape)[0]
        self._strengths = setting.strengths(chosen)
        self.active = np.arange(chosen.size)
        self._keep = np.arange(chosen.size)
        rule = self._RIDGE, setting.problem.fit_intercept
        self._tie: Tie
        if setting.gram is None:
            self._tie = Consensus(setting.n_rows, rule[1], coef, intercept)
        else:
            self._tie = Reduced(setting.gram, *rule, coef, intercept)
        self.rho = setting.rho[self._sets]
        self._before = self.rho.copy()
        self.primal = self.dual = np.full(chosen.size, np.nan)

    @abstractmethod
    def checks(self, k: int) -> bool:
        """Whether round k certifies columns."""

    @abstractmethod
    def adapt(self, part: Part, k: int) -> None:
        """Change rho after round k, or not."""

    @abstractmethod
    def certify(self, part: Part, k: int) -> None:
        """Take up what round k says of the points, and leave out columns that are certified."""

    @abstractmethod
    def answers(self) -> Answers:
        """The best points of all columns."""

    @abstractmethod
    def _point(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n, p) and intercepts (n,) that round k evaluates."""

    def _follows(self, k: int) -> bool:
        """Whether round k looks for kinks about the last point that it evaluates."""
        return False

    def _near(self, k: int) -> np.ndarray:
        """Distances (n,) from a kink at which round k returns rows."""
        return np.zeros(self.active.size)

    @property
    def _least(self) -> np.ndarray:
        """Least size (n,) of predictors to which primal residuals are relative."""
        return np.zeros(self.active.size)

    @property
    def _now(self) -> Strengths:
        return self._strengths.of(self.active)

    @property
    def _w(self) -> np.ndarray:
        return self._tie.w

    @property
    def _w0(self) -> np.ndarray:
        return self._tie.w0

    def round(self, k: int, check: bool, title: str) -> Round[Any, Part, Part]:
        """The step of w, and round k that follows."""
        setting = self._setting
        self._tie.split(self._now, self._before, self.rho)
        coef, intercept = self._tie.sent
        point = self._point(k) if check else None
        orders = Orders(
            loss=setting.problem.loss,
            frame=setting.frame,
            role=setting.problem.role,
            sets=self._sets[self.active],
            unit=setting.n_rows / setting.weight,
            coef=np.ascontiguousarray(coef.T),
            intercept=intercept,
            before=self._before,
            rho=self.rho,
            keep=self._keep,
            point=point and (np.ascontiguousarray(point[0].T), point[1]),
            about=self._follows(k),
            radius=self._near(k),
            title=title,
        )
        self._keep, self._before = np.arange(self.active.size), self.rho.copy()
        return self._tie.round(orders, setting.cells)

    def advance(self, part: Part) -> None:
        """The step of b, from what the rows returned."""
        self.primal, self.dual = self._tie.advance(part, self._least)

    def _apart(self, grad: np.ndarray, coef: np.ndarray) -> np.ndarray:
        """What negative gradients (n, p) of unpenalised features leave open, as `Span.apart`."""
        free = self._strengths.free[self.active]
        return self._setting.span.apart(self._sets[self.active], free, grad, coef)

    def _rescale(self, factor: np.ndarray) -> None:
        """Multiply rho; the rows rescale their duals in the next round."""
        self.rho = self.rho * factor
        self._tie.rescale(factor)

    def _leave_out(self, done: np.ndarray) -> np.ndarray:
        """Drop columns; returns the places of those that stay."""
        stay = np.flatnonzero(~done)
        self._keep, self.active = stay, self.active[stay]
        self._tie.leave_out(stay)
        for name in ("rho", "_before", "primal", "dual"):
            setattr(self, name, getattr(self, name)[stay])
        return stay
