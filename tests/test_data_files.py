"""Every file format gives the same matrix, names and row numbers, however it was written."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from blocks import read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distreg.data import csvscan as scanning
from distreg.data import footers, from_arrays, parquet, read_dataset
from distreg.exceptions import DataError

N = 211
RNG = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {
        "a": RNG.normal(size=N),
        "count": RNG.integers(0, 9, N),
        "flag": RNG.random(N) < 0.3,
        "colour": RNG.choice(["red", "green", 'say "blue",\nplease'], N),
        "month": RNG.integers(1, 13, N),
        "group": RNG.choice(["g1", "g2", "g3"], N),
        "fold": RNG.integers(0, 4, N),
        "w": RNG.uniform(0.5, 2.0, N),
        "o": RNG.normal(size=N),
        "y": RNG.normal(size=N),
    }
)
USE = {
    "target": "y",
    "weight": "w",
    "offset": "o",
    "fold_key": "fold",
    "exclude": ["group"],
    "categorical": ["colour", "month"],
}
WANTED = read(
    from_arrays(
        TABLE.drop(columns="group"),
        "y",
        sample_weight="w",
        offset="o",
        fold_key="fold",
        categorical=["colour", "month"],
    )
)


def one_parquet(folder, **keywords):
    TABLE.to_parquet(folder / "t.parquet", **keywords)
    return folder / "t.parquet"


def many(folder, suffix, cuts=13):
    bounds = np.linspace(0, N, cuts + 1).astype(int)
    for k in range(cuts):
        part = TABLE[bounds[k] : bounds[k + 1]]
        if suffix == "parquet":
            # other order of columns, and an index that is no feature
            part[list(np.roll(TABLE.columns, k))].set_index(part.index * 2).to_parquet(
                folder / f"part.{k}.parquet"
            )
        else:
            part.to_csv(folder / f"part.{k}.csv", index=False)
    return folder


def categories(folder):
    table = TABLE.astype({"colour": "category", "month": "category"})
    table.to_parquet(folder / "t.parquet", row_group_size=50)
    return folder / "t.parquet"


def with_empty_parts(folder):
    empty = pa.Table.from_pandas(TABLE[:0])
    pq.write_table(empty.cast(pa.Schema.from_pandas(TABLE)), folder / "a.parquet")
    TABLE[:100].to_parquet(folder / "b.parquet", row_group_size=30)
    pq.write_table(empty.cast(pa.Schema.from_pandas(TABLE)), folder / "c.parquet")
    TABLE[100:].to_parquet(folder / "d.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".d.parquet.crc").touch()
    return folder


def one_csv(folder, **keywords):
    TABLE.to_csv(folder / "t.csv", index=False, **keywords)
    return folder / "t.csv"


LAYOUTS = {
    "parquet": one_parquet,
    "parquet, row groups": lambda folder: one_parquet(folder, row_group_size=17),
    "parquet, zstd v1": lambda folder: one_parquet(folder, compression="zstd", version="1.0"),
    "parquet, no dictionaries": lambda folder: one_parquet(folder, use_dictionary=False),
    "parquet, categories": categories,
    "parquet files": lambda folder: many(folder, "parquet"),
    "parquet glob": lambda folder: many(folder, "parquet") / "*.parquet",
    "parquet, empty files": with_empty_parts,
    "csv": one_csv,
    "csv, semicolons": lambda folder: one_csv(folder, sep=";"),
    "csv, crlf": lambda folder: one_csv(folder, lineterminator="\r\n"),
    "csv, byte order mark": lambda folder: one_csv(folder, encoding="utf-8-sig"),
    "csv, all quoted": lambda folder: one_csv(folder, quoting=1),
    "csv files": lambda folder: many(folder, "csv"),
    "url": lambda folder: "file://" + str(one_parquet(folder, row_group_size=40)),
    "csv url": lambda folder: "file://" + str(many(folder, "csv")),
    "parquet url, glob": lambda folder: "file://" + str(many(folder, "parquet")) + "/*.parquet",
}


def check(data):
    whole = read(data)
    for name in ("X", "y", "weight", "offset", "fold_key", "row"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(WANTED, name))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_format_gives_the_same_rows(layout, tmp_path):
    data = read_dataset(LAYOUTS[layout](tmp_path), **USE)
    check(data)
    assert data.feature_names[:4] == ("a", "count", "flag", "colour=green")
    assert data.n_scans == 1
    assert not data.in_memory
    assert data.fold_key == "fold"
    assert data.fold_key_levels is None
    assert data.columns.categorical == ("colour", "month")
    assert len(pickle.dumps(data.groups)) < 10_000


@pytest.mark.parametrize("layout", ["parquet, row groups", "csv files", "parquet, categories"])
@pytest.mark.parametrize("joins", [0, 2_000])
def test_small_blocks_of_any_size(layout, joins, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "JOIN_BYTES", joins)
    monkeypatch.setattr(scanning, "PIECE_BYTES", 700)
    data = read_dataset(LAYOUTS[layout](tmp_path), **USE)
    assert data.n_blocks > 2
    check(data)


@pytest.mark.parametrize("stream", [0, 10**9])
@pytest.mark.parametrize("rows_per_group", [40, 211])
def test_large_row_groups_are_cut(rows_per_group, stream, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 500)
    monkeypatch.setattr(parquet, "STREAM_BYTES", stream)
    monkeypatch.setattr(parquet, "BUNCH_BYTES", 1_000)
    path = one_parquet(tmp_path, row_group_size=rows_per_group)
    data = read_dataset(path, **USE)
    assert all(recipe.nbytes <= 1_200 for recipe in data.recipes)
    check(data)
    check(data.regroup(1))
    # each block also by itself, in any order
    for recipe in reversed(data.recipes):
        rows = slice(recipe.row_start, recipe.row_start + recipe.n_rows)
        np.testing.assert_array_equal(recipe.load().y, WANTED.y[rows])
    assert bool(data.advice) == (stream == 0)


def test_batches_smaller_than_a_slice_are_joined(tmp_path, monkeypatch):
    n = 5_000
    table = pa.table({"a": np.arange(n, dtype=float), "y": -np.arange(n, dtype=float)})
    pq.write_table(table, tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 30_000)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 1)
    for stream in (0, 10**9):
        monkeypatch.setattr(parquet, "STREAM_BYTES", stream)
        whole = read(read_dataset(tmp_path / "t.parquet", target="y"))
        np.testing.assert_array_equal(whole.X[:, 0], np.arange(n))
        np.testing.assert_array_equal(whole.y, -np.arange(n))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.text(alphabet='ab",\n\r ;', max_size=4).filter(lambda text: text.strip() == text),
        min_size=1, max_size=12,
    ),
    piece=st.integers(1, 40),
)  # fmt: skip
def test_csv_pieces_end_at_line_ends_outside_of_quotes(values, piece, tmp_path):
    table = pd.DataFrame({"c": [f"v{v}" for v in values], "y": np.arange(len(values), dtype=float)})
    table.to_csv(tmp_path / "t.csv", index=False, quoting=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "PIECE_BYTES", piece)
        data = read_dataset(tmp_path / "t.csv", target="y", categorical=["c"])
        whole = read(data)
    np.testing.assert_array_equal(whole.y, table["y"])
    levels = data.columns.levels["c"]
    assert [levels[k] for k in whole.X.argmax(axis=1)] == list(table["c"])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_columns_are_chosen_by_type(suffix, tmp_path):
    table = TABLE.drop(columns=["group", "fold"])
    path = tmp_path / f"t.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    data = read_dataset(path, target="y")
    assert data.columns.numeric == ("a", "count", "flag", "month", "w", "o")
    assert data.columns.categorical == ("colour",)
    some = read_dataset(path, target="y", numeric=["w", "a"], categorical=[])
    assert some.feature_names == ("w", "a")
    assert some.n_scans == int(suffix == "csv")
    np.testing.assert_array_equal(read(some).X, TABLE[["w", "a"]])
    assert not read_dataset(path).has_y


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_text_fold_keys(suffix, tmp_path):
    path = one_parquet(tmp_path, row_group_size=50) if suffix == "parquet" else one_csv(tmp_path)
    data = read_dataset(path, target="y", fold_key="group")
    assert data.fold_key_levels == ("g1", "g2", "g3")
    assert "group" not in data.columns.names
    levels = np.array(data.fold_key_levels)
    np.testing.assert_array_equal(levels[read(data).fold_key], TABLE["group"])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("missing", ["error", "mean", "drop"])
def test_missing_values(suffix, missing, tmp_path):
    table = pd.DataFrame(
        {
            "a": [1.0, np.nan, 3.0, 4.0],
            "k": pd.array([1, 2, None, 4], dtype="Int64"),
            "c": ["u", "v", "u", None],
            "y": [1.0, 2.0, 3.0, np.nan],
        }
    )
    path = tmp_path / f"t.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    if missing == "error":
        with pytest.raises(DataError, match=rf"'c' is missing in row 3 \(t.{suffix}"):
            read(read_dataset(path, target="y"))
        whole = read(read_dataset(path, target="y", exclude=["c"]))
        np.testing.assert_array_equal(whole.X, table[["a", "k"]].astype(float))
        assert np.isnan(whole.y[3])
        return
    data = read_dataset(path, target="y", missing=missing)
    whole = read(data)
    assert data.n_rows == 4
    if missing == "drop":
        np.testing.assert_array_equal(whole.row, [0])
        np.testing.assert_array_equal(whole.X, [[1, 1, 1, 0]])
    else:
        assert data.feature_names == ("a", "k", "c=u", "c=v", "c=(missing)")
        np.testing.assert_array_equal(whole.X[:, :2], table[["a", "k"]].astype(float))
        np.testing.assert_array_equal(whole.X[:, 2:], np.eye(3)[[0, 1, 0, 2]])


@pytest.mark.parametrize("dtypes", [("float", "float"), ("float", "double")])
def test_float32_stays_when_every_column_is(dtypes, tmp_path):
    table = pa.table({"a": [1.5, 2.5], "b": [0.5, 1.0], "y": [1.0, 2.0]})
    for k, dtype in enumerate(dtypes):
        second = pa.float32() if dtype == "float" else pa.float64()
        schema = pa.schema([("a", pa.float32()), ("b", second), ("y", pa.float64())])
        pq.write_table(table.cast(schema), tmp_path / f"{k}.parquet")
    whole = read(read_dataset(tmp_path, target="y"))
    assert whole.X.dtype == (np.float32 if dtypes == ("float", "float") else np.float64)
    np.testing.assert_array_equal(whole.X, [[1.5, 0.5], [2.5, 1.0]] * 2)


MATRIX = np.column_stack([TABLE[c] for c in ("a", "w", "o", "y")])


def npy_file(folder):
    np.save(folder / "M.npy", MATRIX)
    return folder / "M.npy", {"target": "-1", "weight": 1}


def npy_fortran(folder):
    np.save(folder / "M.npy", np.asfortranarray(MATRIX))
    return folder / "M.npy", {"target": "x3", "weight": "x1"}


def npy_folder(folder):
    np.save(folder / "X.npy", MATRIX[:, [0, 2]])
    np.save(folder / "y.npy", MATRIX[:, 3])
    np.save(folder / "weights.npy", MATRIX[:, 1])
    return folder, {"weight": "weights"}


def npy_beside(folder):
    npy_folder(folder)
    return folder / "X.npy", {"target": "y.npy", "weight": "weights.npy"}


def zarr_group(folder):
    group = zarr.open_group(folder / "z.zarr", mode="w")
    for name, values, chunks in (
        ("X", MATRIX[:, [0, 2]], (50, 1)), ("y", MATRIX[:, 3], (33,)), ("w", MATRIX[:, 1], (211,)),
    ):  # fmt: skip
        group.create_array(name, shape=values.shape, chunks=chunks, dtype="f8")[:] = values
    return folder / "z.zarr", {"weight": "w"}


def zarr_array(folder):
    array = zarr.open_array(
        folder / "z.zarr", mode="w", shape=MATRIX.shape, chunks=(50, 4), dtype="f8"
    )
    array[:] = MATRIX
    array.attrs["feature_names"] = ["a", "w", "o", "y"]
    return folder / "z.zarr", {"target": "y", "weight": "w"}


STORES = [npy_file, npy_fortran, npy_folder, npy_beside, zarr_group, zarr_array]


@pytest.mark.parametrize("make", STORES)
@pytest.mark.parametrize("block", [64_000_000, 4_000])
def test_arrays_on_disk(make, block, tmp_path, monkeypatch):
    monkeypatch.setattr("distreg.data.stores.BLOCK_BYTES", block)
    path, use = make(tmp_path)
    data = read_dataset(path, **use)
    whole = read(data)
    np.testing.assert_array_equal(whole.X, MATRIX[:, [0, 2]])
    np.testing.assert_array_equal(whole.y, MATRIX[:, 3])
    np.testing.assert_array_equal(whole.weight, MATRIX[:, 1])
    np.testing.assert_array_equal(whole.row, np.arange(N))
    assert data.n_scans == 0
    assert (data.n_blocks > 1) == (block == 4_000)
    if make is zarr_array:
        assert data.feature_names == ("a", "o")


@pytest.mark.parametrize("layout", ["parquet, row groups", "csv", "npy", "zarr"])
def test_nothing_stays_open(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "JOIN_BYTES", 0)
    if layout in ("npy", "zarr"):
        path, use = (npy_file if layout == "npy" else zarr_group)(tmp_path)
    else:
        path, use = LAYOUTS[layout](tmp_path), USE
    data = read_dataset(path, **use)
    blocks = [recipe.load() for recipe in data.recipes]
    assert blocks
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{fd}")]  # fmt: skip
    assert not [name for name in held if name.startswith(str(tmp_path))]
    with open("/proc/self/maps") as maps:
        assert str(tmp_path) not in maps.read()


def test_digests_follow_the_files(tmp_path):
    path = one_parquet(tmp_path)
    first = read_dataset(path, target="y").digest
    assert read_dataset(path, target="y").digest == first
    assert read_dataset(path, target="y", exclude=["a"]).digest != first
    TABLE.assign(a=1.0).to_parquet(path)
    assert read_dataset(path, target="y").digest != first


def test_only_the_categorical_columns_are_scanned(tmp_path, monkeypatch):
    seen = []
    scan = footers.scan_columns
    monkeypatch.setattr(
        footers, "scan_columns", lambda t, *rest: seen.append(t.column_names) or scan(t, *rest)
    )
    read_dataset(one_parquet(tmp_path), **USE)
    assert seen == [["colour", "month"]]


def test_importing_is_cheap():
    code = (
        "import sys, distreg.data; "
        "print([m for m in ('dask', 'pandas', 'pyarrow', 'zarr', 'fsspec') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["parquet", "csv", "dask", "pandas", "arrow"])
@pytest.mark.parametrize("written", ["float", "integer", "mixed"])
def test_fold_ids_are_themselves_also_as_floats(kind, written, tmp_path):
    ids = np.array([-1, 0, 3, 7, 3, -1])
    keys = ids.astype(float if written == "float" else int)
    table = pd.DataFrame({"a": np.arange(6.0), "k": keys, "y": np.arange(6.0)})
    if written == "mixed":
        table["k"] = ["-1", "0.0", "3", "7.0", "3.00", "-1."] if kind == "csv" else pd.array(keys)
    use = {"target": "y", "fold_key": "k"}
    if kind in ("parquet", "csv"):
        path = tmp_path / f"t.{kind}"
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
        data = read_dataset(path, **use)
        assert data.n_scans == int(kind == "csv")
    else:
        X = {
            "dask": lambda: dd.from_pandas(table, npartitions=2),
            "pandas": lambda: table,
            "arrow": lambda: pa.Table.from_pandas(table),
        }[kind]()
        data = from_arrays(X, "y", fold_key="k")
    assert data.fold_key_levels is None
    assert data.feature_names == ("a",)
    np.testing.assert_array_equal(read(data).fold_key, ids)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_fold_ids_that_are_no_whole_numbers(suffix, tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0], "k": [0.0, 0.5], "y": [1.0, 2.0]})
    path = tmp_path / f"t.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    if suffix == "csv":
        assert read_dataset(path, target="y", fold_key="k").fold_key_levels == ("0.0", "0.5")
    else:
        with pytest.raises(DataError, match="'k' is missing or no whole number in row 1"):
            read(read_dataset(path, target="y", fold_key="k"))


def memory_storage(content):
    """A csv file on the storage of fsspec that lives in this process."""
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/distreg-csv/t.csv", content)
    return "memory://distreg-csv/t.csv"


@pytest.mark.parametrize("header_bytes", [1, 3, 1 << 16])
def test_csv_on_remote_storage(header_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "HEADER_BYTES", header_bytes)
    monkeypatch.setattr(
        "fsspec.implementations.memory.MemoryFile.readline",
        lambda self: pytest.fail("buffered files of fsspec have no readline with a size"),
    )
    content = TABLE.to_csv(index=False).encode()
    (tmp_path / "t.csv").write_bytes(content)
    local = read(read_dataset(tmp_path / "t.csv", **USE))
    remote = read_dataset(memory_storage(content), **USE)
    np.testing.assert_array_equal(read(remote).X, local.X)
    np.testing.assert_array_equal(read(remote).y, TABLE["y"])


@pytest.mark.parametrize("start", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n  \n"])
def test_blank_lines_before_a_csv_header_are_skipped(start, tmp_path):
    (tmp_path / "t.csv").write_bytes(start + b"a,y\n1.5,2\n2.5,3\n")
    data = read_dataset(tmp_path / "t.csv", target="y")
    assert data.feature_names == ("a",)
    np.testing.assert_array_equal(read(data).X[:, 0], [1.5, 2.5])


@pytest.mark.parametrize("empty", ["0.csv", "5.csv"])
def test_parts_of_csv_without_content_are_no_rows(empty, tmp_path):
    (tmp_path / empty).write_bytes(b"")
    (tmp_path / "2.csv").write_text("a,y\n1,2\n,3\n")
    (tmp_path / "3.csv").write_text("a,y\n3,4\n")
    data = read_dataset(tmp_path, target="y", missing="mean")
    assert data.n_rows == 3
    np.testing.assert_array_equal(read(data).y, [2, 3, 4])


def test_missing_values_beside_true_and_false(tmp_path):
    (tmp_path / "0.csv").write_text("a,y\n,2\n")
    (tmp_path / "1.csv").write_text("a,y\ntrue,3\nfalse,4\n")
    whole = read(read_dataset(tmp_path, target="y", missing="mean"))
    np.testing.assert_array_equal(whole.X[:, 0], [np.nan, 1.0, 0.0])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_text_beside_the_parts_is_no_part(suffix, tmp_path):
    table = TABLE[["a", "y"]]
    (tmp_path / "README.txt").write_text("About these data.\n")
    (tmp_path / "NOTES.TXT").write_text("")
    path = tmp_path / f"x.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    np.testing.assert_array_equal(read(read_dataset(tmp_path, target="y")).y, TABLE["y"])


def test_text_files_are_csv_where_they_are_named(tmp_path):
    TABLE[["a", "y"]].to_csv(tmp_path / "t.txt", index=False)
    for path, use in ((tmp_path / "t.txt", {}), (tmp_path, {"format": "csv"})):
        np.testing.assert_array_equal(read(read_dataset(path, target="y", **use)).y, TABLE["y"])


def test_an_index_may_be_excluded(tmp_path):
    table = TABLE[["a", "y"]].set_axis(pd.Index(np.arange(N) + 5, name="id"))
    table.to_parquet(tmp_path / "t.parquet")
    table.rename_axis(None).to_csv(tmp_path / "t.csv")
    for name, column in (("t.parquet", "id"), ("t.csv", "")):
        data = read_dataset(tmp_path / name, target="y", exclude=[column])
        assert data.feature_names == ("a",)
    data = read_dataset(tmp_path / "t.csv", target="y", numeric=["", "a"])
    assert data.feature_names == ("", "a")
