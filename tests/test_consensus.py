"""Consensus: the answers of the other solvers, whatever the parts of the rows are."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import test_admm
from problems import Case, correlated, dataset, fit
from scipy import sparse
from test_admm_smooth import SMOOTH, case, same, target

from distreg.admm import crossval, local, solve
from distreg.admm.factor import Factor, inner, outer
from distreg.admm.frame import Frame
from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.block import Block
from distreg.data.folds import make_cells
from distreg.data.schemes import KFold
from distreg.data.testsplit import TestSplit
from distreg.exceptions import InputError
from distreg.options import SOLVERS, PathOptions
from distreg.passes import PassRunner
from distreg.pipeline.memory import BASE_BYTES, Memory
from distreg.pipeline.roundsmemory import ConsensusMemory, RoundsMemory

GRID: dict[str, Any] = {"n_alphas": 5, "alpha_min_ratio": 1e-2}
BLOCKS: dict[int, tuple[int, ...]] = {1: (), 3: (60, 190), 8: tuple(range(38, 300, 38))}


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("n_blocks", BLOCKS)
def test_parts_change_the_way_but_not_the_answer(loss: str, n_blocks: int) -> None:
    at = case(loss, "plain")
    options: dict[str, Any] = {"loss": loss, "l1_ratios": (1.0, 0.5), **GRID}
    found = fit(at, cuts=BLOCKS[n_blocks], solver="consensus", **options)
    same(fit(at, **options), found)
    assert found.cost.n_passes < 130


def wide(loss: str, n: int = 150, p: int = 60) -> Case:
    """Dense and sparse features side by side, more of them than a block has rows."""
    rng = np.random.default_rng(5)
    Z = correlated(rng, n, p // 2, 0.3)
    hot = sparse.random_array((n, p - p // 2), density=0.3, rng=rng, format="csr")
    weight = rng.uniform(0.5, 2.0, n) * (rng.random(n) > 0.1)
    return Case(loss, (Z, hot), target(loss, Z[:, :2] @ [1.0, -0.7], rng), weight,
                {"standardize": True})  # fmt: skip


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("per_group", [1, 2, 5])
def test_wide_parts_take_the_other_factor(loss: str, per_group: int, monkeypatch: Any) -> None:
    """Blocks of 30 rows and 60 features: alone, two in a task, and with others as one tall part."""
    made = []

    class Told(Factor):
        def __init__(self, product: np.ndarray, ridge: float) -> None:
            made.append(len(product))
            super().__init__(product, ridge)

    monkeypatch.setattr(local, "Factor", Told)
    at, options = wide(loss), {"loss": loss, "l1_ratios": (0.5, 0.0), **GRID}
    found = fit(at, cuts=range(30, 150, 30), per_group=per_group, solver="consensus", **options)
    same(fit(at, **options), found)
    assert found.cost.n_passes < 130
    assert at.weight is not None
    used = [int((part > 0).sum()) for part in np.split(at.weight, 5)]
    # once for all rounds, folds and alphas
    assert sorted(made) == ([61] if per_group == 5 else sorted(used))


def test_offsets_and_test_rows() -> None:
    at = case("poisson", "plain")
    rng = np.random.default_rng(8)
    data = from_arrays(at.X, at.y, offset=rng.normal(size=at.y.size))
    cells = make_cells(KFold(3), at.y.size, TestSplit(0.2, 1))
    for features in (None, np.array([1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])):
        options: dict[str, Any] = {"loss": "poisson", "alphas": [0.3, 0.03], "tol": 1e-8}
        options["penalty_factor"] = features
        usual, found = (
            cross_validate(data, cells, PathOptions(solver=solver, **options), PassRunner(None, 1))
            for solver in ("auto", "consensus")
        )
        same(usual, found)
        assert found.null_deviance == pytest.approx(usual.null_deviance, rel=1e-7)
        for name, score in usual.test.items():
            np.testing.assert_allclose(found.test[name], score, rtol=1e-3)


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_both_factors_give_the_nearest_coefficients(fit_intercept: bool) -> None:
    """``argmin |A b - q|^2 + c |b - a|^2`` by least squares, and by either Cholesky factor."""
    rng = np.random.default_rng(0)
    n, p, d, c = 12, 9, 5, 7.0
    dense, hot = rng.normal(size=(n, d)), sparse.random_array((n, p - d), density=0.5, rng=rng)
    row = np.arange(n)
    block = Block(dense, sparse.csr_array(hot), rng.normal(size=n), None, None, row, "rows")
    frame = Frame(rng.normal(size=p), rng.uniform(0.5, 2.0, p), d, np.array([True]))
    used = np.array([0, 1, 3, 4, 7, 8, 9, 11])
    A = (np.hstack([dense, hot.toarray()]) - frame.origin) / frame.scale
    A = np.column_stack([A, np.full(n, float(fit_intercept))])[used]
    q, a = rng.normal(size=(used.size, 3)), rng.normal(size=(p + 1, 3))
    stacked = np.vstack([A, np.sqrt(c) * np.eye(p + 1)]), np.vstack([q, np.sqrt(c) * a])
    nearest = np.linalg.lstsq(*stacked)[0]
    tall = Factor(inner(frame, block, used, fit_intercept), c).solve(A.T @ q + c * a)
    other = a + A.T @ Factor(outer(frame, block, used, fit_intercept), c).solve(q - A @ a)
    np.testing.assert_allclose(tall, nearest, rtol=1e-9)
    np.testing.assert_allclose(other, nearest, rtol=1e-9)


def test_only_sums_leave_a_part(monkeypatch: Any) -> None:
    """No sample, no products of features with one another, nothing of the size of the rows."""
    n, p, sizes, samples = 400, 40, [], []

    def told(*arguments: Any) -> Any:
        state, part = step(*arguments)
        sizes.append(len(pickle.dumps(part)))
        return state, part

    def summarised(*arguments: Any) -> Any:
        summary = summary_of(*arguments)
        samples.append(summary.sample.block.n_rows)
        return summary

    def gram(*arguments: Any) -> Any:
        raise AssertionError("the products of all features were asked for")

    step, summary_of = local._step, crossval.summarised
    monkeypatch.setattr(local, "_step", told)
    monkeypatch.setattr(crossval, "summarised", summarised)
    monkeypatch.setattr(crossval, "gram", gram)
    rng = np.random.default_rng(1)
    Z = correlated(rng, n, p, 0.3)
    at = Case("logistic", Z, target("logistic", Z[:, 0], rng))
    found = fit(at, cuts=(200,), loss="logistic", solver="consensus", alphas=[0.01])
    assert found.converged
    assert samples == [0]
    # products, gradient and curvature, beside some single numbers
    assert max(sizes) < 8 * 3 * p + 4000 < 8 * p * p


def test_rows_near_a_kink_stay_where_nothing_is_solved_with_them(monkeypatch: Any) -> None:
    rows = []

    def told(*arguments: Any) -> Any:
        state, part = step(*arguments)
        if part.kinks is not None:
            rows.append(len(part.kinks.features))
        return state, part

    step = local._step
    monkeypatch.setattr(local, "_step", told)
    at, options = test_admm.case("hinge"), {"loss": "hinge", "alphas": [0.02], "max_passes": 45}
    few = fit(at, solver="consensus", **options)
    assert max(rows) > 0
    rows.clear()
    monkeypatch.setattr(solve, "MOST_CORNER", 5)
    many = fit(at, solver="consensus", **options)
    assert set(rows) == {0}
    # slower, but as honest
    path, other = many.paths[0], few.paths[0]
    assert not many.converged
    assert path.objective - path.dual_gap <= other.objective
    assert path.dual_gap < 0.1 * path.null_objective


def test_memory_without_products_of_features() -> None:
    """The factors of both kinds of parts, and nothing of p x p numbers in this process."""
    p, blocks = 20_000, ((1000, 1000), (30_000,))
    sizes = {f.name: 0 for f in dataclasses.fields(Memory)} | {"threads": 1, "path_threads": 1}
    sizes |= {"n_dense": p, "n_folds": 4, "n_paths": 10, "n_groups": 2}
    needs = ConsensusMemory(**sizes, n_rows=32_000, blocks=blocks)
    column = 32_000 + 3 * 2 * (p + 1)
    assert needs.rows_state == 8 * column * 50
    assert needs.kept == needs.rows_state + 8 * ((p + 1) ** 2 + 2 * 1000**2)
    assert needs.worker > needs.kept
    assert needs.client < 8 * p**2


def test_memory_of_rows_and_of_one_matrix_of_products() -> None:
    """By transpose reduction, however many cells there are; each block's rows in several copies."""
    p = 5000
    sizes = {f.name: 0 for f in dataclasses.fields(Memory)} | {"threads": 2, "path_threads": 2}
    sizes |= {"n_dense": p, "n_folds": 5, "n_cells": 6, "n_paths": 100, "n_groups": 16}
    needs = RoundsMemory(**sizes, n_rows=1_000_000, blocks=((60_000,),) * 16)
    assert needs.state == 8 * (p + 1) ** 2
    assert 8 * 6 * p**2 < needs.client < 3e9
    small = dataclasses.replace(needs, n_dense=5, n_rows=20_000, blocks=((20_000,),), n_groups=1)
    state = 8 * 20_000 * 600
    assert 9 * state < small.worker - BASE_BYTES < 12 * state


