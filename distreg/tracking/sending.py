"""Sending a journal to MLflow, now or later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distreg.exceptions import InputError
from distreg.tracking.journal import Journal, pending_journals
from distreg.tracking.records import TrackingResult
from distreg.tracking.session import open_session
from distreg.tracking.target import Target, probe, resolve
from distreg.tracking.upload import Uploader, bring_home

__all__ = ["attempt", "send", "sync"]


def sync(output: Path, uri: str | None = None) -> list[TrackingResult]:
    """Upload what is pending in an output folder; a second time it does nothing.

    Parameters
    ----------
    output : Path
        The output folder of one or more runs.
    uri : str, optional
        Needed when the tracking URI holds a password, which the journal does not keep; default:
        where the run was meant to go.
    """
    results = []
    for journal in pending_journals(output):
        bring_home(journal)
        stored = journal.start["uri"]
        if uri is None and "***" in stored:
            raise InputError(
                f"The run in {journal.path} goes to {stored}, whose password is not kept. Give "
                "the tracking URI again."
            )
        target = resolve(uri or stored, output)
        if journal.alive:
            results.append(TrackingResult(True, "the run is still going on", target.shown))
        else:
            results.append(send(journal, target))
    return results


def send(journal: Journal, target: Target) -> TrackingResult:
    """Upload a journal; say what became of it."""
    state: dict[str, Uploader] = {}

    def upload() -> None:
        probe(target)
        with open_session(target) as client:
            state["uploader"] = Uploader(client, target, journal)
            state["uploader"].upload()
        journal.add("synced")

    problem = attempt(target, upload)
    uploader = state.get("uploader")
    run_id = uploader.run_id if uploader else None
    experiment = (uploader.experiment_id if uploader else None) or None
    hint = target.hint
    if target.is_server and run_id and experiment:
        # without the last part MLflow shows the run among language model traces
        hint += f"/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"
    done = f"tracked in {target.shown}"
    later = f"tracking pending: {problem}. Everything is kept in {journal.path}."
    return TrackingResult(
        pending=problem is not None,
        message=done if problem is None else later,
        shown_uri=target.shown,
        experiment_id=experiment,
        run_id=run_id,
        children=uploader.children if uploader else {},
        hint=hint,
    )


def attempt(target: Target, action: Callable[[], None]) -> str | None:
    """Run `action`; what went wrong, without secrets, or None."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - MLflow and its backends raise anything
        text = target.mask(error).strip().splitlines()
        return (text[0] if text else type(error).__name__).rstrip(".")[:500]
    return None
