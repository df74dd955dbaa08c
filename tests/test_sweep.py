"""Few columns in one sweep without a copy: the same sums as many columns in tiles."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from distreg.data.block import Block
from distreg.evaluation import Evaluation, Request, evaluate, finish
from distreg.kernels.evaluator import Points
from distreg.kernels.rows import HELD_OUT, NONE, TEST, TRAIN
from distreg.kernels.sweep import MOST_COLUMNS
from distreg.losses import LOSSES, get_loss

SINGLE = sorted(set(LOSSES) - {"multinomial"})
ROLE = np.array([[TRAIN, TRAIN], [TRAIN, HELD_OUT], [TEST, TEST], [NONE, NONE]], np.int8)
MANY = 9
"""Fits of the second training set beside which columns are neither few nor without a copy."""


def make_block(n: int, p: int, order: str, extras: bool) -> tuple[Block, np.ndarray]:
    """Uncentred rows in four cells; with weights (some of them 0) and an offset as extras."""
    rng = np.random.default_rng(n + p)
    dense = np.asarray(rng.standard_normal((n, p)) + 30.0, order=order)  # type: ignore[call-overload]
    weight = rng.integers(0, 3, n) * rng.random(n)
    block = Block(
        dense=dense.astype(np.float32, order="K") if extras else dense,
        sparse=None,
        y=(rng.random(n) < 0.4).astype(float),
        weight=weight if extras else None,
        offset=0.1 * rng.standard_normal(n) if extras else None,
        row=np.arange(n),
    )
    return block, rng.integers(0, 4, n)


def make_points(loss: str, p: int, bounds: list[int], n_classes: int = 1) -> Points:
    rng = np.random.default_rng(p)
    parameter = {"huber": 0.7, "quantile": 0.3}.get(loss)
    chosen = get_loss(loss, parameter)
    coef = rng.standard_normal((p, n_classes)) / np.sqrt(p)
    coef[::2] = 0.0
    width = bounds[-1]
    return Points(
        loss=chosen.code, parameter=chosen.parameter, n_classes=n_classes,
        centre=np.full(p, 29.0), missing=np.empty(0, dtype=np.int64), coef=np.tile(coef, width),
        intercept=np.tile(np.linspace(0.2, -0.3, n_classes), width), bounds=np.array(bounds),
        role=ROLE, by_cell=False, anchors=np.empty(0, dtype=np.int64),
        rare=np.empty(0, dtype=np.int64),
    )  # fmt: skip


def evaluated(
    points: Points,
    block: Block,
    cells: np.ndarray,
    features: Sequence[int] | None = None,
    cell_of: Sequence[int] = (0, 0, 0, 0),
) -> Evaluation:
    """With curvature of all features, or of some."""
    some = np.arange(points.centre.size) if features is None else np.array(features)
    request = Request(points, some, np.array(cell_of))
    return finish(request, evaluate(request, iter([(block, cells)])))


def check_same(few: Evaluation, many: Evaluation, places: list[int], n_classes: int) -> None:
    """The fits of `few` are those at `places` of `many`."""
    columns = np.add.outer(np.array(places) * n_classes, np.arange(n_classes)).ravel()
    for one, other in zip(few.sums, many.sums, strict=True):
        for mine, theirs in zip(one.arrays(), other.arrays(), strict=True):
            at = places if theirs.size != many.grad.shape[2] else columns
            np.testing.assert_allclose(mine, theirs[at], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(few.grad, many.grad[:, :, columns], rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "order", "extras", "n", "p"),
    [
        (loss, order, extras, n, p)
        for loss, order, extras in itertools.product(SINGLE, "CF", (False, True))
        for n, p in ((1, 3), (700, 5), (900, 4000))
        if p < 100 or loss == "logistic"
    ],
)
@pytest.mark.parametrize("by_cell", [False, True])
def test_a_sweep_gives_the_sums_of_tiles(
    loss: str, order: str, extras: bool, n: int, p: int, by_cell: bool
) -> None:
    block, cells = make_block(n, p, order, extras)
    many = replace(make_points(loss, p, [0, MANY - 1, MANY]), by_cell=by_cell)
    few = replace(make_points(loss, p, [0, 1, 2]), by_cell=by_cell)
    assert few.coef.shape[1] <= MOST_COLUMNS < many.coef.shape[1]
    places = [0, MANY - 1]
    check_same(evaluated(few, block, cells), evaluated(many, block, cells), places, 1)


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_fit_of_two_classes_is_swept(order: str) -> None:
    block, cells = make_block(800, 6, order, True)
    few = replace(make_points("multinomial", 6, [0, 1], 2), role=ROLE[:, :1])
    many = replace(make_points("multinomial", 6, [0, MANY], 2), role=ROLE[:, :1])
    check_same(evaluated(few, block, cells), evaluated(many, block, cells), [0], 2)


@pytest.mark.parametrize(
    ("loss", "order", "extras", "features", "cell_of"),
    [
        (loss, order, extras, features, cell_of)
        for loss in SINGLE
        for order in "CF"
        for extras in (False, True)
        for features, cell_of in ((None, (0, 0, 0, 0)), ([1, 4], (0, -1, 1, 1)))
    ],
)
def test_curvature_of_few_fits_is_that_of_many(
    loss: str, order: str, extras: bool, features: list[int] | None, cell_of: tuple[int, ...]
) -> None:
    block, cells = make_block(4500, 5, order, extras)
    few = replace(make_points(loss, 5, [0, 1, 2]), anchors=np.array([0, 1]))
    many = replace(make_points(loss, 5, [0, MANY - 1, MANY]), anchors=np.arange(MANY))
    one, other = (evaluated(at, block, cells, features, cell_of) for at in (few, many))
    places = [0, MANY - 1]
    check_same(one, other, places, 1)
    for mine, place in zip(one.curvature, places, strict=True):
        assert mine.grams[0].any() == (loss not in {"hinge", "quantile"})
        expected = other.curvature[place].grams[0]
        np.testing.assert_allclose(mine.grams[0], expected, rtol=1e-12, atol=1e-9)


def test_the_units_of_single_precision_are_taken_back() -> None:
    block, cells = make_block(700, 5, "C", False)
    points = make_points("logistic", 5, [0, 1, 2])
    scaled = replace(points, scale=np.geomspace(1e-3, 1e3, 5))
    plain, single = evaluated(points, block, cells), evaluated(scaled, block, cells)
    np.testing.assert_allclose(single.grad, plain.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_curvature_of_few_fits_in_single_precision(order: str) -> None:
    block, cells = make_block(3000, 5, order, False)
    points = replace(make_points("logistic", 5, [0, 1, 2]), anchors=np.array([0, 1]))
    plain = evaluated(points, block, cells).curvature
    single = evaluated(replace(points, scale=np.ones(5)), block, cells).curvature
    for one, other in zip(plain, single, strict=True):
        assert not np.array_equal(one.grams[0], other.grams[0])
        np.testing.assert_allclose(other.grams[0], one.grams[0], rtol=1e-5, atol=1e-2)


def test_a_state_takes_nothing_along_that_only_blocks_need() -> None:
    block, cells = make_block(3000, 40, "C", False)
    points = replace(make_points("logistic", 40, [0, 1, 2]), anchors=np.array([0, 1]))
    request = Request(points, np.arange(40), np.zeros(4, dtype=np.int64))
    state = evaluate(request, iter([(block, cells)]))
    assert state.curvature is not None
    arrays = state.curvature.dense.nbytes + state.grad.nbytes
    assert arrays < len(pickle.dumps(state)) < arrays + 5000


def test_a_predictor_out_of_range_makes_the_loss_infinite() -> None:
    block, cells = make_block(700, 5, "C", False)
    points = make_points("squared", 5, [0, 1, 2])
    with np.errstate(over="ignore", invalid="ignore"):
        far = replace(points, coef=points.coef * 1e300)
        assert np.all(evaluated(far, block, cells).sums[0].train == np.inf)
