"""Models of every loss: labels, means and probabilities; chunks change no bit; round trips."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse
from scipy.special import expit, softmax
from test_model import frame, table_model

from distreg.data.columns import Columns
from distreg.exceptions import DataError, InputError
from distreg.losses import LOSSES
from distreg.model import LinearModel

P, N = 5, 67
RNG = np.random.default_rng(23)
X = RNG.normal(size=(N, P)) * (RNG.random((N, P)) < 0.7)
OFFSET = RNG.normal(size=N)
NAMES = tuple(f"x{j}" for j in range(P))
LABELS: dict[str, Any] = {
    "text": ("no", "yes", "perhaps"), "int": (-3, 5, 9), "bool": (False, True),
    "real": (0.5, 1.5, 2.5), "mixed": ("a", 1, 2.5), "large": (-1, 2**63, 2**64 - 1),
}  # fmt: skip
CLASSIFIERS = ("logistic", "multinomial", "squared_hinge")
# a multinomial model has three classes here, and there are two booleans
PAIRS = [
    (loss, kind) for loss in LOSSES for kind in LABELS if (loss, kind) != ("multinomial", "bool")
]


def model(loss: str, labels: str = "text", missing: str | None = None) -> LinearModel:
    rng = np.random.default_rng(3)
    target = LOSSES[loss].target
    classes = {"binary": LABELS[labels][:2], "classes": LABELS[labels]}.get(target)
    shape = (len(classes),) if target == "classes" and classes else ()
    coef = rng.normal(size=(*shape, P))
    coef[..., 2] = 0.0
    return LinearModel(
        coef=coef,
        intercept=rng.normal(size=shape) if shape else 0.1 + 0.2,
        feature_names=NAMES,
        columns=None if missing is None else Columns(numeric=NAMES, missing=missing),
        loss=loss,
        alpha=1 / 3,
        l1_ratio=0.5,
        classes=classes,
    )


def wanted(found: LinearModel, offset: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What the methods return, by formulas of other libraries."""
    eta = X @ found.coef.T + found.intercept
    if offset is not None:
        eta = eta + (offset if eta.ndim == 1 else offset[:, None])
    answers = {"linear_predictor": eta}
    if found.loss == "poisson":
        answers["predict"] = np.exp(eta)
    elif found.classes is None:
        answers["predict"] = eta
    else:
        codes = eta.argmax(axis=1) if eta.ndim == 2 else (eta > 0).astype(int)
        answers["predict"] = np.array([found.classes[c] for c in codes], dtype=object)
    if found.loss == "logistic":
        answers["predict_proba"] = np.stack([expit(-eta), expit(eta)], axis=1)
    elif found.loss == "multinomial":
        answers["predict_proba"] = softmax(eta, axis=1)
    return answers


def same(found: Any, expected: np.ndarray) -> None:
    if expected.dtype == object:
        assert found.tolist() == expected.tolist()
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("offset", [None, OFFSET], ids=["", "offset"])
def test_answers(loss: str, offset: np.ndarray | None) -> None:
    one = model(loss)
    for method, expected in wanted(one, offset).items():
        same(getattr(one, method)(X, offset=offset), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_are_those_of_the_largest_probability(loss: str) -> None:
    one = model(loss, "int")
    if loss not in ("logistic", "multinomial"):
        words = rf"loss {loss} has no probabilities.*logistic or multinomial.*Use predict"
        with pytest.raises(InputError, match=words):
            one.predict_proba(X)
        return
    share = one.predict_proba(X)
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-14)
    assert ((share >= 0.0) & (share <= 1.0)).all()
    np.testing.assert_array_equal(np.array(one.classes)[share.argmax(axis=1)], one.predict(X))


def lazy_kinds() -> dict[str, Any]:
    table = pd.DataFrame(X, columns=list(NAMES))
    return {
        "Fortran": np.asfortranarray(X), "csr": sparse.csr_array(X), "frame": table,
        "arrow": pa.Table.from_pandas(table), "dask": da.from_array(X, chunks=(7, 2)),
        "one row a chunk": da.from_array(X, chunks=(1, P)),
        "sparse chunks": da.from_array(X, chunks=(20, P)).map_blocks(sparse.csr_array),
        "unknown chunks": da.from_array(X, chunks=(9, P))[da.ones(N, dtype=bool, chunks=9)],
        "dask frame": dd.from_pandas(table, npartitions=4),
        "one row a partition": dd.from_pandas(table, npartitions=N),
    }  # fmt: skip


