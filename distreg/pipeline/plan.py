"""What a run would do and need, told before anything heavy happens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from distreg.cluster import Resources
from distreg.data.dataset import Dataset
from distreg.data.folds import Cells
from distreg.exceptions import ConfigError
from distreg.moments import Layout, Moments
from distreg.pipeline.config import PipelineConfig

__all__ = ["Plan", "check_fits", "make_plan"]

BASE_BYTES = 300_000_000
"""What a Python process with NumPy, SciPy, numba, pandas and Dask holds before any data."""

BLOCK_COPIES = 3
"""Copies of a block that exist at once: as stored, decoded, centred and weighted."""


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        scans = f", after {self.n_scans} of metadata" if self.n_scans else ""
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
    n_features = dataset.n_features
    # with missing="mean" every numeric column may need an indicator
    n_missing = dataset.n_dense if dataset.missing == "mean" else 0
    state = _state_bytes(dataset, cells.n_cells, n_missing)
    block = max((recipe.nbytes for recipe in dataset.recipes), default=0)
    n_models = len(config.model.l1_ratios)
    n_alphas = len(config.model.alphas or ()) or config.model.n_alphas
    n_sets = cells.n_folds + 1
    local = resources.workers == 0
    worker = _worker_bytes(dataset, state, block, resources.threads)
    client = BASE_BYTES + 2 * state + 8 * (n_sets + 3) * n_features**2
    client += 8 * n_models * n_alphas * n_sets * n_features
    if local:
        worker = client = max(worker, client)
    return Plan(
        driver="gram",
        reason=(
            "squared loss: the Gram matrices of the folds hold all that every penalty, alpha and "
            f"fold needs, and {cells.n_cells} of them take {state / 1e6:,.1f} MB"
        ),
        n_passes=1,
        n_scans=dataset.n_scans,
        n_rows=dataset.n_rows,
        n_features=n_features,
        n_blocks=dataset.n_blocks,
        n_groups=len(dataset.groups),
        folds=cells.description,
        n_fits=n_models * n_alphas * n_sets,
        bytes_read=dataset.nbytes,
        state_bytes=state,
        block_bytes=block,
        local=local,
        workers=max(resources.workers, 1),
        threads=resources.threads,
        peak_bytes=worker,
        client_bytes=client,
        memory_limit=resources.memory_limit,
        client_limit=resources.client_limit,
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
        "task. "
        f"What would help: {'; '.join(_remedies(plan, config, need, limit))}"
    )


def _remedies(plan: Plan, config: PipelineConfig, need: int, limit: int) -> Sequence[str]:
    """Settings that would make the run fit."""
    out = []
    cluster = config.cluster
    over = need - limit
    states = max(need - BASE_BYTES, 1)
    spare = max(limit - BASE_BYTES, 0)
    folds = math.floor(config.model.cv.folds * spare / states)
    if folds >= 2:
        out.append(f"--set model.cv={folds}")
    if plan.threads > 1:
        per_thread = BLOCK_COPIES * plan.block_bytes + plan.state_bytes
        threads = plan.threads - math.ceil(over / max(per_thread, 1))
        if threads >= 1 and cluster.kind == "threads":
            out.append(f"--set cluster.workers={threads}")
    if cluster.kind == "processes":
        out.append(f"--set cluster.memory_limit={math.ceil(need / 1e8) / 10:g}GB")
    elif cluster.kind == "scheduler":
        out.append(f"workers with {_gigabytes(need)} of memory")
    features = math.floor(plan.n_features * math.sqrt(spare / states))
    out.append(f"fewer features (about {features:,}) with data.exclude or data.numeric")
    return out


def _state_bytes(dataset: Dataset, n_cells: int, n_missing: int) -> int:
    """Bytes of the moments that a task returns."""
    layout = Layout(n_cells=n_cells, n_sparse=dataset.n_sparse, n_dense=dataset.n_dense)
    return Moments.state_bytes(layout, n_missing)


def _worker_bytes(dataset: Dataset, state: int, block: int, threads: int) -> int:
    """Each thread holds a block and a state; finished states wait for their neighbours."""
    busy = min(threads, max(len(dataset.groups), 1))
    waiting = math.ceil(math.log2(max(len(dataset.groups), 1))) + 1
    inputs = max(
        (sum(r.nbytes for r in group.recipes if r.inputs) for group in dataset.groups), default=0
    )
    return BASE_BYTES + busy * (BLOCK_COPIES * block + state + inputs) + waiting * state


def _gigabytes(n_bytes: int) -> str:
    """Gigabytes, or megabytes below one."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
