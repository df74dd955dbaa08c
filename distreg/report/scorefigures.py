"""Figures of the test rows of a class target: ROC curves and calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distreg.glm.scores import Calibration, ClassScores, Roc
from distreg.report import style
from distreg.report.style import COLOURS, FAINT, GREY, INK
from distreg.report.summary import PenaltySummary

__all__ = ["calibration", "calibrations", "has_calibration", "has_roc", "roc", "rocs"]

N_NAMED = 8
"""Classes with a colour and a name of their own."""

GRID = np.linspace(0.0, 1.0, 501)


def has_roc(summary: PenaltySummary) -> bool:
    """True when there are test rows of more than one class."""
    return summary.scores is not None and any(summary.scores.rocs)


def has_calibration(summary: PenaltySummary) -> bool:
    """True when there are probabilities of test rows."""
    chart = None if summary.scores is None else summary.scores.calibration
    return chart is not None and len(chart.weight) > 0


def roc(summary: PenaltySummary) -> Figure:
    """ROC curve of the chosen model; of several classes one for each against the rest."""
    scores = _scores(summary)
    figure = style.new_figure(5.8, 6.0)
    ax = figure.add_subplot()
    _roc_axes(ax)
    only = scores.rocs[0]
    if len(scores.rocs) == 1 and only is not None:
        x, y = only.false_positive, only.true_positive
        ax.fill_between(x, y, x, color=COLOURS[0], alpha=0.13, linewidth=0)
        ax.plot(x, y, color=COLOURS[0], linewidth=2)
        _mark_called(ax, only, summary.class_names[1])
        ax.text(
            0.97, 0.05, f"AUC {only.auc:.3f}", transform=ax.transAxes, ha="right", fontsize=19,
            color=COLOURS[0], fontweight="bold",
        )  # fmt: skip
        subtitle = f"{_sides(summary)}, {_rows(scores)}"
    else:
        _class_curves(ax, summary)
        subtitle = f"each class against the rest, {_rows(scores)}; mean AUC {scores.auc:.3f}"
    style.figure_heading(figure, f"{summary.title}: ROC of the test rows", subtitle)
    return figure


def rocs(summaries: Sequence[PenaltySummary]) -> Figure:
    """ROC curves of all penalties, the winner on top, and their areas."""
    figure = style.new_figure(9.8, 5.6)
    ax, side = figure.subplots(1, 2, width_ratios=[1.45, 1.0])
    _roc_axes(ax)
    for colour, s in _winner_last(summaries):
        x, y = _mean_curve(_scores(s))
        ax.plot(
            x, y, color=colour, linewidth=2.6 if s.winner else 1.1, zorder=4 if s.winner else 3,
            alpha=1.0 if s.winner else 0.85,
        )  # fmt: skip
    several = len(_scores(summaries[0]).rocs) > 1
    style.heading(ax, "ROC", "mean of the classes, each against the rest" if several
                  else _sides(summaries[0]))  # fmt: skip
    _auc_panel(side, summaries)
    style.figure_heading(
        figure,
        "Chosen models on the test rows: how well they rank",
        f"{_rows(_scores(summaries[0]))}; thick: {_winner(summaries).label}, the winner",
    )
    return figure


def calibration(summary: PenaltySummary) -> Figure:
    """Observed shares against predicted probabilities of the chosen model."""
    figure = style.new_figure(5.8, 6.0)
    ax = figure.add_subplot()
    chart = _chart(summary)
    _calibration_axes(ax, [chart], summary)
    _chart_line(ax, chart, COLOURS[0], bold=True)
    style.figure_heading(
        figure,
        f"{summary.title}: calibration on the test rows",
        f"{_rows(_scores(summary))} in bins of equal size; bars: one standard error",
    )
    return figure


def calibrations(summaries: Sequence[PenaltySummary]) -> Figure:
    """Calibration of all penalties, the winner on top."""
    figure = style.new_figure(6.6, 6.4)
    ax = figure.add_subplot()
    _calibration_axes(ax, [_chart(s) for s in summaries], summaries[0])
    for colour, s in _winner_last(summaries):
        _chart_line(ax, _chart(s), colour, bold=s.winner, label=s.label)
    handles, labels = ax.get_legend_handles_labels()
    order = [labels.index(s.label) for s in summaries]
    legend = ax.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="lower right",
        fontsize=style.NORMAL, frameon=False,
    )  # fmt: skip
    for text, s in zip(legend.get_texts(), summaries, strict=True):
        text.set_fontweight("bold" if s.winner else "normal")
    style.figure_heading(
        figure,
        "Chosen models on the test rows: are their probabilities right?",
        f"{_rows(_scores(summaries[0]))} in bins of equal size; bars: one standard error; "
        "bold: the winner",
    )
    return figure


def _roc_axes(ax: Axes) -> None:
    """Unit square with the line of chance."""
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    ax.annotate(
        "chance", (0.72, 0.72), xytext=(5, -5), textcoords="offset points", color=GREY,
        fontsize=style.SMALL, rotation=45, rotation_mode="anchor", va="top", ha="center",
    )  # fmt: skip
    style.clean_axes(ax)
    ax.set_aspect("equal")
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.01)
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")


def _mark_called(ax: Axes, found: Roc, name: str) -> None:
    """The point of the rows that the model calls class 1."""
    x, y = found.called
    (short,) = style.shorten([name], 24)
    ax.plot(x, y, "o", color=INK, markersize=6, zorder=5)
    right = x < 0.6
    ax.annotate(
        f"predicted as {short}:\n{y:.0%} of them, {x:.0%} of the others", (x, y),
        xytext=(14 if right else -14, -8), textcoords="offset points", fontsize=style.SMALL,
        color=INK, ha="left" if right else "right", va="top", zorder=6, parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
    )  # fmt: skip


def _class_curves(ax: Axes, summary: PenaltySummary) -> None:
    """One curve a class; the classes that are told apart worst have names."""
    pairs = zip(summary.class_names, _scores(summary).rocs, strict=True)
    known = sorted(((found, c) for c, found in pairs if found is not None), key=lambda k: k[0].auc)
    for found, _ in known[N_NAMED:]:
        ax.plot(found.false_positive, found.true_positive, color=FAINT, linewidth=0.9, zorder=2)
    for colour, (found, label) in reversed(list(zip(COLOURS, known, strict=False))):
        (name,) = style.shorten([label], 24)
        ax.plot(
            found.false_positive, found.true_positive, color=colour, linewidth=1.8, zorder=3,
            label=f"{found.auc:.3f}  {name}",
        )  # fmt: skip
    title = "AUC" if len(known) <= N_NAMED else f"AUC, the {N_NAMED} lowest of {len(known)}"
    legend = ax.legend(
        loc="lower right", fontsize=style.SMALL, frameon=False, title=title,
        title_fontsize=style.SMALL, alignment="left",
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)


def _auc_panel(ax: Axes, summaries: Sequence[PenaltySummary]) -> None:
    """Area below each curve, best first."""
    colours = {s.label: COLOURS[k % len(COLOURS)] for k, s in enumerate(summaries)}
    ranked = sorted(summaries, key=lambda s: -_scores(s).auc)
    values = np.array([_scores(s).auc for s in ranked])
    room = max(0.35 * float(np.ptp(values)), 0.002)
    low, high = values.min() - room, values.max() + room
    for place, s in enumerate(ranked):
        auc, bold = _scores(s).auc, "bold" if s.winner else "normal"
        ax.plot(auc, place, "o", color=colours[s.label], markersize=9 if s.winner else 6.5)
        name = f"{s.label}{' (winner)' if s.winner else ''}: {auc:.4f}"
        ax.annotate(
            name, (0, place), xycoords=("axes fraction", "data"), xytext=(2, 9),
            textcoords="offset points", fontsize=style.SMALL, color=INK, fontweight=bold,
        )  # fmt: skip
    style.clean_axes(ax)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x", color="#ECECEC")
    ax.set_ylim(len(ranked) - 0.5, -0.75)
    ax.set_xlim(low, high)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("area under the curve")
    style.heading(ax, "AUC", "of the chosen models, best first")


def _calibration_axes(ax: Axes, charts: Sequence[Calibration], s: PenaltySummary) -> None:
    """Square with the line where predictions are right, as large as the points need."""
    ends = [(c.predicted, c.observed - c.se, c.observed + c.se) for c in charts]
    every = np.concatenate([part for end in ends for part in end])
    low, high = max(float(every.min()), 0.0), min(float(every.max()), 1.0)
    # from 0 unless that would waste the picture
    low = 0.0 if low < 0.4 * high else low
    room = 0.04 * (high - low or 1.0)
    low, high = low - room, high + room
    ax.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    style.clean_axes(ax)
    ax.set_aspect("equal")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6))
    top = s.classes is not None and len(s.classes) > 2
    (name,) = style.shorten(["the predicted class" if top else s.class_names[1]], 44)
    ax.set_xlabel(f"predicted probability of {name}", parse_math=False)
    ax.set_ylabel("share of right predictions" if top else "observed share")
    notes = (
        (0.03, 0.97, "left", "top", "right more often" if top else "happens more often"),
        (0.97, 0.24, "right", "bottom", "right less often" if top else "happens less often"),
    )
    for x, y, ha, va, text in notes:
        ax.text(
            x, y, f"{text}\nthan predicted", transform=ax.transAxes, ha=ha, va=va, color=GREY,
            fontsize=style.SMALL,
        )  # fmt: skip


def _chart_line(
    ax: Axes, chart: Calibration, colour: str, *, bold: bool, label: str | None = None
) -> None:
    """Bins of one model."""
    ax.errorbar(
        chart.predicted, chart.observed, yerr=chart.se if bold else None, color=colour, fmt="o-",
        linewidth=1.8 if bold else 1.0, markersize=6 if bold else 3.5, capsize=3,
        alpha=1.0 if bold else 0.8, zorder=5 if bold else 3, label=label,
    )  # fmt: skip


def _winner_last(summaries: Sequence[PenaltySummary]) -> list[tuple[str, PenaltySummary]]:
    """Colours and summaries, the winner's last so that it lies on top."""
    pairs = [(COLOURS[k % len(COLOURS)], s) for k, s in enumerate(summaries)]
    return sorted(pairs, key=lambda pair: pair[1].winner)


def _winner(summaries: Sequence[PenaltySummary]) -> PenaltySummary:
    return next((s for s in summaries if s.winner), summaries[0])


def _scores(summary: PenaltySummary) -> ClassScores:
    assert summary.scores is not None
    return summary.scores


def _chart(summary: PenaltySummary) -> Calibration:
    chart = _scores(summary).calibration
    assert chart is not None
    return chart


def _mean_curve(scores: ClassScores) -> tuple[np.ndarray, np.ndarray]:
    """The curve of two classes, or the mean of those of several."""
    known = [found for found in scores.rocs if found is not None]
    if len(known) == 1:
        return known[0].false_positive, known[0].true_positive
    curves = [np.interp(GRID, found.false_positive, found.true_positive) for found in known]
    return np.append(0.0, GRID), np.append(0.0, np.mean(curves, axis=0))


def _sides(summary: PenaltySummary) -> str:
    other, mine = summary.class_names[:2]
    return " against ".join(style.shorten([mine, other], 24))


def _rows(scores: ClassScores) -> str:
    if scores.n_rows < scores.n_test:
        return f"{scores.n_rows:,} of {scores.n_test:,} test rows"
    return f"{scores.n_rows:,} test rows"
