"""Stability selection: halves, frequencies, bounds, and the selector's interface."""

from __future__ import annotations

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from sklearn.linear_model import lasso_path
from sklearn.pipeline import make_pipeline

from distreg import Ridge, StabilitySelection
from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.data.halves import ComplementaryPairs, cells_for
from distreg.exceptions import InputError
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.stability import most_features, unimodal_bound, worst_case_bound
from distreg.training import cell_moments

TRUE = [0, 3, 7]


def draw(n: int = 400, p: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and a linear predictor in three of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, X[:, TRUE] @ np.array([0.8, -0.7, 0.6])


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    X, eta = draw()
    return X, eta + np.random.default_rng(1).standard_normal(len(eta))


@pytest.fixture(scope="module")
def fitted(numbers: tuple[np.ndarray, np.ndarray]) -> StabilitySelection:
    return StabilitySelection(n_pairs=25, random_state=3).fit(*numbers)


# --- the halves ----------------------------------------------------------------------------------
def test_halves_are_complementary_and_balanced() -> None:
    scheme = ComplementaryPairs(7, 12, seed=5)
    train, held_out = scheme.layout()
    assert train.shape == held_out.shape == (14, 12)
    assert not held_out.any()
    np.testing.assert_array_equal(train[::2], ~train[1::2])
    np.testing.assert_array_equal(train.sum(axis=1), 6)
    assert len({half.tobytes() for half in train}) == 14
    cells = scheme.assign(np.arange(1200), np.arange(1200), None, 1200)
    np.testing.assert_array_equal(np.bincount(cells), 100)
    # rows are dealt by their numbers alone, and cells are not neighbours
    np.testing.assert_array_equal(cells[700:900], scheme.assign(np.arange(700, 900), *[None] * 3))
    assert len({tuple(cells[i : i + 12]) for i in range(0, 1200, 12)}) > 90
    other = ComplementaryPairs(7, 12, seed=6)
    assert not np.array_equal(other.layout()[0], train)


def test_the_number_of_cells_follows_from_the_size_of_the_data() -> None:
    assert cells_for(10**6, 100) == 40
    assert cells_for(17, 3) == 16
    assert 12 <= cells_for(10**6, 2500) < 40
    assert cells_for(10**6, 20_000) == 12
    with pytest.raises(InputError, match="even"):
        ComplementaryPairs(5, 7)
    with pytest.raises(InputError, match="12 cells"):
        ComplementaryPairs(5, 12).check(11, 11)


# --- frequencies ---------------------------------------------------------------------------------
def halves_of(n: int, p: int, n_pairs: int, seed: int) -> list[np.ndarray]:
    """Rows of each half."""
    scheme = ComplementaryPairs(n_pairs, cells_for(n, p), seed)
    cells = scheme.assign(np.arange(n), np.arange(n), None, n)
    return [np.flatnonzero(half[cells]) for half in scheme.layout()[0]]


def test_frequencies_are_those_of_fits_to_the_halves_alone(numbers) -> None:
    X, y = numbers
    model = StabilitySelection(n_pairs=3, n_alphas=8, standardize=False, random_state=2).fit(X, y)
    assert model.n_passes_ == 1
    assert model.status_ == "converged"
    count = np.zeros((8, 40))
    halves = halves_of(400, 40, 3, 2)
    union = 0
    for rows in halves:
        Z, t = X[rows] - X[rows].mean(axis=0), y[rows] - y[rows].mean()
        _, coef, _ = lasso_path(Z, t, alphas=model.alphas_, tol=1e-12, max_iter=100_000)
        count += np.abs(coef.T) > 1e-9
        union += (np.abs(coef[:, : model.n_alphas_used_]) > 1e-9).any(axis=1).sum()
    np.testing.assert_allclose(model.stability_path_, count / 6, atol=1e-12)
    used = model.stability_path_[: model.n_alphas_used_]
    np.testing.assert_array_equal(model.selection_probability_, used.max(axis=0))
    assert model.mean_selected_ == pytest.approx(union / 6)
    assert model.mean_selected_ <= most_features(0.75, 40)
    assert model.expected_false_selections_ == pytest.approx(
        model.mean_selected_**2 / (0.5 * 40), rel=1e-12
    )


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "multinomial", "poisson"])
def test_other_losses_agree_with_single_fits(loss: str) -> None:
    X, eta = draw(160, 8)
    rng = np.random.default_rng(4)
    if loss == "poisson":
        y = rng.poisson(np.exp(eta)).astype(float)
    elif loss == "multinomial":
        y = (np.stack([eta, -eta, 0 * eta], axis=1) + rng.gumbel(size=(160, 3))).argmax(axis=1)
    else:
        y = np.where(rng.random(160) < 1 / (1 + np.exp(-eta)), "yes", "no")
    model = StabilitySelection(
        loss, n_pairs=2, n_alphas=4, alpha_min_ratio=0.1, random_state=0, tol=1e-6
    ).fit(X, y)
    assert model.largest_gap_ <= 1e-6
    assert model.largest_violation_ <= 1e-6
    options = PathOptions(loss=loss, alphas=model.alphas_, standardize=True)
    count = np.zeros((4, 8))
    for rows in halves_of(160, 8, 2, 0):
        data = from_arrays(X[rows], y[rows], classes=loss != "poisson")
        one = cross_validate(data, make_cells(None, len(rows)), options, PassRunner(n_threads=1))
        coef = one.paths[0].coef
        count += (coef != 0).reshape(4, -1, 8).any(axis=1)
    np.testing.assert_allclose(model.stability_path_, count / 4, atol=1e-12)


