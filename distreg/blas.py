"""The number of threads of a BLAS call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["single_threaded_blas"]

_blas_lock = threading.Lock()
_blas_users = 0
_blas_limit: Any = None


@cache
def _blas_libraries() -> ThreadpoolController:
    # SciPy's BLAS, which compiled solvers call, must be loaded to be found
    import_module("scipy.linalg.cython_lapack")
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Context in which BLAS uses one thread a call, because several calls run side by side.

    It also makes results independent of the number of processors. The limit is the process's, so
    the first of several users sets it and the last one lifts it.
    """
    global _blas_users, _blas_limit
    with _blas_lock:
        if _blas_users == 0:
            _blas_limit = _blas_libraries().limit(limits=1, user_api="blas")
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if _blas_users == 0:
                _blas_limit.restore_original_limits()
