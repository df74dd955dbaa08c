"""Tracking: the layout in MLflow, the right end of every run, and outages that cost nothing."""

from __future__ import annotations

import dataclasses
import http.server
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from cvresults import NAMES, diabetes, diabetes_result
from mlflow.entities import Run
from mlflowstore import chosen_model, new_store, write_output

from distreg.exceptions import InputError
from distreg.report.summary import PenaltySummary, summarise, winner_of
from distreg.result import CVResult
from distreg.tracking import DatasetInfo, Tracker, TrackingResult, mask, sync
from distreg.tracking.journal import Journal, pending_journals
from distreg.tracking.session import open_session
from distreg.tracking.target import Target, probe, resolve

PATH_METRICS = {
    f"path/{name}"
    for name in ("alpha", "neg_log10_alpha", "cv_mean", "cv_se", "n_nonzero", "sparsity",
                 "dual_gap", "kkt_violation", "objective")
}  # fmt: skip
BEST_METRICS = {
    f"best/{name}"
    for name in ("alpha", "l1_ratio", "cv_mean", "cv_se", "n_nonzero", "sparsity", "l1_norm",
                 "l2_norm", "max_abs_coef", "support_stability", "dual_gap")
} | {"test/mse", "test/rmse", "test/r2"}  # fmt: skip
COST_METRICS = {"cost/n_passes", "cost/bytes_read", "cost/seconds", "cost/peak_memory_mb"}
PARAMS = {"loss": "squared", "n_samples": 400, "cv": "5 folds", "tol": None}
INFO = DatasetInfo("diabetes", "abc123", "data/diabetes.parquet", 442, 10, "progression",
                   dict.fromkeys(NAMES, "double"))  # fmt: skip
CANARY, STORED = "c4n4ry-t0k3n", "st0r3d-t0k3n"


@pytest.fixture(scope="module")
def result() -> CVResult:
    return diabetes_result(l1_ratios=(1.0, 0.5, 0.0), n_alphas=20)


@pytest.fixture(scope="module")
def summaries(result: CVResult) -> tuple[PenaltySummary, ...]:
    return summarise(result, "1se")


