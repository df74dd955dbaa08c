"""The sample of a rare class: determined by row number alone, mergeable, weighted, and useful."""

from __future__ import annotations

import numpy as np
import pytest

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.draws import hash64
from distreg.data.folds import KFold, ShuffledKFold, make_cells
from distreg.data.testsplit import TestSplit
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.sample import Sample
from distreg.summary import data_summary

N, ROWS, SEED = 20_000, 1000, 0


@pytest.fixture(scope="module")
def rare() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes of 0.3 %, 20 % and the rest, weights of which some are 0."""
    rng = np.random.default_rng(0)
    y = rng.choice(3, N, p=[0.003, 0.2, 0.797])
    weight = rng.uniform(0.5, 2.0, N)
    weight[::50] = 0.0
    return rng.standard_normal((N, 3)), y, weight


def sample_of(X, y, weight, chunk: int, threads: int = 1, test: bool = True) -> Sample:
    import dask.array as da

    parts = (da.from_array(values, chunks=chunk) for values in (X, y, weight))
    X, y, weight = parts
    data = from_arrays(X.rechunk((chunk, -1)), y, sample_weight=weight, classes=True)
    cells = make_cells(ShuffledKFold(4), N, TestSplit(0.25, seed=1) if test else None)
    reduction = data_summary(data, cells, 3, ROWS, codes=3, seed=SEED)
    return PassRunner(n_threads=threads).run(reduction, data).sample


def test_a_rare_class_has_its_part(rare) -> None:
    X, y, weight = rare
    sample = sample_of(X, y, weight, 3000)
    block = sample.block
    counts = np.bincount(block.y.astype(int))
    cells = make_cells(ShuffledKFold(4), N, TestSplit(0.25, seed=1))
    eligible = (weight > 0) & ~cells.test[cells.rule(np.arange(N))]
    drawn = hash64(SEED, np.arange(N))
    for code in range(3):
        rows = np.flatnonzero(eligible & (y == code))
        least = rows[np.argsort(drawn[rows])[: ROWS // 6]]
        wanted = np.union1d(least, rows[drawn[rows] * 2.0**-64 < ROWS / N])
        np.testing.assert_array_equal(block.row[block.y == code], wanted)
        # weights give the class what it has among the rows
        factor = block.weight[block.y == code] / weight[wanted]
        np.testing.assert_allclose(factor, ROWS / N * rows.size / wanted.size)
    assert counts[0] == np.count_nonzero(eligible & (y == 0)) < 60
    assert 100 < counts[1] < 200 < counts[2]
    np.testing.assert_array_equal(block.dense, X[block.row])


@pytest.mark.parametrize(("chunk", "threads"), [(20_000, 1), (700, 2), (150, 2)])
def test_chunks_and_workers_change_no_bit(rare, chunk: int, threads: int) -> None:
    one, other = sample_of(*rare, 3000), sample_of(*rare, chunk, threads)
    for name in ("row", "y", "weight", "dense"):
        np.testing.assert_array_equal(getattr(one.block, name), getattr(other.block, name))
    np.testing.assert_array_equal(one.cells, other.cells)


def test_a_rare_class_starts_from_the_sample(monkeypatch) -> None:
    rng = np.random.default_rng(1)
    n = 30_000
    X = rng.standard_normal((n, 8))
    eta = 0.7 * X[:, :3].sum(axis=1) + np.log(0.001)
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    data = from_arrays(X, y, classes=True)
    options = PathOptions(loss="logistic", n_alphas=10, standardize=True)
    cells = make_cells(ShuffledKFold(3, seed=0), n)

    def passes() -> int:
        result = cross_validate(data, cells, options, PassRunner(n_threads=2))
        assert result.converged
        return result.cost.n_passes

    kept = passes()

    def plain(*args, codes: int, **keywords):
        return data_summary(*args, codes=0, **keywords)

    monkeypatch.setattr("distreg.glm.fit.data_summary", plain)
    assert kept <= 12
    assert kept < passes()


def test_a_class_of_one_row_beside_two_separable_ones() -> None:
    X = np.random.default_rng(0).standard_normal((90, 3))
    y = (X[:, 0] > 0).astype(int)
    y[7] = 2
    options = PathOptions(loss="multinomial", n_alphas=5, standardize=True, max_passes=60)
    data = from_arrays(X, y, classes=True)
    # contiguous folds: the first one's training set does not know the class
    result = cross_validate(data, make_cells(KFold(3), 90), options, PassRunner(n_threads=2))
    assert result.converged
    assert np.isfinite(result.cv_mean).all()
    assert np.isfinite(result.paths[0].coef).all()
    assert np.all(result.fold_error[0] > result.fold_error[1:].min(axis=0))
