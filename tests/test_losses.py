"""The losses: derivatives, conjugates, null models and extremes, each against the definition."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from distreg.exceptions import InputError
from distreg.losses import LOSSES, Loss, get_loss

EXTENDED = np.longdouble
N, N_CLASSES = 400, 4
DELTA, Q = 2.5, 0.3
PARAMETERISED = {"huber": get_loss("huber", DELTA), "quantile": get_loss("quantile", Q)}


def log_sum_exp(eta: np.ndarray) -> np.ndarray:
    return np.log(np.exp(eta).sum(axis=-1))


DEFINITIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "squared": lambda y, eta: (y - eta) ** 2 / 2,
    "logistic": lambda y, eta: np.log1p(np.exp(eta)) - y * eta,
    "multinomial": lambda y, eta: log_sum_exp(eta) - eta[np.arange(len(y)), y.astype(int)],
    "poisson": lambda y, eta: np.exp(eta) - y * eta,
    "squared_hinge": lambda y, eta: np.maximum(0, 1 - (2 * y - 1) * eta) ** 2 / 2,
    "hinge": lambda y, eta: np.maximum(0, 1 - (2 * y - 1) * eta),
    "huber": lambda y, eta: np.where(
        np.abs(y - eta) <= DELTA, (y - eta) ** 2 / 2, DELTA * (np.abs(y - eta) - DELTA / 2)
    ),
    "quantile": lambda y, eta: np.where(y > eta, Q * (y - eta), (1 - Q) * (eta - y)),
}
"""The textbook's formulas, in whatever precision they are given."""

OUTSIDE = {
    "logistic": (np.array([0.0, 0.0, 1.0, 1.0]), np.array([-0.1, 1.1, 0.1, -1.1])),
    "multinomial": (
        np.array([0.0, 1.0, 2.0]),
        np.array([[0.1, -0.1, 0.0], [0.2, 0.0, 0.0], [0.5, 0.6, -1.1]]),
    ),
    "poisson": (np.array([0.0, 2.5]), np.array([-0.1, -2.6])),
    "squared_hinge": (np.array([0.0, 1.0]), np.array([-0.1, 0.1])),
    "hinge": (np.array([0.0, 0.0, 1.0, 1.0]), np.array([-0.1, 1.1, 0.1, -1.1])),
    "huber": (np.array([0.0, 3.0]), np.array([-2.6, 2.6])),
    "quantile": (np.array([0.0, 3.0]), np.array([-0.31, 0.71])),
}
"""Dual points outside the conjugate's domain; the squared loss has none."""


@pytest.fixture(params=list(LOSSES))
def loss(request: pytest.FixtureRequest) -> Loss:
    return PARAMETERISED.get(request.param, LOSSES[request.param])


def targets(loss: Loss, rng: np.random.Generator, n: int = N) -> np.ndarray:
    return {
        "real": lambda: rng.normal(size=n) * 3.0,
        "binary": lambda: rng.integers(0, 2, size=n).astype(float),
        "classes": lambda: rng.integers(0, N_CLASSES, size=n).astype(float),
        "count": lambda: np.where(rng.random(n) < 0.3, 0.0, rng.gamma(2.0, 3.0, size=n)),
    }[loss.target]()


def sample(loss: Loss, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (N, N_CLASSES) if loss.target == "classes" else (N,)
    return targets(loss, rng), rng.normal(size=shape) * 3.0


def directions(loss: Loss) -> list[np.ndarray | float]:
    """Unit steps of eta, one a column."""
    return list(np.eye(N_CLASSES)) if loss.target == "classes" else [1.0]


def inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) if a.ndim == 2 else a * b


def mean_of_target(loss: Loss, y: np.ndarray, weight: np.ndarray) -> float | np.ndarray:
    if loss.target == "classes":
        return np.bincount(y.astype(int), weight, N_CLASSES) / weight.sum()
    return float(np.average(y, weights=weight))


def test_value_is_the_definition(loss: Loss) -> None:
    y, eta = sample(loss)
    exact = DEFINITIONS[loss.name](y.astype(EXTENDED), eta.astype(EXTENDED))
    found = loss.value(y, eta)
    assert found.shape == (N,)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, exact.astype(float), rtol=1e-14, atol=1e-14)


def test_slope_is_the_derivative_of_the_definition(loss: Loss) -> None:
    y, eta = sample(loss)
    slope, h = loss.slope(y, eta).reshape(N, -1), EXTENDED(1e-6)
    assert loss.slope(y, eta).shape == eta.shape
    for c, step in enumerate(directions(loss)):
        after, before = (
            DEFINITIONS[loss.name](y.astype(EXTENDED), eta + sign * h * step) for sign in (1, -1)
        )
        expected = ((after - before) / (2 * h)).astype(float)
        np.testing.assert_allclose(slope[:, c], expected, rtol=1e-9, atol=1e-9)


