"""The benchmark scripts run, at sizes that take seconds, and their answers agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_tall_agrees_with_scikit_learn() -> None:
    out = run("bench_tall.py", "--rows", 3000, "--features", 12, "--alphas", 20, "--repeats", 1)
    assert "scikit-learn, precompute=True: the same alpha" in out
    assert "bare X.T @ X" in out


def test_logistic_is_as_close_to_the_optimum_as_it_promises() -> None:
    sizes = ("--rows", 3000, "--features", 12, "--alphas", 20, "--repeats", 1)
    out = run("bench_logistic.py", *sizes, "--no-peers")
    assert "products of one pass, 120 columns" in out
    assert "by its own account KKT" in out


@pytest.mark.cluster
def test_out_of_core_runs_in_one_pass(tmp_path: Path) -> None:
    folder = tmp_path / "big"
    run("make_big_parquet.py", folder, "--gigabytes", 0.005, "--features", 6)
    assert pq.ParquetDataset(folder).fragments[0].metadata.num_rows % 20_000 == 0
    out = run("bench_out_of_core.py", folder, "--repeats", 1)
    assert "1 pass(es)" in out
    assert "certified: True" in out
    assert "restarts 0; paused in 0 of" in out


def test_incumbent_is_compared_at_the_objectives_that_distreg_promises() -> None:
    out = run("bench_incumbent.py", "--rows", 4000, "--features", 12, "--repeats", 1)
    assert "dask-ml: skipped" in out
    assert out.count("distreg, solver=") == 5
    assert "never" not in out


def test_rho_that_starts_two_decades_off_is_found() -> None:
    out = run("bench_rho.py", "--rows", 300, "--features", 5, "--losses", "logistic", "quantile")
    assert out.count("| logistic |") == out.count("| quantile |") == 3
    assert "inf" not in out
