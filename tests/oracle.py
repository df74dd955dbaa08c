"""An independent answer to every question the tests ask, written from the formulas.

Nothing here is fast, and nothing is shared with the package. The data stay a matrix: every mean,
objective and gap is recomputed from the rows, in extended precision.

For weights s_i with sum W, columns scaled by sd_j (1 without `standardize`) and penalty factors v_j
that sum to p, the problem is

    P(b0, w) = 1/(2 W) sum_i s_i (y_i - b0 - x_i'w)^2
               + alpha sum_j v_j ( l1_ratio sd_j |w_j| + (1 - l1_ratio)/2 sd_j^2 w_j^2 ).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LONG = np.longdouble
Array = np.ndarray


def long(values: object) -> Array:
    """Extended precision copy."""
    return np.asarray(values, dtype=LONG)


def rescaled_penalty_factor(factor: Array | None, n_features: int) -> Array:
    """Penalty factors rescaled to sum to the number of features; all zero stays zero."""
    if factor is None:
        return np.ones(n_features, dtype=LONG)
    v = long(factor)
    total = v.sum()
    return v if total == 0 else v * (n_features / total)


def imputed(X: Array, weight: Array, train: Array) -> Array:
    """Missing values replaced by the weighted mean of the training rows' observed values."""
    X = long(X).copy()
    seen = ~np.isnan(X)
    s = np.where(train, weight, 0)[:, None] * seen
    total = s.sum(axis=0)
    mean = (s * np.where(seen, X, 0)).sum(axis=0) / np.where(total > 0, total, 1)
    return np.where(seen, X, mean)


@dataclass(frozen=True)
class Problem:
    """One training set, in extended precision.

    Attributes
    ----------
    X : (n, p) array
        Features as given.
    y, weight : (n,) arrays
    factor : (p,) array
        Penalty factors, rescaled.
    scale : (p,) array
        Weighted standard deviations, or 1; 0 for a constant column under `standardize`.
    fit_intercept : bool
    """

    X: Array
    y: Array
    weight: Array
    factor: Array
    scale: Array
    fit_intercept: bool

    @property
    def weight_sum(self) -> LONG:
        return self.weight.sum()

    def mean(self, values: Array) -> Array:
        """Weighted column means."""
        return (self.weight @ values) / self.weight_sum

    def centred(self) -> tuple[Array, Array]:
        """X and y minus their weighted means (as they are without intercept)."""
        if not self.fit_intercept:
            return self.X, self.y
        return self.X - self.mean(self.X), self.y - self.mean(self.y)


def make_problem(
    X: Array,
    y: Array,
    weight: Array | None = None,
    *,
    penalty_factor: Array | None = None,
    standardize: bool = False,
    fit_intercept: bool = True,
) -> Problem:
    """Training rows of weight zero are absent; a constant column has scale 0."""
    X = long(X.toarray() if hasattr(X, "toarray") else X)
    s = np.ones(len(X), dtype=LONG) if weight is None else long(weight)
    keep = s > 0
    X, y, s = X[keep], long(y)[keep], s[keep]
    scale = np.ones(X.shape[1], dtype=LONG)
    if standardize:
        mean = (s @ X) / s.sum()
        scale = np.sqrt((s @ (X - mean) ** 2) / s.sum())
        scale[X.max(axis=0) == X.min(axis=0)] = 0
    factor = rescaled_penalty_factor(penalty_factor, X.shape[1])
    return Problem(X, y, s, factor, scale, fit_intercept)


def penalty(problem: Problem, coef: Array, alpha: float, l1_ratio: float) -> LONG:
    """The penalty of one coefficient vector."""
    a, r = LONG(alpha), LONG(l1_ratio)
    u = problem.scale * np.abs(long(coef))
    return a * (problem.factor * (r * u + (1 - r) / 2 * u**2)).sum()


def objective(
    problem: Problem, coef: Array, intercept: float, alpha: float, l1_ratio: float
) -> LONG:
    """P(b0, w), from the rows."""
    e = problem.y - LONG(intercept) - problem.X @ long(coef)
    loss = (problem.weight * e**2).sum() / (2 * problem.weight_sum)
    return loss + penalty(problem, coef, alpha, l1_ratio)


