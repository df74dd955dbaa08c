"""From a journal to MLflow. Every step may be repeated: nothing is logged twice.

Runs are found again by the tag ``distreg.key``; metrics carry the journal's times, parameters their
first value, files their names; models and versions are found by their run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from distreg.tracking.journal import Journal, fingerprint
from distreg.tracking.target import Target

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Uploader", "bring_home"]

KEY_TAG = "distreg.key"
PER_REQUEST = 1000
PARAMS_PER_REQUEST = 100
LONGEST_PARAM, LONGEST_TAG = 6000, 5000


class Uploader:
    """Uploads one journal, step by step.

    Parameters
    ----------
    client : MlflowClient
        Of the target's tracking server.
    target : Target
    journal : Journal
    """

    def __init__(self, client: MlflowClient, target: Target, journal: Journal) -> None:
        self._client = client
        self._target = target
        self._journal = journal
        self._runs = {e["key"]: e["run_id"] for e in journal.all("run")}
        self.experiment_id = ""

    @property
    def run_id(self) -> str | None:
        """The parent run, once it exists."""
        return self._runs.get(self._journal.key)

    @property
    def children(self) -> dict[str, str]:
        """Child run of each penalty."""
        prefix = f"{self._journal.key}/"
        return {k.removeprefix(prefix): v for k, v in self._runs.items() if k.startswith(prefix)}

    def open(self) -> None:
        """Make the parent run, so that a running fit can be seen."""
        start = self._journal.start
        self.experiment_id = self._experiment(start["experiment"])
        known = self.run_id is not None
        run_id = self._run(self._journal.key, start["name"], start["time"], start["tags"])
        if not known:
            self._log(run_id, {}, {}, start["params"], start["time"])
            self._log_dataset(run_id, start.get("dataset"))

    def upload(self) -> None:
        """Everything in the journal; the terminal status comes last."""
        self.open()
        finish = self._journal.last("finish")
        for place, penalty in enumerate(self._journal.all("penalty")):
            self._upload_penalty(penalty, place)
        if finish is not None:
            self._upload_finish(finish)
        self.close()

    def close(self) -> None:
        """Give the runs the status of the journal's last end."""
        end = self._journal.last("end")
        if end is None or self.run_id is None:
            return
        if end.get("error"):
            self._client.set_tag(self.run_id, "distreg.error", end["error"][:LONGEST_TAG])
        self._client.set_terminated(self.run_id, status=end["status"], end_time=end["time"])

    def _upload_penalty(self, penalty: Mapping[str, Any], place: int) -> None:
        """One child run: its numbers, curves and figures."""
        label, start = penalty["label"], self._journal.start
        key = f"{self._journal.key}/{label}"
        # MLflow lists runs by their start: a millisecond apart keeps the order of the penalties
        run_id = self._run(key, label, start["time"] + place, penalty["tags"])
        params = {**start["params"], **penalty["params"]}
        self._log(run_id, penalty["metrics"], penalty["curves"], params, penalty["time"])
        self._log_dataset(run_id, start.get("dataset"))
        finish = self._journal.last("finish")
        for file in finish["artifacts"] if finish else ():
            if file.get("run") == label:
                self._log_file(run_id, file)
        self._client.set_terminated(run_id, status="FINISHED", end_time=penalty["time"])

    def _upload_finish(self, finish: Mapping[str, Any]) -> None:
        """The parent's share: model, the winner's numbers, files, summary."""
        run_id = self._runs[self._journal.key]
        model_id = self._log_model(run_id, finish)
        for label in (p for p in self._journal.all("penalty") if p["winner"]):
            self._log(
                run_id, label["metrics"], label["curves"], finish["params"], label["time"], model_id
            )
        # None stands for step 0
        curves = {k: [None, *values] for k, values in finish.get("curves", {}).items()}
        self._log(run_id, finish["metrics"], curves, {}, finish["time"])
        for file in finish["artifacts"]:
            if file.get("run") is None:
                self._log_file(run_id, file)
        for key, value in finish["tags"].items():
            self._client.set_tag(run_id, key, self._target.mask(value)[:LONGEST_TAG])

    def _experiment(self, name: str) -> str:
        """Id of the experiment, made when it is new."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                where = self._target.artifact_location
                made: str = self._client.create_experiment(name, artifact_location=where)
                return made
            except MlflowException:
                # another process may have been faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise ValueError(
                f"the experiment {name!r} was deleted in MLflow; restore it or name another"
            )
        return str(found.experiment_id)

    def _run(self, key: str, name: str, started: int, tags: Mapping[str, str]) -> str:
        """Id of the run with this key, made when it is new."""
        if key in self._runs:
            return str(self._runs[key])
        found = self._client.search_runs(
            [self.experiment_id], filter_string=f"tags.`{KEY_TAG}` = '{key}'", max_results=1
        )
        if found:
            run_id = str(found[0].info.run_id)
        else:
            own = {k: self._target.mask(v)[:LONGEST_TAG] for k, v in tags.items()}
            parent = self.run_id
            if parent is not None:
                own["mlflow.parentRunId"] = parent
            run = self._client.create_run(
                self.experiment_id, start_time=started, run_name=name, tags={**own, KEY_TAG: key}
            )
            run_id = str(run.info.run_id)
        self._runs[key] = run_id
        self._journal.add("run", key=key, run_id=run_id)
        return run_id

    def _log(
        self,
        run_id: str,
        metrics: Mapping[str, float | None],
        curves: Mapping[str, list[float | None]],
        params: Mapping[str, Any],
        time: int,
        model_id: str | None = None,
    ) -> None:
        """Numbers, curves and parameters in as few requests as MLflow's limits allow."""
        from mlflow.entities import Metric, Param

        points = [
            Metric(name, value, time, 0, model_id=model_id)
            for name, value in metrics.items()
            if _finite(value)
        ]
        points += [
            Metric(name, value, time, step)
            for name, values in curves.items()
            for step, value in enumerate(values)
            if _finite(value)
        ]
        short, long = self._params(params)
        named = [Param(key, value) for key, value in short.items()]
        first = named[:PARAMS_PER_REQUEST]
        room = PER_REQUEST - len(first)
        if points or first:
            self._client.log_batch(run_id, metrics=points[:room], params=first)
        for at in range(room, len(points), PER_REQUEST):
            self._client.log_batch(run_id, metrics=points[at : at + PER_REQUEST])
        for at in range(PARAMS_PER_REQUEST, len(named), PARAMS_PER_REQUEST):
            self._client.log_batch(run_id, params=named[at : at + PARAMS_PER_REQUEST])
        if long:
            self._client.log_dict(run_id, long, "long_parameters.json")

    def _params(self, params: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Parameters as MLflow takes them, and the whole text of those that it would cut."""
        masked = {clean_key(k): self._target.mask(v) for k, v in params.items() if v is not None}
        long = {k: v for k, v in masked.items() if len(v) > LONGEST_PARAM}
        note = " ... (whole text: long_parameters.json)"
        cut = {k: v[: LONGEST_PARAM - len(note)] + note for k, v in long.items()}
        return masked | cut, long

    def _log_dataset(self, run_id: str, about: Mapping[str, Any] | None) -> None:
        """The data set as an input of the run."""
        if about is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=about["name"][:500],
            digest=about["digest"][:36],
            source_type="local" if "://" not in about["source"] else "uri",
            source=json.dumps({"uri": self._target.mask(about["source"])}),
            profile=json.dumps(about["profile"]),
            schema=json.dumps(about["schema"]) if about.get("schema") else None,
        )
        tag = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])

    def _log_file(self, run_id: str, file: Mapping[str, Any]) -> None:
        """One file of the output folder, if it is still the one that the journal means."""
        path = self._journal.output / file["path"]
        if path.is_file() and fingerprint(path) == file["sha256"]:
            self._client.log_artifact(run_id, str(path), file["to"] or None)

    def _log_model(self, run_id: str, finish: Mapping[str, Any]) -> str | None:
        """The chosen model, logged and registered once."""
        about = finish.get("model")
        if about is None:
            return None
        model_id = self._known_model(run_id)
        path = self._journal.output / about["path"]
        if model_id is None and path.is_dir() and fingerprint(path) == about["sha256"]:
            from distreg import flavor
            from distreg.model import LinearModel

            model = LinearModel.load(path)
            # the example shows what a row looks like; its types need not be the data's
            info = flavor.log_model(
                model,
                name=about["name"],
                run_id=run_id,
                signature=flavor.make_signature(model),
                input_example=_example(self._journal),
            )
            model_id = str(info.model_id)
        if model_id is not None and about.get("register_as"):
            version = self._register(about["register_as"], model_id, run_id)
            self._client.set_tag(run_id, "distreg.registered", f"{about['register_as']}/{version}")
        return model_id

    def _known_model(self, run_id: str) -> str | None:
        """The model that an earlier attempt logged; what it left half done is deleted."""
        from mlflow.entities import LoggedModelStatus

        found = self._client.search_logged_models(
            [self.experiment_id], filter_string=f"source_run_id = '{run_id}'"
        )
        ready = [model.model_id for model in found if model.status == LoggedModelStatus.READY]
        for model in found:
            if model.status != LoggedModelStatus.READY:
                self._client.delete_logged_model(model.model_id)
        return str(ready[0]) if ready else None

    def _register(self, name: str, model_id: str, run_id: str) -> str:
        """A new version of the registered model `name`."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        query = f"name = '{name}' and run_id = '{run_id}'"
        for known in self._client.search_model_versions(query):
            return str(known.version)
        source = f"models:/{model_id}"
        made = self._client.create_model_version(name, source, run_id=run_id, model_id=model_id)
        return str(made.version)


def bring_home(journal: Journal) -> None:
    """Note the end of a run whose process died without a word."""
    if journal.last("end") is None and not journal.alive:
        error = "the process ended without a word (killed?)"
        status = "FINISHED" if journal.last("finish") else "FAILED"
        journal.add("end", status=status, error=None if status == "FINISHED" else error)


def clean_key(key: str) -> str:
    """A name that MLflow accepts."""
    return re.sub(r"[^\w\-. :/]", "_", key, flags=re.ASCII)[:250]


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _example(journal: Journal) -> Any:
    """The rows kept as an input example, or None."""
    path = example_path(journal)
    if not path.is_file():
        return None
    import pandas as pd

    return pd.read_parquet(path)


def example_path(journal: Journal) -> Path:
    """Where the input example of a journal is kept."""
    return journal.path.with_suffix(".example.parquet")
