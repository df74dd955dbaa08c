"""Tables of problems, and data sets cut into blocks at will.

Every problem says which numerical habit it is made to break. Seeds are explicit.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from distreg.cv import cross_validate
from distreg.data.arrays import from_arrays
from distreg.data.block import Block, Group
from distreg.data.dataset import Dataset
from distreg.data.folds import make_cells
from distreg.options import PathOptions
from distreg.passes import PassRunner
from distreg.result import CVResult

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """Data, and how the model is to treat them.

    `X` is a NumPy array, a CSR matrix, or a pair (dense, CSR) that stands side by side.
    """

    name: str
    X: Any
    y: Array
    weight: Array | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def matrix(self) -> Array:
        """The features as one dense array of doubles."""
        parts = self.X if isinstance(self.X, tuple) else (self.X,)
        dense = [p.toarray() if sparse.issparse(p) else p for p in parts]
        return np.hstack([np.asarray(d, dtype=np.float64) for d in dense])

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape


# --- features ------------------------------------------------------------------------------------
def correlated(rng: np.random.Generator, n: int, p: int, rho: float = 0.95) -> Array:
    """Columns of unit variance, every pair correlated by rho."""
    return np.sqrt(rho) * rng.normal(size=(n, 1)) + np.sqrt(1 - rho) * rng.normal(size=(n, p))


def scaled(rng: np.random.Generator, X: Array) -> Array:
    """Columns of scale 1e-3 to 1e3."""
    return X * 10.0 ** rng.uniform(-3, 3, X.shape[1])


def shifted(rng: np.random.Generator, X: Array, offset: float = 1e3) -> Array:
    """Columns moved by up to `offset` of their own scale."""
    return X + rng.uniform(-offset, offset, X.shape[1]) * X.std(axis=0)


def target(rng: np.random.Generator, X: Array, noise: float = 0.5) -> Array:
    """A sparse linear signal, noise, and a level far from 0."""
    spread = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
    k = max(1, X.shape[1] // 3)
    w = np.zeros(X.shape[1])
    w[rng.choice(X.shape[1], k, replace=False)] = rng.normal(size=k)
    signal = Z @ w
    level = rng.uniform(-50, 50)
    return level + signal + noise * (signal.std() + 0.1) * rng.normal(size=len(X))


def one_hot(rng: np.random.Generator, n: int, levels: int) -> sparse.csr_array:
    """Indicators of a categorical column."""
    at = rng.integers(0, levels, n)
    return sparse.csr_array((np.ones(n), (np.arange(n), at)), shape=(n, levels))


# --- the table of named problems -----------------------------------------------------------------
def _plain(rng: np.random.Generator) -> Case:
    X = rng.normal(size=(80, 8))
    return Case("plain", X, target(rng, X))


def _scales(rng: np.random.Generator) -> Case:
    X = scaled(rng, correlated(rng, 90, 9))
    return Case("scales 1e-3 to 1e3, correlation 0.95", X, target(rng, X))


def _offsets(rng: np.random.Generator) -> Case:
    X = shifted(rng, scaled(rng, correlated(rng, 70, 7)))
    return Case("offsets 1e3", X, target(rng, X), options={"standardize": True})


def _wide(rng: np.random.Generator) -> Case:
    X = correlated(rng, 40, 60, 0.5)
    return Case("p > n", X, target(rng, X))


def _duplicates(rng: np.random.Generator) -> Case:
    X = rng.normal(size=(60, 5))
    X = np.column_stack([X, X[:, 0], -X[:, 1], X[:, 2] + X[:, 3]])
    return Case("duplicate, opposite and dependent columns", X, target(rng, X))


def _constants(rng: np.random.Generator) -> Case:
    X = rng.normal(size=(60, 6))
    X[:, 1], X[:, 4] = 0.1, -1e6
    return Case("constant columns", X, target(rng, X[:, [0, 2, 3, 5]]),
                options={"standardize": True})  # fmt: skip


def _weights(rng: np.random.Generator) -> Case:
    X = shifted(rng, rng.normal(size=(90, 7)), 100)
    weight = rng.exponential(size=90) * (rng.random(90) > 0.2)
    return Case("weights, some 0", X, target(rng, X), weight)


def _factors(rng: np.random.Generator) -> Case:
    X = correlated(rng, 80, 8, 0.6)
    factor = np.array([0, 1, 2.5, 0.1, 0, 1, 1, 30.0])
    return Case("penalty factors, some 0", X, target(rng, X),
                options={"penalty_factor": factor, "standardize": True})  # fmt: skip


def _no_intercept(rng: np.random.Generator) -> Case:
    X = rng.normal(size=(70, 6)) + 0.5
    return Case("no intercept", X, target(rng, X), options={"fit_intercept": False})


def _single(rng: np.random.Generator) -> Case:
    X = shifted(rng, rng.normal(size=(80, 7)), 100).astype(np.float32)
    return Case("float32", X, target(rng, X.astype(float)), options={"standardize": True})


def _csr(rng: np.random.Generator) -> Case:
    X = sparse.random_array((90, 12), density=0.2, rng=rng, format="csr")
    return Case("sparse", X, target(rng, X.toarray()), rng.uniform(0.5, 2, 90))


def _mixed(rng: np.random.Generator) -> Case:
    dense = scaled(rng, rng.normal(size=(90, 4)))
    hot = one_hot(rng, 90, 6)
    both = np.hstack([dense, hot.toarray()])
    return Case("dense and one-hot", (dense, hot), target(rng, both), rng.uniform(0.5, 2, 90),
                {"standardize": True})  # fmt: skip


_MAKERS: tuple[Callable[[np.random.Generator], Case], ...] = (
    _plain, _scales, _offsets, _wide, _duplicates, _constants, _weights, _factors, _no_intercept,
    _single, _csr, _mixed,
)  # fmt: skip


def named_cases() -> list[Case]:
    """Every named problem, always the same."""
    return [make(np.random.default_rng(100 + i)) for i, make in enumerate(_MAKERS)]


def random_case(seed: int) -> Case:
    """One of the random problems of the certificate tests: all habits mixed by chance."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(12, 70)), int(rng.integers(1, 25))
    if rng.random() < 0.15:
        n, p = int(rng.integers(8, 25)), int(rng.integers(25, 50))
    options: dict[str, Any] = {"standardize": bool(rng.random() < 0.5)}
    if rng.random() < 0.2:
        options["fit_intercept"] = False
    X = correlated(rng, n, p, rng.choice([0.0, 0.5, 0.95]))
    if rng.random() < 0.6:
        X = scaled(rng, X)
    if rng.random() < 0.6:
        # Without an intercept, columns 1e3 of their spread away from 0 are parallel to six digits:
        # rounding the coefficients to doubles alone costs a pure lasso's gap more than 1e-6.
        X = shifted(rng, X, 1e3 if options.get("fit_intercept", True) else 10)
    if p > 3 and rng.random() < 0.15:
        X[:, 1] = X[:, 0]
    if p > 3 and rng.random() < 0.15:
        X[:, 2] = rng.normal()
    y = target(rng, X, noise=10.0 ** rng.uniform(-2, 0.5)) * 10.0 ** rng.uniform(-3, 3)
    weight = None
    if rng.random() < 0.4:
        weight = rng.exponential(size=n) * (rng.random(n) > 0.15)
        weight[:3] = 1.0
    if rng.random() < 0.3:
        factor = rng.exponential(size=p) + 1e-3
        # the unpenalised columns alone must not reproduce the target
        n_free = int(min(rng.integers(0, 4), p - 1, n // 4))
        factor[rng.choice(p, n_free, replace=False)] = 0
        options["penalty_factor"] = factor
    if rng.random() < 0.1:
        X = X.astype(np.float32)
    return Case(f"seed {seed}", X, y, weight, options)


# --- data sets in blocks -------------------------------------------------------------------------
@dataclass(frozen=True)
class Rows:
    """A recipe that holds its block, and may leave a mark in a folder each time it is read."""

    index: int
    row_start: int
    n_rows: int
    nbytes: int
    source: str
    block: Block
    marks: str | None = None
    inputs: tuple[Any, ...] = ()

    def load(self, *inputs: Any) -> Block:
        if self.marks is not None:
            (Path(self.marks) / f"{self.index}-{uuid.uuid4().hex}").touch()
        return self.block


def dataset(
    case: Case,
    cuts: Sequence[int] = (),
    *,
    per_group: int = 1,
    marks: Path | None = None,
    **keywords: Any,
) -> Dataset:
    """The case as a data set whose blocks end at the rows `cuts`, `per_group` blocks a task."""
    parts = case.X if isinstance(case.X, tuple) else (case.X,)
    whole = sparse.csr_array(sparse.hstack(parts)) if len(parts) > 1 else parts[0]
    base = from_arrays(whole, case.y, sample_weight=case.weight, **keywords)
    dense = [np.asarray(p) for p in parts if not sparse.issparse(p)]
    hot = [sparse.csr_array(p) for p in parts if sparse.issparse(p)]
    n = len(case.y)
    left = dense[0] if dense else np.empty((n, 0))
    right = hot[0] if hot else None
    bounds = [0, *sorted(set(cuts) - {0, n}), n]
    recipes = []
    for i, (start, stop) in enumerate(itertools.pairwise(bounds)):
        at = slice(start, stop)
        block = Block(
            dense=left[at],
            sparse=None if right is None else sparse.csr_array(right[at]),
            y=np.asarray(case.y[at], dtype=np.float64),
            weight=None if case.weight is None else np.asarray(case.weight[at], dtype=np.float64),
            offset=None,
            row=np.arange(start, stop, dtype=np.int64),
            source=f"rows {start} to {stop - 1}",
        )
        mark = None if marks is None else str(marks)
        recipes.append(Rows(i, start, stop - start, block.nbytes, block.source, block, mark))
    groups = tuple(
        Group(g, tuple(recipes[at : at + per_group]))
        for g, at in enumerate(range(0, len(recipes), per_group))
    )
    return dataclasses.replace(
        base,
        groups=groups,
        nbytes=2**40,  # small data would be put into a few groups, whatever the cuts
        n_dense=left.shape[1],
        n_sparse=0 if right is None else right.shape[1],
    )


def fit(
    case: Case,
    scheme: Any = None,
    *,
    cuts: Sequence[int] = (),
    per_group: int = 1,
    runner: PassRunner | None = None,
    missing: str = "error",
    test: Any = None,
    **options: Any,
) -> CVResult:
    """Cross-validate a case: its own options, then those given here."""
    data = dataset(case, cuts, per_group=per_group, missing=missing)
    cells = make_cells(scheme, data.n_rows, test)
    options = {**case.options, **options}
    return cross_validate(data, cells, PathOptions(**options), runner or PassRunner(n_threads=1))


def problem_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those options that change the problem rather than how it is solved."""
    names = ("penalty_factor", "standardize", "fit_intercept")
    return {name: options[name] for name in names if name in options}


def splits_of(cells: Any, n_rows: int, fold_key: Array | None = None) -> list[tuple[Array, Array]]:
    """(train, held-out) row numbers of each fold, from the cells' own masks."""
    of_row = cells.restrict(0, n_rows)(np.arange(n_rows, dtype=np.int64), fold_key)
    return [
        (np.flatnonzero(train[of_row]), np.flatnonzero(held_out[of_row]))
        for train, held_out in zip(cells.train, cells.held_out, strict=True)
    ]
