"""What a pipeline file may say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from distreg.data.folds import split_approximate
from distreg.exceptions import ConfigError
from distreg.losses import get_loss
from distreg.options import GAMMAS, PathOptions, check_relax
from distreg.pipeline.document import Document, parse_value, read_document
from distreg.pipeline.messages import explain
from distreg.selection import CURVE_RULES

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


def _as_tuple(value: Any) -> Any:
    """One value stands for a list of one."""
    if value is None or isinstance(value, (list, tuple, Mapping)):
        return value
    return (value,)


def _as_gammas(value: Any) -> Any:
    """A switch stands for the usual gammas, one value for a list of one."""
    if isinstance(value, bool):
        return GAMMAS if value else ()
    return () if value is None else _as_tuple(value)


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Lower = Annotated[float, Field(le=0.0)]
Upper = Annotated[float, Field(ge=0.0)]
Size = Annotated[str, Field(pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*([kKMGTP]i?)?B?\s*$")]


class _Section(BaseModel):
    """A section of the file: unknown keys are errors, values cannot change afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )


class DataConfig(_Section):
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


class TestConfig(_Section):
    """Rows that are kept away from the fit, to score the models at the end."""

    fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0
    kind: Literal["random", "tail"] = "random"


class CVConfig(_Section):
    """How rows are dealt to folds."""

    folds: Annotated[int, Field(ge=0)] = 5
    kind: Literal["shuffled", "contiguous", "group", "time", "column"] = "shuffled"
    seed: Annotated[int, Field(ge=0)] = 0
    column: str | None = None
    approximate: bool = False

    @field_validator("folds")
    @classmethod
    def _several(cls, value: int) -> int:
        if value == 1:
            raise ValueError("1 fold leaves no rows to fit; allowed: 2 or more, or 0 for no folds")
        return value

    @model_validator(mode="after")
    def _column(self) -> Self:
        if self.kind in ("group", "column") and self.column is None:
            raise ValueError(f"kind: {self.kind} needs column: (the name of a column of the data)")
        if self.kind not in ("group", "column") and self.column is not None:
            raise ValueError(
                f"column: {self.column} has no meaning with kind: {self.kind}; "
                "choose kind: group (rows of a group stay together) or kind: column (fold ids)"
            )
        return self


