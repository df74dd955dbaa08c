"""Names the defects of a block: what no sum may hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from distreg.data.block import Block
from distreg.moments import Issue

__all__ = ["bad_weight", "note"]

Issues = dict[tuple[str, str], Issue]


def bad_weight(weight: np.ndarray | None) -> bool:
    """Whether a weight is negative, infinite or NaN."""
    return weight is not None and not bool(np.all((weight >= 0) & np.isfinite(weight)))


def note(
    issues: Issues,
    block: Block,
    names: tuple[str, ...],
    *,
    fill: bool,
    nonnegative: bool = False,
) -> None:
    """Name every defect of a block whose sums are not finite or whose weights are not valid.

    Parameters
    ----------
    issues : dict
        Defects by (column, kind); added to.
    block : Block
    names : tuple of str
        Features, dense ones first.
    fill : bool
        Missing dense values are no defect.
    nonnegative : bool
        A negative target is one.
    """
    n_dense = block.dense.shape[1]
    columns: list[tuple[str, np.ndarray]] = [("target", block.y)]
    if block.weight is not None:
        columns.append(("weight", block.weight))
    if block.offset is not None:
        columns.append(("offset", block.offset))
    for j in np.flatnonzero(~np.isfinite(block.dense.sum(axis=0, dtype=np.float64))):
        columns.append((names[j], np.asarray(block.dense[:, j])))
    if block.sparse is not None and not np.isfinite(block.sparse.data).all():
        columns.extend(_sparse_columns(block.sparse, names[n_dense:]))
    fillable = set(names[:n_dense]) if fill else set()
    signed = {"weight", "target"} if nonnegative else {"weight"}
    for name, values in columns:
        found = {"infinite": np.isinf(values)}
        if name not in fillable:
            found["missing"] = np.isnan(values)
        if name in signed:
            found["negative"] = values < 0
        for kind, mask in found.items():
            if mask.any():
                _record(issues, block, name, kind, mask)


def _record(issues: Issues, block: Block, name: str, kind: str, mask: np.ndarray) -> None:
    first, count = int(block.row[np.argmax(mask)]), int(mask.sum())
    seen = issues.get((name, kind))
    if seen is None:
        issues[name, kind] = Issue(name, kind, first, count, block.source)
    else:
        issues[name, kind] = Issue(name, kind, seen.first_row, seen.count + count, seen.source)


def _sparse_columns(
    matrix: sparse.csr_array, names: tuple[str, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    bad = np.unique(matrix.indices[~np.isfinite(matrix.data)])
    for j in bad:
        yield names[j], matrix[:, [j]].toarray().ravel()
