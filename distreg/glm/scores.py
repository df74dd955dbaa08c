"""What the test rows say of the chosen models beyond sums of losses: AUC, ROC, calibration.

They depend on the order of the predictions, so one more pass gathers the linear predictors of the
test rows; what follows from them is exact, with ties and weights.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse as sp

from distreg.data.block import Block, Group
from distreg.data.draws import hash64
from distreg.kernels.predictor import linear_predictor
from distreg.losses import get_loss
from distreg.passes import Reduction

if TYPE_CHECKING:
    from distreg.data.dataset import Dataset
    from distreg.data.folds import CellRule, Cells

__all__ = [
    "Calibration", "ClassScores", "Models", "Predictions", "Roc", "calibration", "class_scores",
    "roc", "predict_test_rows",
]  # fmt: skip

MAX_ROWS = 2_000_000
"""Most test rows that are kept: an AUC has a standard error of about 0.0005 then."""

MAX_VALUES = 20_000_000
"""Most linear predictors that are kept (160 MB): many classes leave fewer rows."""

SEED = -1
"""Of the draw of test rows; no split has it, so that it is independent of who became one."""

LARGEST = 2**64 - 1
N_BINS = 10
N_POINTS = 1000


@dataclass(frozen=True)
class Models:
    """M models of C coefficient vectors each (classes of a multinomial model, else 1).

    Attributes
    ----------
    coef : (M, C, p) array
    intercept : (M, C) array
    fill : (p,) array or None
        Replaces missing values.
    """

    coef: np.ndarray
    intercept: np.ndarray
    fill: np.ndarray | None = None


@dataclass(frozen=True)
class Predictions:
    """Test rows in order of their numbers.

    Attributes
    ----------
    y : (n,) array
        Class codes.
    weight : (n,) array
    eta : (n, M, C) array
        Linear predictors.
    n_test : int
        Test rows that there are; more than n when they were thinned.
    """

    y: np.ndarray
    weight: np.ndarray
    eta: np.ndarray
    n_test: int


@dataclass(frozen=True)
class Roc:
    """How well a score tells one class from the others.

    Attributes
    ----------
    false_positive, true_positive : (k,) arrays
        Shares of both sides that lie above a threshold, from (0, 0) to (1, 1).
    auc : float
        Area below: the probability that a row of the class scores higher than another one, ties
        half.
    called : (float, float)
        The point of the rows that the model calls this class.
    """

    false_positive: np.ndarray
    true_positive: np.ndarray
    auc: float
    called: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Predicted and observed probabilities in B bins of equally many rows.

    Attributes
    ----------
    predicted, observed, se, weight : (B,) arrays
        Weighted means, standard error of `observed`, sum of the weights.
    """

    predicted: np.ndarray
    observed: np.ndarray
    se: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class ClassScores:
    """What the order of its predictions says of one model.

    Attributes
    ----------
    auc : float
        Of two classes; of several the mean of each one against the rest. NaN where the rows hold
        one class.
    rocs : tuple of Roc or None
        One; of a multinomial model one for each class, None for a class that no row has.
    calibration : Calibration or None
        Of the probability of class 1; of a multinomial model of that of the predicted class, and
        observed is how often it was right. None without probabilities.
    n_rows, n_test : int
        Rows that were used, and test rows that there are.
    """

    auc: float
    rocs: tuple[Roc | None, ...]
    calibration: Calibration | None
    n_rows: int
    n_test: int


