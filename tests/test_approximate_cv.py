"""Approximate cross-validation: one Newton step of every fold from the full data's answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distreg import LassoCV, LogisticRegressionCV, PoissonRegressorCV
from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells, split_approximate
from distreg.data.testsplit import TestSplit
from distreg.exceptions import ConfigError, InputError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.pipeline.config import build_config
from distreg.pipeline.document import Document
from distreg.report.summary import summarise
from distreg.report.tables import make_report
from distreg.report.terminal import certificate_line
from distreg.result import CVResult

LOSSES = ("logistic", "poisson", "multinomial", "squared_hinge")


def draw(loss: str, n: int = 3000, p: int = 10) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, p)) + 0.5 * rng.standard_normal((n, 1))
    eta = 0.5 * X[:, :4].sum(axis=1)
    if loss == "poisson":
        return X, rng.poisson(np.exp(0.5 * eta)).astype(float)
    if loss == "multinomial":
        score = np.stack([eta, -eta, 0 * eta], axis=1) + rng.gumbel(size=(n, 3))
        return X, score.argmax(axis=1)
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)


@pytest.fixture(scope="module", params=LOSSES)
def both(request) -> tuple[CVResult, CVResult]:
    """The exact and the approximate result of one problem."""
    X, y = draw(request.param)
    data = from_arrays(X, y, classes=request.param != "poisson")
    cells = make_cells(KFold(5), len(y), TestSplit(0.1))
    options = PathOptions(loss=request.param, standardize=True, n_alphas=20, l1_ratios=(0.8,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 1000)
        exact, fast = (
            cross_validate(
                data, cells, replace(options, approximate=approximate), PassRunner(n_threads=2)
            )
            for approximate in (False, True)
        )
    return exact, fast


def test_the_curve_is_that_of_the_exact_one(both) -> None:
    exact, fast = both
    np.testing.assert_allclose(fast.cv_mean, exact.cv_mean, rtol=1e-3)
    np.testing.assert_allclose(fast.fold_error, exact.fold_error, rtol=3e-3)
    np.testing.assert_allclose(fast.cv_se, exact.cv_se, rtol=0.05)
    assert abs(int(fast.cv_mean.argmin()) - int(exact.cv_mean.argmin())) <= 1


def test_the_full_fits_are_certified_and_the_folds_told(both) -> None:
    exact, fast = both
    assert exact.converged
    assert fast.converged
    assert (exact.approximate, fast.approximate) == (False, True)
    for one, other in zip(exact.paths, fast.paths, strict=True):
        assert np.all(other.relative_gap <= 1e-6)
        assert np.all(other.relative_violation <= 1e-6)
        bound = one.dual_gap + other.dual_gap + 1e-12 * one.null_objective
        assert np.all(np.abs(one.objective - other.objective) <= bound)
    assert np.all(np.isfinite(fast.fold_dual_gap))
    assert np.all(np.isfinite(fast.fold_kkt_violation))
    assert fast.fold_dual_gap.max() > 1e-6
    for name, scores in exact.test.items():
        np.testing.assert_allclose(fast.test[name], scores, rtol=1e-3, atol=1e-3)


def test_it_takes_no_more_passes(both) -> None:
    exact, fast = both
    assert fast.cost.n_passes <= min(exact.cost.n_passes, 6)


def test_the_report_says_so(both) -> None:
    exact, fast = both
    report = make_report(fast, summarise(fast, "min"))
    assert report["certificates"]["approximate"]
    assert report["certificates"]["converged"]
    assert report["certificates"]["n_fits"] == 20
    assert all(penalty["certified"] for penalty in report["penalties"])
    line = certificate_line(report)
    assert "All 20 fits on all rows are certified" in line
    assert "The cross-validation is approximate" in line
    known = make_report(exact, summarise(exact, "min"))
    assert "approximate" not in certificate_line(known)


def test_the_squared_loss_is_exact_all_the_same() -> None:
    X, y = draw("poisson", 300)
    exact, fast = LassoCV(cv=4).fit(X, y), LassoCV(cv="approx-4").fit(X, y)
    np.testing.assert_array_equal(exact.mse_path_, fast.mse_path_)
    assert fast.status_ == "converged"


def test_data_within_the_sample_are_exact_all_the_same() -> None:
    X, y = draw("logistic", 300)
    exact, fast = (LogisticRegressionCV(cv=cv, n_alphas=5).fit(X, y) for cv in (5, "approx"))
    np.testing.assert_array_equal(exact.deviance_path_, fast.deviance_path_)
    assert fast.status_ == "converged"


def test_estimators_say_so(monkeypatch) -> None:
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 500)
    X, y = draw("poisson")
    model = PoissonRegressorCV(cv="approx-3", n_alphas=8, l1_ratio=1.0).fit(X, y)
    assert model.status_ == "converged, folds approximate"
    assert model.deviance_path_.shape == (8, 3)
    few = PoissonRegressorCV(cv="approx-3", n_alphas=8, l1_ratio=1.0, max_passes=2)
    with pytest.warns(match="above their tolerances after"):
        few.fit(X, y)
    assert few.status_.startswith("dual gap above tol")
    assert np.isfinite(few.coef_).all()


def test_spellings() -> None:
    assert split_approximate("approx") == (5, True)
    assert split_approximate("approx-12") == (12, True)
    for other in (5, None, "approximately", "approx-", KFold(3)):
        assert split_approximate(other) == (other, False)
    X, y = draw("logistic", 100)
    with pytest.raises(InputError, match="approx-10"):
        LogisticRegressionCV(cv="aprox").fit(X, y)
    with pytest.raises(InputError, match="at least 2 folds"):
        PoissonRegressorCV(cv="approx-1").fit(X, y)


@pytest.mark.parametrize(
    ("value", "folds", "approximate"),
    [
        ("approx", 5, True),
        ("approx-8", 8, True),
        ({"folds": 4, "approximate": True}, 4, True),
        ({"folds": "approx", "kind": "contiguous"}, 5, True),
        (7, 7, False),
    ],
)
def test_pipelines_have_the_same_spellings(value, folds: int, approximate: bool) -> None:
    document = Document()
    for key, given in {"name": "a", "data": {"path": "x.csv", "target": "y"}}.items():
        document.set(key, given, "test")
    document.set("model", {"loss": "logistic", "cv": value}, "test")
    cv = build_config(document).model.cv
    assert (cv.folds, cv.approximate) == (folds, approximate)
    document.set("model.cv", "approximately", "test")
    with pytest.raises(ConfigError, match="approx"):
        build_config(document)
