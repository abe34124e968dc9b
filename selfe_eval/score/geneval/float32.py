"""Single-precision rounding of Python floats, exact and without an array library.

Python computes in double precision. Rounding each sum, difference, product, quotient and square root of two
single-precision numbers back to single gives the very number a float32 unit gives, because double has more
than twice the digits plus two (Figueroa, "When is double rounding innocuous?", 1995).
"""

from __future__ import annotations

import struct

_SINGLE = struct.Struct("f")


def to_float32(value: float) -> float:
    """The nearest float32 value, held in a Python float.

    Args:
        value: Any finite number inside the float32 range.

    Returns:
        A float that survives a round trip through float32.

    Raises:
        OverflowError: The magnitude exceeds the float32 range.

    >>> to_float32(0.3)
    0.30000001192092896
    """
    rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return rounded
