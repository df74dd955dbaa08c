"""Cross-validation results made with scikit-learn, for tests of what shows and stores them."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import enet_path

from distreg.passes import Cost
from distreg.path import PathResult
from distreg.result import CVResult

NAMES = ("age", "sex", "bmi", "blood pressure", "tc", "ldl", "hdl", "tch", "ltg", "glucose")


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    """The diabetes data with columns on different scales."""
    x, y = load_diabetes(return_X_y=True)
    return x * np.logspace(0, 3, x.shape[1]), y


def fit(
    x: np.ndarray, y: np.ndarray, l1_ratio: float, alphas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (A, p) and intercepts (A,) of a standardised path."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    z, centred = (x - mean) / sd, y - y.mean()
    if l1_ratio == 0.0:
        n, p = x.shape
        coef = np.array(
            [np.linalg.solve(z.T @ z / n + a * np.eye(p), z.T @ centred / n) for a in alphas]
        )
    else:
        coef = enet_path(z, centred, l1_ratio=l1_ratio, alphas=alphas, tol=1e-6, max_iter=10**6)[
            1
        ].T
    coef = coef / sd
    return coef, y.mean() - coef @ mean


def make_result(
    x: np.ndarray,
    y: np.ndarray,
    names: tuple[str, ...],
    *,
    l1_ratios: tuple[float, ...] = (1.0, 0.5, 0.0),
    n_alphas: int = 40,
    n_folds: int = 5,
    n_test: int = 42,
) -> CVResult:
    """Cross-validate with scikit-learn; the certificates are made up."""
    train, test = slice(0, len(y) - n_test), slice(len(y) - n_test, None)
    x_train, y_train = x[train], y[train]
    n, p = x_train.shape
    fold = np.arange(n) % n_folds
    sd = x_train.std(axis=0)
    top = np.abs((x_train - x_train.mean(axis=0)).T @ (y_train - y_train.mean()) / n / sd).max()
    paths, errors, stability, scores = [], [], [], []
    for l1_ratio in l1_ratios:
        largest = top / l1_ratio if l1_ratio else 1e3
        alphas = largest * np.geomspace(1, 1e-4 if l1_ratio else 1e-6, n_alphas)
        coef, intercept = fit(x_train, y_train, l1_ratio, alphas)
        held_out, supports = [], []
        for k in range(n_folds):
            c, b = fit(x_train[fold != k], y_train[fold != k], l1_ratio, alphas)
            eta = x_train[fold == k] @ c.T + b
            held_out.append(((y_train[fold == k, None] - eta) ** 2).mean(axis=0))
            supports.append(c != 0)
        errors.append(held_out)
        stability.append(jaccard(np.array(supports)))
        residual = y_train[:, None] - x_train @ coef.T - intercept
        penalty = l1_ratio * np.abs(coef * sd).sum(axis=1) + (1 - l1_ratio) / 2 * (
            (coef * sd) ** 2
        ).sum(axis=1)
        scores.append(((y[test, None] - x[test] @ coef.T - intercept) ** 2).mean(axis=0))
        paths.append(
            PathResult(
                l1_ratio=l1_ratio,
                alphas=alphas,
                coef=coef,
                intercept=intercept,
                objective=(residual**2).mean(axis=0) / 2 + alphas * penalty,
                dual_gap=np.full(n_alphas, 1e-9),
                kkt_violation=np.full(n_alphas, 1e-8),
                n_nonzero=np.count_nonzero(coef, axis=1),
                n_epochs=np.full(n_alphas, 7),
                null_objective=float(y_train.var() / 2),
            )
        )
    fold_error = np.array(errors).transpose(1, 0, 2)
    shape = fold_error.shape[1:]
    spread = fold_error.var(axis=0) / (n_folds - 1)
    mse = np.array(scores)
    return CVResult(
        paths=tuple(paths),
        cv_mean=fold_error.mean(axis=0),
        cv_se=np.sqrt(spread),
        fold_error=fold_error,
        fold_weight=np.full(n_folds, n / n_folds),
        support_stability=np.array(stability),
        fold_dual_gap=np.full(shape, 1e-10),
        n_samples=n,
        n_test=n_test,
        weight_sum=float(n),
        null_deviance=float(y_train.var()),
        feature_names=names,
        feature_mean=x_train.mean(axis=0),
        feature_sd=sd,
        fill_values=None,
        standardize=True,
        fit_intercept=True,
        penalty_factor=np.ones(p),
        tol=1e-6,
        cost=Cost(1, 0, 16, 123_456, 0.25, 0.125),
        test={"mse": mse, "rmse": np.sqrt(mse), "r2": 1 - mse / y[test].var()},
    )


def jaccard(supports: np.ndarray) -> np.ndarray:
    """Mean Jaccard similarity of K supports (K, A, p); of two empty ones it is 1."""
    k = len(supports)
    pairs = [
        np.where(
            (union := (supports[a] | supports[b]).sum(axis=1)) > 0,
            (supports[a] & supports[b]).sum(axis=1) / np.maximum(union, 1),
            1.0,
        )
        for a in range(k)
        for b in range(a)
    ]
    return np.mean(pairs, axis=0)


def diabetes_result(**keywords: object) -> CVResult:
    """A result on the diabetes data."""
    x, y = diabetes()
    return make_result(x, y, NAMES, **keywords)
