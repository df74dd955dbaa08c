"""Options of the model that are given by the names of features."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from distreg.exceptions import ConfigError

if TYPE_CHECKING:
    from distreg.pipeline.config import ModelConfig

__all__ = ["bounds_given", "constraints", "by_feature"]


def by_feature(
    key: str, given: Mapping[str, float], names: tuple[str, ...], default: float
) -> np.ndarray:
    """One value for each feature; the name of a categorical column stands for all its levels.

    Raises
    ------
    ConfigError
        If there is no feature of a name; `key` says where it was given.
    """
    values = np.full(len(names), default)
    for name, value in given.items():
        of = [j for j, known in enumerate(names) if known == name or known.startswith(f"{name}=")]
        if not of:
            close = difflib.get_close_matches(name, names, n=1)
            hint = (
                f"did you mean {close[0]}?" if close else f"features are {', '.join(names[:5])} ..."
            )
            raise ConfigError(f"model.{key}: there is no feature {name!r}; {hint}")
        values[of] = value
    return values


def bounds_given(
    model: ModelConfig, names: tuple[str, ...]
) -> tuple[float | np.ndarray | None, float | np.ndarray | None]:
    """Lower and upper bounds of the coefficients: one number, or one for each feature."""
    found: list[float | np.ndarray | None] = []
    for key, default in (("lower_bounds", -np.inf), ("upper_bounds", np.inf)):
        given = getattr(model, key)
        if isinstance(given, Mapping):
            given = by_feature(key, given, names, default) if given else None
        found.append(given)
    return (0.0 if model.positive else found[0]), found[1]


def constraints(model: ModelConfig) -> str | None:
    """The bounds in words, as reports and MLflow show them; None without any."""
    words = ["all coefficients >= 0"] if model.positive else []
    for given, sign in ((model.lower_bounds, ">="), (model.upper_bounds, "<=")):
        if isinstance(given, Mapping):
            words += [f"{name} {sign} {value:g}" for name, value in given.items()]
        elif given is not None:
            words.append(f"all coefficients {sign} {given:g}")
    return ", ".join(words) or None
