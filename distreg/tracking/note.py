"""The text that MLflow shows on the page of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distreg.report.summary import PenaltySummary

__all__ = ["describe"]

N_NAMED = 10
NOTED = {"squared": ("r2",)}
"""Test scores in the table, where not all of the loss's."""

SYMBOLS = {"r2": "R²", "d2": "D²", "auc": "AUC", "log_loss": "log loss"}


def describe(best: PenaltySummary, summaries: Sequence[PenaltySummary]) -> str:
    """Markdown: the model of `best`, all penalties side by side, its largest coefficients."""
    i, words = best.index, best.words
    count = int(best.path.n_nonzero[i])
    scores = NOTED.get(best.loss, words.scores)
    shown = [score for score in scores if any(score in s.test for s in summaries)]
    heads = ["penalty", "alpha", f"held-out {words.measure}", "features"]
    heads += [*(f"test {SYMBOLS.get(score, score)}" for score in shown), "dual gap"]
    lines = [
        f"**{best.label}** with alpha = {best.alpha:.4g} (rule: {best.rule}): "
        f"{count:,} of {best.n_features:,} features"
        + (f", held-out {words.measure} {_error(best)}." if best.has_folds else "."),
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
    ]
    for s in summaries:
        test = "".join(f"{s.test[score][s.index]:.4f} | " for score in shown)
        gap = s.path.dual_gap[s.index] / (s.path.null_objective or 1.0)
        certified = "" if s.converged else " (above tolerance)"
        name = f"**{s.label}**" if s.winner else s.label
        lines.append(
            f"| {name} | {s.alpha:.4g} | {_error(s)} | {int(s.path.n_nonzero[s.index]):,} "
            f"| {test}{gap:.1e}{certified} |"
        )
    if best.top:
        lines += [
            "",
            f"Largest coefficients (change of the {best.change} for one standard deviation):",
            "",
            "| feature | per sd | coefficient |",
            "|---|---|---|",
        ]
        for t in best.top[:N_NAMED]:
            name = t.title.replace("|", "\\|").replace("`", "'")
            lines.append(f"| `{name[:80]}` | {t.size:+.4g} | {t.coef:+.4g} |")
    return "\n".join(lines)


def _error(summary: PenaltySummary) -> str:
    """Held-out error and its standard error, both to the two digits that the latter leaves."""
    mean, se = float(summary.cv_mean[summary.index]), float(summary.cv_se[summary.index])
    if not math.isfinite(mean):
        return ""
    if not (math.isfinite(se) and se > 0):
        return f"{mean:.5g}"
    digits = 1 - math.floor(math.log10(se))
    if digits > 6 or mean >= 1e9:
        return f"{mean:.5g} ± {se:.2g}"
    return f"{round(mean, digits):.{max(digits, 0)}f} ± {round(se, digits):.{max(digits, 0)}f}"
