"""What a run would do and need, told before anything heavy happens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from distreg.exceptions import ConfigError
from distreg.losses import get_loss
from distreg.options import BY_ROUNDS, MAX_PASSES
from distreg.pipeline.memory import GlmMemory, Memory
from distreg.pipeline.roundsmemory import ConsensusMemory, RoundsMemory
from distreg.pipeline.stable import N_ALPHAS, halves_of

if TYPE_CHECKING:
    from distreg.cluster import Resources
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells
    from distreg.pipeline.config import PipelineConfig
    from distreg.pipeline.modelconfig import ModelConfig

__all__ = ["Plan", "check_fits", "make_plan"]

USUAL_ROUNDS = (12, 100)
"""Passes of rounds for a loss with a kink (docs/decisions/0014)."""

USUAL_SMOOTH = (20, 300)
"""The same for a smooth loss."""

RARE_PASSES = 20
"""Passes that categories with levels of a few rows may take beyond what is usual."""

STAGE_PASSES = 4
"""Passes of a further stage: relaxed refits, or the first fit of adaptive penalties."""

USUAL_PASSES = (5, 10)
"""Passes of a loss other than the squared one: a summary, then evaluations until all is certified
(benchmarks of the engine)."""


@dataclass(frozen=True)
class Plan:
    """What a run would do. Sizes in bytes.

    Attributes
    ----------
    driver, reason : str
        The algorithm, and why.
    n_passes, n_scans : int
        Passes over all data, and metadata scans (already done when the plan is made). Of other
        drivers than "gram" the most passes that are usual.
    fewest_passes, max_passes, test_passes : int
        Of these the fewest that are usual and the most that are allowed for the fit, and those for
        the predictions of the test rows.
    halves_passes : int
        Further passes that stability selection usually takes, at most.
    n_rows, n_features, n_blocks, n_groups : int
        Of the data set.
    folds : str
        Description of folds and test rows.
    n_fits : int
        Models that are fitted.
    bytes_read : int
        Decoded size of what `n_passes` passes and those of the halves read.
    state_bytes : int
        What a task returns: moments, or gradients and curvatures.
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
    fewest_passes: int
    max_passes: int
    test_passes: int
    halves_passes: int
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
            f"{self._passes()} over the data{scans}: {_gigabytes(self.bytes_read)} decoded, "
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

    def _passes(self) -> str:
        more = f" and {self.halves_passes} for the halves," if self.halves_passes else ""
        if self.max_passes == 1:
            return "1 pass" + more
        fewest, usual = self.fewest_passes, self.n_passes - self.test_passes
        span = f"{fewest} to {usual}" if fewest < usual else f"{usual}"
        test = " and 1 for the test rows," if self.test_passes else ""
        return f"about {span} passes, at most {self.max_passes} (model.max_passes),{test}{more}"

    @property
    def fits(self) -> bool:
        """True when workers and client stay below their memory limits."""
        return self.peak_bytes <= self.memory_limit and self.client_bytes <= self.client_limit


