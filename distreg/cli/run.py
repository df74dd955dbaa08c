"""distreg run."""

from __future__ import annotations

from typing import Annotated

import typer

from distreg.cli.common import (
    Json,
    Output,
    Quiet,
    Resume,
    Scheduler,
    Settings,
    TrackingUri,
    apply_flags,
    execute,
    guard,
)

__all__ = ["run"]


def run(
    file: Annotated[str, typer.Argument(metavar="FILE.yaml", help="Pipeline file.")],
    scheduler: Scheduler = None,
    output: Output = None,
    tracking_uri: TrackingUri = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    settings: Settings = None,
) -> None:
    """Run a pipeline file: fit, cross-validate, compare the penalties, report, track."""
    with guard():
        from distreg.pipeline.config import apply_settings, build_config, open_document

        document = open_document(file)
        apply_flags(document, scheduler, output, tracking_uri)
        apply_settings(document, settings or ())
        config = build_config(document)
    execute(config, resume=resume, as_json=as_json, quiet=quiet)
