"""Exponential and logarithm that LLVM turns into vector instructions.

A call of the C library in a loop keeps the loop scalar; these are arithmetic and bit operations
only, so that a loop over an array that calls them is as wide as the processor allows.
Errors are at most 2 units in the last place. NaN stays NaN.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["exp", "log1p", "log1p_unit"]

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""ln 2 in two parts: a whole number below 2^11 times the first is exact."""

ROUND = 6755399441055744.0
"""1.5 * 2^52: adding it rounds to a whole number, which then stands in the lowest bits."""

EXP_LOW, EXP_HIGH = -708.0, 709.0
"""Between them the result is a normal number."""

ONE_BITS, FRACTION_BITS = 0x3FF0000000000000, 52
INTEGER_BITS, INTEGER = 0x4330000000000000, 4503599627370496.0
"""2^52: its lowest bits are a whole number."""


@intrinsic
def _as_bits(typing_context, x):
    """The bits of a float64 as int64."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _as_float(typing_context, x):
    """The float64 of these bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def exp(x):
    """``e^x``: 0 below -708, that of 709 above it.

    ``x = k ln 2 + r`` with ``|r| <= ln(2) / 2``, and ``e^r = 1 + r + r^2 P(r)`` with P of degree 9
    through the Chebyshev nodes; k goes straight into the exponent.
    """
    at = EXP_HIGH if x > EXP_HIGH else x
    at = EXP_LOW if at < EXP_LOW else at
    shifted = at * LOG2_E + ROUND
    k = shifted - ROUND
    r = at - k * LN2_HIGH
    r = r - k * LN2_LOW
    p = 2.5100443804890278e-08
    p = p * r + 2.7620201447456344e-07
    p = p * r + 2.7557268362009963e-06
    p = p * r + 2.4801521058285744e-05
    p = p * r + 0.0001984126986308719
    p = p * r + 0.0013888888917366735
    p = p * r + 0.008333333333330068
    p = p * r + 0.041666666666623824
    p = p * r + 0.16666666666666669
    p = p * r + 0.5
    value = (p * (r * r) + r) + 1.0
    power = _as_float((_as_bits(shifted) << FRACTION_BITS) + ONE_BITS)
    return 0.0 if x < EXP_LOW else value * power


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def log1p_unit(x):
    """``log(1 + x)`` for x in [0, 1].

    ``2 atanh(s)`` with ``s = x / (2 + x) <= 1/3``: ``2 s + 2 s^3 P(s^2)``, P of degree 10 through
    the Chebyshev nodes.
    """
    s = x / (2.0 + x)
    z = s * s
    p = 0.0781619284003174
    p = p * z + 0.03745552148978208
    p = p * z + 0.05422715901199185
    p = p * z + 0.05867122492000952
    p = p * z + 0.06667590692922912
    p = p * z + 0.07692271914068932
    p = p * z + 0.09090909951025909
    p = p * z + 0.11111111099083608
    p = p * z + 0.14285714285800352
    p = p * z + 0.1999999999999976
    p = p * z + 0.3333333333333333
    twice = 2.0 * s
    return twice * (z * p) + twice


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def log1p(x):
    """``log(1 + x)`` for x from 0 to 8e307: ``1 + x = 2^k (1 + y)`` with y in [0, 1]."""
    k = (_as_bits(1.0 + x) - ONE_BITS) >> FRACTION_BITS
    scale = _as_float(ONE_BITS - (k << FRACTION_BITS))
    whole = _as_float(INTEGER_BITS + k) - INTEGER
    # exact but for the last rounding: y keeps the digits that 1 + x would lose
    y = x * scale + (scale - 1.0)
    return whole * LN2_HIGH + (log1p_unit(y) + whole * LN2_LOW)
