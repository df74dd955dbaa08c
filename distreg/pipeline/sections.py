"""What the sections of a pipeline file share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Fraction", "Names", "Positive", "Section", "Size", "as_tuple"]


def as_tuple(value: Any) -> Any:
    """One value stands for a list of one."""
    if value is None or isinstance(value, (list, tuple, Mapping)):
        return value
    return (value,)


Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Size = Annotated[str, Field(pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*([kKMGTP]i?)?B?\s*$")]


class Section(BaseModel):
    """A section of the file: unknown keys are errors, values cannot change afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )
