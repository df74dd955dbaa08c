"""What is particular to a target of classes: which ones may be, and how test rows are scored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distreg.exceptions import ConfigError
from distreg.glm.scores import Models, class_scores, predict_test_rows
from distreg.losses import get_loss
from distreg.passes import PassRunner
from distreg.pipeline.config import PipelineConfig
from distreg.report.summary import PenaltySummary, with_scores
from distreg.result import CVResult

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import Cells

__all__ = ["check_classes", "score_test_rows"]

N_SHOWN = 5


def check_classes(config: PipelineConfig, classes: Sequence[Any] | None) -> None:
    """Raise ConfigError when the loss cannot tell these classes apart."""
    loss = config.model.loss
    if not config.model.has_classes or classes is None:
        return
    shown = ", ".join(str(label) for label in classes[:N_SHOWN])
    shown += ", ..." if len(classes) > N_SHOWN else ""
    column = f"{config.data.target!r} holds {len(classes)} classes ({shown})"
    if len(classes) < 2:
        raise ConfigError(f"data.target: {column}; loss: {loss} needs at least 2")
    if get_loss(loss).target == "binary" and len(classes) > 2:
        raise ConfigError(
            f"model.loss: {loss} tells 2 classes apart, and {column}. Use loss: multinomial, or "
            "a target of 2 classes"
        )


def score_test_rows(
    dataset: Dataset,
    cells: Cells,
    result: CVResult,
    summaries: Sequence[PenaltySummary],
    runner: PassRunner,
) -> tuple[CVResult, tuple[PenaltySummary, ...]]:
    """Add what the order of the test rows' predictions says of the chosen models: one more pass.

    Without test rows, or classes, nothing is read and nothing changes.
    """
    target = get_loss(result.loss).target
    if not result.n_test or target not in ("binary", "classes"):
        return result, tuple(summaries)
    models = Models(
        coef=np.array([np.atleast_2d(s.coef) for s in summaries]),
        intercept=np.array([np.atleast_1d(s.intercept) for s in summaries]),
        fill=result.fill_values,
    )
    found = runner.run(predict_test_rows(dataset, cells, models, result.n_test), dataset)
    start = time.perf_counter()
    scored = tuple(
        with_scores(summary, class_scores(result.loss, found, m))
        for m, summary in enumerate(summaries)
    )
    runner.cost.path_seconds += time.perf_counter() - start
    return replace(result, cost=replace(runner.cost)), scored
