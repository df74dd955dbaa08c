"""Objective, KKT violation and duality gap of a generalised linear model, computed apart from
distreg: rows in extended precision, no shared code. The dual value is evaluated row by row with the
exact conjugates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

L = np.longdouble
DELTA = L(1.35)
"""Of the Huber loss."""


@dataclass(frozen=True)
class GLM:
    """A problem on the scale of the data; y holds class codes, counts or numbers."""

    loss: str
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    offset: np.ndarray
    size: np.ndarray  # the penalty acts on coef * size
    factor: np.ndarray
    fit_intercept: bool
    n_classes: int = 1


def make(
    loss: str,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    *,
    standardize: bool = False,
    penalty_factor: np.ndarray | None = None,
    fit_intercept: bool = True,
) -> GLM:
    """Describe a problem as distreg's options do."""
    X, n = np.asarray(X, dtype=L), len(y)
    s = np.ones(n, dtype=L) if weight is None else np.asarray(weight, dtype=L)
    mean = s @ X / s.sum()
    sd = np.sqrt(s @ (X - mean) ** 2 / s.sum())
    sd[X.max(axis=0) == X.min(axis=0)] = 0
    v = np.ones(X.shape[1], dtype=L) if penalty_factor is None else np.asarray(penalty_factor, L)
    v = v * (len(v) / v.sum())
    size = np.where(sd > 0, sd, 1) if standardize else np.ones_like(sd)
    o = np.zeros(n, dtype=L) if offset is None else np.asarray(offset, dtype=L)
    n_classes = int(np.max(y)) + 1 if loss == "multinomial" else 1
    return GLM(loss, X, np.asarray(y, dtype=L), s, o, size, v, fit_intercept, n_classes)


