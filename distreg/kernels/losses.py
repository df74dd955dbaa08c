"""What each loss has to say of one row under many fits, or of many rows under one, as vector loops.

`fill` writes for every fit the loss and chi^2 (`rows.RowSums`), and for every column the slope and
the curvature; `fill_rows` does so for every row. Both dispatch by the loss's code. Exponents are
kept above -700, so that no reciprocal overflows.
"""

from __future__ import annotations

from numba import njit, types
from numba.extending import overload

from distreg.kernels.exponential import exp, log1p, log1p_unit
from distreg.losses import LOSSES
from distreg.losses.poisson import ETA_HIGH

__all__ = [
    "CLASSIFIERS",
    "MULTINOMIAL",
    "PROBABILITIES",
    "REGRESSIONS",
    "fill",
    "fill_rows",
    "multinomial_pairs",
]

SQUARED = LOSSES["squared"].code
LOGISTIC = LOSSES["logistic"].code
MULTINOMIAL = LOSSES["multinomial"].code
POISSON = LOSSES["poisson"].code
SQUARED_HINGE = LOSSES["squared_hinge"].code
HINGE = LOSSES["hinge"].code
HUBER = LOSSES["huber"].code
QUANTILE = LOSSES["quantile"].code

CLASSIFIERS = (LOGISTIC, MULTINOMIAL, SQUARED_HINGE, HINGE)
REGRESSIONS = (HUBER, QUANTILE)
"""Losses whose predictions are compared with the target by absolute and squared errors."""


PROBABILITIES = (LOGISTIC, MULTINOMIAL)
"""Losses whose slope is the probability less the target."""

LOW = -700.0


@njit(cache=True, nogil=True)
def fill(code, parameter, n_classes, eta, y, loss, chi2, slope, curvature, work):
    """Loss and chi^2 (n,), slope and curvature (n C,) of one row; `work` is (C + 3, n).

    Its first C rows are left with the probabilities of C classes. `parameter` is `Loss.parameter`.
    """
    if code == MULTINOMIAL:
        _multinomial(n_classes, eta, int(y), loss, chi2, slope, curvature, work)
    else:
        fill_rows(code, parameter, eta, y, loss, chi2, slope, curvature)


@njit(cache=True, nogil=True)
def fill_rows(code, parameter, eta, y, loss, chi2, slope, curvature):
    """Loss, chi^2, slope and curvature (n,) of n rows with targets `y` (n,), or one for all.

    Of all losses but the multinomial one.
    """
    if code == SQUARED:
        _squared(eta, y, loss, chi2, slope, curvature)
    elif code == LOGISTIC:
        _logistic(eta, y, loss, chi2, slope, curvature)
    elif code == POISSON:
        _poisson(eta, y, loss, chi2, slope, curvature)
    elif code == SQUARED_HINGE:
        _squared_hinge(eta, y, loss, chi2, slope, curvature)
    elif code == HINGE:
        _hinge(eta, y, loss, chi2, slope, curvature)
    elif code == HUBER:
        _huber(parameter, eta, y, loss, chi2, slope, curvature)
    elif code == QUANTILE:
        _quantile(parameter, eta, y, loss, chi2, slope, curvature)
    else:
        raise ValueError("no loss has this code")


def _at(y, j):
    """The target that belongs to place j: that of the one row, or of row j."""


@overload(_at, inline="always")
def _choose_target(y, j):
    if isinstance(y, types.Array):
        return lambda y, j: y[j]
    return lambda y, j: y


@njit(cache=True, nogil=True)
def _squared(eta, y, loss, chi2, slope, curvature):
    for j in range(eta.shape[0]):
        d = eta[j] - _at(y, j)
        slope[j] = d
        chi2[j] = d * d
        loss[j] = 0.5 * (d * d)
        curvature[j] = 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _logistic(eta, y, loss, chi2, slope, curvature):
    """With the margin m and ``e = exp(-|m|)``; chi^2 is ``exp(-m)``."""
    for j in range(eta.shape[0]):
        sign = 2.0 * _at(y, j) - 1.0
        m = sign * eta[j]
        low = -abs(m)
        e = exp(LOW if low < LOW else low)
        q = 1.0 / (1.0 + e)
        loss[j] = (0.0 if m > 0.0 else -m) + log1p_unit(e)
        slope[j] = -sign * (e * q if m > 0.0 else q)
        curvature[j] = (e * q) * q
        chi2[j] = e if m > 0.0 else 1.0 / e


@njit(cache=True, nogil=True, error_model="numpy")
def _poisson(eta, y, loss, chi2, slope, curvature):
    for j in range(eta.shape[0]):
        high = ETA_HIGH if eta[j] > ETA_HIGH else eta[j]
        mean = exp(LOW if high < LOW else high)
        target = _at(y, j)
        d = mean - target
        loss[j] = mean - target * high
        slope[j] = d
        curvature[j] = mean
        chi2[j] = d * (d / mean)


