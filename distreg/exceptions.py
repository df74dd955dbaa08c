"""Errors and warnings. Every error that a user can cause is an `InputError`."""

from __future__ import annotations

from distreg.secrets import mask

__all__ = [
    "ConfigError",
    "ConvergenceWarning",
    "DataError",
    "DistregError",
    "DistregWarning",
    "IllConditionedWarning",
    "InputError",
]


class DistregError(Exception):
    """Base of all errors raised on purpose."""


class InputError(DistregError, ValueError):
    """What was given cannot be used. The message names the value, what is allowed, what to do.

    Messages repeat paths, URLs and what other libraries said of them: secrets in them are masked.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(mask(part) if isinstance(part, str) else part for part in args))


class ConfigError(InputError):
    """A pipeline file or a command line option is wrong."""


class DataError(InputError):
    """The data themselves are wrong (a value, a column, a file)."""


class DistregWarning(UserWarning):
    """Base of all warnings."""


class ConvergenceWarning(DistregWarning):
    """Some answer's certificate is above its tolerance."""


class IllConditionedWarning(DistregWarning):
    """Fewer digits of the coefficients can be trusted than a user would assume."""
