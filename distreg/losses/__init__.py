"""Losses: pure functions of a target and a linear predictor. One file each, one row here."""

from __future__ import annotations

import difflib

from distreg.exceptions import InputError
from distreg.losses import logistic, multinomial, poisson, squared, squared_hinge
from distreg.losses.base import Loss

__all__ = ["LOSSES", "Loss", "get_loss"]

LOSSES: dict[str, Loss] = {
    module.LOSS.name: module.LOSS
    for module in (squared, logistic, multinomial, poisson, squared_hinge)
}


def get_loss(name: str) -> Loss:
    """The loss of this name; `InputError` if there is none."""
    if name in LOSSES:
        return LOSSES[name]
    close = difflib.get_close_matches(str(name), LOSSES, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise InputError(f"loss={name!r} is none of {', '.join(LOSSES)}{hint}")
