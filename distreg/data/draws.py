"""Random draws that depend on a seed and a row number alone: counter-based, any chunking."""

from __future__ import annotations

import numpy as np

__all__ = ["hash64", "random_ranks", "windows_of"]

SHORT = 12
"""Width up to which comparing all pairs is faster than sorting every window."""


def hash64(seed: int, counter: np.ndarray) -> np.ndarray:
    """Random bits of (seed, counter): the finaliser of splitmix64, applied to each.

    Parameters
    ----------
    seed : int
        Any integer.
    counter : int array
        Any shape.

    Returns
    -------
    uint64 array, same shape
    """
    start = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64))
    return _mix(counter.astype(np.uint64) ^ start)


def _mix(z: np.ndarray) -> np.ndarray:
    # arithmetic is modulo 2**64 by design
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def windows_of(row: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of `width` consecutive rows that hold `row`, and the index of each row's window."""
    window = row // width
    low, high = int(window.min()), int(window.max())
    if high - low < 2 * row.size + 2:
        return np.arange(low, high + 1), window - low
    found, index = np.unique(window, return_inverse=True)
    return found, index


def random_ranks(
    windows: np.ndarray, width: int, seed: int, n_rows: int | None = None
) -> np.ndarray:
    """Random (n_windows, width) ranks within each window; rows from `n_rows` on come last."""
    row = windows[:, None] * width + np.arange(width)
    drawn = hash64(seed, row)
    if n_rows is not None and row.size and row[-1, -1] >= n_rows:
        drawn[row >= n_rows] = np.iinfo(np.uint64).max
    if width <= SHORT:
        ranks = np.zeros(drawn.shape, dtype=np.int64)
        for j in range(width):
            for i in range(j):
                earlier = drawn[:, i] <= drawn[:, j]
                ranks[:, j] += earlier
                ranks[:, i] += ~earlier
        return ranks
    order = np.argsort(drawn, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(width)[None, :], axis=1)
    return ranks
