"""Bounds on coefficients: beside scipy and scikit-learn, certified apart, refused by name."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import lsq_linear, minimize
from sklearn import linear_model as sk
from typer.testing import CliRunner

import distreg
from distreg.cli.app import app
from distreg.exceptions import ConfigError, InputError
from distreg.penalties import Box, conjugate, distance
from distreg.pipeline.config import load_config
from distreg.pipeline.run import run_pipeline
from tests import glmoracle

L = np.longdouble
N, P = 150, 8
BOXES = {
    "positive": (0.0, np.inf),
    "both": (-0.3, 0.2),
    "own": (np.array([-1.0, 0, -np.inf, -0.1, 0, -0.2, -9, -0.3]),
            np.array([0.1, np.inf, 0, 0.3, 0, 0.2, 9, np.inf])),
}  # fmt: skip
RATIOS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, P)) @ (np.eye(P) + 0.4 * rng.normal(size=(P, P)))
    X = X * np.geomspace(0.3, 3, P) + rng.normal(size=P)
    y = X @ rng.normal(size=P) * 0.5 + rng.normal(size=N)
    return X, y, rng.integers(0, 4, N).astype(float)


def ends(box: str) -> tuple[np.ndarray, np.ndarray]:
    low, high = BOXES[box]
    return np.broadcast_to(low, P).astype(float), np.broadcast_to(high, P).astype(float)


def gap_of(X: Any, y: Any, s: Any, size: Any, coef: Any, alpha: float, ratio: float, box: str) -> L:
    """Duality gap in extended precision, its conjugate by the best of all candidate points."""
    X, y, s, coef = (np.asarray(a, L) for a in (X, y, s, coef))
    s = s / s.sum()
    X, y = X - s @ X, y - s @ y
    lasso, ridge = alpha * ratio * size, alpha * (1 - ratio) * size**2
    low, high = ends(box)
    r = y - X @ coef
    primal = s @ r**2 / 2 + (lasso * abs(coef) + ridge * coef**2 / 2).sum()
    best = -L(np.inf)
    factors = np.concatenate([[1.0], np.geomspace(0.5, 1, 30), 1 - np.geomspace(1e-16, 1e-3, 40)])
    for c in factors:
        g, total = c * (X.T @ (s * r)), L(0)
        for j in range(P):
            slope_up, slope_down = g[j] - lasso[j], -g[j] - lasso[j]
            for slope, end in ((slope_up, high[j]), (slope_down, -low[j])):
                if slope <= 0 or end == 0:
                    continue
                if ridge[j] == 0 and np.isinf(end):
                    total = L(np.inf)
                    break
                t = min(slope / ridge[j], L(end)) if ridge[j] > 0 else L(end)
                total += slope * t - ridge[j] * t**2 / 2
        best = max(best, s @ (c * r * y - (c * r) ** 2 / 2) - total)
    return primal - best


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("standardize", [False, True])
def test_squared_loss_is_certified_by_another_dual(
    data: tuple[np.ndarray, ...], box: str, ratio: float, standardize: bool
) -> None:
    X, y, s = data
    low, high = ends(box)
    model = distreg.ElasticNet(
        0.02, l1_ratio=ratio, standardize=standardize, lower_bounds=low, upper_bounds=high
    ).fit(X, y, s)
    assert np.all((model.coef_ >= low) & (model.coef_ <= high))
    assert np.any((model.coef_ == low) & (low != 0)) or box == "positive"
    assert np.any(model.coef_ != 0)
    size = np.sqrt(s @ (X - s @ X / s.sum()) ** 2 / s.sum()) if standardize else np.ones(P)
    null = s @ (y - s @ y / s.sum()) ** 2 / s.sum() / 2
    assert abs(gap_of(X, y, s, size, model.coef_, 0.02, ratio, box)) <= 1e-12 * null
    assert 0 <= model.dual_gap_ <= 1e-12 * null
    assert model.kkt_violation_ <= 1e-12
    sparse = distreg.ElasticNet(
        0.02, l1_ratio=ratio, standardize=standardize, lower_bounds=low, upper_bounds=high
    ).fit(sp.csr_array(X), y, s)
    np.testing.assert_allclose(sparse.coef_, model.coef_, rtol=1e-9, atol=1e-11)


def test_beside_scipy(data: tuple[np.ndarray, ...]) -> None:
    X, y, _ = data
    low, high = ends("both")
    model = distreg.Ridge(0.1, lower_bounds=-0.3, upper_bounds=0.2).fit(X, y)
    A = np.vstack([(X - X.mean(axis=0)) / np.sqrt(N), np.sqrt(0.1) * np.eye(P)])
    b = np.concatenate([(y - y.mean()) / np.sqrt(N), np.zeros(P)])
    other = lsq_linear(A, b, (low, high), tol=1e-14)
    assert 0.5 * np.sum((A @ model.coef_ - b) ** 2) <= other.cost * (1 + 1e-12)
    np.testing.assert_allclose(model.coef_, other.x, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_positive_is_that_of_scikit_learn(data: tuple[np.ndarray, ...], alpha: float) -> None:
    X, y, _ = data
    exact: dict[str, Any] = {"positive": True, "tol": 1e-13, "max_iter": 100_000}
    pairs = [
        (distreg.Lasso(alpha, positive=True), sk.Lasso(alpha, **exact)),
        (distreg.ElasticNet(alpha, positive=True), sk.ElasticNet(alpha, **exact)),
        (distreg.Ridge(alpha, positive=True), sk.Ridge(alpha * N, **exact)),
    ]
    for ours, other in pairs:
        ours.fit(X, y)
        other.fit(X, y)
        assert (ours.coef_ == 0).any()
        np.testing.assert_allclose(ours.coef_, other.coef_, atol=2e-6)
        assert ours.intercept_ == pytest.approx(other.intercept_, abs=1e-5)


def test_wide_bounds_change_nothing(data: tuple[np.ndarray, ...]) -> None:
    X, y, s = data
    grid: dict[str, Any] = {"l1_ratio": [0.0, 0.4, 1.0], "n_alphas": 12, "cv": 3}
    free = distreg.ElasticNetCV(**grid).fit(X, y, s)
    wide = distreg.ElasticNetCV(lower_bounds=-1e3, upper_bounds=1e3, **grid).fit(X, y, s)
    none = distreg.ElasticNetCV(lower_bounds=-np.inf, **grid).fit(X, y, s)
    np.testing.assert_array_equal(none.coef_path_, free.coef_path_)
    np.testing.assert_array_equal(wide.alphas_, free.alphas_)
    np.testing.assert_allclose(wide.coef_path_, free.coef_path_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(wide.mse_path_, free.mse_path_, rtol=1e-9)


def test_cross_validation_is_that_of_single_fits(data: tuple[np.ndarray, ...]) -> None:
    X, y, _ = data
    folds = np.arange(N) % 3
    found = distreg.LassoCV(positive=True, n_alphas=8, cv=folds, standardize=True).fit(X, y)
    assert found.status_ == "converged"
    assert found.n_passes_ == 1
    sd = X.std(axis=0)
    grad = (X - X.mean(axis=0)).T @ (y - y.mean()) / N / sd
    assert found.alphas_[0] == pytest.approx(grad.max())
    for i, alpha in enumerate(found.alphas_):
        one = distreg.Lasso(alpha, positive=True, standardize=True).fit(
            X[folds != 0], y[folds != 0]
        )
        error = np.mean((y - one.predict(X))[folds == 0] ** 2)
        assert found.mse_path_[i, 0] == pytest.approx(error, rel=1e-9)


def test_dependent_features_end_in_the_box() -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(40, 30)) @ rng.normal(size=(30, 60))
    y = X[:, :5].sum(axis=1) + rng.normal(size=40)
    model = distreg.LassoCV(lower_bounds=-0.05, upper_bounds=0.4, n_alphas=30, cv=3).fit(X, y)
    assert model.status_ == "converged"
    assert model.coef_path_.min() == -0.05
    assert model.coef_path_.max() == 0.4
    assert model.cv_results_["dual_gap"].max() <= 1e-9 * y.var()


GLMS: dict[str, Any] = {
    "logistic": distreg.LogisticRegression,
    "poisson": distreg.PoissonRegressor,
    "squared_hinge": distreg.LinearSVC,
    "multinomial": distreg.LogisticRegression,
}


@pytest.mark.parametrize("loss", GLMS)
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_other_losses_beside_scipy(data: tuple[np.ndarray, ...], loss: str, ratio: float) -> None:
    X, y, s = data
    target = {
        "poisson": np.floor(np.exp(0.4 * y)).clip(0, 20),
        "multinomial": np.digitize(y, np.quantile(y, [0.3, 0.7])).astype(float),
    }.get(loss, (y > y.mean()).astype(float))
    low, high = -0.1, 0.15
    model = GLMS[loss](0.01, l1_ratio=ratio, lower_bounds=low, upper_bounds=high)
    model.fit(X, target, s)
    coef = model.coef_
    assert coef.min() == low
    assert coef.max() == high
    glm = glmoracle.make(loss, X, target, s)
    C = glm.n_classes
    weight = s / s.sum()

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        up, down, b = x[: C * P], x[C * P : 2 * C * P], x[2 * C * P :]
        w = (up - down).reshape(C, P)
        eta = glmoracle.eta_of(glm, w if C > 1 else w[0], b if C > 1 else b[0])
        slope = (weight * glmoracle.slope(glm, eta).T).reshape(C, N)
        grad = (slope @ X).ravel()
        value = weight @ glmoracle.value(glm, eta) + 0.01 * (
            ratio * (up + down).sum() + (1 - ratio) / 2 * (w**2).sum()
        )
        grad = grad + 0.01 * (1 - ratio) * w.ravel()
        pieces = [grad + 0.01 * ratio, -grad + 0.01 * ratio, slope.sum(axis=1)]
        return float(value), np.concatenate(pieces).astype(float)

    limits = [(0, high)] * (C * P) + [(0, -low)] * (C * P) + [(None, None)] * C
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10}
    other = minimize(objective, np.zeros(len(limits)), jac=True, bounds=limits,
                     method="L-BFGS-B", options=options)  # fmt: skip
    ours, _ = objective(
        np.concatenate(
            [coef.clip(0).ravel(), (-coef).clip(0).ravel(), np.atleast_1d(model.intercept_)]
        )
    )
    assert ours == pytest.approx(other.fun, rel=1e-8)
    # the certificate is an upper bound on what is left
    assert ours - other.fun <= model.dual_gap_ + 1e-12
    assert model.status_ == "converged"


def test_other_losses_cross_validated(data: tuple[np.ndarray, ...]) -> None:
    X, y, _ = data
    target = (y > y.mean()).astype(int)
    model = distreg.LogisticRegressionCV(l1_ratio=[0.3, 1.0], positive=True, n_alphas=10, cv=3)
    model.fit(X, target)
    assert model.status_ == "converged"
    assert model.coef_path_.min() == 0
    residual = target - target.mean()
    grad = (X - X.mean(axis=0)).T @ residual / N
    assert model.alphas_[1, 0] == pytest.approx(grad.max())


def test_conjugate_and_distance_by_their_definitions() -> None:
    rng = np.random.default_rng(0)
    lower, upper = np.array([-0.5, 0.0, -2.0, -1.0]), np.array([0.7, 1.5, 0.0, 1.0])
    lasso, ridge = np.array([0.3, 0.2, 0.0, 0.4]), np.array([0.5, 0.0, 0.1, 0.0])
    grid = np.linspace(0, 1, 20_001)[:, None] * (upper - lower) + lower
    for _ in range(20):
        grad = rng.normal(size=4) * 2
        values = grad * grid - lasso * abs(grid) - ridge * grid**2 / 2
        found = float(conjugate(grad, lasso, ridge, Box(lower, upper)))
        assert found == pytest.approx(values.max(axis=0).sum(), abs=1e-4)
        # the subdifferential holds the gradients for which the value at `at` is the largest
        at = np.array([0.7, 0.0, -2.0, 0.5])
        far = distance(at, grad, lasso, ridge, Box(lower, upper))
        best = grad * at - lasso * abs(at) - ridge * at**2 / 2 >= values.max(axis=0) - 1e-12
        np.testing.assert_array_equal(far == 0, best)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"lower_bounds": 0.1}, ["lower_bounds", "0.1", "above 0"]),
        ({"upper_bounds": -1}, ["upper_bounds", "-1", "below 0"]),
        ({"positive": True, "upper_bounds": -1}, ["upper_bounds", "below 0"]),
        ({"lower_bounds": [0.0, -1.0]}, ["lower_bounds", "(2,)", "8 features"]),
        ({"upper_bounds": np.nan}, ["upper_bounds", "nan", "NaN"]),
        ({"upper_bounds": "1"}, ["upper_bounds", "'1'", "number"]),
        ({"positive": 1}, ["positive", "True or False"]),
        ({"positive": True, "lower_bounds": -1}, ["positive", "lower_bounds", "one of"]),
        ({"positive": True, "alpha": 0}, ["alpha=0", "bounds"]),
        ({"upper_bounds": 1, "penalty_factor": [1, 0, 1, 1, 1, 1, 1, 1]},
         ["feature 1", "penalty_factor 0"]),
    ],
)  # fmt: skip
def test_bad_bounds_are_named(
    data: tuple[np.ndarray, ...], keywords: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        distreg.Lasso(**{"alpha": 0.1, **keywords}).fit(data[0], data[1])
    for word in words:
        assert word in str(caught.value)


def write(folder: Path, data: tuple[np.ndarray, ...], model: str) -> Path:
    X, y, _ = data
    head = ",".join([*(f"x{j}" for j in range(P)), "y"])
    np.savetxt(folder / "d.csv", np.column_stack([X, y]), delimiter=",", header=head, comments="")
    path = folder / "p.yaml"
    path.write_text(
        f"data: {{path: d.csv, target: y}}\nmodel: {{penalties: l1, n_alphas: 6, cv: 3, {model}}}\n"
        f"output: {{dir: {folder}/out, figures: false}}\ntracking: {{enabled: false}}\n"
    )
    return path


def test_pipelines(tmp_path: Path, data: tuple[np.ndarray, ...]) -> None:
    bounds = "lower_bounds: {x1: 0, x3: -0.1}, upper_bounds: 0.2, standardize: true"
    outcome = run_pipeline(load_config(write(tmp_path, data, bounds)))
    expected = "x1 >= 0, x3 >= -0.1, all coefficients <= 0.2"
    assert outcome.report["constraints"] == expected
    low = np.full(P, -np.inf)
    low[1], low[3] = 0.0, -0.1
    other = distreg.LassoCV(
        lower_bounds=low, upper_bounds=0.2, standardize=True, n_alphas=6, cv=3
    ).fit(data[0], data[1])
    best = outcome.report["penalties"][0]
    at = int(np.argmin(abs(other.alphas_ - best["alpha"])))
    assert best["alpha"] == pytest.approx(other.alphas_[at])
    assert best["n_nonzero"] == np.count_nonzero(other.coef_path_[0, at])


def test_command_line(tmp_path: Path, data: tuple[np.ndarray, ...]) -> None:
    write(tmp_path, data, "n_alphas: 6")
    flags = ["--positive", "--penalty", "l1", "--cv", "3", "--output", str(tmp_path / "cli"),
             "--tracking-uri", "none", "--set", "output.figures=false", "--json", "--quiet",
             "--set", "model.upper_bounds={x3: 0.05}"]  # fmt: skip
    found = CliRunner().invoke(app, ["fit", str(tmp_path / "d.csv"), "--target", "y", *flags])
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["constraints"] == "all coefficients >= 0, x3 <= 0.05"
    table = (tmp_path / "cli" / "coefficients.csv").read_text().splitlines()
    rows = {cells[0]: cells[1:] for cells in csv.reader(table[1:])}
    numbers = [float(cell) for j in range(P) for cell in rows[f"x{j}"]]
    assert min(numbers) >= 0.0
    assert max(numbers) > 0.0


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("lower_bounds: {q: -1}", ["model.lower_bounds", "'q'"]),
        ("lower_bounds: 0.5", ["lower_bounds"]),
        ("upper_bounds: {x1: -2}", ["upper_bounds"]),
        ("positive: true, lower_bounds: 0", ["positive", "one of"]),
    ],
)
def test_pipelines_name_bad_bounds(
    tmp_path: Path, data: tuple[np.ndarray, ...], model: str, words: list[str]
) -> None:
    with pytest.raises((ConfigError, InputError)) as caught:
        run_pipeline(load_config(write(tmp_path, data, model)))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"), [("relax", {"relax": True}), ("adaptive", {"adaptive": 1.0})]
)
def test_relatives_refuse_bounds_by_name(data: Any, name: str, options: dict[str, Any]) -> None:
    X, y, _ = data
    with pytest.raises(InputError, match=f"{name} does not know bounds"):
        distreg.LassoCV(positive=True, **options).fit(X, y)
