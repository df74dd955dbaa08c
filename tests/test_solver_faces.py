"""Solvers by rounds in estimators, pipelines and on the command line; rounds shown and tracked."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from problems import dataset
from test_admm_smooth import case
from test_rounds import _keys_left
from typer.testing import CliRunner, Result

import distreg
from distreg.cli.app import app
from distreg.cluster import open_cluster
from distreg.cv import cross_validate
from distreg.data.folds import make_cells
from distreg.data.schemes import KFold
from distreg.exceptions import ConvergenceWarning, InputError
from distreg.options import BY_ROUNDS, PathOptions
from distreg.passes import PassRunner
from distreg.tracking.session import open_session
from distreg.tracking.target import Target

ESTIMATORS: list[tuple[type, dict[str, Any]]] = [
    (distreg.Ridge, {"alpha": 0.3}),
    (distreg.Lasso, {"alpha": 0.3}),
    (distreg.ElasticNetCV, {"n_alphas": 6, "cv": 3}),
    (distreg.LogisticRegression, {"alpha": 0.01, "l1_ratio": 1.0}),
    (distreg.LogisticRegressionCV, {"n_alphas": 6, "cv": 3}),
    (distreg.PoissonRegressor, {"alpha": 0.1, "l1_ratio": 0.5}),
    (distreg.LinearSVC, {"alpha": 0.01}),
    (distreg.HuberRegressor, {"alpha": 0.05, "l1_ratio": 1.0}),
]


@pytest.mark.parametrize("solver", BY_ROUNDS)
@pytest.mark.parametrize(("kind", "options"), ESTIMATORS)
def test_estimators(kind: Any, options: dict[str, Any], solver: str) -> None:
    name = kind.__name__
    losses = {"Log": "logistic", "Poi": "poisson", "Lin": "squared_hinge", "Hub": "huber"}
    at = case(losses.get(name[:3], "squared"), "plain")
    usual = kind(**options, tol=1e-9).fit(at.X, at.y)
    found = kind(**options, tol=1e-9, solver=solver).fit(at.X, at.y)
    assert found.status_ == "converged"
    assert found.n_passes_ > usual.n_passes_
    assert found.n_iter_ == found.n_passes_
    assert found.alpha_ == pytest.approx(usual.alpha_)
    scale = np.abs(usual.coef_).max()
    np.testing.assert_allclose(found.coef_, usual.coef_, atol=2e-3 * scale)


def test_what_does_not_converge_says_what_helps() -> None:
    at = case("squared", "plain")
    with pytest.warns(
        ConvergenceWarning, match=r"largest dual gap is .*allow more with max_passes"
    ):
        distreg.Lasso(0.01, solver="admm", max_passes=5).fit(at.X, at.y)


def test_several_classes_are_refused() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    with pytest.raises(InputError, match=r"'admm' is not offered for loss='multinomial'"):
        distreg.LogisticRegression(solver="admm").fit(X, y)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    at = case("logistic", "plain")
    frame = pd.DataFrame(at.X, columns=[f"x{j}" for j in range(at.X.shape[1])])
    frame["count"] = case("poisson", "plain").y
    frame["late"], frame["level"] = at.y.astype(int), case("squared", "plain").y
    path = tmp_path / "data.parquet"
    frame.to_parquet(path, row_group_size=80)
    return path


SMALL = ("--cv", 3, "--set", "model.n_alphas=5", "--set", "output.figures=false")


@pytest.mark.parametrize("solver", BY_ROUNDS)
@pytest.mark.parametrize(
    ("loss", "target"), [("squared", "level"), ("logistic", "late"), ("poisson", "count")]
)
def test_fit(data: Path, loss: str, target: str, solver: str) -> None:
    others = {"level", "late", "count"} - {target}
    flags = ("--target", target, "--loss", loss, "--exclude", ",".join(sorted(others)), *SMALL)
    reports = {}
    for asked in ("auto", solver):
        done = call("fit", data, *flags, "--test", 0.2, "--solver", asked,
                    "--tracking-uri", "none", "-o", asked)  # fmt: skip
        assert done.exit_code == 0, done.output
        reports[asked] = json.loads((Path(asked) / "report.json").read_text())
    usual, found = reports["auto"], reports[solver]
    assert (found["solver"], found["plan"]["driver"]) == (solver, solver)
    assert usual["rounds"] is None
    assert f"solver: {solver}" in found["plan"]["reason"]
    assert found["winner"] == usual["winner"]
    for row, other in zip(found["penalties"], usual["penalties"], strict=True):
        assert row["cv_mean"] == pytest.approx(other["cv_mean"], rel=1e-3)
        assert row["test"] == pytest.approx(other["test"], rel=1e-2)
    trace = found["rounds"]
    # besides the rounds: summary, products, and the predictions of the test rows of two classes
    others = 1 + (solver == "admm") + (loss == "logistic")
    assert len(trace["rho"]) == found["cost"]["n_passes"] - others
    assert trace["n_active"][0] == 3 * 5 * 4
    assert trace["n_active"] == sorted(trace["n_active"], reverse=True)
    assert trace["primal_residual"][-1] < 1e-2 * trace["primal_residual"][1]
    assert f"ADMM, {trace['n_active'][1]:,} fits left, residuals" in done.stderr


@pytest.mark.parametrize("solver", BY_ROUNDS)
def test_plan_and_refusals(data: Path, solver: str) -> None:
    Path("p.yaml").write_text(
        "data: {path: data.parquet, target: level, exclude: [late, count]}\n"
        f"model: {{solver: {solver}, max_passes: 50}}\ntracking: {{enabled: false}}\n"
    )
    done = call("plan", "p.yaml")
    assert done.exit_code == 0
    for words in (f"{solver}: asked for with solver: {solver}", "states that stay", "at most 50"):
        assert words in " ".join(done.stdout.split())
    for setting, words in (
        ("model.solver=newton", "solver='newton' is not offered for loss='squared'"),
        ("model.solver=sgd", "allowed: 'auto', 'gram', 'newton', 'admm' or 'consensus'"),
        ("model.relax=true", f"relax is not known to solver={solver!r}"),
        ("model.adaptive=1", f"adaptive is not known to solver={solver!r}"),
    ):
        done = call("plan", "p.yaml", "--set", setting)
        assert done.exit_code == 2
        assert words in " ".join(done.stderr.split())


@pytest.mark.parametrize("solver", BY_ROUNDS)
def test_rounds_are_metrics_of_the_parent(data: Path, solver: str) -> None:
    uri = f"sqlite:///{Path('mlflow.db').absolute()}"
    done = call("fit", data, "--target", "late", "--loss", "logistic", "--solver", solver,
                "--exclude", "count,level", *SMALL, "--tracking-uri", uri, "-o", "run")  # fmt: skip
    assert done.exit_code == 0, done.output
    trace = json.loads(Path("run/report.json").read_text())["rounds"]
    with open_session(Target(uri, uri)) as client:
        [experiment] = [e for e in client.search_experiments() if e.name != "Default"]
        runs = client.search_runs([experiment.experiment_id])
        [parent] = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
        assert parent.data.params["solver"] == solver
        for name, values in trace.items():
            history = client.get_metric_history(parent.info.run_id, f"admm/{name}")
            # what is not known in a round, as residuals are not in the first, is no metric of it
            known = [(k, value) for k, value in enumerate(values, 1) if value is not None]
            assert [m.step for m in history] == [k for k, _ in known]
            np.testing.assert_allclose([m.value for m in history], [value for _, value in known])
            assert len(known) >= len(values) - 1


@pytest.mark.cluster
@pytest.mark.parametrize("solver", BY_ROUNDS)
def test_a_worker_lost_on_the_way_costs_rounds_but_no_answer(solver: str) -> None:
    """Its states are made again from the last coefficients; nothing is left behind."""
    at = case("logistic", "plain")
    data = dataset(at, range(25, 300, 25), per_group=2)
    options = PathOptions(loss="logistic", solver=solver, n_alphas=5, alpha_min_ratio=1e-2)
    cells = make_cells(KFold(3), data.n_rows)
    alone = cross_validate(data, cells, options, PassRunner(n_threads=1))
    data = dataclasses.replace(data, in_memory=False)
    with open_cluster("processes", workers=2, memory_limit="1GB") as client:
        assert client is not None
        [pid, *_] = sorted(client.run(os.getpid).values())
        killed = []

        def kill(stage: str, done: int, total: int) -> None:
            if "pass 9" in stage and not killed:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

        found = cross_validate(data, cells, options, PassRunner(client, progress=kill))
        assert killed
        assert found.converged
        assert _keys_left(client) == []
    path, other = found.paths[0], alone.paths[0]
    difference = np.abs(path.objective - other.objective) / other.null_objective
    assert difference.max() <= 1e-6
    assert found.cost.n_passes <= 2 * alone.cost.n_passes
