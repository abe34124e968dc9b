from __future__ import annotations

import math

import numpy as np
import pytest

from selfe_eval.report.per_prompt import per_prompt_estimates
from selfe_eval.stats.panel import Panel


def panel(sums: list[float], counts: list[int], planned: int) -> Panel:
    """One column of prompts in alternating tasks."""
    return Panel(
        tasks=tuple("ab"[row % 2] for row in range(len(sums))),
        sums=np.array(sums)[:, None],
        counts=np.array(counts)[:, None],
        planned=np.full((len(sums), 1), planned),
    )


def test_a_published_table_comes_out_in_all_three_ways() -> None:
    """One table of k correct images of 4 gives the three shares that are all called "correct" somewhere.

    FlyMyAI/bench_M1 at 6b9ab74, gen_evaluation/full_evaluation_report.md: 552 prompts, 1,680 images correct, all
    four in 60.69 % of prompts, any in 89.13 %. How the others are dealt among these does not matter.
    """
    whole, some, none = 335, 157, 60
    in_between = 1680 - 4 * whole
    dealt = [in_between // some + (row < in_between % some) for row in range(some)]
    sums = [4.0] * whole + [float(k) for k in dealt] + [0.0] * none
    counts = [4] * (whole + some) + [4] * none
    made = per_prompt_estimates(panel(sums, counts, 4))

    assert made["any"].value == pytest.approx(0.8913, abs=5e-5)
    assert made["all"].value == pytest.approx(0.6069, abs=5e-5)
    assert made["mean"].value == pytest.approx(1680 / 2208)
    assert (made["any"].n, made["mean"].n) == (552, 2208)


def test_prompts_are_the_units() -> None:
    """The error of any and all is that of as many coin throws as there are prompts, whatever their images."""
    made = per_prompt_estimates(panel([4.0] * 30 + [2.0] * 30 + [0.0] * 40, [4] * 100, 4))

    for name, share in (("any", 0.6), ("all", 0.3)):
        assert made[name].value == pytest.approx(share)
        assert made[name].se == pytest.approx(math.sqrt(share * (1 - share) / 99))
        assert made[name].n_clusters == 100


def test_a_prompt_with_an_unscored_image_is_unscored() -> None:
    """One missing image leaves its prompt out of any and all, and its other images in the mean."""
    made = per_prompt_estimates(panel([2.0, 1.0, 0.0], [2, 1, 2], 2))

    assert (made["any"].value, made["any"].n, made["any"].n_unscored) == (0.5, 2, 1)
    assert (made["all"].value, made["all"].n, made["all"].n_unscored) == (0.5, 2, 1)
    assert (made["mean"].value, made["mean"].n, made["mean"].n_unscored) == (3 / 5, 5, 1)


def test_nothing_scored_has_no_value() -> None:
    """Without a scored image each share is None and never 0."""
    made = per_prompt_estimates(panel([0.0, 0.0], [0, 0], 4))

    assert [share.value for share in made.values()] == [None] * 3
