"""What the figures share: colours that colour-blind readers can tell apart, axes, labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import blended_transform_factory

__all__ = [
    "COLOURS", "FAINT", "GREY", "INK", "NEGATIVE", "NORMAL", "POSITIVE", "SMALL", "alpha_axis",
    "clean_axes", "end_labels", "figure_heading", "heading", "mark_choices", "new_figure",
    "shorten", "spread",
]  # fmt: skip

# Okabe and Ito (2008) without its yellow, which is lost on white, and two of Tol's dark colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#332288")
POSITIVE, NEGATIVE = "#0072B2", "#D55E00"
INK, GREY, FAINT = "#222222", "#767676", "#C8C8C8"
SMALL, NORMAL, LARGE = 8.5, 9.5, 12.5


def new_figure(width: float = 7.6, height: float = 4.8) -> Figure:
    """An empty figure that belongs to no window and no global state."""
    return Figure(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")


def clean_axes(ax: Axes) -> None:
    """Light axes: no box, a faint grid behind the data."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.grid(visible=True, axis="y", color="#ECECEC", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=SMALL, length=3, color=GREY)
    ax.xaxis.label.set(size=NORMAL, color=INK)
    ax.yaxis.label.set(size=NORMAL, color=INK)


def heading(ax: Axes, title: str, subtitle: str) -> None:
    """Title of one panel with a quieter line below it, both at the left edge of the axes."""
    ax.set_title(title, loc="left", fontsize=LARGE, color=INK, fontweight="bold", pad=21)
    ax.annotate(
        subtitle, (0, 1), xytext=(0, 8), xycoords="axes fraction", fontsize=NORMAL,
        textcoords="offset points", color=GREY, va="bottom", parse_math=False,
    )  # fmt: skip


def figure_heading(figure: Figure, title: str, subtitle: str) -> None:
    """Title of a whole figure with a quieter line below it, at the left edge of the figure."""
    height = figure.get_size_inches()[1] * 72
    left = 0.012
    figure.text(left, 1 - 8 / height, title, fontsize=LARGE, color=INK, fontweight="bold", va="top")
    figure.text(
        left, 1 - 26 / height, subtitle, fontsize=NORMAL, color=GREY, va="top", parse_math=False
    )
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - 44 / height)))


def alpha_axis(ax: Axes, alphas: np.ndarray) -> None:
    """Alpha on a logarithmic axis, strong penalties left."""
    ax.set_xscale("log")
    low, high = float(np.min(alphas)), float(np.max(alphas))
    if low == high:
        low, high = low / 2, high * 2
    ax.set_xlim(high * (high / low) ** 0.02, low)
    ax.xaxis.set_major_locator(LogLocator(base=10, numticks=8))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if high / low > 900:
        ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("penalty strength alpha  (strong to weak)")


def mark_choices(ax: Axes, alphas: np.ndarray, index_min: int, index_1se: int) -> None:
    """Vertical lines at the alphas of both selection rules, named at the top of the axes."""
    if index_min == index_1se:
        marks: list[tuple[str, int, str, Any]] = [("min and 1se", index_min, "right", "-")]
    else:
        marks = [("1se", index_1se, "right", (0, (4, 2))), ("min", index_min, "left", "-")]
    inside = blended_transform_factory(ax.transData, ax.transAxes)
    for name, index, side, style in marks:
        alpha = float(alphas[index])
        ax.axvline(alpha, color=INK, linewidth=1.1, linestyle=style, zorder=1.5)
        here = float(ax.transAxes.inverted().transform(ax.transData.transform((alpha, 0)))[0])
        row = 0
        # a label that would leave the axes goes to the other side of its line, one row down
        if side == "right" and here < 0.12:
            side, row = "left", 1
        elif side == "left" and here > 0.9:
            side, row = "right", 1
        ax.annotate(
            name, (alpha, 1), xycoords=inside, xytext=(4 if side == "left" else -4, -3 - 14 * row),
            textcoords="offset points", ha=side, va="top", fontsize=SMALL, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}, zorder=5,
        )  # fmt: skip


def end_labels(ax: Axes, heights: np.ndarray, names: Sequence[str], colours: Sequence[str]) -> None:
    """Name lines at their right ends, moved apart so that no two labels overlap."""
    low, high = ax.get_ylim()
    inches = ax.figure.bbox.height / ax.figure.dpi * 0.72
    gap = (SMALL * 1.25 / 72) / inches
    here = (np.asarray(heights, dtype=float) - low) / (high - low)
    for y, place, name, colour in zip(
        here, spread(here, gap), shorten(names), colours, strict=True
    ):
        ax.annotate(
            name, (1, y), xycoords="axes fraction", xytext=(1.035, place),
            textcoords="axes fraction", color=colour, fontsize=SMALL, va="center", ha="left",
            annotation_clip=False, parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1,
                        "shrinkB": 0, "alpha": 0.8},
        )  # fmt: skip


def spread(places: np.ndarray, gap: float) -> np.ndarray:
    """Move `places` as little as a few sweeps can so that any two are `gap` apart.

    Neighbours that overlap form a cluster; a cluster is centred on the mean of its members'
    wishes, and merges with the next one when they meet (isotonic regression by pooling).
    """
    order = np.argsort(places, kind="stable")
    clusters: list[list[float]] = []
    for wish in np.asarray(places, dtype=float)[order]:
        clusters.append([wish, 1.0])
        while len(clusters) > 1:
            (a, n), (b, m) = clusters[-2], clusters[-1]
            if b - a >= gap * (n + m) / 2:
                break
            clusters[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    found = np.concatenate([c + gap * (np.arange(n) - (n - 1) / 2) for c, n in clusters])
    out = np.empty_like(found)
    out[order] = found
    return out


def shorten(names: Sequence[str], limit: int = 28) -> list[str]:
    """Names that fit beside a figure, and stay different when they were, if that can be.

    The middle gives way first; if that makes two names equal, the tail, the head, or the beginning
    that all have in common.
    """
    common = _common_prefix([n for n in names if len(n) > limit])

    def cut(head: int) -> list[str]:
        tail = limit - head - 1
        return [n if len(n) <= limit else f"{n[:head]}…{n[len(n) - tail :]}" for n in names]

    from_there = [n if len(n) <= limit else f"…{n[common - 1 :][: limit - 1]}" for n in names]
    candidates = [cut(limit // 2), cut(limit - 4), cut(4), from_there if common else cut(4)]
    return next((c for c in candidates if len(set(c)) == len(set(names))), candidates[0])


def _common_prefix(names: Sequence[str]) -> int:
    """Length of the beginning that all names share."""
    if not names:
        return 0
    first, last = min(names), max(names)
    pairs = zip(first, last, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
