"""Scores of predictions that are not in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from distreg.cluster import active_client
from distreg.data.arrays import from_arrays
from distreg.data.folds import make_cells
from distreg.passes import PassRunner
from distreg.training import cell_moments

__all__ = ["lazy_r2"]


def lazy_r2(fitted: Any, y: Any, sample_weight: Any = None) -> float:
    """R2 of Dask predictions, in one pass: they are a data set of one feature.

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
    if hasattr(y, "map_partitions"):
        y = y.values
    dataset = from_arrays(fitted[:, None], y, sample_weight=sample_weight)
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
