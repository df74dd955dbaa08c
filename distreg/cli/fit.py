"""distreg fit."""

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

__all__ = ["fit"]

Text = str | None


def fit(  # noqa: PLR0913 - the flags of the command
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data file, folder or glob.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    loss: Annotated[
        Text,
        typer.Option(
            metavar="LOSS",
            help="squared, logistic, multinomial, poisson, squared_hinge, hinge, huber or "
            "quantile (default: squared).",
        ),
    ] = None,
    delta: Annotated[
        Text,
        typer.Option(metavar="NUMBER", help="Where --loss huber becomes linear (default: 1.35)."),
    ] = None,
    quantile: Annotated[
        Text, typer.Option(metavar="NUMBER", help="Which one, for --loss quantile (default: 0.5).")
    ] = None,
    penalty: Annotated[
        Text, typer.Option(metavar="LIST", help="Any of l1,l2,elasticnet (default: all).")
    ] = None,
    l1_ratio: Annotated[
        Text, typer.Option(metavar="LIST", help="L1 shares of the Elastic Net (default: 0.5).")
    ] = None,
    solver: Annotated[
        Text,
        typer.Option(
            metavar="SOLVER",
            help="gram (squared loss), newton, admm or consensus (default: auto: by the loss).",
        ),
    ] = None,
    cv: Annotated[
        Text,
        typer.Option(
            metavar="N", help="Number of folds, 0 for none (default: 5), or approx, approx-10."
        ),
    ] = None,
    test: Annotated[
        Text, typer.Option(metavar="FRACTION", help="Share of the rows kept for a final test.")
    ] = None,
    selection: Annotated[
        Text, typer.Option(metavar="RULE", help="min, 1se, aic, bic or ebic (default: min).")
    ] = None,
    positive: Annotated[
        bool, typer.Option("--positive", help="Keep all coefficients at 0 or above.")
    ] = False,
    numeric: Annotated[Text, typer.Option(metavar="LIST", help="Numeric columns.")] = None,
    categorical: Annotated[Text, typer.Option(metavar="LIST", help="One-hot columns.")] = None,
    exclude: Annotated[Text, typer.Option(metavar="LIST", help="Columns to leave out.")] = None,
    weight: Annotated[Text, typer.Option(metavar="COLUMN", help="Sample weights.")] = None,
    missing: Annotated[
        Text, typer.Option(metavar="POLICY", help="error, mean or drop (default: error).")
    ] = None,
    name: Annotated[Text, typer.Option(help="Name of the run (default: of the data).")] = None,
    scheduler: Scheduler = None,
    output: Output = None,
    tracking_uri: TrackingUri = None,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    settings: Settings = None,
) -> None:
    """Fit a data file without a pipeline file: the same run, from flags."""
    with guard():
        from distreg.pipeline.config import apply_settings, build_config, safe_name
        from distreg.pipeline.document import Document

        document = Document()
        document.set("data.path", data, "DATA")
        document.set("name", name or safe_name(data), "--name")
        single = {
            ("target", "data.target"): target,
            ("loss", "model.loss"): loss,
            ("delta", "model.delta"): delta,
            ("quantile", "model.quantile"): quantile,
            ("solver", "model.solver"): solver,
            ("cv", "model.cv"): cv,
            ("test", "test.fraction"): test,
            ("selection", "model.selection"): selection,
            ("weight", "data.weight"): weight,
            ("missing", "data.missing"): missing,
        }
        lists = {
            ("penalty", "model.penalties"): penalty,
            ("l1-ratio", "model.l1_ratio"): l1_ratio,
            ("numeric", "data.numeric"): numeric,
            ("categorical", "data.categorical"): categorical,
            ("exclude", "data.exclude"): exclude,
        }
        for (flag, key), value in single.items():
            if value is not None:
                document.set(key, value, f"--{flag} {value}")
        if positive:
            document.set("model.positive", True, "--positive")
        for (flag, key), value in lists.items():
            if value is not None:
                items = [item.strip() for item in value.split(",")]
                document.set(key, items, f"--{flag} {value}")
        apply_flags(document, scheduler, output, tracking_uri)
        apply_settings(document, settings or ())
        config = build_config(document)
    execute(config, resume=resume, as_json=as_json, quiet=quiet)
