"""Pipelines of losses other than the squared one, from the command line to the output folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import log_loss, roc_auc_score
from typer.testing import CliRunner, Result

from distreg.cli.app import app
from distreg.data.testsplit import TestSplit
from distreg.model import LinearModel

Cli = Callable[..., Result]
N = 240
SMALL = ("--set", "model.n_alphas=8", "--set", "model.cv=3", "--set", "test=0.25")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)

    return call


def table() -> pd.DataFrame:
    """Four features and a target of each kind."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(rng.normal(size=(N, 4)), columns=["a", "b", "c", "d"])
    eta = 1.2 * frame["a"] - 0.8 * frame["b"] - 0.3
    frame["late"] = np.where(rng.random(N) < expit(eta), "zlate", "on time")
    several = np.column_stack([eta, np.zeros(N), frame["c"]])
    share = softmax(several, axis=1)
    frame["kind"] = np.array(["x", "y", "z"])[(share.cumsum(1) < rng.random((N, 1))).sum(1)]
    frame["flag"] = (frame["late"] == "zlate").astype(int)
    frame["count"] = rng.poisson(np.exp(0.5 * eta))
    frame["shift"] = rng.normal(size=N)
    return frame


TARGETS = {"logistic": "late", "squared_hinge": "flag", "multinomial": "kind", "poisson": "count"}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    table().to_parquet(tmp_path / "data.parquet", row_group_size=50)
    path = tmp_path / "p.yaml"
    path.write_text(
        "data: {path: data.parquet, target: late, numeric: [a, b, c, d], categorical: []}\n"
        "test: 0.25\n"
        "model: {loss: logistic, n_alphas: 8, cv: 3}\n"
        "tracking: {enabled: false}\n"
        "output: {figures: false}\n"
    )
    return path


def of(loss: str) -> tuple[str, ...]:
    """Settings that make the pipeline one of another loss."""
    return ("--set", f"model.loss={loss}", "--set", f"data.target={TARGETS[loss]}")


def report_of(run: str = "runs/p") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((Path(run) / "report.json").read_text())
    return report


def refused(done: Result, *words: str) -> None:
    """Exit code 2 and one message."""
    assert done.exit_code == 2, done.output
    message = done.stderr.partition("distreg: ")[2]
    for word in words:
        assert word in message


def held_back() -> np.ndarray:
    chosen, _ = TestSplit(0.25).divide(np.arange(N), N)
    return np.asarray(chosen)


def predictors(run: str = "runs/p") -> pd.DataFrame:
    """Linear predictors of the test rows, from the coefficients in the output folder."""
    coef = pd.read_csv(Path(run) / "coefficients.csv", index_col=0)
    X = table()[["a", "b", "c", "d"]].to_numpy()[held_back()]
    return pd.DataFrame(
        X @ coef.iloc[1:].to_numpy() + coef.iloc[0].to_numpy(), columns=coef.columns
    )


