"""NIST's certified least squares: enough digits, or a warning that says they are not there."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Case, fit

from distreg.exceptions import IllConditionedWarning

FOLDER = Path(__file__).parent / "reference"
# The digits a user may expect of each set when nothing is said.
DIGITS = {
    "norris": 10, "pontius": 9, "longley": 9, "filip": 7,
    "wampler1": 6, "wampler2": 8, "wampler3": 6, "wampler4": 6, "wampler5": 5,
}  # fmt: skip


def load(name: str) -> tuple[Case, np.ndarray]:
    stored: dict[str, Any] = json.loads((FOLDER / f"nist_{name}.json").read_text())
    X = np.array(stored["x"])
    if stored["degree"]:
        X = X[:, None] ** np.arange(1, stored["degree"] + 1)
    return Case(name, X, np.array(stored["y"])), np.array(stored["certified"]["coef"])


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Correct digits of the worst coefficient."""
    error = np.abs(found - certified) / np.abs(certified)
    return float(-np.log10(max(error.max(), 1e-16)))


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("standardize", [True, False])
def test_certified_coefficients(name: str, standardize: bool) -> None:
    case, certified = load(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(case, alphas=np.array([0.0]), l1_ratios=(0.0,), standardize=standardize)
    path = result.paths[0]
    correct = digits(np.r_[path.intercept[0], path.coef[0]], certified)
    announced = [w for w in caught if issubclass(w.category, IllConditionedWarning)]
    others = [w for w in caught if not issubclass(w.category, IllConditionedWarning)]
    assert not others
    assert correct >= DIGITS[name] or announced, f"{correct:.1f} digits, and no warning"
    if name in ("norris", "pontius", "longley"):
        assert not announced, "a warning on a problem that is solved well teaches to ignore it"
        assert correct >= DIGITS[name]


@pytest.mark.parametrize("name", DIGITS)
def test_residuals_are_right_even_where_coefficients_are_not(name: str) -> None:
    # what a fit predicts is better determined than its coefficients
    case, certified = load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)
        path = fit(case, alphas=np.array([0.0]), l1_ratios=(0.0,)).paths[0]
    design = np.column_stack([np.ones(len(case.y)), case.X]).astype(np.longdouble)
    exact = design @ certified.astype(np.longdouble)
    ours = design @ np.r_[path.intercept[0], path.coef[0]].astype(np.longdouble)
    spread = float(np.sqrt(np.mean((case.y - case.y.mean()) ** 2)))
    apart = float(np.sqrt(np.mean((ours - exact) ** 2)))
    # Filip's residuals are 6% of the spread, and its rank in double precision is not full
    assert apart <= (0.06 if name == "filip" else 1e-6) * spread


def test_nearly_dependent_columns_without_penalty_are_announced() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    X = np.column_stack([X, X[:, 0] + 1e-9 * rng.normal(size=50)])
    case = Case("nearly dependent", X, X[:, 0] + rng.normal(size=50))
    with pytest.warns(IllConditionedWarning):
        fit(case, alphas=np.array([0.0]), l1_ratios=(0.0,))