@pytest.mark.parametrize("kind", lazy_kinds())
@pytest.mark.parametrize("loss", LOSSES)
def test_no_chunk_changes_a_bit(loss: str, kind: str) -> None:
    one, rows = model(loss), lazy_kinds()[kind]
    for method in wanted(one):
        expected = getattr(one, method)(X)
        found = getattr(one, method)(rows)
        if "dask" in kind or "chunk" in kind or "partition" in kind:
            assert isinstance(found, da.Array)
            assert found.ndim == expected.ndim
            assert found.dtype == expected.dtype
            assert found.shape[1:] == expected.shape[1:]
            found = found.compute()
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()


OFFSETS = {
    "array": lambda: OFFSET,
    "list": lambda: OFFSET.tolist(),
    "series": lambda: pd.Series(OFFSET, index=np.arange(N) + 5),
    "dask": lambda: da.from_array(OFFSET, chunks=10),
    "dask series": lambda: dd.from_pandas(pd.Series(OFFSET), npartitions=4),
}


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("loss", ["poisson", "multinomial", "squared"])
def test_offsets_of_dask_collections(loss: str, offset: str) -> None:
    one = model(loss)
    expected = one.linear_predictor(X, offset=OFFSET)
    values = OFFSETS[offset]()
    lazy = "dask" in offset
    if not lazy:
        assert one.linear_predictor(X, values).tobytes() == expected.tobytes()
    if offset != "dask series":
        found = one.linear_predictor(da.from_array(X, chunks=(7, 2)), values)
        assert found.compute().tobytes() == expected.tobytes()
    table = dd.from_pandas(pd.DataFrame(X, columns=list(NAMES)), npartitions=4)
    if offset == "dask series":
        found = one.linear_predictor(table, values)
        assert found.compute().tobytes() == expected.tobytes()
    else:
        with pytest.raises(InputError, match=r"cannot be matched .* partitions of X"):
            one.linear_predictor(table, values)


def test_bad_offsets() -> None:
    one = model("poisson")
    lazy = da.from_array(X, chunks=(7, P))
    gap = np.where(np.arange(N) == 4, np.nan, OFFSET)
    with pytest.raises(InputError, match="67 rows and offset has 66"):
        one.predict(X, OFFSET[1:])
    with pytest.raises(InputError, match="67 rows and offset has 66"):
        one.predict(lazy, OFFSET[1:])
    with pytest.raises(DataError, match="offset is nan at position 4"):
        one.predict(X, gap)
    with pytest.raises(DataError, match="offset is nan at position 4"):
        one.predict(lazy, gap).compute()
    table = dd.from_pandas(pd.DataFrame(X, columns=list(NAMES)), npartitions=2)
    with pytest.raises(InputError, match=r"chunk of X has .* rows and the one of offset has"):
        one.predict(table, da.from_array(OFFSET, chunks=(60, 7))).compute()


@pytest.mark.parametrize(("loss", "labels"), [pair for pair in PAIRS if pair[0] in CLASSIFIERS])
def test_labels_have_their_type(loss: str, labels: str) -> None:
    one = model(loss, labels)
    found = one.predict(X)
    kind = {"text": "U", "int": "i", "bool": "b", "real": "f"}.get(labels, "O")
    assert found.dtype.kind == kind
    assert found.tolist() == wanted(one)["predict"].tolist()
    assert one.predict(X[:0]).shape == (0,)
    codes = dict(zip(one.classes or (), range(3), strict=False))
    assert set(found.tolist()) <= set(codes)


