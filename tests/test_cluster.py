"""Clusters: what a run can use, what is refused, and nothing that listens beyond this machine."""

from __future__ import annotations

import copy
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import dask
import psutil
import pytest
from distributed import LocalCluster

from distreg.cluster import active_client, check_versions, open_cluster, resources_of
from distreg.exceptions import ConfigError

NODE = {
    "host": {"python": "3.11.7.final.0"},
    "packages": {
        "python": "3.11.7.final.0",
        "dask": "2026.8.0",
        "distributed": "2026.8.0",
        "numpy": "2.4.6",
        "msgpack": "1.1",
        "cloudpickle": "3.1",
        "distreg": "0.1.0",
        "lz4": None,
    },
}


def versions(**changes: Any) -> dict[str, Any]:
    """Answer of a scheduler and two workers; `changes` are those of the second worker."""
    worker = copy.deepcopy(NODE)
    worker["packages"].update(changes)
    if "python" in changes:
        worker["host"]["python"] = changes["python"]
    return {
        "client": copy.deepcopy(NODE),
        "scheduler": copy.deepcopy(NODE),
        "workers": {"tcp://w1": copy.deepcopy(NODE), "tcp://w2": worker},
    }


@pytest.mark.parametrize("changes", [{}, {"lz4": "4.0"}, {"python": "3.11.9.final.0"}])
def test_equal_versions_pass(changes: dict[str, Any]) -> None:
    assert check_versions(versions(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numpy": "2.3.0"}, ["numpy is 2.4.6 here and 2.3.0 there", "tcp://w2"]),
        ({"distreg": None}, ["distreg is 0.1.0 here and not installed there"]),
        ({"python": "3.12.1.final.0"}, ["python is 3.11 here and 3.12 there"]),
        ({"dask": "1", "msgpack": "9"}, ["dask is", "msgpack is"]),
    ],
)
def test_other_versions_are_refused(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_versions(versions(**changes))
    for word in words:
        assert word in str(caught.value)
    assert "tcp://w1" not in str(caught.value)


def test_a_node_that_tells_nothing_is_refused() -> None:
    answer = versions()
    answer["workers"]["tcp://w2"] = None
    with pytest.raises(ConfigError, match="tcp://w2"):
        check_versions(answer)


def test_threads_need_no_client() -> None:
    with open_cluster("threads") as client:
        assert client is None
    found = resources_of(None, workers=3, memory_limit="100MB")
    assert (found.workers, found.threads, found.memory_limit) == (0, 3, 100_000_000)
    free = resources_of(None)
    assert 0 < free.memory_limit <= psutil.virtual_memory().total
    assert free.threads >= 1


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1", "ftp://x:1", "no where"])
def test_a_scheduler_that_is_not_there(address: str) -> None:
    start = time.perf_counter()
    with (
        pytest.raises(ConfigError, match="no Dask scheduler answers"),
        open_cluster("scheduler", address=address, timeout=1),
    ):
        pass
    assert time.perf_counter() - start < 15


def test_a_port_that_does_not_answer(deaf_port: int) -> None:
    with (
        pytest.raises(ConfigError, match="no Dask scheduler answers"),
        open_cluster("scheduler", address=f"tcp://127.0.0.1:{deaf_port}", timeout=1),
    ):
        pass


def test_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="allowed: threads"), open_cluster("scheduler"):
        pass


@pytest.mark.cluster
def test_processes_and_a_scheduler() -> None:
    before = logging.getLogger("distributed").level
    with open_cluster("processes", workers=2, memory_limit="500MB") as client:
        assert client is not None
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
        found = resources_of(client)
        assert (found.workers, found.threads, found.memory_limit) == (2, 1, 500_000_000)
        mine = psutil.Process(os.getpid())
        hosts = {
            c.laddr.ip
            for process in (mine, *mine.children(recursive=True))
            for c in process.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN
        }
        assert hosts == {"127.0.0.1"}
        address = client.scheduler.address
        with open_cluster("scheduler", address=address, timeout=10) as second:
            assert second is not None
            assert second.submit(sum, [3, 4]).result(timeout=30) == 7
            assert resources_of(second).workers == 2
    assert logging.getLogger("distributed").level == before
    assert not [t for t in threading.enumerate() if "Profile" in t.name and not t.daemon]


@pytest.mark.cluster
def test_scans_run_on_the_workers_of_a_scheduler() -> None:
    """Scans of files and collections compute without naming a client."""
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        open_cluster("scheduler", address=cluster.scheduler_address, timeout=20) as client,
    ):
        assert client is not None
        [where] = dask.compute(dask.delayed(os.getpid, pure=False)())
        assert [where] == list(client.run(os.getpid).values())
        assert where != os.getpid()
    assert active_client() is None


@pytest.mark.cluster
def test_a_scheduler_without_workers() -> None:

    with (
        LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        pytest.raises(ConfigError, match="has no worker after"),
        open_cluster("scheduler", address=cluster.scheduler_address, timeout=0.5),
    ):
        pass