def test_curvature_is_the_derivative_of_the_slope(loss: Loss) -> None:
    y, eta = sample(loss)
    h = 1e-5
    curvature = loss.curvature(y, eta)
    assert curvature.shape == (*eta.shape, N_CLASSES)[: 3 if loss.target == "classes" else 1]
    for c, step in enumerate(directions(loss)):
        expected = (loss.slope(y, eta + h * step) - loss.slope(y, eta - h * step)) / (2 * h)
        found = curvature[:, c] if curvature.ndim == 3 else curvature
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_fenchel_young(loss: Loss) -> None:
    y, eta = sample(loss)
    slope = loss.slope(y, eta)
    both = loss.value(y, eta) + loss.conjugate(y, slope)
    size = 1.0 + np.abs(slope * eta).max()
    np.testing.assert_allclose(both, inner(slope, eta), rtol=1e-12, atol=1e-13 * size)
    for other in np.random.default_rng(1).permuted(np.tile(eta, (20, *[1] * eta.ndim)), axis=1):
        gap = loss.value(y, other) + loss.conjugate(y, slope) - inner(slope, other)
        assert (gap >= -1e-12 * size).all()


@pytest.mark.parametrize("name", list(OUTSIDE))
def test_conjugate_is_infinite_outside_its_domain(name: str) -> None:
    loss = PARAMETERISED.get(name, LOSSES[name])
    np.testing.assert_array_equal(loss.conjugate(*OUTSIDE[name]), np.inf)


def test_conjugate_at_zero_is_minus_the_saturated_loss(loss: Loss) -> None:
    y, eta = sample(loss)
    found = -loss.conjugate(y, np.zeros_like(eta))
    np.testing.assert_allclose(found, loss.saturated(y), rtol=1e-14, atol=1e-14)


def test_deviance_is_never_negative_and_0_at_the_best_predictor(loss: Loss) -> None:
    y, eta = sample(loss)
    assert (loss.deviance(y, eta) >= 0.0).all()
    with np.errstate(divide="ignore"):
        best = {
            "real": lambda: y,
            "binary": lambda: (2.0 * y - 1.0) * 800.0,
            "classes": lambda: 800.0 * np.eye(N_CLASSES)[y.astype(int)],
            "count": lambda: np.maximum(np.log(y), -800.0),
        }[loss.target]()
    np.testing.assert_allclose(loss.deviance(y, best), 0.0, atol=1e-13)


def test_squared_deviance_is_the_squared_error() -> None:
    y, eta = sample(LOSSES["squared"])
    np.testing.assert_allclose(LOSSES["squared"].deviance(y, eta), (y - eta) ** 2)


MEANS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "squared": lambda eta: eta,
    "logistic": lambda eta: 1.0 / (1.0 + np.exp(-eta)),
    "multinomial": lambda eta: np.exp(eta) / np.exp(eta).sum(axis=-1, keepdims=True),
    "poisson": np.exp,
    "squared_hinge": lambda eta: eta,
    "hinge": lambda eta: eta,
    "huber": lambda eta: eta,
    "quantile": lambda eta: eta,
}


def test_mean_is_the_response(loss: Loss) -> None:
    _, eta = sample(loss)
    np.testing.assert_allclose(loss.mean(eta), MEANS[loss.name](eta), rtol=1e-14)
    if loss.target == "classes":
        np.testing.assert_array_equal(loss.mean(eta[None])[0], loss.mean(eta))
        np.testing.assert_array_equal(loss.mean(eta[3]), loss.mean(eta)[3])


