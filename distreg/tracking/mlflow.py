"""Tracking of one pipeline run in MLflow: a parent run, and a child for each penalty."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distreg import __version__
from distreg.exceptions import InputError
from distreg.passes import Cost
from distreg.report.summary import PenaltySummary, winner_of
from distreg.tracking.journal import Journal, fingerprint, pending_journals
from distreg.tracking.note import describe
from distreg.tracking.process import cost_metrics, sigterm_interrupts, user_name
from distreg.tracking.records import DatasetInfo, TrackingResult
from distreg.tracking.sending import attempt, send
from distreg.tracking.session import open_session
from distreg.tracking.target import Target, probe, resolve
from distreg.tracking.upload import Uploader, bring_home, example_path

__all__ = ["Tracker"]

FILES = ("report.json", "coefficients.csv", "path.csv", "pipeline.yaml")


class Tracker:
    """Tracks one run.

    Use it as a context manager, in this order::

        with Tracker(uri, "flights", output) as tracker:
            tracker.start("flights", params, dataset)  # InputError: MLflow cannot be used
            result = cross_validate(...)
            summaries = summarise(result, "min")
            ...                                        # write the output folder
            for summary in summaries:
                tracker.record(summary)
            tracked = tracker.finish(result.cost)      # never raises because of MLflow

    Leaving the block by an exception marks the run FAILED, by Ctrl-C or SIGTERM KILLED (within the
    block SIGTERM raises KeyboardInterrupt, unless the program handles it already).

    Nothing that goes wrong with MLflow after `start` is raised: everything is in a journal in the
    output folder first, and `TrackingResult.pending` tells that MLflow does not have all of it.
    The output folder may be replaced by another one between `start` and `finish`.

    Parameters
    ----------
    uri : str or None
        Tracking URI; None: MLFLOW_TRACKING_URI, else ``mlflow.db`` (SQLite) beside `output`.
    experiment : str
        Name of the experiment: the pipeline.
    output : Path
        The output folder.
    command : str
        Shown as the run's source.
    register_as : str, optional
        Name under which the model is registered.
    """

    def __init__(
        self,
        uri: str | None,
        experiment: str,
        output: Path,
        *,
        command: str = "distreg",
        register_as: str | None = None,
    ) -> None:
        self.target: Target = resolve(uri, output)
        self._experiment = experiment
        self._output = output.absolute()
        self._command = command
        self._register_as = register_as
        self._journal: Journal | None = None
        self._summaries: list[PenaltySummary] = []
        self._earlier: list[Journal] = []
        self._restore: Callable[[], None] = lambda: None
        self._experiment_id: str | None = None

    def __enter__(self) -> Self:
        self._restore = sigterm_interrupts()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end(error)
        finally:
            self._restore()

    def probe(self) -> None:
        """Raise InputError unless MLflow can be used. `start` does it too."""
        probe(self.target)

    def start(
        self,
        name: str,
        params: Mapping[str, Any],
        dataset: DatasetInfo | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Begin the parent run, with status RUNNING.

        Parameters
        ----------
        name : str
            Name of the run.
        params : mapping
            Parameters of the parent and of every child; None values are left out.
        dataset : DatasetInfo, optional
        tags : mapping, optional
            Further tags of the parent.

        Raises
        ------
        InputError
            MLflow cannot be used. Nothing was computed yet, so nothing is lost.
        """
        self.probe()
        self._earlier = pending_journals(self._output)
        about = {"distreg_version": __version__, "python_version": platform.python_version()}
        self._journal = Journal.create(
            self._output,
            experiment=self._experiment,
            name=name,
            uri=self.target.shown,
            params=self._masked({**params, **about}),
            tags=self._masked({**self._own_tags(), **(tags or {})}),
            dataset=None if dataset is None else self._masked(dataset.to_dict()),
        )
        problem = attempt(self.target, self._open)
        if problem is not None:
            self._journal.add("end", status="FAILED", error=problem)
            self._journal.add("synced")
            self._journal = None
            raise InputError(
                f"The run cannot be tracked in {self.target.shown}: {problem}. Correct it, give "
                "another tracking URI, or switch tracking off."
            )

    def record(self, summary: PenaltySummary) -> None:
        """Note one penalty: its model, curves and scores. Uploaded by `finish`."""
        tags = {
            "distreg.penalty": summary.label,
            "distreg.selection": summary.rule,
            "distreg.winner": str(summary.winner).lower(),
            "distreg.certified": str(summary.converged).lower(),
            "mlflow.user": user_name(),
            "mlflow.source.name": self._command,
            "mlflow.source.type": "LOCAL",
            "mlflow.note.content": describe(summary, [summary]),
        }
        params = {
            "penalty": summary.label,
            "l1_ratio": summary.l1_ratio,
            "n_alphas": len(summary.path.alphas),
        }
        self._summaries.append(summary)
        self._started().add(
            "penalty",
            label=summary.label,
            winner=summary.winner,
            params=self._masked(params),
            tags=self._masked(tags),
            metrics=summary.metrics(),
            curves=summary.curves(),
        )

    def finish(
        self,
        cost: Cost,
        *,
        input_example: Any = None,
        peak_memory_mb: float | None = None,
        params: Mapping[str, Any] | None = None,
        curves: Mapping[str, Any] | None = None,
    ) -> TrackingResult:
        """Upload everything. Call it when the output folder is complete.

        Takes ``report.json``, ``coefficients.csv``, ``path.csv``, ``pipeline.yaml``, the pictures
        in ``figures/`` (those in ``figures/LABEL/`` belong to that child, the winner's to the
        parent too, unless it has one of that name) and ``model/`` from the output folder; what is
        not there is left out.

        Parameters
        ----------
        cost : Cost
        input_example : DataFrame, optional
            A row or a few, shown with the model. The signature does not take their types: every
            numeric type is let in.
        peak_memory_mb : float, optional
            Default: the peak of this process.
        params : mapping, optional
            Parameters of the parent that were not known at the start.
        curves : mapping, optional
            Metrics of the parent with a value for each step, from step 1.

        Returns
        -------
        TrackingResult
            `pending` is True when MLflow did not take everything; nothing is raised.
        """
        journal = self._started()
        if input_example is not None:
            input_example.to_parquet(example_path(journal), index=False)
        journal.add(
            "finish",
            params=self._masked(params or {}),
            metrics=cost_metrics(cost, peak_memory_mb),
            curves=curves or {},
            artifacts=self._artifacts(),
            model=self._model(),
            tags=self._masked(self._closing_tags()),
        )
        journal.add("end", status="FINISHED", error=None)
        result = send(journal, self.target)
        for earlier in self._earlier:
            bring_home(earlier)
            earlier.restore()
            if not earlier.alive and earlier.start["uri"] == self.target.shown:
                send(earlier, self.target)
        return result

    def _open(self) -> None:
        """The parent run, and the news about runs that died in this folder."""
        with open_session(self.target) as client:
            uploader = Uploader(client, self.target, self._started())
            uploader.open()
            self._experiment_id = uploader.experiment_id

    def _end(self, error: BaseException | None) -> None:
        """Give a run that did not finish its status."""
        journal = self._journal
        if journal is None or journal.synced:
            return
        if error is None:
            if journal.last("end") is not None:
                return
            status, text = "FAILED", "the run ended without a result"
        elif isinstance(error, KeyboardInterrupt):
            status, text = "KILLED", "interrupted"
        else:
            status, text = "FAILED", f"{type(error).__name__}: {error}"
        journal.add("end", status=status, error=self.target.mask(text))
        send(journal, self.target)

    def _started(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("call start() first")
        return self._journal

    def _masked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` without secrets, whatever their depth."""
        return {str(k): self._mask(v) for k, v in values.items()}

    def _mask(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._masked(value)
        if isinstance(value, (list, tuple)):
            return [self._mask(v) for v in value]
        return self.target.mask(value) if isinstance(value, str) else value

    def _own_tags(self) -> dict[str, str]:
        return {
            "mlflow.user": user_name(),
            "mlflow.source.name": self._command,
            "mlflow.source.type": "LOCAL",
            "distreg.version": __version__,
        }

    def _closing_tags(self) -> dict[str, str]:
        """What is known of the parent at the end."""
        if not self._summaries:
            return {}
        best = winner_of(self._summaries)
        return {
            "distreg.winner": best.label,
            "distreg.selection": best.rule,
            "distreg.certified": str(all(s.converged for s in self._summaries)).lower(),
            "mlflow.note.content": describe(best, self._summaries),
        }

    def _artifacts(self) -> list[dict[str, Any]]:
        """Files of the output folder: where they go, and what they hold."""
        pairs: list[tuple[Path, str | None, str]] = [
            (self._output / name, None, "") for name in FILES
        ]
        figures = self._output / "figures"
        labels = {s.label for s in self._summaries}
        winner = winner_of(self._summaries).label if self._summaries else None
        own = {picture.name for picture in figures.glob("*.png")}
        for picture in sorted(figures.rglob("*.png")):
            inside = picture.relative_to(figures)
            label = inside.parts[0] if len(inside.parts) > 1 else None
            if label in labels:
                pairs.append((picture, label, "figures"))
            # a picture of all penalties comes before the winner's of the same name
            if label is None or (label == winner and picture.name not in own):
                pairs.append((picture, None, "figures"))
        return [
            {
                "path": str(path.relative_to(self._output)),
                "run": run,
                "to": to,
                "sha256": fingerprint(path),
            }
            for path, run, to in pairs
            if path.is_file()
        ]

    def _model(self) -> dict[str, Any] | None:
        folder = self._output / "model"
        if not folder.is_dir():
            return None
        name = winner_of(self._summaries).label if self._summaries else "model"
        return {
            "path": "model",
            "name": name.replace(".", "_"),
            "register_as": self._register_as,
            "sha256": fingerprint(folder),
        }
