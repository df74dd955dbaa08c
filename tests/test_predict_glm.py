"""Predictions of all losses through MLflow's doors and from the command line."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from distreg import flavor
from distreg.data.columns import Columns
from distreg.exceptions import ConfigError, DataError, InputError
from distreg.model import LinearModel
from distreg.pipeline.predict import predict_file

N = 90
LABELS: dict[str, Any] = {
    "text": ("on time", "zlate", "é, \"x\""), "int": (-1, 2, 30), "bool": (False, True),
    "real": (0.5, 2.0, 8.25),
}  # fmt: skip
LOSSES = {"squared": 1, "poisson": 1, "logistic": 2, "squared_hinge": 2, "multinomial": 3}
# without classes one kind of label stands for all; two booleans are no three classes
MODELS = [
    (loss, labels)
    for loss, n in LOSSES.items()
    for labels in (LABELS if n > 1 else ["text"])
    if len(LABELS[labels]) >= n
]


def model(
    loss: str, labels: str = "text", missing: Any = "error", offset: str | None = None
) -> LinearModel:
    rng = np.random.default_rng(5)
    columns = Columns(("a", "b"), ("c",), {"c": ("u", "v")}, missing=missing)
    classes = LABELS[labels][: LOSSES[loss]] if LOSSES[loss] > 1 else None
    shape = (3,) if loss == "multinomial" else ()
    return LinearModel(
        coef=rng.normal(size=(*shape, 4)),
        intercept=rng.normal(size=shape),
        feature_names=columns.feature_names,
        columns=columns,
        loss=loss,
        classes=classes,
        info={"offset": offset},
    )


def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(N, 2)), columns=["b", "a"])
    return frame.assign(c=rng.choice(["u", "v"], N), shift=np.arange(N) / 50, id=np.arange(N))


def as_served(predictions: Any) -> str:
    """What ``mlflow models serve`` answers."""
    with warnings.catch_warnings():
        # hints of MLflow's own, when it is imported for the first time
        warnings.simplefilter("ignore")
        from mlflow.pyfunc.scoring_server import predictions_to_json
    stream = io.StringIO()
    predictions_to_json(predictions, stream)
    return stream.getvalue()


# --- MLflow ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_mlflow_gives_what_the_model_gives(loss: str, tmp_path: Path) -> None:
    one, frame = model(loss), table()
    flavor.save_model(one, tmp_path / "m", input_example=frame[["a", "b", "c"]][:2])
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert loaded.predict(frame).tolist() == one.predict(frame).tolist()
    served = json.loads(as_served(loaded.predict(frame[:2])))
    assert served == {"predictions": one.predict(frame[:2]).tolist()}
    for method in ("predict", "linear_predictor", "predict_proba"):
        if loss == "squared":
            continue
        if method == "predict_proba" and loss in ("poisson", "squared_hinge"):
            message = rf"'predict_proba': a model with loss {loss} has predict, linear_predictor\."
            with pytest.raises(InputError, match=message):
                loaded.predict(frame, params={"method": method})
            continue
        found = loaded.predict(frame, params={"method": method})
        assert found.tolist() == getattr(one, method)(frame).tolist()


def test_the_signature_of_the_squared_loss_is_as_it_was() -> None:
    signature = flavor.make_signature(model("squared"))
    assert signature.params is None
    assert signature.outputs.inputs[0].type == np.dtype(np.float64)


@pytest.mark.parametrize(
    ("loss", "labels", "missing", "kind"),
    [
        ("poisson", "text", "error", "float64"),
        ("logistic", "text", "error", "str"),
        ("multinomial", "int", "error", "int64"),
        ("squared_hinge", "bool", "error", "bool"),
        ("multinomial", "real", "drop", "float64"),
        ("multinomial", "text", "drop", "object"),
    ],
)
def test_the_signature_says_what_comes_out(
    loss: str, labels: str, missing: str, kind: str, tmp_path: Path
) -> None:
    one = model(loss, labels, missing)
    flavor.save_model(one, tmp_path / "m")
    signature = mlflow.models.Model.load(str(tmp_path / "m")).signature
    assert signature is not None
    assert signature.outputs.inputs[0].type.name.startswith(kind)
    assert [(p.name, p.default) for p in signature.params] == [("method", "predict")]
    # a made-up row can be predicted
    found = mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(flavor.make_input_example(one))
    assert found.shape == (1,)


@pytest.mark.parametrize("loss", ["poisson", "squared"])
def test_mlflow_reads_the_offset(loss: str, tmp_path: Path) -> None:
    one, frame = model(loss, offset="shift"), table()
    flavor.save_model(one, tmp_path / "m", input_example=frame[["a", "b", "c"]][:2])
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    expected = one.predict(frame, offset=frame["shift"])
    assert loaded.predict(frame).tobytes() == expected.tobytes()
    whole = frame.assign(shift=1)
    found = loaded.predict(whole)
    assert found.tobytes() == one.predict(whole, offset=np.ones(N)).tobytes()
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs.*shift"):
        loaded.predict(frame.drop(columns="shift"))
    with pytest.raises(InputError, match="fitted with the offset 'shift', which the table lacks"):
        flavor._PyfuncModel(one).predict(frame.drop(columns="shift"))
    assert flavor.make_input_example(one)["shift"].tolist() == [0.0]


def test_models_of_arrays_take_arrays(tmp_path: Path) -> None:
    one = LinearModel(
        np.eye(3, 4), np.zeros(3), tuple("abcd"), loss="multinomial", classes=(1, 2, 3)
    )
    flavor.save_model(one, tmp_path / "m")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    x = np.random.default_rng(0).normal(size=(9, 4))
    for version in (x, sparse.csr_matrix(x)):
        assert loaded.predict(version).tolist() == one.predict(x).tolist()
        found = loaded.predict(version, params={"method": "predict_proba"})
        assert found.tobytes() == one.predict_proba(x).tobytes()


# --- distreg predict ------------------------------------------------------------------------------


def written(folder: Path, frame: pd.DataFrame, ending: str) -> Path:
    path = folder / f"data.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=17)
    return path


def column(found: pd.DataFrame, name: str) -> list[Any]:
    values: list[Any] = found[name].tolist()
    return values


@pytest.mark.parametrize("out", ["o.csv", "o.parquet"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(("loss", "labels"), MODELS)
def test_columns_of_the_result(
    loss: str, labels: str, ending: str, out: str, tmp_path: Path
) -> None:
    one = model(loss, labels)
    one.save(tmp_path / "m")
    data = written(tmp_path, table(), ending)
    frame = pd.read_csv(data) if ending == "csv" else table()
    assert predict_file(tmp_path / "m", str(data), tmp_path / out, keep=["id"]) == N
    path = tmp_path / out
    found = pd.read_csv(path) if out == "o.csv" else pd.read_parquet(path)
    classes = one.classes if one.has_probabilities else ()
    names = [f"probability_{label}" for label in classes or ()]
    assert list(found.columns) == ["id", "prediction", *names]
    assert column(found, "prediction") == one.predict(frame).tolist()
    for k, name in enumerate(names):
        np.testing.assert_array_equal(found[name], one.predict_proba(frame)[:, k])


def test_the_offset_is_added_before_the_mean(tmp_path: Path) -> None:
    one = model("poisson", offset="shift")
    one.save(tmp_path / "m")
    for ending in ("csv", "parquet"):
        data = written(tmp_path, table(), ending)
        frame = pd.read_csv(data) if ending == "csv" else table()
        predict_file(tmp_path / "m", str(data), tmp_path / "o.parquet")
        found = pd.read_parquet(tmp_path / "o.parquet")["prediction"]
        np.testing.assert_array_equal(found, one.predict(frame, offset=frame["shift"]))
        short = written(tmp_path, table().drop(columns="shift"), ending)
        with pytest.raises(DataError, match=r"'shift' is the offset of the fit: add the column"):
            predict_file(tmp_path / "m", str(short), tmp_path / "p.parquet")


@pytest.mark.parametrize("labels", ["text", "int", "real"])
def test_rows_with_gaps_have_no_label(labels: str, tmp_path: Path) -> None:
    model("multinomial", labels, "drop").save(tmp_path / "m")
    frame = table()
    # all of the first block, and some of another
    frame.loc[[*range(17), 40], "a"] = np.nan
    data = written(tmp_path, frame, "parquet")
    predict_file(tmp_path / "m", str(data), tmp_path / "o.parquet")
    found = pd.read_parquet(tmp_path / "o.parquet")
    gone = found["prediction"].isna().to_numpy()
    assert np.flatnonzero(gone).tolist() == [*range(17), 40]
    assert np.isnan(found.filter(like="probability_").to_numpy()).any(axis=1).tolist() == (
        gone.tolist()
    )
    kinds = {"text": "string", "int": "int64", "real": "double"}
    schema = pq.read_schema(tmp_path / "o.parquet")
    assert str(schema.field("prediction").type) == kinds[labels]


@pytest.mark.parametrize("name", ["prediction", "probability_on time"])
def test_names_of_the_result_cannot_be_kept(name: str, tmp_path: Path) -> None:
    model("logistic").save(tmp_path / "m")
    data = written(tmp_path, table().assign(**{name: 1}), "parquet")
    with pytest.raises(ConfigError, match=f"the name {name} is taken by the result"):
        predict_file(tmp_path / "m", str(data), tmp_path / "o.csv", keep=[name])
