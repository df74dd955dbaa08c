"""LinearModel: predicts by name or position, survives a round trip, refuses damaged files."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from distreg.data.columns import Columns
from distreg.exceptions import DataError, InputError
from distreg.model import LinearModel

RNG_SEED = 11


def array_model(p: int = 4, **keywords: object) -> LinearModel:
    rng = np.random.default_rng(RNG_SEED)
    return LinearModel(
        coef=rng.normal(size=p),
        intercept=0.1 + 0.2,
        feature_names=tuple(f"x{j}" for j in range(p)),
        alpha=1 / 3,
        l1_ratio=0.5,
        **keywords,
    )


def table_model(missing: str = "error", unknown: str = "ignore") -> LinearModel:
    levels = ("AA", "UA") + (("(missing)",) if missing == "mean" else ())
    columns = Columns(
        numeric=("distance", "hour"),
        categorical=("carrier",),
        levels={"carrier": tuple(sorted(levels))},
        missing=missing,
        unknown=unknown,
        fill=(100.0, 12.0) if missing == "mean" else None,
    )
    coef = {"distance": 0.5, "hour": -1.0, "carrier=AA": 10.0, "carrier=UA": 20.0,
            "carrier=(missing)": 5.0}  # fmt: skip
    return LinearModel(
        coef=np.array([coef[name] for name in columns.feature_names]),
        intercept=1.0,
        feature_names=columns.feature_names,
        columns=columns,
        target="delay",
        info={"n_samples": 3, "dual_gap": np.float64(1e-9), "folds": np.arange(2)},
    )


def frame() -> pd.DataFrame:
    return pd.DataFrame({
        "carrier": ["UA", "AA", "UA"], "hour": [1, 2, 3], "extra": [True, False, True],
        "distance": [2.0, 4.0, 6.0],
    })  # fmt: skip


EXPECTED = np.array([1 + 1 - 1 + 20.0, 1 + 2 - 2 + 10, 1 + 3 - 3 + 20])


# --- prediction -----------------------------------------------------------------------------------


def test_arrays_of_every_kind_give_the_same_bits() -> None:
    model = array_model(6)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)) * (rng.random((50, 6)) < 0.5)
    expected = model.predict(x)
    np.testing.assert_allclose(expected, x @ model.coef + model.intercept, atol=1e-12)
    kinds = {
        "F": np.asfortranarray(x), "list": x.tolist(), "csr": sparse.csr_array(x),
        "csc": sparse.csc_matrix(x), "coo": sparse.coo_array(x), "object": x.astype(object),
        "frame": pd.DataFrame(x, columns=model.feature_names)[list(model.feature_names)[::-1]],
        "positions": pd.DataFrame(x),
        "arrow": pa.table({name: x[:, j] for j, name in enumerate(model.feature_names)}),
        "dask": da.from_array(x, chunks=(7, 4)), "dask csr":
            da.from_array(x, chunks=(20, 6)).map_blocks(sparse.csr_array),
    }  # fmt: skip
    for name, version in kinds.items():
        found = model.predict(version)
        if name.startswith("dask"):
            assert isinstance(found, da.Array)
            found = found.compute()
        assert found.tobytes() == expected.tobytes(), name


def test_integers_booleans_and_float32() -> None:
    model = array_model(2)
    for dtype in (np.int64, np.uint8, np.bool_, np.float32, np.float16):
        x = np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype)
        np.testing.assert_array_equal(
            model.predict(x), model.predict(x.astype(np.float64)), err_msg=str(dtype)
        )


def test_duplicate_and_unsorted_entries_are_summed_and_the_input_is_left_alone() -> None:
    model = array_model(3)
    x = sparse.csr_array((np.array([1.0, 2.0, 4.0]), [2, 0, 2], [0, 3]), shape=(1, 3))
    before = x.indices.tolist()
    np.testing.assert_array_equal(model.predict(x), model.predict(np.array([[2.0, 0.0, 5.0]])))
    assert x.indices.tolist() == before


@pytest.mark.parametrize("kind", ["pandas", "arrow", "dask", "dask one row each"])
def test_tables_are_matched_by_name(kind: str) -> None:
    table = {
        "pandas": frame,
        "arrow": lambda: pa.Table.from_pandas(frame()),
        "dask": lambda: dd.from_pandas(frame(), npartitions=2),
        "dask one row each": lambda: dd.from_pandas(frame(), npartitions=3),
    }[kind]()
    found = table_model().predict(table)
    np.testing.assert_array_equal(found.compute() if kind.startswith("dask") else found, EXPECTED)


def test_unknown_level_has_no_effect_or_is_an_error() -> None:
    table = frame().assign(carrier=["UA", "ZZ", "AA"])
    np.testing.assert_array_equal(table_model().predict(table), [21.0, 1.0, 11.0])
    with pytest.raises(DataError, match=r"'carrier'.*'ZZ'.*row 1"):
        table_model(unknown="error").predict(table)


def test_missing_values_follow_the_policy_of_the_fit() -> None:
    table = frame()
    table.loc[1, "distance"] = np.nan
    with pytest.raises(DataError, match=r"missing value.*'distance', row 1"):
        table_model("error").predict(table)
    np.testing.assert_array_equal(
        table_model("mean").predict(table), [EXPECTED[0], 1 + 50 - 2 + 10, EXPECTED[2]]
    )
    np.testing.assert_array_equal(
        table_model("drop").predict(table), [EXPECTED[0], np.nan, EXPECTED[2]]
    )
    table = frame().assign(carrier=["UA", None, "AA"])
    with pytest.raises(DataError, match="carrier"):
        table_model("error").predict(table)
    assert table_model("mean").predict(table)[1] == 1 + 2 - 2 + 5
    assert np.isnan(table_model("drop").predict(table)).tolist() == [False, True, False]


def test_missing_values_of_an_array() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]])
    with pytest.raises(DataError, match=r"'x1', row 0.*missing='mean'"):
        array_model(2).predict(x)
    filled = np.where(np.isnan(x), 7.0, x)
    model = array_model(2, fill=np.array([5.0, 7.0]))
    np.testing.assert_array_equal(model.predict(x), model.predict(filled))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 3)), "3 features; the model was fitted with 4"),
        (np.zeros(4), "two dimensions"),
        (np.array([[1.0, 2.0, np.inf, 0.0]]), r"inf in column 'x2', row 0"),
        (sparse.csr_array(np.array([[0, 0, 0, 0], [0, 0.0, np.nan, 0]])), r"NaN.*'x2', row 1"),
        (sparse.csr_array((2, 9)), "9 features"),
        (np.array([["a", "b", "c", "d"]]), "not numbers"),
        (np.array([["a", 1, 2, 3]], dtype=object), "not numbers"),
        (np.zeros((1, 4), dtype="datetime64[s]"), "not numbers"),
        (np.zeros((1, 4), dtype=complex), "not numbers"),
        (pd.DataFrame({"x0": [1.0], "x3": [1.0], "other": [1.0]}), r"lacks 2 .*: 'x1', 'x2'"),
        (da.zeros((4, 3), chunks=2), "3 features"),
    ],
    ids=str,
)
def test_wrong_input_is_named(x: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        array_model(4).predict(x)


def test_arrays_cannot_stand_for_categorical_columns() -> None:
    with pytest.raises(InputError, match=r"categorical columns \(carrier\)"):
        table_model().predict(np.zeros((2, 4)))
    with pytest.raises(DataError, match="hour"):
        table_model().predict(frame().drop(columns="hour"))


def test_no_rows() -> None:
    assert array_model(4).predict(np.empty((0, 4))).shape == (0,)
    assert table_model().predict(frame().iloc[:0]).shape == (0,)


# --- on disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [array_model, table_model, lambda: table_model("mean")])
def test_round_trip_keeps_every_bit(make: object, tmp_path: Path) -> None:
    model = make()
    back = LinearModel.load(model.save(tmp_path / "deep" / "model"))
    assert back.coef.tobytes() == model.coef.tobytes()
    for name in ("intercept", "feature_names", "columns", "loss", "alpha", "l1_ratio", "target"):
        assert getattr(back, name) == getattr(model, name), name
    assert sorted(p.name for p in (tmp_path / "deep" / "model").iterdir()) == [
        "coef.npz", "model.json",
    ]  # fmt: skip
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "model"]


def test_round_trip_of_fill_and_info(tmp_path: Path) -> None:
    model = array_model(2, fill=np.array([1.5, np.pi]), info={"gap": np.nan, "k": (1, np.int64(2))})
    back = LinearModel.load(model.save(tmp_path / "m"))
    assert back.fill is not None
    assert back.fill.tobytes() == model.fill.tobytes()
    assert back.info == {"gap": None, "k": [1, 2]}


def test_saving_replaces_a_model_but_nothing_else(tmp_path: Path) -> None:
    array_model(2).save(tmp_path / "m")
    assert LinearModel.load(array_model(3).save(tmp_path / "m")).n_features == 3
    (tmp_path / "empty").mkdir()
    array_model(2).save(tmp_path / "empty")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    for target in ("home", "home/thesis.txt"):
        with pytest.raises(InputError, match="is not a model"):
            array_model(2).save(tmp_path / target)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("foreign", ["notes.txt", ".git/config", "coef.npz/data.bin"])
def test_saving_leaves_a_foreign_folder_that_holds_a_model_file(
    foreign: str, tmp_path: Path
) -> None:
    kept = tmp_path / "project" / foreign
    kept.parent.mkdir(parents=True)
    kept.write_text("years of work")
    (tmp_path / "project" / "model.json").write_text("{}")
    first = foreign.split("/")[0]
    with pytest.raises(InputError, match=f"is not a model: it holds '{first}'"):
        array_model(2).save(tmp_path / "project")
    assert kept.read_text() == "years of work"
    assert (tmp_path / "project" / "model.json").read_text() == "{}"
    assert [p.name for p in tmp_path.iterdir()] == ["project"]


def test_a_failed_save_leaves_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array_model(2).save(tmp_path / "m")

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("distreg.modelfile._flush", full)
    with pytest.raises(OSError, match="No space"):
        array_model(3).save(tmp_path / "m")
    assert LinearModel.load(tmp_path / "m").n_features == 2
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    document = json.loads(path.read_text())
    for key, value in changes.items():
        if value is KeyError:
            del document[key]
        else:
            document[key] = value
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "format 3; this distreg reads formats up to 2. Install a newer"),
        ({"format": "1"}, "names no format"),
        ({"format": KeyError}, "names no format"),
        ({"intercept": "0"}, "damaged"),
        ({"intercept": None}, "damaged"),
        ({"alpha": [1]}, "damaged"),
        ({"feature_names": "abcd"}, "damaged"),
        ({"feature_names": ["a", "b"]}, "damaged"),
        ({"columns": {"numeric": 3}}, "damaged"),
        ({"loss": KeyError}, "damaged"),
    ],
    ids=str,
)
def test_damaged_schema_is_refused(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    array_model(4).save(tmp_path / "m")
    edit(tmp_path / "m", **changes)
    with pytest.raises(InputError, match=message):
        LinearModel.load(tmp_path / "m")


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_are_detected(seed: int, tmp_path: Path) -> None:
    model = array_model(4)
    path = model.save(tmp_path / "m") / "coef.npz"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    start = content.index(model.coef.tobytes())
    at = start + int(rng.integers(model.coef.nbytes))
    content[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        LinearModel.load(tmp_path / "m")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_truncated_arrays_are_detected(share: float, tmp_path: Path) -> None:
    path = array_model(4).save(tmp_path / "m") / "coef.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged"):
        LinearModel.load(tmp_path / "m")


def npy(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def patched(folder: Path, at_entry: int, at_member: int, value: int) -> None:
    """Set two bytes of the first member's entry in the directory and of its own header."""
    path = folder / "coef.npz"
    content = bytearray(path.read_bytes())
    for start, shift in ((content.index(b"PK\x01\x02"), at_entry), (0, at_member)):
        content[start + shift : start + shift + 2] = value.to_bytes(2, "little")
    path.write_bytes(bytes(content))


