"""Where passes run: threads of this process, worker processes, or a running Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from distreg.exceptions import ConfigError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Resources", "check_versions", "open_cluster", "resources_of"]

# What must agree for a task to mean the same everywhere.
COMPARED = ("python", "dask", "distributed", "numpy", "msgpack", "cloudpickle", "distreg")


@dataclass(frozen=True)
class Resources:
    """What passes can use.

    Attributes
    ----------
    workers : int
        Worker processes; 0 means threads of this process.
    threads : int
        In each of them.
    memory_limit : int
        Bytes that each of them may use (the smallest limit of all).
    client_limit : int
        Bytes that this process may use.
    client_threads : int
        Threads of this process.
    """

    workers: int
    threads: int
    memory_limit: int
    client_limit: int
    client_threads: int


def resources_of(
    client: Client | None, *, workers: int | None = None, memory_limit: str | int | None = None
) -> Resources:
    """What the cluster of `client`, or this process without one, offers.

    Parameters
    ----------
    client : Client or None
        As `open_cluster` gives it.
    workers : int, optional
        Number of threads of this process.
    memory_limit : str or int, optional
        Of this process when there is no client; what is free on the machine by default.
    """
    import psutil
    from dask.system import CPU_COUNT
    from dask.utils import parse_bytes
    from distributed.system import MEMORY_LIMIT

    free = min(int(MEMORY_LIMIT), int(psutil.virtual_memory().available))
    threads = workers or int(CPU_COUNT)
    if client is None:
        own = free if memory_limit is None else min(int(parse_bytes(memory_limit)), free)
        return Resources(0, threads, own, own, threads)
    found = client.scheduler_info(n_workers=-1)["workers"].values()
    return Resources(
        workers=len(found),
        threads=max(int(worker["nthreads"]) for worker in found),
        memory_limit=min(int(worker["memory_limit"] or free) for worker in found),
        client_limit=free,
        client_threads=threads,
    )


@contextmanager
def open_cluster(
    kind: Literal["threads", "processes", "scheduler"] = "threads",
    *,
    workers: int | None = None,
    memory_limit: str | int | None = None,
    address: str | None = None,
    timeout: float = 30.0,
) -> Iterator[Client | None]:
    """A client of the cluster for the time of the block; None for local threads.

    Parameters
    ----------
    kind : {"threads", "processes", "scheduler"}
        Threads of this process; worker processes on this machine, bound to the loopback address;
        or the scheduler at `address`.
    workers : int, optional
        Number of processes; one for each CPU that this process may use by default.
    memory_limit : str or int, optional
        Of each worker process ("2GB").
    address : str, optional
        Such as "tcp://127.0.0.1:8786".
    timeout : float
        Seconds to wait for the scheduler and for the first worker.

    Raises
    ------
    ConfigError
        The scheduler does not answer, has no worker in time, or versions differ.
    """
    if kind == "threads":
        yield None
    elif kind == "processes":
        with _local_processes(workers, memory_limit, timeout) as client:
            yield client
    elif kind == "scheduler" and address is not None:
        with _remote(address, timeout) as client:
            yield client
    else:
        raise ConfigError(
            f"cluster kind {kind!r} with address {address!r}; allowed: threads, processes, "
            "or scheduler with an address"
        )


@contextmanager
def _local_processes(
    workers: int | None, memory_limit: str | int | None, timeout: float
) -> Iterator[Client]:
    """Worker processes with one thread each; nothing listens beyond this machine."""
    from dask.system import CPU_COUNT
    from dask.utils import parse_bytes
    from distributed import Client, LocalCluster

    limit: Any = "auto" if memory_limit is None else memory_limit
    if isinstance(limit, str) and limit != "auto":
        limit = parse_bytes(limit)
    with _quiet_logs():
        cluster = LocalCluster(
            n_workers=workers or CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            memory_limit=limit,
            host="127.0.0.1",
            dashboard_address=None,
            # no dashboard, and a free loopback port for what is left of the web server
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        )
        try:
            with Client(cluster, timeout=timeout) as client:
                wait_for_worker(client, timeout, "the local worker processes")
                yield client
        finally:
            cluster.close()


@contextmanager
def _remote(address: str, timeout: float) -> Iterator[Client]:
    """A client of a running scheduler, checked before use."""
    from distributed import Client

    with _quiet_logs():
        try:
            asyncio.run(_probe(address, timeout))
            client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"no Dask scheduler answers at {address} within {timeout:g} s "
                f"({type(error).__name__}); check the address (tcp://HOST:PORT), "
                "or leave it out to use this machine"
            ) from None
        try:
            wait_for_worker(client, timeout, address)
            versions: Any = client.get_versions(packages=["distreg"])
            check_versions(versions)
            # the scans of the data ask Dask for its current scheduler
            with client.as_current():
                yield client
        finally:
            client.close(timeout=5)


async def _probe(address: str, timeout: float) -> None:
    """Connect once: a client that cannot connect leaves threads that complain at exit."""
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    # connect's own time-out does not cover a port that accepts and stays silent
    comm = await asyncio.wait_for(connect(address, timeout=timeout, **arguments), timeout + 1)
    comm.abort()


def wait_for_worker(
    client: Client, timeout: float = 30.0, where: str = "the client's scheduler"
) -> None:
    """Wait for the first worker; ConfigError when none comes within `timeout` seconds."""
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError:
        raise ConfigError(
            f"the cluster at {where} has no worker after {timeout:g} s; "
            "start one (dask worker ADDRESS) or raise cluster.timeout"
        ) from None


def active_client() -> Client | None:
    """The client that this process made last and left open, or None; never makes one."""
    if "distributed" not in sys.modules:
        return None
    from distributed import Client

    try:
        client: Client = Client.current()
    except ValueError:
        return None
    return client


def check_versions(versions: Mapping[str, Any]) -> None:
    """Raise when scheduler or workers run other software than this process.

    Parameters
    ----------
    versions : mapping
        As `distributed.Client.get_versions` returns it.

    Raises
    ------
    ConfigError
        Names each difference and the nodes that show it.
    """
    mine = _versions_of(versions["client"])
    nodes = {"scheduler": versions["scheduler"], **versions["workers"]}
    problems: dict[str, list[str]] = {}
    for node, report in nodes.items():
        theirs = _versions_of(report)
        for name in COMPARED:
            if mine.get(name) == theirs.get(name):
                continue
            found = theirs.get(name) or "not installed"
            line = f"{name} is {mine.get(name) or 'not installed'} here and {found} there"
            problems.setdefault(line, []).append(node)
    if not problems:
        return
    lines = [
        f"{line} ({', '.join(where[:3])}{', ...' if len(where) > 3 else ''})"
        for line, where in problems.items()
    ]
    raise ConfigError(
        "the cluster runs other versions than this process: "
        + "; ".join(lines)
        + ". Install the same versions everywhere; results could differ otherwise"
    )


def _versions_of(report: Any) -> dict[str, str | None]:
    """Package versions of one node; Python without its patch level."""
    if not isinstance(report, Mapping):
        return {}
    out = {str(name): version for name, version in dict(report.get("packages") or {}).items()}
    host = dict(report.get("host") or {})
    python = str(host.get("python", out.get("python") or ""))
    out["python"] = ".".join(python.split(".")[:2])
    return out


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep what distributed says about closing connections off the terminal."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
