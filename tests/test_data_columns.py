"""Columns of tables become features: kinds, levels, policies, JSON."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distreg.data import Columns
from distreg.data.vectors import levels_of, merge_levels, sort_levels
from distreg.exceptions import DataError, InputError

NUMBERS = {
    "float64": (pa.float64(), [1.5, None, -2.0]),
    "float32": (pa.float32(), [1.5, None, -2.0]),
    "float16": (pa.float16(), [np.float16(1.5), None, np.float16(-2)]),
    "int8": (pa.int8(), [1, None, -2]),
    "int64": (pa.int64(), [1, None, -2]),
    "uint32": (pa.uint32(), [1, None, 2]),
    "bool": (pa.bool_(), [True, None, False]),
    "decimal": (pa.decimal128(9, 2), [decimal.Decimal("1.25"), None, decimal.Decimal("-2")]),
    "null": (pa.null(), [None, None, None]),
    "coded": (pa.dictionary(pa.int8(), pa.float64()), [1.5, None, -2.0]),
}


@pytest.mark.parametrize("container", ["arrow", "chunked", "pandas"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_every_type(kind, container):
    arrow_type, values = NUMBERS[kind]
    array = pa.array(values, type=arrow_type)
    table = pa.table(
        {"a": pa.chunked_array([array[:1], array[1:]]) if container == "chunked" else array}
    )
    frame = table.to_pandas() if container == "pandas" else table
    if container == "pandas" and kind == "coded":
        frame = frame.astype({"a": "category"})
    dense = Columns(("a",)).encode(frame).dense
    wanted = [np.nan if v is None else float(v) for v in values]
    np.testing.assert_array_equal(dense[:, 0], wanted)
    assert dense.dtype == (np.float32 if kind == "float32" else np.float64)
    assert dense.flags.f_contiguous


LEVELS = {
    "text": (["b", "a", None, "b"], ("a", "b")),
    "large text": (pa.array(["b", "a", None, "b"], pa.large_string()), ("a", "b")),
    "text view": (pa.array(["b", "a", None, "b"], pa.string_view()), ("a", "b")),
    "dictionary": (pa.array(["b", "a", None, "b"]).dictionary_encode(), ("a", "b")),
    "unused": (
        pa.DictionaryArray.from_arrays([2, 0, None, 2], ["a", "unused", "b"]), ("a", "b")
    ),
    "null in the dictionary": (
        pa.DictionaryArray.from_arrays([2, 0, 1, 2], ["a", None, "b"]), ("a", "b")
    ),
    "127 levels": (
        pa.DictionaryArray.from_arrays(
            pa.array([126, 0, None, 126], pa.int8()), [f"{k:03}" for k in range(127)]
        ),
        ("000", "126"),
    ),
    "int": ([10, 9, None, 10], (9, 10)),
    "float": ([10.5, 9.0, float("nan"), 10.5], (9.0, 10.5)),
    "bool": ([True, False, None, True], (False, True)),
    "date": (
        [datetime.date(2020, 2, 1), datetime.date(2020, 1, 1), None, datetime.date(2020, 2, 1)],
        ("2020-01-01", "2020-02-01"),
    ),
    "decimal": (
        [decimal.Decimal("2.50"), decimal.Decimal("1.00"), None, decimal.Decimal("2.50")],
        ("1", "2.5"),
    ),
    "empty text": (["b", "", None, "b"], ("", "b")),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_of_every_type(kind):
    values, wanted = LEVELS[kind]
    array = values if isinstance(values, pa.Array) else pa.array(values)
    found, any_missing = levels_of(pa.chunked_array([array[:1], array[1:]]), "c")
    levels = sort_levels(found)
    assert levels == wanted
    assert any_missing
    columns = Columns((), ("c",), {"c": (*levels, "(missing)")}, missing="mean")
    assert columns.feature_names[0] == f"c={wanted[0]}"
    encoded = columns.encode(pa.table({"c": array}))
    np.testing.assert_array_equal(
        encoded.sparse.toarray(), [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    )
    restored = Columns.from_dict(json.loads(json.dumps(columns.to_dict(), allow_nan=False)))
    assert restored == columns
    assert [type(v) for v in restored.levels["c"]] == [type(v) for v in columns.levels["c"]]


MODEL = Columns(("a", "b"), ("c", "m"), {"c": ("u", "v"), "m": (1, 2, 3)})
TABLE = pd.DataFrame(
    {"m": [3, 1, 2], "extra": [0, 0, 0], "b": [4.0, 5.0, 6.0], "c": ["v", "w", "u"], "a": [1, 2, 3]}
)
WANTED = [[1, 4, 0, 1, 0, 0, 1], [2, 5, 0, 0, 1, 0, 0], [3, 6, 1, 0, 0, 1, 0]]


@pytest.mark.parametrize(
    "frame",
    [
        TABLE,
        TABLE.astype({"c": "category", "m": "category"}),
        TABLE.astype({"m": float, "a": "Int64"}),
        TABLE.astype({"c": object}),
        TABLE.set_axis([7, 8, 9]),
        pa.Table.from_pandas(TABLE),
    ],
)
def test_columns_are_matched_by_name_and_unknown_levels_have_no_effect(frame):
    encoded = MODEL.encode(frame)
    np.testing.assert_array_equal(np.hstack([encoded.dense, encoded.sparse.toarray()]), WANTED)
    assert encoded.incomplete is None


def test_an_unknown_level_can_be_an_error():
    strict = dataclasses.replace(MODEL, unknown="error")
    with pytest.raises(DataError, match=r"'c' holds the unknown level 'w' in row 11 \(file.csv\)"):
        strict.encode(TABLE, row_start=10, source="file.csv")


def test_missing_columns_are_listed():
    with pytest.raises(DataError, match=r"Missing columns in f: \['b', 'm'\]"):
        MODEL.encode(TABLE.drop(columns=["b", "m"]), source="f")


def test_repeated_columns_are_refused():
    table = pd.concat([TABLE, TABLE[["a"]]], axis=1)
    with pytest.raises(DataError, match=r"more than once: \['a'\]"):
        MODEL.encode(table)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [({"c": [1, 2, 3]}, "'c' holds numbers such as 1"), ({"m": list("123")}, "'m' holds text")],
)
def test_a_changed_type_is_no_unknown_level(change, pattern):
    with pytest.raises(DataError, match=pattern):
        MODEL.encode(TABLE.assign(**change))


@pytest.mark.parametrize("missing", ["error", "mean", "drop"])
def test_policies_for_missing_values(missing):
    table = TABLE.assign(a=[1.0, np.nan, 3.0], c=["v", "u", None])
    columns = dataclasses.replace(MODEL, missing=missing)
    if missing == "error":
        with pytest.raises(DataError, match="'c' is missing in row 2"):
            columns.encode(table)
        table = table.assign(c=["v", "u", "u"])
    encoded = columns.encode(table)
    np.testing.assert_array_equal(encoded.dense[:, 0], [1, np.nan, 3])
    if missing == "drop":
        np.testing.assert_array_equal(encoded.incomplete, [False, True, True])
    else:
        assert encoded.incomplete is None
    if missing == "mean":
        # a level that the training data did not have
        assert encoded.sparse[[2], :2].nnz == 0
        filled = dataclasses.replace(columns, fill=(7.0, 8.0)).encode(table)
        np.testing.assert_array_equal(filled.dense[:, 0], [1, 7, 3])
        with pytest.raises(DataError, match="unknown level None"):
            dataclasses.replace(columns, unknown="error").encode(table)


@pytest.mark.parametrize(
    ("keywords", "pattern"),
    [
        ({"numeric": ("a", "a")}, r"more than once: \['a'\]"),
        ({"numeric": ("a",), "categorical": ("a",), "levels": {"a": (1,)}}, "more than once"),
        ({"categorical": ("c",)}, r"without levels: \['c'\]"),
        ({"missing": "guess"}, "'guess' is not a policy"),
        ({"unknown": "guess"}, "'guess' is not a policy"),
        ({"numeric": ("a",), "fill": (1.0, 2.0)}, "fill has 2 values"),
    ],
)
def test_bad_columns_are_refused(keywords, pattern):
    with pytest.raises(InputError, match=pattern):
        Columns(**keywords)


@pytest.mark.parametrize(
    "values",
    [["a"], [datetime.date(2020, 1, 1)], [[1.0]], [b"a"]],
    ids=["text", "date", "list", "bytes"],
)
def test_what_is_no_number_is_named(values):
    with pytest.raises(DataError, match=r"'a' holds .*, not numbers. Declare it categorical"):
        Columns(("a",)).encode(pa.table({"a": values}))


def test_what_is_no_category_is_named():
    with pytest.raises(DataError, match=r"'c' holds list.*cannot be a category"):
        levels_of(pa.array([[1.0]]), "c")


def test_text_and_numbers_do_not_merge():
    with pytest.raises(DataError, match="'c' holds text in one part"):
        merge_levels([{"a"}, {1}], "c")


@given(
    codes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30),
    cut=st.integers(0, 30),
)
def test_encoding_parts_is_encoding_the_whole(codes, cut):
    table = pd.DataFrame(codes, columns=["c", "d"]).astype({"c": str})
    columns = Columns(("d",), ("c",), {"c": ("0", "2", "3", "5")})
    whole = columns.encode(table)
    parts = [columns.encode(part) for part in (table[:cut], table[cut:])]
    np.testing.assert_array_equal(np.vstack([p.dense for p in parts]), whole.dense)
    found = np.vstack([p.sparse.toarray() for p in parts])
    wanted = [[c == level for level in ("0", "2", "3", "5")] for c in table["c"]]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(whole.sparse.toarray(), wanted)


TIMES = [
    datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, 10, 20, 30),
    datetime.datetime(2020, 1, 1, 0, 0, 0, 250_000),
]
CLOCK = [datetime.time(0, 0), datetime.time(10, 20, 30), datetime.time(0, 0, 0, 250_000)]
PRICES = [decimal.Decimal(text) for text in ("100", "1.5", "0.25")]


@pytest.mark.parametrize(
    ("values", "types", "levels"),
    [
        (
            TIMES, [pa.timestamp(unit) for unit in ("ms", "us", "ns")],
            ("2020-01-01 00:00:00", "2020-01-01 00:00:00.25", "2020-01-01 10:20:30"),
        ),
        (
            TIMES, [pa.timestamp(unit, "UTC") for unit in ("ms", "us", "ns")],
            ("2020-01-01 00:00:00.25Z", "2020-01-01 00:00:00Z", "2020-01-01 10:20:30Z"),
        ),
        (
            TIMES, [pa.timestamp(unit, "Asia/Tokyo") for unit in ("ms", "ns")],
            (
                "2020-01-01 09:00:00+0900", "2020-01-01 09:00:00.25+0900",
                "2020-01-01 19:20:30+0900",
            ),
        ),
        (
            CLOCK, [pa.time32("ms"), pa.time64("us"), pa.time64("ns")],
            ("00:00:00", "00:00:00.25", "10:20:30"),
        ),
        (
            PRICES, [pa.decimal128(5, 2), pa.decimal128(38, 20), pa.decimal256(60, 30)],
            ("0.25", "1.5", "100"),
        ),
        (
            [datetime.timedelta(seconds=k) for k in (1, 2, 3)],
            [pa.duration(unit) for unit in ("s", "ms", "ns")],
            ("1000000000", "2000000000", "3000000000"),
        ),
    ],
)  # fmt: skip
def test_levels_do_not_depend_on_unit_or_scale(values, types, levels):
    for kind in types:
        column = pa.array([*values, None], pa.timestamp("ns") if values is TIMES else kind)
        for stored in (column.cast(kind), column.cast(kind).dictionary_encode()):
            found, any_missing = levels_of(stored, "t")
            assert set(found) == set(levels)
            assert any_missing


@pytest.mark.parametrize(
    "columns",
    [
        {"numeric": ("a=b",), "categorical": ("a",), "levels": {"a": ("b", "c")}},
        {"categorical": ("a", "a=b"), "levels": {"a": ("b=c",), "a=b": ("c",)}},
    ],
)
def test_features_of_one_name_are_refused(columns):
    with pytest.raises(InputError, match=r"Features with the same name: \['a=b"):
        Columns(**columns)
