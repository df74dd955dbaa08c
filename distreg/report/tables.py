"""All that is printed about a cross-validation, as plain data and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from distreg.report.summary import PenaltySummary, winner_of
from distreg.report.words import words_of
from distreg.result import CVResult
from distreg.selection import CURVE_RULES
from distreg.stability import Stability

__all__ = ["coefficient_table", "compare_penalties", "make_report", "path_table"]

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def make_report(
    result: CVResult,
    summaries: Sequence[PenaltySummary],
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that is printed and kept about one cross-validation, JSON-safe.

    Parameters
    ----------
    result : CVResult
    summaries : sequence of PenaltySummary
        As `summarise` makes them from `result`.
    about : mapping, optional
        Further entries (name, data, folds, versions).

    Returns
    -------
    dict
        `penalties`: one entry for each, at its chosen alpha; `winner`; `comparison` of the winner
        with the next best; `certificates`; `cost`; `warnings`; and what `about` holds.
    """
    best = winner_of(summaries)
    report: dict[str, Any] = {
        **(about or {}),
        "loss": result.loss,
        "loss_parameter": result.loss_parameter,
        "classes": result.classes,
        "solver": result.solver,
        "selection": best.rule,
        "score": "mse" if result.loss == "squared" else "deviance",
        "n_samples": result.n_samples,
        "n_test": result.n_test,
        "n_features": len(result.feature_names),
        "n_folds": len(result.fold_weight),
        "null_deviance": result.null_deviance,
        "standardize": result.standardize,
        "fit_intercept": result.fit_intercept,
        "tol": result.tol,
        "kkt_tolerance": result.kkt_tolerance,
        "penalties": [_penalty(summary) for summary in summaries],
        "winner": best.label,
        "comparison": compare_penalties(result, summaries),
        "constant_features": [
            result.feature_names[j] for j in np.flatnonzero(np.asarray(result.feature_sd) == 0)
        ],
        "certificates": _certificates(result),
        "cost": _cost(result),
        "rounds": None if result.rounds is None else result.rounds.columns,
        "n_ranked": None if best.scores is None else best.scores.n_rows,
    }
    report["warnings"] = _warnings(report)
    safe: dict[str, Any] = _safe(report)
    return safe


def compare_penalties(
    result: CVResult, summaries: Sequence[PenaltySummary]
) -> dict[str, Any] | None:
    """How far the winner's smallest held-out error (deviance) is below the next best penalty's.

    Both are taken at their minima, whatever the rule: it is there that a rule compares penalties
    before it trades error for fewer features. The standard error is that of the paired difference:
    both penalties were scored on the same folds, so what makes a fold hard cancels. With fold
    weights u_k and differences d_k,
    ``se = sqrt(sum_k u_k (d_k - mean d)^2 / sum_k u_k / (K - 1))``.

    Returns
    -------
    dict or None
        None with a single penalty, or without folds.
    """
    weight = result.fold_weight
    others = [i for i, summary in enumerate(summaries) if not summary.winner]
    if not others or not len(weight):
        return None
    chosen = [float(s.cv_mean[s.index_min]) for s in summaries]
    first = next(i for i, summary in enumerate(summaries) if summary.winner)
    second = min(others, key=chosen.__getitem__)
    error = result.fold_error
    paired = (
        error[:, second, summaries[second].index_min] - error[:, first, summaries[first].index_min]
    )
    difference = float(np.average(paired, weights=weight))
    spread = float(np.average((paired - difference) ** 2, weights=weight))
    se = math.sqrt(spread / (len(weight) - 1)) if len(weight) > 1 else math.nan
    # below this the spread is rounding of the errors themselves
    known = se > 1e-12 * abs(chosen[first])
    return {
        "next_best": summaries[second].label,
        "difference": difference,
        "difference_se": se,
        "difference_in_se": difference / se if known else None,
        "relative_difference": difference / (chosen[second] or 1.0),
    }


