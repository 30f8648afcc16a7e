"""Exponential and logarithm that LLVM can vectorise: plain polynomials, no calls, no branches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

# exp: 1.5 * 2**52 pushes the rounded integer into the low bits of the double.
_ROUND = 6755399441055744.0
_LOG2E = 1.4426950408889634
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
_EXP_LOWEST = -708.0

# log: bits of sqrt(1/2).
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)


@intrinsic
def _as_bits(typingctx: Any, value: Any) -> Any:
    """Read the 64 bits of a double as an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return types.int64(types.float64), codegen


@intrinsic
def _as_double(typingctx: Any, bits: Any) -> Any:
    """Read 64 bits as a double."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return types.float64(types.int64), codegen


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def exp_negative(x: float) -> float:
    """Exponential of x ≤ 0 to 14 digits; 0 below -708; NaN stays NaN.

    Parameters
    ----------
    x : float
        A number ≤ 0 (log-probabilities less their largest). Slightly positive values work too.

    Returns
    -------
    float
        ``exp(x)``; the relative error is below 1e-14.

    Notes
    -----
    Cody-Waite reduction to [-ln2/2, ln2/2], then the Taylor polynomial of degree 11 (truncation
    below 7e-15) by Estrin's scheme; the power of two is added to the exponent bits.
    """
    clamped = x if not x < _EXP_LOWEST else _EXP_LOWEST
    shifted = clamped * _LOG2E + _ROUND
    whole = shifted - _ROUND
    r = (clamped - whole * _LN2_HIGH) - whole * _LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + (0.5 + r * (1.0 / 6.0)) * r2
    mid = (1.0 / 24.0 + r * (1.0 / 120.0)) + (1.0 / 720.0 + r * (1.0 / 5040.0)) * r2
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + (1.0 / 3628800.0 + r * (1.0 / 39916800.0)) * r2
    p = low + r4 * (mid + r4 * high)
    scaled = _as_double(_as_bits(p) + (_as_bits(shifted) << 52))
    return scaled if not x < _EXP_LOWEST else 0.0


@njit(nogil=True, error_model="numpy", fastmath={"contract"})
def log_positive(x: float) -> float:
    """Natural logarithm of a normal, finite, positive double to about 2 ulp.

    Parameters
    ----------
    x : float
        Finite and at least the smallest normal double; nothing else is checked.

    Returns
    -------
    float
        ``log(x)``; the absolute error is below 5e-16 + 2 ulp of the result.

    Notes
    -----
    x = 2**e·m with m in [√½, √2), then log m = 2·artanh((m-1)/(m+1)) by its series.
    """
    offset = _as_bits(x) - _SQRT_HALF_BITS
    e = offset >> 52
    m = _as_double(_as_bits(x) - (e << 52))
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    s2 = s * s
    s4 = s2 * s2
    low = (2.0 / 3.0 + s * (2.0 / 5.0)) + (2.0 / 7.0 + s * (2.0 / 9.0)) * s2
    high = (2.0 / 11.0 + s * (2.0 / 13.0)) + (2.0 / 15.0 + s * (2.0 / 17.0)) * s2
    top = 2.0 / 19.0 + s * (2.0 / 21.0)
    series = 2.0 * f + f * s * (low + s4 * (high + s4 * top))
    return series + e * _LN2_LOW + e * _LN2_HIGH
