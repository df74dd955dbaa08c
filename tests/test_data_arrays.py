"""Every container in memory or in Dask gives the same matrix, names and row numbers."""

from __future__ import annotations

import dataclasses
import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from blocks import read
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from distreg.data import Dataset, from_arrays
from distreg.data.dataset import memory_parts
from distreg.exceptions import DataError, InputError

N, P = 53, 4
RNG = np.random.default_rng(7)
X0 = np.where(RNG.random((N, P)) < 0.4, 0.0, RNG.normal(size=(N, P)))
Y0, W0, O0 = RNG.normal(size=N), RNG.uniform(0.5, 2.0, N), RNG.normal(size=N)
K0 = RNG.integers(0, 5, N)
NAMES = ("x0", "x1", "x2", "x3")


def unknown(values, chunks):
    """A Dask array whose chunk sizes are not known."""
    array = da.from_array(values, chunks=chunks)
    rows = array.chunks[0]
    return array[da.from_array(np.ones(len(values), dtype=bool), chunks=(rows,))]


def sparse_chunks(kind, chunks=(20, 3)):
    return da.from_array(X0, chunks=chunks).map_blocks(kind, meta=kind((0, 0)))


def frame(**extra):
    return pd.DataFrame(X0, columns=list(NAMES)).assign(**extra)


def with_explicit_zeros():
    row, col = np.indices(X0.shape)
    halves = np.concatenate([X0.ravel() / 2] * 2)
    where = (np.concatenate([row.ravel()] * 2), np.concatenate([col.ravel()] * 2))
    return sparse.coo_array((halves, where), shape=X0.shape)


def unsorted_csr():
    matrix = sparse.csr_array(X0)
    for i in range(N):
        part = slice(matrix.indptr[i], matrix.indptr[i + 1])
        matrix.indices[part] = matrix.indices[part][::-1].copy()
        matrix.data[part] = matrix.data[part][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def wide_indices():
    matrix = sparse.csr_array(X0)
    parts = (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64))
    return sparse.csr_array(parts, shape=X0.shape)


FEATURES = {
    "C": lambda: X0,
    "Fortran": lambda: np.asfortranarray(X0),
    "strided": lambda: np.repeat(np.repeat(X0, 2, axis=0), 2, axis=1)[::2, ::2],
    "object": lambda: X0.astype(object),
    "list": lambda: X0.tolist(),
    "csr": lambda: sparse.csr_array(X0),
    "csr_matrix": lambda: sparse.csr_matrix(X0),
    "csc": lambda: sparse.csc_array(X0),
    "coo with duplicates and zeros": with_explicit_zeros,
    "unsorted csr": unsorted_csr,
    "int64 indices": wide_indices,
    "pandas": frame,
    "pandas, int names": lambda: pd.DataFrame(X0),
    "pandas, nullable": lambda: frame().astype("Float64"),
    "pandas, sparse": lambda: frame().astype(pd.SparseDtype("float64", 0.0)),
    "arrow": lambda: pa.Table.from_pandas(frame()),
    "dask": lambda: da.from_array(X0, chunks=(9, P)),
    "dask, feature chunks": lambda: da.from_array(X0, chunks=(10, 3)),
    "dask, one row a chunk": lambda: da.from_array(X0, chunks=(1, 1)),
    "dask, unknown": lambda: unknown(X0, (11, P)),
    "dask, unknown and feature chunks": lambda: unknown(X0, (11, 2)),
    "dask, empty chunks": lambda: da.concatenate(
        [da.zeros((0, P)), da.from_array(X0[:20], chunks=7), da.zeros((0, P)), X0[20:]]
    ),
    "dask csr": lambda: sparse_chunks(sparse.csr_array),
    "dask csr_matrix": lambda: sparse_chunks(sparse.csr_matrix, (20, P)),
    "dask csc": lambda: sparse_chunks(sparse.csc_array),
    "dask frame": lambda: dd.from_pandas(frame(), npartitions=4),
    "dask frame, empty partitions": lambda: dd.concat(
        [dd.from_pandas(f, npartitions=2) for f in (frame()[:20], frame()[20:30], frame()[30:])]
    ).map_partitions(lambda part: part),
}
TARGETS = {
    "numpy": lambda y: y,
    "list": lambda y: y.tolist(),
    "series": lambda y: pd.Series(y, index=np.arange(len(y)) + 100),
    "column": lambda y: y[:, None],
    "dask": lambda y: da.from_array(y, chunks=8),
    "dask, unknown": lambda y: unknown(y, 13),
    "dask series": lambda y: dd.from_pandas(pd.Series(y), npartitions=3),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", FEATURES)
def test_every_container_gives_the_same_rows(kind, target):
    make = TARGETS[target]
    data = from_arrays(
        FEATURES[kind](), make(Y0), sample_weight=make(W0), offset=make(O0), fold_key=K0
    )
    whole = read(data)
    np.testing.assert_array_equal(whole.X, X0)
    for found, given_ in ((whole.y, Y0), (whole.weight, W0), (whole.offset, O0)):
        np.testing.assert_array_equal(found, given_)
    np.testing.assert_array_equal(whole.fold_key, K0)
    np.testing.assert_array_equal(whole.row, np.arange(N))
    assert data.n_rows == N
    assert data.fold_key is not None
    names = ("0", "1", "2", "3") if kind == "pandas, int names" else NAMES
    assert data.feature_names == names
    assert sum(recipe.n_rows for recipe in data.recipes) == N


@settings(max_examples=60, deadline=None)
@given(
    # of one row in chunks (0, 1) Dask itself makes two, taking the length for one to broadcast
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(lambda sizes: sum(sizes) > 1),
    columns=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    y_chunk=st.integers(1, 20),
    hide=st.booleans(),
    hide_y=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_chunking_is_aligned(rows, columns, y_chunk, hide, hide_y, seed):
    n, p = sum(rows), sum(columns)
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, p)), rng.normal(size=n)
    lazy = da.from_array(X, chunks=(tuple(rows), tuple(columns)))
    if hide:
        lazy = lazy[da.ones(n, dtype=bool, chunks=(tuple(rows),))]
    target = unknown(y, y_chunk) if hide_y else da.from_array(y, chunks=y_chunk)
    data = from_arrays(lazy, target, sample_weight=y**2)
    whole = read(data)
    np.testing.assert_array_equal(whole.X, X)
    np.testing.assert_array_equal(whole.y, y)
    np.testing.assert_array_equal(whole.weight, y**2)
    assert data.n_scans == int(hide or hide_y)
    assert data.n_blocks == sum(size > 0 for size in rows)


