"""distreg plan."""

from __future__ import annotations

from typing import Annotated

import typer

from distreg.cli.common import Json, Output, Scheduler, Settings, apply_flags, guard, print_json

__all__ = ["plan"]


def plan(
    file: Annotated[str, typer.Argument(metavar="FILE.yaml", help="Pipeline file.")],
    scheduler: Scheduler = None,
    output: Output = None,
    as_json: Json = False,
    settings: Settings = None,
) -> None:
    """Say what a run would do: passes, bytes, memory. Refuses what would not fit."""
    with guard():
        from distreg.pipeline.config import apply_settings, build_config, open_document

        document = open_document(file)
        apply_flags(document, scheduler, output, None)
        apply_settings(document, settings or ())
        config = build_config(document)

        from distreg.pipeline.plan import check_fits
        from distreg.pipeline.run import plan_pipeline

        found = plan_pipeline(config)
        if as_json:
            print_json({**found.to_dict(), "fits": found.fits})
        else:
            for line in found.lines():
                typer.echo(line)
        check_fits(found, config)
