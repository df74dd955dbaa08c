"""The compiled tiles of an evaluation against the same in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from distreg.kernels.tiles import centre_columns, centre_rows, weight_rows


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("into", [np.float32, np.float64])
@pytest.mark.parametrize(("fill", "order"), [(centre_rows, "C"), (centre_columns, "F")])
def test_centred_tiles(fill, order: str, kind: type, into: type, missing: bool) -> None:
    rng = np.random.default_rng(0)
    dense = np.asarray(rng.standard_normal((30, 5)), kind, order=order)
    if missing:
        dense[rng.random(dense.shape) < 0.2] = np.nan
    rows, centre, inverse = rng.permutation(30)[:11], rng.standard_normal(5), rng.random(5)
    # one more column, of an indicator, is left alone
    out = np.full((11, 6), 7.0, into)
    fill(dense, rows, centre, inverse, out)
    expected = (dense[rows].astype(np.float64) - centre) * inverse
    np.testing.assert_allclose(out[:, :5], np.nan_to_num(expected), rtol=4 * np.finfo(into).eps)
    np.testing.assert_array_equal(out[:, 5], 7.0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_weighted_rows(kind: type) -> None:
    rng = np.random.default_rng(1)
    tile, factors = rng.standard_normal((9, 6)).astype(kind), rng.random((9, 2)).astype(kind)
    columns, out = np.array([0, 2, 5]), np.empty((9, 4), kind)
    weight_rows(tile, columns, factors[:, 1], out)
    np.testing.assert_array_equal(out[:, :3], tile[:, columns] * factors[:, 1:])
    np.testing.assert_array_equal(out[:, 3], factors[:, 1])
