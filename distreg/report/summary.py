"""One summary for each penalty: what the figures draw and the tracker logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from distreg.exceptions import InputError
from distreg.glm.scores import ClassScores
from distreg.path import PathResult
from distreg.report.top import TopCoefficient, largest_coefficients
from distreg.report.words import Words, class_name, words_of
from distreg.result import CVResult
from distreg.selection import CURVE_RULES, RULES, Selected, select

__all__ = [
    "PenaltySummary",
    "TopCoefficient",
    "penalty_label",
    "summarise",
    "winner_of",
    "with_scores",
]


@dataclass(frozen=True)
class PenaltySummary:
    """One penalty: its path, its curve and the model chosen from it.

    A alphas, p features, C classes of a multinomial model.

    Attributes
    ----------
    label : str
        "l1", "l2" or "elasticnet_0.5".
    path : PathResult
        Fits on all training rows.
    cv_mean, cv_se : (A,) arrays
        Held-out deviance (squared loss: MSE) and its standard error; NaN without folds.
    stability : (A,) array
        Mean Jaccard similarity of the folds' supports; NaN without folds.
    fold_gap : (A,) array
        Largest dual gap of the folds, relative to the null objective.
    test : dict of (A,) arrays
        Scores on the test rows.
    rule : {"min", "1se", "aic", "bic", "ebic"}
        The rule that chose `index`.
    index, index_min, index_1se : int
        Grid indices of the chosen model and of both rules' choices.
    winner : bool
        True for the penalty that the rule prefers over all others.
    feature_names : tuple of str
        Names of the p features.
    feature_sd : (p,) array
        Standard deviation of the features, which makes coefficients comparable.
    top : tuple of TopCoefficient
        The largest coefficients of the chosen model by `size`, at most 20, none of them zero.
    null_deviance : float
        Deviance of the model that has only an intercept, on the training rows.
    tol : float
        Tolerance on the dual gap relative to the null objective.
    approximate : bool
        The folds' fits are approximate: no tolerance is asked of them.
    loss : str
        Name of the loss.
    classes : tuple or None
        Labels of a class target.
    kkt_tolerance : float
        Tolerance on the KKT violation relative to the null gradient.
    fold_violation : (A,) array or None
        Largest KKT violation of the folds, relative to their null gradients; NaN if not known.
    scores : ClassScores or None
        What the test rows say of the chosen model beyond sums of losses.
    target : str or None
        Name of the target.
    by_criterion : dict of int
        Grid index that each information criterion chooses; empty where none is known.
    """

    label: str
    path: PathResult
    cv_mean: np.ndarray
    cv_se: np.ndarray
    stability: np.ndarray
    fold_gap: np.ndarray
    test: dict[str, np.ndarray]
    rule: str
    index: int
    index_min: int
    index_1se: int
    winner: bool
    feature_names: tuple[str, ...]
    feature_sd: np.ndarray
    top: tuple[TopCoefficient, ...]
    null_deviance: float
    tol: float
    loss: str = "squared"
    classes: tuple[Any, ...] | None = None
    kkt_tolerance: float = np.inf
    fold_violation: np.ndarray | None = None
    scores: ClassScores | None = None
    target: str | None = None
    approximate: bool = False
    by_criterion: dict[str, int] = field(default_factory=dict)

    @property
    def words(self) -> Words:
        """What things are called for this loss."""
        return words_of(self.loss)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in a sentence."""
        return tuple(class_name(label, self.target) for label in self.classes or (0, 1))

    @property
    def change(self) -> str:
        """What a coefficient changes."""
        return self.words.change.format(self.class_names[1])

    @property
    def l1_ratio(self) -> float:
        """Share of the L1 penalty."""
        return float(self.path.l1_ratio)

    @property
    def title(self) -> str:
        """Name of the penalty for people: "L1", "L2", "Elastic Net 0.5"."""
        plain = {1.0: "L1", 0.0: "L2"}
        name = plain.get(self.l1_ratio, f"Elastic Net {self.l1_ratio:g}")
        return name if self.path.gamma == 1.0 else f"{name}, relaxed {self.path.gamma:g}"

    @property
    def alpha(self) -> float:
        """The chosen penalty strength."""
        return float(self.path.alphas[self.index])

    @property
    def coef(self) -> np.ndarray:
        """(p,) or (C, p) coefficients of the chosen model."""
        coef: np.ndarray = self.path.coef[self.index]
        return coef

    @property
    def intercept(self) -> np.ndarray:
        """() or (C,) intercept of the chosen model."""
        return np.asarray(self.path.intercept[self.index])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.feature_names)

    @property
    def has_folds(self) -> bool:
        """True when there is a cross-validation curve."""
        return bool(np.isfinite(self.cv_mean).any())

    @property
    def sparsity(self) -> np.ndarray:
        """(A,) share of coefficients that are zero."""
        zero: np.ndarray = 1.0 - np.asarray(self.path.n_nonzero) / max(self.n_features, 1)
        return zero

    @property
    def converged(self) -> bool:
        """True when the chosen model and its folds are within the tolerances."""
        i, path = self.index, self.path
        full = path.dual_gap[i] <= self.tol * path.null_objective
        full &= path.relative_violation[i] <= self.kkt_tolerance
        bounds = [(self.fold_gap[i], self.tol)]
        if self.fold_violation is not None:
            bounds.append((self.fold_violation[i], self.kkt_tolerance))
        within = self.approximate or all(np.isnan(size) or size <= b for size, b in bounds)
        return bool(full and within)

    def curves(self) -> dict[str, np.ndarray]:
        """Every curve over the grid, by metric name."""
        path = self.path
        return {
            "path/alpha": path.alphas,
            "path/neg_log10_alpha": -np.log10(path.alphas),
            "path/cv_mean": self.cv_mean,
            "path/cv_se": self.cv_se,
            "path/n_nonzero": path.n_nonzero,
            "path/sparsity": self.sparsity,
            "path/dual_gap": path.dual_gap,
            "path/kkt_violation": path.kkt_violation,
            "path/objective": path.objective,
            **(
                {f"path/{name}": v for name, v in path.information.items()} if path.criteria else {}
            ),
        }

    def metrics(self) -> dict[str, float]:
        """Numbers of the chosen model, by metric name."""
        i, coef = self.index, self.coef.ravel()
        best = {
            "best/alpha": self.alpha,
            "best/l1_ratio": self.l1_ratio,
            **({} if self.path.gamma == 1.0 else {"best/gamma": self.path.gamma}),
            "best/cv_mean": self.cv_mean[i],
            "best/cv_se": self.cv_se[i],
            "best/n_nonzero": self.path.n_nonzero[i],
            "best/sparsity": self.sparsity[i],
            "best/l1_norm": np.abs(coef).sum(),
            "best/l2_norm": np.sqrt(coef @ coef),
            "best/max_abs_coef": np.abs(coef).max(initial=0.0),
            "best/support_stability": self.stability[i],
            "best/dual_gap": self.path.dual_gap[i],
        }
        if self.path.criteria:
            best |= {f"best/{name}": values[i] for name, values in self.path.information.items()}
        if self.loss != "squared":
            best["best/kkt_violation"] = self.path.kkt_violation[i]
        best.update({f"test/{score}": values[i] for score, values in self.test.items()})
        return {name: float(value) for name, value in best.items()}


