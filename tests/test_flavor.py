"""The MLflow flavour: works through MLflow's own doors, holds no code, calls no pip."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflowstore import new_store
from scipy import sparse
from test_model import EXPECTED, array_model, frame, table_model

from distreg import flavor
from distreg.data.columns import Columns
from distreg.exceptions import InputError
from distreg.model import LinearModel
from distreg.tracking.session import open_session
from distreg.tracking.target import Target


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mlflow.MlflowClient]:
    folder = tmp_path_factory.mktemp("store")
    uri = new_store(folder)
    with open_session(Target(uri, uri)) as found:
        found.create_experiment("flavor", artifact_location=(folder / "files").as_uri())
        yield found


@pytest.fixture
def run_id(client: mlflow.MlflowClient) -> str:
    experiment = client.get_experiment_by_name("flavor")
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id).info.run_id)


@pytest.fixture(autouse=True)
def no_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any command, such as pip, is a failure."""

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"started a command: {arguments}")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)


def example() -> pd.DataFrame:
    return frame()[["distance", "hour", "carrier"]]


def test_logged_model_predicts_the_same_bits(client: mlflow.MlflowClient, run_id: str) -> None:
    info = flavor.log_model(table_model(), "best", run_id=run_id, input_example=example())
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert loaded.predict(frame()).tobytes() == EXPECTED.tobytes()
    assert flavor.load_model(info.model_uri).predict(frame()).tobytes() == EXPECTED.tobytes()
    assert loaded.get_raw_model().target == "delay"
    logged = client.get_logged_model(info.model_id)
    assert logged.experiment_id == client.get_run(run_id).info.experiment_id
    assert (logged.name, logged.source_run_id, str(logged.status)) == ("best", run_id, "READY")


def test_registered_model(client: mlflow.MlflowClient, run_id: str) -> None:
    for version in (1, 2):
        info = flavor.log_model(table_model(), run_id=run_id, registered_model_name="flights")
        assert int(info.registered_model_version) == version
    loaded = mlflow.pyfunc.load_model("models:/flights/2")
    np.testing.assert_array_equal(loaded.predict(frame().astype({"hour": float})), EXPECTED)


def test_active_run_is_used(client: mlflow.MlflowClient) -> None:
    mlflow.set_experiment("flavor")
    with mlflow.start_run() as run:
        info = flavor.log_model(array_model())
    assert info.run_id == run.info.run_id


