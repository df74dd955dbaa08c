"""Figures: drawn for every kind of path, legible, and without global state."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cvresults import diabetes_result
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from distreg.exceptions import InputError
from distreg.report import figures, style
from distreg.report.summary import PenaltySummary, penalty_label, summarise, winner_of
from distreg.result import CVResult
from distreg.selection import select


@pytest.fixture(scope="module")
def result() -> CVResult:
    return diabetes_result(l1_ratios=(1.0, 0.5, 0.0))


def one_alpha(result: CVResult, *, folds: bool) -> CVResult:
    """The same result with a grid of one alpha."""

    def cut(a: np.ndarray) -> np.ndarray:
        return a[..., 20:21]

    names = ("alphas", "intercept", "objective", "dual_gap", "kkt_violation", "n_nonzero")
    paths = tuple(
        dataclasses.replace(
            p,
            coef=p.coef[20:21],
            n_epochs=cut(p.n_epochs),
            **{k: cut(getattr(p, k)) for k in names},
        )
        for p in (result.paths if folds else result.paths[:1])
    )
    n = len(paths)
    blank = (lambda a: cut(a)[:n]) if folds else (lambda a: np.full((n, 1), np.nan))
    return dataclasses.replace(
        result,
        paths=paths,
        cv_mean=blank(result.cv_mean),
        cv_se=blank(result.cv_se),
        fold_error=cut(result.fold_error)[:, :n],
        support_stability=blank(result.support_stability),
        fold_dual_gap=blank(result.fold_dual_gap),
        test={k: cut(v)[:n] for k, v in result.test.items()},
    )


def text_boxes(figure: Figure, wanted: set[str] | None = None) -> dict[str, np.ndarray]:
    """Extent of each visible text, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = {}
    for ax in figure.axes:
        for text in ax.texts:
            if wanted is None or text.get_text() in wanted:
                boxes[text.get_text()] = text.get_window_extent(renderer).extents
    return boxes


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1)


# --- summaries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_summary_repeats_the_selection(result: CVResult, rule: str) -> None:
    summaries = summarise(result, rule)
    assert [s.label for s in summaries] == ["l1", "elasticnet_0.5", "l2"]
    best = select(result, rule)
    assert winner_of(summaries).label == penalty_label(best.l1_ratio)
    assert sum(s.winner for s in summaries) == 1
    for i, s in enumerate(summaries):
        assert s.index == select(result, rule, path=i).index
        metrics = s.metrics()
        assert metrics["best/alpha"] == s.path.alphas[s.index]
        assert metrics["best/cv_mean"] == result.cv_mean[i, s.index]
        assert metrics["best/l1_norm"] == pytest.approx(np.abs(s.coef).sum())
        assert metrics["best/l2_norm"] == pytest.approx(np.linalg.norm(s.coef))
        assert metrics["best/sparsity"] == pytest.approx(np.mean(s.coef == 0))
        assert metrics["test/r2"] == result.test["r2"][i, s.index]
        sizes = [abs(t.size) for t in s.top]
        assert sizes == sorted(sizes, reverse=True)
        assert len(s.top) == np.count_nonzero(s.coef)
        assert s.converged


def test_summary_without_folds(result: CVResult) -> None:
    only = one_alpha(result, folds=False)
    (summary,) = summarise(only)
    assert summary.index == 0
    assert not summary.has_folds
    with pytest.raises(InputError, match="cannot be compared without folds"):
        summarise(dataclasses.replace(only, paths=only.paths * 2))
    with pytest.raises(InputError, match="is not a rule"):
        summarise(result, "best")


def test_unconverged_answer_is_told(result: CVResult) -> None:
    gaps = np.full_like(result.fold_dual_gap, 1e-3)
    assert not any(s.converged for s in summarise(dataclasses.replace(result, fold_dual_gap=gaps)))


# --- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_every_figure_is_written(result: CVResult, rule: str, tmp_path: Path) -> None:
    drawn = figures.save_figures(summarise(result, rule), tmp_path)
    expected = {
        f"{label}/{name}.png"
        for label in ("l1", "elasticnet_0.5", "l2")
        for name in ("coefficient_path", "cv_curve", "sparsity_error", "top_coefficients")
    }
    expected = (expected - {"l2/sparsity_error.png"}) | {"comparison.png"}
    assert set(drawn) == expected
    for name, path in drawn.items():
        assert path == tmp_path / name
        pixels = imread(path)
        assert pixels.shape[0] > 300
        assert pixels.shape[1] > 900
        assert pixels[..., :3].std() > 0.02, "the picture is blank"