@pytest.mark.parametrize(("loss", "q"), test_admm.KINKED)
@pytest.mark.parametrize("cuts", [(40, 90), range(19, 150, 19)])
def test_losses_with_a_kink_are_linear_programmes(loss: str, q: Any, cuts: Any) -> None:
    at = test_admm.case(loss, standardize=True)
    options: dict[str, Any] = {"loss": loss, "loss_parameter": q, "n_alphas": 4}
    found = fit(at, cuts=cuts, solver="consensus", alpha_min_ratio=1e-2, **options)
    test_admm.check(at, found, loss, q)
    assert found.cost.n_passes < 200


def test_batches_along_the_path(monkeypatch: Any) -> None:
    """What the parts keep counts, too; a later batch begins where the one before ended."""
    at = case("logistic", "plain")
    options: dict[str, Any] = {"loss": "logistic", "solver": "consensus", "cuts": BLOCKS[3]}
    whole = fit(at, **options, **GRID)
    numbers = at.y.size + local.numbers_of_parts(dataset(at, BLOCKS[3]))
    assert numbers == 300 + 2 * 8 * 3
    monkeypatch.setattr(crossval, "STATE_BYTES", numbers * 8 * 3)
    found = fit(at, **options, **GRID)
    assert found.converged
    np.testing.assert_allclose(found.paths[0].objective, whole.paths[0].objective, rtol=2e-6)
    assert whole.cost.n_passes < found.cost.n_passes < 4 * whole.cost.n_passes


