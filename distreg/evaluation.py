"""The pass of a generalised linear model: losses, gradients and curvatures of many columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.data.block import Block, Group
from distreg.kernels.curvature import CurvatureSums, Watched
from distreg.kernels.evaluator import Evaluator, Points
from distreg.kernels.rows import RowSums
from distreg.passes import Reduction

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
    """

    points: Points
    features: np.ndarray
    cell_of: np.ndarray

    @property
    def n_joined(self) -> int:
        """Cells of the curvature."""
        return int(self.cell_of.max(initial=-1)) + 1

    @property
    def digest(self) -> str:
        """Of all that it says: the same answer is the answer to no other request."""
        found = hashlib.sha256()
        for part in (*vars(self.points).values(), self.features, self.cell_of):
            values = np.ascontiguousarray(np.nan if part is None else part)
            found.update(f"{values.dtype} {values.shape}".encode())
            found.update(values.tobytes())
        return found.hexdigest()[:32]

    @property
    def watched(self) -> Watched:
        """The features of the curvature, as the kernels know them."""
        return Watched.of(self.features, self.points.centre.size, self.points.missing)


@dataclass
class State:
    """What some groups have added up: row sums, gradients and bends, products by weighting."""

    sums: list[RowSums]
    grad: np.ndarray
    bend: np.ndarray
    curvature: CurvatureSums | None


@dataclass(frozen=True)
class Curvature:
    """Weighted products of ``z = [features - centre, missing, 1]`` at one anchor.

    Attributes
    ----------
    grams : tuple of (n_joined, w + m + 1, w + m + 1) arrays
        For each pair of classes (c, c') with c <= c', in order of the upper triangle; the block of
        two different classes is minus what is stored.
    centre : (w,) array
        Subtracted from the features; 0 for sparse ones.
    missing : (m,) int array
        Places, among the w features, of those that may be missing.
    features : (w,) int array
        Their numbers.
    cell_of : (n_cells,) int array
        Which of the joined cells a cell belongs to; -1 for none.
    """

    grams: tuple[np.ndarray, ...]
    centre: np.ndarray
    missing: np.ndarray
    features: np.ndarray
    cell_of: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation. F fits, R columns, P parts (1, or the cells).

    Attributes
    ----------
    sums : tuple of P RowSums
    grad : (P, p + m, R) array
    bend : (P, b, R) array
        Sums of ``weight f'' x^2`` of the rare features.
    curvature : tuple of Curvature
        One for each anchor.
    """

    sums: tuple[RowSums, ...]
    grad: np.ndarray
    bend: np.ndarray
    curvature: tuple[Curvature, ...]

    def joined(self) -> Evaluation:
        """The same with all parts in one."""
        parts = zip(*(part.arrays() for part in self.sums), strict=True)
        sums = RowSums(*(np.sum(part, axis=0) for part in parts))
        grad, bend = (part.sum(axis=0, keepdims=True) for part in (self.grad, self.bend))
        return Evaluation((sums,), grad, bend, self.curvature)


def evaluation(dataset: Dataset, cells: Cells, request: Request) -> Reduction[State, Evaluation]:
    """The reduction that evaluates a request: one pass."""

    def chunk_of(group: Group) -> Any:
        return partial(_chunk, cells.restrict(*group.row_range))

    return Reduction(
        name="gradients",
        chunk_of=chunk_of,
        combine=join,
        finalize=partial(finish, request),
        to_arrays=_to_arrays,
        from_arrays=partial(_from_arrays, request),
        key=lambda: f"-{request.digest}",
        shared=request,
    )


def _to_arrays(state: State) -> dict[str, np.ndarray]:
    """Arrays that `_from_arrays` turns into the same state."""
    arrays = {"grad": state.grad, "bend": state.bend}
    for i, sums in enumerate(state.sums):
        arrays |= {f"sums {i} {j}": values for j, values in enumerate(sums.arrays())}
    products = state.curvature
    if products is not None:
        arrays |= {"dense": products.dense, "cross": products.cross, "sparse": products.sparse}
    return arrays


def _from_arrays(request: Request, arrays: dict[str, np.ndarray]) -> State:
    """Inverse of `_to_arrays`."""
    n_sums = len(RowSums.zeros(0, 0).arrays())
    n_parts = sum(name.startswith("sums ") for name in arrays) // n_sums
    sums = [RowSums(*(arrays[f"sums {i} {j}"] for j in range(n_sums))) for i in range(n_parts)]
    curvature = _curvature_sums(request)
    if curvature is not None:
        curvature.dense, curvature.cross, curvature.sparse = (
            arrays[name] for name in ("dense", "cross", "sparse")
        )
    return State(sums, arrays["grad"], arrays["bend"], curvature)


def _chunk(rule: Any, request: Request, blocks: Iterator[Block]) -> State:
    return evaluate(request, ((block, rule(block.row, block.fold_key)) for block in blocks))


def evaluate(request: Request, blocks: Iterator[tuple[Block, np.ndarray]]) -> State:
    """Evaluate blocks with the cells of their rows."""
    points = request.points
    evaluator = Evaluator(points, _curvature_sums(request), request.cell_of)
    for block, cells in blocks:
        evaluator.add(block, cells)
        del block  # or it would live while the next one is made
    evaluator.finish()
    return State(evaluator.sums, evaluator.grad, evaluator.bend, evaluator.curvature)


def _curvature_sums(request: Request) -> CurvatureSums | None:
    points = request.points
    n_weightings = points.anchors.size * points.n_pairs
    if not n_weightings:
        return None
    return CurvatureSums(request.watched, n_weightings, request.n_joined)


def join(left: State, right: State) -> State:
    """Sum of two states; neither may be used afterwards."""
    for one, other in zip(left.sums, right.sums, strict=True):
        one.add(other)
    left.grad += right.grad
    left.bend += right.bend
    if left.curvature is not None and right.curvature is not None:
        left.curvature += right.curvature
    return left


def finish(request: Request, state: State) -> Evaluation:
    """The result of all groups."""
    points, features, sums = request.points, request.features, state.curvature
    curvature = []
    if sums is not None:
        centre = np.zeros(features.size)
        dense = features[features < points.centre.size]
        centre[: dense.size] = points.centre[dense]
        n = points.n_pairs
        curvature = [
            Curvature(
                tuple(sums.gram(k) for k in range(first, first + n)),
                centre,
                request.watched.missing,
                features,
                request.cell_of,
            )
            for first in range(0, points.anchors.size * n, n)
        ]
    return Evaluation(tuple(state.sums), state.grad, state.bend, tuple(curvature))


Evaluate = Callable[[Request], Evaluation]
"""Something that evaluates requests: a pass over a data set, or a sample in memory."""
