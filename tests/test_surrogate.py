"""What a sample adds to the quadratic models: better foreseen gradients, and fewer passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from test_between import metric_of_rows
from test_glm import draw, fit

from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.glm import fit as fit_module
from distreg.glm.between import Between
from distreg.glm.problem import Problem, make_problem
from distreg.glm.secant import Pair
from distreg.glm.surrogate import Surrogate, change_of
from distreg.losses import get_loss
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.summary import Sample

P, ROWS, SAMPLED = 6, 20_000, 1_000


class Logistic:
    """Rows of a logistic model whose curvature is taken at 0."""

    def __init__(self, Z: np.ndarray, y: np.ndarray) -> None:
        self.Z, self.y = Z, y
        self.metric = metric_of_rows(Z, np.full(len(y), 0.25))

    @property
    def model(self) -> Between:
        return Between(self.metric, self.metric, 0.0)

    def change(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        slopes = expit(self.Z @ stop) - expit(self.Z @ start)
        return np.asarray(self.Z.T @ slopes / len(self.y))


def rows(seed: int) -> tuple[Logistic, Logistic, np.ndarray]:
    """All rows, some of them, and three points on the way to somewhere."""
    rng = np.random.default_rng(seed)
    Z = np.hstack([np.ones((ROWS, 1)), rng.standard_normal((ROWS, P))])
    way = rng.standard_normal(P + 1)
    y = (rng.random(ROWS) < expit(Z @ way)).astype(float)
    points = np.array([0.4 * way, 0.8 * way, way + 0.1 * rng.standard_normal(P + 1)])
    return Logistic(Z, y), Logistic(Z[:SAMPLED], y[:SAMPLED]), points


@pytest.mark.parametrize("n_pairs", [0, 1])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_gradients_are_foreseen_better(seed: int, own: bool, n_pairs: int) -> None:
    full, part, (first, second, third) = rows(seed)
    pairs = [
        (
            Pair(second - first, full.change(first, second)),
            Pair(second - first, part.change(first, second)),
        )
    ][:n_pairs]
    model, move = full.model, third - second
    if not own:
        model.correct([pair for pair, _ in pairs])
    alone = model.change_of(move)
    found = change_of(full.model, part.model, pairs, own, move, part.change(second, third))
    true = full.change(second, third)
    assert np.linalg.norm(found - true) < 0.4 * np.linalg.norm(alone - true)


def test_a_sample_that_says_nothing_of_the_last_move_is_not_believed() -> None:
    full, part, (first, second, third) = rows(0)
    move = second - first
    missed = full.change(first, second) - full.model.change_of(move)
    # the sample has seen the opposite of what the full data have missed
    seen = part.model.change_of(move) - missed
    pairs = [(Pair(move, full.change(first, second)), Pair(move, seen))]
    found = change_of(
        full.model, part.model, pairs, True, third - second, part.change(second, third)
    )
    np.testing.assert_array_equal(found, full.model.change_of(third - second))
    # or nothing at all
    pairs = [(pairs[0][0], Pair(move, part.model.change_of(move)))]
    found = change_of(
        full.model, part.model, pairs, True, third - second, part.change(second, third)
    )
    np.testing.assert_array_equal(found, full.model.change_of(third - second))


def test_moves_are_known_of_both_or_of_none() -> None:
    problem, sample = problem_of(*draw("logistic", 0, 3000, 4)[:2], sample_rows=300)
    surrogate = Surrogate.of(problem, sample, 1)
    assert surrogate is not None
    points = np.cumsum(np.ones((4, 5)), axis=0)
    moves = [Pair(np.ones(5), np.full(5, float(k))) for k in range(3)]
    assert surrogate.pairs(0, [], points[0], np.zeros(5)) == []
    [(pair, seen)] = surrogate.pairs(0, moves[:1], points[1], -np.ones(5))
    assert pair is moves[0]
    np.testing.assert_array_equal(seen.change, np.ones(5))
    # again at the same point: nothing new
    assert len(surrogate.pairs(0, moves[:1], points[1], -np.ones(5))) == 1
    # a move that does not lead there, as after one that another solver has made
    assert len(surrogate.pairs(0, moves[:2], points[3], np.zeros(5))) == 1
    # forgotten by the full data, forgotten here
    assert surrogate.pairs(0, [], points[3], np.zeros(5)) == []


def problem_of(
    X: Any, y: np.ndarray, sample_rows: int = 1000, n_folds: int = 3
) -> tuple[Problem, Sample]:
    data = from_arrays(X, y, classes=True)
    cells = make_cells(KFold(n_folds), data.n_rows)
    loss = get_loss("logistic")
    summary = fit_module.summarised(data, cells, loss, 1, PassRunner(n_threads=1), sample_rows)
    problem = make_problem(loss, 1, summary, cells, PathOptions(loss="logistic"), data.n_dense)
    return problem, summary.sample


def test_who_has_no_guide() -> None:
    X, y, _ = draw("logistic", 1, 2500, 30)
    assert Surrogate.of(*problem_of(X, y, 500), 1) is not None
    assert Surrogate.of(*problem_of(X, y, 100), 1) is None
    assert Surrogate.of(*problem_of(X, y, 2500), 1) is None
    assert Surrogate.of(*problem_of(sparse.csr_array(X), y, 500), 1) is None


@pytest.mark.parametrize(
    ("loss", "saved"),
    [("logistic", 1), ("poisson", 0), ("squared_hinge", 0), ("huber", 0)],
)
def test_answers_are_the_same_in_no_more_passes(
    loss: str, saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three problems each."""
    with_guide = without = 0
    for seed in range(3):
        X, y, weight = draw(loss, 40 + seed, 6000, 12)
        options = {"folds": KFold(3), "l1_ratios": (1.0, 0.0), "n_alphas": 15}
        guided = fit(loss, X, y, weight=weight, **options)
        with monkeypatch.context() as patch:
            patch.setattr(Surrogate, "of", classmethod(lambda cls, *given: None))
            alone = fit(loss, X, y, weight=weight, **options)
        assert guided.converged
        with_guide += guided.cost.n_passes
        without += alone.cost.n_passes
        for one, other in zip(guided.paths, alone.paths, strict=True):
            bound = one.dual_gap + other.dual_gap + 1e-9 * one.null_objective
            assert np.all(np.abs(one.objective - other.objective) <= bound)
        np.testing.assert_allclose(guided.cv_mean, alone.cv_mean, rtol=1e-3)
    assert with_guide <= without - saved


@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_a_loose_tolerance_saves_passes(tol: float) -> None:
    X, y, _ = draw("logistic", 3, 12_000, 20)
    result = fit("logistic", X, y, n_alphas=20, tol=tol)
    assert result.converged
    assert result.kkt_tolerance == tol
    assert result.paths[0].relative_gap.max() <= tol
    assert result.paths[0].relative_violation.max() <= tol
    assert result.cost.n_passes <= {1e-4: 5, 1e-6: 6}[tol]
    assert PathOptions(tol=1e-9).kkt_tolerance == 1e-6