def test_too_few_passes_say_so() -> None:
    at = case("logistic", "plain")
    found = fit(at, loss="logistic", solver="consensus", alphas=[1e-4], max_passes=7)
    assert not found.converged
    assert found.cost.n_passes == 7
    assert np.isfinite(found.paths[0].objective).all()


def test_who_has_it_and_what_it_cannot_do(monkeypatch: Any) -> None:
    assert {loss for loss, names in SOLVERS.items() if "consensus" not in names} == {"multinomial"}
    assert all(names[0] != "consensus" for names in SOLVERS.values())
    at = case("squared", "plain")
    for extra in ({"relax": (0.5,)}, {"adaptive": 1.0}):
        with pytest.raises(InputError, match="is not known to solver='consensus'"):
            fit(at, solver="consensus", **extra)
    monkeypatch.setattr(crossval, "MOST_FEATURES", 5)
    with pytest.raises(InputError, match=r"there may be 5, not 7.*solver='consensus'"):
        fit(at, solver="admm")
    assert fit(at, solver="consensus", n_alphas=2, alpha_min_ratio=0.1).converged
    at.X[3, 2] = np.nan
    with pytest.raises(InputError, match=r"missing values.*solver='consensus'"):
        fit(at, solver="consensus", missing="mean")


def test_a_sample_without_the_rows_that_matter_is_no_unit(monkeypatch: Any) -> None:
    """All of a few sampled targets are 0: the unit of gaps comes from all rows."""
    monkeypatch.setattr(crossval, "QUANTILE_ROWS", 30)
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(900, 3)), np.zeros(900)
    y[[100, 500, 800]] = 5.0
    options = {"loss": "quantile", "loss_parameter": 0.5, "alphas": [0.01]}
    found = fit(Case("zeros", X, y), cuts=(300, 600), solver="consensus", **options)
    assert found.paths[0].null_objective == pytest.approx(0.5 * y.mean(), rel=1e-12)
    assert found.converged
    assert found.cost.n_passes < 60