def _orthogonalised(problem: Problem, vector: Array, columns: Array) -> Array:
    """`vector` minus its weighted projection on the columns (Gram-Schmidt, twice)."""
    s = problem.weight
    basis: list[Array] = []
    for column in columns.T:
        size = np.sqrt((s * column**2).sum())
        rest = column
        for _ in range(2):
            for q in basis:
                rest = rest - q * (s * q * rest).sum()
        norm = np.sqrt((s * rest**2).sum())
        if norm > 1e-13 * size:
            basis.append(rest / norm)
    for _ in range(2):
        for q in basis:
            vector = vector - q * (s * q * vector).sum()
    return vector


def _free_residual(problem: Problem, vector: Array, free: Array) -> Array:
    """`vector` minus its projection on the intercept and the columns that `free` selects."""
    columns = problem.X[:, free]
    if problem.fit_intercept:
        one = np.ones(len(problem.y), dtype=LONG)
        columns = np.column_stack([one, columns - problem.mean(columns)])
    return _orthogonalised(problem, vector, columns)


def _dual_value(problem: Problem, u: Array, g: Array, lam: Array, l1_ratio: LONG) -> LONG:
    """D(u) = 1/W (<y, u> - <u, u>/2) - sum_j pen_j*(g_j), g = X'S u / W; -inf where infeasible."""
    excess = np.maximum(np.abs(g) - lam * l1_ratio, 0)
    if l1_ratio == 1 and excess.max(initial=LONG(0)) > 0:
        return LONG(-np.inf)
    conjugate = (excess**2 / (2 * lam * (1 - l1_ratio))).sum() if l1_ratio < 1 else LONG(0)
    s = problem.weight
    return ((s * problem.y * u).sum() - (s * u * u).sum() / 2) / problem.weight_sum - conjugate


def duality_gap(
    problem: Problem, coef: Array, intercept: float, alpha: float, l1_ratio: float
) -> LONG:
    """P(b0, w) minus the best of three dual values: an upper bound on the distance to the minimum.

    The residual is made orthogonal to the intercept and to the unpenalised columns, which the dual
    needs. Tried are 0, the residual itself (Elastic Net: its conjugate is finite everywhere) and
    its best multiple inside the box |x_j'S u|/W <= alpha l1_ratio v_j sd_j (pure lasso). Constant
    columns under `standardize` have no coefficient, hence no term.
    """
    r, s = LONG(l1_ratio), problem.weight
    lam = LONG(alpha) * problem.factor
    used = problem.scale > 0
    e = problem.y - LONG(intercept) - problem.X @ long(coef)
    u = _free_residual(problem, e, used & (lam == 0))
    norm = (s * u * u).sum()
    best = LONG(0)
    if norm > 0:
        on = used & (lam > 0)
        Z = problem.centred()[0][:, on] / problem.scale[on]
        g = ((s * u) @ Z) / problem.weight_sum
        factors = [LONG(1)]
        worst = (np.abs(g) / lam[on]).max(initial=LONG(0))
        if r > 0 and worst > 0:
            limit = r / worst * (1 - LONG(1e-15))
            factors.append(min(max((s * problem.y * u).sum() / norm, -limit), limit))
        best = max([best, *(_dual_value(problem, c * u, c * g, lam[on], r) for c in factors)])
    return objective(problem, coef, intercept, alpha, l1_ratio) - best


def kkt_violation(
    problem: Problem, coef: Array, intercept: float, alpha: float, l1_ratio: float
) -> float:
    """Largest distance of a gradient entry (of the scaled features) from the subdifferential."""
    r, coef = LONG(l1_ratio), long(coef)
    lam = LONG(alpha) * problem.factor
    on = problem.scale > 0
    e = problem.y - LONG(intercept) - problem.X @ coef
    if problem.fit_intercept:
        e = e - problem.mean(e)
    Z = problem.X - problem.mean(problem.X) if problem.fit_intercept else problem.X
    scale = np.where(on, problem.scale, 1)
    g = ((problem.weight * e) @ Z) / problem.weight_sum / scale
    t = coef * scale
    smooth = g - lam * (1 - r) * t
    distance = np.where(
        t != 0, np.abs(smooth - lam * r * np.sign(t)), np.maximum(np.abs(smooth) - lam * r, 0)
    )
    return float(distance[on].max(initial=LONG(0)))


