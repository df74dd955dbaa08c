"""Bad and odd inputs: a clear error that names the culprit, or the right answer.

Errors about options come before any data are read. Every error is a ValueError (InputError).
"""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import oracle
import pandas as pd
import pytest
from problems import Case, dataset, fit
from scipy import sparse

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, check_cv, make_cells
from distreg.estimators import ElasticNet, ElasticNetCV, Lasso, Ridge
from distreg.exceptions import DataError, IllConditionedWarning, InputError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

N, P = 60, 4
ALPHAS = np.array([0.3, 0.03])


def good(seed: int = 0, n: int = N, p: int = P) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X @ np.arange(1.0, p + 1) + rng.normal(size=n)


def run(X: Any, y: Any, folds: int | None = None, **keywords: Any) -> CVResult:
    """Fit through from_arrays; `keywords` are its own or PathOptions'."""
    own = ("sample_weight", "offset", "feature_names", "missing", "fold_key", "categorical")
    data = from_arrays(X, y, **{k: v for k, v in keywords.items() if k in own})
    options = {"alphas": ALPHAS, **{k: v for k, v in keywords.items() if k not in own}}
    cells = make_cells(None if folds is None else KFold(folds), data.n_rows)
    return cross_validate(data, cells, PathOptions(**options), PassRunner(n_threads=1))


def assert_same(one: CVResult, two: CVResult, tolerance: float = 1e-9) -> None:
    for a, b in zip(one.paths, two.paths, strict=True):
        np.testing.assert_allclose(a.coef, b.coef, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(a.intercept, b.intercept, rtol=tolerance, atol=tolerance)


# --- values --------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["numpy", "frame", "dask", "csr"])
def test_a_bad_value_in_a_feature_names_column_row_and_count(value: float, form: str) -> None:
    X, y = good()
    X[[17, 41], 2] = value
    names = ["a", "b", "culprit", "d"]
    if form == "frame":
        data: Any = from_arrays(pd.DataFrame(X, columns=names), y)
    elif form == "dask":
        data = from_arrays(da.from_array(X, chunks=(10, 2)), y, feature_names=names)
    else:
        data = from_arrays(sparse.csr_array(X) if form == "csr" else X, y, feature_names=names)
    cells = make_cells(KFold(3), data.n_rows)
    with pytest.raises(DataError) as caught:
        cross_validate(data, cells, PathOptions(), PassRunner(n_threads=1))
    message = str(caught.value)
    assert "culprit" in message
    assert "17" in message
    assert "2 " in message
    assert "missing" in message or "infinite" in message
    assert "'a'" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_target_is_never_fitted(value: float) -> None:
    X, y = good()
    y[33] = value
    for missing in ("error", "mean"):
        with pytest.raises(DataError, match=r"(?s)target.*33"):
            run(X, y, 3, missing=missing)


def test_infinity_is_not_a_missing_value() -> None:
    X, y = good()
    X[3, 1] = np.inf
    with pytest.raises(DataError, match="infinite"):
        run(X, y, missing="mean")


def test_missing_sparse_values_are_named() -> None:
    X, y = good()
    X[5, 2] = np.nan
    with pytest.raises(DataError, match="missing"):
        run(sparse.csr_array(X), y)
    with pytest.raises(InputError, match=r"x2|sparse"):
        run(sparse.csr_array(X), y, missing="mean")


def test_rows_with_missing_values_can_be_dropped() -> None:
    X, y = good()
    X[[3, 40], [0, 3]] = np.nan
    keep = np.ones(N, dtype=bool)
    keep[[3, 40]] = False
    dropped = run(X, y, missing="drop")
    assert_same(dropped, run(X[keep], y[keep]))
    assert dropped.n_samples == N - 2


def test_values_whose_squares_overflow_are_named() -> None:
    X, y = good()
    X[7, 3] = 1e200
    with pytest.raises(DataError, match="x3"):
        run(X, y)


# --- shapes --------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrap", [np.asarray, lambda X: da.from_array(X, chunks=(20, P))])
def test_lengths_that_differ_are_both_named(wrap: Any) -> None:
    X, y = good()
    with pytest.raises(InputError) as caught:
        run(wrap(X), y[:-1])
    assert "60" in str(caught.value)
    assert "59" in str(caught.value)
    with pytest.raises(InputError) as caught:
        run(wrap(X), y, sample_weight=np.ones(58))
    assert "60" in str(caught.value)
    assert "58" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 0)])
def test_no_rows_or_no_columns(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"row|column|feature|empty"):
        run(np.empty(shape), np.empty(shape[0]))


