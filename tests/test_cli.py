"""The command line as its users meet it: exit codes, messages, files."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from distreg.cli.app import app
from distreg.model import LinearModel

Cli = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}
HEAVY = ("numpy", "scipy", "pandas", "pyarrow", "dask", "distributed", "mlflow", "matplotlib")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runner = CliRunner()

    def call(*arguments: object) -> Result:
        return runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)

    return call


def table(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=["a", "b", "c", "d"])
    frame["kind"] = rng.choice(["x", "y", "z"], n_rows)
    frame["g"] = np.arange(n_rows) // 10
    shift = frame["kind"].map({"x": 0.0, "y": 1.0, "z": -1.0})
    frame["y"] = 3 + 2 * frame["a"] - frame["b"] + shift + 0.3 * rng.normal(size=n_rows)
    return frame


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    table().to_csv(path, index=False)
    return path


@pytest.fixture
def pipeline(tmp_path: Path, data: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(
        "data: {path: data.csv, target: y, exclude: [g]}\n"
        "test: 0.2\n"
        "model: {n_alphas: 20, cv: 4}\n"
        "tracking: {enabled: false}\n"
        "output: {figures: false}\n"
    )
    return path


def python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m distreg`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "distreg", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=ENVIRONMENT,
        **options,
    )


# --- first use -----------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from distreg.cli import main\n"
        "sys.argv = ['distreg', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=ENVIRONMENT,
    )
    assert done.stderr.strip() == "[]"
    for command in ("run", "fit", "plan", "predict", "show", "compare", "init"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["run", "fit", "plan", "predict", "show", "compare", "init"])
def test_each_command_explains_itself(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.stdout


def test_version(cli: Cli) -> None:
    from distreg import __version__

    assert cli("--version").stdout.strip() == f"distreg {__version__}"


def test_init_writes_a_pipeline_that_runs(cli: Cli, tmp_path: Path) -> None:
    done = cli("init", "homes.yaml")
    assert done.exit_code == 0
    assert "Next: distreg run homes.yaml" in done.stdout
    again = cli("init", "homes.yaml")
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    done = cli("run", "homes.yaml", "--tracking-uri", "none")
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "runs/homes/report.json").read_text())
    best = next(row for row in report["penalties"] if row["name"] == report["winner"])
    assert best["test"]["r2"] > 0.85
    assert report["cost"]["n_passes"] == 1


def test_init_for_own_data(cli: Cli, tmp_path: Path, data: Path) -> None:
    (tmp_path / "deep").mkdir()
    done = cli("init", "deep/own.yaml", "--data", data, "--target", "y")
    assert done.exit_code == 0
    done = cli("run", "deep/own.yaml", "--tracking-uri", "none", "--set", "model.n_alphas=5")
    assert done.exit_code == 0, done.stderr
    assert cli("init", "other.yaml", "--data", data).exit_code == 2


# --- a run ---------------------------------------------------------------------------------------


def test_run_leaves_everything_behind(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    done = cli("run", pipeline, "--set", "output.figures=true")
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "runs" / "p"
    report = json.loads((folder / "report.json").read_text())
    names = [row["name"] for row in report["penalties"]]
    assert names == ["l1", "l2", "elasticnet_0.5"]
    assert f"Best: {report['winner']}" in done.stdout
    assert "Cost: 1 pass over the data" in done.stdout
    assert "Results: runs/p" in done.stdout
    with (folder / "coefficients.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["feature", *names]
    assert [row[0] for row in rows[1:]] == [
        "(intercept)",
        "a",
        "b",
        "c",
        "d",
        "kind=x",
        "kind=y",
        "kind=z",
    ]
    assert len(pd.read_csv(folder / "path.csv")) == 3 * 20
    model = LinearModel.load(folder / "model")
    column = 1 + names.index(report["winner"])
    np.testing.assert_array_equal(model.coef, [float(row[column]) for row in rows[2:]])
    assert model.coef[0] == pytest.approx(2.0, abs=0.2)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        ["report.json", "coefficients.csv", "path.csv", "model", "figures", "pipeline.yaml"]
    )
    assert (folder / "figures" / "comparison.png").stat().st_size > 1000
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]

    shown = cli("show", folder)
    assert shown.exit_code == 0
    assert shown.stdout.strip() in done.stdout
    again = cli("run", folder / "pipeline.yaml", "--output", "again")
    assert again.exit_code == 0, again.stderr
    for name in ("coefficients.csv", "path.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_fit_is_run_without_a_file(cli: Cli, pipeline: Path, data: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline, "--quiet", "--output", "one").exit_code == 0
    done = cli(
        "fit", data, "--target", "y", "--penalty", "l1,l2,elasticnet", "--cv", "4", "--test", "0.2",
        "--exclude", "g", "--set", "model.n_alphas=20", "--tracking-uri", "none", "-o", "two",
        "--set", "output.figures=false",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for name in ("coefficients.csv", "path.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_json_is_all_there_is_on_stdout(cli: Cli, pipeline: Path) -> None:
    done = cli("run", pipeline, "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert report["exit_code"] == 0
    assert json.loads(cli("show", "runs/p", "--json").stdout)["winner"] == report["winner"]


def test_quiet_has_no_progress(cli: Cli, pipeline: Path) -> None:
    assert "pass 1" in cli("run", pipeline).stderr
    done = cli("run", pipeline, "--quiet")
    assert done.stderr == ""
    assert "Best:" in done.stdout


@pytest.mark.parametrize(
    "setting",
    ["model.cv={kind: contiguous, folds: 3}", "model.cv={kind: time, folds: 3}",
     "model.cv={kind: group, folds: 3, column: g}", "model.penalties=l2", "data.weight=d",
     "model.penalty_factor={a: 0, kind: 2}", "model={alphas: [1, 0.1], cv: 3}", "cluster.workers=1",
     "test=null", "data.missing=mean"],
)  # fmt: skip
def test_settings_that_run(cli: Cli, pipeline: Path, data: Path, setting: str) -> None:
    frame = table()
    frame["d"] = frame["d"].abs()
    frame.to_csv(data, index=False)
    done = cli("run", pipeline, "--json", "--set", setting)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["certificates"]["converged"]


def test_an_answer_above_its_tolerance_ends_with_3(cli: Cli, pipeline: Path) -> None:
    done = cli("run", pipeline, "--set", "model.tol=1e-300")
    assert done.exit_code == 3
    assert "NOT all" in done.stdout
    assert (Path("runs/p") / "report.json").exists()


@pytest.mark.cluster
def test_processes_give_the_same_bits(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline, "-o", "threads").exit_code == 0
    done = cli(
        "run", pipeline, "-o", "workers", "--set",
        "cluster={kind: processes, workers: 2, memory_limit: 1GB}",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    for name in ("coefficients.csv", "path.csv"):
        threads, workers = tmp_path / "threads" / name, tmp_path / "workers" / name
        assert threads.read_bytes() == workers.read_bytes()


# --- plan, show, compare, predict ----------------------------------------------------------------


def test_plan_runs_nothing(cli: Cli, pipeline: Path) -> None:
    done = cli("plan", pipeline)
    assert done.exit_code == 0, done.stderr
    for words in ("120 rows, 7 features", "1 pass", "300 fits", "Fits     yes"):
        assert words in done.stdout
    assert json.loads(cli("plan", pipeline, "--json").stdout)["n_fits"] == 300
    assert not (Path("runs/p") / "report.json").exists()


def test_plan_and_run_refuse_what_does_not_fit(cli: Cli, pipeline: Path) -> None:
    for command in ("plan", "run"):
        done = cli(command, pipeline, "--set", "cluster.memory_limit=1MB")
        assert done.exit_code == 2
        assert "this process" in done.stderr or "each worker" in done.stderr


def test_compare(cli: Cli, pipeline: Path) -> None:
    assert cli("run", pipeline, "-o", "one").exit_code == 0
    assert cli("run", pipeline, "-o", "two", "--set", "model.cv=3").exit_code == 0
    done = cli("compare", "one", "two")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[:3]] == ["run", "one", "two"]
    assert "not comparable" in done.stdout
    assert set(json.loads(cli("compare", "one", "two", "--json").stdout)) == {"one", "two"}
    assert cli("compare", "one", "three").exit_code == 2


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
def test_predict(cli: Cli, pipeline: Path, tmp_path: Path, ending: str, out: str) -> None:
    assert cli("run", pipeline).exit_code == 0
    frame = table(5000, seed=1)
    frame.loc[3, "kind"] = "never seen"
    new = tmp_path / f"new{ending}"
    if ending == ".csv":
        frame.to_csv(new, index=False)
    else:
        frame[frame.columns[::-1]].to_parquet(new, row_group_size=700)
    done = cli("predict", "runs/p", new, "--out", out, "--keep", "g,kind")
    assert done.exit_code == 0, done.stderr
    assert "5,000 predictions" in done.stdout
    found = pd.read_csv(out) if out.endswith("csv") else pd.read_parquet(out)
    assert list(found.columns) == ["g", "kind", "prediction"]
    expected = LinearModel.load("runs/p/model").predict(frame)
    np.testing.assert_array_equal(found["prediction"], expected)
    # what a csv file holds is kept as text
    as_text = ending == ".csv" and out.endswith("parquet")
    np.testing.assert_array_equal(found["g"], frame["g"].astype(str) if as_text else frame["g"])
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_predict_reads_what_a_run_reads(cli: Cli, pipeline: Path, data: Path) -> None:
    frame = table()
    frame["code"] = np.where(np.arange(120) % 3, 7, 12)
    frame.loc[5, ["a", "kind"]] = None
    for name, options in (("comma", {}), ("semicolon", {"sep": ";"})):
        path = data.with_name(f"{name}.csv")
        frame.to_csv(path, index=False, **options)
        settings = (f"data.path={path}", "data.categorical=[kind, code]", "data.missing=mean")
        done = cli("run", pipeline, *(part for s in settings for part in ("--set", s)))
        assert done.exit_code == 0, done.stderr
        assert cli("predict", "runs/p", path, "--out", f"{name}-out.csv").exit_code == 0
        found = pd.read_csv(f"{name}-out.csv")["prediction"]
        expected = LinearModel.load("runs/p/model").predict(frame)
        np.testing.assert_array_equal(found, expected)
        assert np.corrcoef(found, frame["y"])[0, 1] > 0.95


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".pq", ".parq"])
def test_predict_finds_the_files_that_a_run_finds(
    cli: Cli, pipeline: Path, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "parts").mkdir()
    for k in range(2):
        file = tmp_path / "parts" / f"part-{k}{ending}"
        if ending.startswith(".p"):
            table(60, k).to_parquet(file)
        else:
            table(60, k).to_csv(file, index=False, sep="\t" if ending == ".tsv" else ",")
    assert cli("run", pipeline, "--set", f"data.path={tmp_path / 'parts'}").exit_code == 0
    done = cli("predict", "runs/p", "parts", "--out", "o.csv")
    assert done.exit_code == 0, done.stderr
    frame = pd.concat([table(60, k) for k in range(2)])
    expected = LinearModel.load("runs/p/model").predict(frame)
    np.testing.assert_array_equal(pd.read_csv("o.csv")["prediction"], expected)


def test_predict_keeps_csv_columns_as_they_are(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline).exit_code == 0
    (tmp_path / "parts").mkdir()
    codes = ["00000", "1e3", "NA", "2020-01-01", " x"]
    table(5).assign(id=codes).to_csv(tmp_path / "parts" / "1.csv", index=False)
    table(5).assign(id=range(5)).to_csv(tmp_path / "parts" / "2.csv", index=False)
    for out in ("o.csv", "o.parquet"):
        done = cli("predict", "runs/p", "parts", "--out", out, "--keep", "id,a,id")
        assert done.exit_code == 0, done.stderr
        if out.endswith("csv"):
            found = pd.read_csv(out, dtype=str, keep_default_na=False)
        else:
            found = pd.read_parquet(out)
        assert list(found.columns) == ["id", "a", "prediction"]
        assert found["id"].tolist() == [*codes, *"01234"]


def test_predict_refuses_kept_columns_of_other_types(
    cli: Cli, pipeline: Path, tmp_path: Path
) -> None:
    assert cli("run", pipeline).exit_code == 0
    (tmp_path / "parts").mkdir()
    table(5).assign(id=range(5)).to_parquet(tmp_path / "parts" / "1.parquet")
    table(5).assign(id=list("abcde")).to_parquet(tmp_path / "parts" / "2.parquet")
    table(5).assign(id=[[1]] * 5).to_parquet(tmp_path / "nested.parquet")
    for source in ("parts", "nested.parquet"):
        done = cli("predict", "runs/p", source, "--out", "o.csv", "--keep", "id")
        refused(done, "kept column", "--keep")
        assert not (tmp_path / "o.csv").exists()
    category = table(5).assign(id=pd.Categorical(list("ababa")))
    category.to_parquet(tmp_path / "category.parquet")
    for out in ("o.csv", "o.parquet"):
        done = cli("predict", "runs/p", "category.parquet", "--out", out, "--keep", "id")
        assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_predict_meets_levels_that_are_new(cli: Cli, pipeline: Path, unknown: str) -> None:
    frame = table()
    frame["code"] = np.where(np.arange(120) % 3, 7, 12)
    frame["y"] += frame["code"]
    frame.to_csv("codes.csv", index=False)
    settings = (
        f"data.path={Path('codes.csv').resolve()}",
        "data.categorical=[kind, code]",
        f"data.unknown={unknown}",
    )
    done = cli("run", pipeline, *(part for s in settings for part in ("--set", s)))
    assert done.exit_code == 0, done.stderr
    model = LinearModel.load("runs/p/model")
    assert model.columns is not None
    assert model.columns.levels["code"] == (7, 12)
    lines = ["7", "12", "7.0", "13", "new"]
    frame[:5].assign(code=lines).to_csv("new.csv", index=False)
    done = cli("predict", "runs/p", "new.csv", "--out", "o.csv")
    if unknown == "error":
        refused(done, "new.csv", "'13'", "unknown level")
        frame[:3].assign(code=lines[:3]).to_csv("new.csv", index=False)
        done = cli("predict", "runs/p", "new.csv", "--out", "o.csv")
    assert done.exit_code == 0, done.stderr
    found = pd.read_csv("o.csv")["prediction"]
    codes = [7, 12, 7, -1, -1][: len(found)]
    known = dataclasses.replace(model, columns=dataclasses.replace(model.columns, unknown="ignore"))
    np.testing.assert_array_equal(found, known.predict(frame[: len(found)].assign(code=codes)))


def test_predict_adds_the_offset(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    frame = table().assign(shift=np.arange(120) / 7)
    frame["y"] += frame["shift"]
    frame.to_csv("data.csv", index=False)
    assert cli("run", pipeline, "--set", "data.offset=shift").exit_code == 0
    frame = pd.read_csv("data.csv")
    expected = LinearModel.load("runs/p/model").predict(frame) + frame["shift"]
    frame.to_parquet("data.parquet")
    for source in ("data.csv", "data.parquet"):
        assert cli("predict", "runs/p", source, "--out", "o.csv").exit_code == 0
        found = pd.read_csv("o.csv")["prediction"]
        np.testing.assert_allclose(found, expected, rtol=1e-14)
        assert np.corrcoef(found, frame["y"])[0, 1] > 0.95
    frame.drop(columns="shift").to_csv("without.csv", index=False)
    refused(cli("predict", "runs/p", "without.csv", "--out", "p.csv"), "without.csv", "'shift'")
    frame.assign(shift=[*frame["shift"][:-1], None]).to_csv("gap.csv", index=False)
    refused(cli("predict", "runs/p", "gap.csv", "--out", "p.csv"), "gap.csv", "'shift'", "row 119")
    assert not (tmp_path / "p.csv").exists()


def test_predict_says_what_is_wrong(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    assert cli("run", pipeline).exit_code == 0
    table(10).drop(columns=["b", "kind"]).to_csv(tmp_path / "short.csv", index=False)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "text.csv").write_text("a,b,c,d,kind\n1,2,3,high,x\n")
    for arguments, words in (
        (("runs/p", "none.csv", "--out", "o.csv"), "does not exist"),
        (("runs/q", "data.csv", "--out", "o.csv"), "runs/q"),
        (("runs/p", "data.csv", "--out", "o.xlsx"), ".parquet or .csv"),
        (("runs/p", "data.csv", "--out", "data.csv"), "data file itself"),
        (("runs/p", "data.csv", "--out", "p.yaml/o.csv"), "cannot be written"),
        (("runs/p", "short.csv", "--out", "o.csv"), "'b', 'kind'"),
        (("runs/p", "empty.csv", "--out", "o.csv"), "empty.csv"),
        (("runs/p", "cut.parquet", "--out", "o.csv"), "cut.parquet"),
        (("runs/p", "text.csv", "--out", "o.csv"), "text.csv"),
        (("runs/p", "data.csv", "--out", "o.csv", "--keep", "nothing"), "nothing"),
    ):
        done = cli("predict", *arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert words in done.stderr
        assert not (tmp_path / "o.csv").exists()


# --- what goes wrong -----------------------------------------------------------------------------


def refused(done: Result, *words: str) -> None:
    """Exit code 2 and one message, without a traceback."""
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("distreg: ") == 1
    message = done.stderr.partition("distreg: ")[2]
    for word in words:
        assert word in message


@pytest.fixture
def deaf() -> Iterator[str]:
    """A URI that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_missing_pipeline_file(cli: Cli) -> None:
    refused(cli("run", "none.yaml"), "none.yaml", "distreg init")


