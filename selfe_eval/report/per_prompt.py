"""Any, mean and all: three answers to "how many prompts does the model get right", each called that by somebody.

The reference's "% correct prompts" counts a prompt if any of its images is correct, its "% correct images" is the
mean over images; others publish the share of prompts with all images correct under the same name. All three are
averages over prompts alike, not over tasks: with more than one image a prompt they are far apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from selfe_eval.stats.estimate import Estimate, macro_estimate
from selfe_eval.stats.panel import Panel


def per_prompt_estimates(column: Panel) -> dict[str, Estimate]:
    """The shares ``any``, ``mean`` and ``all``, with prompts as clusters and without strata.

    Args:
        column: The scores of one step count, K = 1.

    Returns:
        ``any`` and ``all`` over prompts whose images are all scored, n and n_unscored counting prompts; ``mean``
        over scored images, n and n_unscored counting images.

    >>> from selfe_eval.stats.panel import panel_from_means
    >>> made = per_prompt_estimates(panel_from_means(np.array([[0.5], [1.0]]), ("a", "b"), 4))
    >>> [(name, estimate.value) for name, estimate in made.items()]
    [('any', 1.0), ('mean', 0.75), ('all', 0.5)]
    """
    pooled = replace(column, tasks=("",) * len(column.tasks))
    return {
        "any": macro_estimate(_prompts_as_images(pooled, pooled.sums > 0)),
        "mean": macro_estimate(pooled),
        "all": macro_estimate(_prompts_as_images(pooled, pooled.sums == pooled.planned)),
    }


def _prompts_as_images(pooled: Panel, correct: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Panel:
    """Each prompt as one image, correct where ``correct`` (P, 1) holds and scored where all its images are."""
    whole = (pooled.counts == pooled.planned).astype(np.int64)
    return replace(
        pooled, sums=(correct * whole).astype(np.float64), counts=whole, planned=np.ones_like(whole)
    )