def coefficient_table(
    summaries: Sequence[PenaltySummary], stable: Stability | None = None
) -> Table:
    """Header and rows (feature, one coefficient a penalty); the intercept comes first.

    Of a multinomial model one coefficient for each penalty and class: "l1:setosa". After a
    stability selection the last column holds the features' selection probabilities.
    """
    header = ["feature"]
    for s in summaries:
        several = s.coef.ndim == 2 and s.classes is not None
        header += [f"{s.label}:{name}" for name in s.classes or ()] if several else [s.label]
    intercepts = map(float, np.concatenate([np.atleast_1d(s.intercept) for s in summaries]))
    columns = np.concatenate([np.atleast_2d(s.coef) for s in summaries]).T
    rows: list[tuple[Any, ...]] = [("(intercept)", *intercepts)]
    rows += [
        (name, *map(float, values))
        for name, values in zip(summaries[0].feature_names, columns, strict=True)
    ]
    if stable is not None:
        header.append("selection_probability")
        shares = ("", *map(float, stable.probability))
        rows = [(*row, share) for row, share in zip(rows, shares, strict=True)]
    return tuple(header), rows


def path_table(summaries: Sequence[PenaltySummary]) -> Table:
    """Header and rows: one row for each penalty and alpha, with curve and certificates."""
    rows = []
    header: tuple[str, ...] = ()
    for summary in summaries:
        for step in range(len(summary.path.alphas)):
            at = _at(summary, step)
            scores = {f"test_{score}": value for score, value in at.pop("test").items()}
            row = {
                "penalty": summary.label,
                "step": step,
                **at,
                **scores,
                "selected": " ".join(_marks(summary, step)),
            }
            header = tuple(row)
            rows.append(tuple(row.values()))
    return header, rows


def _choices(summary: PenaltySummary) -> dict[str, int]:
    """Grid index that each rule chooses."""
    return {"min": summary.index_min, "1se": summary.index_1se, **summary.by_criterion}


def _marks(summary: PenaltySummary, step: int) -> list[str]:
    """Rules that choose a step; the held-out errors choose none where there are none."""
    unknown = CURVE_RULES if summary.by_criterion and not summary.has_folds else ()
    return [r for r, index in _choices(summary).items() if index == step and r not in unknown]


def _at(summary: PenaltySummary, step: int) -> dict[str, Any]:
    """Numbers of one penalty at one alpha."""
    path, null = summary.path, summary.path.null_objective
    return {
        "l1_ratio": path.l1_ratio,
        "gamma": path.gamma,
        "alpha": float(path.alphas[step]),
        "cv_mean": float(summary.cv_mean[step]),
        "cv_se": float(summary.cv_se[step]),
        "n_nonzero": int(path.n_nonzero[step]),
        "sparsity": float(summary.sparsity[step]),
        "support_stability": float(summary.stability[step]),
        "objective": float(path.objective[step]),
        "dual_gap": float(path.dual_gap[step]),
        "relative_gap": float(path.dual_gap[step]) / null if null > 0 else 0.0,
        "fold_relative_gap": float(summary.fold_gap[step]),
        "kkt_violation": float(path.kkt_violation[step]),
        **{name: float(values[step]) for name, values in path.information.items()},
        "test": {score: float(values[step]) for score, values in summary.test.items()},
    }


def _penalty(summary: PenaltySummary) -> dict[str, Any]:
    """One penalty at its chosen alpha, with both rules' choices beside it."""
    coef = summary.coef
    return {
        "name": summary.label,
        "index": summary.index,
        "n_alphas": len(summary.path.alphas),
        **_at(summary, summary.index),
        "certified": summary.converged,
        "intercept": summary.intercept.tolist(),
        "l1_norm": float(np.abs(coef).sum()),
        "l2_norm": float(np.linalg.norm(coef)),
        "max_abs_coef": float(np.abs(coef).max(initial=0.0)),
        "choices": {
            rule: {"index": index, **_at(summary, index)}
            for rule, index in _choices(summary).items()
        },
        "top": [
            {"feature": t.name, "coef": t.coef, "size": t.size}
            | ({} if t.of_class is None else {"class": t.of_class})
            for t in summary.top
        ],
        **_ranking(summary),
    }