def penalty_label(l1_ratio: float, gamma: float = 1.0) -> str:
    """Name of a penalty: "l1", "l2" or "elasticnet_0.5", with gamma "l1_relaxed_0.25"."""
    if gamma != 1.0:
        return f"{penalty_label(l1_ratio)}_relaxed_{gamma:g}"
    if l1_ratio == 1.0:
        return "l1"
    return "l2" if l1_ratio == 0.0 else f"elasticnet_{l1_ratio:g}"


def summarise(
    result: CVResult,
    rule: str = "min",
    *,
    chosen: Sequence[Selected] | None = None,
    labels: Sequence[str] | None = None,
    target: str | None = None,
) -> tuple[PenaltySummary, ...]:
    """Summarise each penalty of a cross-validation.

    Parameters
    ----------
    result : CVResult
    rule : {"min", "1se", "aic", "bic", "ebic"}
        How alpha is chosen, within each penalty and between them.
    chosen : sequence of Selected, optional
        One choice for each penalty instead of the rule's; needed without folds when there is more
        than one alpha.
    labels : sequence of str, optional
        Names of the penalties; default: `penalty_label`.
    target : str, optional
        Name of the target.
    """
    if rule not in RULES:
        raise InputError(f"selection={rule!r} is not a rule; use one of {', '.join(RULES)}")
    names = labels or [penalty_label(path.l1_ratio, path.gamma) for path in result.paths]
    best = _winner(result, rule)
    found = (
        _summarise(result, rule, i, name, None if chosen is None else chosen[i].index, i == best)
        for i, name in enumerate(names)
    )
    return tuple(replace(summary, target=target) for summary in found)


