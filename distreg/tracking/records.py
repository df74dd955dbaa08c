"""What goes into a tracked run, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DatasetInfo", "TrackingResult"]

MANY_COLUMNS = 1000


@dataclass(frozen=True)
class DatasetInfo:
    """The data set, as an input of the runs.

    Attributes
    ----------
    name, digest : str
        MLflow shows the first 36 characters of the digest.
    source : str
        Path or URI; passwords are masked.
    n_rows, n_features : int
        Sizes.
    target : str or None
        Name of the target column.
    columns : mapping from str to str
        MLflow type of each column ("double", "string", ...); may be empty.
    """

    name: str
    digest: str
    source: str
    n_rows: int
    n_features: int
    target: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The journal's form."""
        schema = None
        if 0 < len(self.columns) <= MANY_COLUMNS:
            specs = [{"type": t, "name": n, "required": True} for n, t in self.columns.items()]
            schema = {"mlflow_colspec": specs}
        profile = {
            "num_rows": self.n_rows, "num_features": self.n_features, "target": self.target
        }  # fmt: skip
        about = {"name": self.name, "digest": self.digest, "source": self.source}
        return {**about, "profile": profile, "schema": schema}


@dataclass(frozen=True)
class TrackingResult:
    """What became of the tracking.

    Attributes
    ----------
    pending : bool
        True when MLflow does not have everything: exit code 5; `sync` uploads the rest.
    message : str
        One line for people; for a pending result, why.
    shown_uri : str
        The tracking URI without secrets.
    experiment_id, run_id : str or None
        The parent run.
    children : mapping from str to str
        Run id of each penalty.
    hint : str
        Where to look: a link to the run, or the command that shows it.
    """

    pending: bool
    message: str
    shown_uri: str
    experiment_id: str | None = None
    run_id: str | None = None
    children: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""