@njit(cache=True, nogil=True)
def _squared_hinge(eta, y, loss, chi2, slope, curvature):
    for j in range(eta.shape[0]):
        sign = 2.0 * _at(y, j) - 1.0
        short = 1.0 - sign * eta[j]
        short = 0.0 if short < 0.0 else short
        slope[j] = -sign * short
        chi2[j] = short * short
        loss[j] = 0.5 * (short * short)
        curvature[j] = 1.0 if short > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _hinge(eta, y, loss, chi2, slope, curvature):
    """Where the conjugate is linear chi^2 is 0."""
    for j in range(eta.shape[0]):
        sign = 2.0 * _at(y, j) - 1.0
        short = 1.0 - sign * eta[j]
        loss[j] = 0.0 if short < 0.0 else short
        slope[j] = -sign if short > 0.0 else 0.0
        chi2[j] = 0.0
        curvature[j] = 0.0


@njit(cache=True, nogil=True)
def _huber(delta, eta, y, loss, chi2, slope, curvature):
    for j in range(eta.shape[0]):
        d = eta[j] - _at(y, j)
        size = abs(d)
        inner = delta if size > delta else size
        clipped = inner if d > 0.0 else -inner
        slope[j] = clipped
        chi2[j] = inner * inner
        loss[j] = inner * (size - 0.5 * inner)
        curvature[j] = 0.0 if size > delta else 1.0


@njit(cache=True, nogil=True)
def _quantile(q, eta, y, loss, chi2, slope, curvature):
    """Where the conjugate is linear chi^2 is 0."""
    for j in range(eta.shape[0]):
        e = _at(y, j) - eta[j]
        loss[j] = q * e if e > 0.0 else (q - 1.0) * e
        slope[j] = -q if e > 0.0 else (1.0 - q if e < 0.0 else 0.0)
        chi2[j] = 0.0
        curvature[j] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _multinomial(n_classes, eta, y, loss, chi2, slope, curvature, work):
    """Fit beside fit, with ``e_c = exp(eta_c - max)`` and ``z = sum_{c != y} e_c / e_y``.

    The loss is ``log(1 + z)``, chi^2 is z. The sum of all classes but one is `rest` for the largest
    (the difference from the sum of all would cancel), and that difference for the others.
    """
    top, rest, total = work[n_classes], work[n_classes + 1], work[n_classes + 2]
    _transpose_and_top(n_classes, eta, work, top)
    for f in range(top.shape[0]):
        below = top[f] - work[y, f]
        loss[f] = 0.0 if below <= -LOW else below + LOW
        rest[f] = 0.0
        total[f] = -1.0
    for c in range(n_classes):
        power = work[c]
        for f in range(top.shape[0]):
            low = power[f] - top[f]
            e = exp(LOW if low < LOW else low)
            power[f] = e
            rest[f] += 0.0 if e == 1.0 else e
            total[f] += 1.0 if e == 1.0 else 0.0
    for f in range(top.shape[0]):
        rest[f] += total[f]
        total[f] = 1.0 + rest[f]
        e = work[y, f]
        z = (rest[f] if e == 1.0 else total[f] - e) / e
        chi2[f] = z
        loss[f] += log1p(z)
    for c in range(n_classes):
        power = work[c]
        for f in range(top.shape[0]):
            e, inverse = power[f], 1.0 / total[f]
            q = e * inverse
            other = (rest[f] if e == 1.0 else total[f] - e) * inverse
            power[f] = q
            slope[f * n_classes + c] = -other if c == y else q
            curvature[f * n_classes + c] = q * other


@njit(cache=True, nogil=True)
def _transpose_and_top(n_classes, eta, work, top):
    """A row of `work` for each class, and their maximum."""
    for f in range(top.shape[0]):
        top[f] = eta[f * n_classes]
    for c in range(n_classes):
        values = work[c]
        for f in range(top.shape[0]):
            value = eta[f * n_classes + c]
            values[f] = value
            top[f] = value if value > top[f] else top[f]


@njit(cache=True, nogil=True)
def multinomial_pairs(n_classes, probability, weight, out):
    """Write ``weight q_c q_c'`` for the pairs of classes to the (n, Q) `out`.

    On the diagonal ``q_c (1 - q_c)`` as the sum of those of all other classes: no cancellation, and
    the matrix stays semidefinite to the last bit.
    """
    for f in range(out.shape[0]):
        out[f] = 0.0
        pair = 0
        for c in range(n_classes):
            diagonal = pair
            for d in range(c + 1, n_classes):
                pair += 1
                value = weight * probability[c, f] * probability[d, f]
                out[f, pair] = value
                out[f, diagonal] += value
                out[f, d * n_classes - d * (d - 1) // 2] += value
            pair += 1
