"""What a run would do and need, told before anything heavy happens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from distreg.exceptions import ConfigError
from distreg.moments import Layout, Moments

if TYPE_CHECKING:
    from distreg.cluster import Resources
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells
    from distreg.pipeline.config import PipelineConfig

__all__ = ["Memory", "Plan", "check_fits", "make_plan"]

BASE_BYTES = 300_000_000
"""What a Python process with NumPy, SciPy, numba, pandas and Dask holds before any data."""

BLOCK_COPIES = 3
"""Copies of a block that exist at once: as stored, decoded, centred and weighted."""


FULL_COPIES, SET_COPIES, GAP_COPIES = 6, 13, 3
"""Matrices of p x p numbers (measured): for the full data, for each training set that is being
fitted, and, with missing indicators counted in p, for each training set with gaps."""


@dataclass(frozen=True)
class Memory:
    """What memory depends on.

    Attributes
    ----------
    n_dense, n_sparse, n_missing : int
        Numeric and one-hot features, and missing indicators.
    n_cells, n_folds, n_paths : int
        Cells of rows, folds, and (l1_ratio, alpha) pairs.
    n_groups, block_bytes, input_bytes : int
        Tasks, the largest block, and the Dask inputs of the largest task.
    threads, path_threads : int
        In each worker, and in this process after the pass.
    local : bool
        True on threads of this process.
    """

    n_dense: int
    n_sparse: int
    n_missing: int
    n_cells: int
    n_folds: int
    n_paths: int
    n_groups: int
    block_bytes: int
    input_bytes: int
    threads: int
    path_threads: int
    local: bool

    @property
    def state(self) -> int:
        """Bytes of the moments that a task returns."""
        return Moments.state_bytes(
            Layout(self.n_cells, self.n_sparse, self.n_dense), self.n_missing
        )

    @property
    def worker(self) -> int:
        """Each thread holds a block and a state; finished states wait for their neighbours."""
        busy = min(self.threads, max(self.n_groups, 1))
        # finished neighbours are combined first, which leaves about half the depth of the tree
        waiting = math.ceil(math.log2(max(self.n_groups, 1)) / 2) + 1
        each = BLOCK_COPIES * self.block_bytes + self.input_bytes + self.state
        return BASE_BYTES + busy * each + waiting * self.state

    @property
    def client(self) -> int:
        """The merged moments, the full covariance, and a training set for each thread."""
        p = self.n_dense + self.n_sparse
        width = p + self.n_missing
        busy = min(self.path_threads, self.n_folds)
        sets = (FULL_COPIES + busy * SET_COPIES) * p**2
        gaps = busy * GAP_COPIES * width**2 if self.n_missing else 0
        coefs = self.n_paths * (self.n_folds + 1) * p
        return BASE_BYTES + self.state + 8 * (sets + gaps + coefs)

    def peaks(self) -> tuple[int, int]:
        """Bytes of each worker and of this process; the same when this process is the worker."""
        if self.local:
            both = max(self.worker, self.client)
            return both, both
        return self.worker, self.client

    def with_folds(self, n_folds: int) -> Memory:
        """The same with another number of folds."""
        return replace(self, n_folds=n_folds, n_cells=self.n_cells - self.n_folds + n_folds)

    def with_features(self, n_features: int) -> Memory:
        """The same with fewer features of each kind."""
        share = n_features / max(self.n_dense + self.n_sparse, 1)
        return replace(
            self,
            n_dense=math.ceil(self.n_dense * share),
            n_sparse=math.ceil(self.n_sparse * share),
            n_missing=math.ceil(self.n_missing * share),
        )


@dataclass(frozen=True)
class Plan:
    """What a run would do. Sizes in bytes.

    Attributes
    ----------
    driver, reason : str
        The algorithm, and why.
    n_passes, n_scans : int
        Passes over all data, and metadata scans (already done when the plan is made).
    n_rows, n_features, n_blocks, n_groups : int
        Of the data set.
    folds : str
        Description of folds and test rows.
    n_fits : int
        Models that are fitted.
    bytes_read : int
        Decoded size of what the passes read.
    state_bytes : int
        Moments of one group; what a task returns.
    block_bytes : int
        Largest block.
    local : bool
        True on threads of this process.
    workers, threads : int
        Worker processes (local: 1, this one), and threads in each.
    peak_bytes : int
        Peak memory of each worker.
    client_bytes : int
        Peak memory of this process, after the pass.
    memory_limit : int
        Of each worker.
    client_limit : int
        Of this process.
    memory : Memory
        What the predicted sizes depend on.
    """

    driver: str
    reason: str
    n_passes: int
    n_scans: int
    n_rows: int
    n_features: int
    n_blocks: int
    n_groups: int
    folds: str
    n_fits: int
    bytes_read: int
    state_bytes: int
    block_bytes: int
    local: bool
    workers: int
    threads: int
    peak_bytes: int
    client_bytes: int
    memory_limit: int
    client_limit: int
    memory: Memory

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        scans = f" after {self.n_scans} metadata scan" if self.n_scans else ""
        where = "this process" if self.local else f"each of {self.workers} workers"
        memory = [
            f"Memory   {where}: {_gigabytes(self.peak_bytes)} of {_gigabytes(self.memory_limit)}"
        ]
        if not self.local:
            memory.append(
                f"         this process: {_gigabytes(self.client_bytes)} of "
                f"{_gigabytes(self.client_limit)}"
            )
        data = (
            f"{self.n_rows:,} rows, {self.n_features:,} features, {self.n_blocks:,} blocks up to "
            f"{_gigabytes(self.block_bytes)}, read in {self.n_groups:,} tasks"
        )
        cost = (
            f"{self.n_passes} pass over the data{scans}: {_gigabytes(self.bytes_read)} decoded, "
            f"for {self.n_fits:,} fits"
        )
        return [
            f"Data     {data}",
            f"Folds    {self.folds}",
            f"Driver   {self.driver}: {self.reason}",
            f"Cost     {cost}",
            *memory,
            f"Fits     {'yes' if self.fits else 'NO'}",
        ]

    @property
    def fits(self) -> bool:
        """True when workers and client stay below their memory limits."""
        return self.peak_bytes <= self.memory_limit and self.client_bytes <= self.client_limit


def make_plan(config: PipelineConfig, dataset: Dataset, cells: Cells, resources: Resources) -> Plan:
    """Predict passes, fits and memory from sizes alone."""
    n_alphas = len(config.model.alphas or ()) or config.model.n_alphas
    memory = Memory(
        n_dense=dataset.n_dense,
        n_sparse=dataset.n_sparse,
        # with missing="mean" every numeric column may need an indicator
        n_missing=dataset.n_dense if dataset.missing == "mean" else 0,
        n_cells=cells.n_cells,
        n_folds=cells.n_folds,
        n_paths=len(config.model.l1_ratios) * n_alphas,
        n_groups=len(dataset.groups),
        block_bytes=max((recipe.nbytes for recipe in dataset.recipes), default=0),
        input_bytes=max(
            (sum(r.nbytes for r in group.recipes if r.inputs) for group in dataset.groups),
            default=0,
        ),
        threads=resources.threads,
        path_threads=resources.client_threads,
        local=resources.workers == 0,
    )
    worker, client = memory.peaks()
    return Plan(
        driver="gram",
        reason=(
            "squared loss: the Gram matrices of the folds hold all that every penalty, alpha and "
            f"fold needs, and {cells.n_cells} of them take {memory.state / 1e6:,.1f} MB"
        ),
        n_passes=1,
        n_scans=dataset.n_scans,
        n_rows=dataset.n_rows,
        n_features=dataset.n_features,
        n_blocks=dataset.n_blocks,
        n_groups=len(dataset.groups),
        folds=cells.description,
        n_fits=memory.n_paths * (cells.n_folds + 1),
        bytes_read=dataset.nbytes,
        state_bytes=memory.state,
        block_bytes=memory.block_bytes,
        local=memory.local,
        workers=max(resources.workers, 1),
        threads=resources.threads,
        peak_bytes=worker,
        client_bytes=client,
        memory_limit=resources.memory_limit,
        client_limit=resources.client_limit,
        memory=memory,
    )


def check_fits(plan: Plan, config: PipelineConfig) -> None:
    """Refuse a run that would not fit into memory.

    Raises
    ------
    ConfigError
        Names what is too small, by how much, and the settings that would do.
    """
    if plan.fits:
        return
    if plan.peak_bytes > plan.memory_limit:
        who, need, limit = "each worker", plan.peak_bytes, plan.memory_limit
    else:
        who, need, limit = "this process", plan.client_bytes, plan.client_limit
    raise ConfigError(
        f"the run needs about {_gigabytes(need)} in {who}, which has {_gigabytes(limit)}: "
        f"{plan.n_features:,} features make Gram matrices of {_gigabytes(plan.state_bytes)} a "
        f"task. Any one of these would do: {'; '.join(_remedies(plan, config))}"
    )


def _remedies(plan: Plan, config: PipelineConfig) -> list[str]:
    """Settings, each of which would make the run fit."""
    now, kind = plan.memory, config.cluster.kind

    def fits(memory: Memory) -> bool:
        worker, client = memory.peaks()
        return worker <= plan.memory_limit and client <= plan.client_limit

    out = []
    folds = _largest(now.n_folds, 2, lambda k: fits(now.with_folds(k)))
    if folds:
        out.append(f"--set model.cv.folds={folds}")
    threads = _largest(now.threads, 1, lambda k: fits(replace(now, threads=k, path_threads=k)))
    if threads and kind == "threads":
        out.append(f"--set cluster.workers={threads}")
    if plan.client_bytes <= plan.client_limit and kind == "processes":
        out.append(f"--set cluster.memory_limit={math.ceil(plan.peak_bytes / 1e8) / 10:g}GB")
    if plan.client_bytes <= plan.client_limit and kind == "scheduler":
        out.append(f"workers with {_gigabytes(plan.peak_bytes)} of memory")
    features = _largest(plan.n_features, 1, lambda p: fits(now.with_features(p)))
    if features:
        out.append(f"at most {features:,} features (data.exclude, data.numeric)")
    return out or ["a machine with more memory"]


def _largest(now: int, least: int, fits: Callable[[int], bool]) -> int | None:
    """Largest value from `least` to below `now` that fits, by bisection; None without one."""
    if now <= least or not fits(least):
        return None
    low, high = least, now
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _gigabytes(n_bytes: int) -> str:
    """Gigabytes, or megabytes below one."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
