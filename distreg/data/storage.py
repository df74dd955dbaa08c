"""Finding and opening files; every failure becomes an error that names the file."""

from __future__ import annotations

import csv
import errno
import glob
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from distreg.exceptions import DataError, InputError

__all__ = ["FileRef", "Options", "is_remote", "list_files", "opened", "reading", "retried", "walk"]

T = TypeVar("T")
Options = Mapping[str, Any]

RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class FileRef:
    """A file as it was when the data set was made.

    Attributes
    ----------
    path : str
        Local path or URL.
    name : str
        Path below the folder that was given, for messages.
    size : int
        Bytes.
    mtime_ns : int
        Time of the last change; 0 when the storage does not tell.
    """

    path: str
    name: str
    size: int
    mtime_ns: int = 0

    @property
    def state(self) -> str:
        """Name, size and time, for digests."""
        return f"{self.name}:{self.size}:{self.mtime_ns}"

    def check(self) -> None:
        """Refuse a local file that has another size now: rows planned are not rows stored."""
        if is_remote(self.path):
            return
        size = os.stat(self.path).st_size
        if size != self.size:
            raise DataError(
                f"{self.path} has changed: it had {self.size:,} bytes when the data set was made "
                f"and has {size:,} now. Make the data set again."
            )


def is_remote(path: str) -> bool:
    """Whether the path is a URL, which fsspec opens."""
    return "://" in path


def list_files(path: str, suffixes: tuple[str, ...], options: Options) -> list[FileRef]:
    """Files that a path, folder or glob names, in natural order ("part.2" before "part.10").

    In folders, names that begin with "." or "_" are left out, as Spark and Dask do.
    """
    with reading(path):
        found = _list_remote(path, suffixes, options) if is_remote(path) else _list(path, suffixes)
    if not found:
        raise DataError(
            f"{path} holds no file that ends in {' or '.join(suffixes)}. Check the path, or say "
            "what the files are with format=."
        )
    found.sort(key=lambda ref: (_natural(ref.name), ref.name))
    keyed = [ref for ref in found if re.search(r"(^|/)[^/]+=[^/]*/", ref.name)]
    if keyed:
        raise DataError(
            f"{path} is partitioned by folders such as {keyed[0].name!r}, whose column is not in "
            "the files. Write the files with all columns, or give a glob of one folder."
        )
    return found


def _list(path: str, suffixes: tuple[str, ...]) -> list[FileRef]:
    if os.path.isdir(path):
        return [
            _ref(os.path.join(path, name), name)
            for name in walk(path)
            if name.lower().endswith(suffixes)
        ]
    if not os.path.exists(path) and glob.has_magic(path):
        parts = path.split(os.sep)
        fixed = next(k for k, part in enumerate(parts) if glob.has_magic(part))
        folder = os.sep.join(parts[:fixed]) or (os.sep if fixed else os.curdir)
        return [
            _ref(file, os.path.relpath(file, folder))
            for file in glob.glob(path, recursive=True)
            if os.path.isfile(file)
        ]
    return [_ref(path, os.path.basename(path))]


def walk(path: str, hidden: bool = False) -> list[str]:
    """Paths of all files below a folder, relative to it; a folder that cannot be read raises.

    Links to folders are followed, each folder once: a link may lead to a folder above. Names that
    begin with "." or "_" are left out unless `hidden`.
    """

    def fail(error: OSError) -> None:
        raise error

    names: list[str] = []
    seen = {os.path.realpath(path)}
    for folder, below, files in os.walk(path, onerror=fail, followlinks=True):
        shown = [file for file in files if hidden or file[0] not in "._"]
        names += [os.path.relpath(os.path.join(folder, file), path) for file in shown]
        fresh = []
        for name in sorted(name for name in below if hidden or name[0] not in "._"):
            real = os.path.realpath(os.path.join(folder, name))
            if real not in seen:
                seen.add(real)
                fresh.append(name)
        below[:] = fresh
    return names


def _ref(path: str, name: str) -> FileRef:
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{path} is no regular file. Give a file, a folder or a glob.")
    return FileRef(path, name.replace(os.sep, "/"), info.st_size, info.st_mtime_ns)


def _list_remote(path: str, suffixes: tuple[str, ...], options: Options) -> list[FileRef]:
    fs, inner = _filesystem(path, options)
    if glob.has_magic(inner):
        found = fs.glob(inner)
    elif fs.isdir(inner):
        found = [
            file
            for file in fs.find(inner)
            if file.lower().endswith(suffixes) and os.path.basename(file)[0] not in "._"
        ]
    else:
        found = [inner]
    refs = []
    for file in found:
        name = file[len(inner) :].lstrip("/") if file.startswith(inner) else ""
        info = fs.info(file)
        refs.append(
            FileRef(fs.unstrip_protocol(file), name or os.path.basename(file), int(info["size"]))
        )
    return refs


def _filesystem(path: str, options: Options) -> tuple[Any, str]:
    import fsspec

    try:
        fs, inner = fsspec.core.url_to_fs(path, **options)
    except (ImportError, ValueError) as error:
        raise InputError(f"{path}: {error}.") from error
    return fs, inner


@contextmanager
def opened(ref: FileRef, options: Options) -> Iterator[IO[bytes]]:
    """Open for reading bytes; closed at the end."""
    if is_remote(ref.path):
        fs, inner = _filesystem(ref.path, options)
        with fs.open(inner, "rb") as stream:
            yield stream
    else:
        ref.check()
        with open(ref.path, "rb") as stream:
            yield stream


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Turn whatever reading raises into a `DataError` that names the source."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"{source} does not exist (on this machine). Check the path; workers must see the same "
            "files."
        ) from error
    except PermissionError as error:
        raise DataError(f"{source} may not be read: permission denied.") from error
    except (DataError, InputError):
        raise
    except (OSError, pa.ArrowException, EOFError, csv.Error, ValueError) as error:
        message = " ".join(str(error).split())[:300]
        raise DataError(
            f"{source} cannot be read; it is truncated, damaged or of another format ({message}). "
            "Write it again, or restore it from a copy."
        ) from error


def retried(read: Callable[[], T], source: str) -> T:
    """Read, once more after an input/output error; failures name the source."""
    with reading(source):
        try:
            return read()
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
                raise
            if error.errno in (errno.ENOSPC, errno.ENAMETOOLONG):
                raise
        time.sleep(RETRY_SECONDS)
        return read()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which digits count as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