def test_many_halves_share_the_passes() -> None:
    X, eta = draw(6000, 8)
    y = (np.random.default_rng(2).random(6000) < 1 / (1 + np.exp(-eta))).astype(int)
    model = StabilitySelection("logistic", n_pairs=20, n_alphas=10, random_state=0).fit(X, y)
    # 410 fits; the sample holds a third of the rows
    assert model.n_passes_ <= 8
    assert model.status_ == "converged"
    assert max(model.largest_gap_, model.largest_violation_) <= 1e-4


def test_metrics_are_made_in_turn_where_memory_is_short(monkeypatch) -> None:
    X, eta = draw(3000, 8)
    y = (np.random.default_rng(2).random(3000) < 1 / (1 + np.exp(-eta))).astype(int)
    keywords = {"n_pairs": 3, "n_alphas": 6, "random_state": 0}
    kept = StabilitySelection("logistic", **keywords).fit(X, y)
    monkeypatch.setattr("distreg.glm.anchors.METRIC_BYTES", 8000)
    turn = StabilitySelection("logistic", **keywords).fit(X, y)
    np.testing.assert_array_equal(kept.stability_path_, turn.stability_path_)
    assert kept.largest_violation_ == turn.largest_violation_


def test_a_result_tells_how_often_folds_hold_a_feature(numbers) -> None:
    X, y = numbers
    data, options = from_arrays(X, y), PathOptions(l1_ratios=(1.0, 0.5), n_alphas=6)
    result = cross_validate(data, make_cells(KFold(4), 400), options, PassRunner(n_threads=1))
    assert result.support_frequency.shape == (2, 6, 40)
    entry = np.full((4, 2, 40), 6)
    count = np.zeros((2, 6, 40))
    for k in range(4):
        rows = np.arange(400) // 100 != k
        part = from_arrays(X[rows], y[rows])
        for i, path in enumerate(result.paths):
            one = PathOptions(l1_ratios=(path.l1_ratio,), alphas=path.alphas)
            fit = cross_validate(part, make_cells(None, 300), one, PassRunner(n_threads=1))
            support = fit.paths[0].coef != 0
            count[i] += support
            entry[k, i] = np.where(support.any(axis=0), support.argmax(axis=0), 6)
    np.testing.assert_array_equal(result.support_frequency, count / 4)
    np.testing.assert_array_equal(result.fold_entry, entry)


@pytest.mark.parametrize("missing", ["error", "mean"])
def test_moments_about_one_centre_are_the_same(missing: str) -> None:
    X, y = draw(300, 8)
    X = X * np.geomspace(0.1, 10.0, 8) + [1000.0, 0.0, 5.0, 0.0, 1.0, 0.0, 0.0, -9.0]
    if missing == "mean":
        X[::7, 1] = X[3::11, 2] = np.nan
    data = from_arrays(X, y, missing=missing)
    scheme = ComplementaryPairs(2, 6)
    moments = PassRunner(n_threads=1).run(cell_moments(data, make_cells(scheme, 300)), data)
    same = moments.about_one_centre()
    assert len(np.unique(same.y_centre)) == 1
    for half in scheme.layout()[0]:
        one, other = (m.training(half, True, True) for m in (moments, same))
        for name in ("mean", "sd", "gram", "xty", "yty", "fill"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-11, atol=1e-12
            )


