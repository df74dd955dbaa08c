"""MLflow, imported late and kept quiet: no telemetry, no chatter, no call of many minutes."""

from __future__ import annotations

import fcntl
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distreg.tracking.target import Target

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["open_session"]

# MLflow's own defaults let one call to a dead server wait for 248 seconds (measured).
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
LOCK_SECONDS = 60.0
LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool")


@contextmanager
def open_session(target: Target) -> Iterator[MlflowClient]:
    """A client of `target`; on leaving, environment, loggers and tracking URI are as before.

    What the user has set in the environment stays in force.
    """
    wanted = {k: v for k, v in DEFAULTS.items() if k not in os.environ}
    for name, value in (("USERNAME", target.username), ("PASSWORD", target.password)):
        if value is not None:
            wanted[f"MLFLOW_TRACKING_{name}"] = value
    before = {name: os.environ.get(name) for name in (*wanted, "MLFLOW_TRACKING_URI")}
    os.environ.update(wanted)
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    try:
        with warnings.catch_warnings():
            # deprecations inside MLflow and its packages: nothing that a user could act on
            warnings.simplefilter("ignore")
            import mlflow

            # importing MLflow sets its loggers up anew
            for name in LOGGERS:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            earlier = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
            mlflow.set_tracking_uri(target.uri)
            try:
                with _one_at_a_time(target):
                    client = mlflow.MlflowClient(tracking_uri=target.uri)
                yield client
            finally:
                # None, which the type hint leaves out, means: not set
                mlflow.set_tracking_uri(earlier)  # type: ignore[arg-type]
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


@contextmanager
def _one_at_a_time(target: Target) -> Iterator[None]:
    """Let one process open a SQLite store: eight that make its tables at once ruin it (measured).

    Another process that holds the lock for longer than making the tables takes is not waited for.
    """
    if not target.uri.startswith("sqlite:///"):
        yield
        return
    file = Path(target.uri.removeprefix("sqlite:///"))
    with open(file.with_name(f".{file.name}.lock"), "a") as lock:
        for _ in range(int(LOCK_SECONDS / 0.1)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        # closing the file gives the lock back
        yield