def with_scores(summary: PenaltySummary, scores: ClassScores) -> PenaltySummary:
    """The summary with `scores`; their AUC becomes a test score of the chosen alpha."""
    auc = np.full(len(summary.path.alphas), np.nan)
    auc[summary.index] = scores.auc
    return replace(summary, test={**summary.test, "auc": auc}, scores=scores)


def winner_of(summaries: Sequence[PenaltySummary]) -> PenaltySummary:
    """The penalty that the rule prefers."""
    return next(summary for summary in summaries if summary.winner)


def _winner(result: CVResult, rule: str) -> int:
    if rule not in CURVE_RULES or np.isfinite(result.cv_mean).any():
        return select(result, rule).path
    if len(result.paths) > 1:
        raise InputError(
            f"{len(result.paths)} penalties cannot be compared without folds: set cv, select by "
            "aic, bic or ebic, or fit one."
        )
    return 0


def _summarise(
    result: CVResult, rule: str, i: int, label: str, index: int | None, winner: bool
) -> PenaltySummary:
    path = result.paths[i]
    known = {name: np.isfinite(v).any() for name, v in path.information.items() if name != "df"}
    by_criterion = {
        r: select(result, r, path=i).index for r, any_known in known.items() if any_known
    }
    if index is None:
        index = by_criterion.get(rule)
    if np.isfinite(result.cv_mean[i]).any():
        both = {r: select(result, r, path=i).index for r in CURVE_RULES}
    elif index is not None or len(path.alphas) == 1:
        both = dict.fromkeys(CURVE_RULES, 0 if index is None else index)
    else:
        raise InputError(
            "One of several alphas cannot be chosen without folds: set cv or alpha, or select by "
            "aic, bic or ebic."
        )
    if index is None:
        index = both[rule] if rule in both else select(result, rule, path=i).index
    sd = np.asarray(result.feature_sd, dtype=np.float64)
    violation = np.broadcast_to(result.fold_kkt_violation, result.fold_dual_gap.shape)
    return PenaltySummary(
        label=label,
        path=path,
        cv_mean=result.cv_mean[i],
        cv_se=result.cv_se[i],
        stability=result.support_stability[i],
        fold_gap=result.fold_dual_gap[i],
        test={score: values[i] for score, values in result.test.items()},
        rule=rule,
        index=index,
        index_min=both["min"],
        index_1se=both["1se"],
        winner=winner,
        feature_names=result.feature_names,
        feature_sd=sd,
        top=largest_coefficients(path.coef[index], sd, result.feature_names, result.classes),
        null_deviance=result.null_deviance,
        tol=result.tol,
        loss=result.loss,
        classes=result.classes,
        kkt_tolerance=result.kkt_tolerance,
        fold_violation=violation[i],
        approximate=result.approximate,
        by_criterion=by_criterion,
    )