@pytest.mark.parametrize("loss", TARGETS)
def test_run(cli: Cli, pipeline: Path, tmp_path: Path, loss: str) -> None:
    done = cli("run", pipeline, *of(loss), "--set", "output.figures=true")
    assert done.exit_code == 0, done.output
    report = report_of()
    assert report["loss"] == loss
    assert report["certificates"]["converged"]
    assert report["n_test"] == 60
    classes = {"logistic": ["on time", "zlate"], "multinomial": ["x", "y", "z"],
               "squared_hinge": [0, 1], "poisson": None}[loss]  # fmt: skip
    assert report["classes"] == classes
    plan = report["plan"]
    assert plan["driver"] == "newton"
    assert plan["test_passes"] == (loss != "poisson")
    assert 2 <= report["cost"]["n_passes"] <= plan["max_passes"] + plan["test_passes"]
    assert (
        report["cost"]["n_block_reads"] == report["data"]["n_blocks"] * report["cost"]["n_passes"]
    )
    for word in ("held-out deviance", f"{loss} loss", "passes over the data"):
        assert word in done.stdout
    assert (tmp_path / "runs/p/figures/roc.png").exists() == (loss != "poisson")
    assert cli("show", "runs/p").stdout.strip() in done.stdout
    model = LinearModel.load("runs/p/model")
    assert model.loss == loss
    again = cli("run", "runs/p/pipeline.yaml", "--output", "again")
    assert again.exit_code == 0, again.output
    for name in ("coefficients.csv", "path.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "runs/p" / name).read_bytes()


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_scores_of_two_classes(cli: Cli, pipeline: Path, loss: str) -> None:
    assert cli("run", pipeline, *of(loss)).exit_code == 0
    eta, y = predictors(), table()["flag"].to_numpy()[held_back()]
    for row in report_of()["penalties"]:
        score = eta[row["name"]]
        assert row["test"]["auc"] == pytest.approx(roc_auc_score(y, score), rel=1e-9)
        assert row["test"]["accuracy"] == pytest.approx(np.mean((score > 0) == (y == 1)))
        if loss == "logistic":
            assert row["test"]["log_loss"] == pytest.approx(log_loss(y, expit(score)), rel=1e-9)
            weights = row["calibration"]["weight"]
            assert sum(weights) == 60
            observed = np.average(row["calibration"]["observed"], weights=weights)
            assert observed == pytest.approx(y.mean())


def test_scores_of_three_classes(cli: Cli, pipeline: Path) -> None:
    assert cli("run", pipeline, *of("multinomial")).exit_code == 0
    eta, y = predictors(), table()["kind"].to_numpy()[held_back()]
    for row in report_of()["penalties"]:
        share = softmax(eta[[f"{row['name']}:{c}" for c in "xyz"]].to_numpy(), axis=1)
        wanted = roc_auc_score(y, share, multi_class="ovr", average="macro")
        assert row["test"]["auc"] == pytest.approx(wanted, rel=1e-9)
        assert row["test"]["log_loss"] == pytest.approx(log_loss(y, share), rel=1e-9)
        assert {top["class"] for top in row["top"]} <= set("xyz")


@pytest.mark.parametrize(
    "settings",
    [
        ("data.offset=shift",),
        ("test=null",),
        ("data.missing=mean",),
        ("model.selection=1se", "model.penalties=[l1]"),
        ("model.loss=multinomial",),
        ("model.alphas=[0.1, 0.01]", "model.n_alphas=null"),
    ],
)
def test_settings_that_run(cli: Cli, pipeline: Path, settings: tuple[str, ...]) -> None:
    if "data.missing=mean" in settings:
        frame = table()
        frame.loc[::7, "a"] = np.nan
        frame.to_parquet(pipeline.with_name("data.parquet"), row_group_size=50)
    if settings[-1] == "model.n_alphas=null":
        text = pipeline.read_text().replace("n_alphas: 8, ", "")
        pipeline.write_text(text)
        settings = settings[:1]
    done = cli("run", pipeline, "--json", *(part for s in settings for part in ("--set", s)))
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["certificates"]["converged"]
    assert ("auc" in report["penalties"][0]["test"]) == ("test=null" not in settings)


def test_fit_takes_a_loss(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline).exit_code == 0
    done = cli(
        "fit", "data.parquet", "--target", "late", "--loss", "logistic", "--numeric", "a,b,c,d",
        "--set", "data.categorical=[]", *SMALL, "--tracking-uri", "none", "-o", "two",
        "--set", "output.figures=false",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for name in ("coefficients.csv", "path.csv"):
        assert (tmp_path / "runs/p" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    refused(
        cli("fit", "data.parquet", "--target", "late", "--loss", "logit"),
        "--loss logit", "'logistic'",
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_more_than_two_classes_need_multinomial(cli: Cli, pipeline: Path, loss: str) -> None:
    for command in ("plan", "run"):
        done = cli(command, pipeline, "--set", f"model.loss={loss}", "--set", "data.target=kind")
        refused(done, f"model.loss: {loss}", "'kind' holds 3 classes (x, y, z)", "multinomial")


def test_one_class_is_refused(cli: Cli, pipeline: Path) -> None:
    table().assign(late="on time").to_parquet(pipeline.with_name("data.parquet"))
    for loss in ("logistic", "multinomial"):
        refused(cli("run", pipeline, "--set", f"model.loss={loss}"), "on time")


def test_a_count_below_0_is_refused(cli: Cli, pipeline: Path) -> None:
    settings = ("model.loss=poisson", "data.target=shift")
    done = cli("run", pipeline, *(part for s in settings for part in ("--set", s)))
    refused(done, "negative")


def test_plan(cli: Cli, pipeline: Path) -> None:
    done = cli("plan", pipeline, "--set", "model.max_passes=40")
    assert done.exit_code == 0, done.output
    for words in ("Driver   newton: logistic loss", "about 5 to 10 passes, at most 40",
                  "and 1 for the test rows", "96 fits", "Fits     yes"):  # fmt: skip
        assert words in done.stdout
    refused(cli("plan", pipeline, "--set", "cluster.memory_limit=1MB"), "curvatures")


def test_too_few_passes_end_with_3(cli: Cli, pipeline: Path) -> None:
    settings = ("max_passes=2", "tol=1e-300", "n_alphas=3", "penalties=l1")
    short = [part for s in settings for part in ("--set", f"model.{s}")]
    done = cli("run", pipeline, *short)
    assert done.exit_code == 3, done.output
    assert "NOT all" in done.stdout
    assert "model.max_passes" in done.stdout
    assert report_of()["cost"]["n_passes"] <= 3


def test_a_changed_model_is_not_resumed(
    cli: Cli, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("distreg.pipeline.run.make_report", stop)
        assert cli("run", pipeline).exit_code == 4
    for setting in ("model.n_alphas=7", "model.tol=1e-5", "model.loss=multinomial"):
        refused(cli("run", pipeline, "--resume", "--set", setting), "another model", "--resume")
    done = cli("run", pipeline, "--resume")
    assert done.exit_code == 0, done.output
    with monkeypatch.context() as patch:
        patch.setattr("distreg.pipeline.run.make_report", stop)
        squared = ("--set", "model.loss=squared", "--set", "data.target=flag")
        assert cli("run", pipeline, *squared).exit_code == 4
    refused(cli("run", pipeline, "--resume", *of("squared_hinge")), "model", "--resume")


@pytest.mark.cluster
def test_processes_give_the_same_bits(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline, "-o", "threads").exit_code == 0
    done = cli(
        "run", pipeline, "-o", "workers", "--set",
        "cluster={kind: processes, workers: 2, memory_limit: 1GB}",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for name in ("coefficients.csv", "path.csv"):
        threads, workers = tmp_path / "threads" / name, tmp_path / "workers" / name
        assert threads.read_bytes() == workers.read_bytes()
    one, other = report_of("threads"), report_of("workers")
    assert [r["test"] for r in one["penalties"]] == [r["test"] for r in other["penalties"]]


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "quantile"])
def test_stable_features_are_reported(cli: Cli, pipeline: Path, loss: str) -> None:
    target = "late" if loss in ("logistic", "hinge") else "count"
    # the halves are dealt from the rows that are no test rows
    found = cli(
        "run", pipeline, "--json", "--set", f"model.loss={loss}", "--set", f"data.target={target}",
        "--set", "stability={n_pairs: 3, threshold: 0.8, max_features: 3}",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    stable = report["stability"]
    selected = {row["feature"]: row["probability"] for row in stable["selected"]}
    assert "a" in selected
    assert min(selected.values()) >= 0.8
    assert stable["mean_selected"] <= 3
    assert stable["expected_false"] == pytest.approx(stable["mean_selected"] ** 2 / (0.6 * 4))
    assert stable["converged"]
    assert stable["n_passes"] <= {"squared": 1, "logistic": 2}.get(loss, 100)
    assert report["cost"]["n_passes"] > stable["n_passes"]
    table = pd.read_csv("runs/p/coefficients.csv", index_col="feature")
    shares = table["selection_probability"]
    assert np.isnan(shares["(intercept)"])
    assert set(shares.index[shares >= 0.8]) == set(selected)
    assert "of 4 features, in at least 80% of 6 random halves" in cli("show", "runs/p").output
    asked = (f"model.loss={loss}", f"data.target={target}", "stability=3")
    plan = cli("plan", pipeline, *(word for key in asked for word in ("--set", key)))
    assert "for the halves" in plan.output


def test_bad_stability_sections_are_named(cli: Cli, pipeline: Path) -> None:
    refused(cli("plan", pipeline, "--set", "stability.threshold=0.5"), "stability.threshold")
    refused(cli("plan", pipeline, "--set", "stability.pairs=5"), "stability.pairs", "n_pairs")


def test_an_approximate_cross_validation_is_told(
    cli: Cli, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 90)
    done = cli(
        "fit", pipeline.parent / "data.parquet", "--target", "late", "--loss", "logistic",
        "--penalty", "l1", "--exclude", "kind,flag,count,shift", "--cv", "approx-4",
        "--output", "out", "--tracking-uri", "none", "--set", "model.n_alphas=6",
        "--set", "output.figures=false",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    report = report_of("out")
    assert report["n_folds"] == 4
    assert report["certificates"]["approximate"]
    assert "The cross-validation is approximate" in done.stdout
