"""The Dask graph of a pass over some groups, and how it is computed.

One task reads one group and reduces its blocks; the states are joined in a binary tree.
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distreg.blas import single_threaded_blas
from distreg.data.block import Block, Group
from distreg.held import Held, Opaque

if TYPE_CHECKING:
    from distributed import Client

    from distreg.passes import Reduction

__all__ = ["compute"]


@dataclass
class Reads:
    """What was read."""

    blocks: int = 0
    bytes: int = 0

    def __add__(self, other: Reads) -> Reads:
        return Reads(self.blocks + other.blocks, self.bytes + other.bytes)


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

    def __call__(self, inputs: list[list[Any]], *shared: Any) -> tuple[Any, Reads]:
        reads = Reads()

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

    def __call__(self, left: tuple[Any, Reads], right: tuple[Any, Reads]) -> tuple[Any, Reads]:
        return self._combine(left[0], right[0]), left[1] + right[1]


def compute(
    reduction: Reduction[Any, Any],
    groups: tuple[Group, ...],
    client: Client | None,
    n_threads: int,
    held: Held | None,
    report: Callable[[int], None],
) -> tuple[Any, Reads]:
    """State of some groups, and what was read for it.

    Parameters
    ----------
    reduction : Reduction
    groups : tuple of Group
    client : distributed.Client or None
        None: on threads of this process, `n_threads` of them.
    n_threads : int
    held : Held or None
        A value for each group: the chunk's first argument.
    report : callable
        Called with the number of groups done.
    """
    if client is not None:
        token = uuid.uuid4().hex
        root = _tree(reduction, groups, token, held)
        found = _compute_on_cluster(root, client, token, report)
    else:
        found = _compute_on_threads(*_graph(reduction, groups, held), n_threads, report)
    return found  # type: ignore[no-any-return]  # Dask forgets what tasks return


def _tree(
    reduction: Reduction[Any, Any], groups: tuple[Group, ...], token: str, held: Held | None
) -> Any:
    """Delayed state of the groups, combined pairwise; `token` keeps passes apart."""
    from dask import annotate, delayed

    nodes = []
    shared = [] if reduction.shared is None else [delayed(Opaque(reduction.shared), pure=False)]
    places = [] if held is None else held.places()
    for i, group in enumerate(groups):
        chunk, topic = reduction.chunk_of(group), f"{_PROGRESS_TOPIC}-{token}"
        task = delayed(_GroupTask(chunk, group, topic), pure=False)
        inputs = [list(recipe.inputs) for recipe in group.recipes]
        own = [] if held is None else [held.values[i]]
        where = {"workers": places[i], "allow_other_workers": True} if own and places[i] else {}
        with annotate(**where):
            name = f"{_GROUP_KEY}{group.index}-{token}"
            nodes.append(task(inputs, *own, *shared, dask_key_name=name))
    return _joined(nodes, delayed(_Combine(reduction.combine), pure=False))


def _joined(nodes: list[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """The root of the binary tree over `nodes`."""
    while len(nodes) > 1:
        pairs = [combine(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
        nodes = pairs + ([nodes[-1]] if len(nodes) % 2 else [])
    return nodes[0]


def _graph(
    reduction: Reduction[Any, Any], groups: tuple[Group, ...], held: Held | None
) -> tuple[dict[Any, Any], str]:
    """As `_tree`, for threads: a plain graph and its root's key.

    It takes a third of the time, which counts where a pass takes hundredths of a second.
    """
    from dask.optimization import cull

    inputs = [value for group in groups for recipe in group.recipes for value in recipe.inputs]
    graph: dict[Any, Any] = {}
    # the inputs of an array share one graph; all are kept, so that no two have one address
    parts = [value.dask for value in inputs]
    for part in {id(part): part for part in parts}.values():
        graph.update(part)
    shared = [] if reduction.shared is None else [Opaque(reduction.shared)]
    combine = _Combine(reduction.combine)

    def join(left: str, right: str) -> str:
        key = f"distreg-join-{len(graph)}"
        graph[key] = (combine, left, right)
        return key

    nodes = []
    for i, group in enumerate(groups):
        task = _GroupTask(reduction.chunk_of(group), group, None)
        own = [] if held is None else [held.values[i]]
        nodes.append(f"{_GROUP_KEY}{group.index}")
        keys = [[value.key for value in recipe.inputs] for recipe in group.recipes]
        graph[nodes[-1]] = (task, keys, *own, *shared)
    root = _joined(nodes, join)
    return (cull(graph, [root])[0] if inputs else graph), root


_GROUP_KEY = "distreg-group-"
_PROGRESS_TOPIC = "distreg-progress"


def _compute_on_threads(
    graph: dict[Any, Any], root: str, n_threads: int, report: Callable[[int], None]
) -> Any:
    from dask.callbacks import Callback
    from dask.threaded import get

    done = 0

    def count(key: Any, result: Any, graph: Any, state: Any, worker: Any) -> None:
        nonlocal done
        if str(key).startswith(_GROUP_KEY):
            done += 1
            report(done)

    with single_threaded_blas(), Callback(posttask=count):
        return get(graph, root, num_workers=n_threads)


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
