"""The summary pass equals NumPy on the rows of each training set, however the data are cut."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import Case, Rows, dataset, named_cases
from scipy import sparse

from distreg.data.arrays import from_arrays
from distreg.data.block import Block
from distreg.data.dataset import Dataset
from distreg.data.folds import Cells, GivenFolds, KFold, ShuffledKFold, TestSplit, make_cells
from distreg.exceptions import DataError
from distreg.passes import PassRunner
from distreg.summary import DataSummary, Sample, TrainingSummary, data_summary
from distreg.training import cell_moments

Array = np.ndarray
TIGHT = {"rtol": 1e-10, "atol": 1e-13}


def summarise(
    data: Dataset,
    cells: Cells,
    n_classes: int = 1,
    rows: int = 20,
    threads: int = 1,
    **options: Any,
) -> DataSummary:
    reduction = data_summary(data, cells, n_classes, rows, **options)
    return PassRunner(n_threads=threads).run(reduction, data)


def whole(case: Case, cuts: Any = (), n_classes: int = 1, **keywords: Any) -> TrainingSummary:
    data = dataset(case, cuts, **keywords)
    found = summarise(data, make_cells(KFold(3), data.n_rows), n_classes)
    return found.training(np.ones(3, dtype=bool), True, True)


def expected(
    X: Array, y: Array, weight: Array | None, n_classes: int, intercept: bool, standardize: bool
) -> dict[str, Any]:
    """The same by NumPy, in extended precision."""
    s = (np.ones(len(y)) if weight is None else weight).astype(np.longdouble)
    X, keep = X.astype(np.longdouble), s > 0
    X, y, s = X[keep], y[keep], s[keep]
    targets = y[:, None].astype(np.longdouble)
    if n_classes > 1:
        targets = (y[:, None] == np.arange(n_classes)).astype(np.longdouble)
    share = s[:, None] * ~np.isnan(X)
    mean = np.where(np.isnan(X), 0, X * share).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-300)
    deviation = np.where(np.isnan(X), 0, X - mean)
    target = (s @ targets) / s.sum()
    variance = (s @ deviation**2) / s.sum()
    square = variance if intercept else variance + mean**2
    if standardize and not intercept:
        square = np.where(variance > 0, square, 0)
    return {
        "weight": s.sum(),
        "n_rows": keep.sum(),
        "mean": mean,
        "sd": np.sqrt(variance),
        "scale": np.sqrt(np.where(square > 0, square, 1)),
        "usable": square > 0,
        "target": target,
        "cross": (deviation * s[:, None]).T @ (targets - target) / s.sum(),
    }


def assert_summary(found: TrainingSummary, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        value = np.asarray(value).astype(float)
        # products are rounded in units of the feature's spread
        unit = np.asarray(wanted["sd"]).astype(float)[:, None] if name == "cross" else 1.0
        error = np.abs(getattr(found, name) - value) / np.where(unit > 0, unit, 1.0)
        assert np.all(error <= 1e-10 * (1.0 + np.abs(value) * (name != "cross"))), name


def holes(case: Case) -> Case:
    X = np.array(case.X, dtype=float)
    X[np.random.default_rng(4).random(X.shape) < 0.2] = np.nan
    X[: len(X) // 2, 1] = np.nan
    return dataclasses.replace(case, X=X)


def classes_of(case: Case, n_classes: int = 3) -> Case:
    codes = np.random.default_rng(8).integers(0, n_classes, len(case.y)).astype(float)
    return dataclasses.replace(case, y=codes)


@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize("case", named_cases(), ids=lambda c: c.name)
def test_every_training_set_equals_numpy(case: Case, n_classes: int) -> None:
    n = len(case.y)
    case = case if n_classes == 1 else classes_of(case)
    for cuts in [(), (1, n // 3, n - 1)]:
        data = dataset(case, cuts)
        cells = make_cells(ShuffledKFold(4, seed=1), n)
        found = summarise(data, cells, n_classes)
        of_row = cells.rule(np.arange(n))
        for mask in [cells.full, *cells.train]:
            rows = mask[of_row]
            weight = None if case.weight is None else case.weight[rows]
            for options in [(True, True), (False, True), (False, False)]:
                wanted = expected(case.matrix[rows], case.y[rows], weight, n_classes, *options)
                assert_summary(found.training(mask, *options), wanted)


@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_missing_values_count_as_the_mean_of_their_training_set(
    n_classes: int, weighted: bool
) -> None:
    rng = np.random.default_rng(3)
    n = 300
    weight = rng.exponential(size=n) * (rng.random(n) > 0.2) if weighted else None
    case = holes(Case("holes", rng.normal(size=(n, 4)) + 1e3, rng.normal(size=n) + 5, weight))
    case.X[:, 3] = np.arange(n)
    case = case if n_classes == 1 else classes_of(case)
    for cuts in [(), (7, 150, 151)]:
        data = dataset(case, cuts, missing="mean")
        cells = make_cells(KFold(4), n)
        found = summarise(data, cells, n_classes)
        np.testing.assert_array_equal(found.missing, [0, 1, 2])
        of_row = cells.rule(np.arange(n))
        for mask in [cells.full, *cells.train]:
            rows = mask[of_row]
            s = None if weight is None else weight[rows]
            one = found.training(mask, True, False)
            assert_summary(one, expected(case.X[rows], case.y[rows], s, n_classes, True, False))
            np.testing.assert_array_equal(one.fill, one.mean[:3])


@given(
    cuts=st.lists(st.integers(1, 89), max_size=12),
    per_group=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_chunking_gives_the_same(cuts: list[int], per_group: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(90, 4)) * 10.0 ** rng.uniform(-3, 3, 4) + rng.uniform(-1e3, 1e3, 4)
    X[rng.random(X.shape) < 0.1] = np.nan
    hot = sparse.random_array((90, 5), density=0.3, rng=rng, format="csr")
    weight = rng.exponential(size=90) * (rng.random(90) > 0.1)
    case = Case("cut", (X, sparse.csr_array(hot)), rng.poisson(2, 90).astype(float), weight)
    cells = make_cells(ShuffledKFold(3, seed=2), 90, TestSplit(0.2, seed=5))
    results = []
    for where in ((), cuts):
        # `dataset` cannot say that only dense features may be missing
        data = dataclasses.replace(dataset(case, where, per_group=per_group), missing="mean")
        results.append(summarise(data, cells, nonnegative=True))
    one, two = results
    for field in dataclasses.fields(DataSummary):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if field.name == "sample":
            assert_same_bits(a, b)
        elif field.name == "m2" or field.name == "cross":
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.nanmax(np.abs(a)))
        else:
            np.testing.assert_allclose(a, b, **TIGHT)


def assert_same_bits(one: Sample, two: Sample) -> None:
    np.testing.assert_array_equal(one.cells, two.cells)
    assert one.whole == two.whole
    for name in ("dense", "y", "weight", "offset", "row"):
        a, b = getattr(one.block, name), getattr(two.block, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert (one.block.sparse is None) == (two.block.sparse is None)
    if one.block.sparse is not None:
        for name in ("data", "indices", "indptr"):
            a, b = getattr(one.block.sparse, name), getattr(two.block.sparse, name)
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_no_bit(threads: int) -> None:
    rng = np.random.default_rng(6)
    case = Case("threads", rng.normal(size=(4000, 30)) + 1e4, rng.normal(size=4000))
    data = dataset(case, range(100, 4000, 100))
    cells = make_cells(ShuffledKFold(5, seed=0), 4000)
    one, two = summarise(data, cells), summarise(data, cells, threads=threads)
    for field in dataclasses.fields(DataSummary):
        if field.name != "sample":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert_same_bits(one.sample, two.sample)


# --- accuracy ------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["C", "F", "float32", "sparse"])
@pytest.mark.parametrize("ratio", [1e2, 1e6])
def test_no_accuracy_is_lost_far_from_zero(ratio: float, form: str) -> None:
    rng = np.random.default_rng(int(ratio))
    n = 3000
    X: Any = rng.normal(size=(n, 3)) * [1e-3, 1, 1e3] + ratio * np.array([1e-3, -1, 1e3])
    X = (
        X.astype(np.float32)
        if form == "float32"
        else np.asarray(X, order="F" if form == "F" else "C")
    )
    y = X[:, 1].astype(float) + rng.normal(size=n) + ratio
    weight = rng.exponential(size=n)
    given_X = sparse.csr_array(X) if form == "sparse" else X
    found = whole(Case("far", given_X, y, weight), (5, 1200, 1201))
    wanted = expected(X, y, weight, 1, True, True)
    np.testing.assert_allclose(found.sd, wanted["sd"].astype(float), rtol=1e-9)
    np.testing.assert_allclose(found.mean, wanted["mean"].astype(float), rtol=1e-14)
    unit = wanted["sd"].astype(float)[:, None]
    np.testing.assert_allclose(
        found.cross / unit, wanted["cross"].astype(float) / unit, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e6 + 0.1, -1e-7])
@pytest.mark.parametrize("form", ["dense", "sparse", "missing"])
@pytest.mark.parametrize("n", [7, 5000])
def test_a_constant_column_is_constant(value: float, form: str, n: int) -> None:
    rng = np.random.default_rng(10)
    noise = rng.normal(size=(n, 1))
    X = np.hstack([noise, np.full((n, 1), value)])
    if form == "missing":
        X[rng.random(n) < 0.3, 1] = np.nan
    case = Case("constant", sparse.csr_array(X) if form == "sparse" else X, noise[:, 0],
                rng.exponential(size=n))  # fmt: skip
    data = dataset(case, (n // 3, n // 2), missing="mean" if form == "missing" else "error")
    found = summarise(data, make_cells(KFold(3), n))
    for intercept, standardize in [(True, True), (True, False), (False, True), (False, False)]:
        one = found.training(np.array([True, True, False]), intercept, standardize)
        assert one.sd[1] == 0
        assert not one.cross[1].any()
        assert one.usable[1] == (value != 0 and not intercept and not standardize)
        assert one.scale[1] == pytest.approx(abs(value) if one.usable[1] else 1.0, rel=1e-13)
        assert one.usable[0]


def test_a_target_without_variation_has_no_product() -> None:
    X = np.random.default_rng(0).normal(size=(500, 3))
    found = whole(Case("constant target", X, np.full(500, 0.1)), (100, 333))
    np.testing.assert_array_equal(found.target, [0.1])
    assert np.all(np.abs(found.cross) < 1e-17)


def test_it_agrees_with_the_pass_of_the_squared_loss() -> None:
    for case in named_cases():
        data = dataset(case, (20, 31))
        cells = make_cells(KFold(3), data.n_rows)
        moments = PassRunner(n_threads=1).run(cell_moments(data, cells), data)
        one = summarise(data, cells).training(cells.train[1], False, True)
        two = moments.training(cells.train[1], False, True)
        for name in ("weight", "n_rows", "mean", "sd", "scale"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-10)


# --- what is counted -----------------------------------------------------------------------------
def test_cells_without_rows_and_a_training_set_of_none() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    weight = np.ones(60)
    weight[20:40] = 0
    data = dataset(Case("gap", X, y, weight), tuple(range(1, 60)))
    cells = make_cells(KFold(3), 60)
    found = summarise(data, cells)
    np.testing.assert_array_equal(found.count, [20, 0, 20])
    assert found.weight[1] == 0
    assert np.all(np.isinf(found.low[1]))
    rows = np.r_[0:20]
    one = found.training(np.array([True, True, False]), True, True)
    assert_summary(one, expected(X[rows], y[rows], None, 1, True, True))
    with pytest.raises(DataError, match="weight"):
        found.training(np.array([False, True, False]), True, True)


def test_a_feature_that_a_training_set_never_has() -> None:
    X = np.random.default_rng(2).normal(size=(60, 2))
    X[:20, 1] = np.nan
    data = dataset(Case("never", X, X[:, 0].copy()), missing="mean")
    found = summarise(data, make_cells(KFold(3), 60))
    one = found.training(np.array([True, False, False]), True, True)
    assert not one.usable[1]
    assert (one.mean[1], one.sd[1], one.scale[1]) == (0, 0, 1)
    np.testing.assert_array_equal(one.fill, [0])


def test_range_and_y_log_y() -> None:
    rng = np.random.default_rng(7)
    hot = sparse.csr_array(np.array([[0.0, 2, -1], [3, 4, 0], [1, 5, -2]] * 10))
    dense = rng.normal(size=(30, 1))
    y = rng.poisson(1.0, 30).astype(float)
    weight = rng.exponential(size=30)
    data = dataset(Case("range", (dense, hot), y, weight), (11,))
    found = summarise(data, make_cells(None, 30), nonnegative=True)
    np.testing.assert_array_equal(found.low[0], [dense.min(), 0, 2, -2])
    np.testing.assert_array_equal(found.high[0], [dense.max(), 3, 5, 0])
    wanted = sum(s * v * np.log(v) for s, v in zip(weight, y, strict=True) if v > 0)
    np.testing.assert_allclose(found.y_log_y, [wanted], rtol=1e-13)
    one = found.training(np.array([True]), True, True)
    assert one.y_log_y == pytest.approx(wanted / weight.sum(), rel=1e-13)
    assert summarise(data, make_cells(None, 30)).y_log_y[0] == 0


# --- the sample ----------------------------------------------------------------------------------
def test_the_sample_is_of_the_size_asked_for() -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    weight = np.ones(n)
    weight[::10] = 0
    X = rng.normal(size=(n, 2)).astype(np.float32)
    X[3] = np.inf  # of a row without weight or of none that is drawn
    weight[3] = 0
    data = dataset(Case("sample", X, rng.normal(size=n), weight), (1, 7000), per_group=2)
    cells = make_cells(ShuffledKFold(5, seed=0), n, TestSplit(0.25, seed=1))
    sample = summarise(data, cells, rows=4000).sample
    assert abs(sample.block.n_rows - 4000 * 0.9 * 0.75) < 300
    assert not sample.whole
    block = sample.block
    np.testing.assert_array_equal(block.dense, X[block.row].astype(float))
    assert block.dense.dtype == np.float64
    assert block.dense.flags.c_contiguous
    assert np.all(np.diff(block.row) > 0)
    np.testing.assert_array_equal(sample.cells, cells.rule(block.row))
    assert sample.cells.dtype == np.int32
    assert not cells.test[sample.cells].any()
    other = summarise(data, cells, rows=4000, seed=1).sample
    assert not np.array_equal(other.block.row[:100], block.row[:100])


def test_a_sample_of_all_rows() -> None:
    rng = np.random.default_rng(1)
    X = sparse.random_array((50, 6), density=0.3, rng=rng, format="csr")
    data = dataset(Case("all", sparse.csr_array(X), np.arange(50.0)), (10, 11))
    cells = make_cells(KFold(2), 50, TestSplit(0.2, kind="tail"))
    sample = summarise(data, cells, rows=50).sample
    assert sample.whole
    np.testing.assert_array_equal(sample.block.row, np.arange(40))
    assert sample.block.sparse is not None
    np.testing.assert_array_equal(sample.block.sparse.toarray(), X.toarray()[:40])
    assert sample.block.sparse.indices.dtype == np.int32
    assert sample.block.dense.shape == (40, 0)
    assert summarise(data, cells, rows=0).sample.block.n_rows == 0


# --- defects -------------------------------------------------------------------------------------
def with_offset(data: Dataset, offset: Array) -> Dataset:
    """The same blocks with an offset."""
    groups = []
    for group in data.groups:
        recipes = []
        for recipe in group.recipes:
            assert isinstance(recipe, Rows)
            block: Block = recipe.block
            block = dataclasses.replace(block, offset=offset[block.row])
            recipes.append(dataclasses.replace(recipe, block=block))
        groups.append(dataclasses.replace(group, recipes=tuple(recipes)))
    return dataclasses.replace(data, groups=tuple(groups), has_offset=True)


@pytest.mark.parametrize("missing", ["error", "mean"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0])
@pytest.mark.parametrize("where", ["feature", "sparse", "target", "weight", "offset"])
@pytest.mark.parametrize("cuts", [(), (10, 18, 42), tuple(range(1, 60))])
def test_defects_are_named_as_by_the_squared_loss(
    where: str, value: float, missing: str, cuts: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    dense, hot, y, weight = (
        rng.normal(size=(60, 3)),
        rng.normal(size=(60, 2)),
        rng.normal(size=60),
        np.ones(60),
    )
    offset = rng.normal(size=60)
    parts = {
        "feature": dense[:, 2],
        "sparse": hot[:, 1],
        "target": y,
        "weight": weight,
        "offset": offset,
    }
    parts[where][[17, 41]] = value
    case = Case("bad", (dense, sparse.csr_array(hot)), y, weight)
    data = with_offset(
        dataclasses.replace(dataset(case, cuts, per_group=2), missing=missing), offset
    )
    cells = make_cells(KFold(3), 60)

    def message(reduction: Any) -> str:
        try:
            PassRunner(n_threads=1).run(reduction, data)
        except DataError as error:
            return str(error)
        return ""

    assert message(data_summary(data, cells, 1, 10)) == message(cell_moments(data, cells))


def test_a_negative_count_is_named() -> None:
    X, y = np.ones((30, 2)), np.arange(30.0)
    y[[5, 9]] = -1
    data = dataset(Case("negative", X, y), (7,))
    with pytest.raises(DataError, match=r"(?s)target: 2 negative values, first in row 5.*counts"):
        summarise(data, make_cells(None, 30), nonnegative=True)
    summarise(data, make_cells(None, 30))


def test_a_defect_of_a_row_without_weight_is_none() -> None:
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(30, 2)), rng.normal(size=30), np.ones(30)
    X[4], y[4], weight[4] = [np.inf, 1], np.nan, 0
    found = whole(Case("unused", X, y, weight), (7,))
    rows = np.arange(30) != 4
    assert_summary(found, expected(X[rows], y[rows], None, 1, True, True))


def test_values_whose_squares_overflow_are_named() -> None:
    X = np.random.default_rng(0).normal(size=(30, 4))
    X[7, 3] = 1e200
    with pytest.raises(DataError, match=r"x3.*overflows"):
        whole(Case("huge", X, X[:, 0].copy()))


def test_codes_outside_the_classes_are_refused() -> None:
    with pytest.raises(DataError, match="class"):
        whole(Case("codes", np.ones((9, 1)), np.arange(9.0)), n_classes=3)


# --- checkpoints ---------------------------------------------------------------------------------
class Memory:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Array]] = {}

    def load(self, name: str) -> dict[str, Array] | None:
        kept = self.kept.get(name)
        return None if kept is None else {key: values.copy() for key, values in kept.items()}

    def save(self, name: str, arrays: dict[str, Array]) -> None:
        assert all(isinstance(values, np.ndarray) for values in arrays.values())
        self.kept[name] = {key: values.copy() for key, values in arrays.items()}


@pytest.mark.parametrize("form", ["dense", "mixed"])
def test_a_checkpoint_gives_the_same(form: str) -> None:
    rng = np.random.default_rng(3)
    dense, hot = rng.normal(size=(90, 3)), sparse.csr_array(rng.poisson(0.3, (90, 4)).astype(float))
    X: Any = dense if form == "dense" else (dense, hot)
    data = dataset(Case(form, X, rng.normal(size=90), rng.exponential(size=90)), range(1, 90))
    cells = make_cells(GivenFolds(np.arange(90) % 3), 90)
    memory = Memory()
    results = []
    for _ in range(2):
        runner = PassRunner(n_threads=1, checkpoint=memory)
        results.append(runner.run(data_summary(data, cells, 1, 40), data))
    assert len(memory.kept) == 1
    assert runner.cost.n_block_reads == 0
    one, two = results
    for field in dataclasses.fields(DataSummary):
        if field.name != "sample":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert_same_bits(one.sample, two.sample)


@pytest.mark.parametrize("level", [0.0, 1e6])
def test_variance_of_the_target(level: float) -> None:
    """Over blocks, cells and weights, far from 0; of a number it is that less the offset."""
    rng = np.random.default_rng(9)
    X, y, weight = rng.normal(size=(90, 2)), rng.normal(size=90) + level, rng.exponential(size=90)
    cells, every = make_cells(KFold(3), 90), np.ones(3, dtype=bool)
    found = summarise(dataset(Case("spread", X, y, weight), (20, 50)), cells)
    one = found.training(every, True, True)
    wanted = np.cov(y, aweights=weight, ddof=0)
    assert one.variance == pytest.approx(wanted, rel=1e-8)
    assert one.square(fit_intercept=True) == one.variance
    assert one.square(fit_intercept=False) == pytest.approx(np.average(y**2, weights=weight))
    part = np.array([False, True, False])
    own = np.cov(y[30:60], aweights=weight[30:60], ddof=0)
    assert found.variance_of(part) == pytest.approx(own, rel=1e-8)
    offset = 3.0 * rng.normal(size=90)
    data = from_arrays(X, y, sample_weight=weight, offset=offset)
    shifted = summarise(data, cells).training(every, True, True)
    assert shifted.variance == pytest.approx(np.cov(y - offset, aweights=weight, ddof=0), rel=1e-8)
    assert shifted.target[0] == pytest.approx(np.average(y - offset, weights=weight), rel=1e-12)
