"""What pydantic finds wrong, in words a user can act on."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from distreg.pipeline.document import Document

__all__ = ["explain"]

_LIMITS = {
    "greater_than": ("gt", "must be above {}"),
    "greater_than_equal": ("ge", "must be {} or more"),
    "less_than": ("lt", "must be below {}"),
    "less_than_equal": ("le", "must be {} or less"),
}
_RANGES = {
    "l1_ratio": "; allowed: 0 (L2) to 1 (L1)",
    "relax": "; allowed: true, or shares of the penalised fit from 0 to 1",
    "alphas": "; penalty strengths are positive numbers",
    "cv": "; give the number of folds, approx, or {folds: 5, kind: shuffled}",
    "max_passes": "; the first pass summarises the data, the others fit",
    "folds": "; give the number of folds, 2 or more (0 for none)",
    "memory_limit": "; give a size such as 4GB",
    "name": "; use letters, digits, spaces, '.', '_' and '-'",
}


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> str:
    """One line for each thing that is wrong: place, key, what is wrong, what is allowed."""
    lines = [_message(document, item, model) for item in error.errors(include_url=False)]
    return "\n".join(dict.fromkeys(lines))


def _message(document: Document, error: Any, model: type[BaseModel]) -> str:
    """One line: place, key, what is wrong, what is allowed."""
    key = _shown_key(document.data, error["loc"])
    name = ".".join(str(part) for part in key)
    where = document.origin(key)
    kind, value, context = error["type"], error["input"], error.get("ctx") or {}
    if kind == "extra_forbidden":
        return f"{where}: unknown key {name}{_nearest(key, model)}"
    if kind == "missing":
        return f"{where}: {name} is not given; it is needed{_HINTS.get(name, '')}"
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    word = next((str(p) for p in reversed(key) if isinstance(p, str)), "")
    hint = _RANGES.get(word, "")
    if kind in _LIMITS:
        limit, text = _LIMITS[kind]
        bound = context[limit]
        return f"{where}: {name} is {shown}, and {text.format(f'{bound:g}')}{hint}"
    if kind == "literal_error":
        close = difflib.get_close_matches(str(value), re.findall(r"'([^']+)'", context["expected"]))
        also = f". Did you mean {close[0]}?" if close else ""
        return f"{where}: {name} is {shown}; allowed: {context['expected']}{also}"
    if kind == "value_error":
        return f"{where}: {name}: {context['error']}"
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return f"{where}: {name} is {shown}; it must be a finite number{hint}"
    reason = error["msg"].removeprefix("Input ").removeprefix("String ")
    return f"{where}: {name} is {shown}; it {reason}{hint}"


_HINTS = {
    "data": " (path: and target:)",
    "data.path": ": the data file or folder",
    "data.target": ": the name of the column to predict",
}


def _shown_key(data: Any, loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The part of pydantic's location that the file knows (it adds names of unions)."""
    key: list[str | int] = []
    for part in loc:
        if isinstance(data, Mapping):
            key.append(part)
            data = data.get(part)
        elif isinstance(data, (list, tuple)) and isinstance(part, int):
            key.append(part)
            data = data[part] if part < len(data) else None
    return tuple(key)


def _nearest(key: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """The nearest valid key of the same section, or the list of keys."""
    section: Any = model
    for part in key[:-1]:
        annotation = section.model_fields[str(part)].annotation
        section = next(
            a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)
        )
    inside = list(section.model_fields)
    close = difflib.get_close_matches(str(key[-1]), inside, n=1, cutoff=0.5)
    if close:
        return f". Did you mean {'.'.join([*map(str, key[:-1]), close[0]])}?"
    for name, info in model.model_fields.items():
        for option in (info.annotation, *getattr(info.annotation, "__args__", ())):
            fields = getattr(option, "model_fields", {})
            if str(key[-1]) in fields:
                return f". Did you mean {name}.{key[-1]}?"
    return f"; keys here: {', '.join(inside)}"