def test_a_vector_is_not_a_table() -> None:
    with pytest.raises(InputError, match=r"rows and features"):
        run(np.arange(5.0), np.arange(5.0))
    X, y = good()
    with pytest.raises(InputError, match="one number for each row"):
        run(X, np.column_stack([y, y]))


def test_chunks_of_y_and_columns_of_x_are_aligned() -> None:
    X, y = good()
    weight = np.random.default_rng(1).exponential(size=N)
    base = run(X, y, 3, sample_weight=weight)
    for rows, columns, rows_y in [(60, 1, 7), (11, 3, 60), (1, 4, 13), (7, 2, 7)]:
        other = run(
            da.from_array(X, chunks=(rows, columns)),
            da.from_array(y, chunks=rows_y),
            3,
            sample_weight=da.from_array(weight, chunks=17),
        )
        assert_same(base, other)
        np.testing.assert_allclose(other.cv_mean, base.cv_mean, rtol=1e-9)


def test_unknown_chunk_sizes_cost_one_scan() -> None:
    X, y = good()
    lazy = da.from_array(X, chunks=(13, P))
    keep = lazy[:, 0] > -0.5
    mask = X[:, 0] > -0.5
    result = run(lazy[keep], da.from_array(y, chunks=13)[keep])
    assert_same(result, run(X[mask], y[mask]))
    assert result.cost.n_scans == 1
    assert result.cost.n_passes == 1


def test_empty_partitions_are_ignored() -> None:
    X, y = good()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    parts = dd.from_pandas(frame, npartitions=4)
    some = parts[parts["a"] > 0.5]
    holes = dd.concat([parts[parts["a"] > 1e9], some, parts[parts["a"] < -1e9]])
    mask = X[:, 0] > 0.5
    result = run(holes[list("abcd")], holes["y"])
    assert_same(result, run(X[mask], y[mask]))
    arrays = [np.empty((0, P)), X[:20], np.empty((0, P)), X[20:]]
    stacked = da.concatenate([da.from_array(a, chunks=a.shape) for a in arrays])
    assert_same(run(stacked, y), run(X, y))


