"""What a person sees: the final table, and progress on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from distreg.criteria import CRITERIA
from distreg.losses import get_loss
from distreg.report.stable import stability_line
from distreg.report.words import Words, words_of

__all__ = ["ProgressLine", "headline", "print_comparison", "print_report", "size"]

PLAIN_WIDTH = 200
WIDE = 100
MOST_STAGES = 10
"""Lines of progress: the last ones."""
MANY_SCORES = 150
"""Width from which more than two test scores have room beside the rest."""


def make_console(file: TextIO) -> Console:
    """A console with colours and boxes on a terminal, and plain text elsewhere."""
    plain = Console(file=file, highlight=False, soft_wrap=True)
    if plain.is_terminal:
        return Console(file=file, highlight=False)
    return Console(file=file, highlight=False, width=PLAIN_WIDTH, color_system=None, soft_wrap=True)


def print_report(report: Mapping[str, Any], file: TextIO) -> None:
    """Print the report of one run: what was fitted, the table, who wins, the cost."""
    console = make_console(file)
    console.print(Text(_subject(report), style="bold"))
    console.print()
    scores = _test_scores(report["penalties"], _words(report))
    apart = len(scores) > 2 and console.width < MANY_SCORES
    console.print(_table(report, console, [] if apart else scores))
    if apart:
        console.print()
        console.print(_score_table(report, console, scores))
    console.print()
    for line in headline(report):
        console.print(Text(line))
    console.print()
    if report.get("stability") is not None:
        console.print(Text(stability_line(report["stability"])))
    console.print(Text(certificate_line(report)))
    console.print(Text(cost_line(report)))
    for warning in report.get("warnings", ()):
        console.print(Text(f"Note: {warning}", style="yellow"))


def headline(report: Mapping[str, Any]) -> list[str]:
    """Which penalty wins, by how much, with how many features."""
    rows = {row["name"]: row for row in report["penalties"]}
    best = rows[report["winner"]]
    features, words = report["n_features"], _words(report)
    named = "error (MSE)" if words.measure == "MSE" else words.error
    first = (
        f"Best: {best['name']} at alpha = {_number(best['alpha'])}, "
        f"using {best['n_nonzero']:,} of {features:,} features. "
    )
    rule = report["selection"]
    if best["cv_mean"] is None:
        return (
            [f"{first}{rule.upper()} {_number(best.get(rule))}."] if rule in CRITERIA else [first]
        )
    first += f"Held-out {named} {_number(best['cv_mean'])}"
    null = report.get("null_deviance")
    explained = 1.0 - best["cv_mean"] / null if null else None
    first += f", {words.explained} {explained:.3f}." if explained is not None else "."
    return [first, *_margin(report, rows, words.error)]


def _margin(report: Mapping[str, Any], rows: Mapping[str, Any], error: str) -> list[str]:
    """The distance to the next best penalty, in error (deviance) and in standard errors."""
    best, comparison = rows[report["winner"]], report["comparison"]
    least = best["choices"]["min"]
    lines = []
    whose = "That"
    if report["selection"] == "1se":
        lines.append(
            "The table shows each penalty at its 1se choice: the largest alpha within one standard "
            f"error of its smallest {error} (for {best['name']}, {_number(least['cv_mean'])} with "
            f"{least['n_nonzero']:,} features)."
        )
        whose = f"The smallest {error}s decide which penalty is best: that of {best['name']}"
    elif report["selection"] in CRITERIA:
        lines.append(
            f"The table shows each penalty at its smallest {report['selection'].upper()}, and "
            f"{best['name']} has the smallest of all ({_number(best.get(report['selection']))})."
        )
        return lines
    if comparison is None:
        return lines
    other = rows[comparison["next_best"]]
    features = f"{other['choices']['min']['n_nonzero']:,} features"
    difference, ratio = comparison["difference"], comparison["difference_in_se"]
    if difference == 0:
        which = "smallest" if report["selection"] == "1se" else "held-out"
        return [*lines, f"{other['name']} has the same {which} {error} with {features}."]
    far = f"{_number(abs(difference))} ({abs(100 * comparison['relative_difference']):.2g} %"
    if ratio is not None:
        far += f", {abs(ratio):.1f} standard errors of the paired difference"
    tie = ": too close to call" if ratio is not None and abs(ratio) < 1.0 else ""
    return [*lines, f"{whose} is {far}) below that of {other['name']}, which uses {features}{tie}."]


def certificate_line(report: Mapping[str, Any]) -> str:
    """How far every answer is proved to be from its optimum."""
    found = report["certificates"]
    kkt = ""
    if found.get("worst_relative_violation") is not None:
        kkt = (
            f"; the largest KKT violation is {found['worst_relative_violation']:.1g} of the null "
            f"gradient (tolerance {report['kkt_tolerance']:.0e})"
        )
    if found.get("approximate"):
        kkt += (
            ". The cross-validation is approximate: each fold is one Newton step from the answer "
            f"on all rows (largest KKT violation {found['worst_fold_violation']:.1g})"
        )
    if found["converged"]:
        whose = " on all rows" if found.get("approximate") else ""
        return (
            f"All {found['n_fits']:,} fits{whose} are certified: their objectives are within "
            f"{found['worst_relative_gap']:.1g} of the optimum, relative to the null model "
            f"(tolerance {report['tol']:.0e}){kkt}."
        )
    return (
        f"NOT all of the {found['n_fits']:,} fits are certified: the worst dual gap is "
        f"{found['worst_relative_gap']:.1g} of the null objective (tolerance {report['tol']:.0e})"
        f"{kkt}."
    )


def cost_line(report: Mapping[str, Any]) -> str:
    """Passes, scans, bytes and time."""
    cost = report["cost"]
    scans = f" after {_count(cost['n_scans'], 'metadata scan')}" if cost["n_scans"] else ""
    return (
        f"Cost: {_count(cost['n_passes'], 'pass', 'passes')} over the data{scans}, "
        f"{_count(cost['n_block_reads'], 'block')} read ({size(cost['bytes_read'])}), "
        f"{cost['seconds']:.2f} s ({cost['pass_seconds']:.2f} s reading, "
        f"{cost['path_seconds']:.2f} s for all paths)."
    )


def print_comparison(reports: Sequence[tuple[str, Mapping[str, Any]]], file: TextIO) -> None:
    """Print one table of several runs: the winner of each."""
    console = make_console(file)
    table = _make_table(console)
    for heading in ("run", "best"):
        table.add_column(heading)
    scores = list(
        dict.fromkeys(s for _, r in reports for s in _test_scores(r["penalties"], _words(r)))
    )
    measures = {_words(r).measure for _, r in reports}
    held_out = f"held-out {measures.pop() if len(measures) == 1 else 'error'}"
    for heading in ("alpha", held_out, "features", *(f"test {s}" for s in scores)):
        table.add_column(heading, justify="right")
    table.add_column("certified")
    table.add_column("passes", justify="right")
    table.add_column("seconds", justify="right")
    for label, report in reports:
        best = next(row for row in report["penalties"] if row["name"] == report["winner"])
        table.add_row(
            label,
            best["name"],
            _number(best["alpha"]),
            _with_error(best, console),
            f"{best['n_nonzero']:,}/{report['n_features']:,}",
            *(_number(best["test"].get(s)) for s in scores),
            "yes" if best["certified"] else "NO",
            str(report["cost"]["n_passes"]),
            f"{report['cost']['seconds']:.2f}",
        )
    console.print(table)
    digests = {r.get("data", {}).get("digest") for _, r in reports}
    folds = {(r.get("folds"), r["n_folds"]) for _, r in reports}
    if len({_loss(r) for _, r in reports}) > 1:
        console.print(Text("Note: these runs have other losses; their errors are not comparable"))
    elif len(digests) > 1 or len(folds) > 1:
        console.print(
            Text("Note: these runs have other data or other folds; their errors are not comparable")
        )


def size(n_bytes: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n_bytes) < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


class ProgressLine:
    """Progress of passes and paths on standard error: a bar on a terminal, else a few lines.

    Use as a context manager; call it with (stage, done, total).
    """

    def __init__(self, file: TextIO, *, enabled: bool = True) -> None:
        self._console = make_console(file)
        self._enabled = enabled
        self._bar: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._finished: set[str] = set()
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note that `done` of `total` parts of a stage are finished."""
        if not self._enabled:
            return
        if self._bar is not None:
            if stage not in self._tasks:
                if len(self._tasks) >= MOST_STAGES:
                    self._bar.remove_task(self._tasks.pop(next(iter(self._tasks))))
                self._tasks[stage] = self._bar.add_task(stage, total=total)
            self._bar.update(self._tasks[stage], completed=done, total=total)
            return
        now = time.monotonic()
        ended = done >= total and stage not in self._finished
        # a log file gets the end of each stage and a sign of life every ten seconds
        if ended or now - self._last >= 10:
            self._last = now
            self._console.print(Text(f"{stage}: {done} of {total}"))
        if ended:
            self._finished.add(stage)


