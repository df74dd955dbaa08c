"""The curvature of one column: what corrections make exact, and what they keep."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, ShuffledKFold, make_cells
from distreg.glm.between import Between
from distreg.glm.fit import fit_columns
from distreg.glm.metric import Metric
from distreg.glm.secant import Pair, Secants
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner

N_COMMON, N_RARE, ROWS = 4, 5, 60


def metric_of_rows(Z: np.ndarray, weight: np.ndarray) -> Metric:
    whole = (Z.T * weight) @ Z / len(Z)
    return Metric(whole[:1, :1], whole[:1, 1:], whole[1:, 1:])


def whole_of(model: Between) -> np.ndarray:
    gram = np.array([model.product(unit) for unit in np.eye(model.cross.shape[1])])
    return np.block([[model.corner, model.cross], [model.cross.T, gram]])


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with an intercept, common and rare features (a row each), and weights now and before."""
    rng = np.random.default_rng(seed)
    Z = np.zeros((ROWS, 1 + N_COMMON + N_RARE))
    Z[:, 0] = 1.0
    Z[:, 1 : 1 + N_COMMON] = rng.standard_normal((ROWS, N_COMMON))
    Z[np.arange(N_RARE), 1 + N_COMMON + np.arange(N_RARE)] = rng.uniform(1, 3, N_RARE)
    before = rng.uniform(0.1, 0.25, ROWS)
    now = before.copy()
    now[:N_RARE] *= rng.choice([0.01, 0.2, 5.0], N_RARE)
    return Z, now, before


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_features_with_a_row_each_are_exact(seed: int, share: float) -> None:
    Z, now, before = draw(seed)
    anchor = metric_of_rows(Z, before)
    model = Between(anchor, anchor, share)
    true = metric_of_rows(Z, now)
    bend = np.diagonal(true.gram).copy()
    bend[:N_COMMON] = np.nan
    model.bend(bend, np.ones(bend.size, dtype=bool))
    expected = whole_of(Between(true, true, 0.0))
    np.testing.assert_allclose(whole_of(model), expected, atol=1e-12)
    chosen = np.array([0, 2, N_COMMON, N_COMMON + 3])
    np.testing.assert_allclose(
        model.block(chosen), expected[1:, 1:][np.ix_(chosen, chosen)], atol=1e-8
    )


@pytest.mark.parametrize("seed", range(6))
def test_corrections_keep_the_curvature_semidefinite_and_what_is_straight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = [np.eye(5)[rng.integers(0, 5, ROWS)] for _ in range(2)]
    Z = np.hstack([np.ones((ROWS, 1)), *groups, rng.standard_normal((ROWS, 2))])
    straight = np.zeros((2, Z.shape[1]))
    straight[0, :6] = [1, -1, -1, -1, -1, -1]
    straight[1, 1:11] = np.repeat([1.0, -1.0], 5)
    anchor = metric_of_rows(Z, rng.uniform(0.01, 0.25, ROWS))
    model, p = Between(anchor, anchor, 0.0), Z.shape[1] - 1
    bend = np.diagonal(anchor.gram) * 10.0 ** rng.uniform(-2, 1, p)
    model.bend(bend, rng.random(p) < 0.7)
    true = metric_of_rows(Z, rng.uniform(0.01, 0.25, ROWS))
    for _ in range(3):
        move = rng.standard_normal(1 + p)
        change = whole_of(Between(true, true, 0.0)) @ move
        model.correct([Pair(move, change)])
        np.testing.assert_allclose(model.change_of(move), change, atol=1e-10)
    whole = whole_of(model)
    size = np.abs(whole).max()
    np.testing.assert_allclose(whole, whole.T, atol=1e-12 * size)
    assert np.linalg.eigvalsh(whole).min() > -1e-12 * size
    np.testing.assert_allclose(straight @ whole, 0.0, atol=1e-12 * size)


def test_moves_that_show_nothing_are_not_remembered() -> None:
    secants, one = Secants(), np.ones(2)
    for change in (-one, np.nan * one, 0.0 * one):
        secants.learn(3, Pair(one, change))
    assert secants.of(3) == []
    for k in range(5):
        secants.learn(3, Pair(one, (k + 1.0) * one))
    assert [pair.change[0] for pair in secants.of(3)] == [3.0, 4.0, 5.0]
    secants.forget(np.array([3]))
    assert secants.of(3) == []


