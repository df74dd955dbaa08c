"""The two files of a model's folder: ``model.json`` and ``coef.npz``. Neither can hold code."""

from __future__ import annotations

import json
import math
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distreg.exceptions import InputError

__all__ = [
    "FORMAT",
    "json_safe",
    "labels",
    "number",
    "numbers",
    "optional_number",
    "read_arrays",
    "read_document",
    "texts",
    "write",
]

FORMAT = 2
"""Newest version of the files. What readers of a version would misread has the next one: models of
the squared loss have version 1, those of other losses version 2, with the key classes (and
loss_parameter, where the loss has one)."""

MODEL_FILE, ARRAYS_FILE = "model.json", "coef.npz"


def write(target: Path, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
    """Write both files to the folder `target`, all or nothing; a model there is replaced.

    The document says its format.
    """
    if target.exists() and (foreign := _foreign(target)) is not None:
        holds = "" if foreign == target else f": it holds {foreign.name!r}"
        raise InputError(
            f"{target} exists and is not a model{holds}. Choose another path, or remove it."
        )
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.new-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    named: dict[str, Any] = dict(arrays)
    try:
        with open(draft / ARRAYS_FILE, "wb") as stream:
            np.savez(stream, **named)
            _flush(stream)
        with open(draft / MODEL_FILE, "wb") as stream:
            stream.write(text.encode() + b"\n")
            _flush(stream)
        _exchange(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def read_document(folder: Path) -> dict[str, Any]:
    """Content of ``model.json``, once its format is known to be readable."""
    try:
        document = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{folder} is not a distreg model: it has no {MODEL_FILE}. Give the folder that "
            "LinearModel.save or `distreg run` wrote (OUTPUT/model)."
        ) from error
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"{folder / MODEL_FILE} cannot be read: {error}") from error
    version = document.get("format") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{folder / MODEL_FILE} is not a distreg model: it names no format.")
    if version > FORMAT:
        raise InputError(
            f"{folder} has model format {version}; this distreg reads formats up to {FORMAT}. "
            "Install a newer distreg."
        )
    return dict(document)


def read_arrays(folder: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays, after checking that they are what the schema says before reading them.

    `shape` is that of the coefficients: features, or classes and features.
    """
    path = folder / ARRAYS_FILE
    shapes = {"coef": shape, "fill": shape[-1:]}
    size = math.prod(shape)
    limit = 8 * max(size, shape[-1]) + 4096
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.file_size > limit:
                raise ValueError(f"{member.filename} is larger than {size} numbers")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in shapes if name in stored.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} is not an array")
        if array.dtype != np.float64 or array.shape != shapes[name]:
            raise ValueError(f"{name} is {array.dtype}{array.shape}, not float64{shapes[name]}")
    return arrays


def texts(values: Any) -> list[str]:
    """`values`, if it is a list of texts."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("feature_names is not a list of texts")
    return values


def number(value: Any) -> float:
    """`value`, if it is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def numbers(value: Any) -> float | np.ndarray:
    """`value`, if it is a number or a list of numbers."""
    return np.array([number(v) for v in value]) if isinstance(value, list) else number(value)


def labels(values: Any) -> tuple[str | int | float | bool, ...]:
    """`values`, if it is a list of texts, numbers and booleans."""
    if not isinstance(values, list) or not all(isinstance(v, (str, int, float)) for v in values):
        raise ValueError("classes is not a list of texts, numbers or booleans")
    return tuple(values)


def optional_number(value: Any) -> float | None:
    """`value`, if it is a number or None."""
    return None if value is None else number(value)


def json_safe(value: Any) -> Any:
    """`value` with NumPy scalars and arrays as plain ones, and NaN or infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _foreign(path: Path) -> Path | None:
    """What may not be overwritten: `path` if it is a file, or what is no model's file in it."""
    if not path.is_dir():
        return path
    others = (
        item
        for item in sorted(path.iterdir())
        if item.name not in (MODEL_FILE, ARRAYS_FILE) or item.is_dir()
    )
    return next(others, None)


def _flush(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _exchange(draft: Path, target: Path) -> None:
    """Put `draft` in the place of `target`."""
    if not target.exists():
        os.replace(draft, target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    os.replace(target, old)
    os.replace(draft, target)
    shutil.rmtree(old, ignore_errors=True)
