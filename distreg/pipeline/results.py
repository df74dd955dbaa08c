"""What a run leaves behind: models, tables, figures, the pipeline as it ran."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from distreg import __version__
from distreg.data.dataset import Dataset
from distreg.model import LinearModel
from distreg.pipeline.config import PipelineConfig
from distreg.pipeline.output import (
    COEFFICIENTS,
    FIGURES,
    MODEL,
    PATH,
    PIPELINE,
    REPORT,
    write_csv,
)
from distreg.report.figures import save_figures
from distreg.report.summary import PenaltySummary, winner_of
from distreg.report.tables import coefficient_table, path_table
from distreg.result import CVResult
from distreg.secrets import mask
from distreg.stability import Stability

__all__ = ["effective_file", "make_models", "write_results"]


def make_models(
    config: PipelineConfig,
    dataset: Dataset,
    result: CVResult,
    summaries: Sequence[PenaltySummary],
) -> dict[str, LinearModel]:
    """Return the chosen model of each penalty, by its label."""
    columns, fill = dataset.columns, result.fill_values
    if columns is not None and fill is not None:
        means = tuple(float(value) for value in fill[: dataset.n_dense])
        columns, fill = dataclasses.replace(columns, fill=means), None
    return {
        summary.label: LinearModel(
            coef=summary.coef,
            intercept=summary.intercept,
            feature_names=result.feature_names,
            columns=columns,
            loss=config.model.loss,
            loss_parameter=result.loss_parameter,
            alpha=summary.alpha,
            l1_ratio=summary.l1_ratio,
            target=config.data.target,
            fill=fill,
            info=_info(config, dataset, result, summary),
            classes=dataset.classes,
        )
        for summary in summaries
    }


def _info(
    config: PipelineConfig, dataset: Dataset, result: CVResult, summary: PenaltySummary
) -> dict[str, Any]:
    """How a model was fitted."""
    return {
        "pipeline": config.name,
        "created_by": f"distreg {__version__}",
        "penalty": summary.label,
        "selection": summary.rule,
        "n_samples": result.n_samples,
        "cv_mean": float(summary.cv_mean[summary.index]),
        "cv_se": float(summary.cv_se[summary.index]),
        "dual_gap": float(summary.path.dual_gap[summary.index]),
        "kkt_violation": float(summary.path.kkt_violation[summary.index]),
        "data_digest": dataset.digest,
        "offset": config.data.offset,
    }


def write_results(
    folder: Path,
    config: PipelineConfig,
    summaries: Sequence[PenaltySummary],
    report: Mapping[str, Any],
    models: Mapping[str, LinearModel],
    stable: Stability | None = None,
) -> None:
    """Write the files of the output folder into a new folder."""
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    write_csv(folder / COEFFICIENTS, *coefficient_table(summaries, stable))
    write_csv(folder / PATH, *path_table(summaries))
    models[winner_of(summaries).label].save(folder / MODEL)
    (folder / PIPELINE).write_text(effective_file(config), encoding="utf-8")
    if config.output.figures:
        save_figures(summaries, folder / FIGURES)


def effective_file(config: PipelineConfig) -> str:
    """Return the pipeline as it ran: every setting, without passwords."""
    text: str = yaml.safe_dump(
        _clean(config.model_dump(mode="json", exclude_none=True)),
        sort_keys=False,
        allow_unicode=True,
    )
    return text


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items()}
    return mask(value) if isinstance(value, str) else value