def test_missing_data(cli: Cli, pipeline: Path) -> None:
    refused(cli("run", pipeline, "--set", "data.path=none.csv"), "none.csv")


def test_a_truncated_parquet_file(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    table().to_parquet(whole)
    content = whole.read_bytes()
    for name, cut in (("end", content[:-20]), ("start", content[:30]), ("empty", b"")):
        path = tmp_path / f"{name}.parquet"
        path.write_bytes(cut)
        refused(cli("run", pipeline, "--set", f"data.path={path}"), f"{name}.parquet")


def test_a_target_that_is_not_there(cli: Cli, pipeline: Path) -> None:
    refused(cli("run", pipeline, "--set", "data.target=Y"), "'Y'", "y")


@pytest.mark.parametrize("output", ["p.yaml", "p.yaml/deep", "/proc/none"])
def test_an_output_that_cannot_be_written(cli: Cli, pipeline: Path, output: str) -> None:
    refused(cli("run", pipeline, "--output", output), output, "--output")


def test_an_output_folder_with_other_files(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    refused(cli("run", pipeline, "--output", tmp_path), "other files")
    assert pipeline.exists()


def test_tracking_that_does_not_answer(cli: Cli, pipeline: Path, deaf: str) -> None:
    for uri in (deaf, "http://127.0.0.1:1", "ftp://nowhere"):
        start = time.perf_counter()
        done = cli("run", pipeline, "--set", "tracking.enabled=true", "--tracking-uri", uri)
        refused(done, uri)
        assert time.perf_counter() - start < 20


def test_a_scheduler_that_does_not_answer(cli: Cli, pipeline: Path) -> None:
    address = "tcp://127.0.0.1:1"
    done = cli("run", pipeline, "--set", "cluster.timeout=1", "--scheduler", address)
    refused(done, address)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.l1_ratio=1.5", ["model.l1_ratio", "1.5"]),
        ("model.l1_ratio=[0.5, -1]", ["model.l1_ratio.1", "-1"]),
        ("model.alphas=[1, 0]", ["model.alphas.1", "above 0"]),
        ("model.alphas=[-3]", ["model.alphas", "-3"]),
        ("model.alphas=[.inf]", ["model.alphas", "finite"]),
        ("model.cv=1", ["model.cv", "2 or more"]),
        ("model.cv=121", ["121", "96"]),
        ("model.cv={kind: group, column: none}", ["none"]),
        ("model.penalty_factor={q: 1}", ["penalty_factor", "'q'"]),
        ("model.selction=min", ["model.selection"]),
        ("test=0.001", ["0.001"]),
        ("data.numeric=[a, kind]", ["kind"]),
        ("data.exclude=[nothing]", ["nothing"]),
        ("data.weight=b", ["weight"]),
    ],
)
def test_bad_settings_are_refused(cli: Cli, pipeline: Path, setting: str, words: list[str]) -> None:
    refused(cli("run", pipeline, "--set", setting), *words)


