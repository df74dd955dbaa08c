"""What a tracked run knows of the process it lives in: its cost, its user, its signals."""

from __future__ import annotations

import getpass
import resource
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from distreg.passes import Cost

__all__ = ["cost_metrics", "sigterm_interrupts", "user_name"]


def cost_metrics(cost: Cost, peak_memory_mb: float | None) -> dict[str, float]:
    """What the run cost; without a figure for the memory, the peak of this process."""
    if peak_memory_mb is None:
        unit = 1 if sys.platform == "darwin" else 1024
        peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return {
        "cost/n_passes": cost.n_passes,
        "cost/bytes_read": cost.bytes_read,
        "cost/seconds": cost.pass_seconds + cost.path_seconds,
        "cost/peak_memory_mb": peak_memory_mb,
    }


def user_name() -> str:
    """Who runs this; containers may not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def sigterm_interrupts() -> Callable[[], None]:
    """Let SIGTERM raise KeyboardInterrupt; returns what undoes it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt("SIGTERM")

    signal.signal(signal.SIGTERM, interrupt)

    def restore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    return restore
