"""Targets of classes: labels of every kind, from every source, become the same codes."""

from __future__ import annotations

import datetime
import decimal
import json

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import zarr
from blocks import read
from hypothesis import given, settings
from hypothesis import strategies as st

from distreg.data import csvscan as scanning
from distreg.data import from_arrays, labels, parquet, read_dataset
from distreg.exceptions import DataError, InputError

N = 60
RNG = np.random.default_rng(17)
CODES = RNG.permutation(np.arange(N) % 3)
X = RNG.normal(size=(N, 2))
WHOLE = (-5, 2, 10)
DATES = tuple(datetime.date(2020, 1, k) for k in (1, 2, 3))

# labels in ascending order, what they are stored as, and what they become if not themselves
KINDS = {
    "text": (("-", "a b", "ü"), object, None),
    "int": (WHOLE, np.int64, None),
    "int8": (WHOLE, np.int8, None),
    "unsigned, large": ((1, 2, 2**63 + 1), np.uint64, None),
    "real": ((-0.5, 0.25, 1e-3), np.float64, (-0.5, 0.001, 0.25)),
    "whole real": ((0.0, 1.0, 3.0), np.float64, None),
    "float32": ((-0.5, 0.25, 8.0), np.float32, None),
    "bool": ((False, True), np.bool_, None),
    "objects": (WHOLE, object, None),
    "dates": (DATES, object, ("2020-01-01", "2020-01-02", "2020-01-03")),
}


def wanted(kind):
    """Sorted labels, and the codes of all rows."""
    given_labels, _, known = KINDS[kind]
    classes = known or given_labels
    codes = CODES % len(classes)
    if kind == "real":
        codes = np.array([0, 2, 1])[codes]
    return tuple(classes), codes.astype(float)


def target(kind):
    """Labels of all rows as a NumPy array."""
    given_labels, dtype, _ = KINDS[kind]
    y = np.empty(N, dtype=dtype)
    y[:] = [given_labels[code % len(given_labels)] for code in CODES]
    return y


def frame(y):
    return pd.DataFrame(X, columns=["a", "b"]).assign(y=y)


def unknown(values, chunks):
    array = da.from_array(values, chunks=chunks)
    return array[da.ones(len(values), dtype=bool, chunks=(array.chunks[0],))]


SOURCES = {
    "array": lambda y: (X, y),
    "fixed width": lambda y: (X, y.astype("U") if isinstance(y[0], str) else y),
    "list": lambda y: (X, list(y)),
    "column": lambda y: (X, y[:, None]),
    "series": lambda y: (X, pd.Series(y, index=np.arange(N) + 9)),
    "category": lambda y: (X, pd.Series(y).astype("category")),
    "frame of one": lambda y: (X, pd.DataFrame({"t": y})),
    "arrow array": lambda y: (X, pa.array(y)),
    "arrow chunks": lambda y: (X, pa.chunked_array([pa.array(y[:7]), pa.array(y[7:])])),
    "arrow type": lambda y: (X, pd.Series(pa.array(y), dtype=pd.ArrowDtype(pa.array(y).type))),
    "table": lambda y: (frame(y), "y"),
    "table, category": lambda y: (frame(pd.Categorical(y)), "y"),
    "table, series": lambda y: (frame(0).drop(columns="y"), pd.Series(y)),
    "arrow table": lambda y: (pa.Table.from_pandas(frame(y)), "y"),
    "array, dask y": lambda y: (X, da.from_array(y, chunks=7)),
    "dask, array": lambda y: (da.from_array(X, chunks=(9, 1)), y),
    "dask, dask y": lambda y: (da.from_array(X, chunks=(9, 2)), da.from_array(y, chunks=7)),
    "dask, unknown": lambda y: (unknown(X, (11, 2)), unknown(y, 13)),
    "dask, dask series": lambda y: (
        da.from_array(X, chunks=(9, 2)), dd.from_pandas(pd.Series(y), npartitions=4)
    ),
    "dask, dask category": lambda y: (
        da.from_array(X, chunks=(9, 2)),
        dd.from_pandas(pd.Series(y).astype("category"), npartitions=4),
    ),
    "dask frame": lambda y: (dd.from_pandas(frame(y), npartitions=4), "y"),
    "dask frame, series of it": lambda y: (
        (lambda t: (t[["a", "b"]], t["y"]))(dd.from_pandas(frame(y), npartitions=4))
    ),
    "dask frame, category": lambda y: (
        (lambda t: (t[["a", "b"]], t["y"]))(
            dd.from_pandas(frame(pd.Categorical(y)), npartitions=4)
        )
    ),
    "dask frame, another series": lambda y: (
        dd.from_pandas(frame(0)[["a", "b"]], npartitions=4),
        dd.from_pandas(pd.Series(y), npartitions=3),
    ),
    "dask frame, array": lambda y: (dd.from_pandas(frame(0)[["a", "b"]], npartitions=4), y),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_from_every_source(kind, source):
    classes, codes = wanted(kind)
    # Dask would make text of Python objects
    with dask.config.set({"dataframe.convert-string": kind != "objects"}):
        features, y = SOURCES[source](target(kind))
        data = from_arrays(features, y, classes=True)
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    whole = read(data)
    np.testing.assert_array_equal(whole.y, codes)
    np.testing.assert_array_equal(whole.X, X)
    lazy_target = "dask" in source and not source.endswith(", array") and source[:5] != "array"
    assert data.n_scans == int(lazy_target or source.startswith("dask frame"))


def parquet_file(folder, y, **keywords):
    frame(y).to_parquet(folder / "t.parquet", **keywords)
    return folder / "t.parquet", {"target": "y"}


def parquet_files(folder, y):
    for k in range(4):
        frame(y)[k * 15 : (k + 1) * 15].to_parquet(folder / f"{k}.parquet")
    return folder, {"target": "y"}


def csv_file(folder, y, **keywords):
    frame(y).to_csv(folder / "t.csv", index=False, **keywords)
    return folder / "t.csv", {"target": "y"}


def npy_files(folder, y):
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y.astype("U") if y.dtype == object else y)
    return folder, {}


