"""Elastic Net with cross-validation on a tall table: distreg, scikit-learn, adelie, one bare Gram.

All are given the same data, the same alphas and the same five contiguous folds, and return the
path, the cross-validated error and the refitted coefficients. Each repeat runs every contestant
once, in turn; the table shows medians. A run before the first repeat warms up compiled kernels and
thread pools; its time is shown apart.

    python benchmarks/bench_tall.py
    python benchmarks/bench_tall.py --adelie /path/to/python   # an interpreter that has adelie

adelie needs numpy < 2, hence its own interpreter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import ElasticNetCV as SklearnElasticNetCV

from distreg import ElasticNetCV

L1_RATIO = 0.5
N_FOLDS = 5


class Answer(NamedTuple):
    """What a contestant returns: the chosen alpha, its coefficients, the error of each alpha."""

    alpha: float
    coef: np.ndarray
    cv_mean: np.ndarray


def make_problem(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features (neighbours 0.5), a tenth of the coefficients non-zero, R2 about 0.5."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    X += rng.uniform(-5.0, 5.0, p)
    coef = np.zeros(p)
    coef[rng.choice(p, p // 10, replace=False)] = rng.standard_normal(p // 10)
    signal = X @ coef
    return X, signal + signal.std() * rng.standard_normal(n)


def make_alphas(X: np.ndarray, y: np.ndarray, n_alphas: int, ratio: float) -> np.ndarray:
    """Geometric grid from the smallest alpha without features, common to all contestants."""
    gradient = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())) / len(y)
    top = gradient.max() / L1_RATIO
    return np.geomspace(top, top * ratio, n_alphas)


def run_distreg(X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> Answer:
    """distreg: one pass over the data."""
    model = ElasticNetCV(l1_ratio=L1_RATIO, alphas=alphas, cv=N_FOLDS).fit(X, y)
    return Answer(model.alpha_, model.coef_, np.asarray(model.cv_results_["cv_mean"]))


def run_sklearn(X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> Answer:
    """scikit-learn in its Gram mode on two processors, with its default tolerance."""
    model = SklearnElasticNetCV(
        l1_ratio=L1_RATIO, alphas=alphas, cv=N_FOLDS, precompute=True, n_jobs=2
    ).fit(X, y)
    return Answer(model.alpha_, model.coef_, model.mse_path_.mean(axis=-1))


def run_gram(X: np.ndarray) -> None:
    """The bare matrix product: no folds, no centring, no path."""
    np.matmul(X.T, X)


def timed(call: Callable[[], Answer | None]) -> tuple[float, Answer | None]:
    """Wall time and answer."""
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def run_adelie(python: str, folder: Path, repeats: int) -> tuple[list[float], Answer]:
    """Run bench_adelie.py under its own interpreter on the same arrays."""
    script = Path(__file__).with_name("bench_adelie.py")
    done = subprocess.run(
        [python, str(script), str(folder), str(repeats)], check=True, capture_output=True, text=True
    )
    out = json.loads(done.stdout.splitlines()[-1])
    answer = Answer(out["alpha"], np.array(out["coef"]), np.array(out["cv_mean"]))
    return out["seconds"], answer


def report(
    seconds: dict[str, list[float]], answers: dict[str, Answer], alphas: np.ndarray
) -> tuple[list[str], bool]:
    """Table of medians and ratios; whether every answer agrees with distreg's."""
    base = statistics.median(seconds["distreg"])
    lines = [f"{'':34}{'median s':>10}{'min':>8}{'max':>8}{'/ distreg':>11}"]
    for name, values in seconds.items():
        mid = statistics.median(values)
        lines.append(
            f"{name:34}{mid:>10.3f}{min(values):>8.3f}{max(values):>8.3f}{mid / base:>11.2f}"
        )
    ours, agree = answers["distreg"], True
    for name, other in answers.items():
        if name == "distreg":
            continue
        same = bool(np.isclose(other.alpha, ours.alpha, rtol=1e-9))
        distance = float(np.abs(other.coef - ours.coef).max() / np.abs(ours.coef).max())
        agree &= same and distance <= 1e-4
        lines.append(
            f"{name}: {'the same alpha' if same else f'ANOTHER alpha ({other.alpha:.4g})'}, "
            f"coefficients within {distance:.1e} of distreg's (of the largest)"
        )
    index = int(np.argmin(np.abs(alphas - ours.alpha)))
    lines.append(
        f"alpha {ours.alpha:.4g} (number {index + 1} of {len(alphas)}), "
        f"{np.count_nonzero(ours.coef)} features, cross-validated MSE {ours.cv_mean.min():.5g}"
    )
    return lines, agree


def main() -> int:
    """Command line entry; exit code 1 when the answers differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=300)
    parser.add_argument("--alphas", type=int, default=100)
    parser.add_argument("--alpha-min-ratio", type=float, default=1e-3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adelie", metavar="PYTHON", help="an interpreter that has adelie")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()

    X, y = make_problem(args.rows, args.features, args.seed)
    alphas = make_alphas(X, y, args.alphas, args.alpha_min_ratio)
    contestants: dict[str, Callable[[], Answer | None]] = {
        "distreg": lambda: run_distreg(X, y, alphas),
        "scikit-learn, precompute=True": lambda: run_sklearn(X, y, alphas),
        "bare X.T @ X": lambda: run_gram(X),
    }
    print(
        f"{args.rows:,} x {args.features}, {args.alphas} alphas, l1_ratio {L1_RATIO}, "
        f"{N_FOLDS} folds, {args.repeats} repeats"
    )
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, Answer] = {}
    for name, call in contestants.items():
        first, answer = timed(call)
        print(f"first run of {name}: {first:.3f} s")
        if answer is not None:
            answers[name] = answer
    for _ in range(args.repeats):
        for name, call in contestants.items():
            seconds[name].append(timed(call)[0])
    if args.adelie:
        with tempfile.TemporaryDirectory() as folder:
            for name, array in {"X": np.asfortranarray(X), "y": y, "alphas": alphas}.items():
                np.save(Path(folder) / f"{name}.npy", array)
            name = "adelie, covariance method"
            seconds[name], answers[name] = run_adelie(args.adelie, Path(folder), args.repeats)
    lines, agree = report(seconds, answers, alphas)
    print("\n".join(lines))
    if args.json:
        args.json.write_text(json.dumps({"args": vars(args) | {"json": None}, "seconds": seconds}))
    return 0 if agree else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore", category=UserWarning)
    sys.exit(main())
