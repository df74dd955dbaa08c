"""adelie's covariance method on the arrays of bench_tall.py; run by it under its own interpreter.

For the full data and each training set: one centred Gram matrix, the whole path on it, the error on
the held-out rows. The last line printed is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import adelie as ad
import numpy as np

L1_RATIO = 0.5
N_FOLDS = 5
N_THREADS = 2


def path(X, y, alphas):
    """Coefficients (n_alphas, p) and intercepts on one training set."""
    x_mean, y_mean = X.mean(axis=0), y.mean()
    gram = X.T @ X
    gram -= len(y) * np.outer(x_mean, x_mean)
    gram /= len(y)
    xty = (X.T @ y - len(y) * x_mean * y_mean) / len(y)
    state = ad.gaussian_cov(
        A=ad.matrix.dense(np.asfortranarray(gram), method="cov", n_threads=N_THREADS),
        v=xty,
        alpha=L1_RATIO,
        lmda_path=alphas,
        early_exit=False,
        progress_bar=False,
        n_threads=N_THREADS,
        tol=1e-7,
    )
    coef = state.betas.toarray()
    return coef, y_mean - coef @ x_mean


def cross_validate(X, y, alphas):
    """Fold-weighted mean squared error of each alpha, and the coefficients at its minimum."""
    error = np.zeros(len(alphas))
    for held_out in np.array_split(np.arange(len(y)), N_FOLDS):
        first, last = held_out[0], held_out[-1] + 1
        coef, intercept = path(
            np.concatenate([X[:first], X[last:]]), np.concatenate([y[:first], y[last:]]), alphas
        )
        prediction = X[first:last] @ coef.T + intercept
        error += ((y[first:last, None] - prediction) ** 2).mean(axis=0) / N_FOLDS
    coef, _ = path(X, y, alphas)
    best = int(np.argmin(error))
    return float(alphas[best]), coef[best], error


def main() -> None:
    """Command line entry: FOLDER REPEATS."""
    folder, repeats = Path(sys.argv[1]), int(sys.argv[2])
    X, y, alphas = (np.load(folder / f"{name}.npy") for name in ("X", "y", "alphas"))
    alpha, coef, error = cross_validate(X, y, alphas)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        cross_validate(X, y, alphas)
        seconds.append(time.perf_counter() - start)
    answer = {"alpha": alpha, "coef": coef.tolist(), "cv_mean": error.tolist(), "seconds": seconds}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
