"""A number that is no mean of images, with what it would be without each group of prompts.

Groups and not images, since images of one prompt are not independent; never a bootstrap, since drawing images twice
doubles the finite-sample bias of such numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_GROUPS = 50
"""Groups of prompts that are left out in turn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replicated:
    """One number of one set of images."""

    value: float
    """Of all images."""
    without: NDArray[np.float64]
    """(G,) the same without each group; a group without images leaves the value. Empty where leaving out some group
    leaves too few images for a number."""


def prompt_groups(prompt_ids: Sequence[int], tasks: Sequence[str]) -> dict[int, int]:
    """Prompt id -> group, dealt out task by task, so that every group has about the same share of each task.

    Args:
        prompt_ids: (P,) each prompt once.
        tasks: (P,) the task of each.

    Returns:
        Groups 0 to G - 1 with G = min(50, P); the same prompts give the same groups, whatever their order.

    >>> prompt_groups([7, 3, 5], ["a", "b", "a"])
    {5: 0, 7: 1, 3: 2}
    """
    num_groups = min(NUM_GROUPS, len(prompt_ids))
    order = sorted(zip(tasks, prompt_ids, strict=True))
    return {prompt_id: place % num_groups for place, (_, prompt_id) in enumerate(order)}


def num_replicates(groups: NDArray[np.int64], least: int, num_groups: int | None = None) -> int:
    """G, or 0 where leaving out some group leaves too few images.

    Args:
        groups: (N,) the group of each image, from 0.
        least: Fewest images that give a number.
        num_groups: G; by default the last group that has an image.

    Raises:
        ValueError: all images together are too few.

    >>> num_replicates(np.array([0, 1, 1]), 2), num_replicates(np.array([0, 0, 1, 1]), 2)
    (0, 2)
    """
    if len(groups) < least:
        raise ValueError(f"The number needs {least} images at least, found {len(groups)}.")
    sizes = np.bincount(groups, minlength=num_groups or 0)
    return len(sizes) if len(groups) - sizes.max() >= least else 0