class ModelConfig(_Section):
    """Which models are fitted, over which penalties, and how one is chosen."""

    loss: Literal[
        "squared",
        "logistic",
        "multinomial",
        "poisson",
        "squared_hinge",
        "hinge",
        "huber",
        "quantile",
    ] = "squared"
    delta: Positive | None = None
    quantile: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    penalties: Annotated[
        tuple[Literal["l1", "l2", "elasticnet"], ...],
        BeforeValidator(_as_tuple),
        Field(min_length=1),
    ] = ("l1", "l2", "elasticnet")
    l1_ratio: Annotated[tuple[Fraction, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        0.5,
    )
    alphas: (
        Annotated[tuple[Positive, ...], BeforeValidator(_as_tuple), Field(min_length=1)] | None
    ) = None
    n_alphas: Annotated[int, Field(ge=1, le=10_000)] = 100
    alpha_min_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    cv: CVConfig = CVConfig()
    selection: Literal["min", "1se", "aic", "bic", "ebic"] = "min"
    relax: Annotated[tuple[Fraction, ...], BeforeValidator(_as_gammas)] = ()
    adaptive: Positive | None = None
    standardize: bool = True
    fit_intercept: bool = True
    penalty_factor: Mapping[str, Annotated[float, Field(ge=0.0)]] = {}
    positive: bool = False
    lower_bounds: Lower | Mapping[str, Lower] | None = None
    upper_bounds: Upper | Mapping[str, Upper] | None = None
    tol: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-6
    max_passes: Annotated[int, Field(ge=2)] | None = None

    @field_validator("cv", mode="before")
    @classmethod
    def _folds(cls, value: Any) -> Any:
        if isinstance(value, (int, float, str)):
            value = {"folds": value}
        if isinstance(value, Mapping):
            folds, approximate = split_approximate(value.get("folds"))
            # "approx" and "approx-10" stand for two keys
            value = {**value, "folds": folds, "approximate": True} if approximate else value
        return value

    @field_validator("penalties", "l1_ratio", "alphas", "relax")
    @classmethod
    def _unique(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("a value is given twice; keep one")
        return value

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        both = {"n_alphas", "alpha_min_ratio"} & self.model_fields_set
        if self.alphas is not None and both:
            raise ValueError(
                f"alphas is the whole grid, so {' and '.join(sorted(both))} has no meaning; "
                "give one of them"
            )
        return self

    @model_validator(mode="after")
    def _rule(self) -> Self:
        if self.cv.folds == 0 and self.selection in CURVE_RULES:
            raise ValueError(
                f"selection: {self.selection} needs folds, but cv is 0; give selection: aic, bic or"
                " ebic, or a number of folds"
            )
        return self

    @model_validator(mode="after")
    def _signs(self) -> Self:
        if self.positive and self.lower_bounds is not None:
            raise ValueError(
                "positive: true is short for lower_bounds: 0; give one of positive and lower_bounds"
            )
        return self

    @model_validator(mode="after")
    def _supports(self) -> Self:
        check_relax(self.relax, tuple(self.l1_ratios.values()))
        return self

    @model_validator(mode="after")
    def _passes(self) -> Self:
        if self.loss == "squared" and self.max_passes is not None:
            raise ValueError(
                f"max_passes: {self.max_passes} has no meaning with loss: squared, which needs one "
                "pass; remove it, or choose another loss"
            )
        return self

    @model_validator(mode="after")
    def _loss_parameter(self) -> Self:
        for name, loss in (("delta", "huber"), ("quantile", "quantile")):
            value = getattr(self, name)
            if value is not None and self.loss != loss:
                raise ValueError(
                    f"{name}: {value} has no meaning with loss: {self.loss}; remove it, or choose "
                    f"loss: {loss}"
                )
        return self

    @property
    def loss_parameter(self) -> float | None:
        """Parameter of the loss, None for its default or if it has none."""
        return self.quantile if self.loss == "quantile" else self.delta

    @property
    def parameter(self) -> dict[str, float]:
        """Name and value of the loss's parameter; empty if it has none."""
        loss = get_loss(self.loss, self.loss_parameter)
        return {loss.parameter_name: loss.parameter} if loss.parameter_name else {}

    @property
    def has_classes(self) -> bool:
        """True when the target is a class."""
        return get_loss(self.loss).target in ("binary", "classes")

    @property
    def l1_ratios(self) -> dict[str, float]:
        """Name of each penalty and its l1_ratio, without repeats."""
        named: dict[str, float] = {}
        plain = {"l1": 1.0, "l2": 0.0}
        for penalty in self.penalties:
            if penalty in plain:
                named[penalty] = plain[penalty]
        if "elasticnet" in self.penalties:
            for ratio in self.l1_ratio:
                if ratio not in named.values():
                    named[f"elasticnet_{ratio!r}"] = ratio
        return named

    @property
    def labels(self) -> list[str]:
        """Names of all paths: the penalties, then their relaxed fits."""
        names = list(self.l1_ratios)
        options = PathOptions(l1_ratios=tuple(self.l1_ratios.values()), relax=self.relax)
        return names + [f"{names[i]}_relaxed_{gamma:g}" for i, gamma in options.relaxations]


class StabilityConfig(_Section):
    """Stability selection, beside the cross-validation."""

    n_pairs: Annotated[int, Field(ge=1, le=1000)] = 50
    threshold: Annotated[float, Field(gt=0.5, le=1.0)] = 0.75
    max_features: Annotated[float, Field(gt=0.0)] | None = None
    l1_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0


class ClusterConfig(_Section):
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


class TrackingConfig(_Section):
    """Where runs are logged. Without `uri`: MLFLOW_TRACKING_URI, else SQLite beside the run."""

    enabled: bool = True
    uri: str | None = None
    experiment: str | None = None
    register_as: str | None = None


class OutputConfig(_Section):
    """Where the results go. Without `dir`: runs/<name>."""

    dir: Annotated[str, Field(min_length=1)] | None = None
    figures: bool = True


class PipelineConfig(_Section):
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
