"""Rounds of ADMM to a gap of 1e-6 when rho starts two decades off, and with the best fixed rho.

Counts passes, so that it says the same on any machine. For every loss and l1_ratio: the run with
rho as distreg starts and adapts it, the same with 0.01 and 100 times that start, and runs without
adaptation at 0.1 to 10 times that start, of which the best counts. Ends with exit code 1 where a
start that is off takes more than 3 times the rounds of the best fixed rho.

    python benchmarks/bench_rho.py [--solver consensus]
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from distreg.admm import crossval
from distreg.admm.smooth import Smooth
from distreg.admm.solve import Kinked
from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.folds import KFold, make_cells
from distreg.options import PathOptions
from distreg.passes import PassRunner

LOSSES = {
    "squared": None, "logistic": None, "poisson": None, "squared_hinge": None, "huber": 1.35,
    "hinge": None, "quantile": 0.5,
}  # fmt: skip
"""With their parameters."""

FIXED = (0.1, 0.3, 1.0, 3.0, 10.0)
OFF = (0.01, 100.0)
WORST = 3.0


@contextmanager
def rho_from(factor: float, *, adapted: bool) -> Iterator[None]:
    """Context in which rho starts at `factor` times its start, and may stay there."""
    first, rules = crossval._first_rho, (Smooth.adapt, Kinked.adapt)
    crossval._first_rho = lambda problem, nulls: factor * first(problem, nulls)
    if not adapted:
        for kind in (Smooth, Kinked):
            kind.adapt = lambda self, part, k: None
    try:
        yield
    finally:
        crossval._first_rho = first
        Smooth.adapt, Kinked.adapt = rules


def make_data(loss: str, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features, half of them with an effect."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) + 0.5 * rng.standard_normal((n, 1))
    eta = X @ (rng.standard_normal(p) * (rng.random(p) < 0.5))
    if loss == "poisson":
        return X, rng.poisson(np.exp(np.clip(0.5 * eta, -5.0, 4.0))).astype(np.float64)
    if loss in ("squared", "huber", "quantile"):
        return X, eta + rng.standard_t(3, n)
    return X, (eta + rng.logistic(size=n) > 0.0).astype(np.float64)


def n_passes(loss: str, ratio: float, data: tuple[np.ndarray, np.ndarray], solver: str) -> float:
    """Passes until every fit is certified; infinite if some never are."""
    options = PathOptions(
        loss=loss, loss_parameter=LOSSES[loss], l1_ratios=(ratio,), n_alphas=10, solver=solver,
        max_passes=1000,
    )  # fmt: skip
    dataset = from_arrays(*data, classes=loss in ("logistic", "squared_hinge", "hinge"))
    cells = make_cells(KFold(3), dataset.n_rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = cross_validate(dataset, cells, options, PassRunner(n_threads=2))
    return float(result.cost.n_passes) if result.converged else np.inf


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=list(LOSSES))
    parser.add_argument("--solver", default="admm", choices=["admm", "consensus"])
    arguments = parser.parse_args()
    print("| loss | l1_ratio | as started | 0.01 times | 100 times | best fixed | worst / best |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for loss, ratio in itertools.product(arguments.losses, (1.0, 0.5, 0.0)):
        data = make_data(loss, arguments.rows, arguments.features)
        found = []
        for factor in (1.0, *OFF):
            with rho_from(factor, adapted=True):
                found.append(n_passes(loss, ratio, data, arguments.solver))
        fixed = []
        for factor in FIXED:
            with rho_from(factor, adapted=False):
                fixed.append(n_passes(loss, ratio, data, arguments.solver))
        over = max(found) / min(fixed)
        worst = max(worst, over)
        cells = " | ".join(f"{n:.0f}" for n in (*found, min(fixed)))
        print(f"| {loss} | {ratio:g} | {cells} | {over:.1f} |", flush=True)
    print(f"worst: {worst:.1f} times the best fixed rho")
    if worst > WORST:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
