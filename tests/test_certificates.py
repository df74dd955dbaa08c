"""Every certificate is true: recomputed from the rows, in extended precision, on 1,000 problems.

The bar is on the fitted objective itself, not on the null model's, and with default settings.
"""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from problems import (
    Case,
    fit,
    named_cases,
    problem_options,
    random_case,
    shifted,
    target,
)

from distreg.data.folds import ShuffledKFold

L1_RATIOS = (1.0, 0.9, 0.5, 0.01, 0.0)
N_ALPHAS = 12
SEEDS = range(25)
PER_SEED = 40
# Rounding of the moments: gaps below it, relative to the null model's objective, mean nothing.
FLOOR = 1e-13


def problem_of(case: Case) -> oracle.Problem:
    return oracle.make_problem(case.matrix, case.y, case.weight, **problem_options(case.options))


def assert_true(
    case: Case, l1_ratio: float, *, exact_at: tuple[int, ...] = (), floor: float = 1e-7
) -> None:
    """Gap below 1e-6 of the fitted objective; what is reported is right (`floor`: its rounding)."""
    result = fit(case, l1_ratios=(l1_ratio,), n_alphas=N_ALPHAS)
    assert result.converged, case.name
    path, problem = result.paths[0], problem_of(case)
    null = oracle.null_objective(problem)
    assert path.null_objective == pytest.approx(null, rel=1e-6, abs=0), case.name
    for i, alpha in enumerate(path.alphas):
        where = f"{case.name}, l1_ratio {l1_ratio}, alpha number {i}"
        answer = (path.coef[i], path.intercept[i], alpha, l1_ratio)
        objective = float(oracle.objective(problem, *answer))
        gap = float(oracle.duality_gap(problem, *answer))
        assert gap <= 1e-6 * objective, f"{where}: {gap / objective:.1e} of the objective"
        assert path.objective[i] == pytest.approx(objective, rel=1e-7), where
        # "true" has two sides: not far above an independent bound, not below the true distance
        assert path.dual_gap[i] <= 10 * gap + floor * objective, where
        assert path.n_nonzero[i] == np.count_nonzero(path.coef[i]), where
        if i in exact_at:
            coef, intercept = oracle.solve_path(problem, [alpha], l1_ratio)
            best = float(oracle.objective(problem, coef[0], intercept[0], alpha, l1_ratio))
            assert objective - best <= path.dual_gap[i] + FLOOR * null, where
            assert objective - best >= -FLOOR * null, where


@pytest.mark.parametrize("seed", SEEDS)
def test_a_thousand_random_problems(seed: int) -> None:
    for k in range(PER_SEED):
        case = random_case(1000 * seed + k)
        # the exact solution of every eighth problem, at one alpha
        exact_at = (7,) if k % 8 == 0 else ()
        assert_true(case, L1_RATIOS[k % len(L1_RATIOS)], exact_at=exact_at)


@pytest.mark.parametrize("case", named_cases(), ids=lambda c: c.name)
@pytest.mark.parametrize("l1_ratio", L1_RATIOS)
def test_named_problems(case: Case, l1_ratio: float) -> None:
    assert_true(case, l1_ratio, exact_at=(0, 5, 11))


@pytest.mark.parametrize("case", named_cases(), ids=lambda c: c.name)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_kkt_conditions_hold(case: Case, l1_ratio: float) -> None:
    problem = problem_of(case)
    path = fit(case, l1_ratios=(l1_ratio,), n_alphas=N_ALPHAS).paths[0]
    X, y = problem.centred()
    size = np.abs((problem.weight * y) @ X) / problem.weight_sum
    largest = float((size / np.where(problem.scale > 0, problem.scale, 1)).max())
    for i, alpha in enumerate(path.alphas):
        found = oracle.kkt_violation(problem, path.coef[i], path.intercept[i], alpha, l1_ratio)
        assert found <= 1e-7 * largest


def test_folds_are_certified_too() -> None:
    for case in named_cases():
        result = fit(case, ShuffledKFold(3, seed=1), l1_ratios=(1.0, 0.5, 0.0), n_alphas=8)
        assert np.all(result.fold_dual_gap <= 1e-6), case.name
        assert result.fold_dual_gap.shape == (3, 8)


