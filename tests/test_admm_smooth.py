"""Smooth losses by rounds: the answers, certificates and curves of the other solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import Case, correlated, dataset, fit
from scipy import sparse

from distreg.admm import crossval
from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import make_cells
from distreg.data.schemes import KFold
from distreg.data.testsplit import TestSplit
from distreg.exceptions import InputError
from distreg.options import SOLVERS, PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

SMOOTH = ("squared", "logistic", "poisson", "squared_hinge", "huber")
RATIOS = (1.0, 0.5, 0.0)


def target(loss: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts up to some hundreds, classes, or numbers with heavy tails."""
    if loss == "poisson":
        return rng.poisson(np.exp(np.clip(1.5 * eta + 1.5, -20, 6))).astype(float)
    if loss in ("logistic", "squared_hinge"):
        return (eta + rng.logistic(size=eta.size) > 0.3).astype(float)
    return 5.0 * (eta + 0.5 * rng.standard_t(2.5, eta.size) + 3.0)


def case(loss: str, kind: str, n: int = 300, p: int = 7) -> Case:
    rng = np.random.default_rng(4)
    Z = correlated(rng, n, p, 0.5)
    X: Any = Z * 10.0 ** rng.uniform(-0.7, 0.7, p) + rng.uniform(-1, 1, p)
    y = target(loss, Z[:, :2] @ [1.0, -0.7], rng)
    weight = None
    options: dict[str, Any] = {}
    if kind == "weights, folds":
        weight = rng.uniform(0.2, 3.0, n) * (rng.random(n) > 0.1)
        options = {"standardize": True}
    elif kind == "bounds":
        options = {"lower_bounds": -0.05, "upper_bounds": np.full(p, 0.3)}
    elif kind == "unpenalised":
        options = {"penalty_factor": np.array([1.0, 1.0, 0.0, 2.0, 1.0, 0.5, 1.0])}
    elif kind == "no intercept":
        X, options = Z, {"fit_intercept": False}
        # with all rows far beyond delta the Huber loss is one with a kink, and as slow
        y = y - 15.0 if loss in ("squared", "huber") else y
    elif kind == "sparse":
        hot = sparse.random_array((n, 5), density=0.2, rng=rng, format="csr")
        X, options = (X[:, :4], hot), {"standardize": True}
    return Case(f"{loss}, {kind}", X, y, weight, options)


def both(
    at: Case, scheme: Any = None, solver: str = "admm", **options: Any
) -> tuple[CVResult, CVResult]:
    """By the usual solver, and by rounds."""
    given = {"loss": at.name.split(",")[0], "n_alphas": 6, "alpha_min_ratio": 1e-3, **options}
    usual = fit(at, scheme, cuts=(60, 190), **given)
    return usual, fit(at, scheme, cuts=(60, 190), solver=solver, **given)


def same(usual: CVResult, found: CVResult) -> None:
    """Certified answers, of which none is better than the other's certificate says."""
    assert usual.converged
    assert found.converged
    for one, other in zip(usual.paths, found.paths, strict=True):
        np.testing.assert_allclose(other.alphas, one.alphas, rtol=1e-7)
        assert other.null_objective == pytest.approx(one.null_objective, rel=1e-6)
        difference = (other.objective - one.objective) / one.null_objective
        assert np.abs(difference).max() <= 1e-6
        assert np.all(other.dual_gap >= other.objective - one.objective - 1e-12)


KINDS = ("plain", "weights, folds", "bounds", "unpenalised", "no intercept", "sparse")


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("solver", "alpha_min_ratio", "most"), [("admm", 1e-3, 150), ("consensus", 1e-2, 200)]
)
def test_the_answers_of_the_usual_solver(
    loss: str, kind: str, solver: str, alpha_min_ratio: float, most: int
) -> None:
    """Objectives within the tolerance, certified; by consensus with three parts."""
    scheme = KFold(3) if kind == "weights, folds" else None
    rule = {"l1_ratios": RATIOS, "alpha_min_ratio": alpha_min_ratio}
    usual, found = both(case(loss, kind), scheme, solver, **rule)
    same(usual, found)
    if kind == "bounds":
        coef = np.concatenate([path.coef for path in found.paths])
        assert coef.min() == -0.05
        assert coef.max() <= 0.3
    if scheme is not None:
        assert np.nanmax(found.fold_dual_gap) <= 1e-6
        np.testing.assert_allclose(found.cv_mean, usual.cv_mean, rtol=2e-3)
    assert found.cost.n_passes < most