def _ranking(summary: PenaltySummary) -> dict[str, Any]:
    """What the order of the test rows' predictions says of the chosen model."""
    found, out = summary.scores, {}
    if found is not None and len(found.rocs) > 1:
        named = zip(summary.classes or (), found.rocs, strict=True)
        out["auc_by_class"] = {str(c): None if r is None else r.auc for c, r in named}
    if found is not None and found.calibration is not None:
        out["calibration"] = asdict(found.calibration)
    return out


def _certificates(result: CVResult) -> dict[str, Any]:
    """How many answers were certified, and the worst of them."""
    full = np.array(
        [
            p.dual_gap / p.null_objective if p.null_objective > 0 else p.dual_gap
            for p in result.paths
        ]
    )
    approximate = result.approximate
    gap = full if approximate else np.fmax(full, result.fold_dual_gap)
    above = gap > result.tol
    worst_violation = math.nan
    if np.isfinite(result.kkt_tolerance):
        full_violation = np.array([p.relative_violation for p in result.paths])
        violation = full_violation
        if not approximate:
            violation = np.fmax(full_violation, result.fold_kkt_violation)
        above |= violation > result.kkt_tolerance
        worst_violation = float(violation.max())
    return {
        "n_fits": int(full.size * (1 if approximate else len(result.fold_weight) + 1)),
        "approximate": approximate,
        "worst_fold_violation": float(result.fold_kkt_violation.max()) if approximate else None,
        "worst_relative_gap": float(gap.max()),
        "worst_relative_violation": worst_violation,
        "n_above_tol": int(above.sum()),
        "converged": result.converged,
    }


def _cost(result: CVResult) -> dict[str, Any]:
    """What was spent."""
    cost = result.cost
    return {
        "n_passes": cost.n_passes,
        "n_scans": cost.n_scans,
        "n_block_reads": cost.n_block_reads,
        "bytes_read": cost.bytes_read,
        "pass_seconds": cost.pass_seconds,
        "path_seconds": cost.path_seconds,
        "seconds": cost.pass_seconds + cost.path_seconds,
    }


def _warnings(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the numbers must know."""
    out = []
    n_above, error = report["certificates"]["n_above_tol"], words_of(report["loss"]).error
    if not report["certificates"]["converged"] and report["solver"] == "gram":
        out.append(
            f"{n_above} of the answers have a dual gap above the tolerance {report['tol']:g}: "
            "raise model.tol, or raise the smallest alpha"
        )
    elif not report["certificates"]["converged"]:
        kkt = report["kkt_tolerance"]
        violation = f", KKT violation {kkt:g}" if math.isfinite(kkt) else ""
        out.append(
            f"{n_above} of the answers are above a tolerance (dual gap {report['tol']:g}"
            f"{violation}) after {report['cost']['n_passes']} passes: "
            "raise model.max_passes, or raise the smallest alpha"
        )
    n_ranked = report["n_ranked"]
    if n_ranked is not None and n_ranked < report["n_test"]:
        out.append(
            f"AUC, ROC and calibration are those of {n_ranked:,} of the {report['n_test']:,} test "
            "rows, drawn by row number"
        )
    ends = [
        row["name"]
        for row in report["penalties"]
        if report["n_folds"]
        and row["n_alphas"] > 1
        and row["choices"]["min"]["index"] == row["n_alphas"] - 1
    ]
    if ends:
        out.append(
            f"{', '.join(ends)}: the smallest held-out {error} is at the smallest alpha, so the "
            "minimum may lie beyond: lower model.alpha_min_ratio, or give model.alphas"
        )
    constant = report["constant_features"]
    if constant:
        shown = ", ".join(constant[:5]) + (", ..." if len(constant) > 5 else "")
        one = len(constant) == 1
        subject = "1 constant feature has" if one else f"{len(constant)} constant features have"
        out.append(f"{subject} coefficient 0: {shown}")
    return out


def _safe(value: Any) -> Any:
    """Plain JSON types; numbers that JSON lacks become None."""
    if isinstance(value, Mapping):
        return {str(k): _safe(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _safe(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_safe(v) for v in value]
    if isinstance(value, np.generic):
        return _safe(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
