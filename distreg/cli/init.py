"""distreg init."""

from __future__ import annotations

from typing import Annotated

import typer

from distreg.cli.common import guard

__all__ = ["init"]


def init(
    file: Annotated[
        str, typer.Argument(metavar="[FILE.yaml]", help="Where to write it.")
    ] = "pipeline.yaml",
    data: Annotated[
        str | None, typer.Option(help="Your data file; without it example data are written too.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column to predict.")] = None,
) -> None:
    """Write a commented pipeline file that runs."""
    with guard():
        from distreg.pipeline.example import write_example

        for line in write_example(file, data, target):
            typer.echo(line)
