"""The local problem of consensus: nearest coefficients, by one factor of a part's rows.

With A the features of n rows in the common frame beside a column of ones, every round asks for the

    b = argmin |A b - q|^2 + c |b - a|^2

of many columns. Neither the penalty rho of the method nor the loss is in it, so one Cholesky factor
serves all of them for ever: that of ``A'A + c I`` or, where rows are few, that of ``A A' + c I``
with ``b = a + A' (A A' + c I)^-1 (q - A a)`` (Woodbury).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from distreg.admm.frame import Frame
from distreg.data.block import Block

__all__ = ["Factor", "inner", "outer", "widths"]


class Factor:
    """Cholesky factor of ``M + c I``.

    Parameters
    ----------
    product : (d, d) array
        M, symmetric and not negative. It is overwritten.
    ridge : float
        c > 0.
    """

    def __init__(self, product: np.ndarray, ridge: float) -> None:
        product.flat[:: len(product) + 1] += ridge
        # the transpose is the same matrix in the order that LAPACK overwrites
        self._factor = cho_factor(product.T, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """``(M + c I)^-1 right`` for (d, R)."""
        return np.asarray(cho_solve(self._factor, right, check_finite=False))


def widths(rows: Sequence[int], n_features: int) -> list[int]:
    """Sizes of the factors of a group with blocks of so many rows, one for each of its parts.

    It is one part, with a factor of the size of the features, or each block is one, with a factor
    of the size of its rows: whichever takes less memory.
    """
    whole = n_features + 1
    return [whole] if whole**2 <= sum(n**2 for n in rows) else list(rows)


def inner(frame: Frame, block: Block, rows: np.ndarray, fit_intercept: bool) -> np.ndarray:
    """``A'A`` of some rows, (p + 1, p + 1); the ones are last, or zeros without an intercept."""
    product = frame.products(block, rows)
    if not fit_intercept:
        product[-1] = product[:, -1] = 0.0
    return product


def outer(frame: Frame, block: Block, rows: np.ndarray, fit_intercept: bool) -> np.ndarray:
    """``A A'`` of some rows, (n, n); sparse features are not made dense."""
    total = np.full((rows.size, rows.size), float(fit_intercept))
    dense = frame.dense(block, rows)
    total += dense @ dense.T
    if block.sparse is not None:
        d = frame.n_dense
        shift = frame.origin[d:] / frame.scale[d:]
        scaled = block.sparse[rows] / frame.scale[d:]
        level = scaled @ shift
        total += (scaled @ scaled.T).toarray()
        total += shift @ shift - level[:, None] - level
    return total