def damage(folder: Path, way: str) -> None:
    headers = {
        "header": "{'descr': '<f8', 'fortran_order': False, 'shape': (4,",
        "memory": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**58},)}}",
        "overflow": f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**30},)}}",
    }
    if way in headers:
        with zipfile.ZipFile(folder / "coef.npz", "w") as archive:
            archive.writestr("coef.npy", npy(headers[way]))
    elif way == "deflate":
        np.savez_compressed(folder / "coef.npz", coef=np.zeros(4))
        path = folder / "coef.npz"
        content = bytearray(path.read_bytes())
        name, extra = (int.from_bytes(content[at : at + 2], "little") for at in (26, 28))
        content[30 + name + extra] = 0xFF  # no such kind of block
        path.write_bytes(bytes(content))
    elif way == "unknown compression":
        patched(folder, 10, 8, 77)
    elif way == "encrypted":
        patched(folder, 8, 6, 1)
    elif way == "huge number":
        edit(folder, intercept=10**400)


@pytest.mark.parametrize(
    "way",
    ["header", "memory", "overflow", "deflate", "unknown compression", "encrypted",
     "huge number"],
)  # fmt: skip
def test_damage_of_any_kind_is_one_clear_error(way: str, tmp_path: Path) -> None:
    folder = array_model(4).save(tmp_path / "m")
    damage(folder, way)
    with pytest.raises(InputError, match=r"is damaged.*Restore it from a copy"):
        LinearModel.load(folder)


