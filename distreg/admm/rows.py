"""One round: the step of every row in every column and, when asked for, what certifies columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.admm.frame import Frame
from distreg.admm.kinks import Duals, Kinks, most_kinks
from distreg.data.block import Block, Group
from distreg.kernels import splitting
from distreg.kernels.rows import TRAIN, RowSums, residual_rows
from distreg.losses import Loss
from distreg.rounds import Round

if TYPE_CHECKING:
    from distreg.data.folds import Cells

__all__ = ["Orders", "Part", "Slopes", "States", "advanced", "joined", "round_of"]

CROWD = 3
"""Times the most different rows near their kink: equal rows may seem to be so many, by rounding."""

_NOTHING = np.empty(0)


@dataclass(frozen=True)
class Orders:
    """What a round does. R columns of ascending training sets, p features.

    Attributes
    ----------
    loss : Loss
    frame : Frame
    role : (n_cells, S) int8 array
        What the rows of a cell are to each training set.
    sets : (R,) int array
        Training set of each column.
    unit : (S,) array
        Rows in all over the weight of each training set.
    coef, intercept : (p, R), (R,) arrays
        Those of all rows or, by consensus, what those of the parts are tied to.
    before, rho : (R,) arrays
        Penalty of the last round, for which the states were made, and of this one.
    keep : (R,) int array
        Places of the columns among those of the last round.
    point : pair of (p, R), (R,) arrays, or None
        Where to evaluate the losses; then the duals of a loss with a kink are summed, too, and the
        slopes of a smooth one.
    about : bool
        Of a loss with a kink: whether duals and rows near the kink are those of the point, and not
        of the state.
    radius : (R,) array
        Of a loss with a kink: rows whose z is so near to it are returned when a point is evaluated.
    title : str
        Shown while the round runs.
    """

    loss: Loss
    frame: Frame
    role: np.ndarray
    sets: np.ndarray
    unit: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    before: np.ndarray
    rho: np.ndarray
    keep: np.ndarray
    point: tuple[np.ndarray, np.ndarray] | None
    about: bool
    radius: np.ndarray
    title: str


@dataclass
class Slopes:
    """Sums over the training rows at a point of each column.

    Attributes
    ----------
    residual, curvature : (p, R) arrays
        Of the features with ``-weight f'``, and with ``weight f''``.
    square : (R,) array
        Of ``weight f''^2``.
    """

    residual: np.ndarray
    curvature: np.ndarray
    square: np.ndarray


@dataclass
class Part:
    """What some groups return.

    Attributes
    ----------
    products, total : (p, R), (R,) arrays
        What the next coefficients and intercepts follow from: ``z - u`` less the offset, times the
        features and alone; by consensus sums of the parts' (`local.round_of`).
    sums : (5, R) or (7, R) array
        Those of `splitting.advance`, and by consensus two more.
    duals, kinks : Duals, Kinks
        Of a loss with a kink, when a point was evaluated.
    losses, slopes : RowSums, Slopes
        Of the point; slopes of a smooth loss only.
    """

    products: np.ndarray
    total: np.ndarray
    sums: np.ndarray
    duals: Duals | None = None
    kinks: Kinks | None = None
    losses: RowSums | None = None
    slopes: Slopes | None = None


def round_of(orders: Orders, cells: Cells) -> Round[np.ndarray, Part, Part]:
    """The round that carries out `orders`."""

    def step_of(group: Group) -> Any:
        return partial(_step, cells.restrict(*group.row_range))

    return Round(orders.title, step_of, joined, lambda part: part, orders)


def joined(left: Part, right: Part) -> Part:
    """What both say; may reuse both."""
    left.products += right.products
    left.total += right.total
    left.sums += right.sums
    if left.losses is not None and right.losses is not None:
        left.losses.add(right.losses)
    if left.slopes is not None and right.slopes is not None:
        left.slopes.residual += right.slopes.residual
        left.slopes.curvature += right.slopes.curvature
        left.slopes.square += right.slopes.square
    if left.duals is None or right.duals is None or left.kinks is None or right.kinks is None:
        return left
    left.duals.total += right.duals.total
    left.duals.level += right.duals.level
    left.duals.products += right.duals.products
    left.kinks = left.kinks.joined(right.kinks)
    return left


def _step(
    rule: Any, state: np.ndarray | None, orders: Orders, blocks: Iterator[Block]
) -> tuple[np.ndarray, Part]:
    """Move the state (n, R) of a group on by one round."""
    states = States(state, orders.keep)
    part: Part | None = None
    for block in blocks:
        at = orders.coef, orders.intercept
        t = states.of(block.n_rows)
        moved, e, found = advanced(orders, block, rule(block.row, block.fold_key), t, *at)
        states.put(moved)
        found.products, found.total = orders.frame.transposed(block, e), e.sum(axis=0)
        part = found if part is None else joined(part, found)
        del block, e, found
    assert part is not None  # a group has a block
    return states.all, part


class States:
    """The next states of the rows of a group, block after block.

    The last ones stay as they are, in case that the task is run again.
    """

    def __init__(self, state: np.ndarray | None, keep: np.ndarray) -> None:
        self._state, self._keep, self._first = state, keep, 0
        self._made: list[np.ndarray] = []
        self._next = None if state is None else np.empty((len(state), keep.size))

    def of(self, n_rows: int) -> np.ndarray | None:
        """The last states of the next rows, to be moved on in place; None without any."""
        if self._state is None or self._next is None:
            return None
        rows = slice(self._first, self._first + n_rows)
        self._first += n_rows
        # other modes make a copy
        np.take(self._state[rows], self._keep, axis=1, out=self._next[rows], mode="clip")
        return self._next[rows]

    def put(self, moved: np.ndarray) -> None:
        """Take up those of rows without a last state."""
        if self._next is None:
            self._made.append(moved)

    @property
    def all(self) -> np.ndarray:
        """Those of all rows."""
        if self._next is not None:
            return self._next
        return self._made[0] if len(self._made) == 1 else np.concatenate(self._made)


def advanced(
    orders: Orders,
    block: Block,
    cells: np.ndarray,
    t: np.ndarray | None,
    coef: np.ndarray,
    intercept: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, Part]:
    """The next states (n, R) of rows with coefficients (p, R), (R,), from `t` or without a state.

    `t` is moved on in place.

    Also ``z - u`` less the offset (n, R), 0 for rows of no training set, and the part but for
    products and total.
    """
    loss, frame = orders.loss, orders.frame
    code = loss.code, loss.parameter
    raw = np.ones(block.n_rows) if block.weight is None else block.weight
    inside = frame.used(block, cells)
    trains = (orders.role[:, orders.sets] == TRAIN)[cells]
    weight = np.where(trains, raw[:, None] * orders.unit[orders.sets], 0.0)
    e = frame.times(block, coef, intercept)
    before = orders.before
    if t is None:
        t, before = np.empty_like(e), orders.rho
        splitting.begin(*code, e, block.y, weight, orders.rho, t)
    sums = np.zeros((5, e.shape[1]))
    splitting.advance(*code, e, t, block.y, weight, inside, before, orders.rho, sums)
    if block.offset is not None:
        e[inside] -= block.offset[inside, None]
    part = Part(_NOTHING, _NOTHING, sums)
    if orders.point is None:
        return t, e, part
    eta = frame.times(block, *orders.point)
    if not loss.smooth:
        seen = t
        if orders.about:
            seen = np.empty_like(eta)
            splitting.begin(*code, eta, block.y, weight, orders.rho, seen)
        part.duals, part.kinks = _duals(orders, block, seen, weight, inside)
    part.losses, part.slopes = _evaluated(orders, block, cells, raw, eta)
    return t, e, part


def _duals(
    orders: Orders, block: Block, t: np.ndarray, weight: np.ndarray, inside: np.ndarray
) -> tuple[Duals, Kinks]:
    loss = orders.loss
    halves = np.empty((2, *t.shape))
    apart = np.empty(t.shape)
    splitting.duals(
        loss.code, loss.parameter, t, block.y, weight, inside, orders.rho,
        halves[0], halves[1], apart,
    )  # fmt: skip
    level = block.y if loss.name == "quantile" else 2.0 * block.y - 1.0
    if block.offset is not None:
        level = level - block.offset
    # what other rows hold may be no number
    level = np.where(inside, level, 0.0)
    sums = Duals(
        halves.sum(axis=1),
        level @ halves,
        np.array([orders.frame.transposed(block, half) for half in halves]),
    )
    low = -block.y if loss.name == "hinge" else np.full(block.n_rows, -loss.parameter)
    near = apart <= orders.radius
    del apart
    count, crowded = near.sum(axis=0), _crowded(orders.frame, block, near, level)
    near[:, crowded] = False
    rows = np.flatnonzero(near.any(axis=1))
    features = orders.frame.rows(block, rows)
    some = level[rows], low[rows], near[rows], weight[rows], halves[:, rows]
    return sums, Kinks.of(features, *some, count, crowded)


def _crowded(frame: Frame, block: Block, near: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Columns (R,) with too many different rows of `near` (n, R), told without dense features."""
    most, p = CROWD * most_kinks(frame.origin.size), frame.origin.size
    crowded: np.ndarray = near.sum(axis=0) > most
    if crowded.any():
        mix = np.random.default_rng(0).normal(size=(p, 1))
        place = frame.times(block, mix, np.zeros(1))[:, 0] + np.pi * level + block.y
        _, place = np.unique(place, return_inverse=True)
        for j in np.flatnonzero(crowded):
            crowded[j] = np.count_nonzero(np.bincount(place[near[:, j]])) > most
    return crowded


def _evaluated(
    orders: Orders,
    block: Block,
    cells: np.ndarray,
    weight: np.ndarray,
    eta: np.ndarray,
) -> tuple[RowSums, Slopes | None]:
    """Losses of all rows, and the slopes of a smooth one; the predictors (n, R) are overwritten."""
    n_sets, loss = orders.role.shape[1], orders.loss
    bounds = np.searchsorted(orders.sets, np.arange(n_sets + 1)).astype(np.int64)
    sums = RowSums.zeros(orders.sets.size, 1)
    bend = np.empty_like(eta if loss.smooth else eta[:0])
    residual_rows(
        loss.code, loss.parameter, 1, eta, block.y, weight, orders.role[cells], bounds, sums, bend
    )
    if not loss.smooth:
        return sums, None
    with np.errstate(over="ignore"):  # where a step went much too far
        square = (bend * (bend / np.where(weight > 0.0, weight, 1.0)[:, None])).sum(axis=0)
    transposed = orders.frame.transposed
    return sums, Slopes(transposed(block, eta), transposed(block, bend), square)
