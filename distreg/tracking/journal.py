"""The local journal of a run: everything to be tracked is on disk before MLflow hears of it.

One JSON object a line, in ``OUTPUT/tracking/KEY.jsonl``. Uploading reads nothing else but the
files of the output folder that the journal names, so it can be done, or repeated, at any time.

Events: ``start`` (name, parameters, data set), ``run`` (an MLflow run was made), ``penalty``
(numbers and curves of one penalty), ``finish`` (files, model, cost), ``end`` (status; the last one
counts), ``synced`` (all of it is in MLflow).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distreg.exceptions import DataError

__all__ = ["Journal", "fingerprint", "now", "pending_journals"]

VERSION = 1
FOLDER = "tracking"


@dataclass
class Journal:
    """The events of one run, in memory and on disk."""

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def create(cls, output: Path, **start: Any) -> Journal:
        """Begin the journal of a new run in the output folder."""
        key = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"
        folder = output / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        journal = cls(folder / f"{key}.jsonl")
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        journal.add("start", version=VERSION, key=key, **owner, **start)
        return journal

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal; a last line that was cut off by a crash does not count."""
        events = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                break
            if isinstance(event, dict):
                events.append(event)
        if not events or events[0].get("event") != "start" or events[0].get("version") != VERSION:
            raise DataError(f"{path} is not a tracking journal that this distreg can read.")
        return cls(path, events)

    @property
    def output(self) -> Path:
        """The output folder."""
        return self.path.parent.parent

    @property
    def start(self) -> dict[str, Any]:
        """The first event."""
        return self.events[0]

    @property
    def key(self) -> str:
        """What tells this run from all others, in MLflow too."""
        return str(self.start["key"])

    def all(self, event: str) -> list[dict[str, Any]]:
        """Events of one kind, in order."""
        return [e for e in self.events if e.get("event") == event]

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of one kind."""
        found = self.all(event)
        return found[-1] if found else None

    @property
    def synced(self) -> bool:
        """True when MLflow has everything up to the last event."""
        return self.events[-1].get("event") == "synced"

    @property
    def alive(self) -> bool:
        """True while the process that writes the journal may still be running."""
        if self.last("end") is not None:
            return False
        if self.start["host"] != socket.gethostname():
            return True
        try:
            os.kill(int(self.start["pid"]), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def add(self, event: str, **content: Any) -> None:
        """Write one event and wait until it is on disk. Only the owner can read the file."""
        self.events.append({"event": event, "time": now(), **plain(content)})
        if not self.restore():
            self._append(self.events[-1:])

    def restore(self) -> bool:
        """Write the whole journal again if its file is gone (the output folder was replaced)."""
        if self.path.exists():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append(self.events)
        return True

    def _append(self, events: list[dict[str, Any]]) -> None:
        lines = [json.dumps(e, allow_nan=False, ensure_ascii=False) + "\n" for e in events]
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())


def pending_journals(output: Path) -> list[Journal]:
    """Journals in the output folder that MLflow has not all of, oldest first."""
    found = []
    for path in sorted((output / FOLDER).glob("*.jsonl")):
        try:
            journal = Journal.read(path)
        except DataError:
            continue
        if not journal.synced:
            found.append(journal)
    return found


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()


def now() -> int:
    """Milliseconds since 1970, MLflow's clock."""
    return int(time.time() * 1000)


def plain(value: Any) -> Any:
    """JSON types only; numbers that JSON lacks become None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)