@pytest.fixture(autouse=True)
def no_tracking_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that all tests share; opening one takes a second."""
    folder = tmp_path_factory.mktemp("runs")
    new_store(folder)
    return folder


@pytest.fixture
def output(runs: Path) -> Path:
    """An output folder, whose name is that of its experiment too."""
    return runs / f"run-{sum(1 for _ in runs.iterdir())}-{time.monotonic_ns()}"


def track(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...], **keywords: Any
) -> TrackingResult:
    """A whole run, as the pipeline does it."""
    x, _ = diabetes()
    register_as = output.name if keywords.pop("register", False) else None
    with Tracker(None, output.name, output, register_as=register_as) as t:
        t.start("night run", PARAMS, INFO)
        write_output(output, result, summaries)
        for summary in summaries:
            t.record(summary)
        example = pd.DataFrame(x[:3], columns=list(NAMES))
        return t.finish(result.cost, input_example=example, **keywords)


def store_of(output: Path) -> Target:
    return resolve(None, output)


def all_runs(output: Path) -> list[Run]:
    """Every run of the experiment, oldest first."""
    with open_session(store_of(output)) as client:
        experiment = client.get_experiment_by_name(output.name)
        assert experiment is not None
        order = ["attributes.start_time ASC"]
        return list(client.search_runs([experiment.experiment_id], order_by=order))


def content(output: Path) -> dict[str, Any]:
    """All that MLflow holds of the one experiment, without ids and times."""
    found: dict[str, Any] = {}
    with open_session(store_of(output)) as client:
        experiment = client.get_experiment_by_name(output.name)
        assert experiment is not None
        ids = [experiment.experiment_id]
        for run in client.search_runs(ids):
            name = run.info.run_name
            assert name not in found, "a run was logged twice"
            history = {
                key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
                if key != "cost/peak_memory_mb"
            }
            files = [f.path for f in client.list_artifacts(run.info.run_id)]
            files += [f.path for f in client.list_artifacts(run.info.run_id, "figures")]
            inputs = [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs]
            found[name] = (history, run.data.params, sorted(files), inputs, run.info.status)
        models = client.search_logged_models(ids)
        found["models"] = [(m.name, str(m.status), sorted(v.key for v in m.metrics or ()))
                           for m in models]  # fmt: skip
        found["versions"] = len(client.search_model_versions(f"name = '{output.name}'"))
    return found


# --- layout ---------------------------------------------------------------------------------------


def test_layout(output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]) -> None:
    tracked = track(output, result, summaries, register=True, params={"late": 1})
    assert not tracked.pending
    assert set(tracked.children) == {"l1", "elasticnet_0.5", "l2"}
    best = winner_of(summaries)
    with open_session(store_of(output)) as client:
        parent = client.get_run(tracked.run_id)
        assert parent.info.status == "FINISHED"
        assert parent.info.run_name == "night run"
        assert set(parent.data.metrics) == PATH_METRICS | BEST_METRICS | COST_METRICS
        expected = {"loss": "squared", "n_samples": "400", "cv": "5 folds", "late": "1"}
        assert expected.items() <= parent.data.params.items()
        assert "tol" not in parent.data.params
        assert parent.data.metrics["best/cv_mean"] == best.cv_mean[best.index]
        assert parent.data.metrics["cost/n_passes"] == 1
        assert parent.data.metrics["cost/seconds"] == 0.375
        assert parent.data.tags["distreg.winner"] == best.label
        assert parent.data.tags["mlflow.note.content"].startswith(f"**{best.label}**")
        assert parent.data.tags["distreg.registered"] == f"{output.name}/1"
        (dataset,) = parent.inputs.dataset_inputs
        assert (dataset.dataset.name, dataset.dataset.digest) == ("diabetes", "abc123")
        assert json.loads(dataset.dataset.profile)["num_rows"] == 442
        files = {f.path for f in client.list_artifacts(tracked.run_id)}
        assert files == {"coefficients.csv", "figures", "path.csv", "pipeline.yaml", "report.json"}
        pictures = {f.path for f in client.list_artifacts(tracked.run_id, "figures")}
        assert pictures == {"figures/comparison.png", "figures/cv_curve.png"}
        for summary in summaries:
            child = client.get_run(tracked.children[summary.label])
            assert child.info.status == "FINISHED"
            assert child.info.run_name == summary.label
            assert child.data.tags["mlflow.parentRunId"] == tracked.run_id
            assert child.data.params["penalty"] == summary.label
            assert float(child.data.params["l1_ratio"]) == summary.l1_ratio
            assert set(child.data.metrics) == PATH_METRICS | BEST_METRICS
            for name, value in summary.metrics().items():
                assert child.data.metrics[name] == value, name
            curve = client.get_metric_history(child.info.run_id, "path/cv_mean")
            assert [m.step for m in curve] == list(range(20))
            np.testing.assert_array_equal([m.value for m in curve], summary.cv_mean)
            path = client.download_artifacts(child.info.run_id, "figures/cv_curve.png")
            assert Path(path).read_text() == f"{summary.label}/cv_curve"
        loaded = mlflow.pyfunc.load_model(f"models:/{output.name}/1")
    x, _ = diabetes()
    wanted = chosen_model(result, summaries).predict(x)
    assert loaded.predict(pd.DataFrame(x, columns=list(NAMES))).tobytes() == wanted.tobytes()


def test_one_batch_a_path(
    output: Path,
    result: CVResult,
    summaries: tuple[PenaltySummary, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = []
    original = mlflow.MlflowClient.log_batch

    def count(self: Any, run_id: str, metrics: Any = (), params: Any = (), **k: Any) -> Any:
        batches.append((run_id, len(metrics)))
        return original(self, run_id, metrics=metrics, params=params, **k)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", count)
    tracked = track(output, result, summaries)
    for child in tracked.children.values():
        assert [n for run, n in batches if run == child] == [9 * 20 + 14]


def test_children_keep_the_order_of_the_penalties(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]
) -> None:
    track(output, result, summaries)
    names = [r.info.run_name for r in all_runs(output) if "mlflow.parentRunId" in r.data.tags]
    assert names == [s.label for s in summaries]


def test_two_runs_in_one_folder_share_the_experiment(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]
) -> None:
    first = track(output, result, summaries)
    second = track(output, result, summaries)
    assert first.experiment_id == second.experiment_id
    assert first.run_id != second.run_id


def test_limits_of_mlflow_are_kept(output: Path, result: CVResult) -> None:
    long = "x" * 7000
    params = {"long": long, "coef[x1]:*=λ": 1} | {f"p{i}": i for i in range(150)}
    base = summarise(result, "min")[0]
    repeat = np.arange(200) % 20
    path = dataclasses.replace(
        base.path,
        criteria=None,
        **{
            f.name: getattr(base.path, f.name)[repeat]
            for f in dataclasses.fields(base.path)
            if isinstance(getattr(base.path, f.name), np.ndarray)
        },
    )
    cv_mean = base.cv_mean[repeat].copy()
    cv_mean[5] = np.nan
    summary = dataclasses.replace(
        base, path=path, cv_mean=cv_mean, cv_se=np.full(200, np.inf),
        stability=np.full(200, np.nan), test={},
    )  # fmt: skip
    with Tracker(None, output.name, output) as tracker:
        tracker.start("limits", params)
        tracker.record(summary)
        tracked = tracker.finish(result.cost)
    assert not tracked.pending, tracked.message
    with open_session(store_of(output)) as client:
        run = client.get_run(tracked.run_id)
        assert run.data.params["p149"] == "149"
        assert run.data.params["coef_x1_:___"] == "1"
        assert run.data.params["long"].endswith("(whole text: long_parameters.json)")
        kept = client.download_artifacts(tracked.run_id, "long_parameters.json")
        assert json.loads(Path(kept).read_text())["long"] == long
        steps = {m.step for m in client.get_metric_history(tracked.run_id, "path/cv_mean")}
        assert steps == set(range(200)) - {5}
        assert "path/cv_se" not in run.data.metrics
        assert "best/support_stability" not in run.data.metrics


# --- ends -----------------------------------------------------------------------------------------


def run_until(output: Path, happens: Callable[[], None], **start: Any) -> None:
    """A run in which something happens during the fit."""
    with Tracker(None, output.name, output) as tracker:
        tracker.start("a", PARAMS, **start)
        happens()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("bad luck"), "FAILED"),
        (InputError("wrong data"), "FAILED"),
        (MemoryError(), "FAILED"),
        (SystemExit(1), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
    ],
    ids=repr,
)
def test_exceptions_end_the_run(output: Path, error: BaseException, status: str) -> None:
    def fail() -> None:
        assert all_runs(output)[0].info.status == "RUNNING"
        raise error

    with pytest.raises(type(error)):
        run_until(output, fail)
    (run,) = all_runs(output)
    assert run.info.status == status
    assert run.info.end_time is not None
    assert pending_journals(output) == []
    if str(error):
        assert str(error) in run.data.tags["distreg.error"]


def test_sigterm_ends_the_run_and_the_handler_is_taken_back(output: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL

    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        run_until(output, terminate)
    assert signal.getsignal(signal.SIGTERM) is before
    assert all_runs(output)[0].info.status == "KILLED"


def test_a_handler_of_the_program_stays(output: Path) -> None:
    caught = []
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append(1))
    try:
        with Tracker(None, output.name, output):
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_leaving_without_a_result_is_a_failure(output: Path) -> None:
    with Tracker(None, output.name, output) as tracker:
        tracker.start("a", PARAMS)
    assert all_runs(output)[0].info.status == "FAILED"


def test_interrupt_during_the_upload(
    output: Path,
    result: CVResult,
    summaries: tuple[PenaltySummary, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:

        def interrupt(*_: Any, **__: Any) -> None:
            patch.undo()
            raise KeyboardInterrupt

        patch.setattr(mlflow.MlflowClient, "log_artifact", interrupt)
        with pytest.raises(KeyboardInterrupt):
            track(output, result, summaries)
    assert next(r for r in all_runs(output) if r.info.run_name == "night run").info.status == (
        "KILLED"
    )


# A test run in the background ignores SIGINT, and its children inherit that.
SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = {path!r}
from pathlib import Path
from distreg.tracking import Tracker
with Tracker(None, {name!r}, Path({output!r})) as tracker:
    tracker.start("a", {{"n": 1}})
    print("started", flush=True)
    time.sleep(60)
"""


