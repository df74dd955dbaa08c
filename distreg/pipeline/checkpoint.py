"""Finished parts of a pass on disk, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distreg.exceptions import ConfigError

__all__ = ["FileCheckpoint"]

MAGIC = b"distreg checkpoint 1\n"


class FileCheckpoint:
    """Keeps arrays under names in a folder, each file written whole or not at all.

    Parameters
    ----------
    folder : Path
        Belongs to this checkpoint alone.
    identity : mapping
        What the arrays depend on (data digest, folds, settings); JSON-safe.
    resume : bool
        Use what an interrupted run left; otherwise it is removed.

    Raises
    ------
    ConfigError
        Asked to resume, but the checkpoint belongs to other data or settings.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        self.folder = folder
        self.resumed = False
        known = folder / "identity.json"
        wanted = json.loads(json.dumps(identity))
        if resume and known.is_file():
            self._refuse_other(known, wanted)
            self.resumed = True
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write(known, json.dumps(wanted, indent=1).encode())

    def load(self, name: str) -> dict[str, Any] | None:
        """Arrays saved under `name`; None when there are none or the file is damaged."""
        try:
            content = self._file(name).read_bytes()
        except OSError:
            return None
        start = len(MAGIC)
        body = content[start + 32 :]
        if content[:start] != MAGIC or hashlib.sha256(body).digest() != content[start : start + 32]:
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return dict(arrays)

    def save(self, name: str, arrays: dict[str, Any]) -> None:
        """Keep `arrays` under `name`."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        body = buffer.getvalue()
        _write(self._file(name), MAGIC + hashlib.sha256(body).digest() + body)

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / (re.sub(r"[^A-Za-z0-9_-]", "-", name) + ".bin")

    @staticmethod
    def _refuse_other(known: Path, wanted: Mapping[str, Any]) -> None:
        try:
            found = json.loads(known.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        if not isinstance(found, dict):
            found = {}
        changed = [k for k in (*wanted, *found) if found.get(k) != wanted.get(k)]
        if changed:
            raise ConfigError(
                f"{known.parent}: the interrupted run had another "
                f"{', '.join(dict.fromkeys(changed))}; its parts cannot be used. "
                "Run without --resume to start again"
            )


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