# --- selection and bounds ------------------------------------------------------------------------
def test_true_features_are_selected_and_false_ones_are_few(fitted) -> None:
    assert set(TRUE) <= set(fitted.get_support(indices=True))
    assert fitted.get_support().sum() <= len(TRUE) + 1
    assert fitted.expected_false_selections_ <= 1.0
    assert fitted.expected_false_selections_unimodal_ < fitted.expected_false_selections_
    assert fitted.n_passes_ == 1


def test_false_selections_stay_below_the_bound_on_average() -> None:
    false, bound = [], []
    for seed in range(8):
        X, eta = draw(200, 40, seed)
        y = eta + 2.0 * np.random.default_rng(seed + 50).standard_normal(200)
        model = StabilitySelection(
            n_pairs=10, n_alphas=20, threshold=0.6, max_features=5, random_state=seed
        ).fit(X, y)
        chosen = model.get_support()
        chosen[TRUE] = False
        false.append(chosen.sum())
        bound.append(model.expected_false_selections_)
    assert np.mean(false) <= np.mean(bound)
    assert np.mean(bound) <= 25 / (0.2 * 40)


@pytest.mark.parametrize("threshold", [0.65, 0.75, 0.8, 0.95])
@pytest.mark.parametrize("theta", [0.05, 0.3])
def test_the_unimodal_bound_covers_the_worst_distribution(threshold: float, theta: float) -> None:
    """Largest tail of a unimodal distribution on 0, 1/B, ..., 1 with mean theta^2, by programming.

    The bound is on ``p P(share of pairs >= 2 threshold - 1)``, with ``q = p theta``.
    """
    n_pairs, p = 20, 100
    values = np.arange(n_pairs + 1) / n_pairs
    tail = (values >= 2 * threshold - 1 - 1e-9).astype(float)
    worst = 0.0
    for mode in range(n_pairs + 1):
        rows = np.diff(np.eye(n_pairs + 1), axis=0)
        rows[:mode] *= -1.0  # rises up to the mode, then falls
        found = linprog(
            -tail, A_ub=rows, b_ub=np.zeros(n_pairs),
            A_eq=np.stack([np.ones(n_pairs + 1), values]), b_eq=[1.0, theta**2],
        )  # fmt: skip
        worst = max(worst, -found.fun if found.status == 0 else 0.0)
    bound = unimodal_bound(theta * p, threshold, p, n_pairs)
    assert worst * p <= bound * (1 + 1e-9)
    assert bound <= 2.5 * worst * p
    assert bound < worst_case_bound(theta * p, threshold, p)


def test_bounds_by_hand() -> None:
    assert worst_case_bound(10, 0.9, 1000) == pytest.approx(100 / (0.8 * 1000))
    assert worst_case_bound(most_features(0.75, 333), 0.75, 333) == pytest.approx(1.0)
    # theta = 0.01, B = 50: 1 / (2 (0.2 - 0.01)), and 4 (0.1 + 0.01) / 1.02
    assert unimodal_bound(10, 0.6, 1000, 50) == pytest.approx(0.1 / 0.38)
    assert unimodal_bound(10, 0.9, 1000, 50) == pytest.approx(0.1 * 0.44 / 1.02)
    # a threshold between two shares acts as the larger one
    assert unimodal_bound(10, 0.595, 1000, 50) == unimodal_bound(10, 0.6, 1000, 50)
    assert np.isnan(unimodal_bound(700, 0.9, 1000, 50))
    assert np.isnan(unimodal_bound(300, 0.51, 1000, 50))


def test_only_the_part_of_the_path_with_few_features_counts(numbers) -> None:
    X, y = numbers
    few, many = (
        StabilitySelection(n_pairs=5, max_features=q, random_state=0).fit(X, y) for q in (2, 20)
    )
    assert few.n_alphas_used_ < many.n_alphas_used_
    assert few.mean_selected_ <= 2 < many.mean_selected_ <= 20
    np.testing.assert_array_equal(few.stability_path_, many.stability_path_)
    assert few.get_support().sum() <= 2 / 0.75