def zarr_store(folder, y):
    group = zarr.open_group(folder / "z.zarr", mode="w")
    group.create_array("X", data=X, chunks=(7, 2))
    y = y.astype(np.dtypes.StringDType()) if y.dtype == object else y
    group.create_array("y", data=y, chunks=(5,))
    return folder / "z.zarr", {}


FILES = {
    "parquet": parquet_file,
    "parquet, row groups": lambda d, y: parquet_file(d, y, row_group_size=7),
    "parquet, category": lambda d, y: parquet_file(d, pd.Categorical(y)),
    "parquet files": parquet_files,
    "csv": csv_file,
    "csv, quoted": lambda d, y: csv_file(d, y, quoting=1),
    "npy": npy_files,
    "zarr": zarr_store,
}


@pytest.mark.parametrize(
    ("kind", "layout"),
    # npy and zarr hold no Python objects
    [
        (kind, layout)
        for kind in KINDS
        for layout in FILES
        if not (layout in ("npy", "zarr") and kind in ("objects", "dates"))
    ],
)
def test_every_kind_from_every_file(kind, layout, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "PIECE_BYTES", 300)
    monkeypatch.setattr(parquet, "JOIN_BYTES", 100)
    classes, codes = wanted(kind)
    if layout.startswith("csv") and kind == "unsigned, large":
        # integers beyond 64 bits with a sign stay text, whose order is another
        classes = tuple(str(label) for label in classes)
    path, use = FILES[layout](tmp_path, target(kind))
    data = read_dataset(path, classes=True, **use)
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    whole = read(data)
    np.testing.assert_array_equal(whole.y, codes)
    np.testing.assert_array_equal(whole.X, X)
    assert data.n_scans == 1
    assert data.n_blocks > 1 or layout in ("parquet", "parquet, category", "npy", "zarr")


def test_the_column_of_a_matrix_holds_labels(tmp_path):
    np.save(tmp_path / "m.npy", np.column_stack([X, CODES * 2.0]))
    data = read_dataset(tmp_path / "m.npy", target=2, classes=True)
    assert data.classes == (0.0, 2.0, 4.0)
    np.testing.assert_array_equal(read(data).y, CODES)