def test_too_few_rows(cli: Cli, pipeline: Path, data: Path) -> None:
    table(5).to_csv(data, index=False)
    refused(cli("run", pipeline, "--set", "model.cv=5"), "5", "rows")
    table().iloc[:0].to_csv(data, index=False)
    refused(cli("run", pipeline), "rows")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("a", np.nan, ["a: 1 missing"]),
        ("y", np.nan, ["target"]),
        ("b", np.inf, ["b: 1 infinite"]),
        ("kind", None, ["kind"]),
    ],
)
def test_bad_values(
    cli: Cli, pipeline: Path, data: Path, column: str, value: Any, words: list[str]
) -> None:
    frame = table()
    frame.loc[17, column] = value
    path = data.with_suffix(".parquet")
    frame.to_parquet(path)
    refused(cli("run", pipeline, "--set", f"data.path={path}"), *words)


def test_usage_errors(cli: Cli, data: Path) -> None:
    for arguments in (
        ("runn",), ("run",), ("fit", data), ("run", "p.yaml", "--no-such-flag"), ("compare",)
    ):  # fmt: skip
        assert cli(*arguments).exit_code == 2
    refused(cli("fit", data, "--target", "y", "--penalty", "lasso"), "'lasso'", "--penalty lasso")
    refused(cli("fit", data, "--target", "y", "--cv", "five"), "'five'", "--cv five")
    refused(cli("show", "."), "finished run")


