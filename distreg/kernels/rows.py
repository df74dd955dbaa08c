"""Losses and weighted residuals of some rows under many columns, in place of their predictors.

F fits of C coefficient vectors each (C classes of a multinomial model, else 1) make R = F C
columns. A row is handled for some fits at a time: the loss writes what it has to say of them to
buffers in the first-level cache, and what is the same for all losses adds that up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numba import njit

from distreg.kernels.losses import (
    CLASSIFIERS,
    MULTINOMIAL,
    PROBABILITIES,
    REGRESSIONS,
    fill,
    fill_rows,
    multinomial_pairs,
)

__all__ = [
    "HELD_OUT",
    "NONE",
    "TEST",
    "TRAIN",
    "RowSums",
    "add_residuals",
    "curvature_weights",
    "residual_rows",
    "weigh_rows",
]

NONE, TRAIN, HELD_OUT, TEST = 0, 1, 2, 3
"""What a row is to a training set."""

_NOTHING = np.empty((0, 0))

BUFFER = 256
"""Columns at a time."""

FEW_FITS = 4
"""Fits of a training set that are handled one after the other, many rows at a time."""

FEWEST_FITS = 16
"""Fits at a time when they have many classes."""


@dataclass
class RowSums:
    """Weighted sums over rows, for F fits of C classes, R = F C columns.

    Attributes
    ----------
    train, held_out, test : (F,) arrays
        Loss of the training, the held-out and the test rows.
    chi2 : (F,) array
        Training rows: squared slope times the conjugate's second derivative there, Pearson's chi^2.
    residual : (R,) array
        Training rows: minus the slope.
    curvature : (R,) array
        Training rows: the second derivative (of C classes its diagonal).
    correct : (F,) array
        Test rows: whether the predicted class is right; 0 without classes.
    brier : (F,) array
        Test rows: squared error of the probabilities, of C classes summed; 0 without probabilities.
    absolute, square : (F,) array
        Test rows: absolute and squared error of the prediction; 0 but for the losses huber and
        quantile.
    """

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray
    chi2: np.ndarray
    residual: np.ndarray
    curvature: np.ndarray
    correct: np.ndarray
    brier: np.ndarray
    absolute: np.ndarray
    square: np.ndarray

    @classmethod
    def zeros(cls, n_fits: int, n_classes: int) -> RowSums:
        """No rows yet."""
        wide = ("residual", "curvature")
        sizes = (n_fits * n_classes if f.name in wide else n_fits for f in fields(cls))
        return cls(*(np.zeros(size) for size in sizes))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The sums, in the order of the attributes."""
        return tuple(getattr(self, f.name) for f in fields(self))

    def __iadd__(self, other: RowSums) -> RowSums:
        for mine, more in zip(self.arrays(), other.arrays(), strict=True):
            mine += more
        return self

    def add(self, other: RowSums) -> None:
        """Add the sums of other rows."""
        self += other


def residual_rows(
    loss_code: int,
    parameter: float,
    n_classes: int,
    eta: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    role: np.ndarray,
    bounds: np.ndarray,
    sums: RowSums,
    bend: np.ndarray = _NOTHING,
) -> None:
    """Add the losses of some rows to `sums`, and replace their predictors by weighted residuals.

    A linear predictor that is not finite makes the sums of its losses infinite.

    Parameters
    ----------
    loss_code, parameter : int, float
        `Loss.code`, `Loss.parameter`.
    n_classes : int
        C.
    eta : (h, R) C-contiguous float64 array
        Linear predictors; overwritten by ``-weight f'(y, eta)`` where the row has a weight and
        trains the column's set, by 0 elsewhere.
    y, weight : (h,) arrays
        Targets, and weights >= 0.
    role : (h, S) int8 array
        What each row is to each training set: `NONE`, `TRAIN`, `HELD_OUT` or `TEST`.
    bounds : (S + 1,) int64 array
        Fits ``bounds[s]:bounds[s + 1]`` belong to training set s.
    sums : RowSums
        Added to.
    bend : (h, R) array, optional
        Overwritten by ``weight f''`` where a residual is written, by 0 elsewhere (of C classes the
        diagonal).
    """
    add_residuals(
        loss_code, parameter, n_classes, eta, y, weight, role, bounds, sums.arrays(), bend
    )


