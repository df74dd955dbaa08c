"""distreg sync."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distreg.cli.common import TRACKING_PENDING, TrackingUri, guard

__all__ = ["sync"]


def sync(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Output folder of a run.")],
    tracking_uri: TrackingUri = None,
) -> None:
    """Send to MLflow what could not be sent when the run ended."""
    with guard():
        from distreg.exceptions import ConfigError
        from distreg.tracking import sync as send

        if not Path(run).is_dir():
            raise ConfigError(f"{run}: no such folder; give the output folder of a run")
        results = send(Path(run), tracking_uri)
        for result in results:
            typer.echo(result.message, err=result.pending)
        if not results:
            typer.echo("nothing is pending")
        if any(result.pending for result in results):
            raise typer.Exit(TRACKING_PENDING)
