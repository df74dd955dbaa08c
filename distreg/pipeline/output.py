"""The output folder: checked before the run, written as a whole after it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distreg.exceptions import ConfigError

__all__ = [
    "CHECKPOINT",
    "COEFFICIENTS",
    "FIGURES",
    "LOG",
    "MODEL",
    "PATH",
    "PIPELINE",
    "REPORT",
    "check_output",
    "read_report",
    "replace_folder",
    "reports_must_print",
    "write_csv",
]

CHECKPOINT = "checkpoint"
LOG = "error.log"
TRACKING = "tracking"
REPORT = "report.json"
COEFFICIENTS = "coefficients.csv"
PATH = "path.csv"
PIPELINE = "pipeline.yaml"
MODEL = "model"
FIGURES = "figures"

LEFT = frozenset({CHECKPOINT, LOG, TRACKING})
"""What a run leaves that did not finish."""

WRITTEN = frozenset({REPORT, COEFFICIENTS, PATH, PIPELINE, MODEL, FIGURES})
"""What a finished run writes."""


def check_output(folder: Path) -> None:
    """Make the output folder, and refuse one that is not ours or cannot be written.

    Raises
    ------
    ConfigError
        Says which, and what to give instead.
    """
    hint = "give another folder with --output DIR"
    try:
        if folder.is_dir() and (foreign := _foreign(folder)):
            raise ConfigError(
                f"{folder}: the folder holds other files ({foreign}) and would be replaced; "
                f"move them, or {hint}"
            )
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file, not a folder; {hint}")
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, folder.resolve().parent):
            with tempfile.TemporaryFile(dir=place):
                pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{folder}: cannot be written ({reason}); {hint}") from None


def _foreign(folder: Path) -> str:
    """Names of what no run wrote; empty for a finished run's folder and what a failed run left."""
    names = {entry.name for entry in folder.iterdir()}
    # without a report no run finished here: pipeline.yaml or model are the user's own
    foreign = sorted(names - (LEFT | WRITTEN if REPORT in names else LEFT))
    return ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a new folder beside `folder`, then put it in its place.

    A reader sees the whole old content or the whole new content. The tracking journals, which are
    open for more than one run, move along.
    """
    folder = folder.resolve()
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        fill(new)
        _sync(new)
        if folder.exists():
            os.rename(folder, old)
            if (old / TRACKING).exists():
                os.rename(old / TRACKING, new / TRACKING)
        os.rename(new, folder)
    except BaseException:
        if old.exists() and not folder.exists():
            if (new / TRACKING).exists():
                os.rename(new / TRACKING, old / TRACKING)
            os.rename(old, folder)
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make what was written survive a crash of the machine."""
    for path in [folder, *folder.rglob("*")]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; floats keep all their digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_report(run: str | Path) -> dict[str, Any]:
    """Read the report of a finished run from its folder (or from the report file itself).

    Raises
    ------
    ConfigError
        There is none, or it is not one.
    """
    path = Path(run)
    if path.is_dir():
        path = path / REPORT
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{run}: no finished run here; give the output folder of a run (it holds {REPORT})"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a report ({error})") from None
    if not isinstance(report, dict) or "penalties" not in report or "winner" not in report:
        raise ConfigError(f"{path}: is not the report of a distreg run")
    return report


@contextmanager
def reports_must_print(run: str) -> Iterator[None]:
    """Blame the file, not the program, when a report lacks what is printed.

    Raises
    ------
    ConfigError
        The report was changed, or another version wrote it.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ConfigError(
            f"{run}: the report is not complete ({type(error).__name__}: {error}); "
            "was it written by another version, or changed?"
        ) from None
