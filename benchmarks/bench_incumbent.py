"""L1 logistic regression at one alpha: distreg against dask-ml, Dask's own library.

The problem is the same for all: standardised features, no intercept (dask-ml would penalise it),
the mean logistic loss plus alpha times the sum of absolute coefficients. dask-ml minimises n times
that. Its solvers are not judged by where they stop, but by their way: the first coefficients whose
objective is within 1e-4, or 1e-6, of the best that anyone has found, over the null model's. Each
has some seconds, and ADMM several settings of its rho, of which the fastest counts. distreg runs to
its certificate, with the same tolerance. Objectives are computed by one piece of NumPy code.

dask-ml is optional, in an environment of its own:

    python benchmarks/bench_incumbent.py [--dask-ml /path/to/its/python]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_logistic import make_problem

LEVELS = (1e-4, 1e-6)
TRAJECTORY = Path(__file__).with_name("dask_ml_trajectory.py")

TRIES = [
    ("admm", {"rho": rho, "over_relax": relax, "abstol": 1e-12, "reltol": 1e-12})
    for rho, relax in ((1, 1), (100, 1), (1000, 1), (10_000, 1), (1000, 1.7))
]
"""Solvers of dask-ml and their settings. ADMM's own tolerances (abstol 1e-4, reltol 1e-2) would stop
it early: how far that is from the optimum is shown apart."""


def objective(X: np.ndarray, y: np.ndarray, alpha: float, coef: np.ndarray) -> float:
    """Mean logistic loss plus penalty."""
    eta = X @ coef
    return float(np.mean(np.logaddexp(0.0, eta) - y * eta) + alpha * np.abs(coef).sum())


def run_distreg(
    X: np.ndarray, y: np.ndarray, alpha: float, tol: float, solver: str
) -> tuple[float, np.ndarray, int]:
    """Seconds, coefficients and passes of a certified fit."""
    from distreg import LogisticRegression

    model = LogisticRegression(
        alpha=alpha, l1_ratio=1.0, fit_intercept=False, tol=tol, solver=solver
    )
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start, np.asarray(model.coef_).ravel(), model.n_passes_


def run_dask_ml(
    python: str, folder: Path, solver: str, penalty: float, most: float, keywords: dict[str, float]
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Seconds and coefficients along the way, and whether it has stopped by itself."""
    command = [
        python, str(TRAJECTORY), str(folder), solver, repr(penalty), "4", str(most),
        json.dumps(keywords),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    with np.load(folder / "found.npz") as found:
        return found["seconds"], found["coef"], bool(found["by_itself"])


def main() -> None:
    """Print both tables."""
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

    rows: list[tuple[str, np.ndarray, list[np.ndarray], str]] = []
    for solver in ("auto", "admm"):
        for level in LEVELS:
            runs = [run_distreg(X, y, alpha, level, solver) for _ in range(arguments.repeats)]
            seconds = statistics.median(run[0] for run in runs)
            name = f"distreg, solver={solver!r}, tol={level:g}"
            rows.append((name, np.array([seconds]), [runs[0][1]], f"{runs[0][2]} passes"))
    if arguments.dask_ml is None:
        print("dask-ml: skipped, give its python with --dask-ml")
    else:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.save(folder / "X.npy", X)
            np.save(folder / "y.npy", y)
            tries = [*TRIES, ("admm", {}), ("proximal_grad", {"tol": 0.0})]
            for solver, keywords in tries:
                at = arguments.dask_ml, folder, solver, n * alpha, arguments.seconds, keywords
                seconds, coefs, by_itself = run_dask_ml(*at)
                how = f"{len(seconds)} steps, " + ("stopped" if by_itself else "time over")
                shown = {key: value for key, value in keywords.items() if "tol" not in key}
                label = ", ".join(f"{key}={value:g}" for key, value in shown.items())
                label = label or ("its defaults" if not keywords else "")
                rows.append((f"dask-ml {solver} {label}".strip(), seconds, list(coefs), how))

    values = [[objective(X, y, alpha, coef) for coef in coefs] for _, _, coefs, _ in rows]
    least = min(objective(X, y, alpha, best), *(min(found) for found in values))
    null = np.log(2.0)
    print(f"{'':44}{'s to 1e-4':>11}{'s to 1e-6':>11}{'best excess':>13}")
    reached: dict[str, list[float]] = {}
    for (name, seconds, _, how), found in zip(rows, values, strict=True):
        excess = (np.array(found) - least) / null
        times = [float(seconds[excess <= level].min(initial=np.inf)) for level in LEVELS]
        reached[name] = times
        cells = "".join(f"{t:>11.2f}" if np.isfinite(t) else f"{'never':>11}" for t in times)
        print(f"{name:44}{cells}{excess.min():>13.1e}  {how}")
    print("excess: objective above the best of all, over the null model's")
    for solver in ("auto", "admm"):
        for place, level in enumerate(LEVELS):
            own = reached[f"distreg, solver={solver!r}, tol={level:g}"][place]
            if not np.isfinite(own):
                raise SystemExit(f"distreg's answer is not within the tolerance it promises: {level}")
            for peer in ("admm", "proximal_grad"):
                others = [t[place] for key, t in reached.items() if key.startswith(f"dask-ml {peer}")]
                if others and np.isfinite(min(others)):
                    print(f"{level:g}: dask-ml {peer} / distreg {solver}: {min(others) / own:.1f}")
                elif others:
                    print(f"{level:g}: dask-ml {peer} never in {arguments.seconds:g} s ({own:.2f} s)")


if __name__ == "__main__":
    main()