@pytest.mark.parametrize(
    ("make", "scans"),
    [
        (lambda: (X0, Y0), 0),
        (lambda: (da.from_array(X0, chunks=9), Y0), 0),
        (lambda: (unknown(X0, (9, P)), unknown(Y0, 7)), 1),
        (lambda: (dd.from_pandas(frame(y=Y0), npartitions=3), "y"), 1),
    ],
    ids=["numpy", "dask", "unknown", "dask frame"],
)
def test_scans_are_counted_and_bounded(make, scans):
    X, y = make()
    runs = []

    def counting(graph, keys, **keywords):
        runs.append(1)
        return dask.get(graph, keys)

    with dask.config.set(scheduler=counting):
        data = from_arrays(X, y)
    assert data.n_scans == scans
    assert len(runs) == scans


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_blocks_keep_precision_and_order(dtype, order):
    X = np.asarray(X0, dtype=dtype, order=order)
    for values in (X, da.from_array(X, chunks=(20, P)), pd.DataFrame(X)):
        assert all(block.dense.dtype == dtype for block in read(from_arrays(values, Y0)).blocks)
    block = read(from_arrays(X, Y0)).blocks[0]
    assert np.shares_memory(block.dense, X)


def test_chunks_whose_rows_lie_apart_are_read_as_from_another_process():
    """Sums depend on the memory order, by rounding; it must not depend on where a task runs."""

    def apart(chunk):
        return np.asfortranarray(np.vstack([chunk, chunk]))[: len(chunk)]

    chunks = da.from_array(X0, chunks=(20, 2)).map_blocks(apart)
    recipes = [recipe for group in from_arrays(chunks, Y0).groups for recipe in group.recipes]
    for recipe in recipes:
        here = dask.compute(*recipe.inputs)
        there = pickle.loads(pickle.dumps(here))  # noqa: S301 - own bytes
        assert not any(c.flags.c_contiguous or c.flags.f_contiguous for c in here if c.ndim == 2)
        one, other = recipe.load(*here).dense, recipe.load(*there).dense
        assert one.flags.c_contiguous
        assert one.strides == other.strides
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["int8", "uint64", "bool", "float16"])
def test_other_numbers_become_float64(dtype):
    X = RNG.integers(0, 2, (N, P)).astype(dtype)
    for values in (X, sparse.csr_array(X.astype("int8")), pd.DataFrame(X.astype("int8"))):
        whole = read(from_arrays(values))
        np.testing.assert_array_equal(whole.X, X.astype(float))
        assert whole.X.dtype == np.float64


