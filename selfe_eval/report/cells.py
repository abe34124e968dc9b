"""Numbers as the tables show them: percentages with half-widths, and a dash where there is no number."""

from __future__ import annotations

import math

from selfe_eval.metrics import Unit
from selfe_eval.records import TASKS
from selfe_eval.stats.estimate import Estimate
from selfe_eval.stats.paired import Difference

DASH = "-"
"""Stands where there is no number: never a zero."""

_MAX_DECIMALS = 5
"""Of values that are no shares."""

SHORT_TASKS = dict(zip(TASKS, ("1 obj", "2 obj", "count", "color", "posn", "attr"), strict=True))
"""Task names that fit a column of five characters."""


def percent(share: float | None) -> str:
    """A share in per cent, one decimal.

    >>> percent(0.6104), percent(None)
    ('61.0', '-')
    """
    return DASH if share is None else f"{100 * share:.1f}"


def value_and_half_width(estimate: Estimate) -> str:
    """The value and half of its 95 % interval, in per cent; ``±?`` where one prompt gives no interval.

    >>> value_and_half_width(Estimate(value=0.61, se=0.01, ci=(0.59, 0.63), n=9, n_unscored=0, n_clusters=9))
    '61.0 ±2.0'
    """
    if estimate.value is None or estimate.ci is None:
        return DASH
    if estimate.se is None:
        return f"{percent(estimate.value)} ±?"
    return f"{percent(estimate.value)} ±{50 * (estimate.ci[1] - estimate.ci[0]):.1f}"


def in_unit(estimate: Estimate, unit: Unit) -> str:
    """The value and half of its 95 % interval: shares in per cent, others to two digits of the half-width.

    >>> made = Estimate(value=12.345, se=0.3, ci=(11.757, 12.933), n=9, n_unscored=0, n_clusters=9)
    >>> in_unit(made, "distance")
    '12.35 ±0.59'
    """
    value, ci = estimate.value, estimate.ci
    if value is None:
        return DASH
    if estimate.se is None or ci is None:
        return f"{percent(value) if unit == 'share' else f'{value:.4g}'} ±?"
    if unit == "share":
        return value_and_half_width(estimate)
    half = (ci[1] - ci[0]) / 2
    decimals = two_digits(half)
    return f"{value:.{decimals}f} ±{half:.{decimals}f}"


def two_digits(number: float) -> int:
    """How many decimals show two digits of a number, as far as there is room for them.

    >>> two_digits(0.312), two_digits(12.3), two_digits(0.0)
    (2, 0, 5)
    """
    if number == 0:
        return _MAX_DECIMALS
    return min(max(1 - math.floor(math.log10(abs(number))), 0), _MAX_DECIMALS)


def signed_points(difference: Difference) -> str:
    """A difference and half of its 95 % interval, in percentage points with a sign."""
    if difference.delta is None or difference.ci is None:
        return DASH
    if difference.se is None:
        return f"{100 * difference.delta:+.1f} ±?"
    return f"{100 * difference.delta:+.1f} ±{50 * (difference.ci[1] - difference.ci[0]):.1f}"


def seconds(value: float | None) -> str:
    """Two significant digits.

    >>> seconds(0.0213), seconds(12.4), seconds(None)
    ('0.021', '12', '-')
    """
    if value is None:
        return DASH
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def images(estimate: Estimate) -> str:
    """Number of scored images, with a star where planned ones are unscored."""
    return f"{estimate.n}*" if estimate.n_unscored else str(estimate.n)


def bar(share: float | None, width: int) -> str:
    """A bar of at most ``width`` characters, in eighths of a character.

    >>> bar(0.5, 5)
    '██▌'
    """
    eighths = round((share or 0.0) * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
