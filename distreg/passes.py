"""Passes over the data: the only place that runs block computations, on the graphs of `graphs`.

A `Reduction` says what to do with the blocks; `PassRunner.run` does it once over a data set. Groups
of consecutive blocks and the tree that joins their states follow from the data alone, so that any
number of workers gives the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from distreg.cluster import check_versions, wait_for_worker
from distreg.data.block import Group
from distreg.graphs import compute
from distreg.held import Held, Opaque, hold

if TYPE_CHECKING:
    from distributed import Client

    from distreg.data.dataset import Dataset

__all__ = [
    "Checkpoint",
    "Cost",
    "PassRunner",
    "Progress",
    "Reduction",
]

S = TypeVar("S")
R = TypeVar("R")

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, the steps done and the steps in all."""

SEGMENT_GROUPS = 32
"""Groups between two checkpoints."""


@dataclass
class Cost:
    """What was spent.

    Attributes
    ----------
    n_passes : int
        Times that every block was read.
    n_scans : int
        Metadata scans before the first pass (row counts, category levels).
    n_block_reads : int
        Blocks read.
    bytes_read : int
        Bytes of the blocks read, decoded.
    pass_seconds, path_seconds : float
        Wall time of the passes, and of the computations between them.
    """

    n_passes: int = 0
    n_scans: int = 0
    n_block_reads: int = 0
    bytes_read: int = 0
    pass_seconds: float = 0.0
    path_seconds: float = 0.0


def _always(state: Any) -> bool:
    return True


@dataclass(frozen=True)
class Reduction(Generic[S, R]):
    """What one pass computes.

    Attributes
    ----------
    name : str
        Shown while the pass runs.
    chunk_of : callable
        For a group, the function that turns its blocks into a state; it may hold only what the rows
        of that group need, because it travels to the worker.
    combine : callable
        Joins the states of two neighbouring runs of groups, left one first. May reuse both.
    finalize : callable
        Turns the last state into the result.
    to_arrays, from_arrays : callable, optional
        A state as named arrays and back, for checkpoints.
    key : callable
        Makes a text that tells reductions of one name apart, whose states are no use to each other.
    keep : callable
        Whether a state may go into a checkpoint; one with defects may not, they would be forgotten.
    shared : object, optional
        What all groups need and may be large: it travels once, and is the chunk's first argument.
    """

    name: str
    chunk_of: Callable[[Group], Callable[..., S]]
    combine: Callable[[S, S], S]
    finalize: Callable[[S], R]
    to_arrays: Callable[[S], dict[str, Any]] | None = None
    from_arrays: Callable[[dict[str, Any]], S] | None = None
    key: Callable[[], str] = str
    keep: Callable[[S], bool] = _always
    shared: Any = None


class Checkpoint(Protocol):
    """Keeps the state of a pass, of all groups so far."""

    def load(self, name: str) -> dict[str, Any] | None:
        """Arrays saved under `name`, or None."""
        ...

    def save(self, name: str, arrays: dict[str, Any]) -> None:
        """Keep `arrays` under `name`, in place of what was there."""
        ...


_STOP = "row to go on with"


class PassRunner:
    """Runs reductions and counts what they cost.

    Parameters
    ----------
    client : distributed.Client, optional
        Where to run; None means threads of this process. Data that live in this process always run
        on its threads.
    n_threads : int, optional
        Threads when there is no client; default: the processors of this machine.
    progress : callable, optional
        ``progress(stage, done, total)``.
    checkpoint : Checkpoint, optional
        Keeps the state of each pass after some groups, so that an interrupted run goes on there.

    Attributes
    ----------
    cost : Cost
        What the passes so far have cost.
    """

    def __init__(
        self,
        client: Client | None = None,
        n_threads: int | None = None,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        from dask.system import CPU_COUNT

        self.client = client
        self.n_threads = n_threads or int(CPU_COUNT)
        self.progress: Progress = progress or (lambda stage, done, total: None)
        self.checkpoint = checkpoint
        self.cost = Cost()
        self._client_checked = False

    def hold(self, dataset: Dataset, make: Callable[[], Opaque]) -> Held:
        """A value of `make` for each group, where the groups' tasks run."""
        client = None if dataset.in_memory else self._checked_client()
        return hold(make, len(dataset.groups), client)

    def run(self, reduction: Reduction[S, R], dataset: Dataset, held: Held | None = None) -> R:
        """Read every block of `dataset` once.

        With `held`, the chunk's first argument is the held value of its group.
        """
        start = time.perf_counter()
        stage = f"pass {self.cost.n_passes + 1}: {reduction.name}"
        groups = dataset.groups
        client = None if dataset.in_memory else self._checked_client()
        name = ""
        if self.checkpoint is not None:
            name = f"{stage.replace(' ', '-').replace(':', '')}{reduction.key()}"
        state, done = self._kept(reduction, name, groups)
        self.progress(stage, done, len(groups))
        for first in range(done, len(groups), SEGMENT_GROUPS):
            where = slice(first, first + SEGMENT_GROUPS)
            part = self._segment(reduction, groups, where, client, stage, held)
            state = part if state is None else reduction.combine(state, part)
            self._keep(reduction, name, state, groups[where][-1].row_range[1])
        result = reduction.finalize(state)
        self.cost.n_passes += 1
        self.cost.pass_seconds += time.perf_counter() - start
        return result

    def _checked_client(self) -> Client | None:
        """The client, after a look at its workers: one that lacks distreg would hang the pass."""
        if self.client is not None and not self._client_checked:
            wait_for_worker(self.client)
            versions: Any = self.client.get_versions(packages=["distreg"])
            check_versions(versions)
            self._client_checked = True
        return self.client

    def _kept(
        self, reduction: Reduction[S, R], name: str, groups: tuple[Group, ...]
    ) -> tuple[Any, int]:
        """State of the first groups from the checkpoint, and how many these are."""
        if self.checkpoint is None or reduction.from_arrays is None:
            return None, 0
        saved = self.checkpoint.load(name)
        if saved is None:
            return None, 0
        ends = [group.row_range[1] for group in groups]
        stop = int(saved.pop(_STOP))
        return (reduction.from_arrays(saved), ends.index(stop) + 1) if stop in ends else (None, 0)

    def _keep(self, reduction: Reduction[S, R], name: str, state: S, stop: int) -> None:
        """Let the checkpoint have the state of all groups up to the row `stop`."""
        if self.checkpoint is None or reduction.to_arrays is None or not reduction.keep(state):
            return
        self.checkpoint.save(name, {**reduction.to_arrays(state), _STOP: np.array(stop)})

    def _segment(
        self,
        reduction: Reduction[S, R],
        groups: tuple[Group, ...],
        where: slice,
        client: Client | None,
        stage: str,
        held: Held | None,
    ) -> S:
        """State of some groups."""

        def report(done: int) -> None:
            self.progress(stage, where.start + done, len(groups))

        kept = None if held is None else Held(held.values[where], held.client)
        state, reads = compute(reduction, groups[where], client, self.n_threads, kept, report)
        self.cost.n_block_reads += reads.blocks
        self.cost.bytes_read += reads.bytes
        return state  # type: ignore[no-any-return]  # the graph forgets what tasks return
