"""Working sets of features: the same certified answers as with curvature of all features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.exceptions import ConvergenceWarning, InputError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

N, P = 240, 80


def draw(loss: str, seed: int, is_sparse: bool) -> tuple[Any, np.ndarray]:
    """Eight of the features matter."""
    rng = np.random.default_rng(seed)
    X: Any = rng.standard_normal((N, P))
    if is_sparse:
        X *= rng.random((N, P)) < 0.2
    coef = np.zeros((P, 3))
    coef[rng.choice(P, 8, replace=False)] = rng.standard_normal((8, 3))
    eta = X @ coef
    eta /= eta.std()
    if loss == "multinomial":
        y = (2 * eta + rng.gumbel(size=eta.shape)).argmax(axis=1).astype(float)
    elif loss == "poisson":
        y = rng.poisson(np.exp(eta[:, 0] - 0.5)).astype(float)
    else:
        y = (rng.random(N) < 1 / (1 + np.exp(-2 * eta[:, 0]))).astype(float)
    return sparse.csr_array(X) if is_sparse else X, y


def fit(loss: str, X: Any, y: np.ndarray, **options: Any) -> CVResult:
    data = from_arrays(X, y, classes=loss != "poisson")
    cells = make_cells(KFold(3), data.n_rows)
    defaults = {"n_alphas": 12, "alpha_min_ratio": 0.3, "standardize": True}
    defaults |= {"l1_ratios": (1.0, 0.5)}
    return cross_validate(
        data, cells, PathOptions(loss=loss, **{**defaults, **options}), PassRunner(n_threads=2)
    )


def limit(monkeypatch: pytest.MonkeyPatch, n_features: int, n_classes: int) -> None:
    """Let memory hold the curvature of some features: 2 paths of 3 anchors, 3 cells."""
    width = n_features * n_classes
    monkeypatch.setattr("distreg.glm.anchors.FEATURE_BYTES", 8 * 2 * 3 * 3 * width**2)


@pytest.mark.parametrize("sample_rows", [20, 10_000])
@pytest.mark.parametrize(
    ("loss", "is_sparse"),
    [("logistic", False), ("poisson", True), ("multinomial", False), ("squared_hinge", True)],
)
def test_answers_equal_those_with_all_features(
    loss: str, is_sparse: bool, sample_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = draw(loss, 1, is_sparse)
    whole = fit(loss, X, y)
    limit(monkeypatch, 45, 3 if loss == "multinomial" else 1)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: sample_rows)
    result = fit(loss, X, y)
    assert result.converged
    # a sample of all rows is solved in memory
    assert result.cost.n_passes <= (4 if sample_rows > N else 26)
    for one, other in zip(whole.paths, result.paths, strict=True):
        apart = np.abs(one.objective - other.objective) / one.null_objective
        assert apart.max() <= 1e-6
        assert other.relative_violation.max() <= 1e-6
    assert result.fold_kkt_violation.max() <= 1e-6
    np.testing.assert_allclose(whole.cv_mean, result.cv_mean, rtol=1e-4)


def test_a_path_that_grows_too_dense_keeps_what_is_certified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = draw("logistic", 2, False)
    whole = fit("logistic", X, y, alpha_min_ratio=0.01)
    limit(monkeypatch, 45, 1)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 20)
    with pytest.warns(ConvergenceWarning, match="larger alpha_min_ratio"):
        result = fit("logistic", X, y, alpha_min_ratio=0.01)
    assert not result.converged
    path, known = result.paths[0], whole.paths[0]
    done = path.relative_gap <= 1e-6
    assert done[:3].all()
    assert not done[-1]
    np.testing.assert_allclose(path.objective[done], known.objective[done], rtol=1e-5)
    assert np.isfinite(path.coef).all()
    assert np.isfinite(result.cv_mean).all()


def test_unpenalised_features_and_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = draw("poisson", 3, False)
    factor = np.r_[0.0, 0.0, np.ones(P - 2)]
    whole = fit("poisson", X, y, penalty_factor=factor)
    limit(monkeypatch, 45, 1)
    result = fit("poisson", X, y, penalty_factor=factor)
    assert result.converged
    for one, other in zip(whole.paths, result.paths, strict=True):
        np.testing.assert_allclose(one.objective, other.objective, rtol=1e-6)
    limit(monkeypatch, 1, 1)
    with pytest.raises(InputError, match="2 features are not penalised"):
        fit("poisson", X, y, penalty_factor=factor)


def test_a_pure_l2_penalty_needs_all_features(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = draw("logistic", 4, False)
    limit(monkeypatch, 45, 1)
    assert fit("logistic", X, y, l1_ratios=(0.0,), alpha_min_ratio=1e-3).converged
    monkeypatch.setattr("distreg.glm.working.RIDGE_BYTES", 8 * 5 * 40**2)
    with pytest.raises(InputError, match="at most 40 features"):
        fit("logistic", X, y, l1_ratios=(0.0,))


@pytest.mark.parametrize("loss", ["logistic", "poisson", "squared_hinge", "multinomial", "huber"])
@pytest.mark.parametrize("folds", [0, 3])
def test_curvature_is_taken_of_the_features_that_may_matter(
    loss: str, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although memory would hold that of all; answers and degrees of freedom are the same."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((4000, 60))
    eta = X[:, :4] @ np.array([1.0, -1.0, 0.7, 0.5])
    y = {
        "poisson": rng.poisson(np.exp(0.5 * eta)),
        "multinomial": (eta + rng.gumbel(size=4000) > 0).astype(int) + (X[:, 4] > 1),
        "huber": eta + rng.standard_t(3, 4000),
    }.get(loss, rng.random(4000) < 1 / (1 + np.exp(-eta)))
    seen: list[int] = []
    import distreg.glm.lockstep as module

    request_of = module.request_of

    def spied(problem, sets, coef, intercept, anchors, features, *args):
        if anchors.size and problem.cell_weight.sum() > 3999:
            seen.append(features.size)
        return request_of(problem, sets, coef, intercept, anchors, features, *args)

    def solved() -> CVResult:
        data = from_arrays(X, y, classes=loss not in ("poisson", "huber"))
        cells = make_cells(KFold(folds) if folds else None, data.n_rows)
        options = PathOptions(
            loss=loss, l1_ratios=(1.0, 0.5), n_alphas=6, alpha_min_ratio=0.2, standardize=True
        )
        return cross_validate(data, cells, options, PassRunner(n_threads=2))

    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 600)
    monkeypatch.setattr(module, "request_of", spied)
    result = solved()
    assert min(seen) <= 30
    seen.clear()
    monkeypatch.setattr("distreg.glm.working.FEW_FEATURES", 0.0)
    whole = solved()
    assert set(seen) == {60}
    for one, other in zip(whole.paths, result.paths, strict=True):
        assert np.abs(one.objective - other.objective).max() <= 1e-6 * one.null_objective
        assert other.relative_violation.max() <= 1e-6
        assert one.criteria is not None
        assert other.criteria is not None
        np.testing.assert_allclose(one.criteria.df, other.criteria.df, rtol=1e-2)
    if folds:
        np.testing.assert_allclose(whole.cv_mean, result.cv_mean, rtol=1e-4)


@pytest.mark.parametrize(("tol", "most"), [(1e-1, None), (1e-2, None), (1e-6, 1)])
def test_all_training_sets_are_looked_at_when_features_are_chosen(
    tol: float, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that wait for double precision, and those whose metrics memory has no room for."""
    if most is not None:
        monkeypatch.setattr("distreg.glm.anchors.METRIC_BYTES", most)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12_000, 30))
    eta = X[:, :5] @ rng.standard_normal((5, 3))
    y = (eta + rng.gumbel(size=(12_000, 3))).argmax(axis=1).astype(float)
    data = from_arrays(X, y, classes=True)
    options = PathOptions(
        loss="multinomial", l1_ratios=(0.5,), n_alphas=15, standardize=True, tol=tol
    )
    runner = PassRunner(n_threads=2)
    assert cross_validate(data, make_cells(KFold(4), 12_000), options, runner).converged


def test_degrees_of_freedom_are_unknown_where_the_curvature_is() -> None:
    """Never those of other features."""
    from distreg.glm.criteria import column_df

    X, y = draw("logistic", 4, False)
    problem_of: list[Any] = []
    import distreg.glm.fit as module

    with pytest.MonkeyPatch.context() as patch:
        solve = module.solve

        def spied(problem, nulls, options, where, n_passes):
            problem_of.append(solve(problem, nulls, options, where, n_passes))
            return problem_of[-1]

        patch.setattr(module, "solve", spied)
        patch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 100)
        fit("logistic", X, y, l1_ratios=(0.9,))
    columns, known, _ = problem_of[0]
    fits = np.arange(columns.fits.shape[2])
    assert known.features.size < P
    members = columns.coef[fits] != 0.0
    assert np.isfinite(column_df(columns, known, fits, members, 1)).all()
    members[-1, np.setdiff1d(np.arange(P), known.features)[0]] = True
    assert np.isnan(column_df(columns, known, fits, members, 1)[-1])
