"""Paragraphs of the docstrings that several estimators share."""

from __future__ import annotations

import textwrap
from typing import TypeVar

__all__ = ["documented"]

C = TypeVar("C", bound=type)

PENALTY = """\
fit_intercept : bool
    Whether to fit an intercept. It is never penalised.
standardize : bool
    Let the penalty act on ``w_j sd_j``, with the standard deviations of each training set; the
    coefficients stay on the scale of the data.
penalty_factor : (n_features,) array, optional
    Multiplies alpha for each feature, rescaled to sum to n_features; 0 is unpenalised.
positive : bool
    Keep all coefficients at 0 or above: short for `lower_bounds` = 0.
lower_bounds, upper_bounds : float or (n_features,) array, optional
    Bounds of the coefficients on the scale of the data, not above and not below 0; may be
    infinite. They need alpha > 0, and a penalty on each feature that has one.
missing : {"error", "mean", "drop"}
    Missing feature values: an error, the training set's mean, or leave the row out."""

VERBOSE = """\
verbose : int or bool
    Whether to write the stages to standard error."""

GRID = """\
alphas : int, sequence of float, or None
    Strengths to choose from, or how many; None: `n_alphas`.
n_alphas : int
    Size of the grid, which falls from the smallest alpha without features.
alpha_min_ratio : float, optional
    Last alpha over the first; default 1e-4 with more rows than features, else 1e-2 (for a pure L2
    penalty 1e-8, else 1e-6).
cv : int, array, splitter, list of (train, test), "approx" or "approx-10"
    Number of folds, 0 for none; one fold id for each row, -1 = never held out; or any splitter of
    scikit-learn or `distreg.data.folds`. "approx" is 5 folds, "approx-10" is 10, each of which
    takes one Newton step from the answer on all rows: about as good a curve in fewer and shorter
    passes (the squared loss is exact all the same)."""

CHOICE = """\
selection : {"min", "1se", "aic", "bic", "ebic"}
    Lowest mean held-out error, the largest alpha within one standard error of it, or the lowest
    information criterion of the fits on all rows, which needs no folds.
relax : bool, float or sequence of float, optional
    Also fit the features of every support without a penalty, and try blends with a share gamma in
    [0, 1] of the penalised fit; True: 0, 0.25, 0.5, 0.75. Needs an l1_ratio above 0.
adaptive : float, optional
    Penalty factors ``1 / |b_j|^adaptive``, times `penalty_factor`, with b of a ridge fit on the
    same training set (of the standardised features with `standardize`); usually 1."""

THREADS = """\
n_jobs : int, optional
    Threads when the data are in this process; default: one for each processor."""

COEF = """\
coef_ : (n_features,) array
    Coefficients on the scale of the data.
intercept_ : float
    Intercept."""

CHOSEN = """\
alpha_, l1_ratio_ : float
    Strength and L1 share of the penalty.
gamma_ : float
    Share of the penalised fit: 1 unless a relaxed one was chosen.
dual_gap_ : float
    Upper bound on the distance of the objective from its minimum.
kkt_violation_ : float
    Largest distance of an entry of the gradient from what it is at a minimum, in units of the
    gradient of the standardised features."""

MODEL = """\
n_features_in_ : int
    Columns of X.
feature_names_in_ : (n_features,) array of str
    Their names, if X has any.
model_ : LinearModel
    The model itself: predicts, saves and loads without scikit-learn."""

GLM = f"""\
{CHOSEN}
status_ : str
    "converged", or what is above its tolerance in some answer; "..., folds approximate" where the
    folds took one step.
n_passes_, n_iter_ : int
    Passes over the data.
{MODEL}"""

ALPHAS = """\
alphas_ : (n_alphas,) or (n_l1_ratios, n_alphas) array
    The grid, descending."""

DEVIANCE = """\
deviance_path_ : (n_alphas, n_folds) or (n_l1_ratios, n_alphas, n_folds) array
    Mean deviance of the held-out rows."""

PATH = """\
coef_path_ : (n_l1_ratios, n_alphas, n_features) array
    Coefficients on the full data; those of relaxed fits follow, gamma by gamma for each l1_ratio.
intercept_path_ : (n_l1_ratios, n_alphas) array
    Intercepts on the full data."""

TABLE = """\
cv_results_ : dict of (n_l1_ratios * n_alphas,) arrays
    l1_ratio, gamma, alpha, cv_mean, cv_se, n_nonzero, objective, dual_gap, kkt_violation,
    support_stability, fold_dual_gap, fold_kkt_violation, aic, bic, ebic, df."""

