"""Figures of a cross-validation. Nothing here uses pyplot: figures are drawn by Agg alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distreg.report import scorefigures, style
from distreg.report.style import COLOURS, GREY, INK
from distreg.report.summary import PenaltySummary

__all__ = [
    "coefficient_path",
    "comparison",
    "cv_curve",
    "save_figures",
    "sparsity_error",
    "top_coefficients",
]

N_LABELLED = 8
"""Lines with a colour and a name of their own; a reader tells no more apart."""

N_DRAWN = 400
"""Lines drawn at all, the largest ones: more cannot be seen and make slow, heavy pictures."""

N_BARS = 15


def save_figures(summaries: Sequence[PenaltySummary], folder: Path) -> dict[str, Path]:
    """Draw every figure below `folder`.

    Returns
    -------
    dict
        Relative name ("comparison.png", "l1/cv_curve.png") to path. Figures that need a
        cross-validation curve, a sparse path, or classes of test rows, are left out where there
        are none.
    """
    figures: dict[str, Figure] = {}
    several = len(summaries) > 1
    if several and all(s.has_folds for s in summaries):
        figures["comparison"] = comparison(summaries)
    if several and all(scorefigures.has_roc(s) for s in summaries):
        figures["roc"] = scorefigures.rocs(summaries)
    if several and all(scorefigures.has_calibration(s) for s in summaries):
        figures["calibration"] = scorefigures.calibrations(summaries)
    drawn = {f"{name}.png": _save(each, folder / f"{name}.png") for name, each in figures.items()}
    for summary in summaries:
        for name, draw in _own_figures(summary).items():
            file = f"{summary.label}/{name}.png"
            drawn[file] = _save(draw(summary), folder / file)
    return drawn


def _own_figures(summary: PenaltySummary) -> dict[str, Callable[[PenaltySummary], Figure]]:
    """Figures of one penalty."""
    figures: dict[str, Callable[[PenaltySummary], Figure]] = {
        "coefficient_path": coefficient_path,
        "top_coefficients": top_coefficients,
    }
    if summary.has_folds:
        figures["cv_curve"] = cv_curve
    if summary.has_folds and summary.l1_ratio > 0:
        figures["sparsity_error"] = sparsity_error
    if scorefigures.has_roc(summary):
        figures["roc"] = scorefigures.roc
    if scorefigures.has_calibration(summary):
        figures["calibration"] = scorefigures.calibration
    return figures


def coefficient_path(summary: PenaltySummary) -> Figure:
    """Standardised coefficients against alpha; the largest are named, both choices marked."""
    figure = style.new_figure()
    ax = figure.add_subplot()
    alphas = summary.path.alphas
    size = (summary.path.coef * summary.feature_sd).reshape(len(alphas), -1)
    drawn, labelled = _largest_lines(size, summary.index)
    for j in drawn:
        if j not in labelled:
            ax.plot(alphas, size[:, j], color=style.FAINT, linewidth=0.8, zorder=1)
    colours = [COLOURS[k % len(COLOURS)] for k in range(len(labelled))]
    marker = "o" if len(alphas) == 1 else ""
    for j, colour in zip(labelled, colours, strict=True):
        ax.plot(alphas, size[:, j], color=colour, linewidth=1.8, marker=marker, zorder=3)
    ax.axhline(0, color=GREY, linewidth=0.8, zorder=2)
    style.clean_axes(ax)
    style.alpha_axis(ax, alphas)
    ax.margins(y=0.08)
    names = [_line_name(summary, j) for j in labelled]
    if labelled:
        style.end_labels(ax, size[-1, labelled], names, colours)
    style.mark_choices(ax, alphas, summary.index_min, summary.index_1se)
    ax.set_ylabel("coefficient x standard deviation")
    hidden = size.shape[1] - len(labelled)
    others = f"; {hidden} others in grey" if hidden else ""
    style.figure_heading(
        figure,
        f"{summary.title}: coefficients along the path",
        f"named: the largest at the chosen alpha ({summary.rule}) first{others}",
    )
    return figure


def cv_curve(summary: PenaltySummary) -> Figure:
    """Held-out error (deviance) with one standard error, both choices, number of features."""
    figure = style.new_figure()
    ax = figure.add_subplot()
    alphas, mean, se = summary.path.alphas, summary.cv_mean, np.nan_to_num(summary.cv_se)
    ax.fill_between(alphas, mean - se, mean + se, color=COLOURS[0], alpha=0.18, linewidth=0)
    ax.plot(alphas, mean, color=COLOURS[0], linewidth=1.8, marker="o", markersize=2.6)
    style.clean_axes(ax)
    style.alpha_axis(ax, alphas)
    style.mark_choices(ax, alphas, summary.index_min, summary.index_1se)
    for index, face in ((summary.index_min, INK), (summary.index_1se, "white")):
        ax.plot(alphas[index], mean[index], "o", color=INK, markerfacecolor=face, markersize=6)
    ax.set_ylabel(f"held-out {summary.words.axis}")
    _nonzero_axis(ax, summary)
    i = summary.index
    style.figure_heading(
        figure,
        f"{summary.title}: cross-validation",
        f"chosen ({summary.rule}): alpha = {summary.alpha:.4g}, {_features(summary)}, "
        f"{summary.words.error} {mean[i]:.5g} ± {se[i]:.3g} (band: one standard error)",
    )
    return figure


def sparsity_error(summary: PenaltySummary) -> Figure:
    """Held-out error (deviance) against the number of features, along the path."""
    figure = style.new_figure(6.8, 4.6)
    ax = figure.add_subplot()
    _sparsity_line(ax, summary, COLOURS[0])
    count, mean = summary.path.n_nonzero, summary.cv_mean
    same = summary.index_min == summary.index_1se
    marks = [("min and 1se" if same else "min", summary.index_min, INK, (1, 1))]
    if not same:
        marks.append(("1se", summary.index_1se, "white", (-1, 1)))
    for name, index, face, (right, up) in marks:
        ax.plot(
            count[index], mean[index], "o", color=INK, markerfacecolor=face, markersize=7, zorder=5
        )
        ax.annotate(
            f"{name}: {count[index]:,} features, {mean[index]:.5g}",
            (count[index], mean[index]),
            xytext=(10 * right, 26 * up + (16 if name == "1se" else 0)),
            textcoords="offset points",
            fontsize=style.SMALL,
            color=INK,
            ha="left" if count[index] < 0.6 * max(count) else "right",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7},
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
            zorder=6,
        )
    ax.set_xlabel(f"features with a coefficient (of {summary.n_features:,})")
    ax.set_ylabel(f"held-out {summary.words.axis}")
    style.figure_heading(
        figure,
        f"{summary.title}: what each feature buys",
        f"held-out {summary.words.error} with one standard error, from the strongest to the "
        "weakest penalty",
    )
    return figure


def top_coefficients(summary: PenaltySummary) -> Figure:
    """The largest coefficients of the chosen model as bars, signs told by side and colour."""
    top = summary.top[:N_BARS]
    figure = style.new_figure(6.8, 1.5 + 0.27 * max(len(top), 3))
    ax = figure.add_subplot()
    sizes = np.array([t.size for t in top])
    places = np.arange(len(top))
    ax.barh(
        places,
        sizes,
        height=0.66,
        color=[style.POSITIVE if v > 0 else style.NEGATIVE for v in sizes],
    )
    for place, t in zip(places, top, strict=True):
        ax.annotate(
            f"{t.coef:+.3g}", (t.size, place), xytext=(4 if t.size > 0 else -4, 0),
            textcoords="offset points", ha="left" if t.size > 0 else "right", va="center",
            fontsize=style.SMALL, color=INK,
        )  # fmt: skip
    style.clean_axes(ax)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x", color="#ECECEC")
    ax.set_yticks(places)
    ax.set_yticklabels(style.shorten([t.title for t in top], 34), parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    low, high = sizes.min(initial=0.0), sizes.max(initial=0.0 if top else 1.0)
    room = 0.18 * (high - low)
    ax.set_xlim(low - (room if low < 0 else 0.0), high + (room if high > 0 else 0.0))
    ax.axvline(0, color=GREY, linewidth=0.9)
    ax.spines["left"].set_visible(False)
    (change,) = style.shorten([summary.change], 44)
    label = f"change of the {change} for one standard deviation of the feature"
    ax.set_xlabel(label, parse_math=False)
    more = summary.path.n_nonzero[summary.index] - len(top)
    rest = f"; {more:,} smaller ones not shown" if more > 0 else ""
    if not top:
        ax.set_xticks([])
        ax.text(0.5, 0.5, "no feature has a coefficient", transform=ax.transAxes, ha="center")
    style.figure_heading(
        figure,
        f"{summary.title}: largest coefficients",
        f"alpha = {summary.alpha:.4g} ({summary.rule}); numbers: raw coefficients{rest}",
    )
    return figure


def comparison(summaries: Sequence[PenaltySummary]) -> Figure:
    """All penalties together: curves, error (deviance) against features, chosen models."""
    figure = style.new_figure(11.5, 4.9 + 0.22 * max(0, len(summaries) - 4))
    axes = figure.subplots(1, 3, width_ratios=[1.15, 1.15, 1.0])
    colours = {s.label: COLOURS[k % len(COLOURS)] for k, s in enumerate(summaries)}
    _curves_panel(axes[0], summaries, colours)
    _sparsity_panel(axes[1], summaries, colours)
    _chosen_panel(axes[2], summaries, colours)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 6),
        fontsize=style.NORMAL, frameon=False,
    )  # fmt: skip
    return figure


def _curves_panel(ax: Axes, summaries: Sequence[PenaltySummary], colours: dict[str, str]) -> None:
    """CV curves, each on its own grid scaled to its largest alpha."""
    for s in summaries:
        x = s.path.alphas / s.path.alphas[0]
        ax.plot(x, s.cv_mean, color=colours[s.label], linewidth=1.8, label=s.label)
        ax.plot(x[s.index], s.cv_mean[s.index], "o", color=colours[s.label], markersize=6)
    style.clean_axes(ax)
    style.alpha_axis(ax, np.concatenate([s.path.alphas / s.path.alphas[0] for s in summaries]))
    ax.set_xlabel("alpha / largest alpha  (strong to weak)")
    ax.set_ylabel(f"held-out {summaries[0].words.axis}")
    style.heading(ax, "Curves", f"dots: chosen by {summaries[0].rule}")


def _sparsity_panel(ax: Axes, summaries: Sequence[PenaltySummary], colours: dict[str, str]) -> None:
    """Error against the number of features; a dense penalty is one cross."""
    for s in summaries:
        if s.l1_ratio > 0:
            _sparsity_line(ax, s, colours[s.label], band=False)
        ax.plot(
            s.path.n_nonzero[s.index], s.cv_mean[s.index],
            "o" if s.l1_ratio > 0 else "X", color=colours[s.label], markersize=7,
            markeredgecolor="white", zorder=5,
        )  # fmt: skip
    style.clean_axes(ax)
    ax.set_xlabel(f"features with a coefficient (of {summaries[0].n_features:,})")
    style.heading(ax, "Sparsity", "lower left is better")


def _chosen_panel(ax: Axes, summaries: Sequence[PenaltySummary], colours: dict[str, str]) -> None:
    """Error of the chosen models with standard errors, best first."""
    ranked = sorted(summaries, key=lambda s: float(s.cv_mean[s.index]))
    score, factor = ranked[0].words.test
    for place, s in enumerate(ranked):
        mean, se = float(s.cv_mean[s.index]), float(np.nan_to_num(s.cv_se[s.index]))
        ax.errorbar(
            mean, place, xerr=se, fmt="o", color=colours[s.label], markersize=7, capsize=3,
            linewidth=1.6,
        )  # fmt: skip
        if score in s.test:
            ax.plot(factor * float(s.test[score][s.index]), place, "D", color=colours[s.label],
                    markerfacecolor="white", markersize=5.5)  # fmt: skip
        ax.annotate(
            f"{s.label}{' (best)' if s.winner else ''}: {_features(s)}", (0, place),
            xycoords=("axes fraction", "data"), xytext=(2, 11), textcoords="offset points",
            fontsize=style.SMALL, color=INK, fontweight="bold" if s.winner else "normal",
        )  # fmt: skip
    style.clean_axes(ax)
    ax.grid(visible=False, axis="y")
    ax.grid(visible=True, axis="x", color="#ECECEC")
    ax.set_ylim(len(ranked) - 0.5, -0.75)
    ax.set_yticks([])
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(ranked[0].words.axis)
    tested = any(score in s.test for s in ranked)
    style.heading(ax, "Chosen models", "dot: held-out" + (", diamond: test rows" * tested))


def _sparsity_line(ax: Axes, s: PenaltySummary, colour: str, *, band: bool = True) -> None:
    """Error against number of features in the order of the path."""
    count, mean, se = s.path.n_nonzero, s.cv_mean, np.nan_to_num(s.cv_se)
    ax.plot(count, mean, color=colour, linewidth=1.1, alpha=0.6, zorder=2)
    if band:
        ax.errorbar(count, mean, yerr=se, fmt="none", color=colour, alpha=0.3, linewidth=1.4)
    ax.plot(count, mean, "o", color=colour, markersize=3.2 if band else 2.4, zorder=3)
    style.clean_axes(ax)
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))


def _nonzero_axis(ax: Axes, summary: PenaltySummary) -> None:
    """Number of coefficients that are not zero, along the top of the axes."""
    alphas, counts = summary.path.alphas, summary.path.n_nonzero
    picks = np.unique(np.linspace(0, len(alphas) - 1, min(9, len(alphas))).round().astype(int))
    top = ax.secondary_xaxis("top")
    top.set_xticks(alphas[picks], labels=[f"{counts[i]:,}" for i in picks])
    top.set_xticks([], minor=True)
    top.tick_params(labelsize=style.SMALL, length=3, color=GREY, labelcolor=INK)
    top.set_xlabel("features with a coefficient", fontsize=style.SMALL, color=GREY, labelpad=3)
    top.spines["top"].set_visible(False)


def _line_name(summary: PenaltySummary, j: int) -> str:
    """Feature of the j-th line, and its class if there are several lines a feature."""
    of, feature = divmod(j, summary.n_features)
    name = summary.feature_names[feature]
    return name if summary.coef.ndim == 1 else f"{name} ({(summary.classes or ())[of]})"


def _largest_lines(size: np.ndarray, index: int) -> tuple[np.ndarray, list[int]]:
    """Features to draw; and to name, the largest at `index`, then the largest anywhere."""
    anywhere = np.abs(size).max(axis=0)
    drawn = np.argsort(-anywhere, kind="stable")[:N_DRAWN]
    drawn = drawn[anywhere[drawn] > 0]
    here = np.abs(size[index])
    order = np.lexsort((-anywhere, -here))[:N_LABELLED]
    named = [int(j) for j in order if anywhere[j] > 0]
    return drawn, named


def _features(summary: PenaltySummary) -> str:
    count = int(summary.path.n_nonzero[summary.index])
    return f"{count:,} of {summary.n_features:,} features"


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # a feature name in a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, metadata={"Software": None})
    return path
