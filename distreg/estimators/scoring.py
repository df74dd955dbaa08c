"""Scores of predictions, in memory or in one pass: predictions are a data set of one feature."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.special import xlogy

from distreg.cluster import active_client
from distreg.data.arrays import from_arrays
from distreg.data.block import Block, Group
from distreg.data.dataset import Dataset
from distreg.data.folds import make_cells
from distreg.exceptions import DataError
from distreg.passes import PassRunner, Reduction
from distreg.training import cell_moments

__all__ = ["accuracy", "deviance_explained", "lazy_r2"]

Rows = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Predictions, targets and offsets of n rows, (n,) each -> k quantities to add up, (k, n)."""


def lazy_r2(fitted: Any, y: Any, sample_weight: Any = None) -> float:
    """R2 of Dask predictions, in one pass.

    Parameters
    ----------
    fitted : (n,) Dask array
    y : (n,) array, Series or Dask collection
    sample_weight : (n,) array or None

    Returns
    -------
    float
        As scikit-learn's r2_score; for a constant target 1 if all errors are 0, else 0.
    """
    dataset = _as_dataset(fitted, y, sample_weight)
    cells = make_cells(None, dataset.n_rows)
    moments = PassRunner(client=active_client()).run(cell_moments(dataset, cells), dataset)
    errors, weight = moments.squared_error(
        cells.full, np.ones((1, 1)), np.zeros(1), np.zeros(moments.missing.size)
    )
    variance = moments.target_variance(cells.full)
    error = float(errors[0]) / weight
    if variance <= 0.0:
        return float(error == 0.0)
    return 1.0 - error / variance


def accuracy(codes: Any, y_codes: Any, sample_weight: Any = None) -> float:
    """Weighted share of the rows whose class is right.

    Parameters
    ----------
    codes, y_codes : (n,) arrays or Dask arrays of floats
        Classes predicted (NaN: none) and true.
    sample_weight : (n,) array or None
    """
    right, weight = _sums(_right, codes, y_codes, sample_weight)
    return right / weight


def deviance_explained(mean: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
    """D2 of Poisson predictions: 1 - deviance / deviance of the null model ``c exp(offset)``.

    Parameters
    ----------
    mean : (n,) array or Dask array
        Expected counts.
    y : (n,) array, Series or Dask collection
    sample_weight, offset : (n,) arrays or None

    Returns
    -------
    float
        As scikit-learn's PoissonRegressor.score; if the null model fits exactly, 1 if all errors
        are 0, else 0.
    """
    loss, logs, count, expected = _sums(_poisson, mean, y, sample_weight, offset)
    null = logs - float(xlogy(count, count / expected))
    # below this the null deviance is rounding
    resolution = 1e-14 * (abs(logs) + count)
    if not null > resolution:
        return float(loss <= resolution)
    return 1.0 - loss / null


def _right(codes: np.ndarray, y: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return np.stack([np.where(np.isnan(codes), np.nan, codes == y), np.ones(y.size)])


def _poisson(mean: np.ndarray, y: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Half deviances, parts of the null model's, targets, and exposures."""
    with np.errstate(divide="ignore"):
        loss = xlogy(y, y) - xlogy(y, mean) - y + mean
    return np.stack([loss, xlogy(y, y) - y * offset, y, np.exp(offset)])


def _sums(
    rows: Rows, fitted: Any, y: Any, sample_weight: Any = None, offset: Any = None
) -> list[float]:
    """Weighted sums of what `rows` says of each row."""
    dataset = _as_dataset(fitted, y, sample_weight, offset)
    reduction = Reduction(
        name="score",
        chunk_of=partial(_chunk_of, rows),
        combine=operator.add,
        finalize=np.asarray,
    )
    total = PassRunner(client=active_client()).run(reduction, dataset)
    if np.isnan(total).any():
        raise DataError(
            "A prediction, target, weight or offset is missing (NaN), so there is no score. Leave "
            "out these rows; a model fitted with missing='drop' predicts NaN for a row with a "
            "missing feature."
        )
    return [float(value) for value in total]


def _as_dataset(fitted: Any, y: Any, sample_weight: Any, offset: Any = None) -> Dataset:
    if hasattr(y, "map_partitions"):
        y = y.values
    return from_arrays(fitted[:, None], y, sample_weight=sample_weight, offset=offset)


def _chunk_of(rows: Rows, group: Group) -> Any:
    return partial(_sums_of, rows)


def _sums_of(rows: Rows, blocks: Iterator[Block]) -> np.ndarray:
    total: Any = 0.0
    for block in blocks:
        offset = np.zeros(block.n_rows) if block.offset is None else block.offset
        weight = np.ones(block.n_rows) if block.weight is None else block.weight
        total = total + rows(block.dense[:, 0], block.y, offset) @ weight
    return np.asarray(total)