PARTS = {
    "penalty": PENALTY,
    "verbose": VERBOSE,
    "threads": THREADS,
    "common": f"""\
{PENALTY}
solver : {{"auto", "gram", "admm", "consensus"}}
    "auto" is "gram": Gram matrices of all folds, from one pass over the data. "admm": alternating
    directions, tens of passes, with one Gram matrix whatever the number of folds. "consensus": the
    same without that matrix; every part of the rows keeps its own factor, and only sums of the size
    of the coefficients leave it.
tol : float
    Tolerance on the dual gap, relative to the objective of the model without features.
max_passes : int, optional
    Most passes over the data; "gram" needs one, the default of the others is 1000.
{VERBOSE}""",
    "common_glm": f"""\
{PENALTY}
solver : {{"auto", "newton", "admm", "consensus"}}
    "auto" is "newton" where the loss has no kink: proximal Newton steps, for all folds, l1_ratios
    and alphas in the same passes over the data. "admm": alternating directions, tens of passes
    with cheap steps between them. "consensus": the same without a Gram matrix of all rows; every
    part of them keeps its own factor. Both not for more than two classes.
tol : float
    Tolerance on the dual gap, relative to the objective of the model without features. With
    "newton" an answer also needs a KKT violation of at most tol (or 1e-6, if that is larger) of
    that model's largest gradient.
max_passes : int, optional
    Most passes over the data; default 100, with "admm" and "consensus" 1000.
{VERBOSE}""",
    "common_kinked": f"""\
{PENALTY}
solver : {{"auto", "admm", "consensus"}}
    "auto" is "admm", as the loss has kinks: alternating directions, for all folds, l1_ratios and
    alphas in the same passes over the data. "consensus": the same without a Gram matrix of all
    rows; every part of them keeps its own factor.
tol : float
    Tolerance on the dual gap, relative to the objective of the model without features.
max_passes : int, optional
    Most passes over the data; default 1000.
{VERBOSE}""",
    "class_weight": """\
class_weight : dict, "balanced" or None
    Multiplies the weights of the rows of a class: a dict of labels and factors (1 for a label that
    it does not name), or "balanced", ``W / (C W_c)`` with the sums W of all sample weights and W_c
    of those of the class, and C classes; this takes one more pass.""",
    "grid": f"""\
{GRID}
{CHOICE}
random_state : int, RandomState or None
    Seed that shuffles the folds when `cv` is a number; None: contiguous folds.
{THREADS}""",
    "grid_classes": f"""\
{GRID} A number
    makes stratified folds, as in scikit-learn, when the target is in memory; else folds by row
    number.
{CHOICE}
random_state : int, RandomState or None
    Seed that shuffles the folds when `cv` is a number; None: folds in the order of the rows.
{THREADS}""",
    "compatible": """\
precompute, max_iter, copy_X, warm_start, random_state, selection
    scikit-learn's keywords, of no effect: Gram matrices are always used, the descent ends in an
    exact solution wherever it starts and whatever its order, X is neither copied nor changed.""",
    "compatible_cv": """\
eps : float, optional
    scikit-learn's name of `alpha_min_ratio`.
precompute, max_iter, copy_X
    scikit-learn's keywords, of no effect: Gram matrices are always used, the descent ends in an
    exact solution, and X is neither copied nor changed.""",
    "fitted": f"""\
{COEF}
{CHOSEN}
status_ : str
    "converged", or "dual gap above tol" when some answer is.
n_iter_ : int
    Sweeps of coordinate descent; 1 for a direct solution.
n_passes_ : int
    Passes over the data.
{MODEL}""",
    "fitted_counts": f"""\
{COEF}
{GLM}""",
    "fitted_binary": f"""\
classes_ : (2,) array
    Labels, ascending, of the type of y.
coef_ : (1, n_features) array
    Coefficients on the scale of the data; positive ones speak for the second class.
intercept_ : (1,) array
    Intercept.
{GLM}""",
    "fitted_classes": f"""\
classes_ : (n_classes,) array
    Labels, ascending, of the type of y.
coef_ : (1, n_features) or (n_classes, n_features) array
    Coefficients on the scale of the data: of the second of two classes, or of each of several.
intercept_ : (1,) or (n_classes,) array
    Intercepts; those of several classes sum to 0.
{GLM}""",
    "path": f"""\
{ALPHAS}
mse_path_ : (n_alphas, n_folds) or (n_l1_ratios, n_alphas, n_folds) array
    Mean squared error of the held-out rows.
{PATH}
{TABLE}""",
    "path_glm": f"""\
{ALPHAS}
{DEVIANCE}
{PATH}
{TABLE}""",
    "path_classes": f"""\
{ALPHAS}
{DEVIANCE}
coef_path_ : (n_l1_ratios, n_alphas, n_features) array
    Coefficients on the full data; (n_l1_ratios, n_alphas, n_classes, n_features) of several
    classes.
intercept_path_ : (n_l1_ratios, n_alphas) or (n_l1_ratios, n_alphas, n_classes) array
    Intercepts on the full data.
{TABLE}""",
}


def documented(cls: C) -> C:
    """Class decorator that puts the shared paragraphs in the place of ``{name}``."""
    text = cls.__doc__
    if text is not None:
        for name, part in PARTS.items():
            text = text.replace(f"    {{{name}}}", textwrap.indent(part, "    "))
        cls.__doc__ = text
    return cls
