"""glmnet's answers for the diabetes data (tests/reference/README.md), at every lambda."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from problems import Case, fit
from sklearn.datasets import load_diabetes

from distreg.data.folds import GivenFolds
from distreg.selection import select

FILES = sorted((Path(__file__).parent / "reference").glob("diabetes_gaussian_*.json"))


def load(path: Path) -> tuple[dict[str, Any], Case]:
    reference = json.loads(path.read_text())
    data = load_diabetes(scaled=False)
    weights = reference["weights"]
    case = Case(
        reference["name"],
        data.data,
        data.target / reference["y_divided_by"],
        np.array(weights, dtype=float) if weights else None,
        {
            "standardize": reference["standardize"],
            "fit_intercept": reference["fit_intercept"],
            "penalty_factor": np.array(reference["penalty_factor"], dtype=float),
            "l1_ratios": (reference["l1_ratio"],),
            "alphas": np.array(reference["lambda"]),
        },
    )
    return reference, case


def problem_of(case: Case) -> oracle.Problem:
    names = ("standardize", "fit_intercept", "penalty_factor")
    return oracle.make_problem(
        case.matrix, case.y, case.weight, **{name: case.options[name] for name in names}
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("tol", [1e-6, 1e-12])
def test_objective_equals_glmnets_at_every_lambda(path: Path, tol: float) -> None:
    reference, case = load(path)
    problem, r = problem_of(case), reference["l1_ratio"]
    mine = fit(case, tol=tol).paths[0]
    null = oracle.null_objective(problem)
    allowed = 1e-8 if tol < 1e-8 else tol
    for i, alpha in enumerate(reference["lambda"]):
        ours = oracle.objective(problem, mine.coef[i], mine.intercept[i], alpha, r)
        theirs = oracle.objective(
            problem, reference["coef"][i], reference["intercept"][i], alpha, r
        )
        assert abs(float(ours - theirs)) <= allowed * null, f"lambda {alpha}"
    assert mine.null_objective == pytest.approx(null, rel=1e-12)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_coefficients_equal_glmnets_at_a_tight_tolerance(path: Path) -> None:
    reference, case = load(path)
    mine = fit(case, tol=1e-12).paths[0]
    theirs, sd = np.array(reference["coef"]), case.matrix.std(axis=0)
    exact, _ = oracle.solve_path(problem_of(case), reference["lambda"], reference["l1_ratio"])
    np.testing.assert_allclose(mine.coef, exact.astype(float), rtol=0, atol=1e-12)
    # glmnet's own KKT violation is up to 3e-6
    np.testing.assert_allclose(mine.coef * sd, theirs * sd, rtol=0, atol=1e-5)
    # the intercept adds up the errors of ten coefficients times their means
    np.testing.assert_allclose(mine.intercept, reference["intercept"], rtol=0, atol=4e-5)


# Ridge without standardisation starts in other units: docs/decisions/0006.
@pytest.mark.parametrize(
    "path", [p for p in FILES if "l1r0_std0" not in p.stem], ids=lambda p: p.stem
)
def test_first_lambda_is_alpha_max(path: Path) -> None:
    reference, case = load(path)
    grid = fit(case, alphas=None, n_alphas=20).paths[0].alphas
    # glmnet's sequence of 20 values ends at 0.001 of its first
    assert grid[0] == pytest.approx(reference["lambda"][0], rel=1e-9)


@pytest.mark.parametrize("path", [p for p in FILES if "l1r1_" in p.stem], ids=lambda p: p.stem)
def test_cv_curve_equals_glmnets(path: Path) -> None:
    # With l1_ratio = 1 rescaling y inside each fold changes nothing, so the definitions agree.
    reference, case = load(path)
    result = fit(case, GivenFolds(np.array(reference["foldid"])), tol=1e-12)
    np.testing.assert_allclose(result.cv_mean[0], reference["cv"]["mean"], rtol=1e-6)
    np.testing.assert_allclose(result.cv_se[0], reference["cv"]["se"], rtol=2e-6)
    best, simplest = select(result, "min"), select(result, "1se")
    assert best.alpha == pytest.approx(reference["cv"]["lambda_min"], rel=1e-12)
    assert simplest.alpha == pytest.approx(reference["cv"]["lambda_1se"], rel=1e-12)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_cv_curve_is_near_glmnets_for_every_l1_ratio(path: Path) -> None:
    # cv.glmnet rescales y inside each fold: up to 1e-3 (mean) and 3e-2 (standard error) apart.
    reference, case = load(path)
    result = fit(case, GivenFolds(np.array(reference["foldid"])))
    np.testing.assert_allclose(result.cv_mean[0], reference["cv"]["mean"], rtol=1e-3)
    np.testing.assert_allclose(result.cv_se[0], reference["cv"]["se"], rtol=3e-2)
