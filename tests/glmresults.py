"""Results of generalised linear models made by hand: shrunken truths stand for fits."""

from __future__ import annotations

import numpy as np
from cvresults import jaccard
from scipy.special import expit

from distreg.glm.scores import Predictions, class_scores
from distreg.losses import get_loss
from distreg.passes import Cost
from distreg.path import PathResult
from distreg.report.summary import PenaltySummary, summarise, with_scores
from distreg.result import CVResult

P = 12
NAMES = tuple(f"x{j}" for j in range(P))
CLASSES = {
    "logistic": ("on time", "late"),
    "squared_hinge": (0, 1),
    "multinomial": ("setosa", "versicolor", "virginica"),
}


def drawn(loss: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (n, p), targets and true coefficients (C, p)."""
    x = rng.normal(size=(n, P)) * np.logspace(0, 1, P)
    size = rng.normal(size=(len(CLASSES["multinomial"]) if loss == "multinomial" else 1, P))
    size[:, P // 2 :] = 0.0
    coef = 0.7 * size / np.logspace(0, 1, P)
    eta = x @ coef.T - 0.4
    if loss == "poisson":
        return x, rng.poisson(np.exp(eta[:, 0])).astype(float), coef
    if loss == "multinomial":
        share = get_loss(loss).mean(eta)
        return x, (share.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(float), coef
    return x, (rng.random(n) < expit(eta[:, 0])).astype(float), coef


def shrunken(coef: np.ndarray, l1_ratio: float, strength: np.ndarray) -> np.ndarray:
    """(A, C, p): soft thresholds and ridge factors."""
    t = strength[:, None, None] * np.abs(coef).max()
    soft = np.sign(coef) * np.maximum(np.abs(coef) - l1_ratio * t, 0.0)
    return soft / (1.0 + (1.0 - l1_ratio) * 3.0 * strength[:, None, None])


def glm_result(
    loss: str,
    *,
    l1_ratios: tuple[float, ...] = (1.0, 0.0, 0.5),
    n: int = 800,
    n_test: int = 400,
    n_alphas: int = 20,
    n_folds: int = 4,
    seed: int = 0,
) -> tuple[CVResult, np.ndarray, np.ndarray]:
    """A result with consistent numbers, and the features and targets of its test rows."""
    rng = np.random.default_rng(seed)
    x, y, truth = drawn(loss, n + n_test, rng)
    law, strength = get_loss(loss), np.geomspace(1.0, 1e-3, n_alphas)
    several = loss == "multinomial"

    def deviance(rows: np.ndarray, coef: np.ndarray) -> np.ndarray:
        eta = np.einsum("np,acp->anc", x[rows], coef) - 0.4
        return np.array([law.deviance(y[rows], e if several else e[:, 0]).mean() for e in eta])

    fold, paths, errors, supports, tested = np.arange(n) % n_folds, [], [], [], []
    for ratio in l1_ratios:
        fits = [truth + 0.1 * rng.normal(size=truth.shape) * (truth != 0) for _ in range(n_folds)]
        fits = [fit + 0.004 * rng.normal(size=truth.shape) for fit in fits]
        coef = shrunken(np.mean(fits, axis=0), ratio, strength)
        of_folds = np.array([shrunken(fit, ratio, strength) for fit in fits])
        errors.append([deviance(fold_rows(fold, k), c) for k, c in enumerate(of_folds)])
        supports.append(jaccard((of_folds != 0).any(axis=2)))
        tested.append(deviance(np.arange(n, n + n_test), coef))
        paths.append(
            PathResult(
                l1_ratio=ratio,
                alphas=0.3 * strength,
                coef=coef if several else coef[:, 0],
                intercept=np.full((n_alphas, len(truth)) if several else n_alphas, -0.4),
                objective=deviance(np.arange(n), coef) / 2,
                dual_gap=np.full(n_alphas, 1e-9),
                kkt_violation=np.full(n_alphas, 2e-8),
                n_nonzero=(coef != 0).any(axis=1).sum(axis=1),
                n_epochs=np.zeros(n_alphas, dtype=int),
                null_objective=0.6,
                null_gradient=0.2,
            )
        )
    error, dev = np.array(errors).transpose(1, 0, 2), np.array(tested)
    shape = error.shape[1:]
    scores = {
        "poisson": {"deviance": dev, "d2": 1 - dev / 1.3},
        "squared_hinge": {"squared_hinge": dev / 2, "accuracy": np.full(shape, 0.7)},
    }.get(loss, {"log_loss": dev / 2, "accuracy": np.full(shape, 0.7),
                 "brier": np.full(shape, 0.2), "d2": 1 - dev / 1.3})  # fmt: skip
    result = CVResult(
        paths=tuple(paths),
        cv_mean=error.mean(axis=0),
        cv_se=error.std(axis=0) / np.sqrt(n_folds - 1),
        fold_error=error,
        fold_weight=np.full(n_folds, n / n_folds),
        support_stability=np.array(supports),
        fold_dual_gap=np.full(shape, 1e-9),
        n_samples=n,
        n_test=n_test,
        weight_sum=float(n),
        null_deviance=float(deviance(np.arange(n), np.zeros((1, *truth.shape)))[0]),
        feature_names=NAMES,
        feature_mean=np.zeros(P),
        feature_sd=np.logspace(0, 1, P),
        fill_values=None,
        standardize=True,
        fit_intercept=True,
        penalty_factor=np.ones(P),
        tol=1e-6,
        cost=Cost(8, 1, 96, 3_400_000, 0.5, 0.25),
        test=scores,
        loss=loss,
        classes=CLASSES.get(loss),
        kkt_tolerance=1e-6,
        solver="newton",
        fold_kkt_violation=np.full(shape, 3e-7),
    )
    return result, x[n:], y[n:]


def fold_rows(fold: np.ndarray, k: int) -> np.ndarray:
    return np.flatnonzero(fold == k)


def glm_summaries(
    loss: str, rule: str = "min", **keywords: object
) -> tuple[CVResult, tuple[PenaltySummary, ...]]:
    """A result, and its summaries with the scores of the test rows."""
    result, x, y = glm_result(loss, **keywords)
    summaries = summarise(result, rule)
    if loss == "poisson":
        return result, summaries
    eta = np.array([x @ np.atleast_2d(s.coef).T + s.intercept for s in summaries])
    found = Predictions(y, np.ones(len(y)), eta.transpose(1, 0, 2), len(y))
    scored = (with_scores(s, class_scores(loss, found, m)) for m, s in enumerate(summaries))
    return result, tuple(scored)