def test_a_wrong_answer_is_not_certified() -> None:
    # The oracle itself must be able to say no: a coefficient off by 1e-3 of itself.
    for case in named_cases()[:4]:
        problem = problem_of(case)
        path = fit(case, n_alphas=N_ALPHAS).paths[0]
        i = int(np.argmax(path.n_nonzero > 0))
        answer = (path.coef[i] * 1.02, path.intercept[i], path.alphas[i], 1.0)
        gap = float(oracle.duality_gap(problem, *answer))
        assert gap > 1e-6 * float(oracle.objective(problem, *answer))


def test_the_oracles_gap_closes_at_its_own_solution() -> None:
    for case in named_cases():
        problem = problem_of(case)
        for l1_ratio in L1_RATIOS:
            alphas = oracle.alpha_grid(problem, l1_ratio, 4)
            coef, intercept = oracle.solve_path(problem, alphas, l1_ratio)
            for i, alpha in enumerate(alphas):
                answer = (coef[i], intercept[i], alpha, l1_ratio)
                gap = float(oracle.duality_gap(problem, *answer))
                assert gap <= 1e-11 * float(oracle.objective(problem, *answer)), case.name


@pytest.mark.parametrize("unit", [1e-100, 1e-20, 1e20, 1e100])
def test_the_unit_of_the_target_does_not_matter(unit: float) -> None:
    case = named_cases()[1]
    base = fit(case, n_alphas=5).paths[0]
    other = fit(Case("unit", case.X, case.y * unit), n_alphas=5).paths[0]
    sd = case.matrix.std(axis=0)
    np.testing.assert_allclose(other.coef / unit * sd, base.coef * sd, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-100, 1e-20, 1e12, 1e100])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_unit_of_a_feature_does_not_matter_when_standardised(
    unit: float, offset: float
) -> None:
    case = named_cases()[0]
    X = case.X.copy()
    X[:, 2] = (X[:, 2] + offset) * unit
    options = {"standardize": True}
    base = fit(Case("base", case.X, case.y, options=options), n_alphas=5).paths[0]
    other = fit(Case("unit", X, case.y, options=options), n_alphas=5).paths[0]
    coef = other.coef.copy()
    coef[:, 2] *= unit
    np.testing.assert_allclose(coef, base.coef, rtol=1e-7, atol=1e-8)
    before = case.X @ base.coef.T + base.intercept
    after = X @ other.coef.T + other.intercept
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-8 * case.y.std())


@pytest.mark.parametrize(
    # the correlations' condition number is about 10 / apart^2; the gap of a pure lasso is of first
    # order in the gradient's rounding, the others' of second
    ("l1_ratio", "apart"),
    [(1.0, 1e-2), (1.0, 1e-3), (0.5, 1e-3), (0.5, 1e-4), (0.0, 1e-3), (0.0, 1e-4)],
)
def test_unpenalised_columns_that_are_nearly_parallel(l1_ratio: float, apart: float) -> None:
    # all of them are parallel: eliminating the unpenalised ones cancels most of the others
    factor = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(70, 1)) + apart * rng.normal(size=(70, 8))
        case = Case(f"parallel {seed}", X, target(rng, X), options={"penalty_factor": factor})
        assert_true(case, l1_ratio, exact_at=(0, 5, 11), floor=1e-6)


@pytest.mark.parametrize("copies", [2, 5])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_copies_sums_and_opposites_of_columns(
    copies: int, l1_ratio: float, fit_intercept: bool
) -> None:
    # along the null space of the Gram matrix no loss changes: descent alone has no end there
    rng = np.random.default_rng(16)
    base = shifted(rng, rng.normal(size=(30, 6)), 10)
    X = np.column_stack([base] * copies + [-base[:, 0], base[:, 1] + base[:, 2]])
    case = Case("copies", X, target(rng, base, 0.05), options={"fit_intercept": fit_intercept})
    assert_true(case, l1_ratio, exact_at=(3, 11))


@pytest.mark.parametrize("spread", [0.1, 0.01])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_signal_in_small_differences_ends_quickly(spread: float, l1_ratio: float) -> None:
    # A common factor and the signal in the differences: coefficients are large beside the
    # correlations with the target, and their rounding errors beside any fixed tolerance.
    rng = np.random.default_rng(5)
    n, p = 1000, 100
    X = rng.normal(size=(n, 1)) + spread * rng.normal(size=(n, p))
    y = (X - X.mean(axis=1, keepdims=True)) @ rng.normal(size=p) / spread
    result = fit(Case("differences", X, y, None, {}), l1_ratios=(l1_ratio,))
    assert result.converged
    assert result.paths[0].n_epochs.sum() < 6000
