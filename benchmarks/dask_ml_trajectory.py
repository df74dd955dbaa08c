"""What dask-ml's `LogisticRegression` has reached after how long; run by `bench_incumbent.py`.

Runs in the Python that has dask-ml, and needs nothing of distreg. Its penalty records what the
solver makes of it: every coefficient vector, with the seconds since the start of `fit`. A solver
that has not stopped by itself is stopped when its seconds are over. One step is made before, so
that nothing is loaded or compiled while the time runs.

    python dask_ml_trajectory.py FOLDER SOLVER PENALTY CHUNKS SECONDS KEYWORDS
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from dask_glm.regularizers import L1
from dask_ml.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits


class TimeIsOver(Exception):
    """Ends a solver."""


class Recording(L1):
    """The L1 penalty, which writes down what it returns."""

    def __init__(self, most: float) -> None:
        self.most, self.begin = most, 0.0
        self.found: list[tuple[float, object]] = []

    def proximal_operator(self, beta: object, t: float) -> object:
        """Soft thresholding."""
        out = super().proximal_operator(beta, t)
        seconds = time.perf_counter() - self.begin
        self.found.append((seconds, out))
        if seconds > self.most:
            raise TimeIsOver
        return out


def main() -> None:
    """Fit, and write seconds and coefficients."""
    folder, solver, penalty, chunks, most, keywords = sys.argv[1:]
    X = np.load(Path(folder) / "X.npy")
    y = np.load(Path(folder) / "y.npy")
    rows = -(-len(y) // int(chunks))
    record = Recording(float(most))
    given = {"C": 1.0 / float(penalty), "fit_intercept": False, "solver": solver}
    given["solver_kwargs"] = json.loads(keywords)
    first = LogisticRegression(penalty=L1(), max_iter=1, **given)
    model = LogisticRegression(penalty=record, max_iter=1_000_000, **given)
    lazy = da.from_array(X, chunks=(rows, X.shape[1])), da.from_array(y, chunks=rows)
    by_itself = True
    with threadpool_limits(1), dask.config.set(scheduler="threads"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first.fit(*lazy)
            record.begin = time.perf_counter()
            try:
                model.fit(*lazy)
            except TimeIsOver:
                by_itself = False
        seconds = time.perf_counter() - record.begin
        # those of lazy solvers are sums of what has been computed
        coefs = [np.asarray(coef) for _, coef in record.found]
    if by_itself:
        coefs.append(np.asarray(model.coef_))
        record.found.append((seconds, None))
    np.savez(
        Path(folder) / "found.npz",
        seconds=[at for at, _ in record.found], coef=np.array(coefs), by_itself=by_itself,
    )  # fmt: skip


main()
