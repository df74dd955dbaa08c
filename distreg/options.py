"""What to fit on every training set, and whether that makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distreg.exceptions import InputError
from distreg.losses import get_loss
from distreg.penalties import Box

__all__ = [
    "BY_ROUNDS",
    "GAMMAS",
    "MAX_PASSES",
    "SOLVERS",
    "PathOptions",
    "as_grids",
    "bounds_of",
    "check_options",
    "check_relax",
    "check_extras",
    "check_solver",
    "most_passes",
    "solver_of",
]

GAMMAS = (0.0, 0.25, 0.5, 0.75)
"""What relax=True stands for, as in glmnet."""

SOLVERS = {
    "squared": ("gram", "admm", "consensus"),
    "logistic": ("newton", "admm", "consensus"),
    "multinomial": ("newton",),
    "poisson": ("newton", "admm", "consensus"),
    "squared_hinge": ("newton", "admm", "consensus"),
    "hinge": ("admm", "consensus"),
    "huber": ("newton", "admm", "consensus"),
    "quantile": ("admm", "consensus"),
}
"""What can fit each loss; the first is what "auto" stands for."""

BY_ROUNDS = ("admm", "consensus")
"""Solvers by rounds of alternating directions (`distreg.admm`)."""

MAX_PASSES = {"gram": 1, "newton": 100, "admm": 1000, "consensus": 1000}
"""Default of `PathOptions.max_passes` for each solver. A round is cheap, and there are mostly
tens."""

KKT_TOLERANCE = 1e-6
"""KKT violation, over the largest gradient of the null model, below which no tol asks for less."""


@dataclass(frozen=True)
class PathOptions:
    """What to fit on every training set.

    Attributes
    ----------
    l1_ratios : sequence of float
        One path each; 1 is L1, 0 is L2.
    alphas : array or sequence of arrays, optional
        Penalty strengths, one array for all l1_ratios or one for each; default: a geometric grid
        from the full data, the same for all folds.
    n_alphas : int
        Size of the default grid.
    alpha_min_ratio : float, optional
        Last alpha of the default grid over its first; default 1e-4 with more rows than features,
        else 1e-2 (1e-8 and 1e-6 for a pure L2 penalty, with losses other than the squared 1e-7 and
        1e-6; less for an Elastic Net with a target of large units, see `alpha_grid`).
    penalty_factor : (p,) array, optional
        Multiplies alpha for each feature, rescaled to sum to p; 0 is unpenalised. Default 1.
    lower_bounds, upper_bounds : float or (p,) array, optional
        Bounds of the coefficients on the scale of the data, not above and not below 0; may be
        infinite.
    standardize : bool
        The penalty acts on ``w_j sd_j``, with the standard deviation of each training set.
    fit_intercept : bool
        Whether to fit an (unpenalised) intercept.
    tol : float
        Tolerance on dual_gap / null_objective above which an answer counts as not converged.
    approximate : bool
        Only the full data are iterated to these tolerances; the fits of the folds are one Newton
        step away from there. Of no effect on other solvers than Newton's method.
    loss : str
        Name of the loss.
    loss_parameter : float, optional
        delta of the Huber loss (default 1.35), the quantile of the quantile loss (default 0.5).
    max_passes : int, optional
        Most passes over the data; default `MAX_PASSES` of the solver (Gram matrices need one).
    relax : sequence of float
        Shares gamma of the penalised fit in blends with a refit without a penalty, one more path
        each for every l1_ratio above 0; 1 is the penalised path, which there always is.
    adaptive : float, optional
        Exponent of adaptive penalty factors, from a first fit on each training set
        (`distreg.adaptive`).
    solver : str
        "auto", or one of `SOLVERS` of the loss.
    """

    l1_ratios: Sequence[float] = (1.0,)
    alphas: np.ndarray | Sequence[np.ndarray] | None = None
    n_alphas: int = 100
    alpha_min_ratio: float | None = None
    penalty_factor: np.ndarray | None = None
    lower_bounds: float | np.ndarray | None = None
    upper_bounds: float | np.ndarray | None = None
    standardize: bool = False
    fit_intercept: bool = True
    tol: float = 1e-6
    loss: str = "squared"
    max_passes: int | None = None
    approximate: bool = False
    loss_parameter: float | None = None
    relax: Sequence[float] = ()
    adaptive: float | None = None
    solver: str = "auto"

    @property
    def kkt_tolerance(self) -> float:
        """Tolerance on kkt_violation / null_gradient, for Newton's method: tol or `KKT_TOLERANCE`.

        A gap is of first order in the violation, so that what suffices for one does for the other.
        """
        return max(self.tol, KKT_TOLERANCE)

    @property
    def gammas(self) -> tuple[float, ...]:
        """The gammas of further paths, descending."""
        return tuple(sorted({float(gamma) for gamma in self.relax} - {1.0}, reverse=True))

    @property
    def relaxations(self) -> tuple[tuple[int, float], ...]:
        """Further paths, after those of the l1_ratios: number of the l1_ratio, and gamma."""
        some = [i for i, ratio in enumerate(self.l1_ratios) if ratio > 0.0]
        return tuple((i, gamma) for i in some for gamma in self.gammas)


def solver_of(options: PathOptions) -> str:
    """What fits: "gram", "newton", "admm" or "consensus"."""
    return SOLVERS[options.loss][0] if options.solver == "auto" else options.solver


def most_passes(options: PathOptions) -> int:
    """Most passes over the data."""
    return options.max_passes or MAX_PASSES[solver_of(options)]


def check_relax(relax: Sequence[float], l1_ratios: Sequence[float]) -> None:
    """Raise InputError for a gamma out of range, or when there is no support to refit."""
    for gamma in relax:
        if not 0.0 <= gamma <= 1.0:
            raise InputError(
                f"relax={gamma} is outside [0, 1]; 1 is the penalised fit, 0 the refit without a "
                "penalty"
            )
    if len(relax) and not any(ratio > 0.0 for ratio in l1_ratios):
        raise InputError(
            "relax refits the features that an L1 penalty selects, but every l1_ratio is 0; give "
            "an l1_ratio above 0, or leave relax out"
        )


def check_solver(loss: str, solver: str) -> None:
    """Raise InputError for a solver that the loss does not have."""
    allowed = ("auto", *SOLVERS[loss])
    if solver not in allowed:
        raise InputError(
            f"solver={solver!r} is not offered for loss={loss!r}; allowed are "
            f"{', '.join(map(repr, allowed))}"
        )


def check_extras(solver: str, gammas: Sequence[float], adaptive: float | None) -> None:
    """Raise InputError for a further stage that the solver does not have."""
    for name, used in (("relax", bool(gammas)), ("adaptive", adaptive is not None)):
        if used and solver in BY_ROUNDS:
            raise InputError(f"{name} is not known to solver={solver!r}: leave {name} out")


def check_options(options: PathOptions, n_features: int) -> None:
    """Raise InputError for an option out of range; reads no data."""
    get_loss(options.loss, options.loss_parameter)
    check_solver(options.loss, options.solver)
    for ratio in options.l1_ratios:
        if not 0.0 <= ratio <= 1.0:
            raise InputError(
                f"l1_ratio={ratio} is outside [0, 1]; 1 is L1 (lasso), 0 is L2 (ridge)"
            )
    if len(options.l1_ratios) == 0:
        raise InputError("no l1_ratio was given; give at least one value in [0, 1]")
    if options.alphas is None:
        if options.n_alphas < 1:
            raise InputError(f"n_alphas={options.n_alphas} is not positive")
        ratio_given = options.alpha_min_ratio
        if ratio_given is not None and not 0.0 < ratio_given < 1.0:
            raise InputError(f"alpha_min_ratio={ratio_given} is outside (0, 1)")
    else:
        _check_alphas(options)
    if not options.tol > 0:
        raise InputError(f"tol={options.tol} is not positive")
    _check_factor(options, n_features)
    _check_bounds(options, n_features)
    _check_relatives(options, n_features)


def _check_factor(options: PathOptions, n_features: int) -> None:
    if options.penalty_factor is None:
        return
    factor = np.asarray(options.penalty_factor, dtype=np.float64)
    if factor.shape != (n_features,):
        raise InputError(
            f"penalty_factor has shape {factor.shape}; it needs one value for each of the "
            f"{n_features} features"
        )
    if not np.all(np.isfinite(factor) & (factor >= 0)):
        raise InputError("penalty_factor must be finite and not negative; 0 means unpenalised")


def bounds_of(options: PathOptions, n_features: int) -> Box | None:
    """Bounds of all coefficients; None when all are infinite."""
    lower, upper = (
        np.full(n_features, default)
        if given is None
        else np.broadcast_to(np.asarray(given, dtype=np.float64), (n_features,)).copy()
        for given, default in ((options.lower_bounds, -np.inf), (options.upper_bounds, np.inf))
    )
    return Box(lower, upper) if np.isfinite([lower, upper]).any() else None


def _check_relatives(options: PathOptions, n_features: int) -> None:
    check_relax(options.relax, options.l1_ratios)
    if options.adaptive is not None and not 0.0 < options.adaptive < np.inf:
        raise InputError(
            f"adaptive={options.adaptive} is not positive and finite; 1 is usual, None is off"
        )
    check_extras(solver_of(options), options.gammas, options.adaptive)
    if bounds_of(options, n_features) is None:
        return
    for name, used in (("relax", options.gammas), ("adaptive", options.adaptive is not None)):
        if used:
            raise InputError(
                f"{name} does not know bounds: leave out {name}, or positive, lower_bounds and "
                "upper_bounds"
            )


def _check_bounds(options: PathOptions, n_features: int) -> None:
    for name, sign, word in (("lower_bounds", -1.0, "above"), ("upper_bounds", 1.0, "below")):
        given = getattr(options, name)
        if given is None:
            continue
        values = np.asarray(given, dtype=np.float64)
        if values.shape not in ((), (n_features,)):
            raise InputError(
                f"{name} has shape {values.shape}; it needs one number, or one value for each of "
                f"the {n_features} features"
            )
        bad = np.atleast_1d(values)[~(np.atleast_1d(values) * sign >= 0.0)]
        if bad.size:
            raise InputError(
                f"{name} holds {bad[0]:g}; no bound may be {word} 0 or NaN, so that all "
                "coefficients can be 0"
            )
    bounds = bounds_of(options, n_features)
    if bounds is None:
        return
    if options.alphas is not None and any(grid[-1] == 0.0 for grid in as_grids(options)):
        raise InputError(
            "alpha=0 with bounds has no certificate; give a small alpha > 0, or remove the bounds"
        )
    if options.penalty_factor is not None:
        free = np.asarray(options.penalty_factor, dtype=np.float64) == 0.0
        both = np.flatnonzero(free & (np.isfinite(bounds.lower) | np.isfinite(bounds.upper)))
        if both.size:
            raise InputError(
                f"feature {both[0]} has a bound and penalty_factor 0; an unpenalised feature cannot"
                " have bounds: give it a small positive factor, or infinite bounds"
            )


def _check_alphas(options: PathOptions) -> None:
    grids = as_grids(options)
    if len({grid.size for grid in grids}) != 1 or grids[0].size == 0:
        raise InputError("alphas must hold the same number of values, at least one, per l1_ratio")
    for grid in grids:
        single_zero = grid.size == 1 and grid[0] == 0.0
        if not np.all(np.isfinite(grid)) or (np.any(grid <= 0) and not single_zero):
            bad = grid[~(np.isfinite(grid) & (grid > 0))][0]
            raise InputError(f"alpha={bad} is not positive and finite; every alpha must be > 0")


def as_grids(options: PathOptions) -> list[np.ndarray]:
    """The given alphas, one descending array for each l1_ratio."""
    alphas = options.alphas
    assert alphas is not None
    several = len(alphas) > 0 and np.ndim(alphas[0]) == 1
    given = list(alphas) if several else [alphas] * len(options.l1_ratios)
    if len(given) != len(options.l1_ratios):
        raise InputError(
            f"alphas has {len(given)} rows; it needs one for each of the {len(options.l1_ratios)} "
            "l1_ratios, or be one-dimensional"
        )
    return [np.sort(np.asarray(grid, dtype=np.float64))[::-1] for grid in given]