def eta_of(glm: GLM, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """Linear predictor, (n,) or (n, C)."""
    if glm.loss == "multinomial":
        return glm.X @ np.asarray(coef, L).T + np.asarray(intercept, L) + glm.offset[:, None]
    return glm.X @ np.asarray(coef, L) + L(intercept) + glm.offset


def value(glm: GLM, eta: np.ndarray) -> np.ndarray:
    """Loss of each row."""
    y = glm.y
    if glm.loss == "logistic":
        return np.logaddexp(L(0), eta) - y * eta
    if glm.loss == "poisson":
        return np.exp(eta) - y * eta
    if glm.loss == "squared_hinge":
        return np.maximum(0, 1 - (2 * y - 1) * eta) ** 2 / 2
    if glm.loss == "huber":
        e = np.abs(y - eta)
        return np.where(e <= DELTA, e**2 / 2, DELTA * (e - DELTA / 2))
    top = eta.max(axis=1)
    total = top + np.log(np.exp(eta - top[:, None]).sum(axis=1))
    return total - eta[np.arange(len(y)), y.astype(int)]


def slope(glm: GLM, eta: np.ndarray) -> np.ndarray:
    """Derivative of the loss, the shape of eta."""
    y = glm.y
    if glm.loss == "logistic":
        return 1 / (1 + np.exp(-eta)) - y
    if glm.loss == "poisson":
        return np.exp(eta) - y
    if glm.loss == "squared_hinge":
        sign = 2 * y - 1
        return -sign * np.maximum(0, 1 - sign * eta)
    if glm.loss == "huber":
        return np.clip(eta - y, -DELTA, DELTA)
    q = np.exp(eta - eta.max(axis=1, keepdims=True))
    q /= q.sum(axis=1, keepdims=True)
    q[np.arange(len(y)), y.astype(int)] -= 1
    return q


def conjugate(glm: GLM, u: np.ndarray) -> np.ndarray:
    """``sup_eta u eta - f(eta)`` of each row."""

    def xlogx(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0)

    y = glm.y
    if glm.loss == "logistic":
        return xlogx(u + y) + xlogx(1 - u - y)
    if glm.loss == "poisson":
        return xlogx(u + y) - (u + y)
    if glm.loss == "squared_hinge":
        return u**2 / 2 + (2 * y - 1) * u
    if glm.loss == "huber":
        return np.where(np.abs(u) <= DELTA, u**2 / 2 + y * u, np.inf)
    q = u.copy()
    q[np.arange(len(y)), y.astype(int)] += 1
    return xlogx(q).sum(axis=1)


def strengths(glm: GLM, alpha: float, l1_ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ``|w|`` and ``w^2 / 2``."""
    a, r = L(alpha), L(l1_ratio)
    return a * r * glm.factor * glm.size, a * (1 - r) * glm.factor * glm.size**2


def objective(
    glm: GLM, coef: np.ndarray, intercept: np.ndarray, alpha: float, l1_ratio: float
) -> np.longdouble:
    """Penalised mean loss."""
    lasso, ridge = strengths(glm, alpha, l1_ratio)
    loss = glm.weight @ value(glm, eta_of(glm, coef, intercept)) / glm.weight.sum()
    w = np.atleast_2d(np.asarray(coef, L))
    return loss + (lasso * np.abs(w) + ridge * w**2 / 2).sum()


def saturated(glm: GLM) -> np.longdouble:
    """Mean of the smallest losses that rows can have."""
    if glm.loss != "poisson":
        return L(0)
    y = glm.y
    best = y - np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0)
    return glm.weight @ best / glm.weight.sum()


def gradients(glm: GLM, coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negative gradient of the mean loss: coefficients (C, p), intercepts (C,)."""
    u = -slope(glm, eta_of(glm, coef, intercept)).reshape(len(glm.y), -1)
    su = glm.weight[:, None] * u / glm.weight.sum()
    return su.T @ glm.X, su.sum(axis=0)


def violation(
    glm: GLM, coef: np.ndarray, intercept: np.ndarray, alpha: float, l1_ratio: float
) -> float:
    """KKT violation, in units of the gradient of the features divided by their sd."""
    lasso, ridge = strengths(glm, alpha, l1_ratio)
    g, _ = gradients(glm, coef, profiled(glm, coef, intercept))
    w = np.atleast_2d(np.asarray(coef, L))
    zero = np.maximum(np.abs(g) - lasso, 0)
    off = np.where(w == 0, zero, np.abs(g - ridge * w - lasso * np.sign(w)))
    sd = np.sqrt(
        glm.weight @ (glm.X - glm.weight @ glm.X / glm.weight.sum()) ** 2 / glm.weight.sum()
    )
    off = np.where(sd > 0, off / np.where(sd > 0, sd, 1), 0)
    return float(off.max())


def profiled(glm: GLM, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    """The best intercept for given coefficients, from a near one: Newton's method."""
    single = glm.n_classes == 1
    best = np.atleast_1d(np.asarray(intercept, L)).copy()
    for _ in range(50 if glm.fit_intercept else 0):
        _, g0 = gradients(glm, coef, best[0] if single else best)
        if np.abs(g0).max() < L(1e-17):
            break
        if single:
            up = best[0] + L(1e-7)
            best += g0 * L(1e-7) / (g0 - gradients(glm, coef, up)[1])
        else:
            u = slope(glm, eta_of(glm, coef, best))
            q = u.copy()
            q[np.arange(len(glm.y)), glm.y.astype(int)] += 1
            share = glm.weight / glm.weight.sum()
            curvature = np.diag(share @ q) - (share[:, None] * q).T @ q
            inverse = np.linalg.pinv(curvature.astype(float), rtol=1e-9, hermitian=True)
            best += (inverse @ g0.astype(float)).astype(L)
    return best[0] if single else best


def gap(glm: GLM, coef: np.ndarray, intercept: np.ndarray, alpha: float, l1_ratio: float) -> float:
    """Duality gap: the primal value minus the dual value of the best scaled residual.

    The residual is that of the best intercept, so that it is feasible.
    """
    lasso, ridge = strengths(glm, alpha, l1_ratio)
    u = -slope(glm, eta_of(glm, coef, profiled(glm, coef, intercept))).reshape(len(glm.y), -1)
    centre = glm.weight @ glm.X / glm.weight.sum() if glm.fit_intercept else 0
    g = (glm.weight[:, None] * u / glm.weight.sum()).T @ (glm.X - centre)
    s = L(1)
    if l1_ratio == 1.0:
        s = min(L(1), (lasso / np.maximum(np.abs(g), L(1e-300))).min())
    v = -s * u if glm.n_classes > 1 else -s * u[:, 0]
    offset = glm.offset[:, None] * np.ones_like(u) if glm.n_classes > 1 else glm.offset
    dual = glm.weight @ (conjugate(glm, v) - (v * offset).reshape(len(glm.y), -1).sum(axis=1))
    dual = -dual / glm.weight.sum()
    if l1_ratio < 1.0:
        excess = np.maximum(np.abs(s * g) - lasso, 0)
        dual -= (excess**2 / (2 * np.where(ridge > 0, ridge, 1))).sum()
    return float(objective(glm, coef, intercept, alpha, l1_ratio) - dual)
