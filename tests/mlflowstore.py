"""A fresh MLflow store for a test, without the seconds that making its tables takes each time."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from distreg.data.columns import Columns
from distreg.model import LinearModel
from distreg.report.summary import PenaltySummary, winner_of
from distreg.result import CVResult
from distreg.tracking.session import open_session
from distreg.tracking.target import Target


@functools.cache
def template() -> Path:
    """A database with MLflow's tables and nothing else; made once in a process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "mlflow.db"
    uri = f"sqlite:///{file}"
    with open_session(Target(uri, uri)) as client:
        client.search_experiments()
    return file


def new_store(folder: Path) -> str:
    """URI of an empty store, ``mlflow.db`` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(template(), folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def chosen_model(result: CVResult, summaries: Sequence[PenaltySummary]) -> LinearModel:
    """The winner's model."""
    best = winner_of(summaries)
    return LinearModel(
        coef=best.coef,
        intercept=float(best.path.intercept[best.index]),
        feature_names=result.feature_names,
        columns=Columns(numeric=result.feature_names),
        alpha=best.alpha,
        l1_ratio=best.l1_ratio,
        target="progression",
    )


def write_output(folder: Path, result: CVResult, summaries: Sequence[PenaltySummary]) -> None:
    """An output folder as the pipeline leaves it; pictures are only named as such."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"winner": winner_of(summaries).label}))
    (folder / "coefficients.csv").write_text("feature,l1\nbmi,2\n")
    (folder / "path.csv").write_text("penalty,alpha\nl1,1\n")
    (folder / "pipeline.yaml").write_text("name: diabetes\n")
    chosen_model(result, summaries).save(folder / "model")
    for name in ("comparison", *(f"{s.label}/cv_curve" for s in summaries)):
        picture = folder / "figures" / f"{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(name.encode())