def _solve_refined(A: Array, b: Array) -> Array:
    """A x = b: double precision factor, residuals in extended precision."""
    A64 = A.astype(float)
    if np.linalg.matrix_rank(A64, hermitian=True) < len(A64):
        return long(np.linalg.lstsq(A64, b.astype(float), rcond=None)[0])
    inverse = np.linalg.inv(A64)
    x = long(inverse @ b.astype(float))
    for _ in range(4):
        x = x + long(inverse @ (b - A @ x).astype(float))
    return x


def _sign_search(C: Array, b: Array, l1: Array, l2: Array, t: Array) -> Array:
    """Minimise t'Ct/2 - b't + sum l1 |t| + l2 t^2 / 2 by active sets and signs, exactly.

    Feature-sign search (Lee, Battle, Raina, Ng, NIPS 2006): solve on the active set with fixed
    signs, walk to the first point of least objective where a sign changes, drop zeros, and add the
    column that violates its condition most. Every step lowers the objective, so it ends.
    """

    def value(t: Array) -> LONG:
        return t @ (C @ t) / 2 - b @ t + (l1 * np.abs(t)).sum() + (l2 * t * t).sum() / 2

    if not len(b):
        return t
    free = l1 == 0
    t = t.copy()
    active = (t != 0) | free
    sign = np.sign(t)
    eps = 1e-15 * max(float(np.abs(b).max(initial=0)), 1e-300)
    for _ in range(50 * len(b) + 50):
        A = np.flatnonzero(active)
        if A.size:
            target = _solve_refined(C[np.ix_(A, A)] + np.diag(l2[A]), b[A] - l1[A] * sign[A])
            start = t[A]
            crossing = np.flatnonzero((start * target < 0) & ~free[A])
            stops = sorted(start[c] / (start[c] - target[c]) for c in crossing)
            trials = []
            for step in [*stops, LONG(1)]:
                trial = t.copy()
                trial[A] = start + step * (target - start)
                if step < 1:
                    at = crossing[
                        np.argmin([abs(start[c] / (start[c] - target[c]) - step) for c in crossing])
                    ]
                    trial[A[at]] = 0
                trials.append(trial)
            t = min(trials, key=value)
            active = (t != 0) | free
            sign = np.sign(t)
            if len(stops) and not np.array_equal(t, trials[-1]):
                continue
        g = b - C @ t - l2 * t
        excess = np.where(active, 0, np.abs(g) - l1)
        j = int(np.argmax(excess))
        settled = not A.size or np.abs(g[A] - l1[A] * np.sign(t[A])).max() <= 1e4 * eps
        if excess[j] <= eps and settled:
            return t
        if excess[j] <= eps:
            continue
        active[j] = True
        sign[j] = np.sign(g[j])
    raise AssertionError("the oracle did not settle")


def solve_path(problem: Problem, alphas: Sequence[float], l1_ratio: float) -> tuple[Array, Array]:
    """Exact coefficients (A, p) and intercepts (A,) of all alphas, in extended precision."""
    X, y = problem.centred()
    on = problem.scale > 0
    on &= np.abs(X).max(axis=0) > 0
    scale = np.where(on, problem.scale, 1)
    Z = np.where(on, X / scale, 0)[:, on]
    sZ = problem.weight[:, None] * Z
    C, b = (sZ.T @ Z) / problem.weight_sum, (sZ.T @ y) / problem.weight_sum
    coef = np.zeros((len(alphas), X.shape[1]), dtype=LONG)
    t = np.zeros(int(on.sum()), dtype=LONG)
    for i, alpha in enumerate(alphas):
        lam = LONG(alpha) * problem.factor[on]
        t = _sign_search(C, b, lam * LONG(l1_ratio), lam * (1 - LONG(l1_ratio)), t)
        coef[i, on] = t / scale[on]
    intercept = np.zeros(len(alphas), dtype=LONG)
    if problem.fit_intercept:
        intercept = problem.mean(problem.y) - coef @ problem.mean(problem.X)
    return coef, intercept