def test_signature_names_every_column_and_type(client: mlflow.MlflowClient, run_id: str) -> None:
    table = example().assign(hour=[True, False, True])
    info = flavor.log_model(table_model(), run_id=run_id, input_example=table)
    assert info.signature is not None
    types = {column.name: column.type.name for column in info.signature.inputs}
    assert types == {"distance": "double", "hour": "boolean", "carrier": "string"}
    assert all(column.required for column in info.signature.inputs)
    stated = flavor.make_signature(table_model(), example())
    assert [c.type.name for c in stated.inputs] == ["double", "long", "string"]
    unstated = flavor.make_signature(table_model()).inputs
    assert [(c.name, str(c.type)) for c in unstated] == [
        ("distance", "Any"), ("hour", "Any"), ("carrier", "DataType.string"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["int64", "int8", "uint32", "float32", "float64", "Int64", "bool"])
def test_every_numeric_type_is_let_in_without_an_example(kind: str, tmp_path: Path) -> None:
    flavor.save_model(table_model(), tmp_path / "m")
    table = frame().assign(hour=frame()["hour"].astype(kind))
    found = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(table)
    np.testing.assert_array_equal(found, table_model().predict(table))
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs.*hour"):
        mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(frame().drop(columns="hour"))


@pytest.mark.parametrize(
    ("levels", "missing", "kind"),
    [
        ((1, 2), "error", "long"),
        ((False, True), "error", "boolean"),
        ((1.5, 2.0), "error", "double"),
        ((1, 2, "(missing)"), "mean", "Any"),
        ((1, 2), "mean", "Any"),
        ((1, 2), "drop", "Any"),
        (("(missing)", "1", "2"), "mean", "string"),
        (("1", "2"), "error", "string"),
    ],
)
def test_categories_of_every_type_with_and_without_gaps(
    levels: tuple[str | int | float, ...], missing: Any, kind: str, tmp_path: Path
) -> None:
    columns = Columns(categorical=("c",), levels={"c": levels}, missing=missing)
    model = LinearModel(
        np.arange(1.0, len(levels) + 1), 0.0, columns.feature_names, columns=columns
    )
    [spec] = flavor.make_signature(model).inputs
    assert str(spec.type).removeprefix("DataType.") == kind
    known = [level for level in levels if level != "(missing)"]
    flavor.save_model(model, tmp_path / "m")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    tables = [pd.DataFrame({"c": known})]
    if missing != "error":
        tables.append(pd.DataFrame({"c": [*known, None]}))
    for table in tables:
        np.testing.assert_array_equal(loaded.predict(table), model.predict(table))


@pytest.mark.parametrize("column", ["distance", "hour", "carrier"])
def test_missing_column_is_refused(
    client: mlflow.MlflowClient, run_id: str, column: str, tmp_path: Path
) -> None:
    flavor.save_model(table_model(), tmp_path / "m", input_example=example())
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    with pytest.raises(mlflow.MlflowException, match=f"missing inputs.*{column}"):
        loaded.predict(frame().drop(columns=column))


def test_array_model_takes_arrays_and_sparse_matrices(tmp_path: Path) -> None:
    model = array_model(4)
    flavor.save_model(model, tmp_path / "m")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    x = np.random.default_rng(0).normal(size=(5, 4))
    for version in (x, sparse.csr_matrix(x)):
        assert loaded.predict(version).tobytes() == model.predict(x).tobytes()
    with pytest.raises(mlflow.MlflowException, match="shape"):
        loaded.predict(x[:, :3])


def test_made_up_example_can_be_predicted(tmp_path: Path) -> None:
    for model in (table_model(), table_model("mean"), array_model(3)):
        found = model.predict(flavor.make_input_example(model))
        assert np.isfinite(found).all()


def test_folder_holds_no_code_and_pins_what_it_needs(tmp_path: Path) -> None:
    flavor.save_model(table_model(), tmp_path / "m", input_example=example())
    files = {str(p.relative_to(tmp_path / "m")) for p in (tmp_path / "m").rglob("*") if p.is_file()}
    assert files == {
        "MLmodel", "distreg/coef.npz", "distreg/model.json", "input_example.json",
        "python_env.yaml", "requirements.txt", "serving_input_example.json",
    }  # fmt: skip
    requirements = (tmp_path / "m" / "requirements.txt").read_text().split()
    assert requirements == flavor.get_default_pip_requirements()
    assert all("==" in line for line in requirements)
    assert {line.split("==")[0] for line in requirements} >= {"distreg", "numpy", "numba", "pandas"}
    described = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())
    assert described["flavors"]["python_function"]["loader_module"] == "distreg.flavor"
    assert described["flavors"]["distreg"]["data"] == "distreg"
    assert b"pickle" not in (tmp_path / "m" / "distreg" / "coef.npz").read_bytes()


def test_own_requirements_and_metadata(tmp_path: Path) -> None:
    flavor.save_model(
        table_model(), tmp_path / "m", pip_requirements=["distreg"], metadata={"owner": "us"}
    )
    assert (tmp_path / "m" / "requirements.txt").read_text() == "distreg\n"
    assert mlflow.models.Model.load(str(tmp_path / "m")).metadata == {"owner": "us"}


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        flavor.save_model(array_model(), tmp_path / "full")
    other = mlflow.models.Model()
    other.add_flavor("sklearn", data="x")
    other.save(str(tmp_path / "MLmodel"))
    with pytest.raises(InputError, match="not logged by distreg"):
        flavor.load_model(str(tmp_path))


def test_the_level_of_gaps_does_not_decide_the_type() -> None:
    levels = {"a": (1, 2, "(missing)"), "b": ("(missing)",), "c": ("(missing)", "x")}
    columns = Columns(categorical=tuple(levels), levels=levels, missing="mean")
    assert [flavor.level_kind(columns, name) for name in levels] == ["long", "string", "string"]
