"""One round of consensus in a group of blocks: what stays there, and what is returned.

Each *part* of the rows has coefficients b of its own, tied to the common w by scaled duals v with
the penalty ``c rho``. A part is a group of blocks, or each of them (`factor.widths`). A round takes
the new w, moves v and the rows' z and u (`kernels.splitting`), and then finds the b of the part
with its factor. Only sums of the size of w leave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm.factor import Factor, inner, outer, widths
from distreg.admm.frame import Frame
from distreg.admm.rows import Orders, Part, States, advanced, joined
from distreg.data.block import Block, Group
from distreg.kernels.splitting import RELAXATION
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["RIDGE", "State", "numbers_of_parts", "round_of"]

RIDGE = 1.0
"""Penalty c of ``b - w`` over that of ``Xb - z``, for each row of a part: features have unit scale.
With 0.3 eight parts took three times the rounds (docs/decisions/0016)."""


@dataclass
class Local:
    """What a part keeps.

    Attributes
    ----------
    weight : float
        c; 0 for a part without rows that are used.
    factor : Factor or None
    ahead : (p + 1, R) array
        The relaxed b plus v: from it and the next w follows the next v.
    coef : (p + 1, R) array
        b, the intercept last.
    """

    weight: float
    factor: Factor | None
    ahead: np.ndarray
    coef: np.ndarray


@dataclass
class State:
    """What a group keeps: a number for each row and column, and its parts."""

    rows: np.ndarray
    parts: list[Local]


def round_of(orders: Orders, cells: Cells, fit_intercept: bool) -> Round[State, Part, Part]:
    """The round that carries out `orders`, whose coefficients are the common ones.

    Products and total of what is returned are sums of ``c (b + v)``, b relaxed; the sums are those
    of `splitting.advance`, then ``c |b - w|^2`` and ``c |v|^2``.
    """

    def step_of(group: Group) -> Any:
        first, stop = group.row_range
        p = orders.frame.origin.size
        tall = widths([recipe.n_rows for recipe in group.recipes], p) == [p + 1]
        return partial(_step, cells.restrict(first, stop), tall, fit_intercept)

    return Round(orders.title, step_of, joined, lambda part: part, orders)


def numbers_of_parts(dataset: Dataset) -> int:
    """Numbers that all parts keep for a column, besides those of the rows."""
    p = dataset.n_features
    rows = ([recipe.n_rows for recipe in group.recipes] for group in dataset.groups)
    return 2 * (p + 1) * sum(len(widths(of, p)) for of in rows)


def _step(
    rule: Any,
    tall: bool,
    fit_intercept: bool,
    state: State | None,
    orders: Orders,
    blocks: Iterator[Block],
) -> tuple[State, Part]:
    """Move the state of a group on by one round, or make it from the common coefficients."""
    rows = States(None if state is None else state.rows, orders.keep)
    steps: list[_Step] = []
    total: Part | None = None
    for block in blocks:
        if not steps or not tall:
            kept = None if state is None else state.parts[len(steps)]
            steps.append(_Step(orders, kept, tall, fit_intercept))
        t = rows.of(block.n_rows)
        moved, found = steps[-1].add(block, rule(block.row, block.fold_key), t)
        rows.put(moved)
        total = found if total is None else joined(total, found)
        del block, found
    assert total is not None  # a group has a block
    kept_parts = [step.end(total) for step in steps]
    return State(rows.all, kept_parts), total


class _Step:
    """The round of one part. Without a state it is that of b = w, with the slopes there."""

    def __init__(self, orders: Orders, kept: Local | None, tall: bool, fit_intercept: bool) -> None:
        self._orders, self._kept, self._tall, self._intercept = orders, kept, tall, fit_intercept
        self._w = np.vstack([orders.coef, orders.intercept])
        self._right = np.zeros_like(self._w)
        self._product: np.ndarray | None = None
        self._n_rows = 0
        self._b, self._v = self._w, np.zeros_like(self._w)
        if kept is not None:
            self._b = kept.coef[:, orders.keep]
            dual = kept.ahead[:, orders.keep] - self._w
            self._v = dual * (orders.before / orders.rho)

    def add(self, block: Block, cells: np.ndarray, t: np.ndarray | None) -> tuple[np.ndarray, Part]:
        """Move the rows of a block on; returns their state, and what it says of them."""
        orders, kept, frame = self._orders, self._kept, self._orders.frame
        t, e, part = advanced(orders, block, cells, t, self._b[:-1], self._b[-1])
        part.products, part.total = np.zeros_like(orders.coef), np.zeros_like(orders.intercept)
        part.sums = np.vstack([part.sums, np.zeros((2, e.shape[1]))])
        used = frame.used(block, cells)
        if kept is None:
            self._begin(block, used)
        if kept is None or not self._tall:
            # what is left of where the rows want to be, at what b is drawn to
            near = self._w - self._v
            e -= frame.times(block, near[:-1], near[-1])
            if block.offset is not None:
                e += block.offset[:, None]
            e[~used] = 0.0
        if kept is not None and kept.factor is not None and not self._tall:
            e[used] = kept.factor.solve(e[used])
        self._right += _transposed(frame, block, e)
        return t, part

    def _begin(self, block: Block, used: np.ndarray) -> None:
        """Add up what the factor is made of."""
        rows = np.flatnonzero(used)
        product = (inner if self._tall else outer)(self._orders.frame, block, rows, self._intercept)
        self._product = product if self._product is None else self._product + product
        self._n_rows += rows.size

    def end(self, total: Part) -> Local:
        """The state with the next b; adds to `total` what it says of it."""
        kept, w = self._kept, self._w
        if not self._intercept:
            self._right[-1] = 0.0
        if kept is None:
            weight, factor = RIDGE * self._n_rows, None
            if weight > 0.0:
                assert self._product is not None
                factor = Factor(self._product, weight)
                # with it b = w is nearest
                self._v = self._right / weight
            b = w
        else:
            weight, factor = kept.weight, kept.factor
            b = w - self._v + self._right
            if self._tall and factor is not None:
                b = factor.solve(self._right + weight * (w - self._v))
        ahead = RELAXATION * b + (1.0 - RELAXATION) * w + self._v
        total.products += weight * ahead[:-1]
        total.total += weight * ahead[-1]
        total.sums[5] += weight * ((self._b - w) ** 2).sum(axis=0)
        total.sums[6] += weight * (self._v**2).sum(axis=0)
        return Local(weight, factor, ahead, b)


def _transposed(frame: Frame, block: Block, values: np.ndarray) -> np.ndarray:
    """Products (p + 1, R) with the features and with 1."""
    return np.vstack([frame.transposed(block, values), values.sum(axis=0)])
