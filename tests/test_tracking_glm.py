"""Tracking of a class target: its parameters, scores and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from glmresults import glm_summaries
from mlflowstore import new_store, write_output

from distreg.report.summary import winner_of
from distreg.tracking import Tracker
from distreg.tracking.session import open_session
from distreg.tracking.target import resolve

PICTURES = ("comparison", "roc", "calibration")


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_layout(loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    new_store(tmp_path)
    result, summaries = glm_summaries(loss)
    best = winner_of(summaries)
    output = tmp_path / "run"
    with Tracker(None, "late", output) as tracker:
        tracker.start("night run", {"loss": loss, "classes": "on time, late"})
        write_output(output, result, summaries)
        for name in (*PICTURES, *(f"{s.label}/{p}" for s in summaries for p in ("roc", "own"))):
            path = output / "figures" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        for summary in summaries:
            tracker.record(summary)
        tracked = tracker.finish(result.cost)
    assert not tracked.pending, tracked.message
    with open_session(resolve(None, output)) as client:
        parent = client.get_run(tracked.run_id)
        assert parent.data.params["classes"] == "on time, late"
        assert parent.data.metrics["cost/n_passes"] == 8
        scores = {"deviance", "d2"}
        if loss == "logistic":
            scores = {"log_loss", "auc", "accuracy", "brier", "d2"}
        for run_id, summary in [
            (tracked.run_id, best),
            *((tracked.children[s.label], s) for s in summaries),
        ]:
            metrics = client.get_run(run_id).data.metrics
            assert {m for m in metrics if m.startswith("test/")} == {f"test/{s}" for s in scores}
            for score in scores:
                assert metrics[f"test/{score}"] == summary.test[score][summary.index]
            violation = summary.path.kkt_violation
            assert metrics["best/kkt_violation"] == violation[summary.index]
            curve = client.get_metric_history(run_id, "path/kkt_violation")
            np.testing.assert_array_equal([m.value for m in curve], violation)

        def content(run_id: str, name: str) -> str:
            return Path(client.download_artifacts(run_id, f"figures/{name}.png")).read_text()

        # the picture of all penalties stays, the winner's others come beside it
        assert [content(tracked.run_id, name) for name in PICTURES] == list(PICTURES)
        assert content(tracked.run_id, "own") == f"{best.label}/own"
        for label, run_id in tracked.children.items():
            assert content(run_id, "roc") == f"{label}/roc"
