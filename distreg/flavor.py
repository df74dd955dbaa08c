"""The MLflow flavour: a `LinearModel` as an MLflow model, without pickle.

``mlflow.pyfunc.load_model`` and ``mlflow models serve`` work on it. Saving and logging never call
pip and need no network but the tracking server's: signature and requirements are written out, not
inferred.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import distreg
from distreg.data.columns import Columns
from distreg.data.rows import as_float_vector
from distreg.data.vectors import MISSING_LEVEL
from distreg.exceptions import InputError
from distreg.model import LinearModel

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import Model, ModelInfo

__all__ = [
    "get_default_pip_requirements",
    "level_kind",
    "load_model",
    "log_model",
    "make_input_example",
    "make_signature",
    "save_model",
]

FLAVOR = "distreg"
DATA = "distreg"
PACKAGES = ("numpy", "scipy", "numba", "pandas", "pyarrow", "mlflow")


def get_default_pip_requirements() -> list[str]:
    """What a place that serves the model must install, at the versions of this process."""
    found = [f"distreg=={distreg.__version__}"]
    for package in PACKAGES:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found


def save_model(
    model: LinearModel,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Model | None = None,
    signature: ModelSignature | None = None,
    input_example: Any = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write `model` as an MLflow model to the new folder `path`.

    Parameters
    ----------
    model : LinearModel
    path : path
        Must not exist, or be empty.
    mlflow_model : mlflow.models.Model, optional
        Given by `log_model`.
    signature : ModelSignature, optional
        Default: `make_signature`.
    input_example : DataFrame or array, optional
        A few rows as they will be given to predict: the signature takes their types. Default: one
        made-up row, and a signature that lets every numeric type in.
    pip_requirements : sequence of str, optional
        Default: `get_default_pip_requirements`.
    metadata : mapping, optional
        Kept in the MLmodel file.
    """
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.models.utils import _save_example

    folder = Path(path)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is not empty. Choose another path.")
    folder.mkdir(parents=True, exist_ok=True)
    mlflow_model = Model() if mlflow_model is None else mlflow_model
    mlflow_model.signature = signature or make_signature(model, input_example)
    example = make_input_example(model) if input_example is None else input_example
    offset = offset_name(model)
    if isinstance(example, pd.DataFrame) and offset is not None and offset not in example:
        example = example.assign(**{offset: 0.0})
    if metadata is not None:
        mlflow_model.metadata = dict(metadata)
    with warnings.catch_warnings():
        # MLflow calls what pandas deprecates; a user can do nothing about it
        warnings.simplefilter("ignore", DeprecationWarning)
        _save_example(mlflow_model, example, str(folder))
    model.save(folder / DATA)
    requirements = list(pip_requirements or get_default_pip_requirements())
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    (folder / "python_env.yaml").write_text(_python_env(), encoding="utf-8")
    with warnings.catch_warnings():
        # MLflow's own agents, which it imports here for the first time, have such hints
        warnings.filterwarnings("ignore", "(?s).*Any type hint is inferred", UserWarning)
        pyfunc.add_to_model(
            mlflow_model, loader_module="distreg.flavor", data=DATA, python_env="python_env.yaml"
        )
    mlflow_model.add_flavor(
        FLAVOR,
        data=DATA,
        distreg_version=distreg.__version__,
        loss=model.loss,
        **({} if model.loss_parameter is None else {"loss_parameter": model.loss_parameter}),
        alpha=model.alpha,
        l1_ratio=model.l1_ratio,
    )
    mlflow_model.save(str(folder / "MLmodel"))


def log_model(
    model: LinearModel,
    name: str = "model",
    *,
    run_id: str | None = None,
    registered_model_name: str | None = None,
    signature: ModelSignature | None = None,
    input_example: Any = None,
    pip_requirements: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> ModelInfo:
    """Log `model` to the active run, or to the run `run_id`.

    Parameters as of `save_model`; with `registered_model_name` the model becomes a new version of
    that registered model too.
    """
    from mlflow import MlflowClient, active_run
    from mlflow.models import Model

    model_id = None
    if run_id is not None and active_run() is None:
        # Model.log would put the model into the default experiment, not into the run's
        client = MlflowClient()
        run = client.get_run(run_id)
        model_id = client.create_logged_model(
            experiment_id=run.info.experiment_id,
            name=name,
            source_run_id=run_id,
            params={**run.data.params, **{k: str(v) for k, v in (params or {}).items()}},
            tags=None if tags is None else {k: str(v) for k, v in tags.items()},
        ).model_id
    info: ModelInfo = Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        flavor_name=FLAVOR,
        model=model,
        run_id=run_id,
        registered_model_name=registered_model_name,
        signature=signature,
        input_example=input_example,
        pip_requirements=pip_requirements,
        metadata=metadata,
        tags=None if tags is None else dict(tags),
        params=None if params is None else dict(params),
        model_id=model_id,
    )
    return info