@pytest.mark.parametrize("labels", ["text", "int", "bool", "real"])
@pytest.mark.parametrize("loss", ["logistic", "multinomial", "poisson"])
def test_rows_with_gaps_have_no_prediction(loss: str, labels: str) -> None:
    one = model(loss, labels if loss != "multinomial" or labels != "bool" else "int", "drop")
    rows = X.copy()
    rows[[3, 50], 1] = np.nan
    known = np.setdiff1d(np.arange(N), [3, 50])
    found = one.predict(rows)
    assert found[known].tolist() == one.predict(X)[known].tolist()
    if one.classes is None or labels == "real":
        assert np.isnan(found[[3, 50]].astype(float)).all()
    else:
        assert found.dtype == one.predict(X).dtype == object
        assert found[[3, 50]].tolist() == [None, None]
    lazy = one.predict(da.from_array(rows, chunks=(7, 2)))
    assert lazy.dtype == found.dtype
    assert lazy.compute().tobytes() == found.tobytes() or found.dtype == object
    assert np.isnan(one.linear_predictor(rows)[[3, 50]]).all()
    if one.classes is not None:
        share = one.predict_proba(rows)
        assert np.isnan(share[[3, 50]]).all()
        assert np.isfinite(share[known]).all()


def test_huge_features_warn_of_nothing() -> None:
    huge = np.full((3, P), 1e308) * np.array([[1.0], [-1.0], [0.5]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in LOSSES:
            one = model(loss)
            assert one.predict(huge).shape == (3,)
            if loss in ("logistic", "multinomial"):
                assert one.predict_proba(huge).shape == (3, len(one.classes or ()))
    assert np.isfinite(model("poisson").predict(X * 1e6)).all()


# --- construction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "logistic"}, r"loss logistic has 2 classes.*0 were given"),
        ({"loss": "logistic", "classes": (1, 2, 3)}, "has 2 classes.*3 were given"),
        ({"loss": "squared_hinge", "classes": ("a", "a")}, "different labels"),
        ({"loss": "logistic", "classes": ("a", None)}, "text, numbers or bool"),
        ({"loss": "logistic", "classes": (1.0, float("nan"))}, "text, numbers or bool"),
        ({"classes": (0, 1)}, "loss squared has no classes"),
        ({"loss": "poisson", "classes": (0, 1)}, "loss poisson has no classes"),
        ({"loss": "multinomial", "classes": ("a",)}, "2 or more classes"),
        ({"loss": "multinomial", "classes": ("a", "b")}, r"of each of 2 classes.*\(3,\)"),
        ({"loss": "logistics", "classes": (0, 1)}, "did you mean 'logistic'"),
        (
            {"loss": "multinomial", "classes": (1, 2), "coef": np.ones((2, 3))},
            r"intercept \(\)",
        ),
        ({"coef": np.ones((2, 3)), "intercept": np.ones(2)}, r"coef has shape \(2, 3\)"),
        (
            {"loss": "multinomial", "classes": (1, 2), "coef": np.ones((2, 3)),
             "intercept": [1.0, np.inf]},
            "finite",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_models_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    parts: dict[str, Any] = {"coef": np.ones(3), "intercept": 0.0, "feature_names": "abc"}
    with pytest.raises(InputError, match=message):
        LinearModel(**parts | changes)


def test_labels_of_numpy_become_plain() -> None:
    one = LinearModel(np.ones(1), 0.0, ("a",), loss="logistic", classes=tuple(np.array([2, 7])))
    assert one.classes == (2, 7)
    assert {type(label) for label in one.classes} == {int}


def test_all_coefficients_are_counted() -> None:
    assert model("multinomial").n_nonzero == 3 * (P - 1)
    assert model("logistic").n_nonzero == P - 1
    assert model("multinomial").n_features == P


# --- on disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "labels"), PAIRS)
def test_round_trips_keep_every_bit(loss: str, labels: str, tmp_path: Path) -> None:
    one = model(loss, labels, "mean" if labels == "text" else None)
    back = LinearModel.load(one.save(tmp_path / "m"))
    assert back.coef.tobytes() == one.coef.tobytes()
    assert np.asarray(back.intercept).tobytes() == np.asarray(one.intercept).tobytes()
    assert type(back.intercept) is type(one.intercept)
    assert back.classes == one.classes
    if one.classes is not None:
        assert [type(c) for c in back.classes or ()] == [type(c) for c in one.classes]
    for name in ("feature_names", "columns", "loss", "alpha", "l1_ratio"):
        assert getattr(back, name) == getattr(one, name)
    for method in wanted(one):
        assert getattr(back, method)(X).tolist() == getattr(one, method)(X).tolist()
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    assert document["format"] == (1 if loss == "squared" else 2)
    assert ("classes" in document) == (loss != "squared")


OLD = Path(__file__).parent / "reference" / "model_format_1"


def test_models_saved_by_the_first_release_load_for_ever(tmp_path: Path) -> None:
    old = LinearModel.load(OLD)
    assert old.loss == "squared"
    assert old.classes is None
    now = table_model("mean")
    np.testing.assert_array_equal(old.predict(frame()), now.predict(frame()))
    # and the squared loss is still written as then
    for folder in (old.save(tmp_path / "a"), now.save(tmp_path / "b")):
        for name in ("model.json", "coef.npz"):
            assert (folder / name).read_bytes() == (OLD / name).read_bytes()


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "model.json"
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not KeyError}))


