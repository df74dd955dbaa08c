"""Groups follow from the data alone, keep the order, and have a fit size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from blocks import read
from hypothesis import given, settings
from hypothesis import strategies as st

from distreg.data import from_arrays
from distreg.data.dataset import GROUP_BYTES, INPUT_BYTES, make_groups, row_cuts


@dataclass(frozen=True)
class Sized:
    """A recipe that has a size and nothing else."""

    index: int
    nbytes: int
    inputs: tuple[Any, ...] = ()
    stream_key: Any = None


def flat(groups):
    return [recipe for group in groups for recipe in group.recipes]


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(0, 60_000_000), min_size=1, max_size=60))
def test_groups_keep_order_and_have_at_least_8_mb(sizes):
    recipes = [Sized(k, size) for k, size in enumerate(sizes)]
    groups = make_groups(recipes)
    assert flat(groups) == recipes
    assert [group.index for group in groups] == list(range(len(groups)))
    assert len(groups) <= min(16, len(recipes), max(1, sum(sizes) // GROUP_BYTES))


@pytest.mark.parametrize(
    ("size", "count", "wanted"), [(60_000_000, 64, 16), (60_000_000, 1000, 60)]
)
def test_number_of_groups(size, count, wanted):
    groups = make_groups([Sized(k, size) for k in range(count)])
    assert len(groups) == wanted
    per_group = [len(group.recipes) for group in groups]
    assert max(per_group) - min(per_group) <= 1


@settings(max_examples=200, deadline=None)
@given(sizes=st.lists(st.integers(1, 100_000_000), min_size=1, max_size=60))
def test_inputs_of_a_group_are_bounded(sizes):
    recipes = [Sized(k, size, inputs=("chunk",)) for k, size in enumerate(sizes)]
    groups = make_groups(recipes)
    assert flat(groups) == recipes
    for group in groups:
        total = sum(recipe.nbytes for recipe in group.recipes)
        assert total <= INPUT_BYTES or len(group.recipes) == 1


def test_slices_of_a_row_group_stay_together():
    recipes = [Sized(k, 50_000_000, stream_key=k // 5) for k in range(40)]
    assert [len(group.recipes) for group in make_groups(recipes)] == [5] * 8
    alone = [Sized(k, 50_000_000, stream_key=0) for k in range(20)]
    assert [len(group.recipes) for group in make_groups(alone)] == [5] * 4


def test_regrouping_keeps_the_blocks():
    X = np.arange(40_000 * 150, dtype=np.float32).reshape(40_000, 150)
    data = from_arrays(X, np.zeros(40_000))
    assert len(data.groups) > 2
    for limit in (1, 2, 100):
        other = data.regroup(limit)
        assert len(other.groups) == min(limit, len(data.groups))
        assert other.recipes == data.recipes
    np.testing.assert_array_equal(read(data.regroup(1)).X, X)
    assert replace(data, name="other").digest == data.digest


@given(n_rows=st.integers(1, 1000), n_parts=st.integers(1, 50))
def test_row_cuts_are_even(n_rows, n_parts):
    cuts = row_cuts(n_rows, n_parts)
    assert cuts[0][0] == 0
    assert cuts[-1][1] == n_rows
    assert all(a[1] == b[0] for a, b in zip(cuts[:-1], cuts[1:], strict=True))
    lengths = [stop - start for start, stop in cuts]
    assert min(lengths) >= 1
    assert max(lengths) - min(lengths) <= 1
