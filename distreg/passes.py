"""Passes over the data: the only place that runs block computations on Dask."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cost"]


@dataclass
class Cost:
    """What was spent.

    Attributes
    ----------
    n_passes : int
        Times that every block was read.
    n_scans : int
        Metadata scans before the first pass (row counts, category levels).
    n_block_reads : int
        Blocks read.
    bytes_read : int
        Bytes of the blocks read, decoded.
    pass_seconds, path_seconds : float
        Wall time of the passes, and of the computations between them.
    """

    n_passes: int = 0
    n_scans: int = 0
    n_block_reads: int = 0
    bytes_read: int = 0
    pass_seconds: float = 0.0
    path_seconds: float = 0.0