@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ("multinomial", {"classes": ["a", "b"]}),
        ("multinomial", {"classes": ["a", "b", "b"]}),
        ("multinomial", {"classes": ["a", "b", "c", "d"]}),
        ("multinomial", {"classes": ["a", "b", None]}),
        ("multinomial", {"classes": ["a", "b", ["c"]]}),
        ("multinomial", {"classes": "abc"}),
        ("multinomial", {"classes": None}),
        ("multinomial", {"classes": KeyError}),
        ("multinomial", {"intercept": [1.0, 2.0]}),
        ("multinomial", {"intercept": 1.0}),
        ("multinomial", {"intercept": [1.0, 2.0, "3"]}),
        ("multinomial", {"loss": "logistic"}),
        ("multinomial", {"loss": "unheard of"}),
        ("multinomial", {"format": 1}),
        ("logistic", {"classes": ["a", "b", "c"]}),
        ("logistic", {"classes": ["a"]}),
        ("logistic", {"classes": None}),
        ("logistic", {"classes": {"a": 1, "b": 2}}),
        ("logistic", {"intercept": [1.0, 2.0]}),
        ("logistic", {"loss": "poisson"}),
        ("logistic", {"loss": "multinomial"}),
        ("poisson", {"classes": [0, 1]}),
        ("poisson", {"classes": KeyError}),
        ("squared", {"loss": "logistic"}),
        ("squared", {"format": 2}),
    ],
    ids=str,
)
def test_inconsistent_files_are_damaged(loss: str, changes: dict[str, Any], tmp_path: Path) -> None:
    folder = model(loss).save(tmp_path / "m")
    edit(folder, **changes)
    with pytest.raises(InputError, match=r"is damaged.*Restore it from a copy"):
        LinearModel.load(folder)


@pytest.mark.parametrize("shape", [(P,), (2, P), (3, P - 1), (P, 3), (3, P, 1), ()], ids=str)
def test_coefficients_of_another_shape_are_damage(shape: tuple[int, ...], tmp_path: Path) -> None:
    folder = model("multinomial").save(tmp_path / "m")
    np.savez(folder / "coef.npz", coef=np.zeros(shape))
    with pytest.raises(InputError, match=r"is damaged"):
        LinearModel.load(folder)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_are_detected(seed: int, tmp_path: Path) -> None:
    one = model("multinomial")
    path = one.save(tmp_path / "m") / "coef.npz"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    at = content.index(one.coef.tobytes()) + int(rng.integers(one.coef.nbytes))
    content[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        LinearModel.load(tmp_path / "m")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    folder = model("multinomial").save(tmp_path / "m")
    np.savez_compressed(folder / "coef.npz", coef=np.zeros((3, 5_000_000)))
    with pytest.raises(InputError, match=f"larger than {3 * P} numbers"):
        LinearModel.load(folder)
    with zipfile.ZipFile(folder / "coef.npz") as archive:
        assert archive.infolist()[0].file_size > 1e8