def test_labels_and_categories_share_a_scan(tmp_path):
    table = frame(target("text")).assign(
        c=np.where(X[:, 0] > 0, "u", "v"), g=[f"g{code}" for code in CODES]
    )
    table.to_parquet(tmp_path / "t.parquet", row_group_size=9)
    table.to_csv(tmp_path / "t.csv", index=False)
    seen = [
        read_dataset(tmp_path / name, target="y", classes=True, fold_key="g", weight="a")
        for name in ("t.parquet", "t.csv")
    ]
    lazy = dd.from_pandas(table, npartitions=3).categorize(["c"])
    for source in (lazy, table.astype({"c": "category"})):
        seen.append(from_arrays(source, "y", classes=True, fold_key="g", sample_weight="a"))
    for data in seen:
        assert data.classes == ("-", "a b", "ü")
        assert data.feature_names == ("b", "c=u", "c=v")
        assert data.fold_key_levels == ("g0", "g1", "g2")
        assert data.n_scans == int(not data.in_memory)
        whole = read(data)
        np.testing.assert_array_equal(whole.y, CODES)
        np.testing.assert_array_equal(whole.fold_key, CODES)
        np.testing.assert_array_equal(whole.weight, X[:, 0])


def test_one_column_may_be_target_and_fold_key():
    data = from_arrays(frame(target("text")), "y", classes=True, fold_key="y")
    whole = read(data)
    np.testing.assert_array_equal(whole.y, CODES)
    np.testing.assert_array_equal(whole.fold_key, CODES)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(
        lambda sizes: 2 < sum(sizes) <= N
    ),
    y_chunk=st.integers(1, 20),
    hide=st.booleans(),
)
def test_any_chunking_gives_the_same_codes(rows, y_chunk, hide):
    n = sum(rows)
    y = np.array(["u", "v"])[np.arange(n) % 2]
    chunked = da.from_array(X[:n], chunks=(tuple(rows), 2))
    labelled = unknown(y, y_chunk) if hide else da.from_array(y, chunks=y_chunk)
    data = from_arrays(chunked, labelled, classes=True)
    assert data.classes == ("u", "v")
    assert data.n_scans == 1
    np.testing.assert_array_equal(read(data).y, np.arange(n) % 2)


def test_one_computation_finds_all():
    table = dd.from_pandas(frame(target("text")), npartitions=3)
    for features, y in (
        (table, "y"),
        (unknown(X, (9, 2)), table["y"]),
        (da.from_array(X, chunks=9), table["y"]),
    ):
        runs = []

        def counting(graph, keys, runs=runs, **keywords):
            runs.append(1)
            return dask.get(graph, keys)

        with dask.config.set(scheduler=counting):
            from_arrays(features, y, classes=True)
        assert len(runs) == 1


def text_csv(folder, values):
    lines = [f"{value},{k}" for k, value in enumerate(values)]
    (folder / "t.csv").write_text("\n".join(["y,a", *lines]) + "\n")
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["07", "7", "8"], ("07", "7", "8")),
        (["7", "8.0"], (7.0, 8.0)),
        (["1e3", "5"], (5.0, 1000.0)),
        (["1e300", "1e301"], ("1e300", "1e301")),
        (["true", "False", "TRUE"], (False, True)),
        (["true", "0"], ("0", "true")),
        (["1", "x"], ("1", "x")),
        (["1,5", "2"], None),
        (["0.12345678901234567", "0.12345678901234568"], None),
        (["12345678901234567890", "12345678901234567891"], None),
        (["1", "-1"], (-1, 1)),
        (["inf", "1"], ("1", "inf")),
    ],
    ids=str,
)
def test_labels_of_csv_files_are_numbers_when_all_are(values, classes, tmp_path):
    quoted = [f'"{value}"' for value in values]
    data = read_dataset(text_csv(tmp_path, quoted), target="y", classes=True)
    classes = tuple(sorted(values)) if classes is None else classes
    assert data.classes == classes
    assert [type(label) for label in data.classes] == [type(label) for label in classes]
    assert set(read(data).y) == set(range(len(classes)))


def test_parts_of_several_numeric_types_have_one(tmp_path):
    for k, dtype in enumerate(["int64", "float64", "bool"]):
        table = pd.DataFrame({"a": [1.0, 2.0], "y": np.array([0, 1], dtype=dtype)})
        table.to_parquet(tmp_path / f"{k}.parquet")
    data = read_dataset(tmp_path, target="y", classes=True)
    assert data.classes in ((0, 1), (0.0, 1.0))
    assert len({type(label) for label in data.classes}) == 1
    np.testing.assert_array_equal(read(data).y, [0, 1] * 3)


GAPS = {
    "text": np.array(["a", "b", None] * 20, dtype=object),
    "real": np.array([1.0, 2.0, np.nan] * 20),
    "NA": pd.array([1, 2, None] * 20, dtype="Int64"),
}