def predict_test_rows(
    dataset: Dataset, cells: Cells, models: Models, n_test: int, max_rows: int = MAX_ROWS
) -> Reduction[list[np.ndarray], Predictions]:
    """The reduction that predicts the test rows: one pass.

    Parameters
    ----------
    dataset : Dataset
    cells : Cells
    models : Models
    n_test : int
        Test rows with a weight.
    max_rows : int
        Beyond this number rows are drawn by their numbers.
    """
    n_models, n_classes, _ = models.coef.shape
    limit = max(min(max_rows, MAX_VALUES // (n_models * n_classes)), 1)
    share = LARGEST if n_test <= limit else LARGEST * limit // n_test

    def chunk_of(group: Group) -> Any:
        return partial(_chunk, cells.restrict(*group.row_range), cells.test, share)

    return Reduction(
        name="test rows",
        chunk_of=chunk_of,
        combine=operator.add,
        finalize=partial(_gathered, models.intercept.shape, n_test, limit),
        shared=models,
    )


def _chunk(
    rule: CellRule, test: np.ndarray, share: int, models: Models, blocks: Iterator[Block]
) -> list[np.ndarray]:
    parts = []
    for block in blocks:
        chosen = test[rule(block.row, block.fold_key)]
        if share < LARGEST:
            chosen &= hash64(SEED, block.row) <= np.uint64(share)
        if block.weight is not None:
            chosen &= block.weight > 0
        if chosen.any():
            parts.append(_predicted(models, block, np.flatnonzero(chosen)))
        del block  # or it would live while the next one is made
    return parts


def _predicted(models: Models, block: Block, rows: np.ndarray) -> np.ndarray:
    """Row number, target, weight and linear predictors of some rows, (n, 3 + M C)."""
    dense = block.dense[rows]
    if models.fill is not None:
        missing = np.isnan(dense)
        if missing.any():
            dense = np.where(missing, models.fill[: dense.shape[1]], dense)
    sparse = None if block.sparse is None else sp.csr_array(block.sparse[rows])
    out = np.empty((rows.size, 3 + models.intercept.size))
    # exact: row numbers are below 2^53
    out[:, 0], out[:, 1] = block.row[rows], block.y[rows]
    out[:, 2] = 1.0 if block.weight is None else block.weight[rows]
    vectors = models.coef.reshape(models.intercept.size, -1)
    for k, (coef, intercept) in enumerate(zip(vectors, models.intercept.ravel(), strict=True)):
        out[:, 3 + k] = linear_predictor(dense, sparse, coef, float(intercept))
    if block.offset is not None:
        out[:, 3:] += block.offset[rows, None]
    return out


def _gathered(
    shape: tuple[int, int], n_test: int, limit: int, parts: list[np.ndarray]
) -> Predictions:
    """All rows, or the `limit` ones that were drawn first."""
    table = np.concatenate([np.empty((0, 3 + shape[0] * shape[1])), *parts])
    if len(table) > limit:
        drawn = hash64(SEED, table[:, 0].astype(np.int64))
        table = table[np.sort(np.argsort(drawn, kind="stable")[:limit])]
    eta = table[:, 3:].reshape(-1, *shape)
    return Predictions(table[:, 1].copy(), table[:, 2].copy(), eta, n_test)


def class_scores(loss: str, found: Predictions, model: int) -> ClassScores:
    """Scores of one of the models."""
    eta, n_classes = found.eta[:, model], found.eta.shape[2]
    y, weight, row = found.y.astype(np.int64), found.weight, np.arange(len(found.y))
    rocs: tuple[Roc | None, ...]
    chart = None
    if n_classes > 1:
        share, predicted = get_loss(loss).mean(eta), eta.argmax(axis=1)
        rocs = tuple(roc(y == c, weight, share[:, c], predicted == c) for c in range(n_classes))
        chart = calibration(predicted == y, weight, share[row, predicted])
    else:
        rocs = (roc(y == 1, weight, eta[:, 0], eta[:, 0] > 0.0),)
        if loss == "logistic":
            chart = calibration(y == 1, weight, get_loss(loss).mean(eta[:, 0]))
    known = [each.auc for each in rocs if each is not None]
    return ClassScores(
        auc=float(np.mean(known)) if known else float("nan"),
        rocs=rocs,
        calibration=chart,
        n_rows=len(y),
        n_test=found.n_test,
    )


def roc(
    positive: np.ndarray, weight: np.ndarray, score: np.ndarray, called: np.ndarray
) -> Roc | None:
    """Receiver operating characteristic: area of all thresholds, and at most 1,000 of its points.

    Parameters
    ----------
    positive : (n,) bool array
        Rows of the class.
    weight, score : (n,) arrays
    called : (n,) bool array
        Rows that are said to be of the class.

    Returns
    -------
    Roc or None
        None when all rows are on one side.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    # equal scores have one threshold
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else order
    mine, others = np.where(positive, weight, 0.0), np.where(positive, 0.0, weight)
    hits = np.append(0.0, np.cumsum(mine[order])[last])
    alarms = np.append(0.0, np.cumsum(others[order])[last])
    if not (hits[-1] > 0.0 and alarms[-1] > 0.0):
        return None
    point = float(others @ called / others.sum()), float(mine @ called / mine.sum())
    hits, alarms = hits / hits[-1], alarms / alarms[-1]
    auc = float(np.trapezoid(hits, alarms))
    if len(hits) > N_POINTS:
        along = np.linspace(0.0, 2.0, N_POINTS)
        kept = np.unique(np.searchsorted(hits + alarms, along).clip(max=len(hits) - 1))
        hits, alarms = hits[kept], alarms[kept]
    return Roc(alarms, hits, auc, point)


def calibration(
    happened: np.ndarray, weight: np.ndarray, predicted: np.ndarray, n_bins: int = N_BINS
) -> Calibration:
    """Predicted probabilities against shares, in bins of equally many rows; ties stay together.

    The standard error is that of a share of ``(sum w)^2 / sum w^2`` rows; in it the share has one
    row more on either side, so that a bin without a case is not taken for certain.

    Parameters
    ----------
    happened : (n,) bool array
    weight, predicted : (n,) arrays
    n_bins : int
    """
    if not len(predicted):
        return Calibration(*(np.empty(0) for _ in range(4)))
    edges = np.quantile(predicted, np.linspace(0.0, 1.0, n_bins + 1)[1:-1])
    place = np.searchsorted(edges, predicted)
    total, squares, chances, cases = (
        np.bincount(place, values, n_bins)
        for values in (weight, weight**2, weight * predicted, weight * happened)
    )
    used = total > 0.0
    total, n_rows = total[used], total[used] ** 2 / squares[used]
    share = cases[used] / total
    careful = (share * n_rows + 1.0) / (n_rows + 2.0)
    se = np.sqrt(careful * (1.0 - careful) / n_rows)
    return Calibration(chances[used] / total, share, se, total)
