"""Folds: equal to scikit-learn's, whatever the blocks; test rows; what users may pass as cv."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import model_selection as sk

from distreg.data.folds import (
    FoldColumn,
    GivenFolds,
    GroupKFold,
    KFold,
    ShuffledKFold,
    TestSplit,
    TimeSeriesSplit,
    check_cv,
    from_splits,
    make_cells,
)
from distreg.exceptions import DataError, InputError

KEY = np.random.default_rng(3).integers(-5, 30, size=211)

SCHEMES = {
    "kfold": KFold(4),
    "shuffled": ShuffledKFold(5, seed=7),
    "group": GroupKFold(3, seed=1),
    "time": TimeSeriesSplit(4),
    "given": GivenFolds(np.random.default_rng(0).integers(-1, 4, size=211)),
    "column": FoldColumn(34, levels=tuple(range(-5, 30))),
    "splits": from_splits(sk.ShuffleSplit(3, random_state=0).split(np.zeros((211, 1))), 211),
    "none": None,
}

TESTS = {"no test": None, "random": TestSplit(0.23, seed=2), "tail": TestSplit(0.23, kind="tail")}


def splits_of(cells, n_rows, fold_key=None):
    """(train, held out) row numbers of each fold, as a scikit-learn splitter gives them."""
    ids = cells.rule(np.arange(n_rows), fold_key)
    return [
        (np.flatnonzero(cells.train[k][ids]), np.flatnonzero(cells.held_out[k][ids]))
        for k in range(cells.n_folds)
    ]


def assert_same_splits(found, expected):
    assert len(found) == len(expected)
    for (train, test), (sk_train, sk_test) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, np.sort(sk_train))
        np.testing.assert_array_equal(test, np.sort(sk_test))


@pytest.mark.parametrize("n_rows", [6, 7, 23, 100, 211])
@pytest.mark.parametrize(
    ("scheme", "reference"),
    [
        (KFold(2), sk.KFold(2)),
        (KFold(6), sk.KFold(6)),
        (TimeSeriesSplit(2), sk.TimeSeriesSplit(2)),
        (TimeSeriesSplit(5), sk.TimeSeriesSplit(5)),
    ],
    ids=str,
)
def test_rules_equal_scikit_learn(scheme, reference, n_rows):
    expected = list(reference.split(np.zeros((n_rows, 1))))
    assert_same_splits(splits_of(make_cells(scheme, n_rows), n_rows), expected)


@pytest.mark.parametrize(
    "reference",
    [
        sk.KFold(5),
        sk.KFold(5, shuffle=True, random_state=0),
        sk.TimeSeriesSplit(4),
        sk.TimeSeriesSplit(3, gap=2),
        sk.TimeSeriesSplit(3, max_train_size=11),
        sk.ShuffleSplit(4, test_size=0.3, random_state=1),
        sk.RepeatedKFold(n_splits=5, n_repeats=2, random_state=2),
        sk.StratifiedKFold(3),
        sk.GroupKFold(4),
        sk.LeaveOneGroupOut(),
        sk.PredefinedSplit(np.arange(60) % 4 - 1),
    ],
    ids=lambda splitter: type(splitter).__name__,
)
def test_check_cv_equals_any_splitter(reference):
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 2
    groups = rng.integers(0, 9, size=60) if "Group" in type(reference).__name__ else None
    expected = list(reference.split(np.zeros((60, 1)), labels, groups))
    scheme = check_cv(reference, 60, groups=groups, y=labels)
    cells = make_cells(scheme, 60)
    assert_same_splits(splits_of(cells, 60), expected)
    assert_same_splits(splits_of(make_cells(check_cv(expected, 60), 60), 60), expected)
    assert cells.full.all()
    assert not cells.test.any()


def test_given_folds_equal_predefined_split():
    ids = np.array([7, -1, 3, 3, -1, 7, 12, 12, 3])
    expected = list(sk.PredefinedSplit(ids).split())
    assert_same_splits(splits_of(make_cells(check_cv(ids, 9), 9), 9), expected)
    assert_same_splits(splits_of(make_cells(check_cv(list(ids), 9), 9), 9), expected)
    assert_same_splits(splits_of(make_cells(GivenFolds(ids.astype(float)), 9), 9), expected)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 211), max_size=8))
def test_cells_do_not_depend_on_chunking(scheme, test, cuts):
    cells = make_cells(scheme, 211, test)
    whole = cells.rule(np.arange(211), KEY)
    edges = [0, *sorted(cuts), 211]
    parts = []
    for start, stop in itertools.pairwise(edges):
        rule = pickle.loads(pickle.dumps(cells.restrict(start, stop)))  # noqa: S301 - own bytes
        parts.append(rule(np.arange(start, stop), KEY[start:stop]))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.int32
    assert whole.min() >= 0
    assert whole.max() < cells.n_cells


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_scattered_rows_get_the_cells_of_the_whole(scheme):
    cells = make_cells(scheme, 211, TestSplit(0.3))
    some = np.array([0, 3, 4, 63, 64, 128, 209, 210])
    np.testing.assert_array_equal(
        cells.rule(some, KEY[some]), cells.rule(np.arange(211), KEY)[some]
    )


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("name", ["kfold", "shuffled", "given", "splits", "none"])
def test_cells_partition_the_rows(name, test):
    cells = make_cells(SCHEMES[name], 211, test)
    ids = cells.rule(np.arange(211))
    n_test = 0 if test is None else test.n_test(211)
    assert cells.test[ids].sum() == n_test
    np.testing.assert_array_equal(cells.test, ~cells.full)
    assert not (cells.train | cells.held_out)[:, cells.test].any()
    assert not (cells.train & cells.held_out).any()


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(60, 400), n_folds=st.integers(2, 60), seed=st.integers(0, 2**63))
def test_shuffled_folds_are_balanced(n_rows, n_folds, seed):
    cells = make_cells(ShuffledKFold(n_folds, seed), n_rows)
    ids = cells.rule(np.arange(n_rows))
    count = np.bincount(ids, minlength=n_folds)
    assert count.max() - count.min() <= 1
    whole = n_rows // n_folds * n_folds
    windows = np.sort(ids[:whole].reshape(-1, n_folds), axis=1)
    np.testing.assert_array_equal(windows, np.broadcast_to(np.arange(n_folds), windows.shape))


def test_seeds_give_different_folds_without_pattern():
    n_rows = 5 * 4000
    first = make_cells(ShuffledKFold(5, 0), n_rows).rule(np.arange(n_rows))
    second = make_cells(ShuffledKFold(5, 1), n_rows).rule(np.arange(n_rows))
    # independent draws agree in 1 of 5 rows; standard error 0.003
    assert abs(np.mean(first == second) - 0.2) < 0.02
    windows = first.reshape(-1, 5)
    for place in range(5):
        share = np.bincount(windows[:, place], minlength=5) / 4000
        np.testing.assert_allclose(share, 0.2, atol=0.03)
    assert abs(np.mean(windows[1:] == windows[:-1]) - 0.2) < 0.02


def test_groups_stay_together_and_folds_are_all_used():
    key = np.random.default_rng(2).integers(0, 500, size=5000)
    cells = make_cells(GroupKFold(5, seed=3), 5000)
    ids = cells.rule(np.arange(5000), key)
    for group in range(500):
        assert np.unique(ids[key == group]).size <= 1
    share = np.bincount(ids, minlength=5) / 5000
    np.testing.assert_allclose(share, 0.2, atol=0.06)
    other = make_cells(GroupKFold(5, seed=4), 5000).rule(np.arange(5000), key)
    assert not np.array_equal(ids, other)


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(40, 700), fraction=st.floats(0.05, 0.9), seed=st.integers(0, 99))
def test_random_test_rows_are_spread_evenly(n_rows, fraction, seed):
    test = TestSplit(fraction, seed)
    held_back, position = test.divide(np.arange(n_rows), n_rows)
    assert held_back.sum() == test.n_test(n_rows)
    assert abs(held_back.sum() - n_rows * fraction) <= 1.5
    for start in range(0, n_rows - 63, 64):
        assert abs(held_back[start : start + 64].sum() - 64 * fraction) <= 1
    np.testing.assert_array_equal(position[~held_back], np.arange(n_rows - held_back.sum()))


@pytest.mark.parametrize("test", [TESTS["random"], TESTS["tail"]], ids=["random", "tail"])
@pytest.mark.parametrize(
    ("scheme", "reference"), [(KFold(4), sk.KFold(4)), (TimeSeriesSplit(3), sk.TimeSeriesSplit(3))]
)
def test_folds_are_made_of_the_rows_that_are_not_test_rows(scheme, reference, test):
    cells = make_cells(scheme, 211, test)
    rest = np.flatnonzero(cells.full[cells.rule(np.arange(211))])
    expected = [(rest[a], rest[b]) for a, b in reference.split(rest[:, None])]
    assert_same_splits(splits_of(cells, 211), expected)


def test_tail_takes_the_last_rows():
    cells = make_cells(None, 50, TestSplit(0.2, kind="tail"))
    np.testing.assert_array_equal(cells.rule(np.arange(50)) == 1, np.arange(50) >= 40)
    assert (cells.n_folds, cells.n_cells) == (0, 2)
    assert cells.train.shape == (0, 2)


def test_rules_travel_light():
    rows = np.arange(10**6 - 100, 10**6)
    for scheme in (KFold(5), ShuffledKFold(5, 1), TimeSeriesSplit(5)):
        cells = make_cells(scheme, 10**6, TestSplit(0.1))
        rule = cells.restrict(10**6 - 100, 10**6)
        assert len(pickle.dumps(rule)) < 1000
        assert rule(rows).size == 100
    given = make_cells(GivenFolds(np.arange(10**6) % 5), 10**6)
    assert len(pickle.dumps(given.restrict(10**6 - 100, 10**6))) < 2000


def test_fold_column_names_unknown_ids():
    cells = make_cells(FoldColumn(3), 5)
    np.testing.assert_array_equal(
        cells.rule(np.arange(5), np.array([2, -1, 0, 1, 2])), [2, 3, 0, 1, 2]
    )
    with pytest.raises(DataError, match="row 13 holds 3; allowed are 0, 1, 2 and -1"):
        cells.rule(np.arange(12, 14), np.array([1, 3]))


@pytest.mark.parametrize(
    ("cv", "n_rows", "message"),
    [
        (1, 10, "at least 2 folds"),
        (0, 10, "at least 2 folds"),
        (11, 10, "n_samples=10"),
        (TimeSeriesSplit(10), 10, "at least 11 rows"),
        (True, 10, "allowed are"),
        ("kfold", 10, "allowed are"),
        (2.5, 10, "allowed are"),
        ([0, 1, 0], 10, "3 fold ids for 10 rows"),
        (np.array([0.0, np.nan, 1.0]), 3, "without NaN"),
        (np.array([0.0, 0.5, 1.0]), 3, "whole numbers"),
        (np.array(["a", "b", "c"]), 3, "whole numbers"),
        (np.zeros((3, 2)), 3, "shape"),
        (np.array([0, 0, -1]), 3, "1 fold id given"),
        ([], 3, "whole numbers|0 fold id"),
        ([([0, 1], [])], 3, "no held-out rows"),
        ([([0, 1], [5])], 3, "outside 0 ... 2"),
        ([([0, 1, 1], [2])], 3, "row 1 twice"),
        ([([0, 1], [2.0])], 3, "1-D array of row numbers"),
        (sk.LeaveOneOut(), 100, "more than 64"),
    ],
)
def test_bad_cv_is_named(cv, n_rows, message):
    with pytest.raises(InputError, match=message):
        check_cv(cv, n_rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0.0}, "outside"),
        ({"fraction": 1.0}, "outside"),
        ({"fraction": float("nan")}, "outside"),
        ({"fraction": 0.2, "kind": "middle"}, "allowed are"),
    ],
)
def test_bad_test_split_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        TestSplit(**arguments)


def test_too_few_rows_are_named():
    with pytest.raises(InputError, match="leaves 0 test rows"):
        make_cells(None, 3, TestSplit(0.1))
    with pytest.raises(InputError, match="at least 4 rows, got n_samples=3"):
        make_cells(KFold(4), 5, TestSplit(0.4))
    with pytest.raises(InputError, match="0 rows"):
        make_cells(None, 0)
    with pytest.raises(InputError, match="fold column"):
        make_cells(GroupKFold(2), 9).rule(np.arange(9))


def test_more_patterns_where_they_are_affordable():
    splitter = sk.ShuffleSplit(10, random_state=0)
    with pytest.raises(InputError, match="more than 64"):
        check_cv(splitter, 300)
    cells = make_cells(check_cv(splitter, 300, max_patterns=300), 300)
    assert_same_splits(splits_of(cells, 300), list(splitter.split(np.zeros((300, 1)))))
    rows = iter(sk.KFold(3).split(np.zeros((9, 1))))
    assert check_cv(rows, 9).n_folds == 3


def test_check_cv_defaults_and_seed():
    assert check_cv(None, 10) == KFold(5)
    assert check_cv(np.int64(3), 10) == KFold(3)
    assert check_cv(3, 10, random_state=4) == ShuffledKFold(3, 4)
    scheme = GroupKFold(3, 1)
    assert check_cv(scheme, 10) is scheme
    assert check_cv(sk.KFold(4), 10) == KFold(4)
    assert check_cv(sk.TimeSeriesSplit(4), 10) == TimeSeriesSplit(4)
