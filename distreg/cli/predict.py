"""distreg predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distreg.cli.common import Quiet, guard

__all__ = ["predict"]


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Output folder of a run, or a model.")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Parquet or csv: file, folder, glob.")
    ],
    out: Annotated[str, typer.Option(metavar="OUT", help="File to write: .parquet or .csv.")],
    keep: Annotated[
        str | None, typer.Option(metavar="LIST", help="Columns to copy beside the prediction.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Predict the rows of a file, block by block."""
    with guard():
        from distreg.pipeline.predict import predict_file

        columns = [] if keep is None else [name.strip() for name in keep.split(",")]
        n_rows = predict_file(Path(model), data, Path(out), keep=columns)
        if not quiet:
            typer.echo(f"{n_rows:,} predictions in {out}")
