"""The pass of a generalised linear model: losses, gradients and curvatures of many columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.kernels.accumulate import Accumulator
from distreg.kernels.evaluator import Evaluator, Points, sub_block
from distreg.kernels.rows import RowSums
from distreg.moments import Layout, Moments, merge
from distreg.passes import Reduction
from distreg.training import CellMoments, finalize_moments

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = [
    "Curvature",
    "Evaluation",
    "Request",
    "State",
    "evaluation",
    "evaluate",
    "finish",
    "join",
]


@dataclass(frozen=True)
class Request:
    """What one evaluation computes.

    Attributes
    ----------
    points : Points
        Columns to evaluate; their anchors are the fits whose curvature is wanted.
    features : (w,) int array
        Features that the curvature is needed for, ascending.
    cell_of : (n_cells,) int array
        Cells are joined for the curvature where this is equal; -1 leaves a cell out.
    missing : bool
        Whether features may be missing (and then count as their mean).
    """

    points: Points
    features: np.ndarray
    cell_of: np.ndarray
    missing: bool

    @property
    def n_joined(self) -> int:
        """Cells of the curvature."""
        return int(self.cell_of.max(initial=-1)) + 1


@dataclass
class State:
    """What some groups have added up: row sums and gradients by part, moments by weighting."""

    sums: list[RowSums]
    grad: np.ndarray
    curvature: list[Moments]


@dataclass(frozen=True)
class Curvature:
    """Weighted products of the features at one anchor: one `CellMoments` for each pair of classes.

    Pairs (c, c') with c <= c' in order of the upper triangle; the block of two different classes is
    minus what is stored.
    """

    pairs: tuple[CellMoments, ...]
    features: np.ndarray
    cell_of: np.ndarray

    def about_one_centre(self) -> Curvature:
        """The same from which training sets are quickly summed."""
        return replace(self, pairs=tuple(moments.about_one_centre() for moments in self.pairs))


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation. F fits, R columns, P parts (1, or the cells).

    Attributes
    ----------
    sums : tuple of P RowSums
    grad : (P, p + m, R) array
    curvature : tuple of Curvature
        One for each anchor.
    """

    sums: tuple[RowSums, ...]
    grad: np.ndarray
    curvature: tuple[Curvature, ...]

    def joined(self) -> Evaluation:
        """The same with all parts in one."""
        parts = zip(*(part.arrays() for part in self.sums), strict=True)
        sums = RowSums(*(np.sum(part, axis=0) for part in parts))
        return Evaluation((sums,), self.grad.sum(axis=0, keepdims=True), self.curvature)


def evaluation(dataset: Dataset, cells: Cells, request: Request) -> Reduction[State, Evaluation]:
    """The reduction that evaluates a request: one pass."""

    def chunk_of(group: Group) -> Any:
        return partial(_chunk, cells.restrict(*group.row_range))

    return Reduction(
        name="gradients",
        chunk_of=chunk_of,
        combine=join,
        finalize=partial(finish, request),
        shared=request,
    )


def _chunk(rule: Any, request: Request, blocks: Iterator[Block]) -> State:
    return evaluate(request, ((block, rule(block.row, block.fold_key)) for block in blocks))


def evaluate(request: Request, blocks: Iterator[tuple[Block, np.ndarray]]) -> State:
    """Evaluate blocks with the cells of their rows."""
    points, features = request.points, request.features
    evaluator = Evaluator(points)
    n_dense = int((features < points.centre.size).sum())
    layout = Layout(request.n_joined, features.size - n_dense, n_dense)
    names = tuple(f"feature {j}" for j in features)
    n_weightings = points.anchors.size * points.n_classes * (points.n_classes + 1) // 2
    policy = "mean" if request.missing else "error"
    accumulators = [Accumulator(layout, names, policy) for _ in range(n_weightings)]
    for block, cells in blocks:
        weights = evaluator.add(block, cells)
        if n_weightings:
            _add_curvature(request, accumulators, block, cells, weights)
        del block  # or it would live while the next one is made
    return State(evaluator.sums, evaluator.grad, [part.result() for part in accumulators])


def _add_curvature(
    request: Request,
    accumulators: Sequence[Accumulator],
    block: Block,
    cells: np.ndarray,
    weights: np.ndarray,
) -> None:
    joined = request.cell_of[cells]
    left_out = joined < 0
    joined = np.where(left_out, 0, joined).astype(np.int32)
    flat = weights.reshape(block.n_rows, -1)
    flat[left_out] = 0.0
    part = sub_block(block, request.features, flat[:, 0])
    for index, accumulator in enumerate(accumulators):
        weight = np.ascontiguousarray(flat[:, index])
        accumulator.add(replace(part, weight=weight), joined)


def join(left: State, right: State) -> State:
    """Sum of two states; neither may be used afterwards."""
    for one, other in zip(left.sums, right.sums, strict=True):
        one.add(other)
    left.grad += right.grad
    pairs = zip(left.curvature, right.curvature, strict=True)
    return State(left.sums, left.grad, [merge(one, other) for one, other in pairs])


def finish(request: Request, state: State) -> Evaluation:
    """The result of all groups."""
    n_pairs = request.points.n_classes * (request.points.n_classes + 1) // 2
    names = tuple(f"feature {j}" for j in request.features)
    moments = [finalize_moments(names, part) for part in state.curvature]
    curvature = tuple(
        Curvature(tuple(moments[i : i + n_pairs]), request.features, request.cell_of)
        for i in range(0, len(moments), n_pairs)
    )
    return Evaluation(tuple(state.sums), state.grad, curvature)


Evaluate = Callable[[Request], Evaluation]
"""Something that evaluates requests: a pass over a data set, or a sample in memory."""
