"""A whole cross-validation on data larger than the memory of all workers together.

Two worker processes of 1 GB each run, in turn:

- read: every row group is read and decoded into a matrix, and dropped;
- read + Gram: the same, and one bare ``X.T @ X`` of each block;
- distreg: 5 folds, 100 alphas, one Elastic Net, test error included.

All three are timed cold, the files dropped from the page cache before each run (data larger than
memory are never in it; needs Linux), and with ``--warm`` from the page cache, where reading
uncompressed numbers is little more than a copy.

    python benchmarks/make_big_parquet.py benchmarks/data/big --gigabytes 4
    python benchmarks/bench_out_of_core.py benchmarks/data/big

Recorded for the cross-validation: the peak resident memory of each worker and of this process,
restarts of workers, and moments in which a worker was paused for lack of memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

from distreg.cv import cross_validate
from distreg.data.block import Group
from distreg.data.dataset import Dataset
from distreg.data.files import read_dataset
from distreg.data.folds import ShuffledKFold, make_cells
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.selection import select


def read_group(group: Group, gram: bool) -> int:
    """Read the blocks of a group one after the other; the decoded bytes."""
    total = 0
    for block in group.blocks(tuple(() for _ in group.recipes)):
        total += block.nbytes
        if gram:
            np.matmul(block.dense.T, block.dense)
    return total


def read_all(client: Client, dataset: Dataset, gram: bool) -> tuple[float, int]:
    """Seconds and bytes of reading everything, by the same tasks as the pass."""
    start = time.perf_counter()
    futures = client.map(read_group, dataset.groups, gram=gram, pure=False)
    total = sum(client.gather(futures))
    return time.perf_counter() - start, total


def drop_from_cache(folder: Path) -> None:
    """Forget the files' pages, so that the next reader goes to the disk."""
    for path in folder.glob("*.parquet"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def peak_rss() -> tuple[int, float]:
    """Process id and peak resident memory in MB (Linux counts in kB, macOS in bytes)."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return os.getpid(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


class PauseWatch(threading.Thread):
    """Counts the samples in which some worker was paused."""

    def __init__(self, scheduler: Any) -> None:
        super().__init__(daemon=True)
        self.scheduler, self.paused, self.samples = scheduler, 0, 0
        self.stop = threading.Event()

    def run(self) -> None:
        """Look at the scheduler's list ten times a second."""
        while not self.stop.wait(0.1):
            states = [w.status.name for w in list(self.scheduler.workers.values())]
            self.samples += 1
            self.paused += "paused" in states


def run_distreg(client: Client, dataset: Dataset) -> tuple[float, str]:
    """One Elastic Net over 100 alphas with five shuffled folds."""
    start = time.perf_counter()
    runner = PassRunner(client=client)
    cells = make_cells(ShuffledKFold(5, 0), dataset.n_rows)
    options = PathOptions(l1_ratios=(0.5,), n_alphas=100, standardize=True)
    result = cross_validate(dataset, cells, options, runner)
    chosen = select(result, "min")
    text = (
        f"{runner.cost.n_passes} pass(es), alpha {chosen.alpha:.4g}, "
        f"MSE {chosen.cv_mean:.5g}, certified: {result.converged}"
    )
    return time.perf_counter() - start, text


def main() -> int:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="1GB", help="of each worker")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm", action="store_true", help="leave the files in the page cache")
    args = parser.parse_args()

    dataset = read_dataset(args.folder, target="y")
    print(
        f"{dataset.n_rows:,} rows x {dataset.n_features} features, {dataset.nbytes / 1e9:.2f} GB "
        f"decoded, {dataset.n_blocks} blocks in {len(dataset.groups)} tasks; "
        f"{args.workers} workers of {args.memory}; {'warm' if args.warm else 'cold'}"
    )

    def begin() -> None:
        if not args.warm:
            drop_from_cache(args.folder)

    seconds: dict[str, list[float]] = {"read": [], "read + Gram": [], "distreg": []}
    with (
        LocalCluster(
            n_workers=args.workers,
            threads_per_worker=1,
            memory_limit=args.memory,
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        read_all(client, dataset, False)  # imports and compiles what the tasks need
        run_distreg(client, dataset)
        before = client.run(peak_rss)
        watch = PauseWatch(cluster.scheduler)
        watch.start()
        for _ in range(args.repeats):
            begin()
            seconds["read"].append(read_all(client, dataset, False)[0])
            begin()
            seconds["read + Gram"].append(read_all(client, dataset, True)[0])
            begin()
            took, text = run_distreg(client, dataset)
            seconds["distreg"].append(took)
        watch.stop.set()
        watch.join()
        after = client.run(peak_rss)
    base = statistics.median(seconds["read"])
    for name, values in seconds.items():
        mid = statistics.median(values)
        print(
            f"{name:14}{mid:>8.2f} s (min {min(values):.2f}, max {max(values):.2f}), "
            f"{mid / base:.2f} x read, {dataset.nbytes / mid / 1e6:.0f} MB/s"
        )
    print(text)
    restarts = len({pid for pid, _ in after.values()} - {pid for pid, _ in before.values()})
    peaks = ", ".join(f"{mb:.0f} MB" for _, mb in after.values())
    print(
        f"restarts {restarts}; paused in {watch.paused} of {watch.samples} samples; "
        f"peak memory of the workers {peaks}; of this process {peak_rss()[1]:.0f} MB"
    )
    return 1 if restarts or watch.paused else 0


if __name__ == "__main__":
    sys.exit(main())