def _subject(report: Mapping[str, Any]) -> str:
    """What was fitted on what."""
    data = report.get("data", {})
    target = f"{data['target']} from " if data.get("target") else ""
    folds = report.get("folds") or f"{report['n_folds']} folds"
    name = f"{report['name']}: " if report.get("name") else ""
    sizes = f"{report['n_features']:,} features, {report['n_samples']:,} rows, {folds}"
    loss = "" if _loss(report) == "squared" else f", {_loss(report)} loss"
    if report.get("loss_parameter") is not None:
        name_of = get_loss(_loss(report)).parameter_name
        loss += f" ({name_of} {report['loss_parameter']:g})"
    bounds = f", {report['constraints']}" if report.get("constraints") else ""
    return f"{name}{target}{sizes}{loss}{bounds}"


def _loss(report: Mapping[str, Any]) -> str:
    """Name of the loss; reports of old versions do not tell."""
    return str(report.get("loss") or "squared")


def _words(report: Mapping[str, Any]) -> Words:
    return words_of(_loss(report))


def _score_table(report: Mapping[str, Any], console: Console, scores: Sequence[str]) -> Table:
    """Scores on the test rows, where the other table has no room for them."""
    table = _make_table(console)
    table.add_column("  penalty", no_wrap=True)
    for score in scores:
        table.add_column(f"test {score}", justify="right")
    for row in report["penalties"]:
        best = row["name"] == report["winner"]
        values = (_number(row["test"].get(score), 4) for score in scores)
        style = "bold" if best else None
        table.add_row(f"{'*' if best else ' '} {row['name']}", *values, style=style)
    return table