def test_null_model_minimises_the_weighted_mean_loss(loss: Loss) -> None:
    rng = np.random.default_rng(2)
    y, weight = targets(loss, rng), rng.random(N)
    mean = mean_of_target(loss, y, weight)
    if loss.null_eta is None:
        assert loss.null_loss(mean) is None
        return
    eta = np.broadcast_to(loss.null_eta(mean), (N, N_CLASSES)[: np.ndim(mean) + 1])
    best = np.average(loss.value(y, eta), weights=weight)
    if loss.smooth:
        slope = np.average(loss.slope(y, eta), axis=0, weights=weight)
        np.testing.assert_allclose(slope, 0.0, atol=1e-14)
    for step in (-1.0, -1e-3, 1e-3, 1.0):
        assert np.average(loss.value(y, eta + step), weights=weight) >= best - 1e-14
    if loss.name == "squared":
        assert loss.null_loss(mean) is None
    else:
        assert loss.null_loss(mean) == pytest.approx(best, rel=1e-12)
    if loss.target == "classes":
        assert np.sum(loss.null_eta(mean)) == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("logistic", 0.0),
        ("logistic", 1.0),
        ("squared_hinge", 0.0),
        ("squared_hinge", 1.0),
        ("hinge", 0.0),
        ("hinge", 1.0),
        ("poisson", 0.0),
        ("multinomial", np.array([1.0, 0.0, 0.0])),
        ("multinomial", np.array([0.5, 0.5, 0.0])),
    ],
)
def test_null_model_without_a_class_or_a_count_is_finite(
    name: str, mean: float | np.ndarray
) -> None:
    loss = LOSSES[name]
    assert np.isfinite(loss.null_eta(mean)).all()
    assert np.isfinite(loss.null_loss(mean))
    y = np.flatnonzero(mean).astype(float) if np.ndim(mean) else np.full(1, mean)
    eta = (
        np.tile(loss.null_eta(mean), (len(y), 1))
        if np.ndim(mean)
        else np.full(1, loss.null_eta(mean))
    )
    assert loss.value(y, eta).mean() == pytest.approx(loss.null_loss(mean), abs=1e-11)


@pytest.mark.parametrize("size", [40.0, 1e3, 1e100, 1e300, 1e308])
def test_extremes_neither_warn_nor_give_nan(loss: Loss, size: float) -> None:
    y, eta = sample(loss)
    if loss.target == "count":
        y[::3] = 1e6
    eta = np.sign(eta) * size
    for function in (loss.value, loss.deviance):
        found = function(y, eta)
        assert (found >= (loss.saturated(y) if function == loss.value else 0.0)).all()
    for found in (loss.slope(y, eta), loss.curvature(y, eta), loss.mean(eta)):
        assert np.isfinite(found).all()


def test_far_from_the_target_the_loss_is_large(loss: Loss) -> None:
    y, eta = sample(loss)
    if loss.target == "count":
        y += 1.0
    wrong = 1e300 * np.sign(loss.slope(y, eta))
    found = loss.value(y, wrong)
    assert (found[loss.value(y, eta) > 0.0] > 1e299).all()


@pytest.mark.parametrize("count", [0.0, 1e-9, 0.5, 1e6])
def test_counts(count: float) -> None:
    loss, y = LOSSES["poisson"], np.full(1, count)
    eta = np.log(np.maximum(y, 1e-300))
    assert loss.deviance(y, eta) == pytest.approx(0.0, abs=1e-8)
    assert loss.value(y, eta) == pytest.approx(loss.saturated(y), abs=1e-12, rel=1e-14)


def test_registry() -> None:
    assert len({loss.code for loss in LOSSES.values()}) == len(LOSSES)
    for name, loss in LOSSES.items():
        assert get_loss(name) is loss
        assert loss.name == name
        assert bool(loss.parameter_name) == (loss.parameter > 0.0) == (name in PARAMETERISED)
        assert pickle.loads(pickle.dumps(loss)) == loss  # noqa: S301 - own bytes


@pytest.mark.parametrize("name", list(PARAMETERISED))
def test_a_parameter_makes_another_loss(name: str) -> None:
    one, default = PARAMETERISED[name], LOSSES[name]
    assert one != default
    assert get_loss(name, default.parameter) == default
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - own bytes
    assert one.value(np.zeros(1), np.full(1, 9.0)) != default.value(np.zeros(1), np.full(1, 9.0))


@pytest.mark.parametrize(
    ("name", "parameter", "words"),
    [
        ("huber", 0.0, "delta=0.0"),
        ("huber", np.inf, "finite"),
        ("huber", np.nan, "delta=nan"),
        ("huber", True, "delta=True"),
        ("quantile", 1.0, r"quantile=1.0.*in \(0, 1\)"),
        ("quantile", -0.1, "quantile=-0.1"),
        ("logistic", 1.0, "logistic loss has no parameter"),
    ],
)
def test_a_parameter_out_of_range_is_refused(name: str, parameter: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        get_loss(name, parameter)


@pytest.mark.parametrize(
    ("name", "close"),
    [("logistc", "'logistic'"), ("sqared_hinge", "'squared_hinge'"), ("zzz", "poisson")],
)
def test_an_unknown_loss_is_named_with_what_there_is(name: str, close: str) -> None:
    with pytest.raises(InputError, match=name) as error:
        get_loss(name)
    assert close in str(error.value)
