"""Files that cannot be used: every message names the file or the column, and what to do."""

from __future__ import annotations

import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from blocks import read

from distreg.data import csvkinds, footers, frames, parquet, read_dataset, storage
from distreg.data import csvscan as scanning
from distreg.data.storage import reading, retried
from distreg.exceptions import DataError, InputError

RNG = np.random.default_rng(11)
TABLE = pd.DataFrame({"a": RNG.normal(size=400), "c": ["u", "v"] * 200, "y": RNG.normal(size=400)})


def written(folder, table=TABLE, name="t.parquet", **keywords):
    path = folder / name
    if name.endswith("csv"):
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, **keywords)
    return path


def text(folder, content, name="t.csv"):
    (folder / name).write_text(content)
    return folder / name


def truncated(folder):
    path = written(folder)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def two(folder, second, suffix="parquet"):
    written(folder, name=f"0.{suffix}")
    written(folder, second, name=f"1.{suffix}")
    return folder


def pair(folder, *values):
    for k, value in enumerate(values):
        text(folder, f"a,y\n{value},1\n{value},2\n", f"{k}.csv")
    return folder


def arrays(folder, X=None, y=None):
    np.save(folder / "X.npy", RNG.normal(size=(9, 3)) if X is None else X)
    if y is not None:
        np.save(folder / "y.npy", y)
    return folder


def fifo(folder):
    os.mkfifo(folder / "t.csv")
    return folder / "t.csv"


def zarr_without_x(folder):
    zarr.open_group(folder / "z.zarr", mode="w").create_array("A", shape=(2,), dtype="f8")
    return folder / "z.zarr"