def test_inputs_are_left_alone():
    matrix = unsorted_csr()
    before = (matrix.data.copy(), matrix.indices.copy())
    read(from_arrays(matrix, Y0))
    np.testing.assert_array_equal(matrix.data, before[0])
    np.testing.assert_array_equal(matrix.indices, before[1])


def test_large_arrays_are_cut_into_views_and_groups():
    X = np.zeros((100_000, 300))
    data = from_arrays(X, np.zeros(100_000))
    assert 16 <= data.n_blocks <= 24
    assert len(data.groups) >= 8
    assert all(np.shares_memory(recipe.load().dense, X) for recipe in data.recipes)
    assert max(recipe.nbytes for recipe in data.recipes) < 16e6


@settings(max_examples=50, deadline=None)
@given(nbytes=st.integers(0, 10**11))
def test_blocks_in_memory_have_a_fit_size(nbytes):
    parts = memory_parts(nbytes)
    assert nbytes / parts <= 16e6
    assert parts == 1 or nbytes / parts >= 8e6


CATEGORIES = pd.DataFrame(
    {
        "size": [1.5, 2.5, np.nan, 4.0, 5.0],
        "colour": pd.Categorical(
            ["red", "blue", "red", None, "green"],
            categories=["unused", "red", "green", "blue"],
        ),
        "month": [3, 1, 3, 12, 1],
        "flag": [True, False, True, True, False],
        "y": [1.0, 2.0, 3.0, 4.0, 5.0],
    }
)  # fmt: skip


def one_hot(missing):
    names = ["size", "flag", "colour=blue", "colour=green", "colour=red"]
    names += ["colour=(missing)"] * (missing == "mean") + ["month=1", "month=3", "month=12"]
    table = CATEGORIES
    columns = [table["size"], table["flag"].astype(float)]
    columns += [(table["colour"] == level).astype(float) for level in ("blue", "green", "red")]
    columns += [table["colour"].isna().astype(float)] * (missing == "mean")
    columns += [(table["month"] == level).astype(float) for level in (1, 3, 12)]
    return tuple(names), np.column_stack(columns)


@pytest.mark.parametrize("kind", ["pandas", "arrow", "dask"])
@pytest.mark.parametrize("missing", ["mean", "drop"])
def test_categories_become_indicators(kind, missing):
    table = {
        "pandas": lambda: CATEGORIES,
        "arrow": lambda: pa.Table.from_pandas(CATEGORIES),
        "dask": lambda: dd.from_pandas(CATEGORIES, npartitions=2),
    }[kind]()
    data = from_arrays(table, "y", categorical=["month"], missing=missing)
    names, X = one_hot(missing)
    assert data.feature_names == names
    rows = [0, 1, 4] if missing == "drop" else [0, 1, 2, 3, 4]
    whole = read(data)
    np.testing.assert_array_equal(whole.X, X[rows])
    np.testing.assert_array_equal(whole.row, rows)
    np.testing.assert_array_equal(whole.y, CATEGORIES["y"].to_numpy()[rows])
    assert data.n_rows == 5


@pytest.mark.parametrize("kind", ["pandas", "dask"])
def test_a_missing_category_is_an_error_with_column_and_row(kind):
    table = CATEGORIES if kind == "pandas" else dd.from_pandas(CATEGORIES, npartitions=2)
    with pytest.raises(DataError, match=r"'colour' is missing in row 3"):
        read(from_arrays(table, "y"))


@pytest.mark.parametrize("kind", ["C", "Fortran", "csr", "pandas", "dask, feature chunks"])
def test_policies_for_nan(kind):
    X, y, w = X0.copy(), Y0.copy(), W0.copy()
    X[17, 2] = X[40, 0] = y[5] = np.nan
    make = {
        "C": lambda: X,
        "Fortran": lambda: np.asfortranarray(X),
        "csr": lambda: sparse.csr_array(X),
        "pandas": lambda: pd.DataFrame(X),
        "dask, feature chunks": lambda: da.from_array(X, chunks=(10, 3)),
    }[kind]
    for missing in ("error", "mean"):
        np.testing.assert_array_equal(read(from_arrays(make(), y, missing=missing)).X, X)
    dropped = read(from_arrays(make(), y, sample_weight=w, offset=y, fold_key=K0, missing="drop"))
    rows = np.setdiff1d(np.arange(N), [17, 40])
    np.testing.assert_array_equal(dropped.row, rows)
    np.testing.assert_array_equal(dropped.X, X[rows])
    # never left out, because the target is not the place to decide that
    assert np.isnan(dropped.y[5])
    np.testing.assert_array_equal(dropped.weight, w[rows])
    np.testing.assert_array_equal(dropped.fold_key, K0[rows])


