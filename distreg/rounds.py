"""Fits by rounds: passes that leave a state of each group of blocks where its task ran.

A method such as ADMM has a dual variable for each row, or a factor for each group of blocks: too
large to travel, and needed again in the next round. `Rounds` keeps such a state on the worker and
moves only coefficients and sums. A state can always be lost (its worker died, or was short of
memory); the next round then makes it again from the blocks and from what the round was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from distreg.data.block import Block, Group
from distreg.held import Held, Opaque
from distreg.passes import PassRunner, Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset

__all__ = ["Round", "Rounds", "held_rounds"]

S = TypeVar("S")
P = TypeVar("P")
R = TypeVar("R")

Step = Callable[[S | None, Any, Iterator[Block]], tuple[S, P]]


@dataclass(frozen=True)
class Round(Generic[S, P, R]):
    """What one round does in every group, and with what the groups return.

    Attributes
    ----------
    name : str
        Shown while the round runs.
    step_of : callable
        For a group, a function of the group's state, `shared` and the group's blocks that returns
        the next state and the part to add up. It may change the state in place. The state is None
        in the first round and after a loss: it must then follow from `shared` and the blocks.
    combine : callable
        Joins the parts of two neighbouring runs of groups, left one first. May reuse both.
    finalize : callable
        Turns the last part into the result.
    shared : object
        What all groups need: the last coefficients above all, from which a lost state is made.
    """

    name: str
    step_of: Callable[[Group], Step[S, P]]
    combine: Callable[[P, P], P]
    finalize: Callable[[P], R]
    shared: Any


class HeldState:
    """The state of one group and the number of the round that comes next.

    The state stays in its process: a pickled copy is empty, so that one made by Dask (to move it,
    or to write it to disk) costs nothing and can never pass for the original later.
    """

    def __init__(self) -> None:
        self.state: Any = None
        self.next_round = 0

    def __reduce__(self) -> tuple[type[HeldState], tuple[()]]:
        return HeldState, ()


class _Chunk:
    """One round of one group."""

    def __init__(self, step: Step[Any, Any], number: int) -> None:
        self._step = step
        self._number = number

    def __call__(self, held: HeldState, shared: Any, blocks: Iterator[Block]) -> tuple[Any, int]:
        # Dask may run a task twice, whose first run has moved the state on already
        usable = held.state is not None and held.next_round == self._number
        before, held.state = (held.state if usable else None), None  # a failed step leaves none
        held.state, part = self._step(before, shared, blocks)
        held.next_round = self._number + 1
        return part, int(not usable)


class Rounds:
    """Rounds over one data set; made by `held_rounds`.

    Attributes
    ----------
    n_rounds : int
        Rounds that have ended. Each is one pass of the runner's cost.
    n_rebuilt : int
        States of groups that were lost and made again.
    """

    def __init__(self, runner: PassRunner, dataset: Dataset, held: Held) -> None:
        self._runner = runner
        self._dataset = dataset
        self._held = held
        self._number = 0
        self.n_rounds = 0
        self.n_rebuilt = 0

    def run(self, round_: Round[Any, Any, R]) -> R:
        """Read every block once, with the states that the last round left."""
        number = self._number
        # a round that fails may have moved some states on: no state fits the number after it
        self._number = number + 2

        def combine(left: tuple[Any, int], right: tuple[Any, int]) -> tuple[Any, int]:
            return round_.combine(left[0], right[0]), left[1] + right[1]

        reduction = Reduction[tuple[Any, int], tuple[R, int]](
            name=round_.name,
            chunk_of=lambda group: _Chunk(round_.step_of(group), number),
            combine=combine,
            finalize=lambda last: (round_.finalize(last[0]), last[1]),
            shared=round_.shared,
        )
        result, rebuilt = self._runner.run(reduction, self._dataset, self._held)
        self._number = number + 1
        self.n_rebuilt += rebuilt if self.n_rounds else 0
        self.n_rounds += 1
        return result


@contextmanager
def held_rounds(runner: PassRunner, dataset: Dataset) -> Iterator[Rounds]:
    """Rounds over `dataset`; their states are dropped when the block ends, however it ends."""
    held = runner.hold(dataset, _empty)
    try:
        yield Rounds(runner, dataset, held)
    finally:
        held.release()


def _empty() -> Opaque:
    return Opaque(HeldState())
