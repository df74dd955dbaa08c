"""AUC, ROC and calibration of test rows: scikit-learn's numbers, whatever the ties and blocks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from problems import Case, dataset, one_hot
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score, roc_curve

from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, ShuffledKFold, TestSplit, make_cells
from distreg.glm.scores import (
    N_POINTS,
    Models,
    Predictions,
    calibration,
    class_scores,
    predict_test_rows,
    roc,
)
from distreg.passes import PassRunner


def made(seed: int, n: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, weights and scores; the scores have ties, or the weights are not 1."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    if kind == "ties":
        score = np.round(score, 1)
    y = rng.random(n) < expit(score)
    weight = rng.exponential(size=n) if kind == "weights" else np.ones(n)
    return y, weight, score


def predictions(y: Any, eta: np.ndarray, weight: np.ndarray | None = None) -> Predictions:
    """Of one model."""
    y = np.asarray(y, dtype=np.float64)
    weight = np.ones(len(y)) if weight is None else weight
    n_classes = eta.shape[1] if eta.ndim == 2 else 1
    return Predictions(y, weight, eta.reshape(len(y), 1, n_classes), len(y))


# --- the numbers ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["plain", "ties", "weights"])
@pytest.mark.parametrize("seed", range(4))
def test_roc_is_scikit_learns(seed: int, kind: str) -> None:
    y, weight, score = made(seed, 300, kind)
    found = roc(y, weight, score, score > 0)
    assert found is not None
    assert found.auc == pytest.approx(roc_auc_score(y, score, sample_weight=weight), rel=1e-12)
    alarms, hits, _ = roc_curve(y, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive, alarms, atol=1e-12)
    np.testing.assert_allclose(found.true_positive, hits, atol=1e-12)
    assert found.called == pytest.approx(
        (np.average(score[~y] > 0, weights=weight[~y]), np.average(score[y] > 0, weights=weight[y]))
    )


def test_many_points_are_thinned_but_not_the_area() -> None:
    y, weight, score = made(0, 30_000, "weights")
    found = roc(y, weight, score, score > 0)
    assert found is not None
    assert len(found.false_positive) <= N_POINTS
    for points in (found.false_positive, found.true_positive):
        assert (points[0], points[-1]) == (0.0, 1.0)
        assert (np.diff(points) >= 0).all()
    assert found.auc == pytest.approx(roc_auc_score(y, score, sample_weight=weight), rel=1e-12)
    drawn = np.trapezoid(found.true_positive, found.false_positive)
    assert drawn == pytest.approx(found.auc, abs=1e-4)


def test_weight_2_is_the_row_twice() -> None:
    y, _, score = made(3, 100, "ties")
    weight = np.where(np.arange(100) % 3, 1.0, 2.0)
    twice = np.repeat(np.arange(100), weight.astype(int))
    one, other = (
        roc(y, weight, score, score > 0),
        roc(y[twice], np.ones(len(twice)), score[twice], score[twice] > 0),
    )
    assert one is not None
    assert other is not None
    assert one.auc == pytest.approx(other.auc, rel=1e-14)
    np.testing.assert_allclose(one.true_positive, other.true_positive, rtol=1e-14)


@pytest.mark.parametrize("y", [np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)])
def test_one_class_has_no_roc(y: np.ndarray) -> None:
    score = np.linspace(-1, 1, len(y))
    assert roc(y, np.ones(len(y)), score, score > 0) is None
    scores = class_scores("logistic", predictions(y, score), 0)
    assert np.isnan(scores.auc)
    assert scores.calibration is not None


@pytest.mark.parametrize("seed", range(4))
def test_calibration_is_scikit_learns(seed: int) -> None:
    y, weight, score = made(seed, 500, "plain")
    found = calibration(y, weight, expit(score))
    observed, predicted = calibration_curve(y, expit(score), n_bins=10, strategy="quantile")
    np.testing.assert_allclose(found.observed, observed, rtol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-12)
    np.testing.assert_array_equal(found.weight, np.full(10, 50.0))


def test_standard_error_of_a_bin() -> None:
    """Of weighted rows the effective number counts, and no bin is certain."""
    y = np.array([1, 0, 0, 1, 0, 0, 0, 0]) > 0
    found = calibration(y, np.full(8, 3.0), np.full(8, 0.4))
    np.testing.assert_array_equal(found.weight, [24.0])
    assert found.observed[0] == 0.25
    assert found.se[0] == pytest.approx(np.sqrt(0.3 * 0.7 / 8))
    none = calibration(np.zeros(8, bool), np.ones(8), np.full(8, 0.4))
    assert none.observed[0] == 0.0
    assert none.se[0] == pytest.approx(np.sqrt(0.1 * 0.9 / 8))


def test_calibration_covers_the_truth() -> None:
    rng = np.random.default_rng(8)
    chance = rng.uniform(size=50_000)
    found = calibration(rng.random(50_000) < chance, np.ones(50_000), chance)
    assert (np.abs(found.observed - found.predicted) < 3.5 * found.se).all()


@pytest.mark.parametrize("seed", range(3))
def test_several_classes_are_each_one_against_the_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    eta = rng.normal(size=(400, 3))
    share = softmax(eta, axis=1)
    y = (share.cumsum(axis=1) < rng.random((400, 1))).sum(axis=1)
    weight = rng.exponential(size=400)
    scores = class_scores("multinomial", predictions(y, eta, weight), 0)
    wanted = roc_auc_score(y, share, multi_class="ovr", average="macro", sample_weight=weight)
    assert scores.auc == pytest.approx(wanted, rel=1e-12)
    assert [each.auc for each in scores.rocs if each] == pytest.approx(
        [roc_auc_score(y == c, share[:, c], sample_weight=weight) for c in range(3)]
    )
    best = eta.argmax(axis=1)
    assert scores.calibration is not None
    right = np.average(best == y, weights=weight)
    assert np.average(
        scores.calibration.observed, weights=scores.calibration.weight
    ) == pytest.approx(right)
    assert scores.calibration.predicted.min() > 1 / 3


def test_a_class_without_test_rows_does_not_count() -> None:
    rng = np.random.default_rng(0)
    eta, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    scores = class_scores("multinomial", predictions(y, eta), 0)
    assert scores.rocs[2] is None
    assert scores.auc == pytest.approx(np.mean([each.auc for each in scores.rocs if each]))


def test_a_hinge_has_an_order_but_no_probabilities() -> None:
    y, _, score = made(1, 80, "plain")
    scores = class_scores("squared_hinge", predictions(y, score), 0)
    assert scores.auc == pytest.approx(roc_auc_score(y, score))
    assert scores.calibration is None


# --- the pass -------------------------------------------------------------------------------------
def mixed_case(seed: int = 0, n: int = 211) -> Case:
    """Dense features with gaps beside one-hot ones, weights, some of them 0."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n, 4))
    dense[rng.random((n, 4)) < 0.1] = np.nan
    weight = rng.exponential(size=n) * (rng.random(n) > 0.2)
    y = rng.integers(0, 2, n).astype(float)
    return Case("mixed", (dense, one_hot(rng, n, 5)), y, weight)