DATES = pd.Timestamp("2020-01-01")
IDS = [f"id{k}" for k in range(400)]
BAD = {
    "no such file": (lambda d: d / "none.parquet", {}, "none.parquet does not exist"),
    "no such csv": (lambda d: d / "none.csv", {}, "none.csv does not exist"),
    "no format": (lambda d: d / "none", {}, "none does not exist"),
    "unknown format": (lambda d: text(d, "", "t.dat"), {}, "Give format="),
    "wrong format": (written, {"format": "arrow"}, "'arrow' is unknown. Use one of parquet"),
    "empty folder": (lambda d: d, {"format": "parquet"}, "holds no file that ends in .parquet"),
    "glob without match": (lambda d: f"{d}/*.parquet", {}, "holds no file"),
    "hive folders": (
        lambda d: TABLE.to_parquet(d / "t", partition_cols=["c"]) or d / "t", {},
        "partitioned by folders such as 'c=u/",
    ),
    "fifo": (fifo, {}, "no regular file"),
    "unknown protocol": (lambda d: "nowhere://a/b.parquet", {}, "nowhere://a/b.parquet: "),
    "truncated": (truncated, {}, r"t\.parquet cannot be read; it is truncated"),
    "no parquet": (lambda d: text(d, "a,b", "t.parquet"), {}, r"t\.parquet cannot be read"),
    "empty parquet": (lambda d: text(d, "", "t.parquet"), {}, r"t\.parquet cannot be read"),
    "empty csv": (lambda d: text(d, ""), {}, "is empty"),
    "csv of a header": (lambda d: text(d, "a,y\n"), {}, "0 rows"),
    "parquet without rows": (lambda d: written(d, TABLE[:0][["a", "y"]]), {}, "0 rows"),
    "no features": (lambda d: written(d, TABLE[["y"]]), {}, "0 features"),
    "ragged csv": (
        lambda d: text(d, "a,y\n1,2\n1,2,3\n"), {}, r"t\.csv.* Expected 2 columns, got 3"
    ),
    "latin csv": (
        lambda d: (d / "t.csv").write_bytes(b"a,y\n\xe9,1\n") and d / "t.csv", {}, "'a' .*not UTF-8"
    ),
    "same header": (lambda d: text(d, "a,a,y\n1,2,3\n"), {}, r"same name: \['a'\]"),
    "open quote": (lambda d: text(d, 'a,y\n1,"2\n' + "1,2\n" * 9), {}, "opens a quote"),
    "compressed csv": (lambda d: text(d, "", "t.csv.gz"), {"format": "csv"}, "Decompress it"),
    "few words among numbers": (
        lambda d: text(d, "a,y\n1,2\n3,4\nabsent,5\n"), {},
        "'a' holds numbers and 1 other values such as 'absent'",
    ),
    "text target": (lambda d: written(d), {"target": "c"}, "target column 'c' holds text"),
    "misspelt target": (
        lambda d: written(d, TABLE.rename(columns={"a": "delay"})), {"target": "dealy"},
        "target='dealy': there is no such column; did you mean 'delay'",
    ),
    "unlike any": (lambda d: written(d), {"weight": "zzz"}, "The columns are 'a', 'c', 'y'"),
    "misspelt numeric": (lambda d: written(d), {"numeric": ["aa"]}, "numeric names 'aa', but"),
    "misspelt exclude": (lambda d: written(d), {"exclude": ["b"]}, "exclude names 'b', but"),
    "used and excluded": (
        lambda d: written(d), {"numeric": ["a"], "exclude": ["a"]},
        r"both used and excluded: \['a'\]",
    ),
    "two kinds": (
        lambda d: written(d), {"numeric": ["a"], "categorical": ["a"]}, r"both numeric and cat"
    ),
    "text as number": (lambda d: written(d), {"numeric": ["c"]}, "'c' holds text.*categorical"),
    "target as feature": (
        lambda d: written(d), {"numeric": ["a", "y"]}, "'y' is the target and named as a feature"
    ),
    "target as category": (
        lambda d: written(d), {"categorical": ["y"]}, "'y' is the target and named as a feature"
    ),
    "target as feature, csv": (
        lambda d: written(d, name="t.csv"), {"numeric": ["a", "y"]}, "'y' is the target and"
    ),
    "target as feature, npy": (
        lambda d: arrays(d), {"target": "x0", "numeric": ["x0", "x1"]}, "'x0' is the target and"
    ),
    "target by number, npy": (
        lambda d: arrays(d), {"target": -3, "numeric": ["x0", "x1"]}, "'x0' is the target and"
    ),
    "named twice": (
        lambda d: written(d), {"numeric": ["a", "a"]}, r"more than once in numeric: \['a'\]"
    ),
    "named twice, npy": (
        lambda d: arrays(d), {"target": "x0", "numeric": ["x1", "x1"]},
        r"more than once in numeric: \['x1'\]",
    ),
    "used and excluded, npy": (
        lambda d: arrays(d), {"target": "x0", "numeric": ["x1"], "exclude": ["x1"]},
        r"both used and excluded: \['x1'\]",
    ),
    "dates": (lambda d: written(d, TABLE.assign(d=DATES)), {}, r"'d' \(timestamp.*exclude"),
    "dates, csv": (
        lambda d: written(d, TABLE.assign(d=DATES), "t.csv"), {}, r"'d' \((date|timestamp).*exclude"
    ),
    "lists": (lambda d: written(d, TABLE.assign(d=[[1]] * 400)), {}, r"'d' \(list"),
    "identifiers": (
        lambda d: written(d, TABLE.assign(id=IDS)), {}, "'id' holds text with more than 99"
    ),
    "identifiers, csv": (
        lambda d: written(d, TABLE.assign(id=IDS), "t.csv"), {}, "'id' holds text with more than 99"
    ),
    "lacking column": (lambda d: two(d, TABLE[["c", "y"]]), {}, r"1\.parquet lacks \['a'\]"),
    "extra column": (lambda d: two(d, TABLE.assign(z=1)), {}, r"1\.parquet also has \['z'\]"),
    "changed type": (
        lambda d: two(d, TABLE.assign(a="x")), {}, r"'a' holds (large_)?string in .*1\.parquet"
    ),
    "lacking column, csv": (
        lambda d: two(d, TABLE[["c", "y"]], "csv"), {}, r"1\.csv lacks \['a'\]"
    ),
    "changed type, csv": (
        lambda d: two(d, TABLE.assign(a="x"), "csv"), {}, r"'a' holds real first and text in 1\.csv"
    ),
    "bool and numbers, csv": (
        lambda d: pair(d, "true", "1"), {}, "'a' holds bool first and integer in 1.csv"
    ),
    "numbers and bool, csv": (
        lambda d: pair(d, "1.5", "true"), {}, "'a' holds real first and bool in 1.csv"
    ),
    "only empty csv": (
        lambda d: text(d, "", "0.csv") and text(d, " \n", "1.csv") and d, {}, "is empty"
    ),
    "line ends of old": (
        lambda d: (d / "t.csv").write_bytes(b"a,y\r1,2\r3,4\r") and d / "t.csv", {},
        r"t\.csv cannot be read",
    ),
    "index without a name": (
        lambda d: TABLE.to_csv(d / "t.csv") or d / "t.csv", {},
        r"column without a name .*exclude=\[''\]",
    ),
    "decimal comma": (
        lambda d: text(d, "a;y\n" + "".join(f"{k},5;{k}\n" for k in range(9)) + "-7;1\n"), {},
        "'a' holds numbers with a decimal comma such as '0,5'",
    ),
    "many decimal commas": (
        lambda d: text(d, "a;y\n" + "".join(f"{k},5;{k}\n" for k in range(200))), {},
        "'a' holds numbers with a decimal comma such as '0,5'",
    ),
    "same feature": (
        lambda d: written(d, TABLE.rename(columns={"a": "c=u"})), {},
        r"Features with the same name: \['c=u'\]",
    ),
    "missing fold key": (
        lambda d: written(d, TABLE.assign(k=[1.0] * 399 + [None])), {"fold_key": "k"},
        "'k' is missing or no whole number in row 399",
    ),
    "policy": (written, {"missing": "zero"}, "'zero' is not a policy"),
    "npy of text": (lambda d: arrays(d, np.array([["a"]])), {"target": None}, "holds <U1"),
    "npy of objects": (
        lambda d: arrays(d, np.array([[None]], dtype=object)), {"target": None},
        r"X\.npy cannot be read",
    ),
    "npy of one dimension": (lambda d: arrays(d, np.ones(3)), {"target": None}, r"shape \(3,\)"),
    "npy without X": (
        lambda d: np.save(d / "A.npy", np.ones(3)) or d, {}, r"no file X.npy. The files are \['A'\]"
    ),
    "npy lengths": (lambda d: arrays(d, y=np.ones(8)), {"target": None}, "9 rows and .* has 8"),
    "npy column": (lambda d: arrays(d), {"target": "3"}, "has 3 columns, 0 to 2"),
    "npy name": (lambda d: arrays(d), {"target": "x9"}, "did you mean 'x"),
    "npy categories": (lambda d: arrays(d), {"categorical": ["x1"]}, "hold numbers only"),
    "npy fold keys": (
        lambda d: np.save(d / "k.npy", np.array(["a"] * 9)) or arrays(d),
        {"target": None, "fold_key": "k"}, "holds <U1; integers are needed",
    ),
    "zarr without X": (zarr_without_x, {"target": None}, r"no array X. Its arrays are \['A'\]"),
    "no zarr": (lambda d: text(d, "", "z.zarr"), {"target": None}, r"z\.zarr"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(case, tmp_path, monkeypatch):
    for module in (frames, scanning, csvkinds):
        monkeypatch.setattr(module, "MAX_LEVELS", 99)
    monkeypatch.setattr("distreg.data.files.MAX_LEVELS", 99)
    make, keywords, pattern = BAD[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=pattern):
        read(read_dataset(path, **{"target": "y", **keywords}))


def test_columns_left_out_may_hold_anything(tmp_path):
    table = TABLE.assign(d=DATES, mixed=["7"] * 399 + ["x"])
    for name in ("t.parquet", "t.csv"):
        data = read_dataset(written(tmp_path, table, name), target="y", exclude=["d", "mixed", "c"])
        assert data.feature_names == ("a",)
    both = two(tmp_path, TABLE.assign(extra=1, a=TABLE["a"] * 2))
    data = read_dataset(f"{both}/[01].parquet", target="y", numeric=["a"], categorical=["c"])
    np.testing.assert_array_equal(read(data).X[:, 0], np.concatenate([TABLE["a"], 2 * TABLE["a"]]))


def test_numbers_and_words_of_a_declared_category_stay_as_written(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "PIECE_BYTES", 8)
    path = text(tmp_path, "a,y\n01,1\n2,2\nx,3\n01,4\n")
    data = read_dataset(path, target="y", categorical=["a"])
    assert data.columns.levels["a"] == ("01", "2", "x")
    np.testing.assert_array_equal(read(data).X, np.eye(3)[[0, 1, 2, 0]])
    plain = read_dataset(text(tmp_path, "a,y\n10,1\n9,2\n"), target="y", categorical=["a"])
    assert plain.columns.levels["a"] == (9, 10)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
@pytest.mark.parametrize("change", ["gone", "longer", "other rows"])
def test_files_that_change_after_planning_are_named(name, change, tmp_path):
    path = written(tmp_path, name=name)
    data = read_dataset(path, target="y")
    if change == "gone":
        path.unlink()
    elif change == "longer":
        written(tmp_path, pd.concat([TABLE, TABLE]), name=name)
    else:
        content = path.read_bytes()
        path.write_bytes(b"#" * len(content))
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read(data)


def test_a_damaged_page_is_no_data(tmp_path):
    path = written(tmp_path, row_group_size=100, compression="snappy")
    data = read_dataset(path, target="y")
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"t\.parquet"):
        read(data)


@pytest.mark.parametrize("stream", [0, 10**9])
def test_damage_in_a_large_row_group_is_no_data(stream, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(parquet, "STREAM_BYTES", stream)
    path = written(tmp_path)
    data = read_dataset(path, target="y")
    assert data.n_blocks > 4
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"t\.parquet"):
        read(data)


def test_arrays_that_change_after_planning_are_named(tmp_path):
    data = read_dataset(arrays(tmp_path, y=np.ones(9)))
    arrays(tmp_path, X=np.ones((8, 3)))
    with pytest.raises(DataError, match=r"X\.npy has shape \(8, 3\) and had \(9, 3\)"):
        read(data)


def test_zarr_is_an_extra(tmp_path, monkeypatch):
    path = zarr_without_x(tmp_path)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r'pip install "distreg\[zarr\]"'):
        read_dataset(path, target="y")