@pytest.mark.parametrize("source", ["array", "table", "dask", "dask frame", "parquet", "csv"])
@pytest.mark.parametrize("kind", GAPS)
def test_missing_labels_are_named(kind, source, tmp_path):
    y = GAPS[kind]
    table = frame(y)

    def make():
        if source == "array":
            return from_arrays(X, y, classes=True, missing="drop")
        if source == "table":
            return from_arrays(table, "y", classes=True, missing="mean")
        if source == "dask":
            series = dd.from_pandas(table["y"], npartitions=4)
            return from_arrays(da.from_array(X, chunks=9), series, classes=True)
        if source == "dask frame":
            lazy = dd.from_pandas(table, npartitions=7)
            return from_arrays(lazy[["a", "b"]], lazy["y"], classes=True)
        path, use = (parquet_files if source == "parquet" else csv_file)(tmp_path, y)
        return read_dataset(path, classes=True, **use)

    with pytest.raises(DataError, match=r"Target 'y' has no label .* in row 2 and in 19 more\."):
        make()


def test_the_first_missing_label_is_counted_over_all_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "PIECE_BYTES", 300)
    y = target("text")
    y[41] = None
    for make in (parquet_files, csv_file, lambda d, y: parquet_file(d, y, row_group_size=9)):
        folder = tmp_path / str(id(make))
        folder.mkdir()
        path, use = make(folder, y)
        with pytest.raises(DataError, match=r"in row 41\. Fill it in"):
            read_dataset(path, classes=True, **use)
    lazy = da.from_array(y, chunks=7)
    with pytest.raises(DataError, match=r"in row 41\. Fill it in"):
        from_arrays(da.from_array(X, chunks=9), lazy, classes=True)


MANY = np.array([f"c{k}" for k in range(1_001)])
ENOUGH = X[:1].repeat(1_001, axis=0)


@pytest.mark.parametrize("source", ["array", "table", "dask", "dask frame", "parquet", "csv"])
@pytest.mark.parametrize("kind", ["one", "1,000", "1,001", "real"])
def test_too_few_and_too_many(kind, source, tmp_path):
    y = {
        "one": MANY[[5] * 1_001], "1,000": MANY[[*range(1_000), 0]], "1,001": MANY,
        "real": np.linspace(0, 1, 1_001),
    }[kind]  # fmt: skip
    table = pd.DataFrame({"a": 1.0, "y": y})

    def make():
        if source == "array":
            return from_arrays(ENOUGH, y, classes=True)
        if source == "table":
            return from_arrays(table, "y", classes=True)
        if source == "dask":
            return from_arrays(ENOUGH, da.from_array(y, chunks=300), classes=True)
        if source == "dask frame":
            return from_arrays(dd.from_pandas(table, npartitions=3), "y", classes=True)
        path = tmp_path / f"t.{source}"
        if source == "csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, row_group_size=100)
        return read_dataset(path, target="y", classes=True)

    if kind == "1,000":
        assert len(make().classes) == 1_000
        return
    message = "needs at least 2 classes, got 1: 'c5'" if kind == "one" else (
        r"Target 'y' holds more than 1,000 different values .*looks like a number.*poisson"
    )  # fmt: skip
    with pytest.raises(InputError, match=message):
        make()


def test_a_crowded_csv_piece_is_refused_with_the_same_words(tmp_path, monkeypatch):
    monkeypatch.setattr("distreg.data.files.MAX_LEVELS", 50)
    path = text_csv(tmp_path, np.linspace(0, 1, 200))
    with pytest.raises(InputError, match="looks like a number"):
        read_dataset(path, target="y", classes=True)


def test_a_large_target_of_numbers_is_found_out_early(monkeypatch):
    seen = []
    encode = labels.vectors._category_chunks

    def counted(*arguments):
        for chunk in encode(*arguments):
            seen.append(len(chunk))
            yield chunk

    monkeypatch.setattr(labels.vectors, "PIECE_ROWS", 5_000)
    monkeypatch.setattr(labels.vectors, "_category_chunks", counted)
    with pytest.raises(InputError, match="looks like a number"):
        from_arrays(np.ones((50_000, 1)), np.arange(50_000.0), classes=True)
    assert sum(seen) == 5_000


