"""What the commands share: flags, exit codes, and what happens when something goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from distreg.exceptions import InputError
from distreg.secrets import mask

if TYPE_CHECKING:
    from distreg.pipeline.config import PipelineConfig
    from distreg.pipeline.document import Document

__all__ = [
    "Json",
    "Output",
    "Quiet",
    "Resume",
    "Scheduler",
    "Settings",
    "TrackingUri",
    "apply_flags",
    "execute",
    "guard",
]

FAILED, BAD_INPUT, INTERRUPTED, TRACKING_PENDING = 1, 2, 4, 5

Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler to run on, tcp://HOST:PORT.")
]
Output = Annotated[str | None, typer.Option("--output", "-o", metavar="DIR", help="Output folder.")]
TrackingUri = Annotated[
    str | None, typer.Option(metavar="URI", help="MLflow tracking URI, or 'none' for no tracking.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run of this pipeline stopped.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set any key of the file: --set model.cv=10. Repeatable."
    ),
]


def apply_flags(
    document: Document, scheduler: str | None, output: str | None, tracking_uri: str | None
) -> None:
    """Put the common flags into the document."""
    if scheduler is not None:
        known = document.data.get("cluster")
        kept = (
            {"timeout": known["timeout"]} if isinstance(known, dict) and "timeout" in known else {}
        )
        value = {"kind": "scheduler", "address": scheduler, **kept}
        document.set("cluster", value, f"--scheduler {scheduler}")
    if output is not None:
        document.set("output.dir", output, f"--output {output}")
    if tracking_uri == "none":
        document.set("tracking.enabled", False, "--tracking-uri none")
    elif tracking_uri is not None:
        document.set("tracking.enabled", True, "--tracking-uri")
        document.set("tracking.uri", tracking_uri, "--tracking-uri")


def execute(config: PipelineConfig, *, resume: bool, as_json: bool, quiet: bool) -> NoReturn:
    """Run a pipeline and print its report; leave with its exit code."""
    with guard(config.output_dir, resume_hint=True):
        from distreg.pipeline.run import run_pipeline
        from distreg.report.terminal import ProgressLine, print_report

        def note(line: str) -> None:
            if not quiet:
                typer.echo(line, err=True)

        with ProgressLine(sys.stderr, enabled=not quiet) as progress:
            outcome = run_pipeline(config, progress=progress, resume=resume, note=note)
        if as_json:
            print_json({**outcome.report, "exit_code": outcome.status})
        else:
            print_report(outcome.report, sys.stdout)
            typer.echo(f"Results: {outcome.folder}")
            if outcome.tracked is not None and not outcome.tracked.pending:
                typer.echo(f"MLflow: {outcome.tracked.hint}")
        if outcome.tracked is not None and outcome.tracked.pending:
            _complain(f"{outcome.tracked.message} Later: distreg sync {outcome.folder}")
    raise typer.Exit(outcome.status)


def print_json(value: object) -> None:
    """Print JSON on standard output."""
    import json

    typer.echo(json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False))


class _Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


@contextmanager
def guard(folder: Path | None = None, *, resume_hint: bool = False) -> Iterator[None]:
    """Turn what can go wrong into one message and an exit code.

    Parameters
    ----------
    folder : Path, optional
        Where the traceback of an unexpected failure is kept; else a temporary file.
    resume_hint : bool
        Say how to go on after an interruption.
    """

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except typer.Exit:
        raise
    except InputError as error:
        _complain(str(error))
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt as stop:
        why = "terminated" if isinstance(stop, _Terminated) else "interrupted"
        hint = "; go on with the same command and --resume" if resume_hint else ""
        _complain(f"{why}{hint}")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # the reader of our output has seen enough; keep the interpreter from complaining too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except Exception as error:  # noqa: BLE001 - the last resort of the command line
        log = _write_log(folder)
        reason = " ".join(mask(error).split())[:300] or "no message"
        _complain(f"unexpected failure ({type(error).__name__}: {reason}). Traceback: {log}")
        raise typer.Exit(FAILED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(message: str) -> None:
    """Print an error on standard error."""
    typer.echo(f"distreg: {message}", err=True)


def _write_log(folder: Path | None) -> str:
    """Keep the traceback; returns where."""
    text = mask(traceback.format_exc())
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "error.log"
            path.write_text(text, encoding="utf-8")
        except OSError:
            pass
        else:
            return str(path)
    with tempfile.NamedTemporaryFile(
        "w", prefix="distreg-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return file.name
