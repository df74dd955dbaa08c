"""Losses: pure functions of a target and a linear predictor. One file each, one row here."""

from __future__ import annotations

import difflib
import math

from distreg.exceptions import InputError
from distreg.losses import (
    hinge,
    huber,
    logistic,
    multinomial,
    poisson,
    quantile,
    squared,
    squared_hinge,
)
from distreg.losses.base import Loss

__all__ = ["LOSSES", "Loss", "get_loss"]

LOSSES: dict[str, Loss] = {
    module.LOSS.name: module.LOSS
    for module in (
        squared,
        logistic,
        multinomial,
        poisson,
        squared_hinge,
        hinge,
        huber,
        quantile,
    )
}
"""Those with a parameter have their default."""


def get_loss(name: str, parameter: float | None = None) -> Loss:
    """The loss of this name.

    Parameters
    ----------
    name : str
    parameter : float, optional
        ``delta`` of the Huber loss (default 1.35), the quantile of the quantile loss (0.5).

    Raises
    ------
    InputError
        If there is no such loss, or it has no such parameter.
    """
    if name not in LOSSES:
        close = difflib.get_close_matches(str(name), LOSSES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"loss={name!r} is none of {', '.join(LOSSES)}{hint}")
    if parameter is None:
        return LOSSES[name]
    highest = {"huber": math.inf, "quantile": 1.0}.get(name)
    if highest is None:
        raise InputError(
            f"the {name} loss has no parameter, but {parameter!r} was given; only huber (delta) "
            "and quantile (quantile) have one"
        )
    word = LOSSES[name].parameter_name
    number = isinstance(parameter, (int, float)) and not isinstance(parameter, bool)
    if not (number and 0.0 < parameter < highest):
        allowed = "a finite number > 0, in units of the target" if name == "huber" else "in (0, 1)"
        raise InputError(f"{word}={parameter!r} is not possible; it must be {allowed}")
    return {"huber": huber.make, "quantile": quantile.make}[name](float(parameter))
