"""Passes of single precision: how far their sums are from those of double, what they certify."""

from __future__ import annotations

import itertools

import glmoracle
import numpy as np
import pytest
from test_glm import check_certified, draw, fit

from distreg.data.block import Block
from distreg.evaluation import Evaluation, Request, evaluate, finish
from distreg.glm.rounding import gradient_rounding
from distreg.kernels.evaluator import Points
from distreg.kernels.rows import HELD_OUT, TRAIN
from distreg.losses import get_loss

LOSSES = ("logistic", "poisson", "squared_hinge", "huber")


def evaluated(loss: str, single: bool, unit: float = 1.0, size: float = 0.3) -> Evaluation:
    """Sums of 900 rows, 6 features in `unit` and two that are missing here and there, 3 fits."""
    rng = np.random.default_rng(4)
    spread = np.geomspace(1e-3, 1e3, 6) * unit
    dense = (rng.standard_normal((900, 6)) + 40.0) * spread
    dense[rng.random(900) < 0.1, 1] = np.nan
    dense[rng.random(900) < 0.1, 4] = np.nan
    coef = np.vstack([rng.standard_normal((6, 3)) * size / spread[:, None], np.full((2, 3), 0.2)])
    block = Block(
        dense=dense, sparse=None, y=(rng.random(900) < 0.4).astype(float),
        weight=rng.uniform(0.5, 2.0, 900), offset=None, row=np.arange(900), fold_key=None,
    )  # fmt: skip
    points = Points(
        loss=get_loss(loss).code, parameter=get_loss(loss).parameter, n_classes=1,
        centre=40.0 * spread, missing=np.array([1, 4]), coef=coef, intercept=np.full(3, -0.1),
        bounds=np.array([0, 1, 3]), role=np.array([[TRAIN, TRAIN], [TRAIN, HELD_OUT]], np.int8),
        by_cell=False, anchors=np.array([1]), rare=np.empty(0, dtype=np.int64),
        scale=spread if single else None,
    )  # fmt: skip
    request = Request(points, np.arange(6), np.zeros(2, dtype=np.int64))
    return finish(request, evaluate(request, iter([(block, np.arange(900) // 300 % 2)])))


@pytest.mark.parametrize(("loss", "unit"), list(itertools.product(LOSSES, (1e-100, 1.0, 1e100))))
def test_sums_have_seven_digits_in_any_unit(loss: str, unit: float) -> None:
    one, other = evaluated(loss, True, unit), evaluated(loss, False, unit)
    for mine, exact in zip(one.sums[0].arrays(), other.sums[0].arrays(), strict=True):
        # sums that cancel are compared to the number of rows
        np.testing.assert_allclose(mine, exact, rtol=3e-6, atol=3e-6 * 900)
    size = np.r_[np.geomspace(1e-3, 1e3, 6) * unit, 1.0, 1.0][:, None]
    np.testing.assert_allclose(one.grad[0] / size, other.grad[0] / size, atol=3e-6 * 900)
    gram, exact = one.curvature[0].grams[0][0], other.curvature[0].grams[0][0]
    root = np.sqrt(np.diag(exact))
    np.testing.assert_allclose(gram / root / root[:, None], exact / root / root[:, None], atol=1e-5)
    correlation = gram / root / root[:, None]
    assert np.linalg.eigvalsh(correlation)[0] > 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_points_out_of_its_range_never_look_good(loss: str) -> None:
    sums = evaluated(loss, True, size=1e39).sums[0]
    exact = evaluated(loss, False, size=1e39).sums[0]
    assert not np.any(sums.train < 1e30)
    assert not np.any(exact.train < 1e30)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("near", [1e-3, 1e-7])
def test_answers_are_certified_in_double(
    loss: str, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with two features that single precision hardly tells apart."""
    X, y, s = draw(loss, 11, 3000, 12)
    noise = np.random.default_rng(1).standard_normal(3000)
    X[:, 0] = X[:, 1] + near * X[:, 1].std() * noise
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 400)
    options = {"l1_ratios": (1.0, 0.0), "n_alphas": 15}
    result = fit(loss, X, y, weight=s, **options)
    check_certified(glmoracle.make(loss, X, y, s, standardize=True), result)
    assert result.cost.n_passes <= 15


@pytest.mark.parametrize("max_passes", [1, 2, 3, 4, 5, 6])
def test_the_last_pass_is_of_double_precision(
    max_passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the limit, objectives that are told are those of the coefficients."""
    precisions: list[bool] = []
    import distreg.glm.lockstep as module

    request_of = module.request_of

    def spied(*args):
        request = request_of(*args)
        precisions.append(request.points.scale is not None)
        return request

    X, y, _ = draw("logistic", 12, 3000, 30)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 400)
    monkeypatch.setattr(module, "request_of", spied)
    fit("logistic", X, y, n_alphas=20, max_passes=max_passes)
    assert any(precisions)
    assert not precisions[-1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-4])
def test_what_loose_tolerances_certify_holds(
    loss: str, tol: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an independent computation, also of the columns that no pass of double has seen."""
    import distreg.glm.lockstep as module

    certified_in_single: list[int] = []
    take = module.Lockstep._take

    def spied(self, fits, values, tolerance, single=False):
        take(self, fits, values, tolerance, single)
        if single and not tolerance.single:
            certified_in_single.append(int(self.columns.done[fits].sum()))

    X, y, s = draw(loss, 13, 4000, 15)
    monkeypatch.setattr("distreg.glm.fit.sample_size", lambda dataset, n_classes: 400)
    monkeypatch.setattr(module.Lockstep, "_take", spied)
    result = fit(loss, X, y, weight=s, tol=tol, l1_ratios=(1.0, 0.3), n_alphas=15)
    assert result.converged
    if loss not in ("logistic", "squared_hinge"):
        # their rounding has no bound
        assert not any(certified_in_single)
    elif tol >= 1e-3:
        assert any(certified_in_single)
    glm = glmoracle.make(loss, X, y, s, standardize=True)
    for path in result.paths:
        for i, alpha in enumerate(path.alphas):
            at = path.coef[i], path.intercept[i], float(alpha), path.l1_ratio
            assert glmoracle.gap(glm, *at) <= tol * path.null_objective
            assert glmoracle.violation(glm, *at) <= tol * path.null_gradient
            told = float(glmoracle.objective(glm, *at))
            assert told == pytest.approx(path.objective[i], rel=1e-6)
    assert np.all(result.fold_kkt_violation <= tol)
    assert np.all(result.fold_dual_gap <= tol)


def single_and_double(
    loss: str, X: np.ndarray, y: np.ndarray, coef: np.ndarray
) -> list[Evaluation]:
    """Evaluations of one training set at the columns of `coef`, of features of size 1."""
    n, p = X.shape
    block = Block(
        dense=X, sparse=None, y=y, weight=None, offset=None, row=np.arange(n), fold_key=None
    )
    found = []
    for scale in (np.ones(p), None):
        points = Points(
            loss=get_loss(loss).code, parameter=get_loss(loss).parameter, n_classes=1,
            centre=np.zeros(p), missing=np.empty(0, dtype=np.int64), coef=coef,
            intercept=np.full(coef.shape[1], 0.1), bounds=np.array([0, coef.shape[1]]),
            role=np.array([[TRAIN]], np.int8), by_cell=False, anchors=np.empty(0, dtype=np.int64),
            rare=np.empty(0, dtype=np.int64), scale=scale,
        )  # fmt: skip
        request = Request(points, np.arange(p), np.zeros(1, dtype=np.int64))
        state = evaluate(request, iter([(block, np.zeros(n, dtype=np.int64))]))
        found.append(finish(request, state))
    return found


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
@pytest.mark.parametrize(("n", "p", "size"), [(1000, 10, 1.0), (5000, 50, 10.0), (4000, 300, 2.0)])
def test_gradients_have_no_more_rounding_than_certificates_allow_for(
    loss: str, n: int, p: int, size: float
) -> None:
    rng = np.random.default_rng(n)
    X = 0.7 * rng.standard_normal((n, p)) + 0.7 * rng.standard_normal((n, 1))
    coef = rng.standard_normal((p, 4)) * size / np.sqrt(p)
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-X @ coef[:, 0]))).astype(float)
    one, exact = single_and_double(loss, X, y, coef)
    error = np.abs(one.grad[0] - exact.grad[0]).max(axis=0) / n
    assert np.all(error <= gradient_rounding(loss, exact.sums[0].chi2 / n, coef.T))
    assert np.any(error > 0.0)


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
def test_the_rounding_of_large_coefficients_that_cancel_is_allowed_for(loss: str) -> None:
    """It moves the predictors of all rows to the same side."""
    rng = np.random.default_rng(0)
    n, size = 12_000, 1e5
    x, step = rng.integers(0, 50, n).astype(float), rng.random(n) < 0.3
    X = np.column_stack([x, x + step * 1e-4]) / np.sqrt(np.mean(x**2))
    # two columns would be double precision anyway
    coef = np.array([[-1.0, -0.7, -0.9], [1.0, 0.7, 0.9]]) * size * (1.0 + np.pi * 1e-6)
    y = (step - 0.5 + rng.logistic(size=n) > 0).astype(float)
    one, exact = single_and_double(loss, X, y, coef)
    error = np.abs(one.grad[0] - exact.grad[0]).max(axis=0) / n
    chi2 = exact.sums[0].chi2 / n
    assert np.all(error <= gradient_rounding(loss, chi2, coef.T))
    assert np.all(error > gradient_rounding(loss, chi2, 0.0 * coef.T))