def test_all_partitions_empty() -> None:
    frame = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0], "y": [0.0, 1.0]}), npartitions=2)
    none = frame[frame["a"] > 5]
    with pytest.raises(InputError, match=r"row|empty"):
        run(none[["a"]], none["y"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_rows_than_features(n: int) -> None:
    X, y = good(n=n, p=6)
    result = run(X, y)
    problem = oracle.make_problem(X, y)
    coef, _ = oracle.solve_path(problem, ALPHAS, 1.0)
    np.testing.assert_allclose(result.paths[0].coef, coef.astype(float), atol=1e-9)
    assert result.converged


def test_blocks_of_one_row() -> None:
    X, y = good()
    assert_same(run(da.from_array(X, chunks=(1, P)), y), run(X, y))


def test_a_target_without_variation() -> None:
    X, _ = good()
    for value in (0.0, 0.1, -1e9):
        result = run(X, np.full(N, value), 3, alphas=None, n_alphas=5)
        assert not result.paths[0].coef.any()
        np.testing.assert_allclose(result.paths[0].intercept, value, rtol=1e-15)
        np.testing.assert_allclose(result.cv_mean, 0, atol=1e-25 * max(value**2, 1))
        assert result.converged


# --- columns -------------------------------------------------------------------------------------
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
def test_a_constant_column_has_coefficient_zero(
    standardize: bool, fit_intercept: bool, l1_ratio: float
) -> None:
    X, y = good()
    X[:, 1] = 0.1
    options = {"standardize": standardize, "fit_intercept": fit_intercept}
    result = run(X, y, 3, l1_ratios=(l1_ratio,), **options)
    assert result.feature_sd[1] == 0
    if fit_intercept or standardize:
        # without intercept and scaling it is a column like any other, penalised
        assert not result.paths[0].coef[:, 1].any()
    problem = oracle.make_problem(X, y, **options)
    coef, _ = oracle.solve_path(problem, ALPHAS, l1_ratio)
    np.testing.assert_allclose(result.paths[0].coef, coef.astype(float), rtol=1e-9, atol=1e-12)


def test_all_columns_constant() -> None:
    _, y = good()
    X = np.tile([1.0, 0.0, -1e7], (N, 1))
    result = run(X, y, 3, alphas=None, n_alphas=4, l1_ratios=(1.0, 0.5, 0.0))
    for path in result.paths:
        assert not path.coef.any()
        np.testing.assert_allclose(path.intercept, y.mean(), rtol=1e-12)
    assert result.converged


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("copies", [2, 10])
def test_duplicate_columns_are_certified(l1_ratio: float, copies: int) -> None:
    X, y = good()
    X = np.hstack([X] * copies)
    result = run(X, y, 3, l1_ratios=(l1_ratio,), alphas=None, n_alphas=20)
    assert result.converged
    assert np.isfinite(result.paths[0].coef).all()
    problem = oracle.make_problem(X, y)
    for i, alpha in enumerate(result.paths[0].alphas):
        answer = (result.paths[0].coef[i], result.paths[0].intercept[i], alpha, l1_ratio)
        gap = oracle.duality_gap(problem, *answer)
        assert gap <= 1e-6 * oracle.objective(problem, *answer)


def test_duplicate_columns_without_penalty_warn_and_take_the_minimum_norm() -> None:
    X, y = good()
    twice = np.hstack([X, X])
    with pytest.warns(IllConditionedWarning, match="rank"):
        result = run(twice, y, alphas=np.array([0.0]), l1_ratios=(0.0,))
    single = run(X, y, alphas=np.array([0.0]), l1_ratios=(0.0,)).paths[0]
    np.testing.assert_allclose(result.paths[0].coef[0], np.tile(single.coef[0] / 2, 2), rtol=1e-8)
    wide, target = good(n=5, p=9)
    with pytest.warns(IllConditionedWarning):
        run(wide, target, alphas=np.array([0.0]))


@pytest.mark.parametrize(("scale", "offset"), [(1e12, 0.0), (1e-12, 0.0), (1.0, 1e9), (1e6, 1e12)])
def test_a_column_in_an_absurd_unit_predicts_the_same(scale: float, offset: float) -> None:
    X, y = good()
    X[:, 1] = np.round(X[:, 1] * 2**16) / 2**16  # survives the offset exactly
    odd = X.copy()
    odd[:, 1] = X[:, 1] * scale + offset
    back = (odd[:, 1] - offset) / scale
    one = run(np.column_stack([X[:, 0], back, X[:, 2:]]), y, 3, standardize=True)
    two = run(odd, y, 3, standardize=True)
    ours = odd @ two.paths[0].coef.T + two.paths[0].intercept
    theirs = X @ one.paths[0].coef.T + one.paths[0].intercept
    # the intercept absorbs mean times coefficient: one rounding of it, divided among N rows
    allowed = 1e-8 * y.std() + 4e-16 * abs(offset / scale) * np.abs(one.paths[0].coef).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=allowed)
    rounding = 1e-15 * abs(offset / scale)
    np.testing.assert_allclose(two.cv_mean, one.cv_mean, rtol=1e-8 + rounding)


# --- types ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "int8", "int64", "uint16", "bool", "float16"])
def test_number_types_are_computed_in_double_precision(dtype: str) -> None:
    rng = np.random.default_rng(3)
    X = rng.integers(0, 2 if dtype == "bool" else 100, (N, P)).astype(dtype)
    y = X.astype(float) @ [1.0, 2.0, 3.0, -1.0] + rng.normal(size=N)
    assert_same(run(X, y), run(X.astype(float), y))


def test_frames_of_mixed_number_types() -> None:
    rng = np.random.default_rng(4)
    exact = rng.integers(0, 50, (N, P)).astype(float)
    frame = pd.DataFrame(
        {
            "bool": exact[:, 0] > 25,
            "int": exact[:, 1].astype("int16"),
            "nullable": pd.array(exact[:, 2].astype(int), dtype="Int64"),
            "float": exact[:, 3].astype("float32"),
        }
    )
    X = np.column_stack([exact[:, 0] > 25, exact[:, 1:]]).astype(float)
    y = X @ [5.0, 0.1, -0.2, 0.3] + rng.normal(size=N)
    result = run(frame, y)
    assert result.feature_names == ("bool", "int", "nullable", "float")
    assert_same(result, run(X, y))


def test_nulls_of_nullable_columns_follow_the_missing_policy() -> None:
    X, y = good()
    values = np.round(X[:, 0] * 10).astype(int)
    column = pd.array(values, dtype="Int64")
    column[4] = pd.NA
    frame = pd.DataFrame({"count": column, "b": X[:, 1]})
    with pytest.raises(DataError, match=r"(?s)count.*4"):
        run(frame, y)
    dense = np.column_stack([values.astype(float), X[:, 1]])
    dense[4, 0] = np.nan
    assert_same(run(frame, y, missing="mean"), run(dense, y, missing="mean"))


def test_decimals_are_numbers() -> None:
    X, y = good()
    cents = np.round(X[:, 0] * 100) / 100
    frame = pd.DataFrame({"price": [decimal.Decimal(f"{v:.2f}") for v in cents], "b": X[:, 1]})
    assert_same(run(frame, y), run(np.column_stack([cents, X[:, 1]]), y))


@pytest.mark.parametrize(
    "values",
    [
        ["red", "green"] * (N // 2),
        [datetime.datetime(2026, 1, 1 + i % 28) for i in range(N)],
        [{"a": 1}] * N,
    ],
    ids=["strings", "dates", "objects"],
)
def test_columns_that_are_not_numbers_are_named(values: list[Any]) -> None:
    X, y = good()
    frame = pd.DataFrame({"fine": X[:, 0], "when": values})
    with pytest.raises(InputError, match="when"):
        run(frame, y)
    with pytest.raises(InputError):
        run(np.array(values, dtype=object)[:, None], y)


def test_declared_categories_are_one_hot() -> None:
    X, y = good()
    colour = np.array(["red", "green", "blue"] * (N // 3))
    frame = pd.DataFrame({"a": X[:, 0], "colour": pd.Categorical(colour)})
    result = run(frame, y, categorical=("colour",))
    hot = np.column_stack([colour == level for level in ("blue", "green", "red")]).astype(float)
    assert_same(result, run(np.column_stack([X[:, 0], hot]), y), 1e-8)
    assert result.feature_names[1:] == ("colour=blue", "colour=green", "colour=red")


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "csr_matrix", "int64"])
def test_sparse_formats(form: str) -> None:
    rng = np.random.default_rng(5)
    X = sparse.random_array((N, 9), density=0.3, rng=rng, format="coo")
    y = rng.normal(size=N)
    given: Any = X.asformat(form) if form in ("csr", "csc", "coo", "bsr", "lil") else X.tocsr()
    if form == "csr_matrix":
        given = sparse.csr_matrix(given)
    if form == "int64":
        given.indices, given.indptr = given.indices.astype("int64"), given.indptr.astype("int64")
    assert_same(run(given, y, 3), run(X.toarray(), y, 3))


def test_duplicate_entries_are_summed_and_stored_zeros_dropped() -> None:
    rng = np.random.default_rng(6)
    row, column = rng.integers(0, N, 400), rng.integers(0, 6, 400)
    values = rng.integers(-1, 2, 400).astype(float)
    X = sparse.coo_array((values, (row, column)), shape=(N, 6))
    raw = sparse.csr_array(
        (values[np.argsort(row, kind="stable")], column[np.argsort(row, kind="stable")],
         np.searchsorted(np.sort(row), np.arange(N + 1))), shape=(N, 6),
    )  # fmt: skip
    y = rng.normal(size=N)
    expected = run(X.toarray(), y)
    assert_same(run(X, y), expected)
    before = raw.data.copy(), raw.indices.copy()
    assert_same(run(raw, y), expected)
    # what the caller gave is left alone
    np.testing.assert_array_equal(raw.data, before[0])
    np.testing.assert_array_equal(raw.indices, before[1])


def test_inputs_are_not_changed() -> None:
    X, y = good()
    weight = np.ones(N)
    copies = X.copy(), y.copy(), weight.copy()
    run(X, y, 3, sample_weight=weight, standardize=True)
    for now, before in zip((X, y, weight), copies, strict=True):
        np.testing.assert_array_equal(now, before)


# --- weights -------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_bad_weights_are_named(value: float) -> None:
    X, y = good()
    weight = np.ones(N)
    weight[11] = value
    with pytest.raises(InputError, match=r"(?s)weight.*11"):
        run(X, y, sample_weight=weight)


def test_weights_that_are_all_zero() -> None:
    X, y = good()
    with pytest.raises(InputError, match="weight"):
        run(X, y, sample_weight=np.zeros(N))
    weight = np.ones(N)
    weight[20:] = 0  # the training rows of fold 0 have none
    with pytest.raises(InputError, match="weight"):
        run(X, y, 3, sample_weight=weight)


@pytest.mark.parametrize("unit", [1e-200, 1e-12, 1e12])
def test_the_unit_of_the_weights_does_not_matter(unit: float) -> None:
    X, y = good()
    weight = np.random.default_rng(1).exponential(size=N)
    one, two = (run(X, y, 3, sample_weight=w) for w in (weight, weight * unit))
    assert_same(one, two)
    np.testing.assert_allclose(one.cv_mean, two.cv_mean, rtol=1e-10)


# --- options -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"alphas": np.array([-1.0])}, "-1"),
        ({"alphas": np.array([1.0, np.nan])}, "nan"),
        ({"alphas": np.array([np.inf])}, "inf"),
        ({"alphas": np.array([0.1, 0.0])}, "0"),
        ({"alphas": np.array([])}, "alpha"),
        ({"l1_ratios": (2.0,)}, "2"),
        ({"l1_ratios": (-0.1,)}, "-0.1"),
        ({"l1_ratios": (float("nan"),)}, "nan"),
        ({"l1_ratios": ()}, "l1_ratio"),
        ({"alphas": None, "n_alphas": 0}, "n_alphas"),
        ({"alphas": None, "alpha_min_ratio": 0.0}, "alpha_min_ratio"),
        ({"alphas": None, "alpha_min_ratio": 1.5}, "alpha_min_ratio"),
        ({"tol": 0.0}, "tol"),
        ({"tol": float("nan")}, "tol"),
        ({"penalty_factor": np.ones(3)}, "penalty_factor"),
        ({"penalty_factor": np.array([1, -1, 1, 1.0])}, "penalty_factor"),
        ({"penalty_factor": np.array([1, np.nan, 1, 1.0])}, "penalty_factor"),
    ],
)
def test_bad_options_are_refused_before_any_data_are_read(
    options: dict[str, Any], named: str, tmp_path: Path
) -> None:
    X, y = good()
    data = dataset(Case("unread", X, y), (20, 40), marks=tmp_path)
    with pytest.raises(InputError, match=named):
        cross_validate(
            data, make_cells(KFold(3), N), PathOptions(**{"alphas": ALPHAS, **options}),
            PassRunner(n_threads=1),
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cv", [1, 0, -3, 61, np.arange(59), np.full(N, np.nan), "five"])
def test_bad_folds(cv: Any) -> None:
    with pytest.raises(InputError):
        make_cells(check_cv(cv, N), N)


def test_all_zero_penalty_factors_are_least_squares() -> None:
    X, y = good()
    result = run(X, y, penalty_factor=np.zeros(P))
    exact = np.linalg.lstsq(np.column_stack([np.ones(N), X]), y, rcond=None)[0]
    np.testing.assert_allclose(result.paths[0].coef, np.tile(exact[1:], (2, 1)), rtol=1e-10)


def test_unordered_alphas_are_each_solved() -> None:
    case = Case("unordered", *good())
    alphas = np.array([0.03, 0.3, 0.1])
    path = fit(case, alphas=alphas).paths[0]
    problem = oracle.make_problem(case.X, case.y)
    coef, _ = oracle.solve_path(problem, path.alphas, 1.0)
    assert sorted(path.alphas) == sorted(alphas)
    np.testing.assert_allclose(path.coef, coef.astype(float), rtol=1e-9, atol=1e-12)


def test_offset_is_subtracted_from_the_target() -> None:
    X, y = good()
    offset = np.random.default_rng(2).normal(size=N) * 10
    one = run(X, y, 3, offset=offset)
    two = run(X, y - offset, 3)
    assert_same(one, two)
    np.testing.assert_allclose(one.cv_mean, two.cv_mean, rtol=1e-9)


# --- the same through the estimators -------------------------------------------------------------
@pytest.mark.parametrize("model", [Ridge, Lasso, ElasticNet])
def test_estimators_refuse_what_cannot_be_fitted(model: Any) -> None:
    X, y = good()
    holes, wild = X.copy(), y.copy()
    holes[9, 1] = np.nan
    wild[9] = np.inf
    for bad_X, bad_y, keywords, named in [
        (holes, y, {}, "NaN|missing"),
        (X, wild, {}, "target|y|infin"),
        (X, y[:-1], {}, "59"),
        (X, y, {"sample_weight": -np.ones(N)}, "weight"),
        (X, y, {"sample_weight": np.zeros(N)}, "weight"),
    ]:
        with pytest.raises(ValueError, match=named):
            model().fit(bad_X, bad_y, **keywords)
    for alpha in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="alpha"):
            model(alpha=alpha).fit(X, y)


@pytest.mark.parametrize("ratio", [2.0, -0.5, np.nan])
def test_estimators_refuse_an_l1_ratio_outside_its_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="l1_ratio"):
        ElasticNet(l1_ratio=ratio).fit(*good())
    with pytest.raises(ValueError, match="l1_ratio"):
        ElasticNetCV(l1_ratio=[0.5, ratio]).fit(*good())


def test_a_column_missing_at_predict_is_named() -> None:
    X, y = good()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = Lasso(alpha=0.1).fit(frame, y)
    with pytest.raises(ValueError, match="c"):
        model.predict(frame.drop(columns="c"))
    np.testing.assert_array_equal(
        model.model_.predict(frame[list("dbca")]), model.model_.predict(frame)
    )
