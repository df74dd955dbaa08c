"""What a loss is: functions of a target y and a linear predictor eta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHARE_FLOOR", "Array", "Bound", "Loss", "clipped_share", "nothing_known", "signs"]

Array = NDArray[np.float64]

SHARE_FLOOR = 1e-12
"""Shares and mean counts of the null models are kept this far from their limits, so that their
linear predictors are finite."""


@dataclass(frozen=True)
class Bound:
    """A function with its last argument, the loss's parameter: equal ones compare and pickle so."""

    function: Callable[..., Array]
    parameter: float

    def __call__(self, *arguments: Array) -> Array:
        """Call the function."""
        return self.function(*arguments, self.parameter)


@dataclass(frozen=True)
class Loss:
    """A loss ``f(y, eta)``, convex in eta. All functions take and return arrays of rows.

    Where it has a kink, the slope is a subgradient.

    They are safe for ``|eta|`` up to 1e308: no warnings, and infinite where the answer is no float.
    The linear predictor is (n,), or (n, C) with C classes. In the functions of the null model, the
    one with an intercept only, `mean` is the weighted mean of the target: of the code for two
    classes, the (C,) shares for C classes.

    Attributes
    ----------
    name : str
    code : int
        What the compiled kernels know it by.
    target : {"real", "binary", "classes", "count"}
        What y is: any number; a class code 0.0 or 1.0; a class code 0.0 to C - 1; a number >= 0.
    value : function of (y, eta)
        ``f``, (n,).
    slope : function of (y, eta)
        ``f'``, the shape of eta.
    curvature : function of (y, eta)
        ``f''``, (n,) or (n, C, C).
    mean : function of eta
        What eta predicts: the expected target, the probability of class 1, the probabilities of all
        classes (over the last axis), or the decision value.
    saturated : function of y
        ``inf f(y, .)``, (n,).
    conjugate : function of (y, u)
        ``sup_eta u eta - f(y, eta)``, (n,); infinite outside its domain.
    null_eta : function of mean, or None
        The null model's linear predictor; shares and means are clipped to keep it finite. None
        where the mean does not determine it: the null model is to be fitted.
    null_loss : function of mean
        Its weighted mean loss, None where the mean does not determine it.
    smooth : bool
        Whether the slope is continuous.
    parameter : float
        delta, or the quantile; 0 for a loss without a parameter.
    parameter_name : str
        Empty for a loss without a parameter.
    """

    name: str
    code: int
    target: Literal["real", "binary", "classes", "count"]
    value: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    curvature: Callable[[Array, Array], Array]
    mean: Callable[[Array], Array]
    saturated: Callable[[Array], Array]
    conjugate: Callable[[Array, Array], Array]
    null_eta: Callable[[float | Array], float | Array] | None
    null_loss: Callable[[float | Array], float | None]
    smooth: bool = True
    parameter: float = 0.0
    parameter_name: str = ""

    @np.errstate(over="ignore")
    def deviance(self, y: Array, eta: Array) -> Array:
        """``2 (f - inf f)``, (n,); for the squared loss the squared error."""
        return 2.0 * np.maximum(self.value(y, eta) - self.saturated(y), 0.0)


def nothing_known(mean: float | Array) -> None:
    """Loss of a null model that the mean does not determine."""


def signs(y: Array) -> Array:
    """-1 for class code 0, 1 for class code 1."""
    return 2.0 * np.asarray(y, dtype=np.float64) - 1.0


def clipped_share(mean: float | Array) -> Array:
    """Shares, none of them 0 or 1."""
    return np.clip(mean, SHARE_FLOOR, 1.0 - SHARE_FLOOR)
