"""One round of consensus in a group of blocks: what stays there, and what is returned.

Each *part* of the rows has coefficients b of its own, tied to the common w by scaled duals v with
the penalty ``c rho``. A part is a group of blocks or, where a group has fewer rows than features,
each of its blocks. A round takes the new w, moves v and the rows' z and u (`kernels.splitting`),
and then finds the b of the part with its factor. Only sums of the size of w leave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm.factor import Factor, inner, outer
from distreg.admm.frame import Frame
from distreg.admm.rows import Orders
from distreg.data.block import Block, Group
from distreg.kernels import splitting
from distreg.kernels.rows import TRAIN
from distreg.kernels.splitting import RELAXATION
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.folds import Cells

__all__ = ["RIDGE", "Reply", "State", "round_of"]

RIDGE = 0.3
"""Penalty c of ``b - w`` over that of ``Xb - z``, for each row of a part."""


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


@dataclass
class Reply:
    """What some groups return.

    Attributes
    ----------
    total : (p + 1, R) array
        Sum of ``c (b + v)``, b relaxed.
    weight : float
        Sum of c.
    sums : (7, R) array
        Those of `splitting.advance`, then sums of ``c |b - w|^2`` and ``c |v|^2``.
    """

    total: np.ndarray
    weight: float
    sums: np.ndarray


def round_of(orders: Orders, cells: Cells, fit_intercept: bool) -> Round[State, Reply, Reply]:
    """The round that carries out `orders`, whose coefficients are the common ones."""

    def step_of(group: Group) -> Any:
        first, stop = group.row_range
        tall = stop - first > orders.frame.origin.size
        return partial(_step, cells.restrict(first, stop), tall, fit_intercept)

    return Round("consensus", step_of, _join, _same, orders)


def _same(reply: Reply) -> Reply:
    return reply


def _join(left: Reply, right: Reply) -> Reply:
    left.total += right.total
    left.sums += right.sums
    return Reply(left.total, left.weight + right.weight, left.sums)


def _step(
    rule: Any,
    tall: bool,
    fit_intercept: bool,
    state: State | None,
    orders: Orders,
    blocks: Iterator[Block],
) -> tuple[State, Reply]:
    """Move the state of a group on by one round, or make it from the common coefficients."""
    rows: list[np.ndarray] = []
    parts: list[_Part] = []
    start = 0
    for block in blocks:
        stop = start + block.n_rows
        if not parts or not tall:
            kept = None if state is None else state.parts[len(parts)]
            parts.append(_Part(orders, kept, tall, fit_intercept))
        t = None if state is None else state.rows[start:stop, orders.keep]
        rows.append(parts[-1].add(block, rule(block.row, block.fold_key), t))
        start = stop
        del block
    locals_ = [part.end() for part in parts]
    shape = parts[0].sums.shape[1]
    reply = Reply(np.zeros((orders.frame.origin.size + 1, shape)), 0.0, np.zeros((7, shape)))
    for part, local in zip(parts, locals_, strict=True):
        reply.total += local.weight * local.ahead
        reply.weight += local.weight
        reply.sums += part.sums
    return State(np.concatenate(rows), locals_), reply


class _Part:
    """The round of one part. Without a state it is that of b = w, with the slopes there."""

    def __init__(self, orders: Orders, kept: Local | None, tall: bool, fit_intercept: bool) -> None:
        self._orders, self._kept, self._tall, self._intercept = orders, kept, tall, fit_intercept
        self._w = np.vstack([orders.coef, orders.intercept])
        self._right = np.zeros_like(self._w)
        self._product: np.ndarray | None = None
        self._n_rows = 0
        self.sums = np.zeros((7, self._w.shape[1]))
        self._b, self._v = self._w, np.zeros_like(self._w)
        if kept is not None:
            self._b = kept.coef[:, orders.keep]
            dual = kept.ahead[:, orders.keep] - self._w
            self._v = dual * (orders.before / orders.rho)

    def add(self, block: Block, cells: np.ndarray, t: np.ndarray | None) -> np.ndarray:
        """Move the rows of a block on; returns their state."""
        orders, frame, loss = self._orders, self._orders.frame, self._orders.loss
        raw = np.ones(block.n_rows) if block.weight is None else block.weight
        inside = frame.inside[cells] & (raw > 0.0)
        trains = (orders.role[:, orders.sets] == TRAIN)[cells]
        weight = np.where(trains, raw[:, None] * orders.unit[orders.sets], 0.0)
        e = frame.times(block, self._b[:-1], self._b[-1])
        before = orders.before
        if t is None:
            before = orders.rho
            t = e + weight * loss.slope(block.y[:, None], e) / orders.rho
            self._begin(block, np.flatnonzero(inside), t - e)
        t = np.ascontiguousarray(t)
        splitting.advance(
            loss.code, loss.parameter, e, t, block.y, weight, inside, before, orders.rho,
            self.sums[:5],
        )  # fmt: skip
        if self._kept is not None:
            self._meet(block, inside, e)
        return t

    def _begin(self, block: Block, rows: np.ndarray, u: np.ndarray) -> None:
        """Add up what the factor and the first v are made of."""
        frame = self._orders.frame
        product = (inner if self._tall else outer)(frame, block, rows, self._intercept)
        self._product = product if self._product is None else self._product + product
        self._n_rows += rows.size
        self._right += _transposed(frame, block, u)

    def _meet(self, block: Block, inside: np.ndarray, e: np.ndarray) -> None:
        """Take up where the rows want to be, ``z - u`` with the offset."""
        frame, kept = self._orders.frame, self._kept
        assert kept is not None
        if self._tall:
            if block.offset is not None:
                e[inside] -= block.offset[inside, None]
            self._right += _transposed(frame, block, e)
            return
        near = self._w - self._v
        apart = np.zeros_like(e)
        if kept.factor is not None:
            rest = (e - frame.times(block, near[:-1], near[-1]))[inside]
            apart[inside] = kept.factor.solve(rest)
        self._right += _transposed(frame, block, apart)

    def end(self) -> Local:
        """The state with the next b."""
        kept, w = self._kept, self._w
        if not self._intercept:
            self._right[-1] = 0.0
        if kept is None:
            weight, factor = RIDGE * self._n_rows, None
            if weight > 0.0:
                assert self._product is not None
                factor = Factor(self._product, weight)
                # with it b = w is nearest
                self._v = -self._right / weight
            b = w
        else:
            weight, factor = kept.weight, kept.factor
            b = w - self._v + self._right
            if self._tall and factor is not None:
                b = factor.solve(self._right + weight * (w - self._v))
        self.sums[5] = weight * ((self._b - w) ** 2).sum(axis=0)
        self.sums[6] = weight * (self._v**2).sum(axis=0)
        ahead = RELAXATION * b + (1.0 - RELAXATION) * w + self._v
        return Local(weight, factor, ahead, b)


def _transposed(frame: Frame, block: Block, values: np.ndarray) -> np.ndarray:
    """Products (p + 1, R) with the features and with 1."""
    return np.vstack([frame.transposed(block, values), values.sum(axis=0)])
