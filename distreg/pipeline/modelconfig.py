"""What a pipeline file may say of the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from distreg.data.folds import split_approximate
from distreg.losses import get_loss
from distreg.options import (
    GAMMAS,
    PathOptions,
    check_extras,
    check_relax,
    check_solver,
    solver_of,
)
from distreg.pipeline.sections import Fraction, Positive, Section, as_tuple
from distreg.selection import CURVE_RULES

__all__ = ["CVConfig", "ModelConfig", "StabilityConfig"]


def _as_gammas(value: Any) -> Any:
    """A switch stands for the usual gammas, one value for a list of one."""
    if isinstance(value, bool):
        return GAMMAS if value else ()
    return () if value is None else as_tuple(value)


Lower = Annotated[float, Field(le=0.0)]
Upper = Annotated[float, Field(ge=0.0)]


class CVConfig(Section):
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


class ModelConfig(Section):
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
        BeforeValidator(as_tuple),
        Field(min_length=1),
    ] = ("l1", "l2", "elasticnet")
    l1_ratio: Annotated[tuple[Fraction, ...], BeforeValidator(as_tuple), Field(min_length=1)] = (
        0.5,
    )
    alphas: (
        Annotated[tuple[Positive, ...], BeforeValidator(as_tuple), Field(min_length=1)] | None
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
    solver: Literal["auto", "gram", "newton", "admm", "consensus"] = "auto"
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
    def _solver(self) -> Self:
        check_solver(self.loss, self.solver)
        check_extras(self.driver, self.relax, self.adaptive)
        return self

    @model_validator(mode="after")
    def _passes(self) -> Self:
        if self.driver == "gram" and self.max_passes is not None:
            raise ValueError(
                f"max_passes: {self.max_passes} has no meaning with loss: squared, which needs one "
                "pass; remove it, or choose another loss, or solver: admm"
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
    def driver(self) -> str:
        """What fits: the solver that "auto" stands for, or the one that is given."""
        return solver_of(PathOptions(loss=self.loss, solver=self.solver))

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


class StabilityConfig(Section):
    """Stability selection, beside the cross-validation."""

    n_pairs: Annotated[int, Field(ge=1, le=1000)] = 50
    threshold: Annotated[float, Field(gt=0.5, le=1.0)] = 0.75
    max_features: Annotated[float, Field(gt=0.0)] | None = None
    l1_ratio: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0
