"""The linear predictor: right, and the same bits however the block is stored or cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from distreg.kernels.predictor import linear_predictor

SHAPES = [(1, 1), (3, 5), (4, 4), (37, 11), (2049, 3), (5000, 40)]


def problem(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-8, 8, size=p)
    x[rng.random((n, p)) < 0.4] = 0.0
    coef = rng.normal(size=p) * 10.0 ** rng.integers(-6, 6, size=p)
    coef[rng.random(p) < 0.3] = 0.0
    return x, coef, float(rng.normal())


def reference(x: np.ndarray, coef: np.ndarray, intercept: float) -> np.ndarray:
    """Plain Python floats in feature order."""
    rows = []
    for row in np.asarray(x, dtype=np.float64).tolist():
        total = 0.0
        for value, weight in zip(row, coef.tolist(), strict=True):
            total += value * weight
        rows.append(total + intercept)
    return np.array(rows)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    n, p = x.shape
    wide = np.full((2 * n, 3 * p), 7.0)
    wide[::2, 1::3] = x
    tall = np.asfortranarray(wide)
    return {
        "C": np.ascontiguousarray(x),
        "F": np.asfortranarray(x),
        "strided C": wide[::2, 1::3],
        "strided F": tall[::2, 1::3],
        "reversed": np.ascontiguousarray(x[::-1])[::-1],
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_layout_gives_the_bits_of_a_plain_loop(shape: tuple[int, int], dtype: type) -> None:
    x, coef, intercept = problem(*shape, seed=shape[0])
    x = x.astype(dtype)
    expected = reference(x, coef, intercept)
    for name, version in layouts(x).items():
        found = linear_predictor(version.astype(dtype, copy=False), None, coef, intercept)
        assert found.dtype == np.float64
        assert found.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_any_split_into_dense_and_sparse_features_gives_the_same_bits(
    shape: tuple[int, int], index: type
) -> None:
    x, coef, intercept = problem(*shape, seed=17)
    expected = reference(x, coef, intercept)
    for n_dense in {0, 1, shape[1] // 2, shape[1]}:
        part = sparse.csr_array(x[:, n_dense:])
        part = sparse.csr_array(
            (part.data, part.indices.astype(index), part.indptr.astype(index)), shape=part.shape
        )
        found = linear_predictor(np.asfortranarray(x[:, :n_dense]), part, coef, intercept)
        assert found.tobytes() == expected.tobytes(), n_dense


@pytest.mark.parametrize("sizes", [[1] * 97, [4, 93], [50, 0, 47], [3, 5, 7, 82]], ids=str)
def test_any_cut_into_blocks_gives_the_same_bits(sizes: list[int]) -> None:
    x, coef, intercept = problem(97, 23, seed=5)
    whole = linear_predictor(x, None, coef, intercept)
    edges = np.cumsum([0, *sizes])
    for order in ("C", "F"):
        parts = [
            linear_predictor(np.array(x[a:b], order=order), None, coef, intercept)
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_agrees_with_extended_precision() -> None:
    rng = np.random.default_rng(3)
    x, coef = rng.normal(size=(200, 50)), rng.normal(size=50)
    exact = x.astype(np.longdouble) @ coef.astype(np.longdouble) + np.longdouble(0.25)
    np.testing.assert_allclose(
        linear_predictor(x, None, coef, 0.25), exact.astype(float), rtol=0, atol=1e-12
    )


def test_no_rows_and_no_features() -> None:
    assert linear_predictor(np.empty((0, 3)), None, np.ones(3), 1.0).shape == (0,)
    np.testing.assert_array_equal(linear_predictor(np.empty((2, 0)), None, np.ones(0), 1.5), 1.5)


@pytest.mark.parametrize("order", ["C", "F"])
def test_missing_value_reaches_the_answer_only_through_its_coefficient(order: str) -> None:
    x = np.array([[1.0, np.nan], [np.nan, 2.0]], order=order)
    found = linear_predictor(x, None, np.array([0.0, 2.0]), 1.0)
    np.testing.assert_array_equal(found, [np.nan, 5.0])
