"""Report and figures of losses other than the squared one: words, classes, scores of test rows."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from glmresults import CLASSES, NAMES, glm_result, glm_summaries
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from sklearn.metrics import roc_auc_score

from distreg.losses import LOSSES
from distreg.report import figures, scorefigures
from distreg.report.summary import PenaltySummary, summarise, winner_of
from distreg.report.tables import coefficient_table, make_report, path_table
from distreg.report.terminal import make_console, print_comparison, print_report
from distreg.report.words import WORDS, class_name
from distreg.result import CVResult
from distreg.tracking.note import describe

OTHERS = ("logistic", "multinomial", "poisson", "squared_hinge")
CLASS_LOSSES = ("logistic", "multinomial", "squared_hinge")
Made = tuple[CVResult, tuple[PenaltySummary, ...]]


@pytest.fixture(scope="module", params=OTHERS)
def made(request: pytest.FixtureRequest) -> Made:
    return glm_summaries(request.param)


def report_of(made: Made) -> dict[str, Any]:
    return make_report(*made, {"name": "demo", "folds": "4 folds", "data": {"target": "y"}})


def printed(report: dict[str, Any]) -> str:
    file = io.StringIO()
    print_report(report, file)
    return file.getvalue()


def test_every_loss_has_words() -> None:
    assert set(WORDS) == set(LOSSES)
    for name, words in WORDS.items():
        assert words.test[0] in words.scores or name == "squared"


@pytest.mark.parametrize(
    ("label", "name", "with_target"),
    [
        ("spam", "spam", "spam"),
        (1, "class 1", "late = 1"),
        ("1", "class 1", "late = 1"),
        (True, "class True", "late = True"),
    ],
)
def test_names_of_classes(label: Any, name: str, with_target: str) -> None:
    assert class_name(label) == name
    assert class_name(label, "late") == with_target
    result, _ = glm_summaries("logistic")
    classes = ("other", label)
    (summary, *_) = summarise(dataclasses.replace(result, classes=classes), target="late")
    assert summary.change == f"log-odds of {with_target}"
    assert f"log-odds of {with_target}" in texts(figures.top_coefficients(summary))


# --- report ---------------------------------------------------------------------------------------
def test_a_report_speaks_of_deviance(made: Made) -> None:
    report = report_of(made)
    text = printed(report)
    assert (report["loss"], report["score"]) == (made[0].loss, "deviance")
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for wrong in ("MSE", "error", "R2"):
        assert wrong not in text.replace("standard error", "")
    best = next(row for row in report["penalties"] if row["name"] == report["winner"])
    explained = 1 - best["cv_mean"] / report["null_deviance"]
    assert f"Held-out deviance {best['cv_mean']:.5g}, D2 {explained:.3f}." in text
    assert f"rows, 4 folds, {made[0].loss} loss" in text
    assert "Cost: 8 passes over the data after 1 metadata scan" in text
    assert "the largest KKT violation is 3e-07 of the null gradient (tolerance 1e-06)" in text
    header = next(line for line in text.splitlines() if line.startswith("  penalty"))
    assert "held-out deviance" in header
    for score in WORDS[made[0].loss].scores:
        assert f"test {score}" in header
        assert all(score in row["test"] for row in report["penalties"])
    assert all(len(line) < 200 for line in text.splitlines())


def test_a_narrow_terminal_shows_the_test_scores_apart(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distreg.report.terminal.PLAIN_WIDTH", 100)
    file = io.StringIO()
    assert make_console(file).width == 100
    print_report(report_of(made), file)
    heads = [line for line in file.getvalue().splitlines() if line.startswith("  penalty")]
    assert len(heads) == (1 if made[0].loss == "poisson" else 2)
    assert all(len(line) <= 100 for line in heads)
    for score in WORDS[made[0].loss].scores:
        assert f"test {score}" in heads[-1]


@pytest.mark.parametrize("loss", CLASS_LOSSES)
@pytest.mark.parametrize("rule", ["min", "1se"])
def test_auc_is_that_of_the_chosen_model(loss: str, rule: str) -> None:
    result, summaries = glm_summaries(loss, rule)
    _, x, y = glm_result(loss)
    for s, row in zip(summaries, make_report(result, summaries)["penalties"], strict=True):
        eta = x @ np.atleast_2d(s.coef).T + s.intercept
        if loss == "multinomial":
            share = LOSSES[loss].mean(eta)
            wanted = roc_auc_score(y, share, multi_class="ovr", average="macro")
            assert list(row["auc_by_class"]) == list(CLASSES[loss])
            assert np.mean(list(row["auc_by_class"].values())) == pytest.approx(wanted)
        else:
            wanted = roc_auc_score(y, eta[:, 0])
            assert "auc_by_class" not in row
        assert row["test"]["auc"] == pytest.approx(wanted)
        assert s.metrics()["test/auc"] == row["test"]["auc"]
        assert np.isfinite(s.test["auc"]).sum() == 1
        assert row["choices"][rule]["test"]["auc"] == row["test"]["auc"]
        assert ("calibration" in row) == (loss != "squared_hinge")


def test_metrics_of_the_chosen_model(made: Made) -> None:
    result, summaries = made
    for i, s in enumerate(summaries):
        metrics, path = s.metrics(), result.paths[i]
        assert metrics["best/kkt_violation"] == path.kkt_violation[s.index]
        assert metrics["best/l1_norm"] == pytest.approx(np.abs(path.coef[s.index]).sum())
        assert metrics["best/l2_norm"] == pytest.approx(np.sqrt((path.coef[s.index] ** 2).sum()))
        assert {f"test/{score}" for score in WORDS[result.loss].scores} <= set(metrics)


def test_coefficient_table_has_a_column_for_each_class(made: Made) -> None:
    result, summaries = made
    header, rows = coefficient_table(summaries)
    assert [row[0] for row in rows] == ["(intercept)", *NAMES]
    labels = [s.label for s in summaries]
    if result.loss == "multinomial":
        labels = [f"{s.label}:{c}" for s in summaries for c in CLASSES["multinomial"]]
    assert header == ("feature", *labels)
    expected = np.concatenate([np.atleast_2d(s.coef) for s in summaries])
    table = np.array([row[1:] for row in rows])
    np.testing.assert_array_equal(table[1:].T, expected)
    np.testing.assert_array_equal(table[0], np.full(len(labels), -0.4))


def test_largest_coefficients_name_their_class() -> None:
    result, summaries = glm_summaries("multinomial")
    for s, row in zip(summaries, make_report(result, summaries)["penalties"], strict=True):
        size = s.coef * s.feature_sd
        assert len(row["top"]) == (size != 0).any(axis=0).sum()
        for top in row["top"]:
            j = NAMES.index(top["feature"])
            c = CLASSES["multinomial"].index(top["class"])
            assert abs(top["size"]) == np.abs(size[:, j]).max()
            assert top["coef"] == s.coef[c, j]
    note = describe(winner_of(summaries), summaries)
    assert f"{summaries[0].top[0].name} (" in note
    assert "linear predictor of the class" in note


def test_path_table_holds_the_auc_of_the_chosen(made: Made) -> None:
    result, summaries = made
    header, rows = path_table(summaries)
    assert len(rows) == 3 * 20
    assert ("test_auc" in header) == (result.loss in CLASS_LOSSES)
    if "test_auc" in header:
        column = np.array([row[header.index("test_auc")] for row in rows])
        assert np.isfinite(column).sum() == 3


def test_notes_of_a_run(made: Made) -> None:
    result, summaries = made
    note = describe(winner_of(summaries), summaries)
    assert "held-out deviance" in note
    assert "MSE" not in note
    assert ("test AUC" in note) == (result.loss in CLASS_LOSSES)
    widths = {line.count("|") for line in note.split("\n\n")[1].splitlines()}
    assert len(widths) == 1


@pytest.mark.parametrize("where", ["fold", "full"])
def test_a_violation_above_its_tolerance_is_loud(where: str) -> None:
    result, _ = glm_summaries("poisson")
    if where == "fold":
        violation = result.fold_kkt_violation.copy()
        violation[1] = 1e-3
        result = dataclasses.replace(result, fold_kkt_violation=violation)
    else:
        bad = dataclasses.replace(result.paths[1], kkt_violation=np.full(20, 2e-4))
        result = dataclasses.replace(result, paths=(result.paths[0], bad, result.paths[2]))
    report = make_report(result, summarise(result))
    assert not report["certificates"]["converged"]
    assert report["certificates"]["n_above_tol"] == 20
    assert report["certificates"]["worst_relative_violation"] == pytest.approx(1e-3)
    assert [row["certified"] for row in report["penalties"]] == [True, False, True]
    text = printed(report)
    for words in ("NOT all", "ABOVE TOL", "model.max_passes", "8 passes"):
        assert words in text


def test_thinned_test_rows_are_told() -> None:
    result, summaries = glm_summaries("logistic")
    assert summaries[0].scores is not None
    thinned = tuple(
        dataclasses.replace(s, scores=dataclasses.replace(s.scores, n_rows=100))
        for s in summaries
        if s.scores
    )
    warnings = make_report(result, thinned)["warnings"]
    assert any("are those of 100 of the 400 test rows" in line for line in warnings)
    assert not any("test rows" in line for line in make_report(result, summaries)["warnings"])


def test_runs_of_other_losses_are_not_compared() -> None:
    reports = [(loss, report_of(glm_summaries(loss))) for loss in ("logistic", "poisson")]
    file = io.StringIO()
    print_comparison(reports, file)
    text = file.getvalue()
    assert "other losses" in text
    assert "held-out deviance" in text
    assert "test auc" in text
    print_comparison(reports[:1] * 2, file := io.StringIO())
    assert "comparable" not in file.getvalue()


# --- figures --------------------------------------------------------------------------------------
def test_every_figure_is_written(made: Made, tmp_path: Path) -> None:
    drawn, loss = figures.save_figures(made[1], tmp_path), made[0].loss
    kinds = {"coefficient_path", "cv_curve", "sparsity_error", "top_coefficients"}
    kinds |= {"roc"} if loss in CLASS_LOSSES else set()
    kinds |= {"calibration"} if loss in ("logistic", "multinomial") else set()
    expected = {f"{s.label}/{kind}.png" for s in made[1] for kind in kinds}
    expected |= {f"{kind}.png" for kind in {"comparison", *(kinds & {"roc", "calibration"})}}
    assert set(drawn) == expected - {"l2/sparsity_error.png"}
    for path in drawn.values():
        pixels = imread(path)
        assert pixels.shape[0] > 300
        assert pixels.shape[1] > 800
        assert pixels[..., :3].std() > 0.02, "the picture is blank"


def texts(figure: Figure) -> str:
    """All that is written in a figure."""
    FigureCanvasAgg(figure).draw()
    found = [t.get_text() for t in figure.texts]
    for ax in figure.axes:
        found += [ax.get_xlabel(), ax.get_ylabel(), *(t.get_text() for t in ax.texts)]
        found += [t.get_text() for t in (ax.get_legend().get_texts() if ax.get_legend() else ())]
    return "\n".join(found)


def test_figures_speak_of_deviance(made: Made) -> None:
    for figure in (figures.cv_curve(made[1][0]), figures.comparison(made[1]),
                   figures.sparsity_error(made[1][0])):  # fmt: skip
        said = texts(figure)
        assert "held-out deviance" in said
        assert "MSE" not in said
        assert "error" not in said.replace("standard error", "")


def test_roc_names_the_winner_and_every_area() -> None:
    _, summaries = glm_summaries("logistic")
    said = texts(scorefigures.rocs(summaries))
    best = winner_of(summaries)
    assert f"{best.label} (winner)" in said
    for s in summaries:
        assert s.scores is not None
        assert f"{s.scores.auc:.4f}" in said
    own = texts(scorefigures.roc(best))
    assert best.scores is not None
    assert f"AUC {best.scores.auc:.3f}" in own
    assert "late against on time" in own
    assert "400 test rows" in own


@pytest.mark.parametrize("loss", ["logistic", "multinomial"])
def test_any_class_can_be_drawn(loss: str, tmp_path: Path) -> None:
    result, summaries = glm_summaries(loss, l1_ratios=(1.0, 0.0))
    labels = ("$\\frac{1}{2}$ 100%", "x" * 300, "特徴")[: len(result.classes or ())]
    odd = tuple(dataclasses.replace(s, classes=labels) for s in summaries)
    for path in figures.save_figures(odd, tmp_path).values():
        assert imread(path).shape[1] < 1800, "a long name must not stretch the figure"


def test_many_classes_are_not_all_named() -> None:
    _, (summary, *_) = glm_summaries("multinomial")
    assert summary.scores is not None
    many = dataclasses.replace(
        summary,
        classes=tuple(range(30)),
        scores=dataclasses.replace(summary.scores, rocs=summary.scores.rocs * 10),
    )
    figure = scorefigures.roc(many)
    assert "class 0" in texts(figure)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == scorefigures.N_NAMED


def test_rare_events_fill_the_calibration_figure() -> None:
    _, (summary, *_) = glm_summaries("logistic")
    assert summary.scores is not None
    chart = summary.scores.calibration
    assert chart is not None
    rare = dataclasses.replace(
        chart, **{k: getattr(chart, k) / 100 for k in ("predicted", "observed", "se")}
    )
    figure = scorefigures.calibration(
        dataclasses.replace(summary, scores=dataclasses.replace(summary.scores, calibration=rare))
    )
    assert figure.axes[0].get_xlim()[1] < 0.02


def test_one_class_among_the_test_rows_has_no_figure(tmp_path: Path) -> None:
    _, summaries = glm_summaries("logistic", l1_ratios=(0.0,))
    alone = tuple(
        dataclasses.replace(s, scores=dataclasses.replace(s.scores, rocs=(None,), auc=np.nan))
        for s in summaries
        if s.scores
    )
    names = figures.save_figures(alone, tmp_path)
    assert not any(name.endswith("roc.png") for name in names)
    assert "l2/calibration.png" in names
