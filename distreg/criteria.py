"""Information criteria of fits on one training set: AIC, BIC and EBIC.

With N rows of positive weight, k = 2 (AIC) or log N (BIC) and df degrees of freedom each is
``fit + k df``. There ``fit`` is ``N log(RSS / N)`` for the squared loss and N times the mean
deviance for the others. Weights enter the means, so only their ratios count; the intercept, which
every fit of a path has, is not counted in df. EBIC adds ``2 log C(p, df)`` to the BIC.

References
----------
Zou, Hastie, Tibshirani: On the degrees of freedom of the lasso, Annals of Statistics 35(5), 2007.
Chen, Chen: Extended Bayesian information criteria for model selection with large model spaces,
Biometrika 95(3), 2008 (gamma = 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.special import gammaln

from distreg.training import TrainingMoments

__all__ = [
    "CRITERIA",
    "Criteria",
    "criteria_of",
    "degrees_of_freedom",
    "fit_of_mse",
    "squared_fit",
]

CRITERIA = ("aic", "bic", "ebic")

EPS = float(np.finfo(np.float64).eps)

TINY = 1e-12
"""Ridge, beside the trace, below which Cholesky's rounding errors would count."""
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Criteria:
    """Degrees of freedom and criteria of A fits, (A,) arrays; NaN where they are not defined."""

    df: np.ndarray
    aic: np.ndarray
    bic: np.ndarray
    ebic: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {"aic": self.aic, "bic": self.bic, "ebic": self.ebic, "df": self.df}

    @classmethod
    def unknown(cls, n_alphas: int) -> Criteria:
        """Nothing known."""
        return cls(*(np.full(n_alphas, np.nan) for _ in range(4)))


def criteria_of(fit: np.ndarray, df: np.ndarray, n_rows: int, n_coef: int) -> Criteria:
    """Criteria from the ``fit`` terms (A,) and degrees of freedom (A,) out of `n_coef`."""
    inside = np.clip(df, 0.0, n_coef)
    choices = gammaln(n_coef + 1.0) - gammaln(inside + 1.0) - gammaln(n_coef - inside + 1.0)
    bic = fit + np.log(n_rows) * df
    return Criteria(df, fit + 2.0 * df, bic, bic + 2.0 * choices)


def squared_fit(moments: TrainingMoments, scaled: np.ndarray, df: np.ndarray) -> np.ndarray:
    """``N log(RSS / N)`` of (A, p) scaled coefficients, (A,); see `fit_of_mse`."""
    product = scaled @ moments.gram
    mse = moments.yty - ((2.0 * moments.xty - product) * scaled).sum(axis=1)
    return fit_of_mse(mse, moments.yty, df + float(moments.centred), moments.n_rows)


def fit_of_mse(mse: np.ndarray, null: float, taken: np.ndarray, n_rows: int) -> np.ndarray:
    """``N log mse``, (A,), for a target whose mean square is `null`.

    A residual below the rounding error of the target counts as that. NaN where a model has as many
    degrees of freedom, `taken` (A,) with the intercept's, as there are rows: it says nothing of the
    noise.
    """
    mse = np.maximum(mse, max(64.0 * EPS * null, TINY))
    return np.where(taken < n_rows, n_rows * np.log(mse), np.nan)


def degrees_of_freedom(
    gram: np.ndarray, l2: np.ndarray, strength: np.ndarray, members: np.ndarray
) -> np.ndarray:
    """``tr(C_AA (C_AA + strength diag(l2)_AA)^-1)`` over the members A of each fit, (A,).

    Without a quadratic part that is the rank of ``C_AA``. Fits with the same members share one
    eigendecomposition.

    Parameters
    ----------
    gram : (p, p) array
        Curvature; features without any are left out.
    l2 : (p,) array
        0 for unpenalised features.
    strength : (A,) array
        ``alpha (1 - l1_ratio)``.
    members : (A, p) bool array
        Features with a coefficient that is not 0, and the unpenalised ones.
    """
    members = members & (np.diagonal(gram) > 0)
    groups: dict[bytes, list[int]] = {}
    for i, mask in enumerate(members):
        groups.setdefault(mask.tobytes(), []).append(i)
    out = np.zeros(len(members))
    for of in groups.values():
        at = np.flatnonzero(members[of[0]])
        if at.size:
            out[of] = _traces(gram[np.ix_(at, at)], l2[at], strength[of])
    return out


def _traces(gram: np.ndarray, l2: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Traces of one set of members for several strengths."""
    root = np.sqrt(np.diagonal(gram))
    gram, l2 = gram / root / root[:, None], l2 / root**2
    out = np.empty(strength.size)
    pure = strength == 0.0
    if pure.any():
        out[pure] = _rank(gram)
    if pure.all():
        return out
    free, inside = np.flatnonzero(l2 == 0), np.flatnonzero(l2 > 0)
    reduced, n_free = gram, 0
    if free.size:
        corner, side = gram[np.ix_(free, free)], gram[np.ix_(free, inside)]
        n_free = _rank(corner)
        inverse = np.linalg.pinv(corner, rtol=free.size * EPS, hermitian=True)
        reduced = gram[np.ix_(inside, inside)] - side.T @ inverse @ side
    scale = np.sqrt(l2[inside])
    reduced = reduced / scale / scale[:, None]
    if np.count_nonzero(~pure) == 1 and float(strength[~pure][0]) > TINY * np.trace(reduced):
        # most supports have one alpha, which does not deserve all eigenvalues
        trace = _trace(reduced, float(strength[~pure][0]))
        if trace is not None:
            out[~pure] = n_free + trace
            return out
    values = np.maximum(np.linalg.eigvalsh(reduced), 0.0)
    out[~pure] = n_free + (values / (values + strength[~pure, None])).sum(axis=1)
    return out


def _rank(gram: np.ndarray) -> int:
    """Rank of a matrix with unit diagonal, by Cholesky with pivots: a tenth of its eigenvalues."""
    return int(lapack.dpstrf(gram, tol=gram.shape[0] * EPS)[2])


def _trace(gram: np.ndarray, ridge: float) -> float | None:
    """``tr(C (C + ridge)^-1)`` by Cholesky; None where that breaks down."""
    if gram.size == 0:  # LAPACK writes an error
        return 0.0
    matrix = gram.copy()
    matrix[np.diag_indices_from(matrix)] += ridge
    factor, failed = lapack.dpotrf(matrix, overwrite_a=True)
    if failed:
        return None
    inverse, failed = lapack.dpotri(factor, overwrite_c=True)
    trace = gram.shape[0] - ridge * float(np.trace(inverse))
    return None if failed or not 0.0 <= trace <= gram.shape[0] else trace