def with_offset(data: Dataset, offset: np.ndarray) -> Dataset:
    """The data set with a known part of the linear predictor."""

    def moved(recipe: Any) -> Any:
        part = offset[recipe.row_start : recipe.row_start + recipe.n_rows]
        return dataclasses.replace(recipe, block=dataclasses.replace(recipe.block, offset=part))

    groups = tuple(
        dataclasses.replace(g, recipes=tuple(map(moved, g.recipes))) for g in data.groups
    )
    return dataclasses.replace(data, groups=groups)


def split(n: int, kind: str = "random") -> Cells:
    return make_cells(ShuffledKFold(3), n, TestSplit(0.4, 5, kind))


@pytest.mark.parametrize("kind", ["random", "tail"])
@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("cuts", [(), (1, 2, 60, 61, 150), tuple(range(10, 211, 10))])
def test_the_pass_finds_the_test_rows_in_order(
    cuts: tuple[int, ...], per_group: int, kind: str
) -> None:
    case, rng = mixed_case(), np.random.default_rng(1)
    cells, offset = split(211, kind), rng.normal(size=211)
    models = Models(rng.normal(size=(2, 3, 9)), rng.normal(size=(2, 3)), rng.normal(size=9))
    data = with_offset(dataset(case, cuts, per_group=per_group, missing="mean"), offset)
    runner = PassRunner(n_threads=2)
    found = runner.run(predict_test_rows(data, cells, models, 1000), data)
    assert runner.cost.n_passes == 1
    assert case.weight is not None
    test = cells.test[cells.rule(np.arange(211))] & (case.weight > 0)
    np.testing.assert_array_equal(found.y, case.y[test])
    np.testing.assert_array_equal(found.weight, case.weight[test])
    assert models.fill is not None
    whole = np.where(np.isnan(case.matrix), models.fill, case.matrix)[test]
    expected = np.einsum("np,mcp->nmc", whole, models.coef) + models.intercept
    np.testing.assert_allclose(found.eta, expected + offset[test, None, None], rtol=1e-11)
    assert found.n_test == 1000


def test_thinning_depends_on_row_numbers_alone() -> None:
    rng = np.random.default_rng(2)
    case = Case("y", rng.normal(size=(4000, 1)), np.arange(4000.0))
    cells = split(4000)
    n_test = int(cells.test[cells.rule(np.arange(4000))].sum())
    models = Models(np.ones((1, 1, 1)), np.zeros((1, 1)))
    kept = []
    for cuts in ((), (1000, 1001, 3333)):
        data = dataset(case, cuts)
        reduction = predict_test_rows(data, cells, models, n_test, max_rows=100)
        kept.append(PassRunner(n_threads=1).run(reduction, data))
    np.testing.assert_array_equal(kept[0].y, kept[1].y)
    assert 60 < len(kept[0].y) <= 100
    assert kept[0].n_test == n_test
    assert (np.diff(kept[0].y) > 0).all()
    # spread over the whole table
    assert kept[0].y.mean() == pytest.approx(2000, abs=500)
    scores = class_scores("logistic", dataclasses.replace(kept[0], y=kept[0].y > 2000), 0)
    assert (scores.n_rows, scores.n_test) == (len(kept[0].y), n_test)


def test_a_weight_of_0_is_no_row() -> None:
    case = dataclasses.replace(mixed_case(), weight=np.zeros(211))
    data, cells = dataset(case, missing="mean"), split(211)
    models = Models(np.ones((1, 1, 9)), np.zeros((1, 1)), np.zeros(9))
    found = PassRunner(n_threads=1).run(predict_test_rows(data, cells, models, 0), data)
    assert found.eta.shape == (0, 1, 1)
    assert np.isnan(class_scores("logistic", found, 0).auc)
