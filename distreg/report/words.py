"""What the error of each loss is called, and which scores are shown for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Words", "class_name", "words_of"]


@dataclass(frozen=True)
class Words:
    """Names for one loss.

    Attributes
    ----------
    error : str
        What is held out, in a sentence: "error" or "deviance".
    measure : str
        The same in the head of a table.
    axis : str
        The same beside an axis, after "held-out".
    explained : str
        Share of it that a model explains.
    change : str
        What a coefficient changes; "{}" stands for class 1.
    scores : tuple of str
        Scores on the test rows, in the order in which they are shown.
    test : (str, float)
        The score that is comparable with the held-out error, and its factor.
    """

    error: str
    measure: str
    axis: str
    explained: str
    change: str
    scores: tuple[str, ...]
    test: tuple[str, float]


WORDS = {
    "squared": Words(
        "error", "MSE", "error (MSE)", "R2", "prediction", ("rmse", "r2"), ("mse", 1.0)
    ),
    "logistic": Words(
        "deviance",
        "deviance",
        "deviance (2 x log loss)",
        "D2",
        "log-odds of {}",
        ("log_loss", "auc", "accuracy", "brier", "d2"),
        ("log_loss", 2.0),
    ),
    "multinomial": Words(
        "deviance",
        "deviance",
        "deviance (2 x log loss)",
        "D2",
        "linear predictor of the class",
        ("log_loss", "auc", "accuracy", "brier", "d2"),
        ("log_loss", 2.0),
    ),
    "poisson": Words(
        "deviance",
        "deviance",
        "deviance",
        "D2",
        "logarithm of the predicted mean",
        ("deviance", "d2"),
        ("deviance", 1.0),
    ),
    "squared_hinge": Words(
        "deviance",
        "deviance",
        "deviance (2 x squared hinge)",
        "D2",
        "decision value of {}",
        ("squared_hinge", "auc", "accuracy"),
        ("squared_hinge", 2.0),
    ),
    "hinge": Words(
        "deviance",
        "deviance",
        "deviance (2 x hinge)",
        "D2",
        "decision value of {}",
        ("hinge", "auc", "accuracy"),
        ("hinge", 2.0),
    ),
    "huber": Words(
        "deviance",
        "deviance",
        "deviance (2 x Huber loss)",
        "D2",
        "prediction",
        ("mae", "rmse", "huber"),
        ("huber", 2.0),
    ),
    "quantile": Words(
        "deviance",
        "deviance",
        "deviance (2 x pinball loss)",
        "D2",
        "predicted quantile",
        ("pinball", "mae"),
        ("pinball", 2.0),
    ),
}


def class_name(label: Any, target: str | None = None) -> str:
    """A class in a sentence: "spam", but "late = 1" or "class 1"."""
    if isinstance(label, str) and label.strip("0123456789.-"):
        return label
    return f"class {label}" if target is None else f"{target} = {label}"


def words_of(loss: str) -> Words:
    """Words for a loss."""
    return WORDS[loss]