@pytest.mark.parametrize("folds", [True, False])
def test_one_alpha_can_be_drawn(result: CVResult, folds: bool, tmp_path: Path) -> None:
    drawn = figures.save_figures(summarise(one_alpha(result, folds=folds)), tmp_path)
    assert ("comparison.png" in drawn) == folds
    assert ("l1/cv_curve.png" in drawn) == folds
    assert "l1/coefficient_path.png" in drawn


@pytest.mark.parametrize("names", ["math", "long", "script", "equal"])
def test_any_feature_name_can_be_drawn(result: CVResult, names: str, tmp_path: Path) -> None:
    made = {
        "math": [f"$\\frac{{{i}}}$ _x^{i} 100%" for i in range(10)],
        "long": [f"{'carrier_name' * 40}={i}" for i in range(10)],
        "script": [f"特徴{i}" for i in range(10)],
        "equal": ["x"] * 10,
    }[names]
    summary = summarise(dataclasses.replace(result, feature_names=tuple(made)))[0]
    drawn = figures.save_figures([summary], tmp_path)
    for path in drawn.values():
        assert imread(path).shape[1] < 1800, "a long name must not stretch the figure"


def test_no_coefficient_at_all(result: CVResult, tmp_path: Path) -> None:
    path = result.paths[0]
    empty = dataclasses.replace(
        path, coef=np.zeros_like(path.coef), n_nonzero=np.zeros_like(path.n_nonzero)
    )
    (summary,) = summarise(dataclasses.replace(
        result, paths=(empty,), cv_mean=result.cv_mean[:1], cv_se=result.cv_se[:1],
        support_stability=result.support_stability[:1], fold_dual_gap=result.fold_dual_gap[:1],
        fold_error=result.fold_error[:, :1], test={},
    ))  # fmt: skip
    assert summary.top == ()
    assert len(figures.save_figures([summary], tmp_path)) == 4


@pytest.mark.parametrize("label", ["l1", "elasticnet_0.5", "l2"])
def test_names_at_line_ends_do_not_overlap_or_leave_the_figure(
    result: CVResult, label: str
) -> None:
    summary = next(s for s in summarise(result, "min") if s.label == label)
    figure = figures.coefficient_path(summary)
    boxes = text_boxes(figure, set(result.feature_names))
    assert len(boxes) == figures.N_LABELLED
    found = list(boxes.values())
    for i, a in enumerate(found):
        assert a[0] >= 0
        assert a[2] <= figure.bbox.width
        assert not any(overlap(a, b) for b in found[:i])


@pytest.mark.parametrize("at", [(0, 0), (39, 39), (20, 20), (20, 19), (0, 39), (39, 38), (1, 0)])
def test_marks_of_both_choices_do_not_overlap(result: CVResult, at: tuple[int, int]) -> None:
    summary = dataclasses.replace(summarise(result)[0], index_min=at[0], index_1se=at[1])
    figure = figures.cv_curve(summary)
    boxes = text_boxes(figure, {"min", "1se", "min and 1se"})
    assert set(boxes) == ({"min and 1se"} if at[0] == at[1] else {"min", "1se"})
    if len(boxes) == 2:
        assert not overlap(*boxes.values())
    for box in boxes.values():
        assert box[0] >= 0
        assert box[2] <= figure.bbox.width


@pytest.mark.parametrize("seed", range(5))
def test_spread_keeps_order_and_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wishes, gap = rng.random(rng.integers(1, 20)), 0.07
    found = style.spread(wishes, gap)
    order = np.argsort(wishes, kind="stable")
    assert (np.diff(found[order]) >= gap - 1e-12).all()
    assert style.spread(found, gap) == pytest.approx(found)
    far = np.arange(5) * 1.0
    np.testing.assert_array_equal(style.spread(far, gap), far)


@pytest.mark.parametrize(
    "names",
    [
        [f"carrier=airline number {i} of the long list" for i in range(9)],
        [f"{i} carrier airline number of the long list" for i in range(9)],
        [f"carrier airline number of the long list {i}" for i in range(9)],
    ],
    ids=["middle", "head", "tail"],
)
def test_shortened_names_stay_different(names: list[str]) -> None:
    short = style.shorten(names, 20)
    assert len(set(short)) == 9
    assert max(map(len, short)) <= 20


def test_a_wide_model_draws_quickly_enough_to_be_used(result: CVResult, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = summarise(result)[0]
    p = 20_000
    coef = rng.normal(size=(len(base.path.alphas), p))
    summary: PenaltySummary = dataclasses.replace(
        base,
        path=dataclasses.replace(base.path, coef=coef),
        feature_names=tuple(f"x{j}" for j in range(p)),
        feature_sd=np.ones(p),
    )
    figure = figures.coefficient_path(summary)
    assert len(figure.axes[0].lines) <= figures.N_DRAWN + 4


def test_pyplot_is_never_imported() -> None:
    code = "import sys, distreg.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
