"""The largest coefficients of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["TopCoefficient", "largest_coefficients"]

N_TOP = 20


@dataclass(frozen=True)
class TopCoefficient:
    """One feature of the chosen model.

    `size` is the coefficient times the feature's standard deviation: the change of the prediction
    for one standard deviation, comparable between features. Of a multinomial model it is the
    coefficient of the class where it is largest, `of_class`.
    """

    name: str
    coef: float
    size: float
    of_class: Any = None

    @property
    def title(self) -> str:
        """Feature and class."""
        return self.name if self.of_class is None else f"{self.name} ({self.of_class})"


def largest_coefficients(
    coef: np.ndarray, sd: np.ndarray, names: tuple[str, ...], classes: tuple[Any, ...] | None
) -> tuple[TopCoefficient, ...]:
    """The largest coefficients by standardised size; ties keep the order of the features.

    Of (C, p) coefficients each feature shows the one of the class where it is largest.
    """
    rows = np.atleast_2d(coef)
    of, columns = np.abs(rows * sd).argmax(axis=0), np.arange(len(names))
    largest = rows[of, columns]
    size = largest * sd
    order = np.argsort(-np.abs(size), kind="stable")[:N_TOP]
    named = classes if coef.ndim == 2 else None
    return tuple(
        TopCoefficient(
            names[j], float(largest[j]), float(size[j]), None if named is None else named[of[j]]
        )
        for j in order
        if largest[j] != 0.0
    )