def make_plan(config: PipelineConfig, dataset: Dataset, cells: Cells, resources: Resources) -> Plan:
    """Predict passes, fits and memory from sizes alone."""
    memory = _memory(config, dataset, cells, resources)
    worker, client = memory.peaks()
    halves = halves_of(config, dataset)
    if halves is not None:
        more = _memory(config, dataset, halves, resources).with_path(N_ALPHAS).peaks()
        worker, client = max(worker, more[0]), max(client, more[1])
    n_fits = memory.n_paths * (cells.n_folds + 1)
    reason = _reason(config.model, memory, n_fits)
    fewest, usual, most, test = _passes(config, cells, dataset.n_sparse > 0)
    # the halves have no relaxed refits
    extra = 0 if halves is None else usual - STAGE_PASSES * bool(config.model.relax)
    return Plan(
        driver=config.model.driver,
        reason=reason,
        n_passes=usual + test,
        fewest_passes=fewest,
        max_passes=most,
        test_passes=test,
        halves_passes=extra,
        n_scans=dataset.n_scans,
        n_rows=dataset.n_rows,
        n_features=dataset.n_features,
        n_blocks=dataset.n_blocks,
        n_groups=len(dataset.groups),
        folds=cells.description,
        n_fits=n_fits,
        bytes_read=(usual + test + extra) * dataset.nbytes,
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


def _memory(config: PipelineConfig, dataset: Dataset, cells: Cells, resources: Resources) -> Memory:
    """What memory depends on, for the loss of the pipeline."""
    model = config.model
    n_alphas = len(model.alphas or ()) or model.n_alphas
    memory = Memory(
        n_dense=dataset.n_dense,
        n_sparse=dataset.n_sparse,
        # with missing="mean" every numeric column may need an indicator
        n_missing=dataset.n_dense if dataset.missing == "mean" else 0,
        n_cells=cells.n_cells,
        n_folds=cells.n_folds,
        n_paths=len(model.labels) * n_alphas,
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
    if model.driver == "gram":
        return memory
    if model.driver in BY_ROUNDS:
        known = {f.name: getattr(memory, f.name) for f in fields(memory)}
        rounds = RoundsMemory(**known, n_rows=dataset.n_rows, n_ratios=len(model.l1_ratios))
        rounds = rounds.with_groups(dataset.groups)
        return rounds if model.driver == "admm" else ConsensusMemory.of(rounds)
    several = get_loss(model.loss).target == "classes"
    return GlmMemory(
        **{f.name: getattr(memory, f.name) for f in fields(memory)},
        n_classes=len(dataset.classes or ()) if several else 1,
        n_ratios=len(model.l1_ratios),
        # adaptive penalties begin with an L2 path
        has_ridge=min(model.l1_ratios.values()) == 0.0 or model.adaptive is not None,
        approximate=model.cv.approximate,
    )


def _reason(model: ModelConfig, memory: Memory, n_fits: int) -> str:
    """Why the driver is what it is, and what it does."""
    size, loss = f"{memory.state / 1e6:,.1f} MB", get_loss(model.loss)
    if model.driver == "gram":
        return (
            "squared loss: the Gram matrices of the folds hold all that every penalty, alpha and "
            f"fold needs, and {memory.n_cells} of them take {size}"
        )
    if isinstance(memory, RoundsMemory):
        auto = model.solver == "auto"
        why = f"{loss.name} loss has a kink" if auto else f"asked for with solver: {model.solver}"
        return (
            f"{why}: every round is a pass and serves all {n_fits:,} fits, "
            f"with {memory.kept / 1e6:,.1f} MB of states that stay with the rows"
        )
    return (
        f"{loss.name} loss: every pass serves all of the {n_fits:,} fits, with gradients and "
        f"curvatures of up to {size}"
    )


def _passes(config: PipelineConfig, cells: Cells, has_levels: bool) -> tuple[int, int, int, int]:
    """Usual passes of a fit (fewest, most), the most that are allowed, and those of test rows."""
    model = config.model
    loss, most = get_loss(model.loss), model.max_passes or MAX_PASSES[model.driver]
    if model.driver == "gram":
        return 1, 1, 1, 0
    test = int(model.has_classes and bool(cells.test.any()))
    if model.driver in BY_ROUNDS:
        fewest, usual = (min(n, most) for n in (USUAL_SMOOTH if loss.smooth else USUAL_ROUNDS))
        return fewest, usual, most, test
    # a null model that the summary does not determine is fitted by passes
    more = int(loss.null_eta is None)
    more += STAGE_PASSES * (bool(model.relax) + (model.adaptive is not None))
    fewest, usual = (min(n + more, most) for n in USUAL_PASSES)
    if has_levels:
        usual = min(usual + RARE_PASSES, most)
    return fewest, usual, most, test


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
    what = {"newton": "gradients and curvatures", "consensus": "coefficients and gradients"}
    states = what.get(plan.driver, "Gram matrices")
    raise ConfigError(
        f"the run needs about {_gigabytes(need)} in {who}, which has {_gigabytes(limit)}: "
        f"{plan.n_features:,} features make {states} of {_gigabytes(plan.state_bytes)} a "
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
