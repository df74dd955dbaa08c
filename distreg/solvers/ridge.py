"""Direct solutions for penalties without an L1 part: one factorisation for all alphas.

NumPy's decompositions let other threads run; SciPy's keep Python's lock (measured).

Reference: Golub, Van Loan: Matrix Computations, sections 5.5 and 6.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from distreg.exceptions import IllConditionedWarning

__all__ = ["least_squares", "ridge_path"]

EPS = float(np.finfo(np.float64).eps)
REFINEMENTS = 3
MIN_DIGITS = 6.0
"""Least squares warns when the condition number leaves fewer digits than this."""


def ridge_path(gram: np.ndarray, xty: np.ndarray, l2: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Minimise ``b'Cb/2 - q'b + alpha/2 sum_j l2_j b_j^2`` for each alpha > 0.

    Unpenalised features (l2_j = 0) are eliminated by a Schur complement; the others are scaled to
    a unit penalty, so that one eigendecomposition serves all alphas. Refined against the residual
    of all equations; an alpha that keeps a residual is solved by a factorisation of its own.

    Returns
    -------
    (A, p) array
    """
    used = np.flatnonzero(np.diagonal(gram) > 0)
    coef = np.zeros((alphas.size, xty.size))
    if used.size:
        coef[:, used] = _refined(gram[np.ix_(used, used)], xty[used], l2[used], alphas)
    return coef


def _refined(gram: np.ndarray, xty: np.ndarray, l2: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Solutions of ``(C + alpha diag(l2)) b = q``, (A, p)."""
    apply = _inverse(gram, l2, alphas)
    ridge = np.multiply.outer(alphas, l2)
    coef = apply(np.broadcast_to(xty, ridge.shape))
    # residual' step / 2 is the excess of the objective, coef' xty about twice what it explains
    for _ in range(REFINEMENTS):
        residual = xty - coef @ gram - ridge * coef
        step = apply(residual)
        excess, explained = np.abs((residual * step).sum(axis=1)), np.abs(coef @ xty)
        if np.all(excess <= 4.0 * EPS * EPS * explained):
            return coef
        coef = coef + step
    residual = xty - coef @ gram - ridge * coef
    excess, explained = np.abs((residual * apply(residual)).sum(axis=1)), np.abs(coef @ xty)
    for i in np.flatnonzero(~(excess <= 1e-16 * explained)):
        candidate = _own_factor(gram, xty, ridge[i])
        left = np.abs(xty - candidate @ gram - ridge[i] * candidate).max()
        if left < np.abs(residual[i]).max():
            coef[i] = candidate
    return coef


def _own_factor(gram: np.ndarray, xty: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """One solution by eigenvectors of the system itself, with refinement."""
    values, vectors = np.linalg.eigh(gram + np.diag(ridge))
    keep = values > values.size * EPS * values[-1]
    inverse = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
    coef = np.zeros_like(xty)
    for _ in range(REFINEMENTS):
        residual = xty - gram @ coef - ridge * coef
        coef = coef + vectors @ (inverse * (vectors.T @ residual))
    return coef


def _inverse(
    gram: np.ndarray, l2: np.ndarray, alphas: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Function that solves ``(C + alpha_i diag(l2)) x_i = rhs_i`` for all i at once."""
    free, inside = np.flatnonzero(l2 == 0), np.flatnonzero(l2 > 0)
    corner = (
        np.linalg.pinv(gram[np.ix_(free, free)], rtol=free.size * EPS, hermitian=True)
        if free.size
        else np.zeros((0, 0))
    )
    side = gram[np.ix_(free, inside)]
    root = np.sqrt(l2[inside])
    reduced = gram[np.ix_(inside, inside)] - side.T @ corner @ side
    values, vectors = np.linalg.eigh(reduced / root / root[:, None])
    inverse = 1.0 / (np.maximum(values, 0.0) + alphas[:, None])

    def apply(rhs: np.ndarray) -> np.ndarray:
        out = np.empty(rhs.shape)
        target = (rhs[:, inside] - rhs[:, free] @ corner @ side) / root
        out[:, inside] = ((target @ vectors * inverse) @ vectors.T) / root
        out[:, free] = (rhs[:, free] - out[:, inside] @ side.T) @ corner
        return out

    return apply


def least_squares(gram: np.ndarray, xty: np.ndarray) -> np.ndarray:
    """Minimise ``b'Cb/2 - q'b`` without a penalty, by the pseudo-inverse.

    Warns
    -----
    IllConditionedWarning
        When the features are linearly dependent (the answer is the one of minimum norm of the
        standardised coefficients), or so nearly that fewer than six digits can be trusted.
    """
    p = xty.size
    coef = np.zeros(p)
    used = np.flatnonzero(np.diagonal(gram) > 0)
    if used.size == 0:
        return coef
    values, vectors = np.linalg.eigh(gram[np.ix_(used, used)])
    keep = values > max(used.size, 10) * EPS * values[-1]
    if not keep.all():
        warnings.warn(
            f"least squares without a penalty is not determined: {used.size} features have rank "
            f"{int(keep.sum())}. The solution of minimum norm is returned, and its coefficients "
            "have no correct digit. Use alpha > 0 or remove dependent features.",
            IllConditionedWarning,
            stacklevel=2,
        )
    else:
        digits = -np.log10(EPS * values[-1] / values[0])
        if digits < MIN_DIGITS:
            warnings.warn(
                f"the features are nearly dependent (condition number of their correlations "
                f"{values[-1] / values[0]:.1e}): about {max(digits, 0):.0f} digits of the "
                "coefficients can be trusted. Use alpha > 0 or remove dependent features.",
                IllConditionedWarning,
                stacklevel=2,
            )
    inverse = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
    coef[used] = vectors @ (inverse * (vectors.T @ xty[used]))
    # one step of refinement against the rounding of the eigenvectors
    residual = xty[used] - gram[np.ix_(used, used)] @ coef[used]
    coef[used] += vectors @ (inverse * (vectors.T @ residual))
    return coef