def test_not_a_model(tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=r"not a distreg model: it has no model\.json"):
            LinearModel.load(target)
    (tmp_path / "model.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot be read"):
        LinearModel.load(tmp_path)


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("way", ["raw pickle", "object array", "object member"])
def test_no_code_runs_from_a_model_file(way: str, tmp_path: Path) -> None:
    folder, canary = array_model(1).save(tmp_path / "m"), tmp_path / "canary"
    if way == "raw pickle":
        (folder / "coef.npz").write_bytes(pickle.dumps(Canary(canary)))
    elif way == "object array":
        np.savez(folder / "coef.npz", coef=np.array([Canary(canary)], dtype=object))
    else:
        with zipfile.ZipFile(folder / "coef.npz", "w") as archive:
            archive.writestr("coef.npy", pickle.dumps(Canary(canary)))
    with pytest.raises(InputError, match="damaged"):
        LinearModel.load(folder)
    assert not canary.exists()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    folder = array_model(1).save(tmp_path / "m")
    np.savez_compressed(folder / "coef.npz", coef=np.zeros(5_000_000))
    with pytest.raises(InputError, match="larger than 1 numbers"):
        LinearModel.load(folder)


def test_coefficients_must_fit_their_names_and_be_finite() -> None:
    with pytest.raises(InputError, match="one coefficient"):
        LinearModel(coef=np.ones(2), intercept=0.0, feature_names=("a",))
    with pytest.raises(InputError, match="finite"):
        LinearModel(coef=np.array([np.nan]), intercept=0.0, feature_names=("a",))


def test_predicting_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        huge = np.full((3, 4), 1e308)
        assert array_model(4).predict(huge).shape == (3,)