def test_an_unexpected_failure_is_one_line_and_a_log(
    cli: Cli, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug\nof two lines")

    with monkeypatch.context() as patch:
        patch.setattr("distreg.pipeline.run.cross_validate", fail)
        done = cli("run", pipeline)
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert "ZeroDivisionError: a bug of two lines" in line
    assert "runs/p/error.log" in line
    log = (Path("runs/p") / "error.log").read_text()
    assert "Traceback" in log
    assert "raise ZeroDivisionError" in log
    assert cli("run", pipeline).exit_code == 0
    assert not (Path("runs/p") / "error.log").exists()


def test_an_interruption_ends_with_4(
    cli: Cli, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("distreg.pipeline.run.make_report", stop)
        done = cli("run", pipeline)
    assert done.exit_code == 4
    assert "interrupted" in done.stderr
    assert "--resume" in done.stderr
    resumed = cli("run", pipeline, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "going on" in resumed.stderr
    report = json.loads((Path("runs/p") / "report.json").read_text())
    assert report["cost"]["n_block_reads"] == 0
    assert not (Path("runs/p") / "checkpoint").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_process_with_4(pipeline: Path, tmp_path: Path, number: int) -> None:
    slow = (
        "import signal, time, sys\n"
        # a test run in the background ignores SIGINT, and its children inherit that
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import distreg.pipeline.run as r\n"
        "def wait(*_):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "r.cross_validate = wait\n"
        "from distreg.cli import main\n"
        f"sys.argv = ['distreg', 'run', {str(pipeline)!r}]\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tmp_path, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        start = time.perf_counter()
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "Traceback" not in said
    assert "--resume" in said
    assert time.perf_counter() - start < 20


def test_a_changed_pipeline_is_not_resumed(
    cli: Cli, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("distreg.pipeline.run.make_report", stop)
        assert cli("run", pipeline).exit_code == 4
    refused(cli("run", pipeline, "--resume", "--set", "model.cv=3"), "folds", "--resume")
    assert cli("run", pipeline, "--resume", "--set", "model.n_alphas=7").exit_code == 0


def test_the_module_is_the_command(pipeline: Path) -> None:
    done = python("run", pipeline, "--quiet", cwd=pipeline.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("p: y from 7 features, 96 rows, 4 random folds")


def test_secrets_stay_out_of_the_folder(cli: Cli, pipeline: Path, tmp_path: Path) -> None:
    secret = "CANARY"
    uri = f"http://user:{secret}@127.0.0.1:1"
    text = pipeline.read_text().replace("enabled: false", f"enabled: false, uri: '{uri}'")
    pipeline.write_text(text)
    assert cli("run", pipeline).exit_code == 0
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()
    done = cli("run", pipeline, "--set", "tracking.enabled=true")
    assert done.exit_code == 2
    assert secret not in done.output


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/d.csv?sig=CANARY",
        "http://127.0.0.1:1/d.csv?password=CANARY",
        "http://u:p@CANARY@127.0.0.1:1/d.csv",
    ],
)
def test_secrets_of_a_data_url_stay_out_of_messages(
    cli: Cli, pipeline: Path, tmp_path: Path, url: str
) -> None:
    for command in (
        ("run", pipeline, "--set", f"data.path={url}"),
        ("fit", url, "--target", "y", "--tracking-uri", "none"),
    ):
        done = cli(*command)
        assert done.exit_code in (1, 2), done.output
        assert "***" in done.stderr
        assert "CANARY" not in done.output
    for path in tmp_path.rglob("*"):
        assert "CANARY" not in path.name
        assert path.is_dir() or b"CANARY" not in path.read_bytes()


@pytest.mark.slow
def test_tracking_that_breaks_costs_no_result(
    cli: Cli, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise ConnectionError("the server is gone")

    tracked = ("run", pipeline, "--set", "tracking.enabled=true")
    with monkeypatch.context() as patch:
        patch.setattr("distreg.tracking.upload.Uploader.upload", lost)
        done = cli(*tracked, "--json")
    assert done.exit_code == 5
    assert json.loads(done.stdout)["exit_code"] == 5
    assert "tracking pending" in done.stderr
    assert "distreg sync runs/p" in done.stderr
    assert (tmp_path / "runs/p/report.json").exists()
    assert cli("sync", "runs/p").exit_code == 0
    assert "nothing is pending" in cli("sync", "runs/p").stdout
    assert cli("sync", "nowhere").exit_code == 2
    done = cli(*tracked)
    assert done.exit_code == 0
    assert "mlflow ui --backend-store-uri sqlite:///" in done.stdout
    assert cli("run", pipeline, "--tracking-uri", f"sqlite:///{tmp_path}").exit_code == 2
