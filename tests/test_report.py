"""Report: every number agrees with its result, and every sentence with the numbers."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distreg.passes import Cost
from distreg.path import PathResult
from distreg.report.summary import summarise
from distreg.report.tables import coefficient_table, make_report, path_table
from distreg.report.terminal import ProgressLine, headline, print_comparison, print_report, size
from distreg.result import CVResult

N_FOLDS, N_ALPHAS, N_FEATURES = 4, 6, 5


def make_result(seed: int = 0, l1_ratios: tuple[float, ...] = (1.0, 0.0, 0.5)) -> CVResult:
    """A result with consistent arrays and no meaning."""
    rng = np.random.default_rng(seed)
    n = len(l1_ratios)
    alphas = np.geomspace(1.0, 1e-3, N_ALPHAS)
    paths = []
    for ratio in l1_ratios:
        coef = rng.normal(size=(N_ALPHAS, N_FEATURES))
        if ratio > 0:
            coef[0] = 0.0
            coef[1, :3] = 0.0
        coef[:, 2] = 0.0
        paths.append(
            PathResult(
                l1_ratio=ratio,
                alphas=alphas,
                coef=coef,
                intercept=rng.normal(size=N_ALPHAS),
                objective=rng.uniform(1, 2, N_ALPHAS),
                dual_gap=rng.uniform(0, 1e-9, N_ALPHAS),
                kkt_violation=rng.uniform(0, 1e-9, N_ALPHAS),
                n_nonzero=np.count_nonzero(coef, axis=1),
                n_epochs=np.ones(N_ALPHAS, dtype=int),
                null_objective=2.0,
            )
        )
    error = rng.uniform(1.0, 1.2, (N_FOLDS, n, N_ALPHAS))
    error += np.abs(np.arange(N_ALPHAS) - 3.0)
    weight = np.array([10.0, 10.0, 11.0, 12.0])
    mean = np.average(error, axis=0, weights=weight)
    spread = np.average((error - mean) ** 2, axis=0, weights=weight)
    return CVResult(
        paths=tuple(paths),
        cv_mean=mean,
        cv_se=np.sqrt(spread / (N_FOLDS - 1)),
        fold_error=error,
        fold_weight=weight,
        support_stability=rng.uniform(size=(n, N_ALPHAS)),
        fold_dual_gap=rng.uniform(0, 1e-8, (n, N_ALPHAS)),
        n_samples=43,
        n_test=7,
        weight_sum=43.0,
        null_deviance=9.0,
        feature_names=("a", "b", "constant", "d", "e=x"),
        feature_mean=np.zeros(N_FEATURES),
        feature_sd=np.array([1.0, 2.0, 0.0, 1.0, 0.5]),
        fill_values=None,
        standardize=True,
        fit_intercept=True,
        penalty_factor=np.ones(N_FEATURES),
        tol=1e-6,
        cost=Cost(1, 1, 12, 3_400_000, 0.5, 0.25),
        test={"rmse": rng.uniform(1, 2, (n, N_ALPHAS)), "r2": rng.uniform(0, 1, (n, N_ALPHAS))},
    )


def report_of(result: CVResult, rule: str = "min") -> dict[str, Any]:
    about = {"name": "demo", "folds": "4 folds", "data": {"target": "y", "digest": "d1"}}
    return make_report(result, summarise(result, rule), about)


def printed(report: dict[str, Any]) -> str:
    file = io.StringIO()
    print_report(report, file)
    return file.getvalue()


@pytest.mark.parametrize("rule", ["min", "1se"])
@pytest.mark.parametrize("seed", range(5))
def test_numbers_are_those_of_the_chosen_alphas(rule: str, seed: int) -> None:
    result = make_result(seed)
    report = report_of(result, rule)
    for i, row in enumerate(report["penalties"]):
        k, path = row["index"], result.paths[i]
        assert row["alpha"] == path.alphas[k]
        assert row["cv_mean"] == result.cv_mean[i, k]
        assert row["n_nonzero"] == np.count_nonzero(path.coef[k])
        assert row["sparsity"] == pytest.approx(1 - row["n_nonzero"] / N_FEATURES)
        assert row["relative_gap"] == path.dual_gap[k] / 2.0
        assert row["test"]["rmse"] == result.test["rmse"][i, k]
        assert row["choices"]["min"]["cv_mean"] == result.cv_mean[i].min()
        assert row["choices"]["1se"]["alpha"] >= row["choices"]["min"]["alpha"]
        assert row["certified"]
    assert report["constant_features"] == ["constant"]
    assert report["certificates"]["n_fits"] == 3 * N_ALPHAS * (N_FOLDS + 1)
    assert report["cost"]["n_passes"] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", ["min", "1se"])
def test_the_margin_is_the_paired_difference(seed: int, rule: str) -> None:
    result = make_result(seed)
    report = report_of(result, rule)
    names = [row["name"] for row in report["penalties"]]
    first, second = names.index(report["winner"]), names.index(report["comparison"]["next_best"])
    rows = report["penalties"]
    best = [row["choices"]["min"] for row in rows]
    assert best[first]["cv_mean"] == min(at["cv_mean"] for at in best)
    paired = (
        result.fold_error[:, second, best[second]["index"]]
        - result.fold_error[:, first, best[first]["index"]]
    )
    weights = result.fold_weight / result.fold_weight.sum()
    mean = weights @ paired
    se = math.sqrt(weights @ (paired - mean) ** 2 / (N_FOLDS - 1))
    found = report["comparison"]
    assert found["difference"] == pytest.approx(mean)
    assert found["difference_se"] == pytest.approx(se)
    assert found["difference_in_se"] == pytest.approx(mean / se)
    assert found["difference"] == pytest.approx(
        best[second]["cv_mean"] - best[first]["cv_mean"], abs=1e-12
    )


def test_equal_penalties_have_no_margin() -> None:
    result = make_result(l1_ratios=(1.0, 0.5))
    error = result.fold_error.copy()
    error[:, 1] = error[:, 0]
    mean = np.tile(result.cv_mean[:1], (2, 1))
    same = replace(result, fold_error=error, cv_mean=mean)
    report = report_of(same)
    assert report["comparison"]["difference"] == 0.0
    assert report["comparison"]["difference_in_se"] is None
    assert "same held-out error" in printed(report)


def test_a_report_is_json() -> None:
    result = make_result()
    result = replace(result, support_stability=np.full((3, N_ALPHAS), np.nan))
    report = report_of(result)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["penalties"][0]["support_stability"] is None


def test_headline_names_winner_margin_and_features() -> None:
    report = report_of(make_result())
    best = next(row for row in report["penalties"] if row["name"] == report["winner"])
    first, second = headline(report)
    assert first.startswith(f"Best: {report['winner']} at alpha = ")
    assert f"using {best['n_nonzero']} of 5 features" in first
    assert f"{best['cv_mean']:.5g}" in first
    assert f"R2 {1 - best['cv_mean'] / 9.0:.3f}" in first
    assert report["comparison"]["next_best"] in second
    assert f"{abs(report['comparison']['difference_in_se']):.1f} standard errors" in second
    close = abs(report["comparison"]["difference_in_se"]) < 1
    assert ("too close to call" in second) == close


def test_headline_explains_the_1se_rule() -> None:
    report = report_of(make_result(), "1se")
    best = next(row for row in report["penalties"] if row["name"] == report["winner"])
    _, rule, margin = headline(report)
    assert rule.startswith("The table shows each penalty at its 1se choice: the largest alpha")
    assert f"(for {best['name']}, {best['choices']['min']['cv_mean']:.5g} with " in rule
    assert margin.startswith(
        f"The smallest errors decide which penalty is best: that of {best['name']} is "
    )
    assert " below that of " in margin


def test_what_is_printed_off_a_terminal_is_plain() -> None:
    text = printed(report_of(make_result()))
    assert "\x1b" not in text
    assert not set(text) & set("─│┃━╇")
    for word in ("demo: y from 5 features, 43 rows, 4 folds", "certificate"):
        assert word in text
    assert "Cost: 1 pass over the data after 1 metadata scan, 12 blocks read (3.4 MB)" in text
    assert "1 constant feature" in text
    assert all(len(line) < 200 for line in text.splitlines())
    starred = [line for line in text.splitlines() if line.startswith("*")]
    assert len(starred) == 1


def test_an_answer_above_tolerance_is_loud() -> None:
    result = make_result()
    gaps = result.fold_dual_gap.copy()
    gaps[1] = 1e-3
    report = report_of(replace(result, fold_dual_gap=gaps))
    assert not report["certificates"]["converged"]
    assert not report["penalties"][1]["certified"]
    assert report["penalties"][0]["certified"]
    assert report["certificates"]["worst_relative_gap"] == 1e-3
    text = printed(report)
    assert "NOT all" in text
    assert "ABOVE TOL" in text
    assert "model.tol" in text


def test_a_minimum_at_the_end_of_the_grid_is_told() -> None:
    result = make_result()
    mean = result.cv_mean.copy()
    mean[0] = np.arange(N_ALPHAS, 0, -1) + 5.0
    warnings = report_of(replace(result, cv_mean=mean))["warnings"]
    assert any(w.startswith("l1") and "model.alpha_min_ratio" in w for w in warnings)


def test_a_single_penalty_needs_no_margin() -> None:
    report = report_of(make_result(l1_ratios=(0.5,)))
    assert report["comparison"] is None
    assert len(headline(report)) == 1


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_coefficient_table(rule: str) -> None:
    result = make_result()
    summaries = summarise(result, rule)
    header, rows = coefficient_table(summaries)
    assert header == ("feature", "l1", "l2", "elasticnet_0.5")
    assert [row[0] for row in rows] == ["(intercept)", *result.feature_names]
    for i, summary in enumerate(summaries):
        column = [row[i + 1] for row in rows]
        assert column[0] == result.paths[i].intercept[summary.index]
        np.testing.assert_array_equal(column[1:], result.paths[i].coef[summary.index])


def test_path_table() -> None:
    result = make_result()
    header, rows = path_table(summarise(result, "min"))
    assert len(rows) == 3 * N_ALPHAS
    table = {name: [row[j] for row in rows] for j, name in enumerate(header)}
    np.testing.assert_array_equal(table["cv_mean"], result.cv_mean.ravel())
    np.testing.assert_array_equal(table["test_r2"], result.test["r2"].ravel())
    assert table["step"] == [*range(N_ALPHAS)] * 3
    chosen = [k for k, mark in enumerate(table["selected"]) if "min" in mark]
    np.testing.assert_array_equal(np.array(chosen) % N_ALPHAS, result.cv_mean.argmin(axis=1))
    assert sum("1se" in mark for mark in table["selected"]) == 3


def test_comparison_of_runs() -> None:
    reports = [(f"runs/{seed}", report_of(make_result(seed))) for seed in range(3)]
    file = io.StringIO()
    print_comparison(reports, file)
    lines = file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["run", "runs/0", "runs/1", "runs/2"]
    reports[1][1]["data"]["digest"] = "d2"
    print_comparison(reports, file)
    assert "not comparable" in file.getvalue()


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (999, "999 B"), (3.4e6, "3.4 MB"), (2e9, "2 GB"), (5e12, "5 TB")]
)
def test_sizes(n: float, text: str) -> None:
    assert size(n) == text


def test_progress_off_a_terminal_is_one_line_a_stage() -> None:
    file = io.StringIO()
    with ProgressLine(file) as progress:
        for stage in ("pass 1", "path"):
            for done in range(4):
                progress(stage, done, 3)
    assert file.getvalue().splitlines() == ["pass 1: 3 of 3", "path: 3 of 3"]


def test_progress_can_be_silent() -> None:
    file = io.StringIO()
    with ProgressLine(file, enabled=False) as progress:
        progress("pass 1", 3, 3)
    assert file.getvalue() == ""
