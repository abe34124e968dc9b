from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.errors import UsageError
from selfe_eval.pipeline.plan import batches, planned_keys, select_prompts
from selfe_eval.records import TASKS
from selfe_eval.suites.registry import load_suite
from tests.fakes import small_record, small_suite


@given(st.integers(min_value=1, max_value=600))
def test_a_limit_takes_evenly_from_the_tasks(limit: int) -> None:
    """A limited run has exactly that many prompts, and no task has 2 more than one that has more to give."""
    suite = load_suite("geneval")
    chosen = select_prompts(suite, limit)
    assert len(chosen) == min(limit, 553)
    assert list(chosen) == sorted(set(chosen))
    shares = Counter(suite.prompts[prompt_id].task for prompt_id in chosen)
    sizes = Counter(prompt.task for prompt in suite.prompts)
    for task in TASKS:
        assert shares[task] == sizes[task] or shares[task] >= max(shares.values()) - 1


def test_a_limit_below_one_is_a_usage_error() -> None:
    """A run of no prompts is a mistake."""
    with pytest.raises(UsageError, match="--limit 0: expected at least 1"):
        select_prompts(small_suite(), 0)


@given(st.integers(min_value=1, max_value=30), st.integers(min_value=1, max_value=4))
def test_batches_cover_every_image_once(batch_size: int, images_per_prompt: int) -> None:
    """Batches of any size hold every planned image once, in order, and never mix step counts."""
    record = small_record(small_suite(), images_per_prompt=images_per_prompt)
    planned = batches(record, batch_size)
    assert [key for batch in planned for key in batch.keys] == planned_keys(record)
    assert all(key.steps == batch.steps for batch in planned for key in batch.keys)
    assert all(1 <= len(batch.keys) <= batch_size for batch in planned)


def test_a_step_count_is_batched_the_same_in_any_company() -> None:
    """Adding a step count to a run changes no batch of the others, hence no bit of their images."""
    alone = small_record(small_suite(), steps=(4,))
    together = small_record(small_suite(), steps=(1, 4))
    assert batches(alone, 5) == [batch for batch in batches(together, 5) if batch.steps == 4]
