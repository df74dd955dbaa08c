"""distreg show."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from distreg.cli.common import Json, guard, print_json

__all__ = ["show"]


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Output folder of a finished run.")],
    as_json: Json = False,
) -> None:
    """Print the report of a finished run again."""
    with guard():
        from distreg.pipeline.output import read_report, reports_must_print

        report = read_report(run)
        if as_json:
            print_json(report)
            return
        from distreg.report.terminal import print_report

        with reports_must_print(run):
            print_report(report, sys.stdout)
