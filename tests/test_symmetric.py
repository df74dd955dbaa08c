"""The compiled pieces of a step against the same in NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from distreg.glm.between import Between
from distreg.glm.metric import Metric
from distreg.kernels.symmetric import (
    ROUNDING,
    add_low_rank,
    block_between,
    product_of,
    profiled,
    with_unit_diagonal,
)

P = 9
CHOSEN = [np.arange(P), np.array([0, 3, 4, 8]), np.array([5]), np.empty(0, dtype=np.int64)]


def grams(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    Z = np.random.default_rng(seed).standard_normal((2, 20, P))
    return Z[0].T @ Z[0], Z[1].T @ Z[1]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("chosen", CHOSEN, ids=len)
def test_between_two_matrices(share: float, chosen: np.ndarray) -> None:
    left, right = grams()
    whole = (1.0 - share) * left + share * right
    np.testing.assert_allclose(
        block_between((left, right, share), chosen), whole[np.ix_(chosen, chosen)], rtol=1e-13
    )
    move = np.zeros(P)
    move[chosen] = np.random.default_rng(1).standard_normal(chosen.size)
    low = np.random.default_rng(4).standard_normal((2, 3, P))
    for rank in (0, 3):
        found = product_of((left, right, share), low[:, :rank].copy(), move)
        expected = (whole + low[0, :rank].T @ low[1, :rank]) @ move
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 4])
@pytest.mark.parametrize("chosen", CHOSEN, ids=len)
def test_low_rank(rank: int, chosen: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    left, right = rng.standard_normal((2, rank, P))
    matrix = rng.standard_normal((chosen.size, chosen.size))
    expected = matrix + left[:, chosen].T @ right[:, chosen]
    if rank:
        expected += ROUNDING * np.diag(np.diagonal(expected))
    add_low_rank(matrix, left, right, chosen)
    np.testing.assert_allclose(matrix, expected, atol=1e-13)


@pytest.mark.parametrize("n_classes", [0, 1, 3])
@pytest.mark.parametrize(("damping", "lift"), [(1.0, 0.0), (4.0, 0.2)])
@pytest.mark.parametrize("chosen", CHOSEN, ids=len)
def test_profiled(n_classes: int, damping: float, lift: float, chosen: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    cross, follow = rng.standard_normal((2, n_classes, P))
    hessian, lost = grams()[0][np.ix_(chosen, chosen)], 0.01
    expected = hessian - cross[:, chosen].T @ follow[:, chosen]
    if n_classes:
        expected += lost * np.diag(np.diagonal(hessian))
    if damping != 1.0:
        expected = damping * expected + lift * np.eye(chosen.size)
    profiled(hessian, cross, follow, chosen, lost, damping, lift)
    np.testing.assert_allclose(hessian, expected, rtol=1e-12, atol=1e-12)


def test_unit_diagonal() -> None:
    gram = grams()[0]
    root, usable = np.sqrt(np.diagonal(gram)), np.arange(P) != 2
    expected = gram / np.outer(root, root)
    np.fill_diagonal(expected, np.where(usable, 1.0, 0.0))
    with_unit_diagonal(gram, 1.0 / root, usable)
    np.testing.assert_allclose(gram, expected, rtol=1e-13)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_curvature_that_overflowed_makes_no_step_and_no_noise(share: float) -> None:
    gram = grams()[0]
    finite = Metric(np.ones((1, 1)), np.ones((1, P)), gram)
    beyond = Metric(np.full((1, 1), np.inf), np.full((1, P), np.inf), np.full((P, P), np.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Between(finite, finite, share).is_bounded
        assert not Between(beyond, beyond, share).is_bounded
        assert Between(finite, beyond, share).is_bounded == (share == 0.0)
        assert Between(beyond, finite, share).is_bounded == (share == 1.0)
