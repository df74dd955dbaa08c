"""L1 logistic regression at one alpha: distreg against dask-ml, Dask's own library.

The problem is the same for all: standardised features, no intercept (dask-ml would penalise it),
the mean logistic loss plus alpha times the sum of absolute coefficients. dask-ml minimises n times
that. Its solvers are not judged by where they stop, but by their way: the first coefficients whose
objective is within 1e-4, or 1e-6, of the best that anyone has found, over the null model's. Each
has some seconds, and ADMM several settings of its rho, of which the fastest counts. distreg runs to
its certificate, with the same tolerance; as dask-ml's are, its way is also judged by the first
coefficients that are good enough, those that it returns when it is cut off after so many passes.
All get the same Dask arrays, all processors, and a first step or fit that is not counted.
Objectives are computed by one piece of NumPy code.

dask-ml is optional, in an environment of its own:

    python benchmarks/bench_incumbent.py [--dask-ml /path/to/its/python]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import dask.array as da
import numpy as np
from bench_logistic import make_problem

from distreg.exceptions import ConvergenceWarning

LEVELS, SOLVERS, CHUNKS = (1e-4, 1e-6), ("auto", "admm"), 4
CUT_OFF = "distreg, solver='auto', as it goes"
TRAJECTORY = Path(__file__).with_name("dask_ml_trajectory.py")

TRIES: list[tuple[str, dict[str, float]]] = [
    ("admm", {"rho": rho, "over_relax": relax, "abstol": 1e-12, "reltol": 1e-12})
    for rho, relax in ((1, 1), (100, 1), (1000, 1), (10_000, 1), (1000, 1.7))
]
TRIES += [("admm", {}), ("proximal_grad", {"tol": 0.0})]
"""Solvers of dask-ml and their settings. ADMM's own tolerances (abstol 1e-4, reltol 1e-2) stop it
early: that is one of its tries."""


def objective(X: np.ndarray, y: np.ndarray, alpha: float, coef: np.ndarray) -> float:
    """Mean logistic loss plus penalty."""
    eta = X @ coef
    return float(np.mean(np.logaddexp(0.0, eta) - y * eta) + alpha * np.abs(coef).sum())


def run_distreg(
    X: np.ndarray,
    y: np.ndarray,
    alpha: float,
    tol: float,
    solver: str,
    max_passes: int | None = None,
) -> tuple[float, np.ndarray, int]:
    """Seconds, coefficients and passes of a fit, certified unless `max_passes` cuts it off."""
    from distreg import LogisticRegression

    rows = -(-len(y) // CHUNKS)
    lazy = da.from_array(X, chunks=(rows, X.shape[1])), da.from_array(y, chunks=rows)
    model = LogisticRegression(
        alpha=alpha,
        l1_ratio=1.0,
        fit_intercept=False,
        tol=tol,
        solver=solver,
        max_passes=max_passes,
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        if max_passes is not None:
            warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*lazy)
    return time.perf_counter() - start, np.asarray(model.coef_).ravel(), model.n_passes_


def run_dask_ml(
    python: str, folder: Path, solver: str, penalty: float, most: float, keywords: dict[str, float]
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Seconds and coefficients along the way, and whether it has stopped by itself."""
    command = [
        python, str(TRAJECTORY), str(folder), solver, repr(penalty), str(CHUNKS), str(most),
        json.dumps(keywords),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    with np.load(folder / "found.npz") as found:
        return found["seconds"], found["coef"], bool(found["by_itself"])


class Way(NamedTuple):
    """Coefficients after so many seconds, one or many, and a word on how it ended."""

    seconds: np.ndarray
    coefs: list[np.ndarray]
    how: str


def ways_of_distreg(X: np.ndarray, y: np.ndarray, alpha: float, repeats: int) -> dict[str, Way]:
    """Certified answers at each tolerance, by both solvers."""
    ways = {}
    for solver in SOLVERS:
        for level in LEVELS:
            runs = [run_distreg(X, y, alpha, level, solver) for _ in range(repeats)]
            seconds = statistics.median(run[0] for run in runs)
            ways[own_name(solver, level)] = Way(
                np.array([seconds]), [runs[0][1]], f"{runs[0][2]} passes"
            )
    return ways | {CUT_OFF: cut_off(X, y, alpha, repeats)}


def cut_off(X: np.ndarray, y: np.ndarray, alpha: float, repeats: int) -> Way:
    """What distreg returns after so many passes."""
    found = []
    for most in itertools.count(2):
        runs = [run_distreg(X, y, alpha, min(LEVELS), "auto", most) for _ in range(repeats)]
        found.append((statistics.median(run[0] for run in runs), runs[0][1]))
        if runs[0][2] < most:
            break
    seconds, coefs = zip(*found, strict=True)
    return Way(np.array(seconds), list(coefs), "cut off after 2, 3, ... passes")


def own_name(solver: str, level: float) -> str:
    """What a run of distreg is called."""
    return f"distreg, solver={solver!r}, tol={level:g}"


def ways_of_dask_ml(
    python: str, X: np.ndarray, y: np.ndarray, penalty: float, most: float
) -> dict[str, Way]:
    """All tries of dask-ml."""
    ways = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "X.npy", X)
        np.save(folder / "y.npy", y)
        for solver, keywords in TRIES:
            found = run_dask_ml(python, folder, solver, penalty, most, keywords)
            seconds, coefs, by_itself = found
            shown = {key: value for key, value in keywords.items() if "tol" not in key}
            label = ", ".join(f"{key}={value:g}" for key, value in shown.items())
            label = label or ("" if keywords else "its defaults")
            how = f"{len(seconds)} steps, {'stopped' if by_itself else 'time over'}"
            ways[f"dask-ml {solver} {label}".strip()] = Way(seconds, list(coefs), how)
    return ways