def null_objective(problem: Problem) -> float:
    """Objective of the intercept and the unpenalised columns alone."""
    u = _free_residual(problem, problem.y, (problem.factor == 0) & (problem.scale > 0))
    return float((problem.weight * u * u).sum() / (2 * problem.weight_sum))


@dataclass(frozen=True)
class Curve:
    """Cross-validation by an explicit loop. K folds, A alphas."""

    fold_error: Array  # (K, A)
    fold_weight: Array  # (K,)
    mean: Array  # (A,)
    se: Array  # (A,)
    fold_coef: Array  # (K, A, p)
    fold_intercept: Array  # (K, A)


def cross_validation(
    X: Array,
    y: Array,
    splits: Sequence[tuple[Array, Array]],
    alphas: Sequence[float],
    l1_ratio: float,
    *,
    weight: Array | None = None,
    **options: object,
) -> Curve:
    """Each fold imputes, centres and scales on its training rows, and scores its held-out rows."""
    X = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)
    s = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=float)
    errors, totals, coefs, intercepts = [], [], [], []
    for train, held_out in splits:
        mask = np.zeros(len(X), dtype=bool)
        mask[train] = True
        filled = imputed(X, s, mask)
        problem = make_problem(filled[train], y[train], s[train], **options)
        coef, intercept = solve_path(problem, alphas, l1_ratio)
        e = long(y)[held_out][:, None] - intercept - filled[held_out] @ coef.T
        w = long(s)[held_out]
        errors.append((w @ e**2) / w.sum())
        totals.append(w.sum())
        coefs.append(coef)
        intercepts.append(intercept)
    error, total = np.array(errors), np.array(totals)
    mean = (total @ error) / total.sum()
    variance = (total @ (error - mean) ** 2) / total.sum()
    return Curve(
        error,
        total,
        mean,
        np.sqrt(variance / (len(total) - 1)),
        np.array(coefs),
        np.array(intercepts),
    )


def alpha_grid(
    problem: Problem, l1_ratio: float, n_alphas: int = 100, ratio: float | None = None
) -> Array:
    """alpha_max = max_j |gradient of the null model| / (v_j l1_ratio), then down.

    For l1_ratio 0: the largest |correlation with the null residual| x scale^2 / v_j / 1e-3.
    """
    on = (problem.factor > 0) & (problem.scale > 0)
    free = (problem.factor == 0) & (problem.scale > 0)
    u = _free_residual(problem, problem.y, free)
    X = problem.centred()[0]
    g = np.abs((problem.weight * u) @ X) / problem.weight_sum
    n, p = X.shape
    if l1_ratio == 0:
        rms = np.sqrt(problem.weight @ X**2 / problem.weight_sum)
        unit = np.sqrt((problem.weight * u**2).sum() / problem.weight_sum)
        top = (g[on] * rms[on] / problem.scale[on] ** 2 / problem.factor[on]).max() / unit / 1e-3
        low = ratio if ratio is not None else (1e-8 if n > p else 1e-6)
    else:
        top = (g[on] / problem.scale[on] / problem.factor[on]).max() / max(LONG(l1_ratio), 1e-3)
        low = ratio if ratio is not None else (1e-4 if n > p else 1e-2)
        if ratio is None and l1_ratio < 1:
            rms = np.sqrt(problem.weight @ X**2 / problem.weight_sum)
            l2 = np.median(problem.factor[on] * (problem.scale[on] / rms[on]) ** 2)
            low = low / max(1, float(top * (1 - LONG(l1_ratio)) * l2))
    return (top * LONG(low) ** (np.arange(n_alphas, dtype=LONG) / (n_alphas - 1))).astype(float)
