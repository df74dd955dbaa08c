"""HuberRegressor and its CV twin: the same minimum as SciPy and scikit-learn; the loss's parameter
from the keyword to the model on disk."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from sklearn import linear_model
from typer.testing import CliRunner

from distreg import HuberRegressor, HuberRegressorCV, LinearModel, Ridge
from distreg.cli.app import app
from distreg.exceptions import InputError
from distreg.pipeline.config import build_config
from distreg.pipeline.document import Document

N, P = 300, 6


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One row in ten is an outlier, of one sign."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((N, P)) + rng.uniform(-3, 3, P)
    y = X[:, :3] @ [1.0, -2.0, 0.5] + rng.standard_normal(N) + 7.0
    y += (rng.random(N) < 0.1) * rng.exponential(60.0, N)
    return X, y, rng.uniform(0.2, 3.0, N)


def huber(e: np.ndarray, delta: float) -> np.ndarray:
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * (np.abs(e) - delta / 2))


@pytest.fixture(scope="module")
def cross_validated(problem) -> HuberRegressorCV:
    X, y, weight = problem
    return HuberRegressorCV(delta=2.0, l1_ratio=[0.5, 1.0], n_alphas=10, cv=4).fit(X, y, weight)


@pytest.mark.parametrize("delta", [0.2, 2.0, 500.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_minimum_is_that_of_scipy(problem, delta: float, weighted: bool) -> None:
    X, y, weight = problem
    s = weight if weighted else np.ones(N)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        e = y - at[0] - X @ at[1:]
        slope = -s * np.clip(e, -delta, delta) / s.sum()
        value = s @ huber(e, delta) / s.sum() + 0.025 * at[1:] @ at[1:]
        return value, np.r_[slope.sum(), slope @ X + 0.05 * at[1:]]

    start = np.r_[np.median(y), np.zeros(P)]
    best = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-10})
    model = HuberRegressor(0.05, delta=delta).fit(X, y, sample_weight=weight if weighted else None)
    found = np.r_[model.intercept_, model.coef_]
    assert objective(found)[0] <= best.fun * (1 + 1e-10)
    assert model.status_ == "converged"
    np.testing.assert_allclose(found, best.x, atol=1e-4)
    assert model.model_.info["objective"] == pytest.approx(objective(found)[0], rel=1e-12)


def test_scikit_learns_answer_is_the_one_at_its_sigma(problem) -> None:
    X, y, _ = problem
    theirs = linear_model.HuberRegressor(epsilon=1.5, alpha=3.0, tol=1e-10, max_iter=10_000)
    theirs.fit(X, y)
    alpha, delta = 3.0 * theirs.scale_ / N, 1.5 * theirs.scale_
    ours = HuberRegressor(alpha, delta=delta).fit(X, y)
    # its L-BFGS stops some 1e-5 away
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-3)


def test_a_large_delta_is_the_squared_loss_in_any_units(problem) -> None:
    X, y, _ = problem
    expected = Ridge(0.1).fit(X, y)
    for unit in (1e-6, 1.0, 1e6):
        found = HuberRegressor(0.1, delta=1e9 * unit).fit(X, y * unit)
        np.testing.assert_allclose(found.coef_, expected.coef_ * unit, rtol=1e-6)


def test_outliers_pull_less_than_on_least_squares(problem) -> None:
    X, y, _ = problem
    truth = np.r_[1.0, -2.0, 0.5, np.zeros(P - 3)]
    robust = np.abs(HuberRegressor(1e-3).fit(X, y).coef_ - truth).max()
    assert 3.0 * robust < np.abs(Ridge(1e-3).fit(X, y).coef_ - truth).max()


def test_lasso_path_and_choice(problem, cross_validated: HuberRegressorCV) -> None:
    X, y, weight = problem
    model = cross_validated
    assert model.status_ == "converged"
    assert model.deviance_path_.shape == (2, 10, 4)
    assert not model.coef_path_[1, 0].any()
    again = HuberRegressor(model.alpha_, delta=2.0, l1_ratio=model.l1_ratio_).fit(X, y, weight)
    np.testing.assert_allclose(again.coef_, model.coef_, atol=1e-5)
    held = np.arange(N) < N // 4
    out = HuberRegressor(model.alpha_, delta=2.0, l1_ratio=model.l1_ratio_)
    out.fit(X[~held], y[~held], weight[~held])
    error = 2 * np.average(huber(y[held] - out.predict(X[held]), 2.0), weights=weight[held])
    at = model.alphas_[int(model.l1_ratio_ == 1.0)] == model.alpha_
    path = model.deviance_path_[int(model.l1_ratio_ == 1.0)]
    assert path[at, 0].item() == pytest.approx(error, rel=1e-4)


def test_dask_gives_the_same(problem) -> None:
    X, y, _ = problem
    one = HuberRegressor(0.1).fit(X, y)
    lazy = da.from_array(X, chunks=(70, -1))
    other = HuberRegressor(0.1).fit(lazy, da.from_array(y, chunks=70))
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-6)
    assert other.score(lazy, y) == pytest.approx(one.score(X, y), rel=1e-6)


def test_a_constant_target_is_its_own_model(problem) -> None:
    X, _, _ = problem
    model = HuberRegressorCV(n_alphas=3, l1_ratio=1.0).fit(X, np.full(N, 0.1))
    assert not model.coef_.any()
    assert model.intercept_ == pytest.approx(0.1)
    assert model.status_ == "converged"


def test_a_constant_target_of_more_rows_than_the_sample() -> None:
    """The null objective, which gaps are told in units of, is 0."""
    X = np.random.default_rng(0).standard_normal((20_000, 3))
    model = HuberRegressor(alpha=0.01, l1_ratio=1.0).fit(X, np.ones(20_000))
    assert not model.coef_.any()
    assert model.n_passes_ <= 5


@pytest.mark.parametrize("delta", [0.0, -1.0, np.inf, np.nan, "1"])
def test_a_delta_out_of_range_is_refused(problem, delta) -> None:
    X, y, _ = problem
    with pytest.raises((InputError, TypeError), match="delta="):
        HuberRegressor(delta=delta).fit(X, y)


def test_the_model_keeps_its_delta(problem, tmp_path: Path, cross_validated) -> None:
    X, _, _ = problem
    cross_validated.model_.save(tmp_path / "model")
    loaded = LinearModel.load(tmp_path / "model")
    assert loaded.loss == "huber"
    assert loaded.loss_parameter == 2.0
    np.testing.assert_array_equal(loaded.predict(X), cross_validated.predict(X))
    with pytest.raises(InputError, match="delta=-2"):
        LinearModel(np.zeros(1), 0.0, ("x",), loss="huber", loss_parameter=-2.0)


def test_from_the_command_line(problem, tmp_path: Path) -> None:
    X, y, _ = problem
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(P)]).assign(y=y)
    table.to_csv(tmp_path / "data.csv", index=False)
    arguments = [
        *("fit", str(tmp_path / "data.csv"), "--target", "y", "--loss", "huber", "--delta", "2"),
        *("--penalty", "l1", "--cv", "3", "--test", "0.2", "--output", str(tmp_path / "out")),
        *("--tracking-uri", "none", "--set", "model.n_alphas=8", "--set", "output.figures=false"),
    ]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "huber loss (delta 2)" in found.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["loss_parameter"] == 2.0
    scores = report["penalties"][0]["test"]
    assert {"huber", "mae", "mse", "rmse"} <= set(scores)
    assert scores["mae"] < scores["rmse"]
    assert LinearModel.load(tmp_path / "out" / "model").loss_parameter == 2.0


def test_a_delta_needs_the_loss() -> None:
    document = Document()
    document.set("data.path", "x.csv", "test")
    document.set("data.target", "y", "test")
    document.set("model.delta", 2.0, "test")
    with pytest.raises(InputError, match=r"delta: 2\.0 has no meaning with loss: squared"):
        build_config(document)
