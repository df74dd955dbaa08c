"""Which format files have, by their names."""

from __future__ import annotations

import os

from distreg.data.storage import FileRef, Options, is_remote, list_files, reading, walk
from distreg.exceptions import DataError, InputError

__all__ = ["SUFFIXES", "csv_files", "guess_format"]

SUFFIXES: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq", ".parq"),
    "zarr": (".zarr",),
    "npy": (".npy",),
    "csv": (".csv", ".tsv", ".txt"),
}


def guess_format(path: str, options: Options) -> str:
    """Format by the suffix of the path, or of the files in the folder; csv comes last."""
    inside: list[str] = []
    if not is_remote(path) and os.path.isdir(path):
        if any(os.path.exists(os.path.join(path, n)) for n in ("zarr.json", ".zgroup", ".zarray")):
            return "zarr"
        with reading(path):
            inside = walk(path)
    every = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    if is_remote(path) and not path.lower().rstrip("/").endswith(every):
        inside = [ref.name for ref in list_files(path, every, options)]
    for kind, suffixes in SUFFIXES.items():
        if path.lower().rstrip("/").endswith(suffixes):
            return kind
    for kind, suffixes in SUFFIXES.items():
        # a text in a folder is a description of the data more often than data
        data = tuple(suffix for suffix in suffixes if suffix != ".txt")
        if any(name.lower().endswith(data) for name in inside):
            return kind
    if not is_remote(path) and not os.path.exists(path) and not any(m in path for m in "*?["):
        raise DataError(
            f"{path} does not exist. Check the path; the current folder is {os.getcwd()}."
        )
    raise InputError(
        f"{path}: the format does not show in the name. Give format='parquet', 'csv', 'npy' or "
        "'zarr'."
    )


def csv_files(path: str, options: Options) -> list[FileRef]:
    """The csv files, without texts that lie beside them in a folder."""
    files = list_files(path, SUFFIXES["csv"], options)
    plain = [ref for ref in files if not ref.name.lower().endswith(".txt")]
    return files if any(mark in path for mark in "*?[") or not plain else plain