def test_series_of_the_frame_travel_within_it():
    table = dd.from_pandas(frame(y=Y0, w=W0, k=K0), npartitions=5)
    data = from_arrays(
        table[list(NAMES)], table["y"], sample_weight=table["w"], fold_key=table["k"]
    )
    assert all(len(recipe.inputs) == 1 for recipe in data.recipes)
    assert data.feature_names == NAMES
    whole = read(data)
    np.testing.assert_array_equal(whole.y, Y0)
    np.testing.assert_array_equal(whole.weight, W0)
    np.testing.assert_array_equal(whole.fold_key, K0)


def test_parquet_frames_whose_selections_have_other_partitions(tmp_path):
    table = frame(y=Y0, text=["long text " * 20] * N)
    for i in range(6):
        table[i * 9 : (i + 1) * 9].to_parquet(tmp_path / f"part.{i}.parquet")
    lazy = dd.read_parquet(tmp_path)
    whole = read(from_arrays(lazy[list(NAMES)], lazy["y"]))
    np.testing.assert_array_equal(whole.X, X0)
    np.testing.assert_array_equal(whole.y, Y0)


@pytest.mark.parametrize("kind", ["array", "pandas", "arrow", "dask"])
def test_text_fold_keys_are_positions_among_the_sorted_levels(kind):
    groups = np.array(["b", "a", "c", "a", "b"])
    table = CATEGORIES.drop(columns="colour").assign(group=groups)
    X = {
        "array": lambda: table[["size", "month"]].to_numpy(),
        "pandas": lambda: table,
        "arrow": lambda: pa.Table.from_pandas(table),
        "dask": lambda: dd.from_pandas(table, npartitions=2),
    }[kind]()
    data = from_arrays(X, table["y"], fold_key=groups if kind == "array" else "group")
    assert data.fold_key_levels == ("a", "b", "c")
    assert "group" not in data.feature_names
    np.testing.assert_array_equal(read(data).fold_key, [1, 0, 2, 0, 1])


def test_large_integer_fold_keys_are_exact():
    keys = np.array([2**62 + 1, 2**62, 5], dtype=np.int64)
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "k": keys})
    for X in (table, pa.Table.from_pandas(table), dd.from_pandas(table, npartitions=1)):
        np.testing.assert_array_equal(read(from_arrays(X, fold_key="k")).fold_key, keys)


