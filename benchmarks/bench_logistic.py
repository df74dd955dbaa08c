"""L1 logistic regression with cross-validation on a tall table: distreg, glmnet, pybiglasso.

All are given the same data, the same fold of each row and the alphas that distreg has chosen, and
return the path of the full data and the cross-validated deviance of each alpha, with standardised
features. Each repeat runs every contestant once, in turn; the table shows medians. A run of distreg
before the first repeat compiles kernels and makes the grid; its time is shown apart.

The peers are optional: R with glmnet (and doMC, for its folds on several processors; by itself
cv.glmnet has one thread), and pybiglasso beside distreg. Every answer is judged by the same NumPy
code: objective and optimality conditions on the full data, at every alpha.

    python benchmarks/bench_logistic.py [--no-peers]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

DISTREG, LOOSE, LOOSE_TOL = "distreg", "distreg, tol 1e-4", 1e-4
TOL, MAX_VIOLATION = 1e-6, 1e-6
BLOCK_ROWS = 2048
R_SCRIPT = Path(__file__).with_name("bench_glmnet.R")


class Problem(NamedTuple):
    """The data; X row by row for distreg, column by column for the others."""

    X: np.ndarray
    X_columns: np.ndarray
    y: np.ndarray
    folds: np.ndarray


class Answer(NamedTuple):
    """What a contestant returns; NaN where its path ended early."""

    coef: np.ndarray
    intercept: np.ndarray
    cv_mean: np.ndarray


class Quality(NamedTuple):
    """Objective and largest violation of the optimality conditions, for each alpha."""

    objective: np.ndarray
    violation: np.ndarray


Contestant = Callable[[], tuple[float, Answer | None]]


def make_problem(n: int, p: int, n_folds: int, seed: int) -> Problem:
    """Correlated features (neighbours 0.5) of unlike scales, a tenth of them with an effect.

    The linear predictor has standard deviation 2 and median 0, so that the labels are balanced.
    """
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    coef = np.zeros(p)
    coef[rng.choice(p, max(1, p // 10), replace=False)] = rng.standard_normal(max(1, p // 10))
    signal = X @ coef
    signal = 2.0 * (signal - np.median(signal)) / signal.std()
    y = (rng.random(n) < expit(signal)).astype(np.float64)
    X *= rng.uniform(0.5, 2.0, p)
    X += rng.uniform(-5.0, 5.0, p)
    return Problem(X, np.asfortranarray(X), y, rng.permutation(np.arange(n) % n_folds))


def run_distreg(
    problem: Problem, n_alphas: int, threads: int, tol: float = TOL
) -> tuple[float, Any]:
    """distreg: all folds and alphas in the same passes. Seconds and the model."""
    from distreg import LogisticRegressionCV

    model = LogisticRegressionCV(
        l1_ratio=1.0,
        n_alphas=n_alphas,
        cv=problem.folds,
        standardize=True,
        tol=tol,
        n_jobs=threads,
    )
    start = time.perf_counter()
    model.fit(problem.X, problem.y)
    return time.perf_counter() - start, model


def run_loose(problem: Problem, n_alphas: int, threads: int) -> tuple[float, Answer]:
    """The same to a tolerance whose answers are no worse than the peers' at their defaults."""
    seconds, model = run_distreg(problem, n_alphas, threads, LOOSE_TOL)
    return seconds, answer_of(model)


def answer_of(model: Any) -> Answer:
    """What distreg answers."""
    return Answer(model.coef_path_[0], model.intercept_path_[0], model.cv_results_["cv_mean"])


def padded(values: np.ndarray, n_alphas: int) -> np.ndarray:
    """NaN for the alphas that a path did not reach."""
    out = np.full((n_alphas, *values.shape[1:]), np.nan)
    out[: len(values)] = values
    return out


