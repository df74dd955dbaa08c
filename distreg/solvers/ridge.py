"""Direct solutions for penalties without an L1 part: one factorisation for all alphas.

Reference: Golub, Van Loan: Matrix Computations, sections 5.5 and 6.1.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import linalg

from distreg.exceptions import IllConditionedWarning

__all__ = ["least_squares", "ridge_path"]

REFINEMENTS = 3
MIN_DIGITS = 6.0
"""Least squares warns when the condition number leaves fewer digits than this."""


def ridge_path(gram: np.ndarray, xty: np.ndarray, l2: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """Minimise ``b'Cb/2 - q'b + alpha/2 sum_j l2_j b_j^2`` for each alpha > 0.

    Unpenalised features (l2_j = 0) are eliminated by a Schur complement; the others are scaled to a
    unit penalty, so that one eigendecomposition serves all alphas.

    Returns
    -------
    (A, p) array
    """
    p = xty.size
    used = np.diagonal(gram) > 0
    free, inside = np.flatnonzero(used & (l2 == 0)), np.flatnonzero(used & (l2 > 0))
    coef = np.zeros((alphas.size, p))
    if free.size:
        corner = gram[np.ix_(free, free)]
        inverse = linalg.pinvh(corner)
        side = gram[np.ix_(free, inside)]
        reduced = gram[np.ix_(inside, inside)] - side.T @ inverse @ side
        target = xty[inside] - side.T @ (inverse @ xty[free])
    else:
        reduced, target = gram[np.ix_(inside, inside)], xty[inside]
    if inside.size:
        coef[:, inside] = _unit_penalty(reduced, target, l2[inside], alphas)
    if free.size:
        coef[:, free] = (xty[free] - coef[:, inside] @ side.T) @ inverse
    return coef


def _unit_penalty(
    gram: np.ndarray, xty: np.ndarray, l2: np.ndarray, alphas: np.ndarray
) -> np.ndarray:
    """All alphas from the eigenvectors of ``l2^-1/2 C l2^-1/2``, refined; Cholesky where needed."""
    root = np.sqrt(l2)
    values, vectors = linalg.eigh(gram / root / root[:, None], driver="evd")
    inverse = 1.0 / (np.maximum(values, 0.0) + alphas[:, None])

    def apply(rhs: np.ndarray) -> np.ndarray:
        return np.asarray((((rhs / root) @ vectors * inverse) @ vectors.T) / root)

    coef = apply(np.broadcast_to(xty, (alphas.size, xty.size)))
    ridge = np.multiply.outer(alphas, l2)
    target = 1e-13 * np.abs(xty).max(initial=0.0)
    for _ in range(REFINEMENTS):
        residual = xty - coef @ gram - ridge * coef
        if np.abs(residual).max(initial=0.0) <= target:
            return coef
        coef = coef + apply(residual)
    residual = np.abs(xty - coef @ gram - ridge * coef).max(axis=1)
    for i in np.flatnonzero(~(residual <= 1e3 * target)):
        system = gram.copy()
        system[np.diag_indices_from(system)] += ridge[i]
        try:
            candidate = linalg.solve(system, xty, assume_a="pos")
        except linalg.LinAlgError:
            continue
        if np.abs(xty - candidate @ gram - ridge[i] * candidate).max() < residual[i]:
            coef[i] = candidate
    return coef


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
    values, vectors = linalg.eigh(gram[np.ix_(used, used)])
    eps = float(np.finfo(np.float64).eps)
    keep = values > max(used.size, 10) * eps * values[-1]
    if not keep.all():
        warnings.warn(
            f"least squares without a penalty is not determined: {used.size} features have rank "
            f"{int(keep.sum())}. The solution of minimum norm is returned, and its coefficients "
            "have no correct digit. Use alpha > 0 or remove dependent features.",
            IllConditionedWarning,
            stacklevel=2,
        )
    else:
        digits = -np.log10(eps * values[-1] / values[0])
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