BAD = {
    "mixed": (lambda: from_arrays(X, [1, "a"] * 30, classes=True), DataError, "y .*one kind"),
    "mixed parts": (
        lambda: from_arrays(
            da.from_array(X, chunks=30),
            da.from_array(np.array([1] * 30 + ["a"] * 30, dtype=object), chunks=30),
            classes=True,
        ),
        DataError, "'y' holds text in one part of the data and numbers",
    ),
    "lists": (
        lambda: from_arrays(X, pa.array([[1]] * N), classes=True), DataError, "holds list"
    ),
    "bytes": (lambda: from_arrays(X, np.array([b"a"] * N), classes=True), DataError, "binary"),
    "infinite": (
        lambda: from_arrays(X, [np.inf, 1.0] * 30, classes=True), DataError, "inf, which is no"
    ),
    "two targets": (lambda: from_arrays(X, X, classes=True), InputError, "one target at a time"),
    "lengths": (
        lambda: from_arrays(X, CODES[:-1], classes=True), InputError, "60 rows and y has 59"
    ),
    "lengths, dask": (
        lambda: from_arrays(
            da.from_array(X, chunks=9), da.from_array(CODES[:-1], chunks=9), classes=True
        ),
        InputError, "60 rows and y has 59",
    ),
    "no target": (lambda: from_arrays(X, classes=True), InputError, "there is no target"),
    "name": (lambda: from_arrays(X, "y", classes=True), InputError, "y='y' names a column"),
    "no rows": (lambda: from_arrays(X[:0], CODES[:0], classes=True), DataError, "0 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_targets_are_named(case):
    make, kind, pattern = BAD[case]
    with pytest.raises(kind, match=pattern):
        make()


def test_files_need_a_target(tmp_path):
    path, _ = parquet_file(tmp_path, target("int"))
    np.save(tmp_path / "m.npy", X)
    for name in (path, tmp_path / "m.npy"):
        with pytest.raises(InputError, match="there is no target"):
            read_dataset(name, classes=True)


@pytest.mark.parametrize("change", ["new label", "gap"])
def test_labels_that_come_later_are_damage(change, tmp_path):
    calls = []
    y = target("text")

    def changing(chunk):
        calls.append(1)
        other = chunk.copy()
        if len(calls) > 1:
            other[3] = "new" if change == "new label" else None
        return other

    whole = da.from_array(y, chunks=N).map_blocks(changing, dtype=object, meta=y[:0])
    data = from_arrays(da.from_array(X, chunks=9), whole, classes=True)
    what = "the label 'new'" if change == "new label" else "no label"
    with pytest.raises(DataError, match=rf"'y' has {what} in row 3 .*data have changed"):
        read(data)


def test_files_that_change_are_damage(tmp_path):
    table = frame(target("text"))
    data = read_dataset(parquet_file(tmp_path, target("text"))[0], target="y", classes=True)
    layout = data.recipes[0].shared.layout
    table.loc[7, "y"] = "new"
    with pytest.raises(DataError, match=r"Target 'y' has the label 'new' in row 7 \(t\)"):
        layout.block_of(table, source="t")


def test_digests_tell_labels_apart(tmp_path):
    def digest(y, **keywords):
        return from_arrays(X, y, **keywords).digest

    found = [
        digest(CODES), digest(CODES, classes=True), digest(CODES * 1.0, classes=True),
        digest(target("text"), classes=True), digest(CODES == 1, classes=True),
        digest(da.from_array(CODES, chunks=9), classes=True),
    ]  # fmt: skip
    # an array and a Dask array beside an array in memory are the same
    assert found[-1] == found[1]
    assert len(set(found)) == len(found) - 1
    path, use = parquet_file(tmp_path, CODES)
    assert read_dataset(path, **use).digest != read_dataset(path, classes=True, **use).digest
    lazy = da.from_array(X, chunks=9), da.from_array(CODES, chunks=9)
    assert digest(lazy[1]) != from_arrays(*lazy, classes=True).digest


def test_classes_survive_json():
    data = from_arrays(X, target("int8"), classes=True)
    assert json.loads(json.dumps(data.classes)) == list(data.classes)


def test_decimals_are_text():
    y = pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.00")] * 30)
    assert from_arrays(X, y, classes=True).classes == ("1.5", "2")


def test_numbers_are_still_numbers():
    data = from_arrays(X, CODES)
    assert data.classes is None
    np.testing.assert_array_equal(read(data).y, CODES)