def _table(report: Mapping[str, Any], console: Console, scores: Sequence[str]) -> Table:
    """One row a penalty; the winner is marked."""
    rows = report["penalties"]
    wide = console.width >= WIDE
    table = _make_table(console)
    table.add_column("  penalty", no_wrap=True)
    for heading in ("alpha", f"held-out {_words(report).measure}", "features"):
        table.add_column(heading, justify="right", no_wrap=True)
    if wide:
        table.add_column("stability", justify="right", no_wrap=True)
    table.add_column("certificate", no_wrap=True)
    for score in scores:
        table.add_column(f"test {score}", justify="right", no_wrap=True)
    for row in rows:
        best = row["name"] == report["winner"]
        stability = row["support_stability"]
        table.add_row(
            f"{'*' if best else ' '} {row['name']}",
            _number(row["alpha"], 4),
            _with_error(row, console),
            f"{row['n_nonzero']:,}/{report['n_features']:,}",
            *(["-" if stability is None else f"{stability:.2f}"] if wide else []),
            _certificate(row),
            *(_number(row["test"].get(score), 4) for score in scores),
            style="bold" if best else None,
        )
    return table


def _certificate(row: Mapping[str, Any]) -> str:
    """Relative dual gap of the model and its folds, and whether it is small enough."""
    gaps = [g for g in (row["relative_gap"], row["fold_relative_gap"]) if g is not None]
    worst = f"{max(gaps):.0e}" if gaps else "unknown"
    return f"{worst} {'ok' if row['certified'] else 'ABOVE TOL'}"


def _make_table(console: Console) -> Table:
    """An empty table in the style of the console."""
    return Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        padding=(0, 2 if console.width >= WIDE else 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )


def _with_error(row: Mapping[str, Any], console: Console) -> str:
    """Held-out error with its standard error, both to the digits that the latter leaves."""
    sign = "±" if (console.encoding or "").lower().startswith("utf") else "+-"
    if row["cv_se"] is None:
        return _number(row["cv_mean"])
    return f"{_number(row['cv_mean'])} {sign} {row['cv_se']:.2g}"


def _test_scores(rows: Sequence[Mapping[str, Any]], words: Words) -> list[str]:
    """Names of test scores that are shown."""
    known = {score for row in rows for score in row["test"]}
    return [score for score in words.scores if score in known]


def _number(value: float | None, digits: int = 5) -> str:
    """Some significant digits."""
    return "-" if value is None else f"{value:.{digits}g}"


def _count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