@pytest.mark.parametrize("failures", [1, 2])
def test_input_and_output_errors_are_tried_once_more(failures, monkeypatch):
    monkeypatch.setattr("distreg.data.storage.RETRY_SECONDS", 0.0)
    calls = []

    def flaky():
        calls.append(1)
        if len(calls) <= failures:
            raise OSError(5, "Input/output error")
        return "content"

    if failures == 1:
        assert retried(flaky, "t.parquet") == "content"
    else:
        with pytest.raises(DataError, match=r"t\.parquet cannot be read"):
            retried(flaky, "t.parquet")
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "pattern"),
    [
        (PermissionError(13, "denied"), "f.csv may not be read: permission denied"),
        (FileNotFoundError(2, "gone"), "f.csv does not exist"),
        (pa.ArrowInvalid("bad page"), "f.csv cannot be read; .*bad page"),
        (DataError("own words"), "own words"),
    ],
)
def test_every_failure_names_its_source(error, pattern):
    with pytest.raises(DataError, match=pattern), reading("f.csv"):
        raise error


def test_a_failing_sweep_over_a_row_group_goes_on_slice_by_slice(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 1)
    data = read_dataset(written(tmp_path), target="y")
    stream = parquet._stream

    def broken(recipes):
        for k, block in enumerate(stream(recipes)):
            if k == 1:
                raise OSError(5, "Input/output error")
            yield block

    monkeypatch.setattr(parquet, "_stream", broken)
    whole = read(data)
    np.testing.assert_array_equal(whole.y, TABLE["y"])
    np.testing.assert_array_equal(whole.row, np.arange(400))


def test_level_limits_hold_for_a_file_and_not_only_for_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("distreg.data.files.MAX_LEVELS", 50)
    path = written(tmp_path, TABLE.assign(id=IDS), row_group_size=40)
    footer = footers.read_footers(storage.list_files(str(path), (".parquet",), {}), {})[0]
    sizes = []

    def count(frame, names, limits, source):
        sizes.append(len(frame))
        return frames.scan_columns(frame, names, limits, source)

    monkeypatch.setattr(footers, "scan_columns", count)
    with pytest.raises(DataError, match="'id' holds text with more than 50"):
        footers._scan_file(footer.file, footer.types, ("id",), {"id": 50}, {})
    assert sum(sizes) < 400