def curvature_weights(
    loss_code: int,
    parameter: float,
    n_classes: int,
    eta: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
) -> np.ndarray:
    """Weights that the rows have in the curvature at A fits.

    Parameters
    ----------
    loss_code, parameter, n_classes, y, weight
        As for `residual_rows`.
    eta : (h, A C) C-contiguous float64 array
        Linear predictors.

    Returns
    -------
    (h, A, Q) float64 array
        ``weight f''``. For C > 1 classes Q = C (C + 1) / 2 pairs (c, c') in order of the upper
        triangle: ``weight q_c (1 - q_c)`` on the diagonal, off it ``weight q_c q_c'``, which is
        minus the entry of the Hessian.
    """
    return np.asarray(_curvature_weights(loss_code, parameter, n_classes, eta, y, weight))


@njit(cache=True, nogil=True, error_model="numpy")
def add_residuals(  # type: ignore[no-untyped-def]
    code, parameter, n_classes, eta, y, weight, role, bounds, sums, bend
):
    """As `residual_rows`, with the arrays of `sums`."""
    for s in range(bounds.shape[0] - 1):
        few = n_classes == 1 and bounds[s + 1] - bounds[s] <= FEW_FITS
        step = 1 if few else max(BUFFER // n_classes, FEWEST_FITS)
        for start in range(bounds[s], bounds[s + 1], step):
            stop = min(start + step, bounds[s + 1])
            if few:
                totals = _one_fit(code, parameter, eta, y, weight, role[:, s], start, bend)
            else:
                totals = _some_fits(
                    code, parameter, n_classes, eta, y, weight, role[:, s], start, stop, bend
                )
            for kind in range(len(sums)):
                classes = sums[kind].shape[0] // bounds[-1]
                some = sums[kind][start * classes : stop * classes]
                for j in range(some.shape[0]):
                    value = totals[kind, j]
                    some[j] += np.inf if kind < 3 and value != value else value


@njit(cache=True, nogil=True, error_model="numpy")
def _some_fits(  # type: ignore[no-untyped-def]
    code, parameter, n_classes, eta, y, weight, role, start, stop, bend
):
    """As `residual_rows`, for fits of one training set. The sums in the order of `RowSums`."""
    n_fits, width = stop - start, (stop - start) * n_classes
    totals = np.zeros((10, width))
    train, held_out, test, chi2_sum = totals[0], totals[1], totals[2], totals[3]
    residual, curvature_sum = totals[4], totals[5]
    loss, chi2 = np.empty(n_fits), np.empty(n_fits)
    slope, curvature = np.empty(width), np.empty(width)
    work = np.empty((n_classes + 3, n_fits))
    bends = bend.size > 0
    for i in range(eta.shape[0]):
        row, scale = eta[i, start * n_classes : stop * n_classes], weight[i]
        if role[i] != NONE and scale > 0.0:
            fill(code, parameter, n_classes, row, y[i], loss, chi2, slope, curvature, work)
            if role[i] == TRAIN:
                _add(scale, loss, train)
                _add(scale, chi2, chi2_sum)
                _add(scale, curvature, curvature_sum)
                for j in range(width):
                    row[j] = -scale * slope[j]
                _add(1.0, row, residual)
                if bends:
                    for j in range(width):
                        bend[i, start * n_classes + j] = scale * curvature[j]
                continue
            if role[i] == HELD_OUT:
                _add(scale, loss, held_out)
            else:
                _add(scale, loss, test)
                _add_scores(code, n_classes, row, y[i], scale, slope, totals[6:])
        row[:] = 0.0
        if bends:
            bend[i, start * n_classes : stop * n_classes] = 0.0
    return totals


@njit(cache=True, nogil=True, error_model="numpy")
def _one_fit(code, parameter, eta, y, weight, role, fit, bend):  # type: ignore[no-untyped-def]
    """As `_some_fits`, for one fit of one class."""
    totals, bends = np.zeros((10, 1)), bend.size > 0
    loss, chi2, slope, curvature, row = np.empty((5, BUFFER))
    for start in range(0, eta.shape[0], BUFFER):
        n = min(BUFFER, eta.shape[0] - start)
        for k in range(n):
            row[k] = eta[start + k, fit]
        of = y[start : start + n]
        fill_rows(code, parameter, row[:n], of, loss, chi2, slope, curvature)
        for k in range(n):
            i = start + k
            kind, scale, residual, bent = role[i], weight[i], 0.0, 0.0
            if kind == TRAIN and scale > 0.0:
                residual, bent = -scale * slope[k], scale * curvature[k]
                totals[0, 0] += scale * loss[k]
                totals[3, 0] += scale * chi2[k]
                totals[4, 0] += residual
                totals[5, 0] += bent
            elif kind == HELD_OUT and scale > 0.0:
                totals[1, 0] += scale * loss[k]
            elif kind == TEST and scale > 0.0:
                totals[2, 0] += scale * loss[k]
                one = slice(k, k + 1)
                _add_scores(code, 1, row[one], of[k], scale, slope[one], totals[6:])
            eta[i, fit] = residual
            if bends:
                bend[i, fit] = bent
    return totals


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add(scale, values, total):  # type: ignore[no-untyped-def]
    for j in range(values.shape[0]):
        total[j] += scale * values[j]


@njit(cache=True, nogil=True)
def _add_scores(  # type: ignore[no-untyped-def]
    code, n_classes, eta, y, weight, slope, totals
):
    """Right classes, squared errors of the probabilities (which are the slopes) or predictions."""
    correct, brier, absolute, square = totals[0], totals[1], totals[2], totals[3]
    if code in REGRESSIONS:
        for f in range(eta.shape[0]):
            e = y - eta[f]
            absolute[f] += weight * abs(e)
            square[f] += weight * e**2
        return
    for f in range(eta.shape[0] // n_classes):
        first = f * n_classes
        if code in CLASSIFIERS:
            best = 0
            for c in range(1, n_classes):
                if eta[first + c] > eta[first + best]:
                    best = c
            if n_classes == 1 and eta[first] > 0.0:
                best = 1
            if best == int(y):
                correct[f] += weight
        if code in PROBABILITIES:
            for c in range(n_classes):
                brier[f] += weight * slope[first + c] ** 2


@njit(cache=True, nogil=True, error_model="numpy")
def _curvature_weights(  # type: ignore[no-untyped-def]
    code, parameter, n_classes, eta, y, weight
):
    n_rows, n_fits = eta.shape[0], eta.shape[1] // n_classes
    out = np.zeros((n_rows, n_fits, n_classes * (n_classes + 1) // 2))
    if n_classes == 1 and n_fits <= FEW_FITS:
        for f in range(n_fits):
            weigh_rows(code, parameter, eta, y, weight, f, out[:, f, 0])
        return out
    loss, chi2 = np.empty(n_fits), np.empty(n_fits)
    slope, curvature = np.empty(eta.shape[1]), np.empty(eta.shape[1])
    work = np.empty((n_classes + 3, n_fits))
    for i in range(n_rows):
        if weight[i] > 0.0:
            fill(code, parameter, n_classes, eta[i], y[i], loss, chi2, slope, curvature, work)
            if code == MULTINOMIAL:
                multinomial_pairs(n_classes, work, weight[i], out[i])
            else:
                for f in range(n_fits):
                    out[i, f, 0] = weight[i] * curvature[f]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def weigh_rows(code, parameter, eta, y, weight, fit, out):  # type: ignore[no-untyped-def]
    """Write ``weight f''`` of one fit of one class to `out` (h,), many rows at a time.

    The other parameters are those of `curvature_weights`.
    """
    loss, chi2, slope, curvature, row = np.empty((5, BUFFER))
    for start in range(0, eta.shape[0], BUFFER):
        n = min(BUFFER, eta.shape[0] - start)
        for k in range(n):
            row[k] = eta[start + k, fit]
        fill_rows(code, parameter, row[:n], y[start : start + n], loss, chi2, slope, curvature)
        for k in range(n):
            # a row without weight may be out of range
            scale = weight[start + k]
            out[start + k] = scale * curvature[k] if scale > 0.0 else 0.0
