"""Is a loss shown, is one excluded? One-sided bounds and p-values of a paired difference, clustered by prompt.

Both come from the score test: the variance is the one that holds where the true difference is the one in question, s^2 +
(d - g)^2 / C for an observed difference d with standard error s over C clusters. The ordinary test takes s^2 itself, which
chance makes small just where the observed loss is large, so with few right images it gives false alarms: of 80 prompts
that are right with probability 0.2 to 0.5 it calls 0.95 to 0.97 % worse at a level of 0.83 %, this one 0.72 %. With
hundreds of prompts the two agree.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from selfe_eval.stats.drawdown import ALPHA

_Q = NormalDist().inv_cdf(1 - ALPHA)


def one_sided_p(gain: float, se: float, num_clusters: int) -> float:
    """How probable so low a gain is where the true one is 0.

    Args:
        gain: The observed difference, better is positive.
        se: Its standard error.
        num_clusters: Number of prompts it rests on.

    >>> round(one_sided_p(-0.02, 0.01, 553), 4), one_sided_p(0.0, 0.0, 553)
    (0.0231, 0.5)
    """
    if gain == 0:
        return 0.5
    z = gain / math.sqrt(se**2 + gain**2 / num_clusters)
    return math.erfc(-z / math.sqrt(2)) / 2


def half_width(se: float, num_clusters: int) -> float:
    """From the observed gain to either one-sided 95 % bound: those true gains at which `one_sided_p` is 5 %.

    Args:
        se: Standard error of the gain.
        num_clusters: Number of prompts it rests on, at least 3.

    >>> round(half_width(0.01, 553), 5), round(half_width(0.01, 80), 5)
    (0.01649, 0.01673)
    """
    return _Q * se / math.sqrt(1 - _Q**2 / num_clusters)
