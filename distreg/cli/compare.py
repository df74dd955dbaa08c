"""distreg compare."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from distreg.cli.common import Json, guard, print_json

__all__ = ["compare"]


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Output folders.")],
    as_json: Json = False,
) -> None:
    """Print one table of several finished runs."""
    with guard():
        from distreg.pipeline.output import read_report, reports_must_print

        reports = [(run, read_report(run)) for run in runs]
        if as_json:
            print_json(dict(reports))
            return
        from distreg.report.terminal import print_comparison

        with reports_must_print(", ".join(runs)):
            print_comparison(reports, sys.stdout)