def glmnet_contestants(
    problem: Problem, alphas: np.ndarray, folder: Path, threads: int
) -> dict[str, Contestant]:
    """cv.glmnet at two tolerances, with one thread and, through doMC, with several processes."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        print("glmnet: skipped, there is no Rscript")
        return {}
    done = subprocess.run([rscript, R_SCRIPT], check=True, capture_output=True, text=True)
    r, glmnet, domc = done.stdout.split()[-3:]
    if glmnet == "none":
        print("glmnet: skipped, R has no package glmnet")
        return {}
    print(f"R {r}, glmnet {glmnet}, doMC {domc}")
    if domc == "none":
        print("glmnet on several processors: skipped, R has no package doMC")
    arrays = {"X": problem.X_columns.T, "y": problem.y, "folds": problem.folds, "alphas": alphas}
    for name, array in arrays.items():
        array.astype(np.float64, copy=False).tofile(folder / name)
    shape = (*problem.X.shape, len(alphas))
    several = [threads] if domc != "none" and threads > 1 else []
    return {
        f"cv.glmnet, thresh {thresh:g}, "
        + ("1 thread" if processors == 1 else f"{processors} processes"): partial(
            run_glmnet, rscript, folder, shape, thresh, processors
        )
        for thresh in (1e-7, 1e-10)
        for processors in (1, *several)
    }


def run_glmnet(
    rscript: str, folder: Path, shape: tuple[int, int, int], thresh: float, processors: int
) -> tuple[float, Answer]:
    """One cv.glmnet in an R of its own, which times it without start and reading."""
    n, p, n_alphas = shape
    command = [rscript, str(R_SCRIPT), str(folder), *map(str, (n, p, thresh, processors))]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    if "Warning" in done.stderr:
        print(f"R: {done.stderr.strip()}")
    found = np.fromfile(folder / "answer")
    k = int(found[1])
    intercept, coef, cv_mean = np.split(found[2:], [k, k + k * p])
    answer = Answer(*(padded(part, n_alphas) for part in (coef.reshape(k, p), intercept, cv_mean)))
    return float(found[0]), answer


def pybiglasso_contestants(
    problem: Problem, alphas: np.ndarray, threads: int
) -> dict[str, Contestant]:
    """BiglassoClassifierCV at two tolerances: its own cross-validation, folds in threads."""
    try:
        from pybiglasso.sklearn import BiglassoClassifierCV
    except ImportError as error:
        print(f"pybiglasso: skipped, {error}")
        return {}
    print(f"pybiglasso {version('pybiglasso')}")
    return {
        f"pybiglasso, tol {tol:g}, {threads} threads": partial(
            run_pybiglasso, BiglassoClassifierCV, problem, alphas, tol, threads
        )
        for tol in (1e-7, 1e-10)
    }


def run_pybiglasso(
    estimator: Any, problem: Problem, alphas: np.ndarray, tol: float, threads: int
) -> tuple[float, Answer]:
    """The full path, then the folds' on rows of the same matrix."""
    ids = problem.folds
    splits = [(np.flatnonzero(ids != k), np.flatnonzero(ids == k)) for k in range(ids.max() + 1)]
    model = estimator(l1_ratio=1.0, alphas=alphas, cv=splits, tol=tol, n_jobs=threads)
    start = time.perf_counter()
    model.fit(problem.X_columns, problem.y)
    seconds = time.perf_counter() - start
    cv_mean = np.average(model.cv_scores_, axis=0, weights=np.bincount(ids))
    found = (model.path_.coef.toarray().T, model.path_.intercept, cv_mean)
    return seconds, Answer(*(padded(part, len(alphas)) for part in found))


def run_products(X: np.ndarray, n_columns: int, threads: int) -> tuple[float, None]:
    """The two matrix products of one pass, X B and X'E, without a loss between them."""
    B = np.ones((X.shape[1], n_columns))

    def share(rows: np.ndarray) -> np.ndarray:
        total = np.zeros_like(B)
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            total += block.T @ (block @ B)
        return total

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        sum(pool.map(share, np.array_split(X, threads)))
        return time.perf_counter() - start, None


def judge(problem: Problem, alphas: np.ndarray, answer: Answer) -> Quality:
    """Objective and violation on the full data, from the definition.

    The objective is the mean of ``log(1 + exp(t)) - y t`` plus alpha times the sum of
    ``|w_j| sd_j``; the violation is the largest distance of 0 from its subdifferential in
    ``w_j sd_j`` and in the intercept of the centred features.
    """
    X, y, n = problem.X, problem.y, len(problem.y)
    mean, sd = X.mean(axis=0), X.std(axis=0)
    loss, slope = np.zeros((2, len(alphas)))
    gradient = np.zeros((X.shape[1], len(alphas)))
    for first in range(0, n, BLOCK_ROWS):
        block, label = X[first : first + BLOCK_ROWS] - mean, y[first : first + BLOCK_ROWS, None]
        eta = block @ answer.coef.T + (answer.intercept + answer.coef @ mean)
        loss += (np.logaddexp(0.0, eta) - label * eta).sum(axis=0)
        residual = expit(eta) - label
        slope += residual.sum(axis=0)
        gradient += block.T @ residual
    scaled, gradient = answer.coef * sd, (gradient / sd[:, None]).T / n
    at_zero = np.maximum(np.abs(gradient) - alphas[:, None], 0.0)
    elsewhere = np.abs(gradient + alphas[:, None] * np.sign(scaled))
    violation = np.where(scaled == 0.0, at_zero, elsewhere).max(axis=1)
    objective = loss / n + alphas * np.abs(scaled).sum(axis=1)
    return Quality(objective, np.maximum(violation, np.abs(slope) / n))


def time_table(seconds: dict[str, list[float]]) -> list[str]:
    """Medians, spread and ratios to distreg."""
    base = statistics.median(seconds[DISTREG])
    lines = [f"{'':44}{'median s':>10}{'min':>9}{'max':>9}{'/ distreg':>11}"]
    for name, values in seconds.items():
        mid = statistics.median(values)
        spread = f"{min(values):>9.3f}{max(values):>9.3f}"
        lines.append(f"{name:44}{mid:>10.3f}{spread}{mid / base:>11.2f}")
    return lines


