"""From a pipeline file to an output folder: where all parts are put together."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg import __version__
from distreg.cluster import Resources, open_cluster, resources_of
from distreg.cv import cross_validate
from distreg.data.dataset import Dataset
from distreg.data.files import read_dataset
from distreg.data.folds import (
    Cells,
    FoldColumn,
    GroupKFold,
    KFold,
    Scheme,
    ShuffledKFold,
    TestSplit,
    TimeSeriesSplit,
    make_cells,
)
from distreg.exceptions import ConfigError
from distreg.options import PathOptions
from distreg.passes import PassRunner, Progress
from distreg.pipeline.checkpoint import FileCheckpoint
from distreg.pipeline.classes import check_classes, score_test_rows
from distreg.pipeline.config import CVConfig, PipelineConfig
from distreg.pipeline.named import bounds_given, by_feature, constraints
from distreg.pipeline.output import CHECKPOINT, check_output, replace_folder
from distreg.pipeline.plan import Plan, check_fits, make_plan
from distreg.pipeline.results import make_models, write_results
from distreg.pipeline.stable import select_stable
from distreg.pipeline.tracked import finish_tracking, start_tracking
from distreg.report.summary import PenaltySummary, summarise
from distreg.report.tables import make_report
from distreg.result import CVResult
from distreg.secrets import mask
from distreg.tracking import Tracker, TrackingResult

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DONE", "NOT_CERTIFIED", "TRACKING_PENDING", "Outcome", "plan_pipeline", "run_pipeline"]

DONE, NOT_CERTIFIED, TRACKING_PENDING = 0, 3, 5

Note = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    Attributes
    ----------
    report : dict
        All that is printed.
    folder : Path
        The output folder.
    result : CVResult
        Every fit.
    status : int
        `DONE`, `NOT_CERTIFIED` or `TRACKING_PENDING`: the exit code.
    tracked : TrackingResult or None
        What became of the tracking; None when it is off.
    """

    report: dict[str, Any]
    folder: Path
    result: CVResult
    status: int
    tracked: TrackingResult | None = None


@dataclass(frozen=True)
class Prepared:
    """Data, folds and plan: all that is known before the first pass."""

    dataset: Dataset
    cells: Cells
    options: PathOptions
    plan: Plan


def plan_pipeline(config: PipelineConfig) -> Plan:
    """Say what `run_pipeline` would do; reads metadata only."""
    check_output(config.output_dir)
    with _cluster(config) as client:
        return _prepare(config, _resources(config, client)).plan


def run_pipeline(
    config: PipelineConfig,
    *,
    progress: Progress | None = None,
    resume: bool = False,
    note: Note | None = None,
) -> Outcome:
    """Read the data, fit every penalty, alpha and fold, and write the output folder.

    Parameters
    ----------
    config : PipelineConfig
    progress : callable, optional
        ``progress(stage, done, total)``.
    resume : bool
        Use what an interrupted run of the same pipeline left.
    note : callable, optional
        Receives remarks for the user, one line each.

    Raises
    ------
    InputError
        What is given cannot be used; found before the pass wherever possible.
    """
    folder = config.output_dir
    note = note or (lambda line: None)
    check_output(folder)
    tracker = _tracker(config, folder)
    with tracker or nullcontext(), _cluster(config) as client:
        ready = _prepare(config, _resources(config, client))
        check_fits(ready.plan, config)
        for advice in ready.dataset.advice:
            note(mask(advice))
        if tracker is not None:
            start_tracking(tracker, config, ready.dataset, ready.cells, ready.plan)
        checkpoint = FileCheckpoint(folder / CHECKPOINT, _identity(config, ready), resume=resume)
        if resume:
            note("going on from the checkpoint" if checkpoint.resumed else "nothing to resume")
        runner = PassRunner(
            client, n_threads=config.cluster.workers, progress=progress, checkpoint=checkpoint
        )
        result, summaries = _fitted(config, ready, runner)
        about, stable = _about(config, ready), None
        chosen = select_stable(config, ready.dataset, ready.options, runner)
        if chosen is not None:
            stable, about["stability"] = chosen
            result = replace(result, cost=replace(runner.cost))
        report = make_report(result, summaries, about)
        models = make_models(config, ready.dataset, result, summaries)
        replace_folder(
            folder, lambda new: write_results(new, config, summaries, report, models, stable)
        )
        tracked = None
        if tracker is not None:
            tracked = finish_tracking(
                tracker, ready.dataset, result, summaries, report.get("stability")
            )
    status = DONE if tracked is None or not tracked.pending else TRACKING_PENDING
    certified = result.converged and (chosen is None or chosen[1]["converged"])
    status = status if certified else NOT_CERTIFIED
    return Outcome(report, folder, result, status, tracked)


def _fitted(
    config: PipelineConfig, ready: Prepared, runner: PassRunner
) -> tuple[CVResult, tuple[PenaltySummary, ...]]:
    """Every fit, and what was chosen and scored of each penalty."""
    result = cross_validate(ready.dataset, ready.cells, ready.options, runner)
    summaries = summarise(
        result,
        config.model.selection,
        labels=config.model.labels,
        target=config.data.target,
    )
    return score_test_rows(ready.dataset, ready.cells, result, summaries, runner)