def start_process(output: Path) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[1])
    script = SCRIPT.format(path=[root], output=str(output), name=output.name)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, "KILLED"), (signal.SIGINT, "KILLED")]
)
def test_signals_of_a_real_process(output: Path, number: signal.Signals, status: str) -> None:
    process = start_process(output)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert all_runs(output)[0].info.status == status


def test_a_killed_process_is_marked_by_the_next_sync(output: Path) -> None:
    process = start_process(output)
    (alive,) = sync(output)
    assert alive.pending
    assert "still going on" in alive.message
    process.kill()
    process.communicate(timeout=30)
    assert all_runs(output)[0].info.status == "RUNNING"
    (done,) = sync(output)
    assert not done.pending
    assert all_runs(output)[0].info.status == "FAILED"
    assert sync(output) == []


def test_a_killed_process_is_marked_by_the_next_run(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]
) -> None:
    process = start_process(output)
    process.kill()
    process.communicate(timeout=30)
    track(output, result, summaries)
    status = {r.info.run_name: r.info.status for r in all_runs(output)}
    assert (status["a"], status["night run"]) == ("FAILED", "FINISHED")


# --- outages --------------------------------------------------------------------------------------

CALLS = (
    "get_experiment_by_name", "search_runs", "create_run", "log_batch", "log_inputs",
    "log_artifact", "create_logged_model", "log_model_artifacts", "create_registered_model",
    "create_model_version", "set_tag", "set_terminated",
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(
    result: CVResult, summaries: tuple[PenaltySummary, ...], runs: Path
) -> dict[str, Any]:
    track(runs / "undisturbed", result, summaries, register=True)
    return content(runs / "undisturbed")


@pytest.mark.parametrize("call", CALLS)
def test_an_outage_costs_nothing_and_sync_completes_it_once(
    output: Path,
    result: CVResult,
    summaries: tuple[PenaltySummary, ...],
    undisturbed: dict[str, Any],
    call: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        original = Tracker.finish

        def finish(self: Tracker, *a: Any, **k: Any) -> TrackingResult:
            def fail(*_: Any, **__: Any) -> None:
                raise ConnectionError(f"connection to http://u:{CANARY}@host refused\nmore")

            patch.setattr(mlflow.MlflowClient, call, fail)
            return original(self, *a, **k)

        patch.setattr(Tracker, "finish", finish)
        tracked = track(output, result, summaries, register=True)
    assert tracked.pending
    assert "refused" in tracked.message
    assert CANARY not in tracked.message
    assert (output / "report.json").exists()
    (done,) = sync(output)
    assert not done.pending, done.message
    assert content(output) == undisturbed
    assert sync(output) == []


def test_uploading_a_journal_again_changes_nothing(
    output: Path,
    result: CVResult,
    summaries: tuple[PenaltySummary, ...],
    undisturbed: dict[str, Any],
) -> None:
    track(output, result, summaries, register=True)
    (path,) = (output / "tracking").glob("*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["event"] not in ("run", "synced")]
    path.write_text("".join(kept))
    (done,) = sync(output)
    assert not done.pending
    assert content(output) == undisturbed


def test_the_output_folder_may_be_replaced_during_the_run(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...], tmp_path: Path
) -> None:
    with Tracker(None, output.name, output) as tracker:
        tracker.start("a", PARAMS)
        fresh = tmp_path / "fresh"
        write_output(fresh, result, summaries)
        shutil.rmtree(output)
        fresh.rename(output)
        for summary in summaries:
            tracker.record(summary)
        tracked = tracker.finish(result.cost)
    assert not tracked.pending
    (path,) = (output / "tracking").glob("*.jsonl")
    journal = Journal.read(path)
    assert [len(journal.all(e)) for e in ("start", "penalty", "finish")] == [1, 3, 1]
    assert journal.synced


def test_a_file_that_changed_since_is_not_uploaded_as_if_it_were_the_old_one(
    output: Path,
    result: CVResult,
    summaries: tuple[PenaltySummary, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            mlflow.MlflowClient, "log_artifact", lambda *_: (_ for _ in ()).throw(OSError("down"))
        )
        assert track(output, result, summaries).pending
    (output / "report.json").write_text("of another run")
    (done,) = sync(output)
    assert not done.pending
    with open_session(store_of(output)) as client:
        files = {f.path for f in client.list_artifacts(done.run_id)}
    assert "report.json" not in files
    assert "path.csv" in files


def test_a_journal_cut_off_by_a_crash_can_be_read(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, name="a", uri="sqlite:///x.db")
    journal.add("penalty", label="l1", curve=np.array([1.0, np.nan]))
    with journal.path.open("a") as stream:
        stream.write('{"event": "finish", "metr')
    found = Journal.read(journal.path)
    assert [e["event"] for e in found.events] == ["start", "penalty"]
    assert found.events[1]["curve"] == [1.0, None]
    assert journal.path.stat().st_mode & 0o077 == 0
    (tmp_path / "tracking" / "zz.jsonl").write_text("not json")
    assert [j.key for j in pending_journals(tmp_path)] == [journal.key]


# --- where ----------------------------------------------------------------------------------------


def test_default_is_sqlite_beside_the_output(tmp_path: Path) -> None:
    target = resolve(None, tmp_path / "runs" / "flights")
    assert target.uri == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert target.artifact_location == f"file://{tmp_path}/runs/mlartifacts"
    assert target.hint == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/runs/mlflow.db"


def test_the_environment_comes_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000/")
    assert resolve(None, tmp_path).uri == "http://server:5000"
    assert resolve("https://other", tmp_path).uri == "https://other"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mlruns", "folder of files"),
        ("file:///tmp/mlruns", "folder of files"),
        ("./x.db", "folder of files"),
        ("sqlite://", "names no file"),
        ("ftp://host", "not understood"),
        ("http://", "names no host"),
        (f"gopher://u:{CANARY}@host", "not understood"),
    ],
)
def test_unusable_uris_are_refused(uri: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Tracker(uri, "x", tmp_path / "out")
    assert CANARY not in str(caught.value)


def test_an_unwritable_file_is_refused_before_the_fit(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "mlflow.db", tmp_path):
        with (
            pytest.raises(InputError, match="cannot be written"),
            Tracker(f"sqlite:///{place}", "x", tmp_path / "out") as tracker,
        ):
            tracker.start("a", {})


def test_a_file_that_is_no_database_is_refused_before_the_fit(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a diary, not a database" * 100)
    tracker = Tracker(None, "x", tmp_path / "out")
    with pytest.raises(InputError, match=r"cannot be tracked in .*mlflow\.db: .*not a database"):
        tracker.start("a", {})
    assert pending_journals(tmp_path / "out") == []


def test_a_deleted_experiment_is_named(output: Path) -> None:
    with open_session(store_of(output)) as client:
        client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(InputError, match="'gone' was deleted in MLflow; restore it"):
        Tracker(None, "gone", output).start("a", {})


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with one status and remembers the headers."""

    status = 200
    seen: tuple[tuple[str, str | None], ...] = ()

    def do_GET(self) -> None:
        cls = type(self)
        cls.seen = (*cls.seen, (self.path, self.headers.get("Authorization")))
        status = 200 if self.path == "/health" else cls.status
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"Invalid Host header" if status == 403 else b"OK")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Answers]]]:
    handler = type("Handler", (Answers,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", handler
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, None),
        (404, None),
        (401, "wants credentials"),
        (403, r"refuses the request.*Invalid Host.*--allowed-hosts 127\.0\.0\.1"),
        (503, "in trouble"),
    ],
)
def test_probe_of_a_server(
    server: tuple[str, type[Answers]], status: int, message: str | None, tmp_path: Path
) -> None:
    uri, handler = server
    handler.status = status
    target = resolve(uri, tmp_path)
    if message is None:
        probe(target)
    else:
        with pytest.raises(InputError, match=message):
            probe(target)
    assert handler.seen[0][0] == "/health"


def test_credentials_reach_the_server_and_nothing_else(
    server: tuple[str, type[Answers]], tmp_path: Path
) -> None:
    uri, handler = server
    target = resolve(uri.replace("://", f"://user:{CANARY}%40x@"), tmp_path)
    assert (target.username, target.password) == ("user", f"{CANARY}@x")
    probe(target)
    assert handler.seen[0][1] is not None
    assert handler.seen[0][1].startswith("Basic ")
    assert CANARY not in repr(target) + target.uri + target.shown + target.hint
    assert target.mask(f"failed: {CANARY}@x") == "failed: ***"


@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_a_dead_server_is_found_before_the_fit(listens: bool, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        if listens:
            sock.listen()
        uri = f"http://user:{CANARY}@127.0.0.1:{sock.getsockname()[1]}"
        began = time.monotonic()
        with (
            pytest.raises(InputError, match="does not answer") as caught,
            Tracker(uri, "x", tmp_path / "out") as tracker,
        ):
            tracker.start("a", {})
    assert time.monotonic() - began < 6
    assert CANARY not in str(caught.value)


def test_session_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    before = dict(os.environ)
    logging.getLogger("mlflow").setLevel(logging.INFO)
    target = Target("http://h", "http://h", None, "user", "secret")
    with open_session(target):
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "5"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "10"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert mlflow.get_tracking_uri() == "http://h"
    assert dict(os.environ) == before
    assert logging.getLogger("mlflow").level == logging.INFO
    assert not mlflow.is_tracking_uri_set()


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, distreg.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:pw@host/db", "postgresql://***@host/db"),
        ("s3://key:p@ss@bucket/a.parquet", "s3://***@bucket/a.parquet"),
        ("https://h/a?token=abc&x=1", "https://h/a?token=***&x=1"),
        ("abfs://c@account/x?sig=ab%2F", "abfs://***@account/x?sig=***"),
        ("aws_secret_access_key=abc", "aws_secret_access_key=***"),
        ("mail me@example.org", "mail me@example.org"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("sortkey 3", "sortkey 3"),
    ],
)
def test_mask(text: str, expected: str) -> None:
    assert mask(text) == expected


def test_no_secret_is_stored(
    output: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]
) -> None:
    source = f"s3://me:{STORED}@bucket/x.parquet"
    info = dataclasses.replace(INFO, source=source)
    with Tracker(None, output.name, output, command=f"distreg fit {source}") as tracker:
        tracker.start("a", {"path": source, "nested": [source]}, info, {"from": source})
        write_output(output, result, summaries)
        tracker.record(summaries[0])
        tracker.finish(result.cost, params={"late": source})

    def fail() -> None:
        raise OSError(f"cannot read {source}")

    with pytest.raises(OSError, match="cannot read"):
        run_until(output, fail)
    for path in output.parent.rglob("*"):
        if path.is_file():
            assert STORED.encode() not in path.read_bytes(), path


def test_sync_asks_for_a_password_that_the_journal_does_not_keep(tmp_path: Path) -> None:
    uri = "postgresql://u:secret@host/db"
    Journal.create(tmp_path, name="a", uri=resolve(uri, tmp_path).shown).add("end", status="FAILED")
    with pytest.raises(InputError, match=r"password is not kept\. Give the tracking URI again"):
        sync(tmp_path)


# --- several processes ----------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_that_make_the_same_store_at_once(tmp_path: Path) -> None:
    root, output = str(Path(__file__).parents[1]), tmp_path / "runs" / "a"
    script = (
        f"import sys; sys.path[:0] = [{root!r}]\n"
        "from pathlib import Path\n"
        "from distreg.tracking import Tracker\n"
        f"with Tracker(None, 'together', Path({str(output)!r}) / sys.argv[1]) as tracker:\n"
        "    tracker.start(sys.argv[1], {})\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(k)]) for k in range(4)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    target = resolve(None, output / "0")
    with open_session(target) as client:
        experiment = client.get_experiment_by_name("together")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in found) == ["0", "1", "2", "3"]


# --- a real server --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_server_that_dies(
    tmp_path: Path, result: CVResult, summaries: tuple[PenaltySummary, ...]
) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    store = new_store(tmp_path / "server")
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host",
        "127.0.0.1", "--port", str(port), "--workers", "1", "--artifacts-destination",
        str(tmp_path / "server" / "files"),
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    uri, output = f"http://127.0.0.1:{port}", tmp_path / "runs" / "diabetes"
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(resolve(uri, output))
        with Tracker(uri, "diabetes", output) as tracker:
            tracker.start("good", PARAMS, INFO)
            write_output(output, result, summaries)
            for summary in summaries:
                tracker.record(summary)
            good = tracker.finish(result.cost)
        assert not good.pending, good.message
        assert good.hint == (
            f"{uri}/#/experiments/{good.experiment_id}/runs/{good.run_id}"
            "?workflowType=machine_learning"
        )
        with open_session(tracker.target) as client:
            files = client.list_artifacts(good.run_id, "figures")
            assert [f.path for f in files] == ["figures/comparison.png", "figures/cv_curve.png"]
        with Tracker(uri, "diabetes", output) as tracker:
            tracker.start("interrupted", PARAMS, INFO)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
            tracker.record(summaries[0])
            began = time.monotonic()
            bad = tracker.finish(result.cost)
        assert bad.pending
        assert time.monotonic() - began < 15
        assert [j.start["name"] for j in pending_journals(output)] == ["interrupted"]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
        log.close()


def wait_for(target: Target) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            return probe(target)
        except InputError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