def compare(reached: dict[str, list[float]]) -> list[str]:
    """How many times longer dask-ml's fastest way to each level takes.

    Raises
    ------
    SystemExit
        distreg's answer is further from the optimum than it promises.
    """
    lines, peers = [], ("admm", "proximal_grad")
    for solver, (place, level) in itertools.product(SOLVERS, enumerate(LEVELS)):
        own = reached[own_name(solver, level)][place]
        if not np.isfinite(own):
            raise SystemExit(f"{own_name(solver, level)} is not within its tolerance")
        lines += [ratio(reached, peer, place, own, f"{solver}, certified") for peer in peers]
    for place, peer in itertools.product(range(len(LEVELS)), peers):
        lines.append(ratio(reached, peer, place, reached[CUT_OFF][place], "auto, cut off"))
    return [line for line in lines if line]


def ratio(reached: dict[str, list[float]], peer: str, place: int, own: float, how: str) -> str:
    """A peer's fastest way to a level against the seconds of distreg; empty without the peer."""
    times = [t[place] for name, t in reached.items() if name.startswith(f"dask-ml {peer}")]
    if not times:
        return ""
    shown = f"{min(times) / own:.1f} times" if min(times) < np.inf else "never"
    return f"to {LEVELS[place]:g}: dask-ml {peer} {shown}, distreg {own:.3f} s ({how})"


def main() -> None:
    """Print the table and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.02, help="alpha over the largest one")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each try of dask-ml")
    parser.add_argument("--repeats", type=int, default=3, help="of distreg")
    parser.add_argument("--dask-ml", metavar="PYTHON", help="python that has dask-ml")
    arguments = parser.parse_args()
    problem = make_problem(arguments.rows, arguments.features, 2, 0)
    X = (problem.X - problem.X.mean(axis=0)) / problem.X.std(axis=0)
    y, n = problem.y, len(problem.y)
    alpha = arguments.share * float(np.abs(X.T @ (y - 0.5)).max()) / n
    _, best, _ = run_distreg(X, y, alpha, 1e-10, "auto")
    print(f"{n:,} x {X.shape[1]}, alpha {alpha:.3g}, {np.count_nonzero(best)} active features")
    ways = ways_of_distreg(X, y, alpha, arguments.repeats)
    if arguments.dask_ml is None:
        print("dask-ml: skipped, give its python with --dask-ml")
    else:
        ways |= ways_of_dask_ml(arguments.dask_ml, X, y, n * alpha, arguments.seconds)
    values = {
        name: np.array([objective(X, y, alpha, coef) for coef in way.coefs])
        for name, way in ways.items()
    }
    least = min(objective(X, y, alpha, best), *(found.min() for found in values.values()))
    print(f"{'':44}{'s to 1e-4':>11}{'s to 1e-6':>11}{'best excess':>13}")
    reached = {}
    for name, way in ways.items():
        excess = (values[name] - least) / np.log(2.0)
        times = [float(way.seconds[excess <= level].min(initial=np.inf)) for level in LEVELS]
        reached[name] = times
        cells = "".join(f"{t:>11.2f}" if t < np.inf else f"{'never':>11}" for t in times)
        print(f"{name:44}{cells}{excess.min():>13.1e}  {way.how}")
    print("excess: objective above the best of all, over the null model's")
    print("\n".join(compare(reached)))


if __name__ == "__main__":
    main()