def load_model(model_uri: str, dst_path: str | None = None) -> LinearModel:
    """Load the `LinearModel` behind an MLflow model URI or a local path."""
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    folder = Path(download_artifacts(artifact_uri=str(model_uri), dst_path=dst_path))
    if FLAVOR not in Model.load(str(folder)).flavors:
        raise InputError(
            f"{model_uri} was not logged by distreg. Load it with mlflow.pyfunc.load_model."
        )
    return LinearModel.load(folder / DATA)


def _load_pyfunc(path: str) -> _PyfuncModel:
    """Called by ``mlflow.pyfunc.load_model``."""
    return _PyfuncModel(LinearModel.load(path))


class _PyfuncModel:
    """What MLflow calls."""

    def __init__(self, model: LinearModel) -> None:
        self._model = model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """Predict numbers, expected counts or labels; another method if `params` names one."""
        model, known = self._model, methods_of(self._model)
        method = str((params or {}).get("method", "predict"))
        if method not in known:
            raise InputError(
                f"method={method!r}: a model with loss {model.loss} has {', '.join(known)}."
            )
        answer: np.ndarray = getattr(model, method)(data, offset=self._offset(data))
        return answer

    def _offset(self, data: Any) -> np.ndarray | None:
        """The offset's column of a table, if the model was fitted with one."""
        name = offset_name(self._model)
        if name is None:
            return None
        if name not in data:
            raise InputError(
                f"The model was fitted with the offset {name!r}, which the table lacks. Add the "
                "column; 0 is no offset."
            )
        return as_float_vector(data[name], name)

    def get_raw_model(self) -> LinearModel:
        """The model itself."""
        return self._model


def make_signature(model: LinearModel, example: Any = None) -> ModelSignature:
    """Inputs and output by name and type.

    Numeric columns have the types of `example`. Without one they are ``Any``, which leaves the
    check to `LinearModel.predict`: MLflow refuses 64-bit integers for a ``double`` column, and one
    with a gap for a ``long`` one. The offset of a fit is a column too. A model fitted on a plain
    array takes an array, and has no offset. Losses other than the squared one have the parameter
    "method": predict, linear_predictor, or predict_proba where there are probabilities.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    if model.columns is None:
        inputs = Schema([TensorSpec(np.dtype(np.float64), (-1, model.n_features))])
    else:
        columns = model.columns
        frame = example if isinstance(example, pd.DataFrame) else None
        offset = offset_name(model)
        numeric = [*columns.numeric, *([] if offset is None else [offset])]
        kinds: dict[str, Any] = {name: _numeric_kind(frame, name) or AnyType() for name in numeric}
        for name in columns.categorical:
            kind = level_kind(columns, name)
            # a number with gaps has another type than one without
            gaps = kind != "string" and columns.missing != "error"
            kinds[name] = AnyType() if gaps else kind
        inputs = Schema([ColSpec(kind, name=name) for name, kind in kinds.items()])
    output = np.dtype(np.float64) if model.label_dtype is None else model.label_dtype
    outputs = Schema([TensorSpec(np.dtype(str) if output.kind == "U" else output, (-1,))])
    if len(methods_of(model)) == 1:
        return ModelSignature(inputs, outputs)
    return ModelSignature(inputs, outputs, ParamSchema([ParamSpec("method", "string", "predict")]))


def methods_of(model: LinearModel) -> tuple[str, ...]:
    """What MLflow can ask of a model."""
    if model.loss == "squared":
        return ("predict",)
    more = ("predict_proba",) if model.has_probabilities else ()
    return ("predict", "linear_predictor", *more)


def offset_name(model: LinearModel) -> str | None:
    """Column of a table that holds the offset, for a model that was fitted with one."""
    name = model.info.get("offset")
    return None if name is None or model.columns is None else str(name)


def make_input_example(model: LinearModel) -> Any:
    """One made-up row: means where they are known, else zeros; the first level of each column."""
    if model.columns is None:
        return np.zeros((1, model.n_features)) if model.fill is None else model.fill[None, :].copy()
    columns = model.columns
    numeric = columns.fill or (0.0,) * len(columns.numeric)
    row: dict[str, Any] = dict(zip(columns.numeric, numeric, strict=True))
    row |= {name: next(iter(columns.levels[name]), "") for name in columns.categorical}
    offset = offset_name(model)
    row |= {} if offset is None or offset in row else {offset: 0.0}
    return pd.DataFrame([row])


def _numeric_kind(frame: pd.DataFrame | None, name: str) -> str | None:
    """MLflow type of a numeric column; None when it is not known."""
    if frame is None or name not in frame.columns:
        return None
    return {"b": "boolean", "i": "long", "u": "long"}.get(frame[name].dtype.kind, "double")


def level_kind(columns: Columns, name: str) -> str:
    """MLflow type of a categorical column, from its levels other than that of missing values."""
    kinds = {type(level) for level in columns.levels[name] if level != MISSING_LEVEL}
    for kind, label in ((bool, "boolean"), (int, "long"), (float, "double")):
        if kinds == {kind}:
            return label
    return "string"


def _python_env() -> str:
    """The environment file that MLflow builds a virtual environment from."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"python: {python}\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n"
