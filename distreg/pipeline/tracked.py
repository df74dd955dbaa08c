"""What a run tells its tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distreg.data.dataset import Dataset
from distreg.data.folds import Cells
from distreg.flavor import level_kind
from distreg.pipeline.config import PipelineConfig
from distreg.pipeline.named import constraints
from distreg.pipeline.plan import Plan
from distreg.report.summary import PenaltySummary
from distreg.result import CVResult
from distreg.secrets import mask
from distreg.tracking import DatasetInfo, Tracker, TrackingResult

__all__ = ["finish_tracking", "start_tracking"]


def start_tracking(
    tracker: Tracker, config: PipelineConfig, dataset: Dataset, cells: Cells, plan: Plan
) -> None:
    """Begin the run, with all settings as parameters."""
    model, test, classes = config.model, config.test, dataset.classes
    params = {
        "loss": model.loss,
        **model.parameter,
        "classes": None if classes is None else ", ".join(map(str, classes)),
        "max_passes": model.max_passes,
        "penalties": ",".join(model.l1_ratios),
        "relax": ", ".join(map(str, model.relax)) or None,
        "adaptive": model.adaptive,
        "n_alphas": len(model.alphas or ()) or model.n_alphas,
        "alpha_min_ratio": model.alpha_min_ratio,
        "cv": cells.description,
        "cv_folds": model.cv.folds,
        "cv_kind": model.cv.kind,
        "cv_seed": model.cv.seed,
        "cv_approximate": model.cv.approximate,
        "stability_n_pairs": config.stability and config.stability.n_pairs,
        "stability_threshold": config.stability and config.stability.threshold,
        "test_fraction": None if test is None else test.fraction,
        "test_kind": None if test is None else test.kind,
        "selection": model.selection,
        "standardize": model.standardize,
        "fit_intercept": model.fit_intercept,
        "constraints": constraints(model),
        "tol": model.tol,
        "missing": config.data.missing,
        "solver": plan.driver,
        "cluster": config.cluster.kind,
        "n_rows": dataset.n_rows,
        "n_features": dataset.n_features,
        "data_digest": dataset.digest,
    }
    info = DatasetInfo(
        name=mask(dataset.name),
        digest=dataset.digest,
        source=config.data.path,
        n_rows=dataset.n_rows,
        n_features=dataset.n_features,
        target=config.data.target,
        columns=_types(dataset),
    )
    tracker.start(config.name, params, info)


def finish_tracking(
    tracker: Tracker,
    dataset: Dataset,
    result: CVResult,
    summaries: Sequence[PenaltySummary],
    stable: Mapping[str, Any] | None = None,
) -> TrackingResult:
    """Send everything; the output folder is complete. `stable` is that section of the report."""
    params: dict[str, Any] = {"n_samples": result.n_samples, "n_test": result.n_test}
    if stable is not None:
        params |= {
            "stability_n_selected": len(stable["selected"]),
            "stability_expected_false": stable["expected_false"],
        }
    for summary in summaries:
        tracker.record(summary)
    return tracker.finish(
        result.cost,
        input_example=_typical_row(dataset, result),
        params=params,
        curves=None
        if result.rounds is None
        else {f"admm/{name}": v for name, v in result.rounds.columns.items()},
    )


def _types(dataset: Dataset) -> dict[str, str]:
    """MLflow type of each column that the model reads."""
    columns = dataset.columns
    if columns is None:
        return dict.fromkeys(dataset.feature_names, "double")
    types = dict.fromkeys(columns.numeric, "double")
    return types | {name: level_kind(columns, name) for name in columns.categorical}


def _typical_row(dataset: Dataset, result: CVResult) -> Any:
    """One row of means and first levels, as it would be given to predict."""
    import pandas as pd

    columns = dataset.columns
    means = dict(zip(result.feature_names, map(float, result.feature_mean), strict=True))
    if columns is None:
        return pd.DataFrame([means])
    row: dict[str, Any] = {name: means[name] for name in columns.numeric}
    row |= {name: columns.levels[name][0] for name in columns.categorical if columns.levels[name]}
    return pd.DataFrame([row])
