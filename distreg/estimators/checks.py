"""Checks of keywords, made before any data are read."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from distreg.exceptions import InputError
from distreg.options import GAMMAS

__all__ = [
    "ParameterTypeError",
    "bounds",
    "choice",
    "flag",
    "gammas",
    "grid",
    "integer",
    "ratios",
    "real",
    "seed",
]


class ParameterTypeError(InputError, TypeError):
    """A keyword holds the wrong kind of value."""


def is_count(value: Any) -> bool:
    """Whether the value is a whole number, and not True or False."""
    return isinstance(value, Integral) and not isinstance(value, (bool, np.bool_))


def real(
    name: str, value: Any, low: float | None = 0.0, high: float | None = None, closed: str = "left"
) -> float:
    """A finite number between `low` and `high`; `closed` says which ends are allowed."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise ParameterTypeError(f"{name}={value!r} must be a number")
    number = float(value)
    below = low is not None and (number < low or (number == low and closed not in ("left", "both")))
    above = high is not None and (
        number > high or (number == high and closed not in ("right", "both"))
    )
    if below or above or not np.isfinite(number):
        left = "(-inf" if low is None else f"{'[' if closed in ('left', 'both') else '('}{low:g}"
        right = "inf)" if high is None else f"{high:g}{']' if closed in ('right', 'both') else ')'}"
        raise InputError(f"{name}={value!r} is outside {left}, {right}")
    return number


def bounds(name: str, value: Any) -> np.ndarray | None:
    """Bounds as an array of numbers, () or (p,); None for None."""
    if value is None:
        return None
    for item in np.asarray(value, dtype=object).ravel():
        if isinstance(item, (bool, np.bool_)) or not isinstance(item, Real):
            raise ParameterTypeError(f"{name} holds {item!r}; every bound must be a number")
    return np.asarray(value, dtype=np.float64)


def integer(name: str, value: Any, low: int) -> int:
    """A whole number that is at least `low`."""
    if not is_count(value):
        raise ParameterTypeError(f"{name}={value!r} must be a whole number")
    if value < low:
        raise InputError(f"{name}={value!r} must be at least {low}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ParameterTypeError(f"{name}={value!r} must be True or False")
    return bool(value)


def choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """One of the allowed values."""
    if not any(value is item or (isinstance(value, str) and value == item) for item in allowed):
        raise InputError(f"{name}={value!r}: allowed are {', '.join(repr(a) for a in allowed)}")
    return value


def ratios(value: Any) -> tuple[float, ...]:
    """One l1_ratio or several, each in [0, 1]."""
    given = [value] if np.ndim(value) == 0 else list(value)
    if not given:
        raise InputError("l1_ratio is empty: give one value in [0, 1] or several")
    return tuple(real("l1_ratio", item, 0.0, 1.0, "both") for item in given)


def gammas(value: Any) -> tuple[float, ...]:
    """Shares of the penalised fit in relaxed ones: True, one value or several in [0, 1]."""
    if value is None or value is False:
        return ()
    if value is True:
        return GAMMAS
    given = [value] if np.ndim(value) == 0 else list(value)
    return tuple(real("relax", item, 0.0, 1.0, "both") for item in given)


def grid(value: Any) -> np.ndarray | None:
    """Given alphas as a descending array; None for a number of alphas, or None."""
    if value is None or is_count(value):
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ParameterTypeError(f"alphas={value!r}: give an array of numbers, or how many to use")
    items = list(value)
    if not items:
        raise InputError("alphas is empty: give at least one, or None for a grid from the data")
    for index, item in enumerate(items):
        try:
            check_scalar(item, f"alphas[{index}]", Real, min_val=0.0, include_boundaries="left")
        except TypeError as error:
            raise ParameterTypeError(str(error)) from None
        except ValueError as error:
            raise InputError(str(error)) from None
        real(f"alphas[{index}]", item)
    return np.sort(np.asarray(items, dtype=np.float64))[::-1]


def seed(value: Any) -> int | None:
    """A seed for the folds, or None; a RandomState draws one."""
    if value is None:
        return None
    if is_count(value):
        return integer("random_state", value, 0)
    try:
        return int(check_random_state(value).randint(np.iinfo(np.int32).max))
    except ValueError:
        raise ParameterTypeError(
            f"random_state={value!r}: give a whole number, a RandomState or None"
        ) from None
