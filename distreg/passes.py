"""Passes over the data: the only place that runs block computations on Dask.

A `Reduction` says what to do with the blocks; `PassRunner.run` does it once over a data set. One
task reads one group of consecutive blocks, and the groups' states are combined in a fixed binary
tree: groups and tree follow from the data alone, so that any number of workers gives the same
bits.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from distreg.blas import single_threaded_blas
from distreg.cluster import check_versions, wait_for_worker
from distreg.data.block import Block, Group
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


@dataclass
class _Reads:
    blocks: int = 0
    bytes: int = 0

    def __add__(self, other: _Reads) -> _Reads:
        return _Reads(self.blocks + other.blocks, self.bytes + other.bytes)


class _GroupTask:
    """Reads the blocks of one group and reduces them. Opaque: Dask must not look inside."""

    def __init__(self, chunk: Callable[..., Any], group: Group, topic: str | None) -> None:
        recipes = [
            # every recipe is a dataclass, which its protocol cannot say
            dataclasses.replace(r, inputs=()) if r.inputs else r  # type: ignore[type-var]
            for r in group.recipes
        ]
        self._group = Group(group.index, tuple(recipes))
        self._chunk = chunk
        self._topic = topic

    def __call__(self, inputs: list[list[Any]], *shared: Any) -> tuple[Any, _Reads]:
        reads = _Reads()

        def counted() -> Iterator[Block]:
            for block in self._group.blocks(tuple(tuple(values) for values in inputs)):
                reads.blocks += 1
                reads.bytes += block.nbytes
                yield block
                del block  # or it would live while the next one is made

        with single_threaded_blas():
            state = self._chunk(*(part.value for part in shared), counted())
        if self._topic is not None:
            _report_progress(self._topic)
        return state, reads


class _Combine:
    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self._combine = combine

    def __call__(self, left: tuple[Any, _Reads], right: tuple[Any, _Reads]) -> tuple[Any, _Reads]:
        return self._combine(left[0], right[0]), left[1] + right[1]


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
        part = groups[where]

        def report(done: int) -> None:
            self.progress(stage, where.start + done, len(groups))

        token = uuid.uuid4().hex
        kept = None if held is None else Held(held.values[where], held.client)
        root = _tree(reduction, part, token, client is not None, kept)
        if client is None:
            state, reads = _compute_on_threads(root, self.n_threads, report)
        else:
            state, reads = _compute_on_cluster(root, client, token, report)
        self.cost.n_block_reads += reads.blocks
        self.cost.bytes_read += reads.bytes
        return state  # type: ignore[no-any-return]  # Dask forgets what tasks return


def _tree(
    reduction: Reduction[Any, Any],
    groups: tuple[Group, ...],
    token: str,
    pin: bool,
    held: Held | None,
) -> Any:
    """Delayed state of the groups, combined pairwise; `token` keeps passes apart."""
    from dask import annotate, delayed

    nodes = []
    shared = [] if reduction.shared is None else [delayed(Opaque(reduction.shared), pure=False)]
    places = [] if held is None else held.places()
    for i, group in enumerate(groups):
        topic = f"{_PROGRESS_TOPIC}-{token}" if pin else None
        task = delayed(_GroupTask(reduction.chunk_of(group), group, topic), pure=False)
        inputs = [list(recipe.inputs) for recipe in group.recipes]
        own = [] if held is None else [held.values[i]]
        where = {"workers": places[i], "allow_other_workers": True} if own and places[i] else {}
        with annotate(**where):
            name = f"{_GROUP_KEY}{group.index}-{token}"
            nodes.append(task(inputs, *own, *shared, dask_key_name=name))
    combine = delayed(_Combine(reduction.combine), pure=False)
    while len(nodes) > 1:
        pairs = [combine(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
        nodes = pairs + ([nodes[-1]] if len(nodes) % 2 else [])
    return nodes[0]


_GROUP_KEY = "distreg-group-"
_PROGRESS_TOPIC = "distreg-progress"


def _compute_on_threads(root: Any, n_threads: int, report: Callable[[int], None]) -> Any:
    from dask.callbacks import Callback

    done = 0

    def count(key: Any, result: Any, graph: Any, state: Any, worker: Any) -> None:
        nonlocal done
        if str(key).startswith(_GROUP_KEY):
            done += 1
            report(done)

    with single_threaded_blas(), Callback(posttask=count):
        return root.compute(scheduler="threads", num_workers=n_threads)


def _compute_on_cluster(
    root: Any, client: Client, token: str, report: Callable[[int], None]
) -> Any:
    lock, done = threading.Lock(), 0

    def count(event: Any) -> None:
        nonlocal done
        with lock:
            done += 1
            report(done)

    topic = f"{_PROGRESS_TOPIC}-{token}"
    client.subscribe_topic(topic, count)
    future: Any = client.compute(root)
    try:
        return future.result()
    finally:
        # at once: the traceback of an error would keep it, and with it all that it depends on
        future.release()
        client.unsubscribe_topic(topic)


def _report_progress(topic: str) -> None:
    """Tell the scheduler that a group is done (nothing to do outside of a worker)."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(topic, 1)
