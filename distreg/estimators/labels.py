"""Labels of classes: their codes, their array, and what cannot be a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distreg.exceptions import InputError

__all__ = ["check_labels", "class_array", "distinct", "label_codes", "lazy_codes", "some"]

SHOWN = 5


def check_labels(classes: Sequence[Any], binary: bool, name: str) -> None:
    """Raise InputError unless there are enough classes, and not too many.

    Parameters
    ----------
    classes : sequence of the sorted labels
    binary : bool
        Only two classes will do.
    name : str
        Of the estimator.
    """
    between = next((c for c in classes if isinstance(c, float) and not c.is_integer()), None)
    if between is not None:
        raise InputError(
            f"y holds continuous values such as {between!r}; {name} needs labels: whole numbers, "
            "text or booleans. Use a regressor, or cut y into classes"
        )
    if len(classes) < 2:
        raise InputError(
            f"y holds 1 class, {list(classes)}: {name} needs at least 2 classes. Check how y was "
            "made, or which rows were selected"
        )
    if binary and len(classes) > 2:
        raise InputError(
            f"y holds {len(classes)} classes ({some(classes)}). Only binary classification is "
            f"supported. {name} needs 2 classes: use LogisticRegression for more"
        )


def class_array(classes: Sequence[Any], dtype: Any) -> np.ndarray:
    """Labels as an array of the target's own type (None: what NumPy makes of them)."""
    known = isinstance(dtype, np.dtype) and dtype.kind in "biufUO"
    if not known and len({type(c) for c in classes}) > 1:
        known, dtype = True, np.dtype(object)
    out = np.empty(len(classes), dtype=dtype) if known else np.array(list(classes))
    out[:] = list(classes)
    return out


def distinct(values: Any) -> list[Any]:
    """Labels that occur in an array in memory, as they appear; missing ones are left out."""
    import pandas as pd

    labels: list[Any] = pd.factorize(np.asarray(values).ravel())[1].tolist()
    return labels


def label_codes(values: Any, classes: Sequence[Any]) -> np.ndarray:
    """Positions of labels among `classes`, (n,) floats; -1 for one that is not there."""
    import pandas as pd

    index, labels = pd.factorize(np.asarray(values).ravel())
    place = {label: code for code, label in enumerate(classes)}
    codes = np.array([*(place.get(label, -1) for label in labels.tolist()), -1], dtype=np.float64)
    # a missing label has index -1: the last entry
    return np.asarray(codes[index])


def lazy_codes(y: Any, classes: Sequence[Any]) -> Any:
    """`label_codes` of an array in memory, or lazily of a Dask collection."""
    labels = list(classes)
    if hasattr(y, "map_partitions"):
        return y.map_partitions(_series_codes, labels, meta=(None, "float64")).values
    if hasattr(y, "map_blocks"):
        return y.map_blocks(label_codes, labels, dtype=np.float64, meta=np.empty(0))
    return label_codes(y, labels)


def _series_codes(part: Any, labels: list[Any]) -> Any:
    """Codes of a partition, with its index."""
    import pandas as pd

    return pd.Series(label_codes(part, labels), index=part.index)


def some(classes: Sequence[Any]) -> str:
    """The first labels, for messages."""
    shown = ", ".join(repr(c) for c in list(classes)[:SHOWN])
    return shown + (", ..." if len(classes) > SHOWN else "")