@pytest.mark.parametrize("loss", SMOOTH)
def test_the_same_result_face(loss: str) -> None:
    """Curve, test scores, criteria and what is known of the data, to the tolerance."""
    at = case(loss, "weights, folds")
    options: dict[str, Any] = {"l1_ratios": (1.0, 0.0), "tol": 1e-9, "n_alphas": 5}
    options |= {"test": TestSplit(0.2, 3)}
    usual, found = both(at, KFold(4), **options)
    assert found.converged
    np.testing.assert_allclose(found.cv_mean, usual.cv_mean, rtol=1e-4)
    np.testing.assert_allclose(found.cv_se, usual.cv_se, rtol=1e-3)
    assert found.null_deviance == pytest.approx(usual.null_deviance, rel=1e-7)
    assert set(found.test) == set(usual.test)
    for name, score in usual.test.items():
        np.testing.assert_allclose(found.test[name], score, rtol=2e-3, atol=1e-4)
    for name in ("n_samples", "n_test", "weight_sum", "loss", "loss_parameter"):
        assert getattr(found, name) == getattr(usual, name)
    for name in ("feature_mean", "feature_sd", "penalty_factor"):
        np.testing.assert_allclose(getattr(found, name), getattr(usual, name), rtol=1e-10)
    lasso = found.paths[0].information, usual.paths[0].information
    np.testing.assert_allclose(lasso[0]["df"], lasso[1]["df"])
    np.testing.assert_allclose(lasso[0]["bic"], lasso[1]["bic"], rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_offsets(loss: str) -> None:
    at = case(loss, "plain")
    rng = np.random.default_rng(8)
    data = from_arrays(at.X, at.y, offset=rng.normal(size=at.y.size))
    cells = make_cells(KFold(3), at.y.size, TestSplit(0.2, 1))
    options = {"loss": loss, "alphas": [0.3, 0.03], "tol": 1e-9}
    usual, found = (
        cross_validate(data, cells, PathOptions(solver=solver, **options), PassRunner(n_threads=1))
        for solver in ("auto", "admm")
    )
    assert found.converged
    np.testing.assert_allclose(found.paths[0].objective, usual.paths[0].objective, rtol=1e-6)
    assert found.null_deviance == pytest.approx(usual.null_deviance, rel=1e-7)
    for name, score in usual.test.items():
        np.testing.assert_allclose(found.test[name], score, rtol=1e-3)


@pytest.mark.parametrize("loss", ["logistic", "poisson", "huber"])
@pytest.mark.parametrize("start", [0.01, 100.0])
def test_rho_may_start_anywhere(loss: str, start: float, monkeypatch: Any) -> None:
    """Two decades off, no more than three times the rounds of a good start."""
    at = case(loss, "plain")
    options: dict[str, Any] = {"loss": loss, "l1_ratios": (0.5,), "n_alphas": 6}
    good = fit(at, solver="admm", alpha_min_ratio=1e-3, **options).cost.n_passes
    monkeypatch.setattr(crossval, "START", start)
    found = fit(at, solver="admm", alpha_min_ratio=1e-3, **options)
    assert found.converged
    assert found.cost.n_passes <= 3 * good


def test_batches_along_the_path(monkeypatch: Any) -> None:
    """A later batch begins where the one before ended."""
    at = case("logistic", "plain")
    options: dict[str, Any] = {"loss": "logistic", "n_alphas": 8, "alpha_min_ratio": 1e-3}
    whole = fit(at, solver="admm", **options)
    monkeypatch.setattr(crossval, "STATE_BYTES", at.y.size * 8 * 3)
    found = fit(at, solver="admm", **options)
    assert found.converged
    np.testing.assert_allclose(found.paths[0].objective, whole.paths[0].objective, rtol=2e-6)
    assert whole.cost.n_passes < found.cost.n_passes < 4 * whole.cost.n_passes


def test_blocks_change_nothing_but_rounding() -> None:
    at = case("poisson", "weights, folds")
    options: dict[str, Any] = {"loss": "poisson", "solver": "admm", "alphas": [0.3, 0.1]}
    one, many = fit(at, **options), fit(at, cuts=range(20, 300, 20), **options)
    assert one.cost.n_passes == many.cost.n_passes
    np.testing.assert_allclose(one.paths[0].coef, many.paths[0].coef, rtol=1e-8, atol=1e-12)


def test_a_constant_target_has_nothing_to_fit() -> None:
    at = case("squared", "plain")
    at = Case("squared", at.X, np.full(at.y.size, 2.0), None, {})
    found = fit(at, loss="squared", solver="admm", n_alphas=3)
    assert found.converged
    assert found.cost.n_passes < 10
    np.testing.assert_allclose(found.paths[0].intercept, 2.0)


def test_too_few_passes_say_so() -> None:
    at = case("logistic", "plain")
    found = fit(at, loss="logistic", solver="admm", alphas=[1e-4], max_passes=7)
    assert not found.converged
    assert found.cost.n_passes == 7
    assert np.isfinite(found.paths[0].objective).all()


@pytest.mark.parametrize(
    ("loss", "solver", "allowed"),
    [
        ("squared", "newton", "'auto', 'gram', 'admm', 'consensus'$"),
        ("logistic", "gram", "'auto', 'newton', 'admm', 'consensus'$"),
        ("multinomial", "admm", "'auto', 'newton'"),
        ("quantile", "newton", "'auto', 'admm', 'consensus'$"),
        ("huber", "lbfgs", "'auto', 'newton', 'admm', 'consensus'$"),
    ],
)
def test_solvers_that_a_loss_does_not_have(loss: str, solver: str, allowed: str) -> None:
    at = case("squared", "plain")
    with pytest.raises(InputError, match=f"solver='{solver}'.*loss='{loss}'.*{allowed}"):
        fit(at, loss=loss, solver=solver)


def test_every_loss_has_a_solver() -> None:
    from distreg.losses import LOSSES

    assert set(SOLVERS) == set(LOSSES)
    assert {loss for loss in LOSSES if SOLVERS[loss][0] == "admm"} == {"hinge", "quantile"}


@pytest.mark.parametrize("options", [{"relax": (0.5,)}, {"adaptive": 1.0}])
def test_what_it_cannot_do(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} is not known to solver='admm'"):
        fit(case("logistic", "plain"), loss="logistic", solver="admm", **options)


def test_missing_values_are_refused() -> None:
    at = case("squared", "plain")
    at.X[3, 2] = np.nan
    data = dataset(at, missing="mean")
    options = PathOptions(solver="admm")
    with pytest.raises(InputError, match=r"missing values.*solver='admm'"):
        cross_validate(data, make_cells(None, at.y.size), options, PassRunner(n_threads=1))