def test_unpenalised_and_constant_features_are_no_candidates(numbers) -> None:
    X, y = numbers
    X = np.column_stack([X, np.ones(400)])
    factor = np.ones(41)
    factor[5] = 0.0
    model = StabilitySelection(n_pairs=5, penalty_factor=factor, random_state=0).fit(X, y)
    assert model.selection_probability_[5] == 1.0
    assert model.selection_probability_[40] == 0.0
    assert model.expected_false_selections_ == pytest.approx(model.mean_selected_**2 / (0.5 * 39))


# --- the interface -------------------------------------------------------------------------------
def test_any_container_gives_the_same_and_transforms_to_its_kind(numbers, fitted) -> None:
    X, y = numbers
    chosen = fitted.get_support(indices=True)
    np.testing.assert_array_equal(fitted.transform(X), X[:, chosen])
    lazy, target = da.from_array(X, chunks=(97, 40)), da.from_array(y, chunks=97)
    model = StabilitySelection(n_pairs=25, random_state=3).fit(lazy, target)
    np.testing.assert_array_equal(model.stability_path_, fitted.stability_path_)
    out = model.transform(lazy)
    assert isinstance(out, da.Array)
    np.testing.assert_array_equal(out.compute(), X[:, chosen])


def test_weights_count_in_the_fits(numbers) -> None:
    X, y = numbers
    keywords = {"n_pairs": 4, "n_alphas": 10, "random_state": 0}
    plain = StabilitySelection(**keywords).fit(X, y)
    double = StabilitySelection(**keywords).fit(X, y, np.full(400, 2.0))
    np.testing.assert_array_equal(plain.stability_path_, double.stability_path_)
    weight = np.random.default_rng(0).uniform(0.1, 3.0, 400)
    model = StabilitySelection(standardize=False, **keywords).fit(X, y, weight)
    rows = halves_of(400, 40, 4, 0)
    count = np.zeros((10, 40))
    for half in rows:
        data = from_arrays(X[half], y[half], sample_weight=weight[half])
        options = PathOptions(alphas=model.alphas_)
        one = cross_validate(data, make_cells(None, 200), options, PassRunner(n_threads=1))
        count += one.paths[0].coef != 0
    np.testing.assert_array_equal(model.stability_path_, count / 8)


def test_a_column_is_selected_with_any_of_its_levels() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((300, 4)), columns=list("abcd"))
    frame.insert(1, "kind", pd.Categorical(rng.choice(["u", "v", "w"], 300)))
    y = 2.0 * (frame["kind"] == "w") + frame["c"] + 0.5 * rng.standard_normal(300)
    model = StabilitySelection(n_pairs=10, max_features=4, random_state=0).fit(frame, y)
    assert model.feature_names_[-1] == "kind=w"
    assert model.get_feature_names_out().tolist() == ["kind", "c"]
    table = dd.from_pandas(frame, npartitions=3)
    out = model.transform(table)
    assert list(out.columns) == ["kind", "c"]
    pd.testing.assert_frame_equal(out.compute()[["c"]], frame[["c"]])


def test_it_works_in_a_pipeline(numbers) -> None:
    X, y = numbers
    pipe = make_pipeline(StabilitySelection(n_pairs=10, random_state=0), Ridge(alpha=0.01))
    assert pipe.fit(X, y).score(X, y) > 0.5
    assert pipe[-1].n_features_in_ == pipe[0].get_support().sum() < 6


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"threshold": 0.5}, "threshold=0.5 is outside"),
        ({"l1_ratio": 0.0}, "l1_ratio=0.0 is outside"),
        ({"n_pairs": 0}, "n_pairs=0"),
        ({"max_features": 0}, "max_features=0"),
        ({"loss": "hinge2"}, "loss='hinge2': allowed"),
        ({"loss": "logistic"}, "continuous values"),
    ],
)
def test_bad_keywords_are_named(keywords, text: str, numbers) -> None:
    with pytest.raises(InputError, match=text):
        StabilitySelection(**keywords).fit(*numbers)


def test_docstring_names_every_keyword() -> None:
    names = StabilitySelection().get_params()
    text = StabilitySelection.__doc__
    assert text is not None
    assert "{" not in text.replace('{"', "")
    for name in names:
        assert name in text, name
