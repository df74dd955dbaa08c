"""What a pipeline file may say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from distreg.exceptions import ConfigError
from distreg.pipeline.document import Document, parse_value, read_document
from distreg.pipeline.messages import explain
from distreg.pipeline.modelconfig import CVConfig, ModelConfig, StabilityConfig
from distreg.pipeline.sections import Names, Positive, Section, Size

__all__ = [
    "ClusterConfig",
    "CVConfig",
    "DataConfig",
    "ModelConfig",
    "OutputConfig",
    "PipelineConfig",
    "TestConfig",
    "TrackingConfig",
    "apply_settings",
    "build_config",
    "load_config",
    "open_document",
    "safe_name",
]


class DataConfig(Section):
    """Where the data are and what their columns mean."""

    path: Annotated[str, Field(min_length=1)]
    target: Annotated[str, Field(min_length=1)]
    format: Literal["parquet", "csv", "zarr", "npy"] | None = None
    numeric: Names | None = None
    categorical: Names | None = None
    exclude: Names = ()
    weight: str | None = None
    offset: str | None = None
    missing: Literal["error", "mean", "drop"] = "error"
    unknown: Literal["ignore", "error"] = "ignore"

    @field_validator("path")
    @classmethod
    def _no_nul(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a path cannot hold a NUL character")
        return value


class TestConfig(Section):
    """Rows that are kept away from the fit, to score the models at the end."""

    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0
    kind: Literal["random", "tail"] = "random"


class ClusterConfig(Section):
    """Where the passes run."""

    kind: Literal["threads", "processes", "scheduler"] = "threads"
    workers: Annotated[int, Field(ge=1)] | None = None
    memory_limit: Size | None = None
    address: str | None = None
    timeout: Positive = 30.0

    @model_validator(mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("address") is not None and "kind" not in value:
            return {**value, "kind": "scheduler"}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "scheduler" and self.address is None:
            raise ValueError("kind: scheduler needs address: (such as tcp://127.0.0.1:8786)")
        if self.kind != "scheduler" and self.address is not None:
            raise ValueError(f"address: needs kind: scheduler, not kind: {self.kind}")
        if self.kind == "scheduler" and (self.workers or self.memory_limit):
            raise ValueError(
                "workers: and memory_limit: belong to the running cluster; "
                "remove them or use kind: processes"
            )
        return self


class TrackingConfig(Section):
    """Where runs are logged. Without `uri`: MLFLOW_TRACKING_URI, else SQLite beside the run."""

    enabled: bool = True
    uri: str | None = None
    experiment: str | None = None
    register_as: str | None = None


class OutputConfig(Section):
    """Where the results go. Without `dir`: runs/<name>."""

    dir: Annotated[str, Field(min_length=1)] | None = None
    figures: bool = True


class PipelineConfig(Section):
    """A whole pipeline file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$", max_length=100)] = (
        "pipeline"
    )
    data: DataConfig
    test: TestConfig | None = None
    model: ModelConfig = ModelConfig()
    stability: StabilityConfig | None = None
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()
    output: OutputConfig = OutputConfig()

    @field_validator("stability", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        return {"n_pairs": value} if isinstance(value, (int, float, str)) else value

    @field_validator("output", mode="before")
    @classmethod
    def _dir(cls, value: Any) -> Any:
        return {"dir": value} if isinstance(value, str) else value

    @field_validator("test", mode="before")
    @classmethod
    def _fraction(cls, value: Any) -> Any:
        return {"fraction": value} if isinstance(value, (int, float, str)) else value

    @property
    def output_dir(self) -> Path:
        """The output folder, relative to the current directory."""
        return Path(self.output.dir) if self.output.dir else Path("runs") / self.name


def load_config(path: str | Path, settings: Iterable[str] = ()) -> PipelineConfig:
    """Read a pipeline file and apply ``key=value`` settings.

    Parameters
    ----------
    path : str or Path
        The file. Its `data.path` is relative to its folder; one given by a setting is relative to
        the current directory.
    settings : iterable of str
        Such as "model.cv=10"; the value is YAML.

    Raises
    ------
    ConfigError
        One line for each thing that is wrong, with its place in the file.
    """
    document = open_document(path)
    apply_settings(document, settings)
    return build_config(document)


def open_document(path: str | Path) -> Document:
    """Read a pipeline file; its name is the default name, its folder that of relative data."""
    document = read_document(path)
    document.data.setdefault("name", safe_name(path))
    data = document.data.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str) and data["path"]:
        data["path"] = _relative_to(data["path"], Path(path).parent)
    return document


def apply_settings(document: Document, settings: Iterable[str]) -> None:
    """Apply ``key=value`` settings to a document."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        origin = f"--set {setting}"
        if not equals or not key.strip():
            raise ConfigError(f"{origin}: give section.key=value, such as --set model.cv=10")
        document.set(key.strip(), parse_value(text, origin), origin)


def build_config(document: Document) -> PipelineConfig:
    """Validate a document."""
    try:
        return PipelineConfig.model_validate(document.data)
    except ValidationError as error:
        text = explain(error, document, PipelineConfig)
    raise ConfigError(text)


def safe_name(path: str | Path) -> str:
    """A pipeline's name from a file's name, without the query of a URL: it may hold a key."""
    file = str(path).partition("?")[0] if "://" in str(path) else path
    return re.sub(r"[^A-Za-z0-9 ._-]", "-", Path(file).stem).lstrip(" ._-")[:100] or "pipeline"


def _relative_to(path: str, folder: Path) -> str:
    """`path` seen from `folder`, unless it is absolute or a URL."""
    if "://" in path or Path(path).is_absolute():
        return path
    return str(folder / path)