BAD = {
    "lengths": (lambda: from_arrays(X0, Y0[:-3]), InputError, "53 rows and y has 50"),
    "weights' length": (
        lambda: from_arrays(X0, Y0, sample_weight=W0[1:]), InputError, "sample_weight has 52"
    ),
    "lengths, dask": (
        lambda: from_arrays(da.from_array(X0, chunks=9), da.from_array(Y0[:-3], chunks=9)),
        InputError, "53 rows and y has 50",
    ),
    "lengths, dask and numpy": (
        lambda: from_arrays(unknown(X0, (9, P)), Y0[:-3]), InputError, "53 rows and y has 50"
    ),
    "1-D": (lambda: from_arrays(Y0, Y0), InputError, "reshape"),
    "1-D dask": (lambda: from_arrays(da.from_array(Y0), Y0), InputError, "matrix"),
    "3-D": (lambda: from_arrays(np.zeros((2, 2, 2))), InputError, r"\(2, 2, 2\)"),
    "two targets": (lambda: from_arrays(X0, X0), InputError, "one target at a time"),
    "no rows": (lambda: from_arrays(X0[:0], Y0[:0]), DataError, "0 rows"),
    "no rows, frame": (lambda: from_arrays(frame()[:0], Y0[:0]), DataError, "0 rows"),
    "no features": (lambda: from_arrays(X0[:, :0], Y0), DataError, "0 features"),
    "text": (lambda: from_arrays(np.array([["a"]]), [1.0]), DataError, "not numbers"),
    "text object": (
        lambda: read(from_arrays(np.array([["a", 1]], dtype=object), [1.0])), DataError, "no number"
    ),
    "complex": (lambda: from_arrays(X0 * 1j, Y0), DataError, "complex128"),
    "dates": (lambda: from_arrays(np.zeros((2, 2), "M8[s]")), DataError, "datetime64"),
    "text target": (lambda: from_arrays(X0, ["a"] * N), DataError, "y holds"),
    "text column": (
        lambda: from_arrays(frame(c="a"), Y0), DataError, r"'c' holds .*categorical=\['c'\]"
    ),
    "date column": (
        lambda: from_arrays(frame(c=pd.Timestamp("2020-01-01")), Y0),
        DataError, "'c' holds timestamp"
    ),
    "text column, dask": (
        lambda: from_arrays(dd.from_pandas(frame(c="a"), npartitions=2), Y0), DataError, "'c' holds"
    ),
    "mixed column": (
        lambda: read(from_arrays(frame(c=[1, "a"] + [1] * (N - 2)), Y0)), DataError, "'c'"
    ),
    "nearest column": (
        lambda: from_arrays(frame(target=1.0), "tarjet"), InputError, "did you mean 'target'"
    ),
    "nearest categorical": (
        lambda: from_arrays(frame(), Y0, categorical=["x"]), InputError, "categorical names 'x'"
    ),
    "name with an array": (lambda: from_arrays(X0, "y"), InputError, "X is an array"),
    "categorical with an array": (
        lambda: from_arrays(X0, Y0, categorical=["a"]), InputError, "X is an array"
    ),
    "names": (lambda: from_arrays(X0, Y0, feature_names=["a"]), InputError, "1 entries"),
    "same names": (lambda: from_arrays(X0, Y0, feature_names=["a"] * 4), InputError, "1 different"),
    "same columns": (
        lambda: from_arrays(pd.DataFrame(X0, columns=list("aabc")), Y0), InputError, r"\['a'\]"
    ),
    "names of a frame": (
        lambda: from_arrays(frame(), Y0, feature_names=NAMES), InputError, "its own column names"
    ),
    "policy": (lambda: from_arrays(X0, Y0, missing="mode"), InputError, "'mode' is not a policy"),
    "fold keys": (lambda: from_arrays(X0, Y0, fold_key=Y0), DataError, "integers or text"),
    "missing fold key": (
        lambda: read(from_arrays(frame(k=["a"] + [None] * (N - 1)), Y0, fold_key="k")),
        DataError, "row 1",
    ),
    "changing chunk": (
        lambda: read(
            from_arrays(da.from_array(X0, chunks=9).map_blocks(lambda x: x[:3], dtype=float), Y0)
        ),
        DataError, "chunk 0 of the Dask array has shape",
    ),
    "unknown features": (
        lambda: from_arrays(da.from_array(X0)[:, da.ones(P, dtype=bool)], Y0),
        InputError, "known number of features",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_inputs_are_named(case):
    run, kind, pattern = BAD[case]
    with pytest.raises(kind, match=pattern):
        run()


def test_digests_tell_data_apart():
    def digest(X=X0, y=Y0, **keywords):
        return from_arrays(X, y, **keywords).digest

    changed = X0.copy()
    changed[3, 1] += 1
    assert digest() == digest(X0.copy())
    others = [
        digest(changed), digest(y=-Y0), digest(sample_weight=W0), digest(missing="drop"),
        digest(feature_names=list("abcd")), digest(frame()), digest(sparse.csr_array(X0)),
        digest(da.from_array(X0, chunks=9)), digest(da.from_array(X0, chunks=10)), digest(),
    ]  # fmt: skip
    assert len(set(others)) == len(others)


def test_dask_recipes_travel_without_their_inputs():
    data = from_arrays(da.from_array(np.zeros((2000, 50)), chunks=(100, 50)), np.zeros(2000))
    for group in data.groups:
        for recipe in group.recipes:
            bare = dataclasses.replace(recipe, inputs=())
            assert len(pickle.dumps(bare)) < 8 * recipe.n_rows + 1500


def test_representation_names_sizes():
    data = from_arrays(X0, Y0)
    assert isinstance(data, Dataset)
    assert repr(data) == "Dataset('array', 53 rows x 4 features, 1 blocks in 1 groups)"


def reversed_rows(series):
    return series.iloc[::-1]


def test_series_beside_a_frame_go_by_position_whatever_their_index():
    table = dd.from_pandas(frame(y=Y0, k=np.arange(N)), npartitions=4)
    y = table["y"].map_partitions(reversed_rows, meta=table["y"]._meta)
    whole = read(from_arrays(table[list(NAMES)], y, fold_key=table["k"]))
    np.testing.assert_array_equal(whole.X, X0)
    np.testing.assert_array_equal(whole.fold_key, np.arange(N))
    np.testing.assert_array_equal(whole.y, y.compute().to_numpy())


@pytest.mark.parametrize("shorter", ["X", "y"])
def test_series_of_another_length_than_the_frame_are_refused(shorter):
    table = dd.from_pandas(frame(y=Y0), npartitions=4)
    some = table[table["x0"] > 0]
    X, y = (some, table["y"]) if shorter == "X" else (table, some["y"])
    with pytest.raises(InputError, match=r"of X has \d+ rows and the one of y has \d+"):
        from_arrays(X[list(NAMES)], y)