def _tracker(config: PipelineConfig, folder: Path) -> Tracker | None:
    """Return a tracker whose store answers; None when tracking is off."""
    tracking = config.tracking
    if not tracking.enabled:
        return None
    tracker = Tracker(
        tracking.uri,
        tracking.experiment or config.name,
        folder,
        register_as=tracking.register_as,
    )
    tracker.probe()
    return tracker


def _cluster(config: PipelineConfig) -> Any:
    cluster = config.cluster
    return open_cluster(
        cluster.kind,
        workers=cluster.workers,
        memory_limit=cluster.memory_limit,
        address=cluster.address,
        timeout=cluster.timeout,
    )


def _resources(config: PipelineConfig, client: Client | None) -> Resources:
    return resources_of(
        client, workers=config.cluster.workers, memory_limit=config.cluster.memory_limit
    )


def _prepare(config: PipelineConfig, resources: Resources) -> Prepared:
    """Open the data (metadata only), deal the folds, and plan."""
    data = config.data
    # workers may have another current directory
    path = data.path if "://" in data.path else os.path.abspath(data.path)
    dataset = read_dataset(
        path,
        format=data.format,
        target=data.target,
        numeric=data.numeric,
        categorical=data.categorical,
        exclude=data.exclude,
        weight=data.weight,
        offset=data.offset,
        missing=data.missing,
        unknown=data.unknown,
        fold_key=config.model.cv.column,
        classes=config.model.has_classes,
    )
    check_classes(config, dataset.classes)
    test = None
    if config.test is not None:
        test = TestSplit(config.test.fraction, config.test.seed, config.test.kind)
    cells = make_cells(_scheme(config.model.cv, dataset), dataset.n_rows, test)
    model = config.model
    lower, upper = bounds_given(model, dataset.feature_names)
    options = PathOptions(
        l1_ratios=tuple(model.l1_ratios.values()),
        alphas=None if model.alphas is None else np.sort(np.array(model.alphas))[::-1].copy(),
        n_alphas=model.n_alphas,
        alpha_min_ratio=model.alpha_min_ratio,
        penalty_factor=_penalty_factor(model.penalty_factor, dataset.feature_names),
        lower_bounds=lower,
        upper_bounds=upper,
        standardize=model.standardize,
        fit_intercept=model.fit_intercept,
        tol=model.tol,
        loss=model.loss,
        loss_parameter=model.loss_parameter,
        max_passes=model.max_passes,
        solver=model.solver,
        approximate=model.cv.approximate,
        relax=model.relax,
        adaptive=model.adaptive,
    )
    return Prepared(dataset, cells, options, make_plan(config, dataset, cells, resources))


def _scheme(cv: CVConfig, dataset: Dataset) -> Scheme | None:
    """The folds that the file asks for."""
    if cv.folds == 0:
        return None
    if cv.kind == "shuffled":
        return ShuffledKFold(cv.folds, cv.seed)
    if cv.kind == "contiguous":
        return KFold(cv.folds)
    if cv.kind == "group":
        return GroupKFold(cv.folds, cv.seed)
    if cv.kind == "time":
        return TimeSeriesSplit(cv.folds)
    return FoldColumn(cv.folds)


def _penalty_factor(given: Mapping[str, float], names: tuple[str, ...]) -> np.ndarray | None:
    """One factor for each feature; the name of a categorical column stands for all its levels."""
    if not given:
        return None
    factor = by_feature("penalty_factor", given, names, 1.0)
    if not factor.any():
        raise ConfigError("model.penalty_factor: all factors are 0; at least one must be positive")
    return factor


def _identity(config: PipelineConfig, ready: Prepared) -> dict[str, Any]:
    """What the states of a pass depend on."""
    model = config.model
    return {
        "distreg version": __version__,
        "data (digest)": ready.dataset.digest,
        "data settings": config.data.model_dump(mode="json", exclude={"path"}),
        "test split": None if config.test is None else config.test.model_dump(mode="json"),
        "folds": model.cv.model_dump(mode="json"),
        "stability": config.stability and config.stability.model_dump(mode="json"),
        # moments serve any penalty; other passes depend on earlier answers
        **({} if model.driver == "gram" else {"model": model.model_dump(mode="json")}),
    }


def _about(config: PipelineConfig, ready: Prepared) -> dict[str, Any]:
    """What the report says beside the numbers."""
    dataset = ready.dataset
    return {
        "format": 1,
        "name": config.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "distreg": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("numpy", "scipy", "numba", "dask", "pyarrow")},
        },
        "data": {
            "name": mask(dataset.name),
            "path": mask(config.data.path),
            "target": config.data.target,
            "n_rows": dataset.n_rows,
            "n_numeric": dataset.n_dense,
            "n_one_hot": dataset.n_sparse,
            "missing": dataset.missing,
            "n_blocks": dataset.n_blocks,
            "digest": dataset.digest,
        },
        "folds": ready.cells.description,
        "constraints": constraints(config.model),
        "plan": ready.plan.to_dict(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
