from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from selfe_eval.score.fidelity.replicates import num_replicates, prompt_groups
from selfe_eval.score.fidelity.rows import blocks, group_rows


def test_groups_have_about_the_same_share_of_each_task() -> None:
    """553 prompts make 50 groups of 11 or 12, in which no task is missed by more than one prompt."""
    sizes = {"a": 80, "b": 99, "c": 80, "d": 94, "e": 100, "f": 100}
    tasks = [task for task, size in sizes.items() for _ in range(size)]
    groups = prompt_groups(range(553), tasks)

    assert Counter(Counter(groups.values()).values()) == {11: 47, 12: 3}
    for task in sizes:
        shares = Counter(groups[prompt] for prompt in range(553) if tasks[prompt] == task)
        assert max(shares.values()) - min(shares[group] for group in range(50)) <= 1


def test_few_prompts_are_a_group_each() -> None:
    """Fewer prompts than groups: each is left out in turn."""
    assert sorted(prompt_groups([4, 9, 2], ["a", "a", "b"]).values()) == [0, 1, 2]


def test_an_absent_group_still_has_its_place() -> None:
    """The number of groups is that of the run, also where the last has no image at this step count."""
    groups = np.array([0, 0, 1, 1])

    assert (num_replicates(groups, 2), num_replicates(groups, 2, 3)) == (2, 3)


@pytest.mark.parametrize("least", [5, 3])
def test_too_few_left_is_no_replicate_and_too_few_at_all_an_error(least: int) -> None:
    """Four images in two groups leave two: enough for two, none for three, and five were never there."""
    groups = np.array([0, 0, 1, 1])

    if least == 5:
        with pytest.raises(ValueError, match="needs 5 images at least, found 4"):
            num_replicates(groups, least)
    else:
        assert num_replicates(groups, least) == 0


def test_blocks_are_the_rows_in_order() -> None:
    """Blocks of three of eight vectors: 3, 3 and 2, each in its place and in double precision."""
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    made = np.zeros((8, 2))
    for part, vectors in blocks(rows, 3):
        assert vectors.dtype == np.float64
        made[part] = vectors

    assert [part.stop - part.start for part, _ in blocks(rows, 3)] == [3, 3, 2]
    assert np.array_equal(made, rows)


@pytest.mark.parametrize("group", [0, 1, 2, 3])
def test_rows_of_a_group_are_those_a_mask_picks(group: int) -> None:
    """Runs of neighbours together are the group, also at both ends and for a group that has no vector."""
    rows = np.arange(18, dtype=np.float32).reshape(9, 2)
    groups = np.array([0, 0, 1, 2, 2, 2, 1, 0, 0])

    found = group_rows(rows, groups, group)

    assert found.dtype == np.float64
    assert np.array_equal(found, rows[groups == group])