def quality_table(
    problem: Problem, alphas: np.ndarray, answers: dict[str, Answer]
) -> tuple[list[str], dict[str, dict[str, float]]]:
    """The worst over the alphas of each answer, and the same as numbers."""
    found = {name: judge(problem, alphas, answer) for name, answer in answers.items()}
    best = np.nanmin([quality.objective for quality in found.values()], axis=0)
    share = problem.y.mean()
    null = -share * np.log(share) - (1.0 - share) * np.log1p(-share)
    theirs = [answer.cv_mean for name, answer in answers.items() if "glmnet" in name]
    reference = theirs[-1] if theirs else np.full(len(alphas), np.nan)
    lines = [f"{'worst over the alphas':44}{'excess':>10}{'KKT':>9}{'cv_mean':>9}{'chosen':>9}"]
    numbers = {}
    for name, answer in answers.items():
        distance = np.abs(answer.cv_mean / reference - 1.0)
        numbers[name] = row = {
            "excess": float(np.nanmax((found[name].objective - best) / null)),
            "violation": float(np.nanmax(found[name].violation / alphas[0])),
            "cv_difference": float(np.max(distance[~np.isnan(distance)], initial=0.0)),
            "chosen": int(np.nanargmin(answer.cv_mean)) + 1,
            "n_alphas": int(np.sum(~np.isnan(found[name].objective))),
        }
        apart = f"{row['cv_difference']:>9.1e}" if theirs else f"{'-':>9}"
        ends = "" if row["n_alphas"] == len(alphas) else f"   only {row['n_alphas']} alphas"
        lines.append(
            f"{name:44}{row['excess']:>10.1e}{row['violation']:>9.1e}{apart}{row['chosen']:>9}{ends}"
        )
    lines += [
        "excess: objective above the best of all, over the null objective; KKT: violation over the",
        "largest alpha; cv_mean: relative difference from glmnet's with the smallest thresh;",
        "chosen: number of the alpha with the lowest cv_mean",
    ]
    return lines, numbers


def own_words(model: Any, alphas: np.ndarray) -> str:
    """What distreg says of its own answer."""
    kkt, gap = (np.max(model.cv_results_[name]) for name in ("kkt_violation", "dual_gap"))
    account = f"KKT {kkt / alphas[0]:.1e} of the largest alpha, dual gap {gap:.1e}"
    return f"distreg: {model.n_passes_} passes; by its own account {account}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--alphas", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of every contestant that has them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-peers", action="store_true", help="distreg and bare products only")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


def main() -> int:
    """Command line entry; exit code 1 when distreg's answer is worse than it promises."""
    args = arguments()
    problem = make_problem(args.rows, args.features, args.folds, args.seed)
    print(
        f"{args.rows:,} x {args.features}, {args.alphas} alphas, l1_ratio 1, {args.folds} folds, "
        f"{args.repeats} repeats, share of ones {problem.y.mean():.3f}"
    )
    first, model = run_distreg(problem, args.alphas, args.threads)
    print(f"first run of distreg: {first:.3f} s")
    alphas, n_columns = np.asarray(model.alphas_), (args.folds + 1) * args.alphas
    answers = {DISTREG: answer_of(model)}
    products = f"products of one pass, {n_columns} columns"
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, Contestant] = {
            DISTREG: lambda: (run_distreg(problem, args.alphas, args.threads)[0], None),
            LOOSE: lambda: run_loose(problem, args.alphas, args.threads),
            products: lambda: run_products(problem.X, n_columns, args.threads),
        }
        if not args.no_peers:
            contestants |= glmnet_contestants(problem, alphas, Path(folder), args.threads)
            contestants |= pybiglasso_contestants(problem, alphas, args.threads)
        for _ in range(args.repeats):
            for name, call in contestants.items():
                elapsed, answer = call()
                seconds.setdefault(name, []).append(elapsed)
                answers |= {name: answer} if answer is not None else {}
    passes = int(model.n_passes_)
    seconds[f"products of {passes} such passes"] = [passes * value for value in seconds[products]]
    lines, quality = quality_table(problem, alphas, answers)
    print("\n".join([*time_table(seconds), *lines, own_words(model, alphas)]))
    if args.json:
        figures = {"seconds": seconds, "quality": quality, "n_passes": passes}
        args.json.write_text(json.dumps({"args": vars(args) | {"json": None}} | figures))
    ours = quality[DISTREG]
    kept = ours["excess"] <= TOL and ours["violation"] <= 1.01 * MAX_VIOLATION
    return 0 if kept and ours["n_alphas"] == len(alphas) else 1


if __name__ == "__main__":
    sys.exit(main())
