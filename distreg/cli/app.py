"""The list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from distreg import __version__
from distreg.cli.compare import compare
from distreg.cli.fit import fit
from distreg.cli.init import init
from distreg.cli.plan import plan
from distreg.cli.predict import predict
from distreg.cli.run import run
from distreg.cli.show import show
from distreg.cli.sync import sync

__all__ = ["app"]

app = typer.Typer(
    name="distreg",
    help="Cross-validated L1, L2 and Elastic Net regression in few passes over the data.",
    epilog=(
        "Start with: distreg init, then distreg run pipeline.yaml. "
        "Exit codes: 0 done; 1 unexpected failure; 2 bad input; 3 done, but an answer is above its "
        "tolerance; 4 interrupted, go on with --resume; 5 done, tracking pending."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (run, fit, plan, predict, show, compare, init, sync):
    app.command()(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"distreg {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
