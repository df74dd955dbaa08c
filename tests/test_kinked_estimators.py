"""QuantileRegressor and LinearSVC(loss="hinge"): linear programmes, by HiGHS and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn import linear_model

from distreg import LinearSVC, QuantileRegressor, QuantileRegressorCV
from distreg.exceptions import InputError
from distreg.pipeline.config import build_config
from distreg.pipeline.document import Document

N, P = 120, 5


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    X = rng.standard_normal((N, P)) + rng.uniform(-2, 2, P)
    y = X[:, :2] @ [1.0, -2.0] + rng.standard_t(2.0, N) + 3.0
    return X, y, rng.uniform(0.2, 3.0, N)


def pinball(e: np.ndarray, q: float) -> np.ndarray:
    return np.maximum(q * e, (q - 1.0) * e)


def lowest(cost: np.ndarray, rows: np.ndarray, bound: np.ndarray, alpha: float) -> float:
    """Minimum of ``cost'a + alpha sum |w|`` with ``a >= 0`` and ``a >= bound - rows (b, w)``.

    Two sets of a, for two-sided losses, are two sets of rows.
    """
    n, p = rows.shape
    c = np.r_[0.0, np.full(2 * (p - 1), alpha), cost]
    split = np.c_[rows[:, :1], rows[:, 1:], -rows[:, 1:]]
    found = linprog(
        c,
        A_ub=-np.c_[split, np.eye(n)],
        b_ub=-bound,
        bounds=[(None, None)] + [(0, None)] * (len(c) - 1),
        method="highs",
    )
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
def test_quantile_l1_is_the_linear_programme(problem, quantile: float) -> None:
    X, y, s = problem
    alpha, share = 0.05, s / s.sum()
    model = QuantileRegressor(quantile, alpha).fit(X, y, sample_weight=s)
    found = share @ pinball(y - model.predict(X), quantile) + alpha * np.abs(model.coef_).sum()
    design = np.c_[np.ones(N), X]
    best = lowest(
        np.r_[share * quantile, share * (1.0 - quantile)],
        np.r_[design, -design],
        np.r_[y, -y],
        alpha,
    )
    assert found == pytest.approx(best, rel=1e-6)
    assert model.model_.loss_parameter == quantile


def test_quantile_is_scikit_learns(problem) -> None:
    X, y, s = problem
    theirs = linear_model.QuantileRegressor(quantile=0.3, alpha=0.02).fit(X, y, s)
    ours = QuantileRegressor(0.3, 0.02).fit(X, y, s)

    def objective(model) -> float:
        loss = np.average(pinball(y - model.predict(X), 0.3), weights=s)
        return loss + 0.02 * np.abs(model.coef_).sum()

    assert objective(ours) == pytest.approx(objective(theirs), rel=1e-6)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)


def test_hinge_l1_is_the_linear_programme(problem) -> None:
    X, y, s = problem
    label, alpha, share = y > np.median(y), 0.03, s / s.sum()
    sign = np.where(label, 1.0, -1.0)
    model = LinearSVC(alpha, loss="hinge", l1_ratio=1.0).fit(X, label, sample_weight=s)
    short = np.maximum(1.0 - sign * model.decision_function(X), 0.0)
    found = share @ short + alpha * np.abs(model.coef_).sum()
    best = lowest(share, sign[:, None] * np.c_[np.ones(N), X], np.ones(N), alpha)
    assert found == pytest.approx(best, rel=1e-6)


def test_quantile_curve_is_of_held_out_pinball_loss(problem) -> None:
    X, y, _ = problem
    model = QuantileRegressorCV(0.7, n_alphas=5, cv=3).fit(X, y)
    held = np.arange(N) < N // 3
    own = QuantileRegressor(0.7, model.alphas_[-1]).fit(X[~held], y[~held])
    error = 2.0 * pinball(y[held] - own.predict(X[held]), 0.7).mean()
    assert model.deviance_path_[-1, 0] == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.5, np.nan])
def test_a_quantile_out_of_range_is_refused(problem, quantile: float) -> None:
    X, y, _ = problem
    with pytest.raises(InputError, match="quantile="):
        QuantileRegressor(quantile).fit(X, y)


def test_newton_cannot_fit_a_hinge(problem) -> None:
    X, y, _ = problem
    with pytest.raises(InputError, match=r"solver=.newton. is not offered for loss=.hinge."):
        LinearSVC(loss="hinge", solver="newton").fit(X, y > 0)


def test_a_quantile_needs_the_loss() -> None:
    document = Document()
    document.set("data.path", "x.csv", "test")
    document.set("data.target", "y", "test")
    document.set("model.quantile", 0.9, "test")
    with pytest.raises(InputError, match=r"quantile: 0\.9 has no meaning with loss: squared"):
        build_config(document)
    document.set("model.loss", "quantile", "test")
    assert build_config(document).model.parameter == {"quantile": 0.9}