def rare_levels(n: int, seed: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Three categories of 60 levels, half of which have a few rows, beside four numbers."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, 61) ** 2.2
    levels = [rng.choice(60, n, p=share / share.sum()) for _ in range(3)]
    numbers = rng.standard_normal((n, 4))
    effects = [rng.standard_normal(60) for _ in range(3)]
    eta = numbers.sum(axis=1) + sum(e[v] for e, v in zip(effects, levels, strict=True)) - 1.0
    hot = [sparse.csr_array((np.ones(n), (np.arange(n), v)), shape=(n, 60)) for v in levels]
    X = sparse.csr_array(sparse.hstack([sparse.csr_array(numbers), *hot]))
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.0])
def test_rare_levels_do_not_cost_passes(l1_ratio: float) -> None:
    X, y = rare_levels(20_000, 0)
    data = from_arrays(X, y, classes=True)
    options = PathOptions(loss="logistic", n_alphas=15, standardize=True, l1_ratios=(l1_ratio,))
    cells = make_cells(ShuffledKFold(4, seed=0), data.n_rows)
    result = cross_validate(data, cells, options, PassRunner(n_threads=2))
    assert result.converged
    assert result.paths[0].relative_violation.max() <= 1e-6
    # 32 and 61 by the curvature of the full data's anchors alone
    assert result.cost.n_passes <= 15


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", ["logistic", "poisson", "squared_hinge", "multinomial"])
def test_the_curvature_along_rare_features_is_that_of_the_rows(
    loss: str, fit_intercept: bool
) -> None:
    X, y = rare_levels(1500, 1)
    rng = np.random.default_rng(2)
    weight = rng.uniform(0.5, 2.0, 1500)
    if loss == "multinomial":
        y = y + (rng.random(1500) < 0.3)
    data = from_arrays(X, y, sample_weight=weight, classes=loss != "poisson")
    cells, runner = make_cells(KFold(3), data.n_rows), PassRunner(n_threads=1)
    options = PathOptions(loss=loss, n_alphas=4, standardize=True, fit_intercept=fit_intercept)
    fitted = fit_columns(data, cells, get_loss(loss), options, runner)
    dense, columns, problem = X.toarray(), fitted.columns, fitted.problem
    assert columns.bend is not None
    fold, known = np.repeat(np.arange(3), 500), 0
    for fit in range(columns.fits.size):
        s = columns.fits.of(fit)[0]
        coef, intercept = columns.raw(fit)
        rows = np.full(1500, True) if s == 0 else fold != s - 1
        bent = curvature(loss, dense[rows] @ coef.T + intercept, y[rows]) * weight[rows, None]
        expected = bent.T @ (dense[rows] ** 2 + problem.sets[s].origin ** 2)
        expected /= problem.sets[s].summary.scale ** 2 * weight[rows].sum()
        at = ~np.isnan(columns.bend[fit])
        np.testing.assert_allclose(columns.bend[fit][at], expected.ravel()[at], rtol=1e-7)
        known += int(at.sum())
    assert known > 0


def curvature(loss: str, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    if loss == "multinomial":
        share = np.exp(eta - eta.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return share * (1.0 - share)
    if loss == "logistic":
        return 1 / ((1 + np.exp(-eta)) * (1 + np.exp(eta)))
    return np.exp(eta) if loss == "poisson" else ((2 * y[:, None] - 1) * eta < 1).astype(float)


def test_rare_levels_within_bounds() -> None:
    X, y = rare_levels(20_000, 0)
    bounds = (0.0, 1.5)
    options = PathOptions(
        loss="logistic",
        n_alphas=8,
        standardize=True,
        lower_bounds=bounds[0],
        upper_bounds=bounds[1],
    )
    cells = make_cells(ShuffledKFold(3, seed=0), 20_000)
    result = cross_validate(
        from_arrays(X, y, classes=True), cells, options, PassRunner(n_threads=2)
    )
    assert result.converged
    assert result.paths[0].coef.min() >= bounds[0]
    assert result.paths[0].coef.max() <= bounds[1]
    assert result.cost.n_passes <= 15


def test_rows_far_out_do_not_break_poisson_steps() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_t(1.2, (6000, 6))
    y = rng.poisson(np.exp(np.clip(X @ np.full(6, 0.05), -3, 3))).astype(float)
    options = PathOptions(loss="poisson", n_alphas=10, standardize=True, alpha_min_ratio=1e-4)
    cells = make_cells(ShuffledKFold(3, seed=0), 6000)
    result = cross_validate(from_arrays(X, y), cells, options, PassRunner(n_threads=1))
    assert result.converged
    assert result.cost.n_passes <= 30


def test_heavy_tails_in_sparse_columns_do_not_shorten_steps() -> None:
    rng = np.random.default_rng(0)
    counts = np.floor(rng.pareto(1.1, (6000, 8))) * (rng.random((6000, 8)) < 0.3)
    eta = np.log1p(counts) @ np.linspace(-1, 1, 8) - 0.2
    y = (rng.random(6000) < 1 / (1 + np.exp(-eta))).astype(float)
    data = from_arrays(sparse.csr_array(counts), y, classes=True)
    options = PathOptions(loss="logistic", n_alphas=15, standardize=True)
    cells = make_cells(ShuffledKFold(4, seed=0), 6000)
    result = cross_validate(data, cells, options, PassRunner(n_threads=1))
    assert result.converged
    assert result.cost.n_passes <= 18


def test_the_unit_of_the_target_does_not_cost_passes() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 100, 3000)
    X = sparse.csr_array((np.ones(3000), (np.arange(3000), level)), shape=(3000, 100))
    y = rng.standard_normal(100)[level] + rng.standard_t(2, 3000)
    found = []
    for unit in (1.0, 1e4):
        options = PathOptions(
            loss="huber", loss_parameter=1.35 * unit, n_alphas=6, standardize=True, max_passes=40
        )
        cells = make_cells(ShuffledKFold(3, seed=0), 3000)
        found.append(
            cross_validate(from_arrays(X, unit * y), cells, options, PassRunner(n_threads=1))
        )
    assert all(result.converged for result in found)
    assert abs(found[0].cost.n_passes - found[1].cost.n_passes) <= 1
